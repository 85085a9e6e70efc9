/*
 * draft: up to DRAFT_INLINE_MAX_BYTES in memory and from there into the record; up to HELD_MAX_BYTES in memory, while the loop's
 * share lasts, and from there into an object of the account; beyond that a staging object that is written in pieces.
 *
 * The staging object "staging/<id>" has an id of its own, made when it is begun, so its age can be told from its name:
 * what is older than STAGING_KEPT_MS was left by a node that died. It saves memory, but costs three objects for one, and where a store has
 * hard links (the local engine) it lets many accounts share the bytes.
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

enum { PIECE_BYTES = 64 << 10, HELD_MAX_BYTES = 1 << 20, HELD_OF_LOOP_BYTES = 32 << 20, STAGING_NAME_MAX = 8 + ID_TEXT_LEN + 1, CLEAN_UP_MS = 5000, SWEEP_NAMES = 1000 };
static const int64_t STAGING_KEPT_MS = (int64_t)24 * 3600 * 1000;

struct draft {
    struct accounts *all;
    struct id message;
    uint64_t limit_bytes, bytes;
    buf memory;                          /* all of it, or what is not yet written to the object */
    size_t held_bytes;                   /* of it beyond the first piece: counted in home.held_bytes */
    struct object_writer *writer;        /* while the object is written */
    bool is_staged;                      /* the object is complete */
    bool is_broken;                      /* a write failed or the limit was passed */
    char staging[STAGING_NAME_MAX + 1];  /* empty: all of it is in memory */
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
    return d->bytes <= DRAFT_INLINE_MAX_BYTES;
}

view draft_body(const struct draft *d)
{
    return buf_view(&d->memory);
}

static bool is_in_memory(const struct draft *d)
{
    return d->staging[0] == '\0';
}

static void let_go(struct draft *d)
{
    if (d->held_bytes > 0) accounts_here(d->all)->held_bytes -= d->held_bytes;
    d->held_bytes = 0;
}

/* Room for one more piece in memory. */
static bool hold(struct draft *d)
{
    struct home *h = accounts_here(d->all);
    size_t most = d->all->options.draft_memory_bytes ? (size_t)d->all->options.draft_memory_bytes : HELD_OF_LOOP_BYTES;
    if (!is_in_memory(d) || d->memory.len >= HELD_MAX_BYTES || h->held_bytes + PIECE_BYTES > most) return false;
    h->held_bytes += PIECE_BYTES;
    d->held_bytes += PIECE_BYTES;
    return true;
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
    let_go(d);
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
        if (d->memory.len > 0 && d->memory.len % PIECE_BYTES == 0 && !hold(d)) {
            result code = write_piece(d, deadline, fault);
            if (code != OK) {
                d->is_broken = true;
                return code;
            }
        }
        view piece = view_slice(bytes, 0, PIECE_BYTES - d->memory.len % PIECE_BYTES);
        buf_append(&d->memory, piece);
        d->bytes += piece.len;
        bytes = view_from(bytes, piece.len);
    }
    return OK;
}

result draft_seal(struct draft *d, size_t accounts, millis deadline, struct fault *fault)
{
    if (d->is_broken) return fail(fault, INVALID, "the draft is not whole");
    if (draft_is_inline(d) || d->is_staged) return OK;
    if (is_in_memory(d) && (accounts == 1 || d->all->are_shared)) return OK;
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
    view to = account_alone_name(account, d->message, second, name);
    result code = is_in_memory(d) ? object_put(d->all->engine, to, buf_view(&d->memory), deadline, fault ? fault : &ignored)
                                  : object_copy(d->all->engine, view_of(d->staging), to, deadline, fault ? fault : &ignored);
    POINT("account.draft.placed");
    return code == EXISTS ? OK : code;
}

bool draft_is_held(const struct draft *d, view *ret_bytes)
{
    if (!is_in_memory(d)) return false;
    *ret_bytes = draft_body(d);
    return true;
}

bool draft_is_small(const struct draft *d, view *ret_bytes)
{
    if (!draft_is_inline(d)) return false;
    *ret_bytes = draft_body(d);
    return true;
}

result draft_store(struct draft *d, view name, millis deadline, struct fault *fault)
{
    struct fault ignored;
    result code = draft_seal(d, 1, deadline, fault);
    if (code == OK && is_in_memory(d)) code = object_put(d->all->engine, name, buf_view(&d->memory), deadline, fault ? fault : &ignored);
    else if (code == OK) code = object_copy(d->all->engine, view_of(d->staging), name, deadline, fault ? fault : &ignored);
    return code == EXISTS ? OK : code;
}

void draft_free(struct draft *d)
{
    if (!d) return;
    if (d->writer) object_abort(d->writer);
    /* What cannot be removed now is swept a day later. */
    if (d->is_staged || (d->is_broken && !is_in_memory(d))) (void)!object_remove(d->all->engine, view_of(d->staging), clock_in(CLEAN_UP_MS), NULL);
    let_go(d);
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
