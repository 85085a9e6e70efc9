/*
 * Tables: a shard is an object of the replicated pool, its rows are the object's omap. A batch is one operation of it: the conditions,
 * then the changes.
 *
 * librados begins a scan after a C string, so keys are written without NUL, in a way that keeps their order: 00 as 01 01, 01 as 01 02.
 * A condition on a row that is not there sees an empty value, so values begin with a byte, their version.
 */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "engine/rados/rados_private.h"

enum {
    VALUE_VERSION = 1,
    CODED_KEY_BYTES = 2 * ENGINE_KEY_MAX_BYTES + 1,
    SHARD_NAME_BYTES = ENGINE_TABLE_NAME_MAX_BYTES + 16,
    FIRST_PAGE_ROWS = 64,
    PAGE_ROWS_MAX = 1024,                /* the cluster gives no more at once */
    PAGE_BYTES = 1 << 20,                /* aimed at: rows may have a megabyte each */
};

uint32_t cluster_table_shards(const struct engine *base, view table) { return rados_of(base)->layout.table_shards; }

/* ---- names and keys ---------------------------------------------------------------------------------------- */

/* Table names have no dot. */
static view shard_name(view table, uint32_t shard, char into[static SHARD_NAME_BYTES])
{
    return view_make(into, (size_t)snprintf(into, SHARD_NAME_BYTES, VIEW_FMT ".%u", VIEW_ARG(table), shard));
}

/* NUL-terminated. Returns its length. */
static size_t code_key(view key, char into[static CODED_KEY_BYTES])
{
    size_t len = 0;
    for (size_t i = 0; i < key.len; i++) {
        bool is_coded = (unsigned char)key.at[i] <= 1;
        if (is_coded) into[len++] = 1;
        into[len++] = is_coded ? (char)(key.at[i] + 1) : key.at[i];
    }
    into[len] = '\0';
    return len;
}

/* `into` has room for the coded key's length. False: not one that code_key() made. */
static bool decode_key(view coded, char *into, size_t *ret_len)
{
    size_t len = 0;
    for (size_t i = 0; i < coded.len; i++) {
        if (coded.at[i] != 1) {
            into[len++] = coded.at[i];
            continue;
        }
        if (++i == coded.len || (coded.at[i] != 1 && coded.at[i] != 2)) return false;
        into[len++] = (char)(coded.at[i] - 1);
    }
    *ret_len = len;
    return true;
}

static result corrupt_row(view table, uint32_t shard, struct fault *fault)
{
    return fail(fault, CORRUPT, "table " VIEW_FMT ", shard %u: a row that is not of this format", VIEW_ARG(table), shard);
}

/* ---- get --------------------------------------------------------------------------------------------------- */

/* What a step that reads rows writes to; in the operation's memory. */
struct rows_read {
    rados_omap_iter_t rows;
    unsigned char more;
    int returned;
};

static void end_rows(void *memory)
{
    struct rows_read *r = memory;
    if (r->rows) rados_omap_get_end(r->rows);
}

static struct rows_read *rows_read_new(struct client_op *op)
{
    struct rows_read *r = client_op_alloc(op, sizeof *r);
    client_op_at_end(op, r, end_rows);
    return r;
}

/* False at the end. */
static bool next_row(struct rows_read *r, view *ret_key, view *ret_value)
{
    char *key, *value;
    size_t key_bytes, value_bytes;
    if (rados_omap_get_next2(r->rows, &key, &value, &key_bytes, &value_bytes) < 0 || !key) return false;
    *ret_key = view_make(key, key_bytes);
    *ret_value = view_make(value, value_bytes);
    return true;
}

static result keep_bytes(struct arena *arena, view bytes, view *ret_copy, struct fault *fault)
{
    char *copy = arena_try_alloc(arena, bytes.len + 1);
    if (!copy) return fail(fault, TOO_BIG, "no room for %zu bytes of a table", bytes.len);
    if (bytes.len) memcpy(copy, bytes.at, bytes.len);
    *ret_copy = view_make(copy, bytes.len);
    return OK;
}

static result keep_value(struct arena *arena, view stored, view table, uint32_t shard, view *ret_value, struct fault *fault)
{
    if (stored.len == 0 || stored.at[0] != VALUE_VERSION) return corrupt_row(table, shard, fault);
    return keep_bytes(arena, view_from(stored, 1), ret_value, fault);
}

result cluster_table_get(struct engine *base, view table, uint32_t shard, view key, millis deadline, struct arena *arena, view *ret_value,
                       struct fault *fault)
{
    char name[SHARD_NAME_BYTES], coded[CODED_KEY_BYTES];
    const char *keys[] = {coded};
    size_t lengths[] = {code_key(key, coded)};
    view found_key, stored = VIEW_EMPTY;
    struct client_op *op = client_read_new(rados_of(base)->client, SPACE_TABLES, shard_name(table, shard, name));
    struct rows_read *r = rows_read_new(op);
    rados_read_op_omap_get_vals_by_keys2(op->read, keys, 1, lengths, &r->rows, &r->returned);
    result code = client_run(op, deadline, fault);
    if (code == NOT_FOUND || (code == OK && !next_row(r, &found_key, &stored)))
        code = fail(fault, NOT_FOUND, "no such row in table " VIEW_FMT, VIEW_ARG(table));
    else if (code == OK) code = keep_value(arena, stored, table, shard, ret_value, fault);
    client_op_free(op);
    return code;
}

/* ---- scan -------------------------------------------------------------------------------------------------- */

struct scan {
    struct rados *engine;
    view table;
    uint32_t shard;
    millis deadline;
    struct arena *arena;
    size_t max, page_rows;
    buf rows;                            /* struct table_row each; what they point to is in the arena */
    size_t count;
    char *prefix, *start;                /* coded; start: after this */
    bool more;
    struct fault *fault;
};

static result add_row(struct scan *s, view coded_key, view stored, size_t *bytes)
{
    struct table_row row;
    size_t key_bytes;
    char *key = arena_try_alloc(s->arena, coded_key.len + 1);
    if (!key) return fail(s->fault, TOO_BIG, "no room for the rows of a table");
    if (coded_key.len >= CODED_KEY_BYTES || !decode_key(coded_key, key, &key_bytes)) return corrupt_row(s->table, s->shard, s->fault);
    row.key = view_make(key, key_bytes);
    result code = keep_value(s->arena, stored, s->table, s->shard, &row.value, s->fault);
    if (code != OK) return code;
    buf_append(&s->rows, view_make(&row, sizeof row));
    s->count++;
    *bytes += coded_key.len + stored.len;
    memcpy(s->start, coded_key.at, coded_key.len);
    s->start[coded_key.len] = '\0';
    return OK;
}

/* Small rows come in large pages, large ones in small. */
static void adapt_page(struct scan *s, size_t bytes)
{
    if (bytes > PAGE_BYTES && s->page_rows > 1) s->page_rows /= 2;
    if (bytes < PAGE_BYTES / 8 && s->page_rows * 4 <= PAGE_ROWS_MAX) s->page_rows *= 4;
}

MAY_YIELD static result scan_page(struct scan *s)
{
    char name[SHARD_NAME_BYTES];
    view key = VIEW_EMPTY, stored = VIEW_EMPTY;
    size_t bytes = 0, wanted = s->max - s->count < s->page_rows ? s->max - s->count : s->page_rows;
    struct client_op *op = client_read_new(s->engine->client, SPACE_TABLES, shard_name(s->table, s->shard, name));
    struct rows_read *r = rows_read_new(op);
    rados_read_op_omap_get_vals2(op->read, s->start, s->prefix, wanted, &r->rows, &r->more, &r->returned);
    result code = client_run(op, s->deadline, s->fault);
    s->more = code == OK && r->more;
    if (code == NOT_FOUND) code = OK;
    else while (code == OK && s->count < s->max && next_row(r, &key, &stored)) code = add_row(s, key, stored, &bytes);
    client_op_free(op);
    adapt_page(s, bytes);
    return code;
}

result cluster_table_scan(struct engine *base, view table, uint32_t shard, view prefix, view after, size_t max, millis deadline,
                        struct arena *arena, struct table_row **ret_rows, size_t *ret_count, struct fault *fault)
{
    if (prefix.len > ENGINE_KEY_MAX_BYTES || after.len > ENGINE_KEY_MAX_BYTES) return fail(fault, TOO_BIG, "prefix of a scan");
    CLEANUP(arena_freep) struct arena *own = arena_new(NULL, 4 * CODED_KEY_BYTES);
    struct scan s = {.engine = rados_of(base), .table = table, .shard = shard, .deadline = deadline, .arena = arena, .max = max,
                     .page_rows = FIRST_PAGE_ROWS, .more = true, .fault = fault};
    s.prefix = arena_alloc(own, CODED_KEY_BYTES);
    s.start = arena_alloc(own, CODED_KEY_BYTES);
    code_key(prefix, s.prefix);
    code_key(after, s.start);
    result code = OK;
    view rows = VIEW_EMPTY;
    while (code == OK && s.more && s.count < max) code = scan_page(&s);
    if (code == OK) code = keep_bytes(arena, buf_view(&s.rows), &rows, fault);
    if (code == OK) {
        *ret_rows = (struct table_row *)(void *)(uintptr_t)rows.at;
        *ret_count = s.count;
    }
    buf_done(&s.rows);
    return code;
}

/* ---- batch ------------------------------------------------------------------------------------------------- */

struct batch {
    struct rados *engine;
    view table;
    uint32_t shard;
    const struct table_change *changes;
    size_t count;
    millis deadline;
    struct fault *fault;
};

static bool is_read_only(const struct batch *b)
{
    for (size_t i = 0; i < b->count; i++)
        if (b->changes[i].what != TABLE_CHECK_ONLY) return false;
    return true;
}

static void store_value(view value, buf *into)
{
    buf_clear(into);
    buf_append_byte(into, VALUE_VERSION);
    buf_append(into, value);
}

/* Absent is an empty value, and less than any that a row has. `stored` is of IF_VALUE. */
static void add_condition(struct client_op *op, const struct table_change *c, const char *key, size_t key_bytes, const buf *stored, int *returned)
{
    uint8_t how = c->condition == TABLE_IF_PRESENT ? LIBRADOS_CMPXATTR_OP_GT : LIBRADOS_CMPXATTR_OP_EQ;
    view value = c->condition == TABLE_IF_VALUE ? buf_view(stored) : VIEW("");
    if (op->read) rados_read_op_omap_cmp2(op->read, key, how, value.at, key_bytes, value.len, returned);
    else rados_write_op_omap_cmp2(op->write, key, how, value.at, key_bytes, value.len, returned);
}

static void add_change(struct client_op *op, const struct table_change *c, const char *key, size_t key_bytes, const buf *stored)
{
    const char *keys[] = {key}, *values[] = {stored->at};
    if (c->what == TABLE_PUT) rados_write_op_omap_set2(op->write, keys, values, &key_bytes, &stored->len, 1);
    if (c->what == TABLE_REMOVE) rados_write_op_omap_rm_keys2(op->write, keys, &key_bytes, 1);
}

/* The library copies what it is given. */
static void add_steps(struct batch *b, struct client_op *op, int *returned)
{
    char key[CODED_KEY_BYTES];
    CLEANUP(buf_done) buf stored = BUF_INIT;
    for (size_t i = 0; i < b->count; i++) {
        const struct table_change *c = &b->changes[i];
        if (c->condition == TABLE_IF_ANY) continue;
        size_t key_bytes = code_key(c->key, key);
        store_value(c->condition == TABLE_IF_VALUE ? c->expected : VIEW_EMPTY, &stored);
        add_condition(op, c, key, key_bytes, &stored, &returned[i]);
    }
    for (size_t i = 0; i < b->count && op->write; i++) {
        const struct table_change *c = &b->changes[i];
        size_t key_bytes = code_key(c->key, key);
        store_value(c->what == TABLE_PUT ? c->value : VIEW_EMPTY, &stored);
        add_change(op, c, key, key_bytes, &stored);
        op->bytes += key_bytes + stored.len;
    }
}

static bool needs_a_row(const struct table_change *c) { return c->condition == TABLE_IF_PRESENT || c->condition == TABLE_IF_VALUE; }

/* The first condition that the cluster said no to. It does not say after an operation that it had seen before: then the first of all. */
static size_t which_failed(const struct batch *b, const int *returned)
{
    size_t first = b->count;
    for (size_t i = 0; i < b->count; i++) {
        if (returned[i] < 0) return i;
        if (b->changes[i].condition != TABLE_IF_ANY && first == b->count) first = i;
    }
    return first == b->count ? 0 : first;
}

MAY_YIELD static result run_batch(struct batch *b, bool must_create, size_t *ret_failed)
{
    char name[SHARD_NAME_BYTES];
    view object = shard_name(b->table, b->shard, name);
    struct client_op *op = is_read_only(b) ? client_read_new(b->engine->client, SPACE_TABLES, object)
                                           : client_write_new(b->engine->client, SPACE_TABLES, object);
    int *returned = client_op_alloc(op, b->count * sizeof *returned);
    if (must_create) rados_write_op_create(op->write, LIBRADOS_CREATE_IDEMPOTENT, NULL);
    add_steps(b, op, returned);
    result code = client_run(op, b->deadline, b->fault);
    if (code == CONFLICT) *ret_failed = which_failed(b, returned);
    client_op_free(op);
    return code;
}

/* No row has ever been put into this shard: what the conditions mean then. */
static result judge_without_rows(const struct batch *b, size_t *ret_failed)
{
    for (size_t i = 0; i < b->count; i++) {
        if (!needs_a_row(&b->changes[i])) continue;
        *ret_failed = i;
        return CONFLICT;
    }
    return OK;
}

static bool has_conditions(const struct batch *b)
{
    for (size_t i = 0; i < b->count; i++)
        if (b->changes[i].condition != TABLE_IF_ANY) return true;
    return false;
}

/* A shard's object comes into being with its first row, and never goes away. */
result cluster_table_batch(struct engine *base, view table, uint32_t shard, const struct table_change *changes, size_t count, millis deadline,
                         size_t *ret_failed, struct fault *fault)
{
    struct batch b = {rados_of(base), table, shard, changes, count, deadline, fault};
    size_t failed = 0;
    if (is_read_only(&b) && !has_conditions(&b)) return OK;
    result code = run_batch(&b, false, &failed);
    if (code == NOT_FOUND) {
        code = judge_without_rows(&b, &failed);
        if (code == OK && !is_read_only(&b)) code = run_batch(&b, true, &failed);
    }
    if (code != CONFLICT) return code;
    if (ret_failed) *ret_failed = failed;
    return fail(fault, CONFLICT, "table " VIEW_FMT ": the condition of change %zu does not hold", VIEW_ARG(table), failed);
}
