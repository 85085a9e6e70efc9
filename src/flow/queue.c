#include "flow/queue_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/feature.h"
#include "runtime/clock.h"
#include "runtime/event.h"
#include "runtime/random.h"

enum { STOP_LOOK_MS = 20, COMPACT_BYTES = 8 << 20 };
static const char shard_prefix[] = "queue-shard-";

static struct id shard_journal(unsigned number)
{
    char text[ID_TEXT_LEN];
    struct id id;
    snprintf(text, sizeof text, "%s%04u", shard_prefix, number);
    memcpy(id.bytes, text, sizeof id.bytes);
    return id;
}

view queue_object_name(const struct shard *s, struct id id, char text[static QUEUE_OBJECT_NAME_MAX])
{
    char digits[ID_TEXT_LEN + 1];
    id_text(id, digits);
    snprintf(text, QUEUE_OBJECT_NAME_MAX, "queue/%u/%s", s->number, digits);
    return view_of(text);
}

struct queue *queue_new(struct accounts *accounts, struct loops *all)
{
    struct queue *q = calloc(1, sizeof *q);
    check(q);
    q->accounts = accounts;
    q->engine = accounts_engine(accounts);
    q->loops = all;
    q->compact_bytes = COMPACT_BYTES;
    id_text(random_id(), q->owner);
    for (unsigned i = 0; i < QUEUE_SHARDS; i++) {
        struct shard *s = &q->shards[i];
        s->queue = q;
        s->number = i;
        s->journal = shard_journal(i);
        s->loop = loops_at(all, i % loops_count(all));
    }
    return q;
}

void queue_free(struct queue *q)
{
    if (!q) return;
    check(atomic_load(&q->running) == 0);
    for (unsigned i = 0; i < QUEUE_SHARDS; i++) map_done(&q->shards[i].texts);
    free(q);
}

/* ---- taking mail ---- */

bool queue_takes_wishes(const struct queue *q) { return accounts_feature_level(q->accounts) >= FEATURE_QUEUE_WISHES; }

struct shard *queue_shard_of(struct queue *q, struct id message)
{
    return &q->shards[message.bytes[15] % QUEUE_SHARDS];
}

MAY_YIELD static result append_message(struct queue *q, const struct queue_envelope *envelope, view body, unsigned flags, millis deadline, struct fault *fault)
{
    struct shard *s = queue_shard_of(q, envelope->message);
    buf meta CLEANUP(buf_done) = BUF_INIT;
    struct queue_record r = {.kind = QUEUE_ENQUEUE, .id = random_id(), .written = clock_wall(), .message = envelope->message, .envelope = *envelope};
    r.envelope.flags = flags;
    check(queue_takes_wishes(q) || !queue_record_is_new(&r));
    queue_record_encode(&meta, &r);
    struct journal_append a = {.journal = s->journal, .meta = buf_view(&meta), .body = body, .fault = fault};
    /* Of unknown outcome: the client hears of a failure and comes again, and a message twice is better than none. */
    return engine_append(q->engine, &a, deadline);
}

result queue_enqueue_bytes(struct queue *q, const struct queue_envelope *envelope, view bytes, millis deadline, struct fault *fault)
{
    check(bytes.len <= ENGINE_BODY_MAX_BYTES);
    return append_message(q, envelope, bytes, envelope->flags & ~(unsigned)QUEUE_IS_ALONE, deadline, fault);
}

/* All that is sent in the record's body, what is not is left out. */
MAY_YIELD static result enqueue_with_front(struct queue *q, struct queue_envelope *e, view bytes, millis deadline, struct fault *fault)
{
    buf whole CLEANUP(buf_done) = BUF_INIT;
    buf_append(&whole, e->front);
    buf_append(&whole, view_from(bytes, e->skip_bytes));
    e->bytes = whole.len;
    e->skip_bytes = 0;
    return queue_enqueue_bytes(q, e, buf_view(&whole), deadline, fault);
}

result queue_enqueue(struct queue *q, const struct queue_envelope *envelope, struct draft *draft, millis deadline, struct fault *fault)
{
    char name[QUEUE_OBJECT_NAME_MAX];
    view bytes, front = envelope->front;
    struct queue_envelope e = *envelope;
    check(front.len <= QUEUE_FRONT_BYTES_MAX);
    if (draft_is_small(draft, &bytes)) {
        if (front.len == 0) return queue_enqueue_bytes(q, envelope, bytes, deadline, fault);
        if (front.len + bytes.len - e.skip_bytes <= ENGINE_BODY_MAX_BYTES) return enqueue_with_front(q, &e, bytes, deadline, fault);
    }
    if (accounts_feature_level(q->accounts) < FEATURE_QUEUE_FRONT) front = VIEW_EMPTY;
    e.flags |= QUEUE_IS_ALONE;
    e.bytes += front.len;
    result code = draft_store(draft, queue_object_name(queue_shard_of(q, e.message), e.message, name), deadline, fault);
    return code == OK ? append_message(q, &e, front, e.flags, deadline, fault) : code;
}

/* ---- the node's part in it ---- */

struct starter { struct task task; struct shard *shard; };

static void start_shard(struct task *t)
{
    struct starter *starter = container_of(t, struct starter, task);
    struct shard *s = starter->shard;
    free(starter);
    shard_init(s);
    waitlist_init(&s->told);
    scope_init(&s->work, NULL);
    coroutine_spawn(loop_scope(s->loop), "queue shard", shard_run, s);
}

static void wake_shard(struct task *t)
{
    struct starter *starter = container_of(t, struct starter, task);
    waitlist_wake_all(&starter->shard->told);
    free(starter);
}

static void post_to_shard(struct shard *s, void (*run)(struct task *t))
{
    struct starter *starter = calloc(1, sizeof *starter);
    check(starter);
    *starter = (struct starter){.task = {.run = run}, .shard = s};
    loop_post(s->loop, &starter->task);
}

void queue_start(struct queue *q, struct outbound *outbound)
{
    q->outbound = outbound;
    for (unsigned i = 0; i < QUEUE_SHARDS; i++) {
        atomic_fetch_add(&q->running, 1);
        post_to_shard(&q->shards[i], start_shard);
    }
}

static void tell_shards(struct queue *q)
{
    for (unsigned i = 0; i < QUEUE_SHARDS && atomic_load(&q->running) > 0; i++) post_to_shard(&q->shards[i], wake_shard);
}

void queue_pause(struct queue *q, bool pauses)
{
    if (atomic_exchange(&q->is_paused, pauses) != pauses) tell_shards(q);
}

bool queue_pauses(const struct queue *q) { return atomic_load(&q->is_paused); }

result queue_await_pause(struct queue *q, millis deadline)
{
    while (atomic_load(&q->owned) > 0) {
        if (!millis_before(clock_now(), deadline)) return TIMEOUT;
        if (coroutine_sleep(STOP_LOOK_MS) != OK) return CANCELLED;
    }
    return OK;
}

bool queue_lets_go(const struct queue *q) { return atomic_load(&q->must_stop) || atomic_load(&q->is_paused); }

void queue_stop(struct queue *q, millis deadline)
{
    atomic_store(&q->must_stop, true);
    tell_shards(q);
    while (atomic_load(&q->running) > 0 && millis_before(clock_now(), deadline))
        if (coroutine_sleep(STOP_LOOK_MS) != OK) return;
}
