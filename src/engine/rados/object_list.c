/* Listing objects: rows of the index whose base is there and of the row's writer. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "engine/rados/objects_private.h"

enum { PAGE_ROWS = 256, MERGE_ROWS = 32, MERGE_SHARDS = 32, SCRATCH_BYTES = 256 << 20 };

struct listing {
    struct rados *engine;
    view prefix;
    char after[OBJECT_ROW_BYTES + 1];    /* a row's key, or what sorts where one would */
    millis deadline;
    struct arena *arena;                 /* the caller's */
    buf names;                           /* view each */
    size_t count, max;
    struct fault *fault;
};

static void set_after(struct listing *l, view key)
{
    memcpy(l->after, key.at, key.len);
    l->after[key.len] = '\0';
}

/* ---- which are committed ------------------------------------------------------------------------------------------ */

struct look { struct together_op op; void *memory; };

static result take_look(struct listing *l, const struct index_row *row, const struct look *k)
{
    struct object_about about;
    struct fault fault = {0};
    result code = base_look_result(k->op.op, k->op.code, k->memory, row->name, &about, &fault);
    if (code == OK && id_equal(about.writer, row->writer) && l->count < l->max) {
        char *copy = arena_try_alloc(l->arena, row->name.len + 1);
        if (!copy) return fail(l->fault, TOO_BIG, "no room for the names of objects");
        memcpy(copy, row->name.at, row->name.len);
        view name = view_make(copy, row->name.len);
        buf_append(&l->names, view_make(&name, sizeof name));
        l->count++;
    }
    if (code == OK || code == NOT_FOUND || code == CORRUPT) return OK;
    if (l->fault) *l->fault = fault;
    return code;
}

/* Adds those of the rows that are committed, until there are enough. */
MAY_YIELD static result add_committed(struct listing *l, const struct index_row *rows, size_t count)
{
    result code = OK;
    for (size_t at = 0; code == OK && at < count && l->count < l->max; at += OBJECT_PARALLEL) {
        struct together all;
        struct look looks[OBJECT_PARALLEL];
        size_t n = count - at < OBJECT_PARALLEL ? count - at : OBJECT_PARALLEL;
        together_init(&all);
        for (size_t i = 0; i < n; i++) {
            struct client_op *op = base_look_new(l->engine, rows[at + i].name, &looks[i].memory);
            together_start(&all, &looks[i].op, op, l->deadline);
        }
        together_wait(&all);
        for (size_t i = 0; i < n; i++) {
            if (code == OK) code = take_look(l, &rows[at + i], &looks[i]);
            client_op_free(looks[i].op.op);
        }
    }
    return code;
}

/* Nor those of the archive, unless they are asked for. */
static size_t without_malformed(const struct listing *l, struct index_row *rows, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (!rows[i].is_malformed && engine_is_cold(rows[i].name) == engine_is_cold(l->prefix)) rows[kept++] = rows[i];
    return kept;
}

/* ---- an account's names: one shard ---------------------------------------------------------------------------------- */

MAY_YIELD static result list_shard(struct listing *l, uint32_t shard)
{
    CLEANUP(arena_freep) struct arena *scratch = arena_new(NULL, SCRATCH_BYTES);
    struct index_page page = {.more = true};
    result code = OK;
    while (code == OK && page.more && l->count < l->max) {
        arena_reset(scratch);
        size_t wanted = l->max - l->count < PAGE_ROWS ? l->max - l->count : PAGE_ROWS;
        code = index_page_read(l->engine, shard, l->prefix, view_of(l->after), wanted, l->deadline, scratch, &page, l->fault);
        if (code != OK) return code;
        if (page.count > 0) set_after(l, page.rows[page.count - 1].key);
        code = add_committed(l, page.rows, without_malformed(l, page.rows, page.count));
    }
    return code;
}

/* ---- all others: rows of all shards, merged ------------------------------------------------------------------------- */

struct merge {
    struct listing *listing;
    struct arena *scratch;
    buf rows;                            /* struct index_row each */
    view known_to;                       /* no row up to this key is missing; empty: none at all is */
};

static struct index_row *merged_rows(const struct merge *m) { return (struct index_row *)(void *)m->rows.at; }

static void merge_page(struct merge *m, const struct index_page *page)
{
    buf_append(&m->rows, view_make(page->rows, page->count * sizeof *page->rows));
    if (!page->more || page->count == 0) return;
    view last = page->rows[page->count - 1].key;
    if (m->known_to.len == 0 || view_compare(last, m->known_to) < 0) m->known_to = last;
}

/* A page of several shards at a time. */
MAY_YIELD static result merge_shards(struct merge *m, uint32_t first, size_t count)
{
    struct listing *l = m->listing;
    struct together all;
    struct look looks[MERGE_SHARDS];
    result code = OK;
    together_init(&all);
    for (size_t i = 0; i < count; i++) {
        struct client_op *op = index_page_new(l->engine, first + (uint32_t)i, l->prefix, view_of(l->after), MERGE_ROWS, &looks[i].memory);
        together_start(&all, &looks[i].op, op, l->deadline);
    }
    together_wait(&all);
    for (size_t i = 0; i < count; i++) {
        struct index_page page = {0};
        if (code == OK) code = index_page_result(looks[i].op.op, looks[i].op.code, looks[i].memory, m->scratch, &page, l->fault);
        if (code == OK) merge_page(m, &page);
        client_op_free(looks[i].op.op);
    }
    return code;
}

static int compare_rows(const void *a, const void *b)
{
    return view_compare(((const struct index_row *)a)->key, ((const struct index_row *)b)->key);
}

/* The rows that are known without a gap, in order. */
static size_t sort_merged(struct merge *m)
{
    struct index_row *rows = merged_rows(m);
    size_t count = m->rows.len / sizeof *rows;
    if (count == 0) return 0;
    qsort(rows, count, sizeof *rows, compare_rows);
    while (m->known_to.len && count > 0 && view_compare(rows[count - 1].key, m->known_to) > 0) count--;
    return count;
}

MAY_YIELD static result merge_round(struct merge *m)
{
    struct listing *l = m->listing;
    uint32_t shards = l->engine->layout.index_shards;
    result code = OK;
    arena_reset(m->scratch);
    buf_clear(&m->rows);
    m->known_to = VIEW_EMPTY;
    for (uint32_t first = 0; code == OK && first < shards; first += MERGE_SHARDS)
        code = merge_shards(m, first, shards - first < MERGE_SHARDS ? shards - first : MERGE_SHARDS);
    if (code != OK) return code;
    size_t count = sort_merged(m);
    if (m->known_to.len) set_after(l, m->known_to);
    return add_committed(l, merged_rows(m), without_malformed(l, merged_rows(m), count));
}

MAY_YIELD static result list_all(struct listing *l)
{
    struct merge m = {.listing = l, .scratch = arena_new(NULL, SCRATCH_BYTES)};
    result code;
    do code = merge_round(&m);
    while (code == OK && m.known_to.len && l->count < l->max);
    buf_done(&m.rows);
    arena_free(m.scratch);
    return code;
}

/* ---- the slot --------------------------------------------------------------------------------------------------------- */

/* After all rows of the name that the caller had last: '!' comes right after the space. */
static void begin_after(struct listing *l, view after)
{
    if (after.len == 0) return;
    set_after(l, after);
    l->after[after.len] = '!';
    l->after[after.len + 1] = '\0';
}

static result keep_names(const struct listing *l, view **ret_names, size_t *ret_count)
{
    view *names = arena_try_alloc(l->arena, (l->count + 1) * sizeof *names);
    if (!names) return fail(l->fault, TOO_BIG, "no room for the names of objects");
    if (l->count) memcpy(names, l->names.at, l->count * sizeof *names);
    *ret_names = names;
    *ret_count = l->count;
    return OK;
}

result cluster_object_list(struct engine *base, view prefix, view after, size_t max, millis deadline, struct arena *arena, view **ret_names,
                           size_t *ret_count, struct fault *fault)
{
    struct listing l = {.engine = rados_of(base), .prefix = prefix, .deadline = deadline, .arena = arena, .max = max, .fault = fault};
    uint32_t shard;
    begin_after(&l, after);
    result code = index_shard_of_prefix(l.engine, prefix, &shard) ? list_shard(&l, shard) : list_all(&l);
    if (code == OK) code = keep_names(&l, ret_names, ret_count);
    buf_done(&l.names);
    return code;
}
