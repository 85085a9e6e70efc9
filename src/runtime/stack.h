/*
 * stack: memory for coroutines.
 *
 * 256 KiB of address space each with a 64 KiB guard below, of which only touched pages cost memory. The guard is
 * made by MADV_GUARD_INSTALL where the kernel has it (Linux 6.13), because mprotect() splits mappings and the default
 * vm.max_map_count ends that at 32,754 stacks. A loop keeps some stacks warm; pages below their first 16 KiB go back to
 * the kernel, checked at each release by a canary and now and then exactly.
 */
#pragma once

#include <stddef.h>

#include "base/list.h"

enum {
    STACK_BYTES = 256 * 1024,
    STACK_GUARD_BYTES = 64 * 1024,   /* libraries are built without -fstack-clash-protection: their frames may skip a page */
    STACK_WARM_BYTES = 16 * 1024,    /* kept resident in a free stack */
    STACK_FREE_MAX = 128,            /* kept by a loop */
};

struct loop;

/* At the high end of each stack; what runs on it lies below. */
struct stack {
    struct list node;                /* in loop->free_stacks */
    void *low;                       /* of the usable part */
    size_t usable_bytes;             /* up to this struct */
    unsigned releases;
    bool is_protected;               /* its guard is made by mprotect() */
    void *fiber;                     /* for TSan */
};

struct stack *stack_take(struct loop *l);
/* How many KiB were touched, if it was looked at this time, else 0. */
unsigned stack_give(struct loop *l, struct stack *s);
void stack_free_all(struct loop *l);
