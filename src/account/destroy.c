/*
 * The end of an account: its journal and its objects.
 *
 * A row of the table `removed` is written before, and stays for REMOVED_KEPT_MS: nodes that had looked up the address may still deliver, and
 * whoever destroys may die in the middle. Then it is destroyed once more, and the row goes. Ids of accounts are never used again.
 */
#include <jansson.h>
#include <stdio.h>

#include "account/compact.h"
#include "base/check.h"
#include "runtime/clock.h"

#define TABLE VIEW("removed")

enum { LIST_NAMES = 1000, ROW_BYTES_MAX = 64, ROWS_AT_ONCE = 1000, ROWS_ARENA_BYTES = 4 << 20, REMOVED_KEPT_MS = 3600 * 1000, SWEEP_STEP_MS = 10 * 60000 };

MAY_YIELD static result write_removed(struct accounts *all, struct id account, bool is_removed, millis deadline, struct fault *fault)
{
    char text[ID_TEXT_LEN + 1], row[ROW_BYTES_MAX];
    struct table_change change = {.key = id_text(account, text), .what = is_removed ? TABLE_PUT : TABLE_REMOVE};
    int len = snprintf(row, sizeof row, "{\"v\":1,\"removed\":%lld}", (long long)clock_wall().ms);
    if (is_removed) change.value = view_make(row, (size_t)len);
    return table_batch(all->engine, TABLE, table_shard_of(all->engine, TABLE, change.key), &change, 1, deadline, NULL, fault);
}

struct ending {
    struct accounts *all;
    struct id account;
    millis deadline;
    result code;
    struct fault *fault;
};

MAY_YIELD static result remove_objects(struct ending *e, view folder)
{
    struct engine *engine = e->all->engine;
    view *names;
    struct arena *page CLEANUP(arena_freep) = arena_new(NULL, 4 << 20);
    for (size_t count = 1; count > 0;) {
        arena_reset(page);
        result code = object_list(engine, folder, VIEW_EMPTY, LIST_NAMES, e->deadline, page, &names, &count, e->fault);
        for (size_t i = 0; code == OK && i < count; i++) code = object_remove(engine, names[i], e->deadline, e->fault);
        if (code != OK) return code;
    }
    return OK;
}

MAY_YIELD static void destroy(void *argument)
{
    struct ending *e = argument;
    struct account *a;
    char prefix[OBJECT_NAME_MAX];
    e->code = engine_remove_journal(e->all->engine, e->account, e->deadline, e->fault);
    if (e->code == OK) e->code = remove_objects(e, account_object_name(e->account, VIEW_EMPTY, prefix));
    /* One that is away keeps the row, so that it is done later. */
    if (e->code == OK && engine_has_archive(e->all->engine)) e->code = remove_objects(e, account_cold_folder(e->account, prefix));
    /* What is in memory learns that nothing is left; sessions that are open get NOT_FOUND. */
    if (e->code == OK && account_open(e->all, e->account, e->deadline, &a, NULL) == OK) account_close(a);
}

MAY_YIELD static result destroy_at_home(struct accounts *all, struct id account, millis deadline, struct fault *fault)
{
    struct ending e = {.all = all, .account = account, .deadline = deadline, .fault = fault};
    loop_run_on(accounts_home(all, account), "destroy account", destroy, &e);
    return e.code;
}

result accounts_destroy(struct accounts *all, struct id account, millis deadline, struct fault *fault)
{
    result code = write_removed(all, account, true, deadline, fault);
    return code == OK ? destroy_at_home(all, account, deadline, fault) : code;
}

/* ---- once more ---- */

/* One that cannot be read has waited long enough. */
static bool is_over(view row)
{
    json_t *object = json_loadb(row.at, row.len, JSON_REJECT_DUPLICATES, NULL);
    int64_t age_ms = clock_wall().ms - json_integer_value(json_object_get(object, "removed"));
    json_decref(object);
    return age_ms >= REMOVED_KEPT_MS;
}

MAY_YIELD static result sweep_shard(struct accounts *all, uint32_t shard)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ROWS_ARENA_BYTES);
    char after[ID_TEXT_LEN + 1] = "";
    struct table_row *rows;
    for (size_t count = ROWS_AT_ONCE; count == ROWS_AT_ONCE;) {
        arena_reset(arena);
        result code = table_scan(all->engine, TABLE, shard, VIEW_EMPTY, view_of(after), ROWS_AT_ONCE, clock_in(SWEEP_STEP_MS), arena, &rows, &count, NULL);
        for (size_t i = 0; code == OK && i < count; i++) {
            struct id id;
            if (!id_parse(rows[i].key, &id)) return CORRUPT;
            id_text(id, after);
            if (!is_over(rows[i].value)) continue;
            code = destroy_at_home(all, id, clock_in(SWEEP_STEP_MS), NULL);
            if (code == OK) code = write_removed(all, id, false, clock_in(SWEEP_STEP_MS), NULL);
            /* Perhaps only its part of the archive cannot be had: others are not kept waiting. */
            if (code == UNAVAILABLE || code == TIMEOUT) code = OK;
        }
        if (code != OK) return code;
    }
    return OK;
}

void removed_sweep(struct accounts *all)
{
    uint32_t shards = table_shards(all->engine, TABLE);
    for (uint32_t i = 0; i < shards; i++)
        if (sweep_shard(all, i) != OK) return;       /* the next sweep goes on */
}
