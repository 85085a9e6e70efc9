#include "engine/local/local_private.h"
#include "runtime/event.h"
#include "runtime/point.h"
#include "runtime/background.h"

/* What the log holds up to `generation` was applied before this was wanted. */
BLOCKS static void flush_up_to(struct local *e, uint64_t generation)
{
    struct fault fault = {0};
    result code = POINT_FAILS("flusher.flush");
    if (code == OK) code = rocks_flush(&e->rocks, &fault);
    if (code == OK) {
        commit_log_release(&e->log, generation);
        collector_want_look(e);
        return;
    }
    EVENT_EMIT(STORE_FLUSH_FAILED, EVENT_FAULT(&fault));
    atomic_store(&e->is_broken, true);
    commit_log_set_flush_failed(&e->log, true);
}

BLOCKS static void make_spare(struct local *e)
{
    struct fault fault = {0};
    if (commit_log_make_spare(&e->log, &fault) != OK) EVENT_EMIT(STORE_FLUSH_FAILED, EVENT_FAULT(&fault));
}

static void run_flusher(void *argument)
{
    colour_pretend_worker();
    struct local *e = argument;
    struct flusher *f = &e->flusher;
    uint64_t done = 0;
    pthread_mutex_lock(&f->lock);
    while (!f->must_stop) {
        uint64_t wanted = f->wanted;
        bool wants_spare = f->wants_spare;
        if (wanted == done && !wants_spare) {
            pthread_cond_wait(&f->wake, &f->lock);
            continue;
        }
        f->wants_spare = false;
        pthread_mutex_unlock(&f->lock);
        if (wanted > done) flush_up_to(e, wanted);
        make_spare(e);
        done = wanted;
        pthread_mutex_lock(&f->lock);
    }
    pthread_mutex_unlock(&f->lock);
}

void flusher_start(struct local *e)
{
    struct flusher *f = &e->flusher;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->wake, NULL);
    f->wants_spare = true;
    f->thread = background_start("flusher", run_flusher, e);
}

void flusher_stop(struct local *e)
{
    struct flusher *f = &e->flusher;
    pthread_mutex_lock(&f->lock);
    f->must_stop = true;
    pthread_cond_signal(&f->wake);
    pthread_mutex_unlock(&f->lock);
    background_join(f->thread);
    pthread_cond_destroy(&f->wake);
    pthread_mutex_destroy(&f->lock);
}

void flusher_want(struct local *e, uint64_t generation)
{
    pthread_mutex_lock(&e->flusher.lock);
    if (generation > e->flusher.wanted) e->flusher.wanted = generation;
    pthread_cond_signal(&e->flusher.wake);
    pthread_mutex_unlock(&e->flusher.lock);
}

void flusher_want_spare(struct local *e)
{
    pthread_mutex_lock(&e->flusher.lock);
    e->flusher.wants_spare = true;
    pthread_cond_signal(&e->flusher.wake);
    pthread_mutex_unlock(&e->flusher.lock);
}
