/*
 * A batcher: one thread that takes all that waits. Submitting is one atomic exchange, and a wake-up only when the thread
 * sleeps, which under load it does not. What is done goes back as one chain to each loop.
 */
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/uv/workers_private.h"

struct batcher {
    const char *name;
    void (*run)(void *context, struct batch_item *first);
    void *context;
    _Atomic(struct batch_item *) newest;
    atomic_bool asleep, must_stop;
    sem_t wake;
    pthread_t thread;
};

static void item_done(struct task *t)
{
    struct batch_item *item = container_of(t, struct batch_item, task);
    item->done(item);
}

static void wake(struct batcher *b)
{
    if (atomic_exchange(&b->asleep, false)) sem_post(&b->wake);
}

void batcher_submit(struct batcher *b, struct batch_item *item)
{
    item->origin = loop_self();
    check(item->origin != NULL);
    item->task.run = item_done;
    struct batch_item *newest = atomic_load_explicit(&b->newest, memory_order_relaxed);
    do item->next = newest;
    while (!atomic_compare_exchange_weak(&b->newest, &newest, item));
    wake(b);
}

static struct batch_item *take_all(struct batcher *b)
{
    struct batch_item *newest = atomic_exchange(&b->newest, NULL), *oldest = NULL;
    while (newest) {
        struct batch_item *item = newest;
        newest = item->next;
        item->next = oldest;
        oldest = item;
    }
    return oldest;
}

static void give_back(struct batch_item *first)
{
    /* Runs of items from the same loop travel together. */
    while (first) {
        struct loop *origin = first->origin;
        struct task *newest = NULL, *oldest = &first->task;
        while (first && first->origin == origin) {
            struct batch_item *item = first;
            first = item->next;
            item->task.next = newest;
            newest = &item->task;
        }
        loop_post_chain(origin, newest, oldest);
    }
}

static void *batcher_main(void *argument)
{
    struct batcher *b = argument;
    pthread_setname_np(pthread_self(), b->name);
    for (;;) {
        struct batch_item *first = take_all(b);
        if (first) {
            b->run(b->context, first);
            give_back(first);
            continue;
        }
        if (atomic_load(&b->must_stop)) return NULL;
        atomic_store(&b->asleep, true);
        if (!atomic_load(&b->newest) && !atomic_load(&b->must_stop))
            while (sem_wait(&b->wake) != 0) continue;
        else if (!atomic_exchange(&b->asleep, false))
            while (sem_wait(&b->wake) != 0) continue;       /* somebody posted in between: take it back */
    }
}

struct batcher *batcher_new(const char *name, void (*run)(void *context, struct batch_item *first), void *context)
{
    struct batcher *b = calloc(1, sizeof *b);
    check(b != NULL && strlen(name) < 16);
    b->name = name;
    b->run = run;
    b->context = context;
    check(sem_init(&b->wake, 0, 0) == 0);
    thread_start(&b->thread, batcher_main, b);
    return b;
}

void batcher_free(struct batcher *b)
{
    atomic_store(&b->must_stop, true);
    wake(b);
    pthread_join(b->thread, NULL);
    sem_destroy(&b->wake);
    free(b);
}
