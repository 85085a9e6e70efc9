/* face: a loop of the real runtime, on libuv. For the files of runtime/uv alone. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "base/buf.h"
#include "runtime/clock.h"
#include "runtime/loop_private.h"
#include "runtime/uv/probe.h"

struct uv_face {
    struct loop base;              /* first */
    uv_loop_t uv;
    uv_async_t wake;
    uv_timer_t timer;              /* bounds the sleep; what is due is found in base.timers */
    uv_prepare_t prepare;
    int64_t timer_due_ms;          /* what `timer` is set for; INT64_MAX: not set */
    _Atomic(struct task *) inbox;  /* newest first */
    atomic_bool asleep;            /* whoever clears it sends the wake-up */
    atomic_bool nudged;
    bool counts_as_busy;           /* in uv_family.busy, while stopping */
    buf scratch;                   /* for sealed TLS output, lent to one stream at a time */
    atomic_bool sleeps;            /* in libuv's poll; for the watchdog */
    struct signals *signals;       /* of loop 0; NULL before run_wait_signal() */
    pthread_t thread;
    struct probe probe;            /* for the watchdog */
};

struct uv_family {
    struct loops base;             /* first */
    atomic_bool stopping;
    atomic_uint busy;              /* loops that have coroutines */
    struct workers *workers;
};

static inline struct uv_face *face_of(struct loop *l) { return (struct uv_face *)l; }
static inline struct uv_family *family_of(struct loop *l) { return (struct uv_family *)l->family; }

NODISCARD int face_open(struct uv_face *f, struct uv_family *family, unsigned index);
void face_close(struct uv_face *f);
/* Runs turns on the calling thread until the family stops and no loop has coroutines. */
void face_run(struct uv_face *f);
/* Tasks linked by next, `newest` to `oldest`, posted at once. */
void loop_post_chain(struct loop *target, struct task *newest, struct task *oldest);
/* From any thread: at least one more turn begins soon. */
void face_nudge(struct uv_face *f);
/* libuv calls back: the loop does not sleep any more. */
static inline void face_is_awake(struct uv_face *f) { atomic_store_explicit(&f->sleeps, false, memory_order_relaxed); }
/* clock_now() of this thread is this loop's from now on; NULL: no loop's. */
void clock_follow(uv_loop_t *uv);
