/* The first frame of a new stack, as context_switch() of switch_*.S expects to find it. */
#include <stdint.h>
#include <string.h>

#include "runtime/context.h"

void context_start(void);

#if defined(__x86_64__)
enum { SAVED_WORDS = 9, AT_FUNCTION = 3, AT_ARGUMENT = 2, AT_RETURN = 6 };
#elif defined(__aarch64__)
enum { SAVED_WORDS = 20, AT_FUNCTION = 0, AT_ARGUMENT = 1, AT_RETURN = 11 };
#else
#error "no assembly for this processor: configure with -Dcoroutine_switch=ucontext"
#endif

void *context_make(void *stack_low, size_t stack_bytes, void (*entry)(void *argument), void *argument)
{
    uintptr_t top = ((uintptr_t)stack_low + stack_bytes) & ~(uintptr_t)15;
    uintptr_t *words = (uintptr_t *)top - SAVED_WORDS;
    memset(words, 0, SAVED_WORDS * sizeof *words);
    words[AT_FUNCTION] = (uintptr_t)entry;
    words[AT_ARGUMENT] = (uintptr_t)argument;
    words[AT_RETURN] = (uintptr_t)context_start;
    return words;
}
