/*
 * Appends. A blind one has no condition at all; librados keeps the order of operations on one object, and one thread submits what one loop
 * appends. An operation costs the cluster about the same whatever it carries, and operations on one object are done one after the
 * other: so while two of this loop are under way to a journal, further blind appends to it wait and then go together in one. That is
 * for hot journals, such as shards of a queue; others never wait.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "engine/rados/journal_private.h"
#include "runtime/clock.h"
#include "runtime/event.h"
#include "runtime/random.h"

enum {
    UNDER_WAY_MAX = 2,                   /* operations of one loop to one journal before appends wait */
    TOGETHER_MAX = 256,                  /* records in one operation */
    TOGETHER_MAX_BYTES = 1 << 20,
};

/* One append. */
struct sending {
    struct list node;                    /* in a lane's waiting or a flight's sendings */
    struct task task;                    /* to tell what was never sent */
    struct journal_append *append;
    uint64_t append_id;
    size_t frame_bytes;
    millis deadline;
    void (*done)(struct journal_append *a, void *argument);
    void *argument;
};

/* What one loop has to do with one journal as long as blind appends are under way. */
struct lane {
    struct rados *engine;
    struct map *lanes;                   /* the loop's, by id */
    struct id journal;
    unsigned under_way;
    struct list waiting;                 /* struct sending, oldest first; each is counted with client_hold() */
    struct timer timer;                  /* for the first deadline of those */
};

/* One operation. */
struct flight {
    struct rados *engine;
    struct lane *lane;                   /* NULL: a conditional one */
    struct list sendings;
    size_t count, bytes;
};

/* ---- telling ---------------------------------------------------------------------------------------------- */

static void tell(struct sending *s)
{
    struct sending copy = *s;
    free(s);
    copy.done(copy.append, copy.argument);
}

static void tell_later(struct task *t) { tell(container_of(t, struct sending, task)); }

static void refuse(struct sending *s, result code)
{
    s->append->code = code;
    s->task.run = tell_later;
    loop_post(loop_self(), &s->task);
}

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
static result append_result(struct client_op *op, const struct journal_append *a)
{
    bool has_lost = a->only_if_at && (op->returned == -ENOENT || op->returned == -EEXIST || op->returned == -ECANCELED);
    if (has_lost) return fail(a->fault, CONFLICT, "the journal has moved on");
    if (op->returned != -EFBIG) return client_result(op, "append to a journal", a->fault);
    return fail(a->fault, UNAVAILABLE, "the journal's object is as large as the cluster lets it be: it must be compacted");
}

static void send_waiting(struct lane *l);
static void lane_free_if_idle(struct lane *l);

static void flight_ended(struct client_op *op, result code, void *argument)
{
    struct flight *f = argument;
    struct list sendings;
    list_init(&sendings);
    list_splice(&sendings, &f->sendings);
    list_each (node, &sendings) {
        struct sending *s = container_of(node, struct sending, node);
        s->append->code = append_result(op, s->append);
        if (s->append->code == OK) set_position(s);
    }
    const struct journal_append *first = container_of(sendings.next, struct sending, node)->append;
    if (first->code == OK || first->code == UNKNOWN_OUTCOME) cluster_notify(&f->engine->base, first->journal);
    if (op->returned == -EFBIG) journal_shrink_start(f->engine, first->journal);
    struct lane *l = f->lane;
    client_op_free(op);
    if (l) {
        l->under_way--;
        send_waiting(l);
        lane_free_if_idle(l);
    }
    while (!list_is_empty(&sendings)) tell(container_of(list_pop(&sendings), struct sending, node));
}

/* ---- sending ---------------------------------------------------------------------------------------------- */

static struct client_op *flight_new(struct rados *e, struct id journal, struct lane *l, struct flight **ret_flight)
{
    struct journal_name name = journal_name(journal);
    struct client_op *op = client_write_new(e->client, SPACE_JOURNALS, journal_name_view(&name));
    struct flight *f = client_op_alloc(op, sizeof *f);
    f->engine = e;
    f->lane = l;
    list_init(&f->sendings);
    *ret_flight = f;
    return op;
}

static void flight_add(struct flight *f, struct sending *s)
{
    list_append(&f->sendings, &s->node);
    f->count++;
    f->bytes += s->frame_bytes;
}

/* librados copies what it is given. The first deadline is that of all: who had longer is told a little early that nothing is known. */
static void flight_start(struct client_op *op, struct flight *f)
{
    char *frames = malloc(f->bytes), *at = frames;
    uint64_t last_id = 0;
    millis deadline = MILLIS_NEVER;
    check(frames);
    list_each (node, &f->sendings) {
        const struct sending *s = container_of(node, struct sending, node);
        journal_frame_write(at, s->append_id, s->append->meta, s->append->body);
        at += s->frame_bytes;
        last_id = s->append_id;
        deadline = millis_min(deadline, s->deadline);
    }
    rados_write_op_append(op->write, frames, f->bytes);
    free(frames);
    journal_write_set(op, "tail", last_id);
    op->bytes = f->bytes;
    metric_add(METRIC_RADOS_JOURNAL_RECORDS, (int64_t)f->count);
    client_start(op, deadline, flight_ended, f);
}

static bool is_zero(const struct journal_position *p) { return p->epoch == 0 && p->offset == 0 && p->tail == 0; }

static void send_conditional(struct rados *e, struct sending *s)
{
    const struct journal_position *at = s->append->only_if_at;
    struct flight *f;
    struct client_op *op = flight_new(e, s->append->journal, NULL, &f);
    if (is_zero(at)) {
        rados_write_op_create(op->write, LIBRADOS_CREATE_EXCLUSIVE, NULL);
    } else {
        journal_write_if(op, "tail", at->tail);
        journal_write_if(op, "epoch", at->epoch);
    }
    flight_add(f, s);
    flight_start(op, f);
}

/* ---- lanes ------------------------------------------------------------------------------------------------ */

static void arm_for_waiting(struct lane *l)
{
    millis first = MILLIS_NEVER;
    list_each (node, &l->waiting) first = millis_min(first, container_of(node, struct sending, node)->deadline);
    if (millis_is_never(first)) timer_disarm(&l->timer);
    else timer_arm(&l->timer, first);
}

/* Of those that wait: they were not begun. */
static void drop_the_late(struct lane *l)
{
    list_each (node, &l->waiting) {
        struct sending *s = container_of(node, struct sending, node);
        if (millis_before(clock_now(), s->deadline)) continue;
        list_remove(&s->node);
        client_let_go(l->engine->client);
        refuse(s, fail(s->append->fault, TIMEOUT, "append to a journal: the deadline passed before it was begun"));
    }
}

static void deadline_passed(struct timer *t)
{
    struct lane *l = container_of(t, struct lane, timer);
    drop_the_late(l);
    arm_for_waiting(l);
}

static struct lane *lane_of(struct rados *e, struct id journal)
{
    struct map *lanes = &e->lanes[loop_index(loop_self())];
    struct lane *l = map_get(lanes, id_view(&journal));
    if (l) return l;
    l = malloc(sizeof *l);
    check(l);
    *l = (struct lane){.engine = e, .lanes = lanes, .journal = journal};
    list_init(&l->waiting);
    timer_init(&l->timer, deadline_passed);
    map_put(lanes, id_view(&l->journal), l);
    return l;
}

static void lane_free_if_idle(struct lane *l)
{
    if (l->under_way > 0 || !list_is_empty(&l->waiting)) return;
    timer_disarm(&l->timer);
    map_remove(l->lanes, id_view(&l->journal));
    free(l);
}

/* All that fits in one operation. */
static void send_together(struct lane *l)
{
    struct flight *f;
    struct client_op *op = flight_new(l->engine, l->journal, l, &f);
    while (!list_is_empty(&l->waiting) && f->count < TOGETHER_MAX) {
        struct sending *s = container_of(l->waiting.next, struct sending, node);
        if (f->count > 0 && f->bytes + s->frame_bytes > TOGETHER_MAX_BYTES) break;
        list_remove(&s->node);
        client_let_go(l->engine->client);
        flight_add(f, s);
    }
    l->under_way++;
    flight_start(op, f);
}

static void send_waiting(struct lane *l)
{
    drop_the_late(l);
    while (l->under_way < UNDER_WAY_MAX && !list_is_empty(&l->waiting)) send_together(l);
    arm_for_waiting(l);
}

/* What was appended before a conditional append goes before it. */
static void flush_lane(struct rados *e, struct id journal)
{
    struct lane *l = map_get(&e->lanes[loop_index(loop_self())], id_view(&journal));
    if (l) drop_the_late(l);
    while (l && !list_is_empty(&l->waiting)) send_together(l);
}

static uint64_t new_append_id(void)
{
    uint64_t id;
    do id = random_u64();
    while (id == 0);
    return id;
}

void cluster_append_start(struct engine *base, struct journal_append *a, millis deadline, void (*done)(struct journal_append *a, void *argument),
                          void *argument)
{
    struct rados *e = rados_of(base);
    struct sending *s = malloc(sizeof *s);
    check(s);
    *s = (struct sending){.append = a, .append_id = new_append_id(), .frame_bytes = journal_frame_bytes(a->meta.len, a->body.len), .deadline = deadline,
                          .done = done, .argument = argument};
    list_init(&s->node);
    if (a->only_if_at) {
        flush_lane(e, a->journal);
        send_conditional(e, s);
        return;
    }
    if (!client_hold(e->client)) {
        refuse(s, fail(a->fault, UNAVAILABLE, "append to a journal: too many operations wait for the cluster"));
        return;
    }
    struct lane *l = lane_of(e, a->journal);
    list_append(&l->waiting, &s->node);
    if (l->under_way < UNDER_WAY_MAX) send_waiting(l);
    else if (!l->timer.armed || millis_before(deadline, l->timer.due)) arm_for_waiting(l);
    lane_free_if_idle(l);
}
