#include "engine/local/local_private.h"
#include "runtime/event.h"
#include "runtime/point.h"

/* What the log holds up to `generation` was applied before this was wanted. */
BLOCKS static void flush_up_to(struct local *e, uint64_t generation)
{
    struct fault fault = {0};
    result code = POINT_FAILS("flusher.flush");
    if (code == OK) code = store_flush(&e->store, &fault);
    if (code == OK) {
        commit_log_release(&e->log, generation);
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

static void *run_flusher(void *argument)
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
    return NULL;
}

void flusher_start(struct local *e)
{
    struct flusher *f = &e->flusher;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->wake, NULL);
    f->wants_spare = true;
    check(pthread_create(&f->thread, NULL, run_flusher, e) == 0);
    pthread_setname_np(f->thread, "flusher");
    f->is_started = true;
}

void flusher_stop(struct local *e)
{
    struct flusher *f = &e->flusher;
    if (!f->is_started) return;
    pthread_mutex_lock(&f->lock);
    f->must_stop = true;
    pthread_cond_signal(&f->wake);
    pthread_mutex_unlock(&f->lock);
    pthread_join(f->thread, NULL);
    pthread_cond_destroy(&f->wake);
    pthread_mutex_destroy(&f->lock);
    f->is_started = false;
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
