#include "flow/queue_due.h"

#include <stdlib.h>

#include "base/check.h"
#include "flow/queue_private.h"
#include "runtime/clock.h"

enum { TURN_MAX = 200 };                 /* a fraction of a millisecond to a few */

/* Of the same time, who came first. */
static bool slot_before(const struct due_slot *a, const struct due_slot *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->message->arrival < b->message->arrival;
}

static void put(struct queue_due *d, size_t i, struct due_slot slot)
{
    d->slots[i] = slot;
    slot.message->due_place = (uint32_t)i + 1;
}

static void sift_up(struct queue_due *d, size_t i, struct due_slot slot)
{
    for (; i > 0 && slot_before(&slot, &d->slots[(i - 1) / 2]); i = (i - 1) / 2) put(d, i, d->slots[(i - 1) / 2]);
    put(d, i, slot);
}

static void sift_down(struct queue_due *d, size_t i, struct due_slot slot)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= d->count) break;
        if (child + 1 < d->count && slot_before(&d->slots[child + 1], &d->slots[child])) child++;
        if (!slot_before(&d->slots[child], &slot)) break;
        put(d, i, d->slots[child]);
        i = child;
    }
    put(d, i, slot);
}

static void take_out(struct queue_due *d, size_t i)
{
    struct due_slot last = d->slots[--d->count];
    d->slots[i].message->due_place = 0;
    if (i == d->count) return;
    if (i > 0 && slot_before(&last, &d->slots[(i - 1) / 2])) sift_up(d, i, last);
    else sift_down(d, i, last);
}

static void arm(struct queue_due *d)
{
    if (d->count == 0) timer_disarm(&d->timer);
    else if (!d->timer.armed || d->timer.due.ms != d->slots[0].due_ms) timer_arm(&d->timer, (millis){d->slots[0].due_ms});
}

static void time_has_come(struct timer *t)
{
    struct queue_due *d = container_of(t, struct queue_due, timer);
    int64_t now_ms = clock_now().ms;
    for (unsigned i = 0; i < TURN_MAX && d->count > 0 && d->slots[0].due_ms <= now_ms; i++) {
        struct queued *m = d->slots[0].message;
        take_out(d, 0);
        queued_consider(m);
    }
    arm(d);
}

void queue_due_init(struct queue_due *d)
{
    *d = (struct queue_due){0};
    timer_init(&d->timer, time_has_come);
}

void queue_due_done(struct queue_due *d)
{
    check(d->count == 0);
    timer_disarm(&d->timer);
    free(d->slots);
    d->slots = NULL;
    d->capacity = 0;
}

void queue_due_set(struct queue_due *d, struct queued *m, millis due)
{
    struct due_slot slot = {due.ms, m};
    if (m->due_place) take_out(d, m->due_place - 1);
    if (d->count == d->capacity) {
        d->capacity = d->capacity ? d->capacity + d->capacity / 2 : 16;
        d->slots = realloc(d->slots, d->capacity * sizeof *d->slots);
        check(d->slots);
    }
    d->count++;
    sift_up(d, d->count - 1, slot);
    arm(d);
}

void queue_due_clear(struct queue_due *d, struct queued *m)
{
    if (!m->due_place) return;
    take_out(d, m->due_place - 1);
    arm(d);
}
