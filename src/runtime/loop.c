#include "runtime/loop.h"

#include <stdlib.h>

#include "runtime/loop_private.h"
#include "runtime/sanitize.h"
#include "runtime/stack.h"

static _Thread_local struct loop *self;

struct loop *loop_self(void) { return self; }
struct loops *loop_family(struct loop *l) { return l->family; }
unsigned loops_count(const struct loops *all) { return all->count; }
struct loop *loops_at(struct loops *all, unsigned index) { return all->at[index]; }
unsigned loop_index(const struct loop *l) { return l->index; }
struct scope *loop_scope(struct loop *l) { return &l->scope; }

void loop_init(struct loop *l, struct loops *family, unsigned index)
{
    *l = (struct loop){.family = family, .index = index};
    l->scope.loop = l;
    list_init(&l->scope.siblings);
    list_init(&l->scope.scopes);
    list_init(&l->scope.coroutines);
    list_init(&l->scope.joiners);
    list_init(&l->ready);
    list_init(&l->later);
    list_init(&l->all);
    list_init(&l->free_stacks);
}

void loop_done(struct loop *l)
{
    check(l->coroutine_count == 0);
    stack_free_all(l);
    free(l->timers.slots);
    l->timers = (struct timer_heap){0};
}

void loop_enter(struct loop *l)
{
    check(self == NULL);
    self = l;
}

void loop_leave(struct loop *l)
{
    check(self == l);
    self = NULL;
}

/* --- loop_run_on --- */

struct visit {
    struct task task;              /* there, and back */
    struct loop *home, *target;
    const char *name;
    void (*run)(void *argument);
    void *argument;
    struct completion ended;
};

static void visit_ended(struct task *t)
{
    completion_set(&container_of(t, struct visit, task)->ended, OK);
}

static void visit_run(void *argument)
{
    struct visit *v = argument;
    v->run(v->argument);
    v->task.run = visit_ended;
    loop_post(v->home, &v->task);
}

static void visit_arrived(struct task *t)
{
    struct visit *v = container_of(t, struct visit, task);
    coroutine_spawn(loop_scope(v->target), v->name, visit_run, v);
}

void loop_run_on(struct loop *target, const char *name, void (*run)(void *argument), void *argument)
{
    struct loop *home = loop_self();
    if (target == home) {
        run(argument);
        return;
    }
    struct visit v = {.task.run = visit_arrived, .home = home, .target = target, .name = name, .run = run, .argument = argument};
    completion_init(&v.ended);
    loop_post(target, &v.task);
    (void)!completion_wait(&v.ended);
}

/* ---- turns ---- */

enum { TURN_PERIOD_US = 10000000 };

static void raise(_Atomic int64_t *to, int64_t value)
{
    if (value > atomic_load_explicit(to, memory_order_relaxed)) atomic_store_explicit(to, value, memory_order_relaxed);
}

static void begin_period(_Atomic int64_t longest[2], bool follows)
{
    atomic_store_explicit(&longest[1], follows ? atomic_load_explicit(&longest[0], memory_order_relaxed) : 0, memory_order_relaxed);
    atomic_store_explicit(&longest[0], 0, memory_order_relaxed);
}

void loop_note_turn(struct loop *l, int64_t now_us, int64_t wall_us, int64_t cpu_us)
{
    int64_t period = now_us / TURN_PERIOD_US;
    if (period != l->turn_period) {
        begin_period(l->longest_wall_us, period == l->turn_period + 1);
        begin_period(l->longest_cpu_us, period == l->turn_period + 1);
        l->turn_period = period;
    }
    raise(&l->longest_wall_us[0], wall_us);
    raise(&l->longest_cpu_us[0], cpu_us);
}

static int64_t larger(const _Atomic int64_t of[2])
{
    int64_t now = atomic_load_explicit(&of[0], memory_order_relaxed), before = atomic_load_explicit(&of[1], memory_order_relaxed);
    return now > before ? now : before;
}

struct loop_turn loop_longest_turn(const struct loop *l)
{
    return (struct loop_turn){larger(l->longest_wall_us), larger(l->longest_cpu_us)};
}

struct loop_turn loops_longest_turn(const struct loops *all)
{
    struct loop_turn longest = {0};
    for (unsigned i = 0; i < all->count; i++) {
        struct loop_turn one = loop_longest_turn(all->at[i]);
        if (one.wall_us > longest.wall_us) longest.wall_us = one.wall_us;
        if (one.cpu_us > longest.cpu_us) longest.cpu_us = one.cpu_us;
    }
    return longest;
}
