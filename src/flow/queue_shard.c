/* A shard at its owner: lease, replay, following the journal, and what is due. */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "flow/outbound.h"
#include "flow/queue_private.h"
#include "runtime/clock.h"
#include "runtime/event.h"
#include "runtime/random.h"

enum {
    RENEW_MS = QUEUE_LEASE_MS / 4,
    LEASE_MARGIN_MS = QUEUE_LEASE_MS / 4,     /* for a clock that runs faster than the store's, and an operation that hangs */
    STORE_MS = 10000,
    RETRY_READ_MS = 1000,
    PAGE_ARENA_BYTES = 64 << 20,
};

bool shard_may_act(const struct shard *s)
{
    return s->is_owned && !s->must_leave && millis_before(clock_now(), s->lease_ends) && !queue_lets_go(s->queue);
}

struct queued *shard_find(struct shard *s, struct id message) { return queue_index_find(&s->by_id, message); }

void shard_init(struct shard *s)
{
    mutex_init(&s->reading);
    list_init(&s->messages);
    queue_due_init(&s->due);
}

/* ---- messages ---- */

static void add_message(struct shard *s, const struct queue_record *r, const struct journal_record *record, uint64_t snapshot_offset, uint32_t body_bytes)
{
    if (shard_find(s, r->message)) return;
    struct queued *m = queued_new(s, &r->envelope);
    m->is_in_snapshot = !record;
    if (record) m->at = record->at;
    m->place = record ? record->body_offset : snapshot_offset;
    m->body_bytes = body_bytes;
    m->arrival = ++s->arrivals;
    list_append(&s->messages, &m->node);
    queue_index_add(&s->by_id, m);
    s->count++;
    s->bytes += m->bytes;
    if (s->observe) s->observe(s->observer, r, m);
}

void queued_let_go(struct queued *m)
{
    queue_due_clear(&m->shard->due, m);
    queued_free(m);
}

/* Out of the shard; its memory goes when outbound has let go of it. */
static void take_out(struct queued *m)
{
    struct shard *s = m->shard;
    if (m->is_removed) return;
    m->is_removed = true;
    queue_due_clear(&s->due, m);
    list_remove(&m->node);
    queue_index_remove(&s->by_id, m);
    s->count--;
    s->bytes -= m->bytes;
    if (m->offered == 0) queued_let_go(m);
    else if (s->queue->outbound) outbound_recall(s->queue->outbound, m);
}

void shard_forget_all(struct shard *s)
{
    list_each(node, &s->messages) take_out(container_of(node, struct queued, node));
    queue_index_done(&s->by_id);
    if (s->texts.count == 0) map_done(&s->texts);
    queue_due_done(&s->due);
    s->has_position = false;
    s->snapshot = ID_NONE;
    s->journal_bytes = 0;
}

/* ---- records ---- */

static void apply_result(struct queued *m, const struct queue_result *one, unix_ms written)
{
    buf answer CLEANUP(buf_done) = BUF_INIT;
    if (one->recipient >= m->recipient_count) return;
    struct queued_recipient *r = &m->recipients[one->recipient];
    /* Own records come by once more with the tail. */
    if (r->state == RECIPIENT_DONE || (one->outcome == QUEUE_DEFERRED && r->tried.ms >= written.ms)) return;
    r->tried = written;
    if (r->tries < UINT16_MAX) r->tries++;
    r->next_try = one->next_try;
    if (one->code) buf_appendf(&answer, "%u ", one->code);
    if (one->class) buf_appendf(&answer, "%u.%u.%u ", one->class, one->subject, one->detail);
    buf_append(&answer, one->answer);
    queued_set_answer(m, r, buf_view(&answer));
    /* A record of an owner before us may come while outbound has it: it keeps it until it gives it back. */
    if (one->outcome != QUEUE_DEFERRED) {
        r->state = RECIPIENT_DONE;
        m->waiting--;
    } else if (!r->is_out) {
        r->state = RECIPIENT_WAITING;
    }
}

static void drop(struct queued *m)
{
    if (m->flags & QUEUE_IS_ALONE) shard_remove_object(m->shard, m->message);
    take_out(m);
}

static void obey(struct queued *m, const struct queue_record *r)
{
    struct shard *s = m->shard;
    if (s->observe) s->observe(s->observer, r, m);
    if (queued_obey(m, r->order, r->kind == QUEUE_ORDERS ? &r->filter : NULL, r->target)) drop(m);
    else if (s->is_owned) queued_consider(m);
}

void shard_apply(struct shard *s, const struct queue_record *r, const struct journal_record *record, uint64_t snapshot_offset, uint32_t body_bytes)
{
    if (r->kind == QUEUE_ENQUEUE) {
        add_message(s, r, record, snapshot_offset, body_bytes);
        return;
    }
    if (r->kind == QUEUE_ORDERS && id_is_none(r->filter.message)) {
        list_each(node, &s->messages) {
            struct queued *m = container_of(node, struct queued, node);
            if (queued_matches(&r->filter, m)) obey(m, r);
        }
        return;
    }
    struct queued *m = shard_find(s, r->message);
    if (!m) return;
    if (r->kind != QUEUE_ATTEMPT) {
        if (r->kind == QUEUE_ORDER || queued_matches(&r->filter, m)) obey(m, r);
        return;
    }
    if (s->observe) s->observe(s->observer, r, m);
    for (size_t i = 0; i < r->result_count; i++) apply_result(m, &r->results[i], r->written);
    /* What a crash leaves of its object is found by the shard's sweep. */
    if (m->waiting == 0) drop(m);
    else if (s->is_owned) queued_consider(m);
}

result shard_append(struct shard *s, struct queue_record *r, millis deadline, struct fault *fault)
{
    buf meta CLEANUP(buf_done) = BUF_INIT;
    queue_record_encode(&meta, r);
    struct journal_append a = {.journal = s->journal, .meta = buf_view(&meta), .fault = fault};
    result code = engine_append(s->queue->engine, &a, deadline);
    if (code != OK) return code;
    if (a.before_known && s->has_position && !s->reading.is_locked && journal_position_equal(&a.before, &s->position)) s->position = a.at;
    shard_apply(s, r, NULL, 0, 0);
    return OK;
}

/* ---- objects that are of no use ---- */

static void remove_objects(void *argument)
{
    colour_pretend_coroutine();
    struct shard *s = argument;
    char name[QUEUE_OBJECT_NAME_MAX];
    struct id id;
    while (s->garbage.len > 0 && id_from_bytes(view_slice(buf_view(&s->garbage), s->garbage.len - sizeof id.bytes, sizeof id.bytes), &id)) {
        s->garbage.len -= sizeof id.bytes;
        if (object_remove(s->queue->engine, queue_object_name(s, id, name), clock_in(STORE_MS), NULL) == CANCELLED) break;
    }
    buf_done(&s->garbage);
    s->is_removing = false;
}

/* A million of them are a list of ids and one coroutine. */
void shard_remove_object(struct shard *s, struct id message)
{
    if (!s->is_owned) return;
    buf_append(&s->garbage, id_view(&message));
    if (s->is_removing) return;
    s->is_removing = true;
    coroutine_spawn(&s->work, "queue removal", remove_objects, s);
}

/* ---- the tail ---- */

static result apply_page(struct shard *s, const struct journal_page *page, struct arena *arena, struct fault *fault)
{
    for (size_t i = 0; i < page->count; i++) {
        struct queue_record r;
        result code = queue_record_decode(page->records[i].meta, arena, &r, fault);
        if (code != OK) return code;
        shard_apply(s, &r, &page->records[i], 0, page->records[i].body_bytes);
        s->journal_bytes += page->records[i].meta.len + page->records[i].body_bytes;
        if (r.kind == QUEUE_ENQUEUE && s->is_owned) {
            struct queued *m = shard_find(s, r.message);
            if (m) queued_consider(m);
        }
    }
    return OK;
}

MAY_YIELD static result read_page(struct shard *s, millis deadline, bool *ret_more, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, PAGE_ARENA_BYTES);
    struct journal_page page;
    result code = engine_read(s->queue->engine, s->journal, s->has_position ? &s->position : NULL, deadline, arena, &page, fault);
    *ret_more = false;
    if (code == NOT_FOUND) return OK;
    if (code != OK) return code;
    if (page.has_head) {
        /* The first reading, or another node has compacted: begin anew. */
        shard_forget_all(s);
        if (page.head.len) code = shard_load(s, page.head, deadline, fault);
    }
    if (code == OK) code = apply_page(s, &page, arena, fault);
    if (code != OK) return code;
    s->position = page.end;
    s->has_position = true;
    *ret_more = page.more;
    return OK;
}

result shard_read(struct shard *s, millis deadline, struct fault *fault)
{
    bool more = true;
    result code = mutex_lock(&s->reading, deadline);
    if (code != OK) return fail(fault, code, "reading the queue");
    while (code == OK && more) {
        code = read_page(s, deadline, &more, fault);
        if (coroutine_is_overdue()) coroutine_pause();
    }
    mutex_unlock(&s->reading);
    return code;
}

static void read_now(void *argument)
{
    colour_pretend_coroutine();
    struct shard *s = argument;
    struct fault fault = {0};
    do {
        s->read_again = false;
        result code = shard_read(s, clock_in(STORE_MS), &fault);
        if (code == CANCELLED) break;
        if (code != OK) {
            EVENT_EMIT(QUEUE_NOT_READ, EVENT_NUMBER("shard", s->number), EVENT_FAULT(&fault));
            if (coroutine_sleep(RETRY_READ_MS) != OK) break;
            s->read_again = true;
        }
    } while (s->read_again && s->is_owned);
    s->is_reading = false;
}

static void journal_changed(struct journal_watch *w)
{
    struct shard *s = container_of(w, struct shard, watch);
    s->read_again = true;
    if (s->is_reading || !s->is_owned) return;
    s->is_reading = true;
    coroutine_spawn(&s->work, "queue tail", read_now, s);
}

/* ---- what is due ---- */

/* Offers what is due; ret_next gets when to look again. */
static void offer_due(struct queued *m, unix_ms now, bool is_over, unix_ms *next)
{
    struct outbound *sends = m->shard->queue->outbound;
    for (size_t i = 0; i < m->recipient_count; i++) {
        struct queued_recipient *r = &m->recipients[i];
        if (r->state != RECIPIENT_WAITING) continue;
        if (r->next_try.ms <= now.ms || is_over) {
            r->state = RECIPIENT_OFFERED;
            r->is_out = true;
            m->offered++;
            outbound_offer(sends, m, i);
        } else if (r->next_try.ms < next->ms) {
            *next = r->next_try;
        }
    }
}

void queued_consider(struct queued *m)
{
    struct shard *s = m->shard;
    if (m->is_removed) return;
    queue_due_clear(&s->due, m);
    if (m->is_held || !s->queue->outbound) return;
    if (!shard_may_act(s)) {
        if (s->is_owned && !s->must_leave) queue_due_set(&s->due, m, clock_in(RETRY_READ_MS));
        return;
    }
    unix_ms now = clock_wall(), next = outbound_ends(s->queue->outbound, m);
    bool is_over = next.ms <= now.ms;
    if (is_over) {
        /* What waits for a destination that rests must not wait for its end. */
        outbound_recall(s->queue->outbound, m);
        next = (unix_ms){INT64_MAX};
    }
    offer_due(m, now, is_over, &next);
    if (next.ms != INT64_MAX) queue_due_set(&s->due, m, clock_in(next.ms - now.ms));
}

static void take_back(struct queued *m, size_t recipient)
{
    struct queued_recipient *r = &m->recipients[recipient];
    check(r->is_out);
    r->is_out = false;
    m->offered--;
}

void queued_withdraw(struct queued *m, size_t recipient)
{
    take_back(m, recipient);
    if (m->recipients[recipient].state == RECIPIENT_OFFERED) m->recipients[recipient].state = RECIPIENT_WAITING;
    if (m->is_removed && m->offered == 0) queued_let_go(m);
}

struct late_record { struct shard *shard; buf meta; };

static void append_late(void *argument)
{
    colour_pretend_coroutine();
    struct late_record *late = argument;
    struct shard *s = late->shard;
    result code = UNAVAILABLE;
    while (code != OK && shard_may_act(s) && coroutine_sleep(RETRY_READ_MS) == OK) {
        struct journal_append a = {.journal = s->journal, .meta = buf_view(&late->meta)};
        code = engine_append(s->queue->engine, &a, clock_in(STORE_MS));
    }
    buf_done(&late->meta);
    free(late);
}

/* Again and again while the shard is ours: a record that is there twice says nothing new. */
static void record_later(struct shard *s, const struct queue_record *r)
{
    struct late_record *late = calloc(1, sizeof *late);
    check(late);
    late->shard = s;
    queue_record_encode(&late->meta, r);
    coroutine_spawn(&s->work, "queue record", append_late, late);
}

MAY_YIELD static void record_results(struct queued *m, struct queue_result *results, size_t count)
{
    struct fault fault = {0};
    struct queue_record r = {.kind = QUEUE_ATTEMPT, .id = random_id(), .written = clock_wall(), .message = m->message, .results = results, .result_count = count};
    if (shard_append(m->shard, &r, clock_in(STORE_MS), &fault) == OK) return;
    /* What was delivered is so for this owner at least; if it cannot be recorded any more, the next one will send it again. */
    EVENT_EMIT(QUEUE_NOT_WRITTEN, EVENT_ID("message", m->message), EVENT_FAULT(&fault));
    record_later(m->shard, &r);
    for (size_t i = 0; i < count && !m->is_removed; i++) apply_result(m, &results[i], r.written);
    if (m->waiting == 0) take_out(m);
    else queued_consider(m);
}

/* Ours was older than a record of the owner before us, which came late: it changed nothing, and it is tried when that one says. */
static void wait_again(struct queued *m, const struct queue_result *results, size_t count)
{
    bool was_passed_over = false;
    for (size_t i = 0; i < count; i++) {
        struct queued_recipient *r = &m->recipients[results[i].recipient];
        if (r->state != RECIPIENT_OFFERED || r->is_out) continue;
        r->state = RECIPIENT_WAITING;
        was_passed_over = true;
    }
    if (was_passed_over) queued_consider(m);
}

void queued_settle(struct queued *m, struct queue_result *results, size_t count)
{
    m->offered++;                        /* holds it while we yield */
    for (size_t i = 0; i < count; i++) take_back(m, results[i].recipient);
    if (!m->is_removed) record_results(m, results, count);
    if (!m->is_removed) wait_again(m, results, count);
    if (--m->offered == 0 && m->is_removed) queued_let_go(m);
}

/* `at` counts from the record's body. */
MAY_YIELD static result read_body_once(struct queued *m, uint64_t at, size_t len, millis deadline, buf *into, struct fault *fault)
{
    struct shard *s = m->shard;
    char name[QUEUE_OBJECT_NAME_MAX];
    if (m->is_in_snapshot) return object_read(s->queue->engine, queue_object_name(s, s->snapshot, name), m->place + at, len, deadline, into, fault);
    struct journal_record record = {.at = m->at, .body_offset = m->place, .body_bytes = m->body_bytes};
    return engine_read_body(s->queue->engine, s->journal, &record, (uint32_t)at, (uint32_t)len, deadline, into, fault);
}

/* Once more when it was folded meanwhile. The store may know so before the one who folds it has said where the bytes are now: that one holds `reading`. */
MAY_YIELD static result read_body(struct queued *m, uint64_t at, size_t len, millis deadline, buf *into, struct fault *fault)
{
    struct shard *s = m->shard;
    struct id snapshot = s->snapshot;
    result code = read_body_once(m, at, len, deadline, into, fault);
    if (code != NOT_FOUND) return code;
    if (id_equal(s->snapshot, snapshot) && mutex_lock(&s->reading, deadline) == OK) mutex_unlock(&s->reading);
    return id_equal(s->snapshot, snapshot) ? code : read_body_once(m, at, len, deadline, into, fault);
}

/* First what stands in the record's body, then the object but for what is left out of it. */
MAY_YIELD static result read_alone(struct queued *m, uint64_t offset, size_t len, millis deadline, buf *into, struct fault *fault)
{
    struct shard *s = m->shard;
    char name[QUEUE_OBJECT_NAME_MAX];
    if (offset < m->body_bytes) {
        size_t front = len < m->body_bytes - offset ? len : (size_t)(m->body_bytes - offset);
        result code = read_body(m, offset, front, deadline, into, fault);
        if (code != OK || front == len) return code;
        offset += front;
        len -= front;
    }
    return object_read(s->queue->engine, queue_object_name(s, m->message, name), offset - m->body_bytes + m->skip_bytes, len, deadline, into, fault);
}

result queued_read(struct queued *m, uint64_t offset, size_t len, millis deadline, buf *into, struct fault *fault)
{
    if (offset >= m->bytes) return OK;
    if (len > m->bytes - offset) len = (size_t)(m->bytes - offset);
    if (m->flags & QUEUE_IS_ALONE) return read_alone(m, offset, len, deadline, into, fault);
    return read_body(m, offset + m->skip_bytes, len, deadline, into, fault);
}

/* ---- the owner ---- */

static view lease_name(const struct shard *s, char text[static QUEUE_NAME_BYTES_MAX])
{
    int len = snprintf(text, QUEUE_NAME_BYTES_MAX, "queue/shard-%u", s->number);
    return view_make(text, (size_t)len);
}

/* The lease counts from before it was asked for. */
MAY_YIELD static bool hold_lease(struct shard *s)
{
    char name[QUEUE_NAME_BYTES_MAX];
    millis asked = clock_now();
    view owner = view_of(s->queue->owner), lease = lease_name(s, name);
    result code = s->is_owned ? lease_renew(s->queue->engine, lease, owner, QUEUE_LEASE_MS, clock_in(STORE_MS), NULL)
                              : lease_acquire(s->queue->engine, lease, owner, QUEUE_LEASE_MS, clock_in(STORE_MS), NULL);
    if (code == OK) s->lease_ends = millis_add(asked, QUEUE_LEASE_MS - LEASE_MARGIN_MS);
    return code == OK || (s->is_owned && code != NOT_FOUND && code != BUSY && millis_before(clock_now(), s->lease_ends));
}

MAY_YIELD static bool take_over(struct shard *s)
{
    struct fault fault = {0};
    if (!hold_lease(s)) return false;
    s->must_leave = false;
    engine_watch(s->queue->engine, s->journal, &s->watch, journal_changed);
    result code = shard_read(s, clock_in(STORE_MS * 6), &fault);
    if (code != OK) {
        EVENT_EMIT(QUEUE_NOT_READ, EVENT_NUMBER("shard", s->number), EVENT_FAULT(&fault));
        engine_unwatch(s->queue->engine, &s->watch);
        shard_forget_all(s);
        return false;
    }
    s->is_owned = true;
    atomic_fetch_add(&s->queue->owned, 1);
    EVENT_EMIT(QUEUE_SHARD_TAKEN, EVENT_NUMBER("shard", s->number), EVENT_NUMBER("messages", s->count));
    /* A few in each turn, in the order of their arrival. */
    list_each(node, &s->messages) queue_due_set(&s->due, container_of(node, struct queued, node), clock_now());
    return true;
}

/* Nothing new begins; what is under way ends by itself (outbound asks shard_may_act()) and is recorded. */
MAY_YIELD static void give_up(struct shard *s)
{
    char name[QUEUE_NAME_BYTES_MAX];
    s->must_leave = true;
    engine_unwatch(s->queue->engine, &s->watch);
    if (s->queue->outbound) outbound_leave(s->queue->outbound, s);
    s->is_owned = false;
    scope_join(&s->work);
    shard_forget_all(s);
    atomic_fetch_sub(&s->queue->owned, 1);
    (void)!lease_release(s->queue->engine, lease_name(s, name), view_of(s->queue->owner), clock_in(STORE_MS), NULL);
    EVENT_EMIT(QUEUE_SHARD_LEFT, EVENT_NUMBER("shard", s->number));
}

static bool wants_compaction(const struct shard *s)
{
    return s->journal_bytes > s->queue->compact_bytes && s->journal_bytes > s->bytes / 2;
}

/* False as soon as the queue is told to stop, to pause or to go on. */
MAY_YIELD static bool rest(struct shard *s, int64_t duration_ms)
{
    return waitlist_wait(&s->told, clock_in(duration_ms)) == TIMEOUT;
}

/* While it is ours: renew, compact. */
MAY_YIELD static void keep_shard(struct shard *s)
{
    for (;;) {
        struct fault fault = {0};
        if (queue_lets_go(s->queue) || !rest(s, RENEW_MS) || !hold_lease(s)) return;
        shard_consider_sweep(s);
        if (wants_compaction(s) && shard_compact(s, &fault) != OK)
            EVENT_EMIT(QUEUE_NOT_COMPACTED, EVENT_NUMBER("shard", s->number), EVENT_FAULT(&fault));
    }
}

void shard_run(void *argument)
{
    colour_pretend_coroutine();
    struct shard *s = argument;
    while (!atomic_load(&s->queue->must_stop)) {
        if (!queue_lets_go(s->queue) && take_over(s)) {
            keep_shard(s);
            give_up(s);
        } else {
            (void)rest(s, RENEW_MS + (int64_t)random_below(RENEW_MS));
        }
    }
    scope_done(&s->work);
    atomic_fetch_sub(&s->queue->running, 1);
}
