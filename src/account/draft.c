/*
 * draft: up to DRAFT_INLINE_MAX_BYTES in memory, then a staging object that is written in pieces of that size.
 *
 * The staging object "staging/<id>" has an id of its own, made when it is begun, so its age can be told from its name:
 * what is older than STAGING_KEPT_MS was left by a node that died.
 */
#include "account/draft.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "account/home.h"
#include "base/check.h"
#include "runtime/clock.h"
#include "runtime/point.h"
#include "runtime/random.h"

enum { PIECE_BYTES = 64 << 10, STAGING_NAME_MAX = 8 + ID_TEXT_LEN + 1, CLEAN_UP_MS = 5000, SWEEP_NAMES = 1000 };
static const int64_t STAGING_KEPT_MS = (int64_t)24 * 3600 * 1000;

struct draft {
    struct accounts *all;
    struct id message;
    uint64_t limit_bytes, bytes;
    buf memory;                          /* all of it, or what is not yet written to the object */
    struct object_writer *writer;        /* while the object is written */
    bool is_staged;                      /* the object is complete */
    bool is_broken;                      /* a write failed or the limit was passed */
    char staging[STAGING_NAME_MAX + 1];  /* empty: inline */
};

struct draft *draft_new(struct accounts *all, struct id message, uint64_t limit_bytes)
{
    struct draft *d = calloc(1, sizeof *d);
    check(d);
    d->all = all;
    d->message = message;
    d->limit_bytes = limit_bytes < UINT32_MAX ? limit_bytes : UINT32_MAX;      /* what a row can tell */
    return d;
}

uint64_t draft_bytes(const struct draft *d)
{
    return d->bytes;
}

struct id draft_message(const struct draft *d)
{
    return d->message;
}

bool draft_is_inline(const struct draft *d)
{
    return d->staging[0] == '\0';
}

view draft_body(const struct draft *d)
{
    return buf_view(&d->memory);
}

MAY_YIELD static result begin_object(struct draft *d, millis deadline, struct fault *fault)
{
    char id[ID_TEXT_LEN + 1];
    id_text(random_id(), id);
    snprintf(d->staging, sizeof d->staging, "staging/%s", id);
    return object_create(d->all->engine, view_of(d->staging), deadline, &d->writer, fault);
}

MAY_YIELD static result write_piece(struct draft *d, millis deadline, struct fault *fault)
{
    result code = OK;
    if (!d->writer) code = begin_object(d, deadline, fault);
    if (code == OK) code = object_write(d->writer, buf_view(&d->memory), deadline, fault);
    buf_clear(&d->memory);
    return code;
}

result draft_write(struct draft *d, view bytes, millis deadline, struct fault *fault)
{
    if (d->is_broken || d->is_staged) return fail(fault, INVALID, "the draft takes no more");
    if (bytes.len > d->limit_bytes - d->bytes) {
        d->is_broken = true;
        return fail(fault, TOO_BIG, "message of more than %" PRIu64 " bytes", d->limit_bytes);
    }
    while (bytes.len > 0) {
        if (d->memory.len == PIECE_BYTES) {
            result code = write_piece(d, deadline, fault);
            if (code != OK) {
                d->is_broken = true;
                return code;
            }
        }
        view piece = view_slice(bytes, 0, PIECE_BYTES - d->memory.len);
        buf_append(&d->memory, piece);
        d->bytes += piece.len;
        bytes = view_from(bytes, piece.len);
    }
    return OK;
}

result draft_seal(struct draft *d, millis deadline, struct fault *fault)
{
    if (d->is_broken) return fail(fault, INVALID, "the draft is not whole");
    if (draft_is_inline(d) || d->is_staged) return OK;
    result code = write_piece(d, deadline, fault);
    if (code == OK) {
        struct object_writer *w = d->writer;
        d->writer = NULL;
        POINT("account.draft.before_commit");
        code = object_commit(w, deadline, fault);
        POINT("account.draft.committed");
    }
    d->is_staged = code == OK;
    d->is_broken = code != OK;
    return code;
}

result draft_place(struct draft *d, struct id account, uint32_t second, millis deadline, struct fault *fault)
{
    char name[OBJECT_NAME_MAX];
    struct fault ignored;
    result code = object_copy(d->all->engine, view_of(d->staging), account_alone_name(account, d->message, second, name), deadline, fault ? fault : &ignored);
    POINT("account.draft.placed");
    return code == EXISTS ? OK : code;
}

void draft_free(struct draft *d)
{
    if (!d) return;
    if (d->writer) object_abort(d->writer);
    /* What cannot be removed now is swept a day later. */
    if (d->is_staged || (d->is_broken && !draft_is_inline(d))) (void)!object_remove(d->all->engine, view_of(d->staging), clock_in(CLEAN_UP_MS), NULL);
    buf_done(&d->memory);
    free(d);
}

/* ---- what dead nodes left ------------------------------------------------------------------------------ */

static bool is_left_over(view name)
{
    struct id id;
    if (!id_parse(view_from(name, sizeof "staging/" - 1), &id)) return false;
    return id_time(id).ms + STAGING_KEPT_MS < clock_wall().ms;
}

void staging_sweep(struct accounts *all)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    char after[STAGING_NAME_MAX + 1] = "";
    view *names;
    size_t count;
    do {
        arena_reset(arena);
        if (object_list(all->engine, VIEW("staging/"), view_of(after), SWEEP_NAMES, clock_in(CLEAN_UP_MS), arena, &names, &count, NULL) != OK) return;
        for (size_t i = 0; i < count; i++) {
            if (!is_left_over(names[i])) continue;
            if (object_remove(all->engine, names[i], clock_in(CLEAN_UP_MS), NULL) != OK) return;
        }
        if (count > 0) snprintf(after, sizeof after, VIEW_FMT, VIEW_ARG(names[count - 1]));
    } while (count == SWEEP_NAMES);
}
