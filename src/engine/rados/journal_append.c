/*
 * Appends: one operation each, atomic by itself. A blind one has no condition at all. librados keeps the order of operations
 * on one object, and one thread submits what one loop appends.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "engine/rados/journal_private.h"
#include "runtime/random.h"

struct sending {
    struct rados *engine;
    struct journal_append *append;
    uint64_t append_id;
    size_t frame_bytes;
    void (*done)(struct journal_append *a, void *argument);
    void *argument;
};

static void set_position(const struct sending *s)
{
    struct journal_append *a = s->append;
    if (!a->only_if_at) return;
    a->before_known = true;
    a->before = *a->only_if_at;
    a->at = (struct journal_position){a->before.epoch, a->before.offset + s->frame_bytes, s->append_id};
    a->body_offset = a->at.offset - FRAME_TRAILER_BYTES - a->body.len;
}

/* A condition can fail by the journal's not being there, being there, or being elsewhere. */
static result append_result(struct client_op *op, const struct sending *s)
{
    struct journal_append *a = s->append;
    bool has_lost = a->only_if_at && (op->returned == -ENOENT || op->returned == -EEXIST || op->returned == -ECANCELED);
    if (has_lost) return fail(a->fault, CONFLICT, "the journal has moved on");
    if (op->returned != -EFBIG) return client_result(op, "append to a journal", a->fault);
    journal_shrink_start(s->engine, a->journal);
    return fail(a->fault, UNAVAILABLE, "the journal's object is as large as the cluster lets it be: it must be compacted");
}

static void append_ended(struct client_op *op, result code, void *argument)
{
    struct sending s = *(struct sending *)argument;
    s.append->code = append_result(op, &s);
    if (s.append->code == OK) set_position(&s);
    if (s.append->code == OK || s.append->code == UNKNOWN_OUTCOME) cluster_notify(&s.engine->base, s.append->journal);
    client_op_free(op);
    s.done(s.append, s.argument);
}

static bool is_zero(const struct journal_position *p) { return p->epoch == 0 && p->offset == 0 && p->tail == 0; }

static void add_condition(struct client_op *op, const struct journal_position *at)
{
    if (is_zero(at)) {
        rados_write_op_create(op->write, LIBRADOS_CREATE_EXCLUSIVE, NULL);
        return;
    }
    journal_write_if(op, "tail", at->tail);
    journal_write_if(op, "epoch", at->epoch);
}

static uint64_t new_append_id(void)
{
    uint64_t id;
    do id = random_u64();
    while (id == 0);
    return id;
}

/* librados copies what it is given. */
static void add_frame(struct client_op *op, const struct sending *s)
{
    char *frame = malloc(s->frame_bytes);
    check(frame);
    journal_frame_write(frame, s->append_id, s->append->meta, s->append->body);
    rados_write_op_append(op->write, frame, s->frame_bytes);
    free(frame);
}

void cluster_append_start(struct engine *base, struct journal_append *a, millis deadline, void (*done)(struct journal_append *a, void *argument),
                          void *argument)
{
    struct rados *e = rados_of(base);
    struct journal_name name = journal_name(a->journal);
    struct client_op *op = client_write_new(e->client, SPACE_JOURNALS, journal_name_view(&name));
    struct sending *s = client_op_alloc(op, sizeof *s);
    *s = (struct sending){e, a, new_append_id(), journal_frame_bytes(a->meta.len, a->body.len), done, argument};
    if (a->only_if_at) add_condition(op, a->only_if_at);
    add_frame(op, s);
    journal_write_set(op, "tail", s->append_id);
    op->bytes = s->frame_bytes;
    client_start(op, deadline, append_ended, s);
}
