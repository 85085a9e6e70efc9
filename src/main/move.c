#include "main/move.h"

#include "base/check.h"
#include "identity/row.h"
#include "runtime/clock.h"

enum { STEP_MS = 30000, ROW_BYTES_MAX = 64 << 10 };
static const view table = VIEW_INIT("moves"), key_copy = VIEW_INIT("copy"), key_gone = VIEW_INIT("gone");

MAY_YIELD static result write_row(struct engine *e, view key, const json_t *row, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ROW_BYTES_MAX);
    struct table_change change = {.key = key, .what = row ? TABLE_PUT : TABLE_REMOVE, .value = row ? row_text(row, arena) : VIEW_EMPTY};
    return table_batch(e, table, table_shard_of(e, table, key), &change, 1, clock_in(STEP_MS), NULL, fault);
}

/* *ret_row NULL: there is none. */
MAY_YIELD static result read_row(struct engine *e, view key, struct arena *arena, json_t **ret_row, struct fault *fault)
{
    view text;
    *ret_row = NULL;
    result r = table_get(e, table, table_shard_of(e, table, key), key, clock_in(STEP_MS), arena, &text, fault);
    return r == OK ? row_parse(table, key, text, ret_row, fault) : r == NOT_FOUND ? OK : r;
}

result move_read(struct engine *e, struct arena *arena, struct move_marks *ret_marks, struct fault *fault)
{
    json_t *copy CLEANUP(json_done) = NULL, *gone CLEANUP(json_done) = NULL;
    result r = read_row(e, key_copy, arena, &copy, fault);
    if (r == OK) r = read_row(e, key_gone, arena, &gone, fault);
    if (r != OK) return r;
    *ret_marks = (struct move_marks){.is_copy = copy != NULL, .is_complete = json_is_true(json_object_get(copy, "complete")), .is_gone = gone != NULL};
    if (copy) ret_marks->other = row_string(copy, "from", arena);
    if (gone) ret_marks->other = row_string(gone, "to", arena);
    return OK;
}

result move_mark_copy(struct engine *e, view from, bool is_complete, struct fault *fault)
{
    json_t *row CLEANUP(json_done) = row_new();
    row_set_string(row, "from", from);
    json_object_set_new(row, "complete", json_boolean(is_complete));
    result r = write_row(e, key_copy, row, fault);
    return r == OK ? write_row(e, key_gone, NULL, fault) : r;
}

result move_mark_gone(struct engine *e, view to, struct fault *fault)
{
    json_t *row CLEANUP(json_done) = row_new();
    row_set_string(row, "to", to);
    row_set_number(row, "at", (uint64_t)clock_wall().ms);
    return write_row(e, key_gone, row, fault);
}

result move_forget(struct engine *e, struct fault *fault)
{
    result r = write_row(e, key_copy, NULL, fault);
    return r == OK ? write_row(e, key_gone, NULL, fault) : r;
}

result move_check(struct engine *e, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 4 * ENGINE_VALUE_MAX_BYTES);
    struct move_marks marks;
    result r = move_read(e, arena, &marks, fault);
    if (r != OK) return r;
    if (marks.is_gone)
        return fail(fault, INVALID, "this store was moved to " VIEW_FMT ": serve that one; tayori store release takes this one back", VIEW_ARG(marks.other));
    if (marks.is_copy && !marks.is_complete)
        return fail(fault, INVALID, "this store is an unfinished copy of " VIEW_FMT ": tayori store copy --finish on that one ends it", VIEW_ARG(marks.other));
    return OK;
}
