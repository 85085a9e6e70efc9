#include "base/map.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"

void map_done(struct map *m)
{
    free(m->slots);
    *m = MAP_INIT;
}

static size_t find_slot(const struct map *m, view key, uint64_t hash)
{
    size_t at = (size_t)hash & (m->capacity - 1);
    while (m->slots[at].value && !(m->slots[at].hash == hash && view_equal(m->slots[at].key, key)))
        at = (at + 1) & (m->capacity - 1);
    return at;
}

void *map_get(const struct map *m, view key)
{
    return m->count ? m->slots[find_slot(m, key, hash_bytes(key))].value : NULL;
}

static void grow(struct map *m)
{
    struct map bigger = {.capacity = m->capacity ? m->capacity * 2 : 16, .count = m->count};
    bigger.slots = calloc(bigger.capacity, sizeof *bigger.slots);
    check(bigger.slots != NULL);
    for (size_t i = 0; i < m->capacity; i++)
        if (m->slots[i].value) bigger.slots[find_slot(&bigger, m->slots[i].key, m->slots[i].hash)] = m->slots[i];
    free(m->slots);
    *m = bigger;
}

void *map_put(struct map *m, view key, void *value)
{
    check(value != NULL);
    if (m->count * 4 >= m->capacity * 3) grow(m);
    uint64_t hash = hash_bytes(key);
    struct map_slot *slot = &m->slots[find_slot(m, key, hash)];
    void *replaced = slot->value;
    if (!replaced) m->count++;
    *slot = (struct map_slot){hash, key, value};
    return replaced;
}

void *map_remove(struct map *m, view key)
{
    if (m->count == 0) return NULL;
    size_t mask = m->capacity - 1;
    size_t hole = find_slot(m, key, hash_bytes(key));
    void *removed = m->slots[hole].value;
    if (!removed) return NULL;
    m->count--;
    for (size_t at = (hole + 1) & mask; m->slots[at].value; at = (at + 1) & mask) {
        size_t home = (size_t)m->slots[at].hash & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            m->slots[hole] = m->slots[at];
            hole = at;
        }
    }
    m->slots[hole] = (struct map_slot){0};
    return removed;
}

struct map_slot *map_next(const struct map *m, size_t *position)
{
    while (*position < m->capacity) {
        struct map_slot *slot = &m->slots[(*position)++];
        if (slot->value) return slot;
    }
    return NULL;
}
