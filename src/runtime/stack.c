#include "runtime/stack.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/event.h"
#include "runtime/loop_private.h"
#include "runtime/sanitize.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

enum {
    PAGE_BYTES_MIN = 4096,
    LOOK_EVERY = 32,
    PROTECTED_MAX = 24000,           /* of the 32,765 that vm.max_map_count allows by default */
};

/* Stacks of this process that are guarded by mprotect(). */
static atomic_uint protected_stacks;

/*
 * Without MADV_GUARD_INSTALL each guard costs two of the kernel's mappings; at their limit nothing could be mapped at all.
 * False when enough were spent: the 64 KiB then are only a gap.
 */
static bool guard_install(struct stack *s, void *at)
{
    if (madvise(at, STACK_GUARD_BYTES, MADV_GUARD_INSTALL) == 0) return true;
    if (atomic_load(&protected_stacks) >= PROTECTED_MAX || mprotect(at, STACK_GUARD_BYTES, PROT_NONE) != 0) return false;
    atomic_fetch_add(&protected_stacks, 1);
    s->is_protected = true;
    return true;
}

/* Better a mail service whose stacks are unguarded under a flood than none. Said once for each loop. */
static void tell_unguarded(struct loop *l)
{
    if (l->lacks_guards) return;
    l->lacks_guards = true;
    EVENT_EMIT(COROUTINE_UNGUARDED, EVENT_NUMBER("coroutines", l->coroutine_count));
}

/*
 * Just below the part that stays warm: zero, as the kernel gave it, unless the stack was deeper. A look at it costs no memory,
 * as a mark that is written would.
 */
static const volatile uint64_t *canary_of(const struct stack *s)
{
    return (const uint64_t *)(const void *)((char *)s->low + STACK_BYTES - STACK_WARM_BYTES) - 1;
}

static struct stack *stack_map(struct loop *l)
{
    char *at = mmap(NULL, STACK_GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    check(at != MAP_FAILED);
    madvise(at, STACK_GUARD_BYTES + STACK_BYTES, MADV_NOHUGEPAGE);
    char *low = at + STACK_GUARD_BYTES;
    struct stack *s = (struct stack *)(void *)(low + STACK_BYTES - ((sizeof *s + 63) & ~(size_t)63));
    s->low = low;
    s->usable_bytes = (size_t)((char *)s - low);
    list_init(&s->node);
    if (!guard_install(s, at)) tell_unguarded(l);
    sanitize_stack_made(low, STACK_BYTES);
    return s;
}

static void stack_unmap(struct stack *s)
{
    char *low = s->low;
    sanitize_stack_ends(low, STACK_BYTES);
    if (s->is_protected) atomic_fetch_sub(&protected_stacks, 1);
    munmap(low - STACK_GUARD_BYTES, STACK_GUARD_BYTES + STACK_BYTES);
}

struct stack *stack_take(struct loop *l)
{
    struct list *node = list_pop(&l->free_stacks);
    struct stack *s;
    if (node) {
        l->free_stack_count--;
        s = container_of(node, struct stack, node);
    } else {
        s = stack_map(l);
    }
    return s;
}

static unsigned resident_kib(struct stack *s)
{
    unsigned char pages[STACK_BYTES / PAGE_BYTES_MIN];
    size_t page = (size_t)sysconf(_SC_PAGESIZE), count = STACK_BYTES / page, first = 0;
    if (mincore(s->low, STACK_BYTES, pages) != 0) return 0;
    while (first < count && !(pages[first] & 1)) first++;
    return (unsigned)((count - first) * page / 1024);
}

unsigned stack_give(struct loop *l, struct stack *s)
{
    unsigned kib = 0;
    sanitize_stack_unpoison(s->low, s->usable_bytes);
    if (++s->releases % LOOK_EVERY == 0 || *canary_of(s) != 0) kib = resident_kib(s);
    if (l->free_stack_count >= STACK_FREE_MAX) {
        stack_unmap(s);
        return kib;
    }
    if (kib > STACK_WARM_BYTES / 1024) madvise(s->low, STACK_BYTES - STACK_WARM_BYTES, MADV_DONTNEED);
    list_prepend(&l->free_stacks, &s->node);
    l->free_stack_count++;
    return kib;
}

void stack_free_all(struct loop *l)
{
    for (struct list *node; (node = list_pop(&l->free_stacks));) stack_unmap(container_of(node, struct stack, node));
    l->free_stack_count = 0;
}
