#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum {
    BLOCK_FIRST = 1024,      /* bytes of the first block; each further one doubles */
    BLOCK_MAX = 64 * 1024,
    BLOCK_KEPT = 4096,       /* a larger first block is not kept over a reset */
    ALIGNMENT = 16,
};

struct block {
    struct block *older;
    size_t size;
    size_t used;
    char bytes[] __attribute__((aligned(ALIGNMENT)));
};

struct arena {
    struct block *newest;
    struct arena *parent, *first_child, *next_sibling, *previous_sibling;
    size_t used, budget;
};

struct arena *arena_new(struct arena *parent, size_t budget_bytes)
{
    struct arena *a = calloc(1, sizeof *a);
    check(a != NULL);
    a->budget = budget_bytes;
    a->parent = parent;
    if (parent) {
        a->next_sibling = parent->first_child;
        if (a->next_sibling) a->next_sibling->previous_sibling = a;
        parent->first_child = a;
    }
    return a;
}

static void free_children(struct arena *a)
{
    while (a->first_child) arena_free(a->first_child);
}

void arena_reset(struct arena *a)
{
    free_children(a);
    while (a->newest && (a->newest->older || a->newest->size > BLOCK_KEPT)) {
        struct block *b = a->newest;
        a->newest = b->older;
        free(b);
    }
    if (a->newest) a->newest->used = 0;
    a->used = 0;
}

void arena_free(struct arena *a)
{
    if (!a) return;
    free_children(a);
    while (a->newest) {
        struct block *b = a->newest;
        a->newest = b->older;
        free(b);
    }
    if (a->parent && a->parent->first_child == a) a->parent->first_child = a->next_sibling;
    if (a->previous_sibling) a->previous_sibling->next_sibling = a->next_sibling;
    if (a->next_sibling) a->next_sibling->previous_sibling = a->previous_sibling;
    free(a);
}

void arena_freep(struct arena **a)
{
    arena_free(*a);
    *a = NULL;
}

size_t arena_used(const struct arena *a)
{
    return a->used;
}

static void add_block(struct arena *a, size_t need)
{
    size_t size = a->newest ? a->newest->size * 2 : BLOCK_FIRST;
    if (size > BLOCK_MAX) size = BLOCK_MAX;
    if (size < need) size = need;
    struct block *b = malloc(sizeof *b + size);
    check(b != NULL);
    *b = (struct block){.older = a->newest, .size = size};
    a->newest = b;
}

void *arena_try_alloc(struct arena *a, size_t size_bytes)
{
    if (size_bytes > a->budget - a->used || a->used > a->budget) return NULL;
    size_t need = (size_bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (need == 0) need = ALIGNMENT;
    if (!a->newest || a->newest->size - a->newest->used < need) add_block(a, need);
    void *memory = a->newest->bytes + a->newest->used;
    a->newest->used += need;
    a->used += size_bytes;
    return memset(memory, 0, need);
}

void *arena_alloc(struct arena *a, size_t size_bytes)
{
    void *memory = arena_try_alloc(a, size_bytes);
    check(memory != NULL);
    return memory;
}

void *arena_alloc_array(struct arena *a, size_t size_bytes, size_t count)
{
    size_t total;
    check(!__builtin_mul_overflow(size_bytes, count, &total));
    return arena_alloc(a, total);
}

view arena_keep(struct arena *a, view v)
{
    if (v.len == 0) return VIEW_EMPTY;
    return view_make(memcpy(arena_alloc(a, v.len), v.at, v.len), v.len);
}

char *arena_cstr(struct arena *a, view v)
{
    char *copy = arena_alloc(a, v.len + 1);
    if (v.len) memcpy(copy, v.at, v.len);
    return copy;
}

view arena_printf(struct arena *a, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int need = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    check(need >= 0);
    char *text = arena_alloc(a, (size_t)need + 1);
    va_start(arguments, format);
    vsnprintf(text, (size_t)need + 1, format, arguments);
    va_end(arguments);
    return view_make(text, (size_t)need);
}
