#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "engine/local/local_private.h"

/* One store has them all: their number matters to nobody. */
uint32_t local_table_shards(const struct engine *base, view table) { return LOCAL_TABLE_SHARDS; }

/* ---- get -------------------------------------------------------------------------------------------------- */

struct row_read {
    struct local_read read;
    struct table_key key;
    buf value;
};

static void run_get(struct local_read *r)
{
    struct row_read *row = container_of(r, struct row_read, read);
    r->code = rocks_get(&r->engine->rocks, FAMILY_TABLES, table_key_view(&row->key), 0, SIZE_MAX, r->only_cached, &row->value, r->fault);
}

result local_table_get(struct engine *base, view table, uint32_t shard, view key, millis deadline, struct arena *arena, view *ret_value,
                       struct fault *fault)
{
    struct row_read row = {.read = {.engine = local_of(base), .deadline = deadline, .fault = fault, .run = run_get}};
    char *value;
    table_key_make(&row.key, table, shard, key);
    result code = local_read_run(&row.read);
    if (code == NOT_FOUND) (void)fail(fault, NOT_FOUND, "no such row in table " VIEW_FMT, VIEW_ARG(table));
    if (code == OK) code = local_keep(arena, &row.value, &value, fault);
    if (code == OK) *ret_value = view_make(value, row.value.len);
    buf_done(&row.value);
    return code;
}

/* ---- scan ------------------------------------------------------------------------------------------------- */

struct scan_read {
    struct local_read read;
    struct table_key prefix, after;
    size_t key_start;                /* of the caller's key in a row's */
    bool has_after;
    size_t max, count;
    buf bytes;                       /* key and value of each row */
    buf lengths;                     /* two of each */
};

static void gather(struct scan_read *s, view key, view value)
{
    size_t lengths[2] = {key.len, value.len};
    buf_append(&s->bytes, key);
    buf_append(&s->bytes, value);
    buf_append(&s->lengths, view_make(lengths, sizeof lengths));
    s->count++;
}

static void run_scan(struct local_read *r)
{
    struct scan_read *s = container_of(r, struct scan_read, read);
    struct rocks_walk w;
    view prefix = table_key_view(&s->prefix), after = table_key_view(&s->after);
    buf_clear(&s->bytes);
    buf_clear(&s->lengths);
    s->count = 0;
    rocks_walk_begin(&w, &r->engine->rocks, FAMILY_TABLES, prefix, false, r->only_cached);
    bool is_further = s->has_after && view_compare(after, prefix) > 0;
    bool any = rocks_walk_seek(&w, is_further ? after : prefix);
    if (any && s->has_after && view_equal(rocks_walk_key(&w), after)) any = rocks_walk_next(&w);
    for (; any && s->count < s->max; any = rocks_walk_next(&w)) gather(s, view_from(rocks_walk_key(&w), s->key_start), rocks_walk_value(&w));
    r->code = rocks_walk_result(&w, r->fault);
    rocks_walk_end(&w);
}

static result keep_rows(const struct scan_read *s, struct arena *arena, struct table_row **ret_rows, struct fault *fault)
{
    char *at;
    struct table_row *rows = arena_try_alloc(arena, (s->count + 1) * sizeof *rows);
    result code = rows ? local_keep(arena, &s->bytes, &at, fault) : fail(fault, TOO_BIG, "no room for %zu rows", s->count);
    if (code != OK) return code;
    for (size_t i = 0; i < s->count; i++) {
        size_t lengths[2];
        memcpy(lengths, s->lengths.at + i * sizeof lengths, sizeof lengths);
        rows[i] = (struct table_row){view_make(at, lengths[0]), view_make(at + lengths[0], lengths[1])};
        at += lengths[0] + lengths[1];
    }
    *ret_rows = rows;
    return OK;
}

result local_table_scan(struct engine *base, view table, uint32_t shard, view prefix, view after, size_t max, millis deadline,
                        struct arena *arena, struct table_row **ret_rows, size_t *ret_count, struct fault *fault)
{
    struct scan_read s = {.read = {.engine = local_of(base), .deadline = deadline, .fault = fault, .run = run_scan}, .max = max};
    if (prefix.len > ENGINE_KEY_MAX_BYTES || after.len > ENGINE_KEY_MAX_BYTES) return fail(fault, TOO_BIG, "prefix of a scan");
    table_key_make(&s.prefix, table, shard, prefix);
    table_key_make(&s.after, table, shard, after);
    s.key_start = s.prefix.len - prefix.len;
    s.has_after = after.len > 0;
    result code = local_read_run(&s.read);
    if (code == OK) code = keep_rows(&s, arena, ret_rows, fault);
    if (code == OK) *ret_count = s.count;
    buf_done(&s.bytes);
    buf_done(&s.lengths);
    return code;
}

/* ---- batch ------------------------------------------------------------------------------------------------ */

result local_table_batch(struct engine *base, view table, uint32_t shard, const struct table_change *changes, size_t count, millis deadline,
                         size_t *ret_failed, struct fault *fault)
{
    struct change c = {.kind = CHANGE_TABLE, .deadline = deadline, .fault = fault, .table = table, .shard = shard, .changes = changes, .count = count};
    result code = change_commit(local_of(base), &c);
    if (code == CONFLICT && ret_failed) *ret_failed = c.failed;
    return code;
}
