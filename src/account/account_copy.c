#include "account/account_copy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account/home.h"
#include "base/check.h"
#include "runtime/clock.h"

enum {
    CHUNK_BYTES = 1 << 20,
    LIST_NAMES = 1000,
    NAMES_BYTES_MAX = 256 << 20,             /* of one account, in memory: a million objects */
    PAGE_BYTES_MAX = 8 << 20,
    APPENDS_MAX = 64, APPENDS_BYTES = 1 << 20,   /* at once */
    TRIES_MAX = 10,                          /* an account that is compacted again and again while it is read */
};

struct copying {
    struct engine *from, *to;
    struct id account;
    bool is_frozen;
    int64_t step_ms;
    struct account_copied *copied;
    struct fault *fault;
};

static millis soon(const struct copying *c) { return clock_in(c->step_ms); }

/* ---- objects ---------------------------------------------------------------------------------------------- */

/* Names of one folder, in the arena and as keys of the map. */
MAY_YIELD static result list_objects(struct copying *c, struct engine *e, view folder, struct arena *arena, struct map *names)
{
    CLEANUP(arena_freep) struct arena *page = arena_new(NULL, 4 << 20);
    char after[ENGINE_NAME_MAX_BYTES + 1] = "";
    view *found;
    for (size_t count = LIST_NAMES; count == LIST_NAMES;) {
        arena_reset(page);
        result code = object_list(e, folder, view_of(after), LIST_NAMES, soon(c), page, &found, &count, c->fault);
        if (code != OK) return code;
        for (size_t i = 0; i < count; i++) {
            char *name = arena_try_alloc(arena, found[i].len + 1);
            if (!name) return fail(c->fault, TOO_BIG, "too many objects in " VIEW_FMT, VIEW_ARG(folder));
            memcpy(name, found[i].at, found[i].len);
            map_put(names, view_make(name, found[i].len), name);
        }
        if (count > 0) snprintf(after, sizeof after, VIEW_FMT, VIEW_ARG(found[count - 1]));
    }
    return OK;
}

MAY_YIELD static result copy_bytes(struct copying *c, view name, struct object_writer *w)
{
    CLEANUP(buf_done) buf chunk = BUF_INIT;
    uint64_t at = 0;
    for (;;) {
        buf_clear(&chunk);
        result code = object_read(c->from, name, at, CHUNK_BYTES, soon(c), &chunk, c->fault);
        if (code != OK) return code;
        if (chunk.len == 0) break;
        code = object_write(w, buf_view(&chunk), soon(c), c->fault);
        if (code != OK) return code;
        at += chunk.len;
    }
    c->copied->bytes += at;
    return OK;
}

/* One that the source has removed meanwhile is not missed. */
MAY_YIELD static result copy_object(struct copying *c, view name)
{
    struct object_writer *w;
    result code = object_create(c->to, name, soon(c), &w, c->fault);
    if (code != OK) return code;
    code = copy_bytes(c, name, w);
    if (code != OK) {
        object_abort(w);
        return code == NOT_FOUND ? OK : code;
    }
    code = object_commit(w, soon(c), c->fault);
    if (code == OK) c->copied->objects++;
    return code == EXISTS ? OK : code;
}

MAY_YIELD static result copy_objects(struct copying *c, view folder)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(NULL, NAMES_BYTES_MAX);
    CLEANUP(map_done) struct map here = MAP_INIT, there = MAP_INIT;
    struct map_slot *slot;
    result code = list_objects(c, c->from, folder, arena, &here);
    bool has_place = !engine_is_cold(folder) || engine_has_archive(c->to);
    if (code == OK && !has_place && here.count > 0)
        return fail(c->fault, UNAVAILABLE, "the account has messages in the archive, and the store that it is copied to was given none");
    if (code == OK && has_place) code = list_objects(c, c->to, folder, arena, &there);
    for (size_t at = 0; code == OK && (slot = map_next(&here, &at));)
        if (!map_get(&there, slot->key)) code = copy_object(c, slot->key);
    for (size_t at = 0; code == OK && c->is_frozen && (slot = map_next(&there, &at));)
        if (!map_get(&here, slot->key)) code = object_remove(c->to, slot->key, soon(c), c->fault);
    return code;
}

/* ---- reading a journal from its head on ------------------------------------------------------------------------ */

struct reading {
    struct copying *copying;
    struct engine *engine;
    struct arena *arena;
    struct journal_page page;
    size_t next;                             /* of the page */
    bool is_there;
    buf head;
};

static void reading_end(struct reading *r)
{
    arena_free(r->arena);
    buf_done(&r->head);
}

/* Also of a journal that is not there. */
MAY_YIELD static result reading_begin(struct reading *r, struct copying *c, struct engine *e)
{
    *r = (struct reading){.copying = c, .engine = e, .arena = arena_new(NULL, PAGE_BYTES_MAX)};
    result code = engine_read(e, c->account, NULL, soon(c), r->arena, &r->page, c->fault);
    r->is_there = code == OK;
    if (code == OK) buf_append(&r->head, r->page.head);
    if (code == NOT_FOUND) r->page = (struct journal_page){0};
    return code == NOT_FOUND ? OK : code;
}

/* END after the last. CONFLICT: it was compacted meanwhile. The record is good until the next call. */
MAY_YIELD static result reading_peek(struct reading *r, const struct journal_record **ret_record)
{
    while (r->next == r->page.count) {
        if (!r->page.more) return END;
        struct journal_position from = r->page.end;
        arena_reset(r->arena);
        result code = engine_read(r->engine, r->copying->account, &from, soon(r->copying), r->arena, &r->page, r->copying->fault);
        if (code != OK) return code == NOT_FOUND ? CONFLICT : code;
        if (r->page.has_head) return CONFLICT;
        r->next = 0;
    }
    *ret_record = &r->page.records[r->next];
    return OK;
}

/* ---- the journal ------------------------------------------------------------------------------------------------- */

/*
 * Skips what both have. EXISTS: they differ, so that the copy has to begin anew. Metas carry ids of their own: what has the same meta has the same
 * body.
 */
MAY_YIELD static result skip_common(struct reading *from, struct reading *to)
{
    if (!view_equal(buf_view(&from->head), buf_view(&to->head))) return EXISTS;
    for (;;) {
        const struct journal_record *here, *there;
        result code = reading_peek(to, &there);
        if (code != OK) return code == END ? OK : code;
        code = reading_peek(from, &here);
        if (code != OK) return code == END ? EXISTS : code;
        if (!view_equal(here->meta, there->meta) || here->body_bytes != there->body_bytes) return EXISTS;
        from->next++;
        to->next++;
    }
}

/* A head can stand only where something was folded: a record that says nothing. */
MAY_YIELD static result write_head(struct copying *c, view head)
{
    struct journal_position beginning = {0};
    struct journal_append first = {.journal = c->account, .meta = VIEW("\0"), .only_if_at = &beginning, .fault = c->fault};
    result code = engine_append(c->to, &first, soon(c));
    return code == OK ? engine_replace_head(c->to, c->account, 0, &first.at, head, soon(c), NULL, c->fault) : code;
}

struct batch {
    struct journal_append appends[APPENDS_MAX], *list[APPENDS_MAX];
    struct journal_body_wanted bodies[APPENDS_MAX];
    buf bytes[APPENDS_MAX];
    size_t count, body_count;
};

MAY_YIELD static result read_batch(struct copying *c, struct reading *from, struct batch *b)
{
    size_t bytes = 0;
    for (; b->count < APPENDS_MAX && bytes < APPENDS_BYTES && from->next < from->page.count; from->next++) {
        const struct journal_record *r = &from->page.records[from->next];
        b->appends[b->count] = (struct journal_append){.journal = c->account, .meta = r->meta, .fault = c->fault};
        if (r->body_bytes) b->bodies[b->body_count++] = (struct journal_body_wanted){.record = *r, .into = &b->bytes[b->count]};
        bytes += r->meta.len + r->body_bytes;
        b->count++;
    }
    c->copied->bytes += bytes;
    result code = b->body_count ? engine_read_bodies(c->from, c->account, b->bodies, b->body_count, soon(c), c->fault) : OK;
    for (size_t i = 0; i < b->body_count && code == OK; i++) code = b->bodies[i].code;
    return code == NOT_FOUND ? CONFLICT : code;
}

MAY_YIELD static result write_batch(struct copying *c, struct batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        b->appends[i].body = buf_view(&b->bytes[i]);
        b->list[i] = &b->appends[i];
    }
    engine_append_all(c->to, b->list, b->count, soon(c));
    for (size_t i = 0; i < b->count; i++)
        if (b->appends[i].code != OK) return b->appends[i].code;
    c->copied->records += b->count;
    return OK;
}

/* What the copy lacks. Records of one batch stand in their order, or the next look finds that they do not. */
MAY_YIELD static result copy_rest(struct copying *c, struct reading *from)
{
    const struct journal_record *ignored;
    result code;
    struct batch *b = calloc(1, sizeof *b);
    check(b);
    while ((code = reading_peek(from, &ignored)) == OK) {
        b->count = b->body_count = 0;
        code = read_batch(c, from, b);
        if (code == OK) code = write_batch(c, b);
        for (size_t i = 0; i < APPENDS_MAX; i++) buf_clear(&b->bytes[i]);
        if (code != OK) break;
    }
    for (size_t i = 0; i < APPENDS_MAX; i++) buf_done(&b->bytes[i]);
    free(b);
    return code == END ? OK : code;
}

/* `from` stands at its first record, or where the copy ends. */
MAY_YIELD static result copy_journal_from(struct copying *c, struct reading *from)
{
    struct reading to;
    result code = reading_begin(&to, c, c->to);
    if (code == OK) code = skip_common(from, &to);
    reading_end(&to);
    if (code == EXISTS) {
        /* Begins anew with the next try: what was skipped has to be read again. */
        code = engine_remove_journal(c->to, c->account, soon(c), c->fault);
        if (code == OK && from->head.len) code = write_head(c, buf_view(&from->head));
        return code == OK ? CONFLICT : code;
    }
    return code == OK ? copy_rest(c, from) : code;
}

MAY_YIELD static result copy_journal(struct copying *c)
{
    result code = CONFLICT;
    for (unsigned tries = 0; code == CONFLICT && tries < TRIES_MAX; tries++) {
        struct reading from;
        code = reading_begin(&from, c, c->from);
        if (code == OK && from.is_there) code = copy_journal_from(c, &from);
        else if (code == OK) code = engine_remove_journal(c->to, c->account, soon(c), c->fault);
        reading_end(&from);
    }
    return code == CONFLICT ? fail(c->fault, BUSY, "the account was compacted again and again while it was copied") : code;
}

/* Objects first: what a record or a head refers to is there when they are. */
result account_copy(struct engine *from, struct engine *to, struct id account, bool is_frozen, int64_t step_ms, struct account_copied *copied,
                    struct fault *fault)
{
    struct copying c = {from, to, account, is_frozen, step_ms, copied, fault};
    char text[OBJECT_NAME_MAX];
    result code = copy_objects(&c, account_object_name(account, VIEW_EMPTY, text));
    /* After the others: what goes to the archive meanwhile is there by now. */
    if (code == OK && engine_has_archive(from)) code = copy_objects(&c, account_cold_folder(account, text));
    return code == OK ? copy_journal(&c) : code;
}

result account_copy_objects(struct engine *from, struct engine *to, view prefix, bool is_frozen, int64_t step_ms, struct account_copied *copied,
                            struct fault *fault)
{
    struct copying c = {.from = from, .to = to, .is_frozen = is_frozen, .step_ms = step_ms, .copied = copied, .fault = fault};
    return copy_objects(&c, prefix);
}
