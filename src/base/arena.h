/*
 * arena: memory with one end.
 *
 * Arenas form a tree (connection > session > command) and are passed explicitly; there is no current
 * arena, because coroutines interleave. All that was allocated ends with arena_reset() or arena_free().
 * Each arena has a budget in bytes: arena_alloc() over budget is a missing limit in the caller and
 * aborts; sizes that come from outside use arena_try_alloc() or are checked against a limit first.
 * An arena that holds nothing costs its struct and no block.
 */
#pragma once

#include "base/view.h"

struct arena;

/* `parent` may be NULL; freeing a parent frees its children first. */
struct arena *arena_new(struct arena *parent, size_t budget_bytes);
void arena_free(struct arena *a);                      /* NULL is fine */
void arena_freep(struct arena **a);                    /* for CLEANUP() */
void arena_reset(struct arena *a);                     /* ends all allocations and children; keeps at most one small block */
size_t arena_used(const struct arena *a);              /* bytes handed out since the last reset */

/* Zeroed memory, aligned for any type. Never NULL. */
void *arena_alloc(struct arena *a, size_t size_bytes) __attribute__((returns_nonnull, malloc));
void *arena_try_alloc(struct arena *a, size_t size_bytes); /* NULL when over budget */

#define arena_new_struct(a, type) ((type *)arena_alloc((a), sizeof(type)))
/* A zeroed array; aborts on overflow or over budget. */
#define arena_array(a, type, count) ((type *)arena_alloc_array((a), sizeof(type), (count)))
void *arena_alloc_array(struct arena *a, size_t size_bytes, size_t count) __attribute__((returns_nonnull));

view arena_keep(struct arena *a, view v);              /* a copy that lives as long as the arena */
char *arena_cstr(struct arena *a, view v);             /* the same, NUL-terminated, for libraries */
view arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
