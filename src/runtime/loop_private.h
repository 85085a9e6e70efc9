/*
 * loop_private: what the common part of the runtime and its two faces (uv/, sim/) share. Nobody else includes it.
 *
 * The common part (coroutine.c, timer.c, loop.c) owns coroutines, scopes, the ready queue, the timer heap and
 * loop_run_on(). A face owns time (clock.h), randomness (random_bytes, random_u64), loop_post(), streams, workers and
 * what drives a turn. Both faces offer run_loops() (run.h), so tests of the common part run in either.
 *
 * One turn of a loop, as a face drives it:
 *
 *     loop_enter(l);                        loop_self() is l
 *     ... tasks posted to l, I/O callbacks: they wake and spawn coroutines ...
 *     loop_fire_timers(l);                  timers that are due at clock_now()
 *     loop_run_ready(l);                    coroutines; a simulator may reorder l->ready first
 *     loop_leave(l);
 *     ... if !loop_has_ready(l): sleep until loop_next_due(l) or input ...
 *
 * A face embeds struct loop as the first member of its own struct.
 */
#pragma once

#include <stdatomic.h>

#include "base/list.h"
#include "runtime/coroutine.h"
#include "runtime/loop.h"

struct loops {
    unsigned count;
    struct loop **at;
};

struct timer_slot {
    int64_t due_ms;                /* not later than timer->due: re-arming for later only changes the timer */
    uint64_t order;                /* timers of the same millisecond fire in the order of arming */
    struct timer *timer;
};

struct timer_heap {
    struct timer_slot *slots;
    size_t count, capacity;
    uint64_t next_order;
};

struct loop {
    struct loops *family;
    unsigned index;
    struct scope scope;            /* loop_scope() */
    struct list ready;             /* coroutine.ready_node: to be resumed in this turn */
    struct list later;             /* the same: to be resumed in the next turn */
    struct list all;               /* coroutine.all_node */
    size_t coroutine_count;
    struct coroutine *running;
    void *scheduler;               /* context of the thread while a coroutine runs */
    struct timer_heap timers;
    struct list free_stacks;
    size_t free_stack_count;
    bool lacks_guards;             /* has told so */
    bool is_hasty;                 /* each turn has lasted too long (sim_set_hasty()) */
    int64_t turn_started_us;       /* when the running coroutine was resumed; 0: nobody has asked since */
    atomic_uint beat;              /* counts resumes, for the watchdog */
    _Atomic int64_t longest_wall_us[2], longest_cpu_us[2];   /* of this period of ten seconds and the one before; written by the loop alone */
    int64_t turn_period;           /* which period [0] is */
    void *fiber;                   /* of the thread, for sanitizers */
    _Atomic(const char *) running_name;  /* for the watchdog; NULL between coroutines */
};

/* --- for faces --- */

void loop_init(struct loop *l, struct loops *family, unsigned index);
/* No coroutine is left. Frees stacks and the heap. */
void loop_done(struct loop *l);

/* Sets loop_self() of this thread. Not nested. */
void loop_enter(struct loop *l);
void loop_leave(struct loop *l);

static inline bool loop_has_ready(const struct loop *l) { return !list_is_empty(&l->ready) || !list_is_empty(&l->later); }
/* Resumes each that is ready once; then what that made ready, until nothing is or the turn has lasted long enough. */
void loop_run_ready(struct loop *l);

/* A turn has ended, at this time by clock_now_us(). */
void loop_note_turn(struct loop *l, int64_t now_us, int64_t wall_us, int64_t cpu_us);

/* When the next timer may be due; MILLIS_NEVER if none is armed. May be early, never late. */
millis loop_next_due(const struct loop *l);
void loop_fire_timers(struct loop *l);

/*
 * Suspends the running coroutine until coroutine_wake(), the deadline (TIMEOUT), or, unless shielded, the cancellation of
 * its scope (CANCELLED, at once when it is cancelled already). `queue` NULL, or a list that the coroutine is appended to
 * for that time (see coroutine_first_of()). `waits_for` is static.
 */
MAY_YIELD result coroutine_park(struct list *queue, const char *waits_for, millis deadline, bool shielded);
/* `c` is parked. It leaves its queue and is made ready; its coroutine_park() returns `code`. */
void coroutine_wake(struct coroutine *c, result code);
/* The first coroutine of a queue, NULL if it is empty. */
struct coroutine *coroutine_first_of(const struct list *queue);
struct coroutine *coroutine_self(void);      /* NULL outside coroutines */
/* Resumes `c`, which is in l->ready, until it waits or ends. loop_run_ready() does this; a simulator may do it one by one. */
void coroutine_resume(struct loop *l, struct coroutine *c);
struct coroutine *coroutine_of_ready_node(struct list *node);
