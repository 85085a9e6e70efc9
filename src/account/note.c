#include "account/note.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "runtime/clock.h"

#define TABLE VIEW("upkeep")

enum { ROWS_ARENA_BYTES = 64 << 20, TRIES_MAX = 3 };

static view key_of(struct id account, char text[static ID_TEXT_LEN + 1])
{
    return id_text(account, text);
}

static uint32_t shard_of(struct accounts *all, view key)
{
    return table_shard_of(all->engine, TABLE, key);
}

/* `until_ms` 0: nobody's. */
static view write_row(const struct accounts *all, int64_t until_ms, char row[static NOTE_ROW_MAX_BYTES])
{
    char by[ID_TEXT_LEN + 1];
    id_text(all->me, by);
    int len = snprintf(row, NOTE_ROW_MAX_BYTES, "{\"v\":1,\"noted\":%" PRId64 ",\"by\":\"%s\",\"until\":%" PRId64 "}", clock_wall().ms, by, until_ms);
    return view_make(row, (size_t)len);
}

/* One that cannot be read is nobody's. */
static bool is_claimed(view row)
{
    json_t *object = json_loadb(row.at, row.len, JSON_REJECT_DUPLICATES, NULL);
    json_int_t until_ms = json_integer_value(json_object_get(object, "until"));
    json_decref(object);
    int64_t left_ms = until_ms - clock_wall().ms;
    return left_ms > 0 && left_ms <= NOTE_CLAIM_MS;      /* a clock that ran ahead keeps nobody waiting for years */
}

result note_put(struct accounts *all, struct id account, millis deadline, struct fault *fault)
{
    char text[ID_TEXT_LEN + 1], row[NOTE_ROW_MAX_BYTES];
    struct table_change change = {.key = key_of(account, text), .what = TABLE_PUT, .value = write_row(all, 0, row), .condition = TABLE_IF_ABSENT};
    result code = table_batch(all->engine, TABLE, shard_of(all, change.key), &change, 1, deadline, NULL, fault);
    return code == CONFLICT ? OK : code;
}

/* Takes the row as it was read: `old` empty when there was none. */
MAY_YIELD static result take(struct accounts *all, view key, view old, struct note_claim *claim, millis deadline, struct fault *fault)
{
    struct table_change change = {.key = key, .what = TABLE_PUT, .condition = old.len ? TABLE_IF_VALUE : TABLE_IF_ABSENT, .expected = old};
    change.value = write_row(all, clock_wall().ms + NOTE_CLAIM_MS, claim->row);
    return table_batch(all->engine, TABLE, shard_of(all, key), &change, 1, deadline, NULL, fault);
}

result note_claim(struct accounts *all, struct id account, struct note_claim *ret_claim, millis deadline, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 4 * ENGINE_VALUE_MAX_BYTES);
    char text[ID_TEXT_LEN + 1];
    view key = key_of(account, text), old = VIEW_EMPTY;
    result code = CONFLICT;
    for (unsigned i = 0; code == CONFLICT && i < TRIES_MAX; i++) {
        arena_reset(arena);
        code = table_get(all->engine, TABLE, shard_of(all, key), key, deadline, arena, &old, fault);
        if (code == NOT_FOUND) old = VIEW_EMPTY;
        else if (code != OK) return code;
        else if (is_claimed(old)) return fail(fault, BUSY, "another node is at it");
        code = take(all, key, old, ret_claim, deadline, fault);
    }
    return code == CONFLICT ? fail(fault, BUSY, "other nodes are at it") : code;
}

result note_drop(struct accounts *all, struct id account, const struct note_claim *claim, millis deadline, struct fault *fault)
{
    char text[ID_TEXT_LEN + 1];
    struct table_change change = {.key = key_of(account, text), .what = TABLE_REMOVE, .condition = TABLE_IF_VALUE, .expected = view_of(claim->row)};
    result code = table_batch(all->engine, TABLE, shard_of(all, change.key), &change, 1, deadline, NULL, fault);
    return code == CONFLICT ? OK : code;
}

uint32_t accounts_note_shards(const struct accounts *all)
{
    return all->are_shared ? table_shards(all->engine, TABLE) : 0;
}

result accounts_noted(struct accounts *all, uint32_t shard, struct id *after, size_t max, millis deadline, struct id *ret_ids, size_t *ret_count, bool *ret_more,
                      struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ROWS_ARENA_BYTES);
    char text[ID_TEXT_LEN + 1];
    struct table_row *rows;
    size_t count, found = 0;
    view from = id_is_none(*after) ? VIEW_EMPTY : key_of(*after, text);
    result code = table_scan(all->engine, TABLE, shard, VIEW_EMPTY, from, max, deadline, arena, &rows, &count, fault);
    if (code != OK) return code;
    for (size_t i = 0; i < count; i++) {
        struct id id;
        if (!id_parse(rows[i].key, &id)) continue;
        *after = id;
        if (!is_claimed(rows[i].value)) ret_ids[found++] = id;
    }
    *ret_count = found;
    *ret_more = count == max;
    return OK;
}
