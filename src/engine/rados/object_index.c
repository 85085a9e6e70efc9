/*
 * The index: which objects there are, by name. librados lists a pool by hash, so each object has a row in the omap of one of a fixed
 * number of shards in the replicated pool. A row's key is "name writer" with a space, which sorts before all bytes of
 * names: rows are in the order of names.
 */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/hash.h"
#include "engine/rados/objects_private.h"

enum { SHARD_NAME_BYTES = 16, ROW_VERSION = 1 };

/* ---- where ---------------------------------------------------------------------------------------------------- */

static bool is_account(view part)
{
    struct id ignored;
    return id_parse(part, &ignored);
}

/* An account's objects in the archive have their rows beside those of its others. */
static view without_cold(view name) { return engine_is_cold(name) ? view_from(name, ENGINE_COLD_BYTES) : name; }

uint32_t index_shard_of(const struct rados *e, view name)
{
    name = without_cold(name);
    view rest = name, first;
    view_cut(&rest, '/', &first);
    return (uint32_t)(hash_stable(is_account(first) && rest.len ? first : name) % e->layout.index_shards);
}

bool index_shard_of_prefix(const struct rados *e, view prefix, uint32_t *ret_shard)
{
    prefix = without_cold(prefix);
    size_t slash = view_find(prefix, '/');
    if (slash == VIEW_NONE || !is_account(view_slice(prefix, 0, slash))) return false;
    *ret_shard = (uint32_t)(hash_stable(view_slice(prefix, 0, slash)) % e->layout.index_shards);
    return true;
}

static view shard_name(uint32_t shard, char into[static SHARD_NAME_BYTES])
{
    return view_make(into, (size_t)snprintf(into, SHARD_NAME_BYTES, "names.%u", shard));
}

static size_t row_key(view name, struct id writer, char into[static OBJECT_ROW_BYTES])
{
    char text[ID_TEXT_LEN + 1];
    id_text(writer, text);
    return (size_t)snprintf(into, OBJECT_ROW_BYTES, VIEW_FMT " %s", VIEW_ARG(name), text);
}

/* ---- putting and removing ------------------------------------------------------------------------------------- */

result index_put(struct rados *e, view name, struct id writer, millis deadline, struct fault *fault)
{
    char shard[SHARD_NAME_BYTES], key[OBJECT_ROW_BYTES];
    static const char version = ROW_VERSION;
    const char *keys[] = {key}, *values[] = {&version};
    size_t key_bytes = row_key(name, writer, key), value_bytes = 1;
    struct client_op *op = client_write_new(e->client, SPACE_INDEX, shard_name(index_shard_of(e, name), shard));
    rados_write_op_omap_set2(op->write, keys, values, &key_bytes, &value_bytes, 1);
    result code = client_run(op, deadline, fault);
    client_op_free(op);
    return code;
}

result index_remove(struct rados *e, view name, struct id writer, millis deadline, struct fault *fault)
{
    char shard[SHARD_NAME_BYTES], key[OBJECT_ROW_BYTES];
    const char *keys[] = {key};
    size_t key_bytes = row_key(name, writer, key);
    struct client_op *op = client_write_new(e->client, SPACE_INDEX, shard_name(index_shard_of(e, name), shard));
    rados_write_op_omap_rm_keys2(op->write, keys, &key_bytes, 1);
    result code = client_run(op, deadline, fault);
    client_op_free(op);
    return code == NOT_FOUND ? OK : code;
}

/* ---- reading -------------------------------------------------------------------------------------------------- */

struct page_memory {
    rados_omap_iter_t rows;
    unsigned char more;
    int returned;
    char prefix[OBJECT_ROW_BYTES], after[OBJECT_ROW_BYTES + 1];
};

static void end_page(void *memory)
{
    struct page_memory *m = memory;
    if (m->rows) rados_omap_get_end(m->rows);
}

struct client_op *index_page_new(struct rados *e, uint32_t shard, view prefix, view after, size_t max, void **ret_memory)
{
    char name[SHARD_NAME_BYTES];
    struct client_op *op = client_read_new(e->client, SPACE_INDEX, shard_name(shard, name));
    struct page_memory *m = client_op_alloc(op, sizeof *m);
    client_op_at_end(op, m, end_page);
    check(prefix.len < sizeof m->prefix && after.len < sizeof m->after);
    if (prefix.len) memcpy(m->prefix, prefix.at, prefix.len);
    if (after.len) memcpy(m->after, after.at, after.len);
    rados_read_op_omap_get_vals2(op->read, m->after, m->prefix, max, &m->rows, &m->more, &m->returned);
    *ret_memory = m;
    return op;
}

static bool parse_row(view key, struct index_row *ret_row)
{
    size_t space = view_find(key, ' ');
    *ret_row = (struct index_row){.key = key, .is_malformed = true};
    if (space == VIEW_NONE || space == 0 || space > ENGINE_NAME_MAX_BYTES || !id_parse(view_from(key, space + 1), &ret_row->writer)) return false;
    ret_row->name = view_slice(key, 0, space);
    ret_row->is_malformed = false;
    return true;
}

/* A shard that has never had a row has none. */
result index_page_result(const struct client_op *op, result code, void *memory, struct arena *arena, struct index_page *ret_page, struct fault *fault)
{
    struct page_memory *m = memory;
    char *key, *value;
    size_t key_bytes, value_bytes;
    if (code != OK && code != NOT_FOUND) return client_result(op, "index of objects", fault);
    struct index_page page = {.more = code == OK && m->more};
    size_t all = code == OK ? rados_omap_iter_size(m->rows) : 0;
    page.rows = arena_try_alloc(arena, (all + 1) * sizeof *page.rows);
    if (!page.rows) return fail(fault, TOO_BIG, "no room for %zu names of objects", all);
    while (page.count < all && rados_omap_get_next2(m->rows, &key, &value, &key_bytes, &value_bytes) == 0 && key) {
        if (key_bytes >= OBJECT_ROW_BYTES) return fail(fault, CORRUPT, "index of objects: a row with a key of %zu bytes", key_bytes);
        (void)parse_row(arena_keep(arena, view_make(key, key_bytes)), &page.rows[page.count++]);
    }
    *ret_page = page;
    return OK;
}

result index_page_read(struct rados *e, uint32_t shard, view prefix, view after, size_t max, millis deadline, struct arena *arena,
                       struct index_page *ret_page, struct fault *fault)
{
    void *memory;
    struct client_op *op = index_page_new(e, shard, prefix, after, max, &memory);
    result code = client_run(op, deadline, NULL);
    code = index_page_result(op, code, memory, arena, ret_page, fault);
    client_op_free(op);
    return code;
}
