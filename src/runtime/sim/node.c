/* Nodes: their loops, their birth and their death. */
#include <stdlib.h>

#include "runtime/coroutine_private.h"
#include "runtime/point.h"
#include "runtime/sanitize.h"
#include "runtime/sim/sim_private.h"

static bool a_node_has_died;

#ifdef SANITIZE_ASAN
/* What a dead node's code had allocated is nobody's, and that is no leak. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) { return a_node_has_died; }
#endif

struct sim_node *sim_node_new(struct sim *s, const char *name, unsigned loops)
{
    struct sim_node *n = calloc(1, sizeof *n);
    check(n && loops > 0);
    n->world = s;
    n->name = name;
    n->index = s->node_count++;
    list_init(&n->streams);
    list_init(&n->listeners);
    list_init(&n->batchers);
    list_append(&s->nodes, &n->node);
    sim_node_start(n, loops);
    return n;
}

void sim_node_start(struct sim_node *n, unsigned loops)
{
    struct sim_life *life = calloc(1, sizeof *life + loops * sizeof life->loops[0]);
    check(life);
    life->node = n;
    life->former = n->life;
    life->count = life->family.count = loops;
    life->family.at = calloc(loops, sizeof(struct loop *));
    check(life->family.at);
    for (unsigned i = 0; i < loops; i++) {
        struct sim_loop *l = &life->loops[i];
        loop_init(&l->base, &life->family, i);
        l->base.is_hasty = n->world->is_hasty;
        l->life = life;
        l->inbox_last = &l->inbox_first;
        life->family.at[i] = &l->base;
    }
    n->life = life;
    n->steps = n->crash_at_step = 0;
    n->is_crashing = false;
    n->frozen_until_us = 0;
    n->is_up = true;
}

const char *sim_node_name(const struct sim_node *n) { return n->name; }
bool sim_node_is_up(const struct sim_node *n) { return n->is_up; }
uint64_t sim_node_steps(const struct sim_node *n) { return n->steps; }
unsigned sim_crashes(const struct sim *s) { return s->crashes; }
void sim_node_set_wall_skew(struct sim_node *n, int64_t skew_ms) { n->wall_skew_ms = skew_ms; }
void sim_node_freeze(struct sim_node *n, int64_t duration_ms) { n->frozen_until_us = n->world->now_us + duration_ms * 1000; }
void sim_node_crash_after(struct sim_node *n, uint64_t steps) { n->crash_at_step = steps ? n->steps + steps : 0; }
struct sim_node *sim_node_of_caller(void) { return sim_world ? sim_world->running : NULL; }

struct loop *sim_node_loop(struct sim_node *n, unsigned index)
{
    check(index < n->life->count);
    return &n->life->loops[index].base;
}

void sim_on_crash(struct sim *s, void (*crashed)(void *argument, struct sim_node *n), void *argument)
{
    s->crashed = crashed;
    s->crashed_argument = argument;
}

void loop_post(struct loop *target, struct task *t)
{
    struct sim_loop *l = (struct sim_loop *)(void *)target;
    if (l->life->is_over) return;
    t->next = NULL;
    *l->inbox_last = t;
    l->inbox_last = &t->next;
}

/* ---- death --------------------------------------------------------------------------------------------- */

/* Like the end of each coroutine, without a word to its scope. */
static void abandon_coroutines(struct loop *l)
{
    for (struct list *node; (node = list_pop(&l->all));) {
        struct coroutine *c = container_of(node, struct coroutine, all_node);
        sanitize_fiber_free(c->stack->fiber);
        stack_give(l, c->stack);
    }
    l->coroutine_count = 0;
    list_init(&l->ready);
    list_init(&l->later);
}

void sim_node_die(struct sim_node *n)
{
    struct sim *s = n->world;
    a_node_has_died = true;
    s->crashes++;
    n->is_up = false;
    n->is_crashing = false;
    n->life->is_over = true;
    sim_streams_break(n);
    sim_streams_free(n);
    sim_listeners_drop(n);
    sim_batchers_drop(n);
    sim_events_drop_node(s, n);
    for (unsigned i = 0; i < n->life->count; i++) {
        struct sim_loop *l = &n->life->loops[i];
        abandon_coroutines(&l->base);
        loop_done(&l->base);
        l->inbox_first = NULL;
        l->inbox_last = &l->inbox_first;
    }
    if (s->crashed) s->crashed(s->crashed_argument, n);
}

void sim_node_crash(struct sim_node *n)
{
    colour_pretend_coroutine();
    struct sim *s = n->world;
    check(n->is_up);
    if (s->running != n) {
        sim_node_die(n);
        return;
    }
    n->is_crashing = true;
    if (!coroutine_is_running()) longjmp(*s->step, 1);
    (void)!coroutine_park(NULL, "its node has died", MILLIS_NEVER, true);
    unreachable();
}

void sim_node_restart(struct sim_node *n)
{
    check(!n->is_up);
    sim_node_start(n, n->life->count);
}

#ifdef TAYORI_POINTS
static void crash_at_point(const char *name)
{
    check(sim_world && sim_world->running);
    sim_node_crash(sim_world->running);
}

__attribute__((constructor)) static void handle_points(void) { point_on_crash(crash_at_point); }
#endif
