/* copy_tables: the directory, row by row. Rows are spread over another number of shards in every store. */
#include "base/check.h"
#include "identity/directory.h"
#include "main/move.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"

enum { PAGE_ROWS = 256, PAGE_BYTES = 256 << 20, AT_ONCE = 16, SHARDS_AT_ONCE = 8, STEP_MS = 60000, ROW_BYTES = 2 * ENGINE_VALUE_MAX_BYTES };

static const view tables[] = {VIEW_INIT("tenant"), VIEW_INIT("domain"), VIEW_INIT("address"), VIEW_INIT("account"), VIEW_INIT("dkim"), VIEW_INIT("secret"), VIEW_INIT("mta_sts"),
                             VIEW_INIT("complaint"), VIEW_INIT("feedback_loop"), VIEW_INIT("feedback_sent"), VIEW_INIT("egress")};

struct copying {
    struct engine *from, *to;
    view table;
    bool removes;                        /* rows of `to` that `from` lacks; else rows of `from` go to `to` */
    struct table_row *rows;
    size_t count, next;
    uint64_t *changed;
    result code;
    struct fault *fault;
};

static uint32_t shard_of(struct engine *e, view table, view key) { return table_shard_of(e, table, key); }

MAY_YIELD static result change_row(struct copying *c, const struct table_row *row)
{
    struct table_change change = {.key = row->key, .what = c->removes ? TABLE_REMOVE : TABLE_PUT, .value = c->removes ? VIEW_EMPTY : row->value};
    result r = table_batch(c->to, c->table, shard_of(c->to, c->table, row->key), &change, 1, clock_in(STEP_MS), NULL, c->fault);
    if (r == OK) ++*c->changed;
    return r;
}

MAY_YIELD static result copy_row(struct copying *c, const struct table_row *row)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ROW_BYTES);
    struct engine *other = c->removes ? c->from : c->to;
    view value;
    result r = table_get(other, c->table, shard_of(other, c->table, row->key), row->key, clock_in(STEP_MS), arena, &value, c->fault);
    if (r != OK && r != NOT_FOUND) return r;
    bool is_right = c->removes ? r == OK : r == OK && view_equal(value, row->value);
    return is_right ? OK : change_row(c, row);
}

MAY_YIELD static void copy_some(void *argument)
{
    struct copying *c = argument;
    while (c->code == OK && c->next < c->count) {
        const struct table_row *row = &c->rows[c->next++];
        result r = copy_row(c, row);
        if (c->code == OK) c->code = r;
    }
}

MAY_YIELD static result copy_page(struct copying *c)
{
    struct scope scope;
    scope_init(&scope, NULL);
    c->next = 0;
    for (size_t i = 0; i < AT_ONCE && i < c->count; i++) coroutine_spawn(&scope, "copy rows", copy_some, c);
    scope_join(&scope);
    scope_unlink(&scope);
    return c->code;
}

MAY_YIELD static result copy_shard(struct copying *c, uint32_t shard)
{
    buf after CLEANUP(buf_done) = BUF_INIT;
    struct engine *read = c->removes ? c->to : c->from;
    for (c->count = PAGE_ROWS; c->count == PAGE_ROWS;) {
        struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, PAGE_BYTES);
        result r = table_scan(read, c->table, shard, VIEW_EMPTY, buf_view(&after), PAGE_ROWS, clock_in(STEP_MS), arena, &c->rows, &c->count, c->fault);
        if (r == OK) r = copy_page(c);
        if (r != OK) return r;
        buf_clear(&after);
        if (c->count) buf_append(&after, c->rows[c->count - 1].key);
    }
    return OK;
}

/* Several shards at a time, of which some stores have hundreds with hardly a row. */
struct table_copying {
    const struct copying *how;
    uint32_t next, shards;
    result code;
    struct fault fault;
};

MAY_YIELD static void copy_shards(void *argument)
{
    struct table_copying *t = argument;
    while (t->code == OK && t->next < t->shards) {
        struct fault fault = {0};
        struct copying c = *t->how;
        c.fault = &fault;
        result r = copy_shard(&c, t->next++);
        if (r == OK || t->code != OK) continue;
        t->code = r;
        t->fault = fault;
    }
}

MAY_YIELD static result copy_table(const struct copying *c)
{
    struct table_copying t = {.how = c, .shards = table_shards(c->removes ? c->to : c->from, c->table)};
    struct scope scope;
    scope_init(&scope, NULL);
    for (unsigned i = 0; i < SHARDS_AT_ONCE; i++) coroutine_spawn(&scope, "copy table", copy_shards, &t);
    scope_join(&scope);
    scope_unlink(&scope);
    if (t.code != OK && c->fault) *c->fault = t.fault;
    return t.code;
}

result copy_directory(struct engine *from, struct engine *to, uint64_t *changed, struct fault *fault)
{
    result r = OK;
    for (size_t i = 0; r == OK && i < array_size(tables); i++) {
        struct copying add = {.from = from, .to = to, .table = tables[i], .changed = changed, .fault = fault};
        struct copying remove = {.from = from, .to = to, .table = tables[i], .removes = true, .changed = changed, .fault = fault};
        r = copy_table(&add);
        if (r == OK) r = copy_table(&remove);
    }
    return r;
}

void freeze_directory(struct engine *e)
{
    for (size_t i = 0; i < array_size(tables); i++) engine_freeze_table(e, tables[i]);
}

result directory_is_empty(struct engine *e, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ROW_BYTES);
    for (uint32_t shard = 0; shard < table_shards(e, DIRECTORY_DOMAINS); shard++) {
        struct table_row *rows;
        size_t count;
        result r = table_scan(e, DIRECTORY_DOMAINS, shard, VIEW_EMPTY, VIEW_EMPTY, 1, clock_in(STEP_MS), arena, &rows, &count, fault);
        if (r != OK) return r;
        if (count) return fail(fault, EXISTS, "there is a store already that serves " VIEW_FMT, VIEW_ARG(rows[0].key));
    }
    return OK;
}
