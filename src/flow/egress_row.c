#include "flow/egress_row.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "identity/row.h"
#include "runtime/clock.h"

enum { TRIES_MAX = 8, SITE_DIGITS = 16 };

static uint64_t number_of(const json_t *object, const char *key)
{
    json_int_t number = json_integer_value(json_object_get(object, key));
    return number > 0 ? (uint64_t)number : 0;
}

/* ---- reading ---- */

static bool parse_digits(view text, uint64_t *ret_number)
{
    uint64_t number = 0;
    if (text.len != SITE_DIGITS) return false;
    for (size_t i = 0; i < SITE_DIGITS; i++) {
        char c = text.at[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f')) return false;
        number = number << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    *ret_number = number;
    return true;
}

static bool read_block(const json_t *json, struct arena *arena, struct egress_block *b)
{
    view site = row_string(json, "site", arena);
    *b = (struct egress_block){.hosts = row_string(json, "hosts", arena), .answer = row_string(json, "answer", arena), .since = {(int64_t)number_of(json, "since")},
                               .until = {(int64_t)number_of(json, "until")}};
    return parse_digits(site, &b->site) && b->until.ms > clock_wall().ms;
}

/* With room for one block more. */
static void read_row(const json_t *json, struct arena *arena, struct egress_row *row)
{
    const json_t *blocks = json_object_get(json, "blocks");
    *row = (struct egress_row){.day = (int64_t)number_of(json, "day"), .sent = number_of(json, "sent"), .blocks = arena_array(arena, struct egress_block, EGRESS_BLOCKS_MAX + 1)};
    for (size_t i = 0; i < json_array_size(blocks) && row->block_count < EGRESS_BLOCKS_MAX; i++)
        row->block_count += read_block(json_array_get(blocks, i), arena, &row->blocks[row->block_count]);
}

/* *ret_json: of the row, or a new one; *ret_before: its text, empty when there is none. */
MAY_YIELD static result load(struct engine *e, view key, millis deadline, struct arena *arena, json_t **ret_json, view *ret_before, struct fault *fault)
{
    view before = VIEW_EMPTY;
    json_t *json = NULL;
    result code = table_get(e, EGRESS_TABLE, table_shard_of(e, EGRESS_TABLE, key), key, deadline, arena, &before, fault);
    if (code != OK && code != NOT_FOUND) return code;
    if (code == NOT_FOUND || row_parse(EGRESS_TABLE, key, before, &json, NULL) != OK) json = row_new();
    *ret_json = json;
    *ret_before = before;
    return OK;
}

result egress_row_read(struct engine *e, const struct address *a, millis deadline, struct arena *arena, struct egress_row *ret_row, struct fault *fault)
{
    char text[ADDRESS_TEXT_MAX];
    json_t *json CLEANUP(json_done) = NULL;
    view before;
    result code = load(e, address_text(a, text), deadline, arena, &json, &before, fault);
    if (code == OK) read_row(json, arena, ret_row);
    return code;
}

/* ---- writing ---- */

static void write_block(json_t *list, const struct egress_block *b)
{
    json_t *json = json_object();
    char digits[SITE_DIGITS + 1];
    check(json);
    snprintf(digits, sizeof digits, "%016" PRIx64, b->site);
    row_set_string(json, "site", view_of(digits));
    row_set_string(json, "hosts", b->hosts);
    row_set_string(json, "answer", b->answer);
    row_set_number(json, "since", (uint64_t)b->since.ms);
    row_set_number(json, "until", (uint64_t)b->until.ms);
    json_array_append_new(list, json);
}

static void write_row(json_t *json, const struct egress_row *row)
{
    json_t *list = json_array();
    check(list);
    row_set_number(json, "day", (uint64_t)row->day);
    row_set_number(json, "sent", row->sent);
    size_t first = row->block_count > EGRESS_BLOCKS_MAX ? row->block_count - EGRESS_BLOCKS_MAX : 0;
    for (size_t i = first; i < row->block_count; i++) write_block(list, &row->blocks[i]);
    json_object_set_new(json, "blocks", list);
}

MAY_YIELD static result put(struct engine *e, view key, view value, view before, millis deadline, struct fault *fault)
{
    struct table_change change = {.key = key, .what = TABLE_PUT, .value = value, .condition = before.len ? TABLE_IF_VALUE : TABLE_IF_ABSENT, .expected = before};
    return table_batch(e, EGRESS_TABLE, table_shard_of(e, EGRESS_TABLE, key), &change, 1, deadline, NULL, fault);
}

result egress_row_change(struct engine *e, const struct address *a, bool (*change)(void *argument, struct egress_row *row), void *argument, millis deadline, struct arena *arena,
                         struct egress_row *ret_row, struct fault *fault)
{
    char text[ADDRESS_TEXT_MAX];
    view key = address_text(a, text);
    result code = CONFLICT;
    for (unsigned i = 0; i < TRIES_MAX && code == CONFLICT; i++) {
        json_t *json CLEANUP(json_done) = NULL;
        view before;
        code = load(e, key, deadline, arena, &json, &before, fault);
        if (code != OK) break;
        read_row(json, arena, ret_row);
        if (!change(argument, ret_row)) break;
        write_row(json, ret_row);
        code = put(e, key, row_text(json, arena), before, deadline, fault);
    }
    return code;
}
