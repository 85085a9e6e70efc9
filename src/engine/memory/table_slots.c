/* The memory engine's tables. */
#include <stdlib.h>

#include "base/check.h"
#include "engine/memory/memory_private.h"

uint32_t memory_table_shards(const struct engine *e, view table) { return MEMORY_SHARDS; }

result memory_table_get(struct engine *base, view table, uint32_t shard, view key, millis deadline, struct arena *arena, view *ret_value,
                        struct fault *fault)
{
    colour_pretend_coroutine();
    struct memory_engine *e = memory_of(base);
    view value = VIEW_EMPTY;
    char name[ENGINE_TABLE_NAME_MAX_BYTES + 16];
    result code = memory_read_begin(e, MEMORY_TABLE_GET, stored_shard_name(name, sizeof name, table, shard), deadline, fault);
    if (code != OK) return code;
    const struct stored_shard *rows = store_shard(e->store, table, shard);
    size_t at = rows ? stored_shard_find(rows, key, false) : 0;
    if (rows && at < rows->count && view_equal(buf_view(&rows->rows[at].key), key)) value = arena_keep(arena, buf_view(&rows->rows[at].value));
    else code = fail(fault, NOT_FOUND, "no such row");
    code = memory_read_end(e, code, fault);
    if (code == OK) *ret_value = value;
    return code;
}

result memory_table_scan(struct engine *base, view table, uint32_t shard, view prefix, view after, size_t max, millis deadline,
                         struct arena *arena, struct table_row **ret_rows, size_t *ret_count, struct fault *fault)
{
    colour_pretend_coroutine();
    struct memory_engine *e = memory_of(base);
    char name[ENGINE_TABLE_NAME_MAX_BYTES + 16];
    result code = memory_read_begin(e, MEMORY_TABLE_SCAN, stored_shard_name(name, sizeof name, table, shard), deadline, fault);
    if (code != OK) return code;
    const struct stored_shard *rows = store_shard(e->store, table, shard);
    size_t first = 0, end = 0;
    if (rows) {
        first = view_compare(after, prefix) > 0 || (after.len && view_equal(after, prefix)) ? stored_shard_find(rows, after, true) : stored_shard_find(rows, prefix, false);
        end = first;
        while (end < rows->count && end - first < max && view_starts(buf_view(&rows->rows[end].key), prefix)) end++;
    }
    struct table_row *found = arena_array(arena, struct table_row, end - first + 1);
    for (size_t i = first; i < end; i++) {
        found[i - first].key = arena_keep(arena, buf_view(&rows->rows[i].key));
        found[i - first].value = arena_keep(arena, buf_view(&rows->rows[i].value));
    }
    code = memory_read_end(e, OK, fault);
    if (code != OK) return code;
    *ret_rows = found;
    *ret_count = end - first;
    return OK;
}

result memory_table_batch(struct engine *e, view table, uint32_t shard, const struct table_change *changes, size_t count,
                          millis deadline, size_t *ret_failed, struct fault *fault)
{
    colour_pretend_coroutine();
    char name[ENGINE_TABLE_NAME_MAX_BYTES + 16];
    struct change *c = change_new(MEMORY_TABLE_BATCH);
    buf_append(&c->name, stored_shard_name(name, sizeof name, table, shard));
    c->rows = calloc(count, sizeof *c->rows);
    check(c->rows);
    c->row_count = count;
    for (size_t i = 0; i < count; i++) {
        c->rows[i].what = changes[i];
        buf_append(&c->rows[i].key, changes[i].key);
        if (changes[i].what == TABLE_PUT) buf_append(&c->rows[i].value, changes[i].value);
        if (changes[i].condition == TABLE_IF_VALUE) buf_append(&c->rows[i].expected, changes[i].expected);
    }
    result code = memory_change(memory_of(e), c, deadline, &c, fault);
    if (code != OK && code != CONFLICT) return code;
    if (code == CONFLICT) {
        if (ret_failed) *ret_failed = c->failed_row;
        (void)!fail(fault, CONFLICT, "a condition of the batch does not hold");
    }
    change_free(c);
    return code;
}
