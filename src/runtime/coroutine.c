#include "runtime/coroutine.h"

#include "runtime/clock.h"
#include "runtime/context.h"
#include "runtime/coroutine_private.h"
#include "runtime/event.h"
#include "runtime/sanitize.h"
#include "runtime/stack_marks.h"

enum { POLITE_TURN_US = 2000 };   /* coroutine_is_overdue() */

/* --- switching --- */

/* Which stack the sanitizer is told of: the thread's own bounds are learnt at the first switch away from it. */
struct switch_bounds { const void *low; size_t bytes; };
static _Thread_local struct switch_bounds thread_stack;

static void coroutine_main(void *argument)
{
    struct coroutine *c = argument;
    sanitize_switch_ended(NULL, &thread_stack.low, &thread_stack.bytes);
    c->run(c->argument);
    c->state = COROUTINE_ENDED;
    sanitize_switch_begins(NULL, thread_stack.low, thread_stack.bytes);
    sanitize_fiber_switch(c->loop->fiber);
    void *ignored;
    context_switch(&ignored, c->loop->scheduler);
    unreachable();
}

/* From the running coroutine to the scheduler; returns when it is resumed. */
static void switch_away(struct coroutine *c)
{
    void *save = NULL;
    sanitize_switch_begins(&save, thread_stack.low, thread_stack.bytes);
    sanitize_fiber_switch(c->loop->fiber);
    context_switch(&c->context, c->loop->scheduler);
    sanitize_switch_ended(save, &thread_stack.low, &thread_stack.bytes);
}

static void coroutine_end(struct loop *l, struct coroutine *c)
{
    struct scope *s = c->scope;
    const char *name = c->name;
    list_remove(&c->all_node);
    list_remove(&c->scope_node);
    l->coroutine_count--;
    sanitize_fiber_free(c->stack->fiber);
    unsigned kib = stack_give(l, c->stack);      /* and `c` with it */
    if (kib) stack_marks_note(name, kib);
    if (kib > STACK_BYTES / 1024 / 2) EVENT_EMIT(COROUTINE_STACK_DEEP, EVENT_TEXT("coroutine", view_of(name)), EVENT_NUMBER("kib", kib));
    scope_child_ended(s);
}

void coroutine_resume(struct loop *l, struct coroutine *c)
{
    check(c->state == COROUTINE_READY && l->running == NULL && c->loop == l);
    list_remove(&c->ready_node);
    c->state = COROUTINE_RUNNING;
    c->waits_for = NULL;
    l->running = c;
    atomic_store_explicit(&l->running_name, c->name, memory_order_relaxed);
    atomic_store_explicit(&l->beat, atomic_load_explicit(&l->beat, memory_order_relaxed) + 1, memory_order_relaxed);
    void *save = NULL;
    l->fiber = sanitize_fiber_self();
    sanitize_switch_begins(&save, c->stack->low, STACK_BYTES);
    sanitize_fiber_switch(c->stack->fiber);
    context_switch(&l->scheduler, c->context);
    sanitize_switch_ended(save, NULL, NULL);
    atomic_store_explicit(&l->running_name, NULL, memory_order_relaxed);
    l->running = NULL;
    if (c->state == COROUTINE_ENDED) coroutine_end(l, c);
}

/* --- the ready queue --- */

struct coroutine *coroutine_of_ready_node(struct list *node)
{
    return container_of(node, struct coroutine, ready_node);
}

static void run_round(struct loop *l)
{
    struct list round;
    list_init(&round);
    list_splice(&round, &l->ready);
    while (!list_is_empty(&round)) {
        l->turn_started_us = 0;
        coroutine_resume(l, coroutine_of_ready_node(round.next));
    }
}

void loop_run_ready(struct loop *l)
{
    if (!loop_has_ready(l)) return;
    int64_t started_us = clock_now_us();
    list_splice(&l->ready, &l->later);
    do run_round(l);
    while (!list_is_empty(&l->ready) && clock_now_us() - started_us < POLITE_TURN_US);
}

void coroutine_spawn(struct scope *s, const char *name, void (*run)(void *argument), void *argument)
{
    struct loop *l = s->loop;
    check(l == loop_self());
    struct stack *stack = stack_take(l);
    struct coroutine *c = (struct coroutine *)(void *)((char *)stack->low + stack->usable_bytes - ((sizeof *c + 63) & ~(size_t)63));
    *c = (struct coroutine){.state = COROUTINE_READY, .loop = l, .scope = s, .stack = stack, .run = run, .argument = argument,
                            .name = name, .spawned = clock_now()};
    stack->fiber = sanitize_fiber_new();
    c->context = context_make(stack->low, (size_t)((char *)c - (char *)stack->low), coroutine_main, c);
    list_append(&l->all, &c->all_node);
    list_append(&s->coroutines, &c->scope_node);
    list_append(&l->ready, &c->ready_node);
    list_init(&c->wait_node);
    l->coroutine_count++;
}

/* --- waiting --- */

static void deadline_passed(struct timer *t)
{
    coroutine_wake(container_of(t, struct coroutine, timer), TIMEOUT);
}

struct coroutine *coroutine_self(void)
{
    struct loop *l = loop_self();
    return l ? l->running : NULL;
}

bool coroutine_is_running(void) { return coroutine_self() != NULL; }

result coroutine_park(struct list *queue, const char *waits_for, millis deadline, bool shielded)
{
    struct coroutine *c = coroutine_self();
    check(c != NULL);
    if (!shielded && c->scope->is_cancelled) return CANCELLED;
    c->state = COROUTINE_PARKED;
    c->is_shielded = shielded;
    c->waits_for = waits_for;
    if (queue) list_append(queue, &c->wait_node);
    if (!millis_is_never(deadline)) {
        timer_init(&c->timer, deadline_passed);
        timer_arm(&c->timer, deadline);
    }
    switch_away(c);
    return c->wake_code;
}

void coroutine_wake(struct coroutine *c, result code)
{
    check(c->state == COROUTINE_PARKED && c->loop == loop_self());
    c->state = COROUTINE_READY;
    c->wake_code = code;
    list_remove(&c->wait_node);
    timer_disarm(&c->timer);
    list_append(&c->loop->ready, &c->ready_node);
}

struct coroutine *coroutine_first_of(const struct list *queue)
{
    return list_is_empty(queue) ? NULL : container_of(queue->next, struct coroutine, wait_node);
}

result coroutine_check(void)
{
    struct coroutine *c = coroutine_self();
    return c && c->scope->is_cancelled ? CANCELLED : OK;
}

result coroutine_sleep(int64_t duration_ms)
{
    result r = coroutine_park(NULL, "sleep", clock_in(duration_ms), false);
    return r == TIMEOUT ? OK : r;
}

void coroutine_pause(void)
{
    struct coroutine *c = coroutine_self();
    check(c != NULL);
    struct loop *l = c->loop;
    bool overdue = coroutine_is_overdue();
    if (!overdue && list_is_empty(&l->ready)) return;
    c->state = COROUTINE_READY;
    c->waits_for = "pause";
    list_append(overdue ? &l->later : &l->ready, &c->ready_node);
    switch_away(c);
}

bool coroutine_is_overdue(void)
{
    struct loop *l = loop_self();
    if (!l) return false;
    if (l->is_hasty) return true;
    if (l->turn_started_us) return clock_now_us() - l->turn_started_us > POLITE_TURN_US;
    l->turn_started_us = clock_now_us();     /* who never asks pays nothing for the answer */
    return false;
}

void coroutine_each(void (*show)(void *context, const char *name, int64_t age_ms, const char *waits_for), void *context)
{
    struct loop *l = loop_self();
    check(l != NULL);
    list_each (node, &l->all) {
        struct coroutine *c = container_of(node, struct coroutine, all_node);
        const char *waits_for = c->state == COROUTINE_RUNNING ? "running" : c->state == COROUTINE_READY ? "ready" : c->waits_for;
        show(context, c->name, clock_now().ms - c->spawned.ms, waits_for);
    }
}
