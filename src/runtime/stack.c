#include "runtime/stack.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/loop_private.h"
#include "runtime/sanitize.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

enum { PAGE_BYTES_MIN = 4096, LOOK_EVERY = 32 };

static void guard_install(void *at)
{
    if (madvise(at, STACK_GUARD_BYTES, MADV_GUARD_INSTALL) == 0) return;
    check(mprotect(at, STACK_GUARD_BYTES, PROT_NONE) == 0);
}

/*
 * Just below the part that stays warm: zero, as the kernel gave it, unless the stack was deeper. A look at it costs no memory,
 * as a mark that is written would.
 */
static const volatile uint64_t *canary_of(const struct stack *s)
{
    return (const uint64_t *)(const void *)((char *)s->low + STACK_BYTES - STACK_WARM_BYTES) - 1;
}

static struct stack *stack_map(void)
{
    char *at = mmap(NULL, STACK_GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    check(at != MAP_FAILED);
    madvise(at, STACK_GUARD_BYTES + STACK_BYTES, MADV_NOHUGEPAGE);
    guard_install(at);
    char *low = at + STACK_GUARD_BYTES;
    struct stack *s = (struct stack *)(void *)(low + STACK_BYTES - ((sizeof *s + 63) & ~(size_t)63));
    s->low = low;
    s->usable_bytes = (size_t)((char *)s - low);
    list_init(&s->node);
    sanitize_stack_made(low, STACK_BYTES);
    return s;
}

static void stack_unmap(struct stack *s)
{
    char *low = s->low;
    sanitize_stack_ends(low, STACK_BYTES);
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
        s = stack_map();
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
