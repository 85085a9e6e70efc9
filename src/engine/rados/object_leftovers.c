/*
 * What writers that died have left: rows of the index whose object was never committed (or was removed by a node that died before it had
 * cleared all away), and pieces. No writer commits later than OBJECT_WRITER_LIFE_MS after its beginning, so what is
 * older than OBJECT_GRACE_MS by any node's clock belongs to nobody.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "engine/rados/objects_private.h"
#include "runtime/clock.h"

enum { PAGE_ROWS = 256, PAGE_BYTES = 1 << 20, STEP_MS = 30000, WHAT_BYTES = 400 };

result leftover_remove(struct rados *e, view name, struct id writer, uint64_t pieces, millis deadline, struct fault *fault)
{
    result code = OK;
    if (pieces == UINT64_MAX) code = pieces_count(e, name, writer, deadline, &pieces, fault);
    if (code == OK) code = pieces_remove(e, name, writer, pieces, deadline, fault);
    return code == OK ? index_remove(e, name, writer, deadline, fault) : code;
}

static bool is_old(struct id writer, int64_t grace_ms) { return id_time(writer).ms + grace_ms < clock_wall().ms; }

result leftovers_remove(struct rados *e, view name, millis deadline, struct fault *fault)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(NULL, PAGE_BYTES);
    struct index_page page;
    char prefix[ENGINE_NAME_MAX_BYTES + 1];
    memcpy(prefix, name.at, name.len);
    prefix[name.len] = ' ';
    result code = index_page_read(e, index_shard_of(e, name), view_make(prefix, name.len + 1), VIEW_EMPTY, PAGE_ROWS, deadline, arena, &page, fault);
    for (size_t i = 0; code == OK && i < page.count; i++)
        if (!page.rows[i].is_malformed && is_old(page.rows[i].writer, OBJECT_GRACE_MS))
            code = leftover_remove(e, name, page.rows[i].writer, UINT64_MAX, deadline, fault);
    return code;
}

/* ---- all of them ------------------------------------------------------------------------------------------------ */

struct check_up {
    struct rados *engine;
    int64_t grace_ms;
    void (*found)(void *argument, view what);
    void *argument;
    bool must_remove;                    /* leftovers; else they are told */
    uint64_t removed;
    struct fault *fault;
};

__attribute__((format(printf, 2, 3))) static void tell(const struct check_up *c, const char *format, ...)
{
    char what[WHAT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    if (c->found) c->found(c->argument, view_make(what, (size_t)len < sizeof what ? (size_t)len : sizeof what - 1));
}

MAY_YIELD static result check_pieces(const struct check_up *c, view name, const struct object_about *about)
{
    uint64_t bad, count = object_about_pieces(about);
    result code = pieces_check(c->engine, name, about, clock_in(STEP_MS), &bad, c->fault);
    struct object_about now;
    /* Removed while it was looked at? */
    if (code == OK && bad < count && base_look(c->engine, name, clock_in(STEP_MS), &now, NULL) == OK && id_equal(now.writer, about->writer))
        tell(c, "object " VIEW_FMT ": piece %" PRIu64 " of %" PRIu64 " is missing or of another size", VIEW_ARG(name), bad, count);
    return code;
}

MAY_YIELD static result check_leftover(struct check_up *c, const struct index_row *row)
{
    if (!is_old(row->writer, c->grace_ms)) return OK;
    if (!c->must_remove) {
        char text[ID_TEXT_LEN + 1];
        id_text(row->writer, text);
        tell(c, "object " VIEW_FMT ": left unfinished by writer %s, or removed half", VIEW_ARG(row->name), text);
        return OK;
    }
    result code = leftover_remove(c->engine, row->name, row->writer, UINT64_MAX, clock_in(STEP_MS), c->fault);
    if (code == OK) c->removed++;
    return code;
}

MAY_YIELD static result check_row(struct check_up *c, const struct index_row *row)
{
    struct object_about about;
    if (row->is_malformed) {
        tell(c, "index of objects: a malformed row of %zu bytes", row->key.len);
        return OK;
    }
    result code = base_look(c->engine, row->name, clock_in(STEP_MS), &about, c->fault);
    if (code == CORRUPT) {
        tell(c, "object " VIEW_FMT ": its description is damaged", VIEW_ARG(row->name));
        return OK;
    }
    if (code != OK && code != NOT_FOUND && engine_is_cold(row->name)) {
        if (!c->must_remove) tell(c, "object " VIEW_FMT ": the archive is away", VIEW_ARG(row->name));
        return OK;
    }
    if (code == NOT_FOUND || (code == OK && !id_equal(about.writer, row->writer))) return check_leftover(c, row);
    return code == OK && !c->must_remove ? check_pieces(c, row->name, &about) : code;
}

MAY_YIELD static result check_shard(struct check_up *c, uint32_t shard)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(NULL, PAGE_BYTES);
    char after[OBJECT_ROW_BYTES + 1] = "";
    struct index_page page = {.more = true};
    result code = OK;
    while (code == OK && page.more) {
        arena_reset(arena);
        code = index_page_read(c->engine, shard, VIEW_EMPTY, view_of(after), PAGE_ROWS, clock_in(STEP_MS), arena, &page, c->fault);
        for (size_t i = 0; code == OK && i < page.count; i++) code = check_row(c, &page.rows[i]);
        if (code != OK || page.count == 0) break;
        view last = page.rows[page.count - 1].key;
        memcpy(after, last.at, last.len);
        after[last.len] = '\0';
    }
    return code;
}

MAY_YIELD static result check_all(struct check_up *c)
{
    result code = OK;
    for (uint32_t shard = 0; code == OK && shard < c->engine->layout.index_shards; shard++) {
        code = coroutine_check();
        if (code == OK) code = check_shard(c, shard);
    }
    return code;
}

result objects_verify(struct rados *e, int64_t grace_ms, void (*found)(void *argument, view what), void *argument, struct fault *fault)
{
    struct check_up c = {.engine = e, .grace_ms = grace_ms, .found = found, .argument = argument, .fault = fault};
    return check_all(&c);
}

result objects_reclaim(struct rados *e, int64_t grace_ms, uint64_t *place, uint64_t *count, struct fault *fault)
{
    struct check_up c = {.engine = e, .grace_ms = grace_ms, .must_remove = true, .fault = fault};
    if (*place >= e->layout.index_shards) return END;
    result code = check_shard(&c, (uint32_t)*place);
    *count += c.removed;
    if (code == OK) ++*place;
    return code;
}
