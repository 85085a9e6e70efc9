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
