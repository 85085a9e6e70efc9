/*
 * The watchdog: a thread that looks at the loops' heartbeats and names the coroutine that keeps one from coming back,
 * and where it is (probe.h).
 * It says so once for each time that it happens.
 */
#include "runtime/event.h"
#include "runtime/uv/watchdog.h"
#include "runtime/uv/workers_private.h"

#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

enum { LOOK_MS = 25, STUCK_LOOKS = 2 };

/* What was seen of a loop. */
struct seen { unsigned beat, looks; };

struct watchdog {
    struct loops *all;
    sem_t stop;
    pthread_t thread;
    struct seen seen[];            /* of each loop */
};

/* The same beat at look after look, and not asleep: one coroutine or callback holds the loop. */
static void look(struct watchdog *w, struct uv_face *f)
{
    struct seen *seen = &w->seen[f->base.index];
    unsigned beat = atomic_load_explicit(&f->base.beat, memory_order_relaxed);
    bool sleeps = atomic_load_explicit(&f->sleeps, memory_order_relaxed);
    if (sleeps || beat != seen->beat) {
        *seen = (struct seen){.beat = beat};
        return;
    }
    if (++seen->looks != STUCK_LOOKS) return;
    buf stack CLEANUP(buf_done) = BUF_INIT;
    const char *name = atomic_load_explicit(&f->base.running_name, memory_order_relaxed);
    (void)probe_take(&f->probe, &stack);
    EVENT_EMIT(WATCHDOG_LOOP_STUCK, EVENT_NUMBER("loop", f->base.index), EVENT_NUMBER("ms", STUCK_LOOKS * LOOK_MS),
               EVENT_TEXT("coroutine", name ? view_of(name) : VIEW("(a callback)")), EVENT_TEXT("stack", buf_view(&stack)));
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
    struct watchdog *w = calloc(1, sizeof *w + all->count * sizeof w->seen[0]);
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
