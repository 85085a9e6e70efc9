/* Time, randomness and the events of a world. */
#include <stdlib.h>

#include "runtime/clock.h"
#include "runtime/random.h"
#include "runtime/sim/sim_private.h"

enum { WALL_AT_START_S = 1767225600 };     /* 2026-01-01 00:00:00 UTC */

struct sim *sim_world;

/* Pure functions that draw randomness or read the clock are tested without a world. */
static uint64_t random_without_world[4] = {1, 2, 3, 4};

struct sim *sim_current(void) { return sim_world; }

/* ---- randomness: xoshiro256**, seeded by splitmix64 ---- */

static uint64_t rotate(uint64_t x, int by) { return (x << by) | (x >> (64 - by)); }

uint64_t sim_draw(uint64_t s[static 4])
{
    uint64_t drawn = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return drawn;
}

void sim_draw_seed(uint64_t s[static 4], uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        s[i] = z ^ (z >> 31);
    }
}

/* The tiny bias of a modulo does not matter here. */
uint64_t sim_choose(struct sim *s, uint64_t below)
{
    check(below > 0);
    return sim_draw(s->choice) % below;
}

uint64_t sim_upto(struct sim *s, uint64_t max) { return sim_choose(s, max + 1); }

bool sim_chance_ppm(struct sim *s, unsigned ppm) { return ppm > 0 && sim_choose(s, 1000000) < ppm; }

uint64_t random_u64(void) { return sim_draw(sim_world ? sim_world->program : random_without_world); }

void random_bytes(void *into, size_t count)
{
    unsigned char *at = into;
    while (count > 0) {
        uint64_t drawn = random_u64();
        for (size_t i = 0; i < 8 && count > 0; i++, count--) *at++ = (unsigned char)(drawn >> (8 * i));
    }
}

uint64_t sim_seed_from_environment(uint64_t otherwise)
{
    uint64_t seed;
    return view_to_u64(view_of(getenv("TAYORI_SEED")), &seed) ? seed : otherwise;
}

/* ---- time ---- */

millis clock_now(void) { return (millis){sim_world ? sim_world->now_ms : 0}; }

int64_t clock_now_us(void) { return sim_world ? ++sim_world->now_us : 0; }

unix_ms clock_wall(void)
{
    int64_t ms = (int64_t)WALL_AT_START_S * 1000 + clock_now().ms;
    struct sim_node *n = sim_node_of_caller();
    return (unix_ms){n ? ms + n->wall_skew_ms : ms};
}

/* ---- events: a binary heap ---- */

static bool is_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->due_us != b->due_us ? a->due_us < b->due_us : a->order < b->order;
}

static void place(struct sim *s, size_t i, struct sim_event *e)
{
    s->events[i] = e;
    e->heap_index = i;
}

static void sift_up(struct sim *s, size_t i, struct sim_event *e)
{
    for (; i > 0 && is_before(e, s->events[(i - 1) / 2]); i = (i - 1) / 2) place(s, i, s->events[(i - 1) / 2]);
    place(s, i, e);
}

static void sift_down(struct sim *s, size_t i, struct sim_event *e)
{
    for (size_t child; (child = 2 * i + 1) < s->event_count; i = child) {
        if (child + 1 < s->event_count && is_before(s->events[child + 1], s->events[child])) child++;
        if (!is_before(s->events[child], e)) break;
        place(s, i, s->events[child]);
    }
    place(s, i, e);
}

static void take_out(struct sim *s, size_t i)
{
    struct sim_event *last = s->events[--s->event_count];
    if (i == s->event_count) return;
    if (i > 0 && is_before(last, s->events[(i - 1) / 2])) sift_up(s, i, last);
    else sift_down(s, i, last);
}

struct sim_event *sim_event_in(struct sim *s, struct sim_node *node, int64_t delay_us, void (*run)(void *argument), void *argument)
{
    struct sim_event *e = malloc(sizeof *e);
    check(e);
    *e = (struct sim_event){s->now_us + delay_us, sim_draw(s->choice), node, run, argument, 0};
    if (s->event_count == s->event_capacity) {
        s->event_capacity = s->event_capacity ? 2 * s->event_capacity : 64;
        s->events = realloc(s->events, s->event_capacity * sizeof(struct sim_event *));
        check(s->events);
    }
    sift_up(s, s->event_count++, e);
    return e;
}

void sim_event_cancel(struct sim *s, struct sim_event *e)
{
    if (!e) return;
    take_out(s, e->heap_index);
    free(e);
}

void sim_events_drop_node(struct sim *s, struct sim_node *node)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->event_count; i++) {
        if (s->events[i]->node == node) free(s->events[i]);
        else s->events[kept++] = s->events[i];
    }
    s->event_count = 0;
    for (size_t i = 0; i < kept; i++) sift_up(s, s->event_count++, s->events[i]);
}

struct sim_event *sim_event_take_due(struct sim *s)
{
    if (s->event_count == 0 || s->events[0]->due_us > s->now_us) return NULL;
    struct sim_event *e = s->events[0];
    take_out(s, 0);
    return e;
}

int64_t sim_event_next_us(const struct sim *s) { return s->event_count ? s->events[0]->due_us : INT64_MAX; }
