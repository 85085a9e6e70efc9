/* The portable back end of context.h: twenty times slower (it saves the signal mask by system calls). */
#include <stdint.h>
#include <ucontext.h>

#include "runtime/context.h"

/* A context that is switched out is a ucontext_t on its own stack; the first one stands at the top of a new stack. */
struct start { void (*entry)(void *argument); void *argument; ucontext_t context; };

static void start(unsigned high, unsigned low)
{
    struct start *s = (struct start *)(((uintptr_t)high << 16 << 16) | (uintptr_t)low);
    s->entry(s->argument);
}

void *context_make(void *stack_low, size_t stack_bytes, void (*entry)(void *argument), void *argument)
{
    struct start *s = (struct start *)(((uintptr_t)stack_low + stack_bytes - sizeof *s) & ~(uintptr_t)63);
    s->entry = entry;
    s->argument = argument;
    getcontext(&s->context);
    s->context.uc_stack.ss_sp = stack_low;
    s->context.uc_stack.ss_size = (size_t)((char *)s - (char *)stack_low);
    s->context.uc_link = NULL;
    uintptr_t at = (uintptr_t)s;
    makecontext(&s->context, (void (*)(void))start, 2, (unsigned)(at >> 16 >> 16), (unsigned)(at & 0xffffffffu));
    return &s->context;
}

void context_switch(void **from, void *to)
{
    ucontext_t here;
    *from = &here;
    swapcontext(&here, to);
}
