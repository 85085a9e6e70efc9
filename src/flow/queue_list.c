/* What waits, for operators: lists, sums, one message, its history. */
#include "base/check.h"
#include "flow/queue_reader.h"
#include "runtime/clock.h"

enum {
    PAGE_LINES = 2000,
    PAGE_BYTES_MAX = 16 << 20,           /* its texts: far above PAGE_LINES of the longest */
    PAGE_SLACK_BYTES = 2 << 20,          /* the last message of a page: a thousand recipients with long answers */
    HEAD_MS = 10000,
};

/* ---- lines ---- */

struct listing {
    const struct queue_filter *filter;
    bool (*show)(void *argument, const struct queue_line *line);
    void *argument;
    struct loop *loop;                   /* of the caller */
    struct arena *arena;                 /* of the page */
    struct queue_line *lines;
    size_t count;
    uint64_t arrival;                    /* of the last one that was looked at */
    bool has_ended;
};

static void keep_line(struct listing *l, const struct queued *m, const struct queued_recipient *r)
{
    l->lines[l->count++] = (struct queue_line){
        .message = m->message, .account = queued_account(m), .tenant = arena_keep(l->arena, queued_tenant(m)), .sender = arena_keep(l->arena, queued_sender(m)),
        .recipient = arena_keep(l->arena, queued_address(r)), .bytes = m->bytes, .received = m->received, .next_try = r->next_try, .tries = r->tries,
        .is_held = m->is_held, .answer = arena_keep(l->arena, view_slice(shared_view(r->answer), 0, QUEUE_ANSWER_BYTES_MAX)),
    };
}

/* Whole messages, until there are lines enough. False: that was the last one. */
static bool fill_page(struct listing *l, const struct shard *s)
{
    list_each(node, &s->messages) {
        const struct queued *m = container_of(node, struct queued, node);
        if (m->arrival <= l->arrival) continue;
        if (l->count >= PAGE_LINES || arena_used(l->arena) > PAGE_BYTES_MAX) return true;
        l->arrival = m->arrival;
        if (!queued_matches(l->filter, m)) continue;
        for (size_t i = 0; i < m->recipient_count; i++)
            if (queued_recipient_matches(l->filter, &m->recipients[i])) keep_line(l, m, &m->recipients[i]);
    }
    return false;
}

static void show_page(void *argument)
{
    colour_pretend_coroutine();
    struct listing *l = argument;
    for (size_t i = 0; i < l->count && !l->has_ended; i++) l->has_ended = !l->show(l->argument, &l->lines[i]);
}

/* Others add and take messages between two pages: each stands at its place by its number. */
MAY_YIELD static void list_shard(void *argument, struct shard *s)
{
    struct listing *l = argument;
    bool more = true;
    l->arrival = 0;
    while (more && !l->has_ended) {
        struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, PAGE_BYTES_MAX + PAGE_SLACK_BYTES + (PAGE_LINES + QUEUE_RECIPIENTS_MAX) * sizeof *l->lines);
        l->arena = arena;
        l->lines = arena_array(arena, struct queue_line, PAGE_LINES + QUEUE_RECIPIENTS_MAX);
        l->count = 0;
        more = fill_page(l, s);
        loop_run_on(l->loop, "queue page", show_page, l);
    }
}

result queue_list(struct queue *q, const struct queue_filter *filter, millis deadline, bool (*show)(void *argument, const struct queue_line *line), void *argument,
                  struct fault *fault)
{
    struct listing l = {.filter = filter, .show = show, .argument = argument, .loop = loop_self()};
    result code = OK;
    for (unsigned i = 0; i < QUEUE_SHARDS && code == OK && !l.has_ended; i++)
        if (id_is_none(filter->message) || &q->shards[i] == queue_shard_of(q, filter->message)) code = queue_with_shard(q, i, deadline, list_shard, &l, fault);
    return code;
}

/* ---- sums ---- */

MAY_YIELD static void summarise_shard(void *argument, struct shard *s)
{
    struct queue_summary *sum = argument;
    sum->shards += s->is_owned;
    list_each(node, &s->messages) {
        const struct queued *m = container_of(node, struct queued, node);
        sum->messages++;
        sum->recipients += m->waiting;
        sum->bytes += m->bytes;
        sum->held += m->is_held;
        if (sum->oldest.ms == 0 || m->received.ms < sum->oldest.ms) sum->oldest = m->received;
    }
}

result queue_summarise(struct queue *q, millis deadline, struct queue_summary *ret_summary, struct fault *fault)
{
    struct queue_summary sum = {0};
    result code = OK;
    for (unsigned i = 0; i < QUEUE_SHARDS && code == OK; i++) code = queue_with_shard(q, i, deadline, summarise_shard, &sum, fault);
    if (code == OK) *ret_summary = sum;
    return code;
}

struct counting { struct shard *shard; uint64_t messages; };

static void count_owned(void *argument)
{
    struct counting *c = argument;
    if (c->shard->is_owned) c->messages += c->shard->count;
}

uint64_t queue_messages_here(struct queue *q)
{
    struct counting c = {0};
    for (unsigned i = 0; i < QUEUE_SHARDS && atomic_load(&q->running) > 0; i++) {
        c.shard = &q->shards[i];
        loop_run_on(c.shard->loop, "queue count", count_owned, &c);
    }
    return c.messages;
}

/* ---- one message ---- */

struct showing { struct id message; struct arena *arena; struct queue_message *into; size_t head_bytes; buf *head; result code; struct fault *fault; };

static void keep_state(struct showing *show, const struct queued *m)
{
    struct queue_message *into = show->into;
    size_t count = m->recipient_count;
    struct queue_envelope *e = &into->envelope;
    queued_envelope(m, show->arena, e);
    e->tenant = arena_keep(show->arena, e->tenant);
    e->sender = arena_keep(show->arena, e->sender);
    e->envelope_id = arena_keep(show->arena, e->envelope_id);
    e->route = arena_keep(show->arena, e->route);
    into->is_held = m->is_held;
    into->recipients = arena_array(show->arena, struct queue_recipient_state, count);
    for (size_t i = 0; i < count; i++) {
        const struct queued_recipient *r = &m->recipients[i];
        e->recipients[i] = (struct queue_address){arena_keep(show->arena, queued_address(r)), r->notify, arena_keep(show->arena, queued_original(m, i))};
        into->recipients[i] = (struct queue_recipient_state){
            .tries = r->tries, .next_try = r->next_try, .tried = r->tried, .answer = arena_keep(show->arena, shared_view(r->answer))};
        into->recipients[i].state = r->state == RECIPIENT_DONE ? QUEUED_DONE : r->state == RECIPIENT_OFFERED && !r->parcel ? QUEUED_SENDING : QUEUED_WAITING;
    }
}

MAY_YIELD static void show_message(void *argument, struct shard *s)
{
    struct showing *show = argument;
    struct queued *m = shard_find(s, show->message);
    show->code = m ? OK : fail(show->fault, NOT_FOUND, "no such message in the queue");
    if (!m) return;
    keep_state(show, m);
    if (show->head_bytes == 0) return;
    m->offered++;                        /* holds it while we read */
    show->code = queued_read(m, 0, show->head_bytes, clock_in(HEAD_MS), show->head, show->fault);
    if (--m->offered == 0 && m->is_removed) queued_let_go(m);
}

result queue_show(struct queue *q, struct id message, size_t head_bytes, millis deadline, struct arena *arena, struct queue_message *ret_message, buf *head, struct fault *fault)
{
    struct showing show = {.message = message, .arena = arena, .into = ret_message, .head_bytes = head_bytes, .head = head, .fault = fault};
    result code = queue_with_shard(q, queue_shard_of(q, message)->number, deadline, show_message, &show, fault);
    return code == OK ? show.code : code;
}

/* ---- its history ---- */

struct history { struct id message; struct arena *arena; struct queue_trace *entries; size_t count, capacity; };

static struct queue_trace *add_entry(struct history *h)
{
    if (h->count == QUEUE_TRACE_MAX) return NULL;
    if (h->count == h->capacity) {
        size_t capacity = h->capacity ? 2 * h->capacity : 64;
        struct queue_trace *grown = arena_array(h->arena, struct queue_trace, capacity);
        for (size_t i = 0; i < h->count; i++) grown[i] = h->entries[i];
        h->entries = grown;
        h->capacity = capacity;
    }
    return &h->entries[h->count++];
}

static void observe(void *argument, const struct queue_record *r, const struct queued *m)
{
    struct history *h = argument;
    if (!id_equal(m->message, h->message)) return;
    for (size_t i = 0; i < (r->kind == QUEUE_ATTEMPT ? r->result_count : 1); i++) {
        const struct queue_result *one = r->kind == QUEUE_ATTEMPT ? &r->results[i] : NULL;
        struct queue_trace *entry = add_entry(h);
        if (!entry || (one && one->recipient >= m->recipient_count)) continue;
        *entry = (struct queue_trace){.at = r->written, .kind = r->kind, .is_folded = m->shard->is_loading, .order = r->order, .target = arena_keep(h->arena, r->target)};
        if (!one) continue;
        entry->outcome = one->outcome;
        entry->code = one->code;
        entry->recipient = arena_keep(h->arena, queued_address(&m->recipients[one->recipient]));
        entry->host = arena_keep(h->arena, one->host);
        entry->answer = arena_keep(h->arena, one->answer);
    }
}

result queue_trace(struct queue *q, struct id message, millis deadline, struct arena *arena, struct queue_trace **ret_entries, size_t *ret_count, struct fault *fault)
{
    struct history h = {.message = message, .arena = arena};
    struct shard reader;
    shard_reader_init(&reader, q, queue_shard_of(q, message)->number);
    reader.observe = observe;
    reader.observer = &h;
    result code = shard_read(&reader, deadline, fault);
    shard_reader_done(&reader);
    if (code == OK && h.count == 0) return fail(fault, NOT_FOUND, "the queue's journal knows no such message");
    *ret_entries = h.entries;
    *ret_count = h.count;
    return code;
}
