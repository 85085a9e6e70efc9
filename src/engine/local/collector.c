/*
 * Bodies that heads have swallowed stay in files that others share. When half of all is such, the oldest files are emptied: what lives
 * in them is moved. So the space of bodies is at most about twice what lives, and each body is written again about once.
 */
#include "engine/local/local_private.h"
#include "runtime/background.h"
#include "runtime/event.h"

BLOCKS static bool is_worth_it(struct local *e)
{
    uint64_t all, garbage;
    if (atomic_load(&e->is_broken) || atomic_load(&e->is_full)) return false;
    if (rocks_garbage(&e->rocks, &all, &garbage, NULL) != OK) return false;
    return garbage > e->log.segment_bytes * LOCAL_GARBAGE_SEGMENTS && garbage * 2 > all;
}

/* One step. True: it gave space back, so another may be worth it too. */
BLOCKS static bool collect(struct local *e)
{
    struct fault fault = {0};
    uint64_t before, after, garbage;
    if (!is_worth_it(e) || rocks_garbage(&e->rocks, &before, &garbage, NULL) != OK) return false;
    result code = rocks_collect(&e->rocks, &fault);
    if (code == OK) code = rocks_garbage(&e->rocks, &after, &garbage, &fault);
    if (code != OK) {
        EVENT_EMIT(STORE_COLLECT_FAILED, EVENT_FAULT(&fault));
        return false;
    }
    EVENT_EMIT(STORE_COLLECTED, EVENT_NUMBER("before", before), EVENT_NUMBER("after", after), EVENT_NUMBER("garbage", garbage));
    return after < before;
}

static void run_collector(void *argument)
{
    colour_pretend_worker();
    struct local *e = argument;
    struct collector *c = &e->collector;
    pthread_mutex_lock(&c->lock);
    while (!c->must_stop) {
        if (!c->wants_look) {
            pthread_cond_wait(&c->wake, &c->lock);
            continue;
        }
        c->wants_look = false;
        pthread_mutex_unlock(&c->lock);
        bool again = collect(e);
        pthread_mutex_lock(&c->lock);
        c->wants_look |= again;
    }
    pthread_mutex_unlock(&c->lock);
}

void collector_start(struct local *e)
{
    pthread_mutex_init(&e->collector.lock, NULL);
    pthread_cond_init(&e->collector.wake, NULL);
    e->collector.thread = background_start("collector", run_collector, e);
}

void collector_stop(struct local *e)
{
    pthread_mutex_lock(&e->collector.lock);
    e->collector.must_stop = true;
    pthread_cond_signal(&e->collector.wake);
    pthread_mutex_unlock(&e->collector.lock);
    rocks_stop_collecting(&e->rocks);
    background_join(e->collector.thread);
    pthread_cond_destroy(&e->collector.wake);
    pthread_mutex_destroy(&e->collector.lock);
}

void collector_want_look(struct local *e)
{
    pthread_mutex_lock(&e->collector.lock);
    e->collector.wants_look = true;
    pthread_cond_signal(&e->collector.wake);
    pthread_mutex_unlock(&e->collector.lock);
}
