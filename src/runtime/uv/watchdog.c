/*
 * The watchdog: a thread that looks at the loops' heartbeats and names the coroutine that keeps one from coming back.
 * It says so once for each turn.
 */
#include "runtime/event.h"
#include "runtime/uv/watchdog.h"
#include "runtime/uv/workers_private.h"

#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

enum { LOOK_MS = 25, STUCK_US = 50000 };

struct watchdog {
    struct loops *all;
    sem_t stop;
    pthread_t thread;
    int64_t reported_us[];         /* awake_since_us of the turn that was reported, for each loop */
};

static void look(struct watchdog *w, struct uv_face *f)
{
    int64_t since_us = atomic_load_explicit(&f->awake_since_us, memory_order_relaxed);
    int64_t *reported_us = &w->reported_us[f->base.index];
    if (since_us == 0 || since_us == *reported_us) return;
    int64_t lasted_us = clock_now_us() - since_us;
    if (lasted_us < STUCK_US) return;
    *reported_us = since_us;
    const char *name = atomic_load_explicit(&f->base.running_name, memory_order_relaxed);
    EVENT_EMIT(WATCHDOG_LOOP_STUCK, EVENT_NUMBER("loop", f->base.index), EVENT_NUMBER("ms", lasted_us / 1000),
               EVENT_TEXT("coroutine", name ? view_of(name) : VIEW("(a callback)")));
}

static bool pause_or_stop(struct watchdog *w)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += LOOK_MS * 1000000;
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    return sem_timedwait(&w->stop, &until) != 0;
}

static void *watchdog_main(void *argument)
{
    struct watchdog *w = argument;
    while (pause_or_stop(w))
        for (unsigned i = 0; i < w->all->count; i++) look(w, face_of(w->all->at[i]));
    return NULL;
}

struct watchdog *watchdog_start(struct loops *all)
{
    struct watchdog *w = calloc(1, sizeof *w + all->count * sizeof w->reported_us[0]);
    check(w != NULL);
    w->all = all;
    check(sem_init(&w->stop, 0, 0) == 0);
    thread_start(&w->thread, watchdog_main, w);
    return w;
}

void watchdog_stop(struct watchdog *w)
{
    sem_post(&w->stop);
    pthread_join(w->thread, NULL);
    sem_destroy(&w->stop);
    free(w);
}
