/*
 * coroutine: plain sequential code that waits without holding the loop.
 *
 * 1. A coroutine and its stack belong to one loop for life. Its stack is small (256 KiB virtual, of which
 *    a few pages are touched): no big frames, no recursion on input without a depth limit, no RocksDB.
 * 2. Coroutines give up the loop only inside MAY_YIELD functions, to the scheduler, never to each other.
 * 3. errno and thread-local state are not read after a yield.
 * 4. Every coroutine is the child of a scope, which outlives it.
 *
 * A scope is cancelled as a whole: from then on each wait of its children (and of its child scopes')
 * returns CANCELLED at once, so that they clean up and end; nobody is killed.
 */
#pragma once

#include <stdbool.h>

#include "base/list.h"
#include "base/result.h"
#include "base/time.h"
#include "runtime/colour.h"

struct loop;
struct coroutine;

struct scope {
    struct loop *loop;
    struct scope *parent;
    struct list siblings;         /* in parent->scopes */
    struct list scopes;           /* child scopes */
    struct list coroutines;       /* children that run */
    struct list joiners;          /* who waits for the last child to end */
    bool is_cancelled;
};

/* Embedded; on the calling loop. `parent` NULL: the loop's own scope. */
void scope_init(struct scope *s, struct scope *parent);
/* Starts run(argument) at the next turn of this loop. `name` is static, for diagnostics. Any code of the loop may call it. */
void coroutine_spawn(struct scope *s, const char *name, void (*run)(void *argument), void *argument);
void scope_cancel(struct scope *s);
bool scope_is_cancelled(const struct scope *s);
bool scope_is_empty(const struct scope *s);           /* no child coroutine, here or below */
/* Waits until no child runs. Not cut short by cancellation of the caller. */
MAY_YIELD void scope_join(struct scope *s);
/* Cancels, joins, unlinks. After it the memory may go. A scope without children may be ended by scope_unlink() outside a coroutine. */
MAY_YIELD void scope_done(struct scope *s);
void scope_unlink(struct scope *s);

bool coroutine_is_running(void);                       /* the caller is in a coroutine */
/* CANCELLED when the scope of the caller was cancelled, else OK. */
NODISCARD result coroutine_check(void);
MAY_YIELD NODISCARD result coroutine_sleep(int64_t duration_ms);
/* Gives others a turn and comes back. Cheap when nobody waits. */
MAY_YIELD void coroutine_pause(void);
/* True when the caller has held the loop for longer than is polite (2 ms): long loops then call coroutine_pause(). */
bool coroutine_is_overdue(void);

/*
 * waitlist: coroutines of one loop that wait for a condition. The waker changes the state, then wakes;
 * the woken re-check it. Wake-ups are not remembered.
 */
struct waitlist { struct list waiters; };
void waitlist_init(struct waitlist *w);
/* OK when woken, TIMEOUT, or CANCELLED. */
MAY_YIELD NODISCARD result waitlist_wait(struct waitlist *w, millis deadline);
/* The same, but deaf to cancellation: for a wait that must see its end because others write to our stack. */
MAY_YIELD void waitlist_wait_shielded(struct waitlist *w);
void waitlist_wake_one(struct waitlist *w);
void waitlist_wake_all(struct waitlist *w);
bool waitlist_is_empty(const struct waitlist *w);

/* mutex: first come, first served, among coroutines of one loop. For work that yields in its middle. */
struct mutex { bool is_locked; struct waitlist waiters; };
void mutex_init(struct mutex *m);
MAY_YIELD NODISCARD result mutex_lock(struct mutex *m, millis deadline);
void mutex_unlock(struct mutex *m);

/* completion: one result, set once on the same loop (post a task to get there), awaited by one coroutine. */
struct completion { bool is_set; result code; struct waitlist waiter; };
void completion_init(struct completion *c);
void completion_set(struct completion *c, result code);
MAY_YIELD result completion_wait(struct completion *c);        /* deaf to cancellation and time */

/* For `tayori` diagnostics: calls show() for each coroutine of the calling loop. */
void coroutine_each(void (*show)(void *context, const char *name, int64_t age_ms, const char *waits_for), void *context);
