/*
 * colour: what a function may do to whoever calls it, checked by clang (-Wthread-safety), empty under gcc.
 *
 * MAY_YIELD   runs in a coroutine and may give up the loop: whatever was read from shared state before
 *             it must be read again, or its version compared, after it.
 * BLOCKS      may stop the whole thread (fsync, RocksDB): only jobs of worker threads call it.
 *
 *     MAY_YIELD NODISCARD result stream_write(...);
 *
 * Between NO_YIELD_BEGIN and NO_YIELD_END a call of a MAY_YIELD function does not compile. Function
 * pointers are not checked: wrap each slot of a table of functions in a function with the colour.
 * An entry point (the function given to coroutine_spawn or worker_run) carries the colour itself.
 */
#pragma once

#if defined(__clang__)
struct __attribute__((capability("context"))) colour_context { char unused; };
extern struct colour_context colour_coroutine, colour_worker;
#define MAY_YIELD __attribute__((requires_capability(colour_coroutine)))
#define BLOCKS __attribute__((requires_capability(colour_worker)))
static inline void colour_hold(void) __attribute__((release_capability(colour_coroutine), no_thread_safety_analysis)) {}
static inline void colour_let(void) __attribute__((acquire_capability(colour_coroutine), no_thread_safety_analysis)) {}
/* For test code and main(), which are neither. */
static inline void colour_pretend_coroutine(void) __attribute__((assert_capability(colour_coroutine), no_thread_safety_analysis)) {}
static inline void colour_pretend_worker(void) __attribute__((assert_capability(colour_worker), no_thread_safety_analysis)) {}
#define NO_YIELD_BEGIN colour_hold();
#define NO_YIELD_END colour_let();
#else
#define MAY_YIELD
#define BLOCKS
static inline void colour_pretend_coroutine(void) {}
static inline void colour_pretend_worker(void) {}
#define NO_YIELD_BEGIN
#define NO_YIELD_END
#endif
