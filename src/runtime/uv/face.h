/* face: a loop of the real runtime, on libuv. For the files of runtime/uv alone. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "runtime/loop_private.h"

struct uv_face {
    struct loop base;              /* first */
    uv_loop_t uv;
    uv_async_t wake;
    uv_timer_t timer;              /* bounds the sleep; what is due is found in base.timers */
    uv_prepare_t prepare;
    int64_t timer_due_ms;          /* what `timer` is set for; INT64_MAX: not set */
    _Atomic(struct task *) inbox;  /* newest first */
    atomic_bool asleep;            /* whoever clears it sends the wake-up */
    bool counts_as_busy;           /* in uv_family.busy, while stopping */
    pthread_t thread;
};

struct uv_family {
    struct loops base;             /* first */
    atomic_bool stopping;
    atomic_uint busy;              /* loops that have coroutines */
};

static inline struct uv_face *face_of(struct loop *l) { return (struct uv_face *)l; }
static inline struct uv_family *family_of(struct loop *l) { return (struct uv_family *)l->family; }

NODISCARD int face_open(struct uv_face *f, struct uv_family *family, unsigned index);
void face_close(struct uv_face *f);
/* Runs turns on the calling thread until the family stops and no loop has coroutines. */
void face_run(struct uv_face *f);
void face_wake(struct uv_face *f);
/* The clock of this thread's turn. */
void clock_turn_begins(void);
