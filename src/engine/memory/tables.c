/* Tables of a memory store: each shard an array of rows in order of key. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "engine/memory/store.h"

view stored_shard_name(char *name, size_t size, view table, uint32_t shard)
{
    return view_make(name, (size_t)snprintf(name, size, VIEW_FMT "/%" PRIu32, VIEW_ARG(table), shard));
}

struct stored_shard *store_shard(struct memory_store *s, view table, uint32_t shard)
{
    char name[sizeof((struct stored_shard *)0)->name];
    return map_get(&s->shards, stored_shard_name(name, sizeof name, table, shard));
}

static struct stored_shard *shard_make(struct memory_store *s, view name)
{
    struct stored_shard *shard = map_get(&s->shards, name);
    if (shard) return shard;
    shard = calloc(1, sizeof *shard);
    check(shard && name.len < sizeof shard->name);
    memcpy(shard->name, name.at, name.len);
    map_put(&s->shards, view_of(shard->name), shard);
    return shard;
}

void stored_shard_free(struct stored_shard *shard)
{
    for (size_t i = 0; i < shard->count; i++) {
        buf_done(&shard->rows[i].key);
        buf_done(&shard->rows[i].value);
    }
    free(shard->rows);
    free(shard);
}

size_t stored_shard_find(const struct stored_shard *shard, view key, bool after)
{
    size_t low = 0, high = shard->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = view_compare(buf_view(&shard->rows[middle].key), key);
        if (order < 0 || (after && order == 0)) low = middle + 1;
        else high = middle;
    }
    return low;
}

static struct stored_row *row_of(const struct stored_shard *shard, view key)
{
    size_t at = stored_shard_find(shard, key, false);
    return at < shard->count && view_equal(buf_view(&shard->rows[at].key), key) ? &shard->rows[at] : NULL;
}

static bool holds(const struct stored_shard *shard, const struct change_row *r)
{
    const struct stored_row *row = row_of(shard, buf_view(&r->key));
    switch (r->what.condition) {
    case TABLE_IF_ANY: return true;
    case TABLE_IF_ABSENT: return row == NULL;
    case TABLE_IF_PRESENT: return row != NULL;
    case TABLE_IF_VALUE: return row && view_equal(buf_view(&row->value), buf_view(&r->expected));
    }
    unreachable();
}

static void put_row(struct stored_shard *shard, struct change_row *r)
{
    struct stored_row *row = row_of(shard, buf_view(&r->key));
    if (!row) {
        size_t at = stored_shard_find(shard, buf_view(&r->key), false);
        if (shard->count == shard->capacity) {
            shard->capacity = shard->capacity ? 2 * shard->capacity : 8;
            shard->rows = realloc(shard->rows, shard->capacity * sizeof *shard->rows);
            check(shard->rows);
        }
        memmove(shard->rows + at + 1, shard->rows + at, (shard->count - at) * sizeof *shard->rows);
        shard->count++;
        row = &shard->rows[at];
        *row = (struct stored_row){r->key, BUF_INIT};
        r->key = BUF_INIT;
    }
    buf_done(&row->value);
    row->value = r->value;
    r->value = BUF_INIT;
}

static void remove_row(struct stored_shard *shard, view key)
{
    struct stored_row *row = row_of(shard, key);
    if (!row) return;
    buf_done(&row->key);
    buf_done(&row->value);
    size_t at = (size_t)(row - shard->rows);
    memmove(row, row + 1, (shard->count - at - 1) * sizeof *row);
    shard->count--;
}

/* All conditions look at the shard as it was before the batch. */
void store_apply_batch(struct memory_store *s, struct change *c)
{
    struct stored_shard *shard = shard_make(s, buf_view(&c->name));
    c->code = CONFLICT;
    for (c->failed_row = 0; c->failed_row < c->row_count; c->failed_row++)
        if (!holds(shard, &c->rows[c->failed_row])) return;
    for (size_t i = 0; i < c->row_count; i++) {
        if (c->rows[i].what.what == TABLE_PUT) put_row(shard, &c->rows[i]);
        else if (c->rows[i].what.what == TABLE_REMOVE) remove_row(shard, buf_view(&c->rows[i].key));
    }
    c->code = OK;
}
