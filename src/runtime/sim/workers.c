/* Jobs and batches: run on the world's thread, belonging to no loop, after a time drawn from the seed. */
#include "runtime/workers.h"

#include <stdlib.h>

#include "runtime/coroutine.h"
#include "runtime/sim/sim_private.h"

struct sim_workers *sim_workers(struct sim *s) { return &s->workers; }

/* ---- jobs ---------------------------------------------------------------------------------------------- */

struct job {
    struct loop *origin;
    void (*run)(void *argument);
    void *argument;
    struct completion ended;
};

static void end_job(void *argument)
{
    struct job *j = argument;
    loop_enter(j->origin);
    completion_set(&j->ended, OK);
    loop_leave(j->origin);
}

static void run_job(void *argument)
{
    struct job *j = argument;
    j->run(j->argument);
    sim_event_in(sim_world, sim_node_of(j->origin), (int64_t)sim_upto(sim_world, sim_world->workers.delay_max_us / 2), end_job, j);
}

result worker_run(enum worker_class class, void (*run)(void *argument), void *argument)
{
    struct sim *s = sim_world;
    if (sim_chance_ppm(s, s->workers.busy_ppm)) return BUSY;
    struct job j = {.origin = loop_self(), .run = run, .argument = argument};
    completion_init(&j.ended);
    sim_event_in(s, sim_node_of(j.origin), (int64_t)sim_upto(s, s->workers.delay_max_us / 2), run_job, &j);
    return completion_wait(&j.ended);
}

/* ---- batches ------------------------------------------------------------------------------------------- */

struct batcher {
    struct list node;                    /* in sim_node.batchers */
    struct sim_node *owner;
    void (*run)(void *context, struct batch_item *first);
    void *context;
    struct batch_item *first, **last;
    struct sim_event *due;
};

struct batcher *batcher_new(const char *name, void (*run)(void *context, struct batch_item *first), void *context)
{
    struct batcher *b = calloc(1, sizeof *b);
    check(b);
    b->owner = sim_node_of_caller();
    check(b->owner);
    b->run = run;
    b->context = context;
    b->last = &b->first;
    list_append(&b->owner->batchers, &b->node);
    return b;
}

static void tell_item(struct task *t)
{
    struct batch_item *item = container_of(t, struct batch_item, task);
    item->done(item);
}

static void run_batch(void *argument)
{
    struct batcher *b = argument;
    struct batch_item *first = b->first;
    b->due = NULL;
    b->first = NULL;
    b->last = &b->first;
    b->run(b->context, first);
    for (struct batch_item *item = first, *next; item; item = next) {
        next = item->next;
        item->task.run = tell_item;
        loop_post(item->origin, &item->task);
    }
}

void batcher_submit(struct batcher *b, struct batch_item *item)
{
    item->origin = loop_self();
    item->next = NULL;
    *b->last = item;
    b->last = &item->next;
    if (!b->due) b->due = sim_event_in(sim_world, b->owner, (int64_t)sim_upto(sim_world, sim_world->workers.delay_max_us), run_batch, b);
}

void batcher_free(struct batcher *b)
{
    if (b->due) {
        sim_event_cancel(sim_world, b->due);
        struct loop *self = loop_self();
        if (self) loop_leave(self);
        run_batch(b);
        if (self) loop_enter(self);
    }
    list_remove(&b->node);
    free(b);
}

void sim_batchers_drop(struct sim_node *n)
{
    for (struct list *node; (node = list_pop(&n->batchers));) {
        struct batcher *b = container_of(node, struct batcher, node);
        sim_event_cancel(n->world, b->due);
        free(b);
    }
}
