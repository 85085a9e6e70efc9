/* Open addressing with backward-shift deletion, three quarters full at most. */
#include "flow/queue_index.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "flow/queue_private.h"

enum { CAPACITY_MIN = 16 };

void queue_index_done(struct queue_index *x)
{
    free(x->slots);
    *x = (struct queue_index){0};
}

static size_t home_of(const struct queue_index *x, const struct queued *m) { return (size_t)hash_bytes(id_view(&m->message)) & (x->capacity - 1); }

struct queued *queue_index_find(const struct queue_index *x, struct id message)
{
    if (x->count == 0) return NULL;
    size_t at = (size_t)hash_bytes(id_view(&message)) & (x->capacity - 1);
    while (x->slots[at] && !id_equal(x->slots[at]->message, message)) at = (at + 1) & (x->capacity - 1);
    return x->slots[at];
}

static void put(struct queue_index *x, struct queued *m)
{
    size_t at = home_of(x, m);
    while (x->slots[at]) at = (at + 1) & (x->capacity - 1);
    x->slots[at] = m;
}

static void resize(struct queue_index *x, size_t capacity)
{
    struct queue_index resized = {.capacity = capacity, .count = x->count};
    resized.slots = calloc(capacity, sizeof(struct queued *));
    check(resized.slots);
    for (size_t i = 0; i < x->capacity; i++)
        if (x->slots[i]) put(&resized, x->slots[i]);
    free(x->slots);
    *x = resized;
}

void queue_index_add(struct queue_index *x, struct queued *m)
{
    if ((x->count + 1) * 4 > x->capacity * 3) resize(x, x->capacity ? 2 * x->capacity : CAPACITY_MIN);
    x->count++;
    put(x, m);
}

void queue_index_remove(struct queue_index *x, const struct queued *m)
{
    size_t mask = x->capacity - 1, hole = home_of(x, m);
    while (x->slots[hole] != m) {
        check(x->slots[hole]);
        hole = (hole + 1) & mask;
    }
    for (size_t at = (hole + 1) & mask; x->slots[at]; at = (at + 1) & mask) {
        if (((at - home_of(x, x->slots[at])) & mask) < ((at - hole) & mask)) continue;
        x->slots[hole] = x->slots[at];
        hole = at;
    }
    x->slots[hole] = NULL;
    x->count--;
    if (x->count * 8 < x->capacity && x->capacity > CAPACITY_MIN) resize(x, x->capacity / 2);
}
