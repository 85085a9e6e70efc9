/*
 * Replacing a head. The bytes that it has folded are given back: if nothing stands behind them, the object begins anew with an empty
 * first byte; if records do, or come meanwhile, the folded range becomes a hole and they stay where they are, so that a busy journal
 * cannot starve its compaction.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "engine/rados/journal_private.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"

enum {
    SHRINK_ABOVE_BYTES = 32 << 20,       /* of the object with its holes. Ceph's limit for one is 128 MiB */
    SHRINK_REST_MAX_BYTES = 32 << 20,    /* of what would be written anew. Ceph's limit for one write is 90 MiB */
    SHRINK_TRIES = 5,
    SHRINK_MS = 30000,
};
static const char head_key[] = "head";

static struct client_op *new_write(struct rados *e, struct id journal)
{
    struct journal_name name = journal_name(journal);
    return client_write_new(e->client, SPACE_JOURNALS, journal_name_view(&name));
}

/* ---- replacing -------------------------------------------------------------------------------------------- */

struct replacement {
    struct rados *engine;
    struct id journal;
    struct journal_position folded;
    view head;
    uint64_t base;
    millis deadline;
    struct fault *fault;
};

static void add_head(struct client_op *op, const struct replacement *r)
{
    rados_write_op_omap_set2(op->write, (const char *const[]){head_key}, (const char *const[]){r->head.at}, (const size_t[]){sizeof head_key - 1},
                             (const size_t[]){r->head.len}, 1);
    journal_write_set(op, "epoch", r->folded.epoch + 1);
    journal_write_set(op, "start", r->folded.offset);
    journal_write_set(op, "folded", r->folded.tail);
    op->bytes += r->head.len;
}

/* CONFLICT: see op->returned, the caller asks the journal what it was. */
MAY_YIELD static result run(const struct replacement *r, struct client_op *op)
{
    result code = client_run(op, r->deadline, NULL);
    if (op->returned == -ENOENT) code = fail(r->fault, CONFLICT, "no such journal");
    else if (code != OK && code != CONFLICT) code = client_result(op, "replacement of a head", r->fault);
    client_op_free(op);
    return code;
}

/* Nothing stands behind what is folded: the object becomes empty. */
MAY_YIELD static result replace_all(const struct replacement *r)
{
    struct client_op *op = new_write(r->engine, r->journal);
    journal_write_if(op, "epoch", r->folded.epoch);
    journal_write_if(op, "tail", r->folded.tail);
    rados_write_op_truncate(op->write, 0);
    journal_write_set(op, "base", r->folded.offset);
    add_head(op, r);
    result code = run(r, op);
    if (code == OK) bases_put(r->engine->bases, r->journal, r->folded.offset);
    return code;
}

/* What stands behind stays. */
MAY_YIELD static result replace_beginning(const struct replacement *r)
{
    struct client_op *op = new_write(r->engine, r->journal);
    journal_write_if(op, "epoch", r->folded.epoch);
    journal_write_if(op, "base", r->base);
    if (r->folded.offset > r->base) rados_write_op_zero(op->write, 0, r->folded.offset - r->base);
    add_head(op, r);
    result code = run(r, op);
    if (code == OK && r->folded.offset - r->base > SHRINK_ABOVE_BYTES) journal_shrink_start(r->engine, r->journal);
    return code;
}

MAY_YIELD static result replace(struct replacement *r)
{
    struct journal_place place;
    for (;;) {
        result code = journal_ask_place(r->engine, r->journal, r->deadline, &place, r->fault);
        if (code == NOT_FOUND) code = fail(r->fault, CONFLICT, "no such journal");
        if (code != OK) return code;
        if (place.epoch != r->folded.epoch) return fail(r->fault, CONFLICT, "another head was faster");
        if (r->folded.offset < place.start) return fail(r->fault, INVALID, "what is to be folded is folded already");
        r->base = place.base;
        code = place.tail == r->folded.tail ? replace_all(r) : replace_beginning(r);
        /* A record came between, or the journal was shrunk: it is looked at again. Both do not come again and again in so short a time. */
        if (code != CONFLICT) return code;
    }
}

result cluster_replace_head(struct engine *base, struct id journal, uint64_t epoch, const struct journal_position *folded, view head,
                            millis deadline, struct journal_position *ret_head_at, struct fault *fault)
{
    struct replacement r = {.engine = rados_of(base), .journal = journal, .folded = *folded, .head = head, .deadline = deadline, .fault = fault};
    result code = replace(&r);
    if (code == OK) *ret_head_at = (struct journal_position){epoch + 1, folded->offset, folded->tail};
    return code;
}

/* ---- shrinking -------------------------------------------------------------------------------------------- */

struct shrink {
    struct rados *engine;
    struct id journal;
};

/* What stands behind the hole, as long as the journal stands as it did. TOO_BIG: more than is written at once. The caller frees the operation. */
MAY_YIELD static result read_rest(struct shrink *s, const struct journal_place *place, millis deadline, struct client_op *op, struct journal_bytes **ret_rest)
{
    journal_read_if(op, "epoch", place->epoch);
    journal_read_if(op, "tail", place->tail);
    journal_read_if(op, "base", place->base);
    *ret_rest = journal_read_bytes(op, place->start - place->base, SHRINK_REST_MAX_BYTES);
    result code = client_run(op, deadline, NULL);
    return code == OK && (*ret_rest)->got == (*ret_rest)->wanted ? TOO_BIG : code;
}

MAY_YIELD static result write_rest(struct shrink *s, const struct journal_place *place, const struct journal_bytes *rest, millis deadline)
{
    struct client_op *op = new_write(s->engine, s->journal);
    journal_write_if(op, "epoch", place->epoch);
    journal_write_if(op, "tail", place->tail);
    journal_write_if(op, "base", place->base);
    rados_write_op_write_full(op->write, rest->at, rest->got);
    journal_write_set(op, "base", place->start);
    op->bytes = rest->got;
    result code = client_run(op, deadline, NULL);
    if (code == OK) bases_put(s->engine->bases, s->journal, place->start);
    client_op_free(op);
    return code;
}

/* CONFLICT: something was appended meanwhile. */
MAY_YIELD static result try_shrink(struct shrink *s, millis deadline)
{
    struct journal_place place;
    struct journal_bytes *rest;
    result code = journal_ask_place(s->engine, s->journal, deadline, &place, NULL);
    if (code != OK || place.start == place.base) return code;
    struct journal_name name = journal_name(s->journal);
    struct client_op *op = client_read_new(s->engine->client, SPACE_JOURNALS, journal_name_view(&name));
    code = read_rest(s, &place, deadline, op, &rest);
    if (code == OK) code = write_rest(s, &place, rest, deadline);
    client_op_free(op);
    return code;
}

MAY_YIELD static void run_shrink(void *argument)
{
    struct shrink *s = argument;
    millis deadline = clock_in(SHRINK_MS);
    for (unsigned i = 0; i < SHRINK_TRIES && try_shrink(s, deadline) == CONFLICT; i++) coroutine_pause();
    rados_background_ended(s->engine);
    free(s);
}

void journal_shrink_start(struct rados *e, struct id journal)
{
    if (!rados_background_begin(e)) return;
    struct shrink *s = malloc(sizeof *s);
    check(s);
    *s = (struct shrink){e, journal};
    coroutine_spawn(loop_scope(loop_self()), "rados shrink", run_shrink, s);
}

/* ---- removing --------------------------------------------------------------------------------------------- */

result cluster_remove_journal(struct engine *base, struct id journal, millis deadline, struct fault *fault)
{
    struct rados *e = rados_of(base);
    struct client_op *op = new_write(e, journal);
    rados_write_op_remove(op->write);
    result code = client_run(op, deadline, NULL);
    code = code == NOT_FOUND ? OK : client_result(op, "removal of a journal", fault);
    client_op_free(op);
    if (code == OK) bases_put(e->bases, journal, 0);
    if (code == OK) cluster_notify(base, journal);
    return code;
}
