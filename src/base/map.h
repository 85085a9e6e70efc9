/*
 * map: a hash table from bytes to a pointer.
 *
 * Open addressing with backward-shift deletion; keyed SipHash, so that chosen keys do not collide on
 * purpose. Keys are borrowed: the value must keep them alive (usually the key is a member of the
 * value). Not for more than 2^31 entries. Iteration order is unspecified; no insertion or removal
 * while iterating.
 */
#pragma once

#include "base/view.h"

struct map {
    struct map_slot *slots;
    size_t capacity;           /* a power of two, or 0 */
    size_t count;
};

struct map_slot {
    uint64_t hash;
    view key;
    void *value;               /* NULL: free slot */
};

#define MAP_INIT ((struct map){0})

void map_done(struct map *m);
void *map_get(const struct map *m, view key);                /* NULL when absent */
void *map_put(struct map *m, view key, void *value);         /* the value that was replaced, or NULL */
void *map_remove(struct map *m, view key);                   /* the value that was removed, or NULL */
/* Next used slot at or after *position, which starts at 0; NULL at the end. */
struct map_slot *map_next(const struct map *m, size_t *position);
