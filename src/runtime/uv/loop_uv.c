#include <time.h>

#include "runtime/clock.h"
#include "runtime/event.h"
#include "runtime/uv/face.h"
#include "runtime/uv/signals.h"

/*
 * A turn: sleep in libuv until input, a wake-up or the next timer; then tasks, timers, coroutines. libuv's callbacks
 * only wake coroutines or queue work.
 */

static void wake_arrived(uv_async_t *handle) { (void)handle; }
static void timer_arrived(uv_timer_t *handle) { ((struct uv_face *)handle->data)->timer_due_ms = INT64_MAX; }

/* Runs right before libuv sleeps, after it ran its own timers: none can fire in between and leave the sleep unbounded. */
static void will_sleep(uv_prepare_t *handle)
{
    struct uv_face *f = handle->data;
    atomic_store_explicit(&f->sleeps, true, memory_order_relaxed);
    int64_t due_ms = loop_next_due(&f->base).ms;
    if (due_ms == f->timer_due_ms) return;
    f->timer_due_ms = due_ms;
    if (due_ms == INT64_MAX) {
        uv_timer_stop(&f->timer);
        return;
    }
    int64_t now_ms = (int64_t)uv_now(&f->uv);
    uv_timer_start(&f->timer, timer_arrived, due_ms > now_ms ? (uint64_t)(due_ms - now_ms) : 0, 0);
}

int face_open(struct uv_face *f, struct uv_family *family, unsigned index)
{
    loop_init(&f->base, &family->base, index);
    atomic_init(&f->inbox, NULL);
    atomic_init(&f->asleep, false);
    f->timer_due_ms = INT64_MAX;
    probe_init(&f->probe);
    int error = uv_loop_init(&f->uv);
    if (error) return error;
    error = uv_async_init(&f->uv, &f->wake, wake_arrived);
    if (!error) error = uv_timer_init(&f->uv, &f->timer);
    if (!error) error = uv_prepare_init(&f->uv, &f->prepare);
    f->timer.data = f->prepare.data = f;
    if (!error) error = uv_prepare_start(&f->prepare, will_sleep);
    return error;
}

void face_close(struct uv_face *f)
{
    signals_close(f);
    uv_close((uv_handle_t *)&f->wake, NULL);
    uv_close((uv_handle_t *)&f->timer, NULL);
    uv_close((uv_handle_t *)&f->prepare, NULL);
    uv_run(&f->uv, UV_RUN_DEFAULT);
    check(uv_loop_close(&f->uv) == 0);
    buf_done(&f->scratch);
    probe_done(&f->probe);
    loop_done(&f->base);
}

/* --- inbox --- */

static void wake(struct uv_face *f)
{
    if (atomic_exchange(&f->asleep, false)) uv_async_send(&f->wake);
}

void face_nudge(struct uv_face *f)
{
    atomic_store(&f->nudged, true);
    wake(f);
}

void loop_post_chain(struct loop *target, struct task *newest, struct task *oldest)
{
    struct uv_face *f = face_of(target);
    struct task *head = atomic_load_explicit(&f->inbox, memory_order_relaxed);
    do oldest->next = head;
    while (!atomic_compare_exchange_weak(&f->inbox, &head, newest));
    wake(f);
}

void loop_post(struct loop *target, struct task *t) { loop_post_chain(target, t, t); }

static void run_tasks(struct uv_face *f)
{
    if (!atomic_load_explicit(&f->inbox, memory_order_relaxed)) return;
    struct task *newest = atomic_exchange(&f->inbox, NULL), *oldest = NULL;
    while (newest) {
        struct task *t = newest;
        newest = t->next;
        t->next = oldest;
        oldest = t;
    }
    while (oldest) {
        struct task *t = oldest;
        oldest = t->next;              /* run() may free or post it */
        t->run(t);
    }
}

/* --- turns --- */

static void sleep_or_poll(struct uv_face *f)
{
    uv_run_mode mode = UV_RUN_NOWAIT;
    if (!loop_has_ready(&f->base)) {
        atomic_store(&f->asleep, true);
        if (!atomic_load(&f->inbox) && !atomic_exchange(&f->nudged, false)) mode = UV_RUN_ONCE;
    }
    uv_run(&f->uv, mode);
    atomic_store_explicit(&f->asleep, false, memory_order_relaxed);
    face_is_awake(f);
}

/* While stopping: true once no loop of the family has a coroutine. */
static bool may_end(struct uv_face *f)
{
    struct uv_family *family = family_of(&f->base);
    if (!atomic_load(&family->stopping)) return false;
    bool busy = f->base.coroutine_count > 0;
    if (busy && !f->base.scope.is_cancelled) scope_cancel(&f->base.scope);
    if (busy != f->counts_as_busy) {
        f->counts_as_busy = busy;
        if (busy) atomic_fetch_add(&family->busy, 1);
        else if (atomic_fetch_sub(&family->busy, 1) == 1)
            for (unsigned i = 0; i < family->base.count; i++) face_nudge(face_of(family->base.at[i]));
    }
    return atomic_load(&family->busy) == 0;
}

/* A system call: not in each turn of a program that is in use. */
static int64_t cpu_us(void)
{
#ifdef TAYORI_POINTS
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (int64_t)used.tv_sec * 1000000 + used.tv_nsec / 1000;
#else
    return 0;
#endif
}

static void turn(struct uv_face *f)
{
    sleep_or_poll(f);
    int64_t began_us = clock_now_us(), began_cpu_us = cpu_us();
    run_tasks(f);
    loop_fire_timers(&f->base);
    loop_run_ready(&f->base);
    int64_t now_us = clock_now_us();
    metric_observe_us(METRIC_LOOP_TURN, now_us - began_us);
    loop_note_turn(&f->base, now_us, now_us - began_us, cpu_us() - began_cpu_us);
}

void face_run(struct uv_face *f)
{
    loop_enter(&f->base);
    clock_follow(&f->uv);
    probe_open(&f->probe, &f->base);
    f->counts_as_busy = true;
    loop_run_ready(&f->base);
    while (!may_end(f)) turn(f);
    probe_close(&f->probe);
    clock_follow(NULL);
    loop_leave(&f->base);
}
