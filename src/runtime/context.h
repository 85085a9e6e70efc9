/*
 * context: switching between stacks, the one part that is made of assembly.
 *
 * context_switch() saves the caller's callee-saved registers on its stack, stores the stack pointer in *from and
 * continues at `to`. The floating-point control words are not saved: nobody here changes them. Two back ends of the same
 * interface: switch_*.S and, for other processors and as a cross-check (-Dcoroutine_switch=ucontext),
 * context_ucontext.c.
 */
#pragma once

#include <stddef.h>

/* A context that calls entry(argument) on the given stack at its first switch. entry() never returns. */
void *context_make(void *stack_low, size_t stack_bytes, void (*entry)(void *argument), void *argument);
void context_switch(void **from, void *to);
