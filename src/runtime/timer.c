/*
 * The timers of a loop: a binary heap by time. Most timers are deadlines that are pushed back again and again and never
 * fire: arming an armed timer for later is therefore one store, and its slot moves when the old time has come.
 */
#include <stdlib.h>

#include "runtime/clock.h"
#include "runtime/loop_private.h"

static bool slot_before(const struct timer_slot *a, const struct timer_slot *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->order < b->order;
}

static void put(struct timer_heap *h, size_t i, struct timer_slot slot)
{
    h->slots[i] = slot;
    slot.timer->heap_index = i;
}

static void sift_up(struct timer_heap *h, size_t i, struct timer_slot slot)
{
    while (i > 0) {
        size_t parent = (i - 1) / 2;
        if (!slot_before(&slot, &h->slots[parent])) break;
        put(h, i, h->slots[parent]);
        i = parent;
    }
    put(h, i, slot);
}

static void sift_down(struct timer_heap *h, size_t i, struct timer_slot slot)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->count) break;
        if (child + 1 < h->count && slot_before(&h->slots[child + 1], &h->slots[child])) child++;
        if (!slot_before(&h->slots[child], &slot)) break;
        put(h, i, h->slots[child]);
        i = child;
    }
    put(h, i, slot);
}

static void heap_add(struct timer_heap *h, struct timer *t)
{
    if (h->count == h->capacity) {
        h->capacity = h->capacity ? 2 * h->capacity : 64;
        h->slots = realloc(h->slots, h->capacity * sizeof *h->slots);
        check(h->slots != NULL);
    }
    sift_up(h, h->count++, (struct timer_slot){t->due.ms, h->next_order++, t});
}

static void heap_remove(struct timer_heap *h, size_t i)
{
    struct timer_slot last = h->slots[--h->count];
    if (i == h->count) return;
    if (i > 0 && slot_before(&last, &h->slots[(i - 1) / 2])) sift_up(h, i, last);
    else sift_down(h, i, last);
}

void timer_init(struct timer *t, void (*run)(struct timer *t))
{
    *t = (struct timer){.run = run};
}

void timer_arm(struct timer *t, millis due)
{
    struct loop *l = loop_self();
    check(l != NULL && (!t->armed || t->owner == l));
    if (millis_is_never(due)) {
        timer_disarm(t);
        return;
    }
    t->due = due;
    if (t->armed) {
        if (due.ms >= l->timers.slots[t->heap_index].due_ms) return;
        sift_up(&l->timers, t->heap_index, (struct timer_slot){due.ms, l->timers.next_order++, t});
        return;
    }
    t->armed = true;
    t->owner = l;
    heap_add(&l->timers, t);
}

void timer_disarm(struct timer *t)
{
    if (!t->armed) return;
    check(t->owner == loop_self());
    heap_remove(&t->owner->timers, t->heap_index);
    t->armed = false;
}

millis loop_next_due(const struct loop *l)
{
    return l->timers.count ? (millis){l->timers.slots[0].due_ms} : MILLIS_NEVER;
}

void loop_fire_timers(struct loop *l)
{
    struct timer_heap *h = &l->timers;
    int64_t now_ms = clock_now().ms;
    uint64_t first_new = h->next_order;   /* what is armed while firing waits for the next turn */
    while (h->count && h->slots[0].due_ms <= now_ms && h->slots[0].order < first_new) {
        struct timer *t = h->slots[0].timer;
        if (t->due.ms > h->slots[0].due_ms) {
            sift_down(h, 0, (struct timer_slot){t->due.ms, h->slots[0].order, t});
            continue;
        }
        heap_remove(h, 0);
        t->armed = false;
        t->run(t);
    }
}
