/*
 * sanitize: what the sanitizers need to be told about stacks that are not the thread's. Nothing in other builds.
 *
 * ASan: start before a switch, finish after it, with a NULL save when the stack ends; a stack is unpoisoned before
 * it is used again. LSan: memory that only a stack refers to is found through a root region. TSan: one fiber per stack.
 */
#pragma once

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZE_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define SANITIZE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SANITIZE_TSAN 1
#endif
#endif

#ifdef SANITIZE_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
static inline void sanitize_stack_made(void *low, size_t bytes) { __lsan_register_root_region(low, bytes); }
static inline void sanitize_stack_ends(void *low, size_t bytes) { __lsan_unregister_root_region(low, bytes); }
static inline void sanitize_stack_unpoison(void *low, size_t bytes) { __asan_unpoison_memory_region(low, bytes); }
static inline void sanitize_switch_begins(void **save, const void *to_low, size_t to_bytes)
{
    __sanitizer_start_switch_fiber(save, to_low, to_bytes);
}
static inline void sanitize_switch_ended(void *save, const void **from_low, size_t *from_bytes)
{
    __sanitizer_finish_switch_fiber(save, from_low, from_bytes);
}
#else
static inline void sanitize_stack_made(void *low, size_t bytes) { (void)low, (void)bytes; }
static inline void sanitize_stack_ends(void *low, size_t bytes) { (void)low, (void)bytes; }
static inline void sanitize_stack_unpoison(void *low, size_t bytes) { (void)low, (void)bytes; }
static inline void sanitize_switch_begins(void **save, const void *to_low, size_t to_bytes) { (void)save, (void)to_low, (void)to_bytes; }
static inline void sanitize_switch_ended(void *save, const void **from_low, size_t *from_bytes)
{
    (void)save, (void)from_low, (void)from_bytes;
}
#endif

#ifdef SANITIZE_TSAN
#include <sanitizer/tsan_interface.h>
static inline void *sanitize_fiber_new(void) { return __tsan_create_fiber(0); }
static inline void sanitize_fiber_free(void *fiber) { if (fiber) __tsan_destroy_fiber(fiber); }
static inline void *sanitize_fiber_self(void) { return __tsan_get_current_fiber(); }
static inline void sanitize_fiber_switch(void *fiber) { __tsan_switch_to_fiber(fiber, 0); }
#else
static inline void *sanitize_fiber_new(void) { return NULL; }
static inline void sanitize_fiber_free(void *fiber) { (void)fiber; }
static inline void *sanitize_fiber_self(void) { return NULL; }
static inline void sanitize_fiber_switch(void *fiber) { (void)fiber; }
#endif
