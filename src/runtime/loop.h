/*
 * loop: one event loop to a core, and what belongs to it.
 *
 * A loop runs coroutines and callbacks on one thread. Loops share nothing; they speak by loop_post()
 * alone, which is also the only way that worker threads reach a loop. In the simulator several loops
 * (and several nodes with loops of their own) run on one thread; the code above cannot tell.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/result.h"
#include "base/time.h"
#include "runtime/colour.h"

struct loop;
struct loops;      /* all loops of one node */
struct scope;

/* The loop that runs the caller. NULL on a thread that has none. */
struct loop *loop_self(void);
struct loops *loop_family(struct loop *l);
unsigned loops_count(const struct loops *all);
struct loop *loops_at(struct loops *all, unsigned index);
unsigned loop_index(const struct loop *l);
/* The scope that lives as long as the loop: parent of all others on it. */
struct scope *loop_scope(struct loop *l);

/*
 * A message to a loop. The sender owns the memory until run() is called on the target's thread, outside
 * any coroutine; run() must not block. Posting never fails and takes no lock that a slow loop holds.
 * Tasks from one thread to one loop run in the order of their posting.
 */
struct task {
    struct task *next;            /* the runtime's */
    void (*run)(struct task *t);
};
void loop_post(struct loop *target, struct task *t);

/*
 * The longest turn that the loop has taken in the last ten to twenty seconds, in microseconds: as long others on it have waited. `cpu_us`: what of it
 * it computed, which a loaded machine does not stretch; measured in builds for tests alone, else 0. Both 0 in the simulator. Any thread.
 */
struct loop_turn { int64_t wall_us, cpu_us; };
struct loop_turn loop_longest_turn(const struct loop *l);
/* Of all loops of the family. */
struct loop_turn loops_longest_turn(const struct loops *all);

/*
 * Runs run(argument) as a coroutine of `target` and returns when it has ended: the way to do something
 * at an account's home loop. Not cut short by cancellation, because argument usually stands on the
 * caller's stack; run() bounds itself by deadlines. On the same loop it is a plain call.
 */
MAY_YIELD void loop_run_on(struct loop *target, const char *name, void (*run)(void *argument), void *argument);

/* A callback of the loop when a time has come. Embedded; not armed when zeroed by timer_init(). */
struct timer {
    void *handle;                 /* the runtime's */
    void (*run)(struct timer *t); /* outside any coroutine; must not block; may free the timer's memory */
    millis due;
    bool armed;
    size_t heap_index;
    struct loop *owner;
};
void timer_init(struct timer *t, void (*run)(struct timer *t));
/* (Re-)arms on the calling loop. A time in the past fires at the next turn. */
void timer_arm(struct timer *t, millis due);
void timer_disarm(struct timer *t);
