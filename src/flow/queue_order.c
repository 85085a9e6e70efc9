/* Operators' orders: how they get into journals, and what they do to a message. */
#include "base/check.h"
#include "base/feature.h"
#include "flow/outbound.h"
#include "flow/queue_private.h"
#include "flow/queue_reader.h"
#include "runtime/clock.h"
#include "runtime/random.h"

enum { IDS_ARENA_BYTES = 64 << 20 };

/* ---- one message ---- */

/* To be tried now; what the sender wanted to be held until a time is held until then. */
static void hurry(struct queued *m, struct outbound *sends)
{
    for (size_t i = 0; i < m->recipient_count; i++) {
        struct queued_recipient *r = &m->recipients[i];
        r->next_try = r->tries ? (unix_ms){0} : queued_extras(m)->not_before;
    }
    if (sends) outbound_hurry(sends, m);
}

/* The address that it was sent to first is what notices tell (RFC 3461 §5.2.1). */
static void change_address(struct queued *m, struct queued_recipient *r, view target)
{
    struct queued_extras *x = queued_need_extras(m);
    view *original = &x->originals[r - m->recipients];
    if (original->len == 0) *original = arena_printf(x->arena, "rfc822;" VIEW_FMT, VIEW_ARG(queued_address(r)));
    queued_set_address(r, target);
    r->is_elsewhere = false;
}

static void redirect(struct queued *m, const struct queue_filter *filter, view target)
{
    struct queued_extras *x = queued_need_extras(m);
    view kept = arena_keep(x->arena, target);
    bool is_address = view_has_byte(target, '@');
    if (!is_address) x->route = kept;
    for (size_t i = 0; i < m->recipient_count; i++) {
        struct queued_recipient *r = &m->recipients[i];
        if (r->state == RECIPIENT_DONE || (filter && !queued_recipient_matches(filter, r))) continue;
        r->next_try = (unix_ms){0};
        if (is_address && r->state == RECIPIENT_WAITING) change_address(m, r, kept);
    }
}

bool queued_obey(struct queued *m, enum queue_order order, const struct queue_filter *filter, view target)
{
    struct outbound *sends = m->shard->is_owned ? m->shard->queue->outbound : NULL;
    if (order == QUEUE_REMOVE) return true;
    m->is_held = order == QUEUE_HOLD || (m->is_held && order == QUEUE_REDIRECT);
    /* It goes back to where it came from, for queued_consider() to decide anew. */
    if (sends && (order == QUEUE_HOLD || order == QUEUE_EXPIRE || order == QUEUE_REDIRECT)) outbound_recall(sends, m);
    if (order == QUEUE_RETRY) hurry(m, sends);
    if (order == QUEUE_EXPIRE) m->must_expire = true;
    if (order == QUEUE_REDIRECT) redirect(m, filter, target);
    return false;
}

/* ---- many ---- */

struct ordering {
    struct queue *queue;
    struct shard *shard;
    const struct queue_filter *filter;
    enum queue_order order;
    view target;
    millis deadline;
    uint64_t matched;
    result code;
    struct fault *fault;
};

static uint64_t count_matching(const struct ordering *o, const struct shard *s)
{
    uint64_t count = 0;
    list_each(node, &s->messages) count += queued_matches(o->filter, container_of(node, struct queued, node));
    return count;
}

/*
 * The owner applies it when it reads it, and not before: in the order of the journal, so that no message is concerned that came after it.
 */
MAY_YIELD static result append_orders(struct ordering *o, struct shard *s)
{
    buf meta CLEANUP(buf_done) = BUF_INIT;
    struct queue_record r = {.kind = QUEUE_ORDERS, .id = random_id(), .written = clock_wall(), .message = o->filter->message, .order = o->order, .filter = *o->filter,
                             .target = o->target};
    queue_record_encode(&meta, &r);
    struct journal_append a = {.journal = s->journal, .meta = buf_view(&meta), .fault = o->fault};
    result code = engine_append(s->queue->engine, &a, o->deadline);
    if (code == OK && s->is_owned) code = shard_read(s, o->deadline, o->fault);
    else if (code == OK) engine_notify(s->queue->engine, s->journal);
    return code;
}

/* For nodes that do not know filters: a record for each. Ids first, because an order yields and the list changes meanwhile. */
MAY_YIELD static result append_each(struct ordering *o, struct shard *s)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, IDS_ARENA_BYTES);
    struct id *ids = arena_array(arena, struct id, o->matched);
    size_t count = 0;
    result code = OK;
    list_each(node, &s->messages) {
        const struct queued *m = container_of(node, struct queued, node);
        if (count < o->matched && queued_matches(o->filter, m)) ids[count++] = m->message;
    }
    for (size_t i = 0; i < count && code == OK; i++) {
        struct queue_record r = {.kind = QUEUE_ORDER, .id = random_id(), .written = clock_wall(), .message = ids[i], .order = o->order};
        code = shard_append(s, &r, o->deadline, o->fault);
    }
    return code;
}

MAY_YIELD static void order_in(void *argument, struct shard *s)
{
    struct ordering *o = argument;
    o->matched = count_matching(o, s);
    if (o->matched == 0) return;
    o->code = queue_takes_wishes(o->queue) ? append_orders(o, s) : append_each(o, s);
}

result queue_order(struct queue *q, const struct queue_filter *filter, enum queue_order order, view target, millis deadline, uint64_t *ret_count, struct fault *fault)
{
    uint64_t total = 0;
    result code = OK;
    if (order == QUEUE_REDIRECT && !queue_takes_wishes(q)) return fail(fault, INVALID, "the cluster's feature level is below %d: tayori cluster level raise", FEATURE_QUEUE_WISHES);
    for (unsigned i = 0; i < QUEUE_SHARDS && code == OK; i++) {
        struct ordering o = {.queue = q, .filter = filter, .order = order, .target = target, .deadline = deadline, .fault = fault};
        if (!id_is_none(filter->message) && &q->shards[i] != queue_shard_of(q, filter->message)) continue;
        code = queue_with_shard(q, i, deadline, order_in, &o, fault);
        if (code == OK) code = o.code;
        total += o.matched;
    }
    *ret_count = total;
    return code;
}
