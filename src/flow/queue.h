/*
 * queue: mail on its way out.
 *
 * A fixed number of shards, each a journal that any node appends to and one node at a time owns, by a lease. The owner replays its shard,
 * offers each message to outbound (outbound.h), and records what came of it. A node that dies loses nothing: another one takes the
 * shard within the lease's time and replays. What a server took and we had no time to record goes out again: a message twice is better
 * than none.
 *
 *   1. queue_enqueue() is one append; its OK means durable.
 *   2. A shard lives on one loop: all of a struct queued is touched there alone.
 *   3. An owner starts nothing after its lease may have ended.
 *
 * Names: journals "queue-shard-NNNN" (16 bytes, as ids of accounts never are: they begin with a time), objects "queue/...".
 */
#pragma once

#include "account/account.h"
#include "flow/queue_record.h"

struct queue;
struct outbound;

enum { QUEUE_SHARDS = 16, QUEUE_LEASE_MS = 20000, QUEUE_FRONT_BYTES_MAX = 32 << 10 };

struct queue *queue_new(struct accounts *accounts, struct loops *all);
/* After queue_stop(). */
void queue_free(struct queue *q);

/*
 * Takes a message for others: durable when OK. `draft` is the whole as it came; its first envelope->skip_bytes are not sent. Any loop.
 * envelope->flags gets QUEUE_IS_ALONE here. envelope->front, at most QUEUE_FRONT_BYTES_MAX, goes before it; a large message goes without one as
 * long as there are nodes that would not understand it (FEATURE_QUEUE_FRONT).
 */
MAY_YIELD NODISCARD result queue_enqueue(struct queue *q, const struct queue_envelope *envelope, struct draft *draft, millis deadline,
                                         struct fault *fault);
/* Whether envelopes may have wishes (queue_record.h): all nodes of the cluster understand them. */
bool queue_takes_wishes(const struct queue *q);
/* The same for bytes in memory: at most ENGINE_BODY_MAX_BYTES. */
MAY_YIELD NODISCARD result queue_enqueue_bytes(struct queue *q, const struct queue_envelope *envelope, view bytes, millis deadline,
                                               struct fault *fault);

/* Begins to take shards and to send what is in them. */
void queue_start(struct queue *q, struct outbound *outbound);
/*
 * A node that drains, or is too old for its cluster, owns no shards: while the queue pauses they are given back, each when its deliveries
 * under way have ended, and others take them. Mail is still taken. Does not wait; also before queue_start(). Loop 0.
 */
void queue_pause(struct queue *q, bool pauses);
bool queue_pauses(const struct queue *q);
/* Until a queue that pauses owns no shard. TIMEOUT: deliveries are still under way; CANCELLED. */
MAY_YIELD NODISCARD result queue_await_pause(struct queue *q, millis deadline);
/* Gives all shards back, after the deliveries under way have ended or the deadline has come. From loop 0. */
MAY_YIELD void queue_stop(struct queue *q, millis deadline);

/*
 * ---- for operators: any loop, on any node ----
 *
 * A shard of our own is asked itself; one that another node owns, or nobody, is read from its journal: what the answer says is then as old as
 * the reading. Orders are records of the journal, so they reach whoever owns the shard.
 */

struct queue_line {
    struct id message, account;
    view tenant, sender, recipient;      /* one line for each recipient that waits */
    uint64_t bytes;
    unix_ms received, next_try;
    unsigned tries;
    bool is_held;
    view answer;                         /* the last one: "451 4.7.1 ..." */
};
/* Calls show() for lines that match, on the caller's loop, until it returns false. Memory for a page of lines, and for a shard that is not ours. */
MAY_YIELD NODISCARD result queue_list(struct queue *q, const struct queue_filter *filter, millis deadline, bool (*show)(void *argument, const struct queue_line *line),
                                      void *argument, struct fault *fault);
/*
 * Gives an order to all messages that match: one record to each shard that has some. *ret_count: how many matched. `target`: of a redirection, else
 * empty. INVALID: redirections, until all nodes understand them (feature.h).
 */
MAY_YIELD NODISCARD result queue_order(struct queue *q, const struct queue_filter *filter, enum queue_order order, view target, millis deadline,
                                       uint64_t *ret_count, struct fault *fault);
struct queue_summary { uint64_t messages, recipients, bytes, held; unsigned shards; unix_ms oldest; };   /* shards: that this node owns */
MAY_YIELD NODISCARD result queue_summarise(struct queue *q, millis deadline, struct queue_summary *ret_summary, struct fault *fault);

/* Messages of the shards that this node owns: cheap. */
MAY_YIELD uint64_t queue_messages_here(struct queue *q);

/* One message as it stands, and the first bytes of what is sent of it, appended. NOT_FOUND. */
struct queue_message { struct queue_envelope envelope; struct queue_recipient_state *recipients; bool is_held; };
struct queue_recipient_state { enum { QUEUED_WAITING, QUEUED_SENDING, QUEUED_DONE } state; unsigned tries; unix_ms next_try, tried; view answer; };
MAY_YIELD NODISCARD result queue_show(struct queue *q, struct id message, size_t head_bytes, millis deadline, struct arena *arena, struct queue_message *ret_message,
                                      buf *head, struct fault *fault);
/*
 * What the journal knows of a message, in order: also of one that is gone, until the journal is folded. Of what was folded only the sums are known.
 */
struct queue_trace {
    unix_ms at;
    enum queue_record_kind kind;
    bool is_folded;
    enum queue_order order;              /* QUEUE_ORDER, QUEUE_ORDERS */
    view target;
    enum queue_outcome outcome;          /* QUEUE_ATTEMPT */
    uint16_t code;
    view recipient, host, answer;
};
enum { QUEUE_TRACE_MAX = 100000 };       /* entries: a thousand recipients tried a hundred times */
MAY_YIELD NODISCARD result queue_trace(struct queue *q, struct id message, millis deadline, struct arena *arena, struct queue_trace **ret_entries, size_t *ret_count,
                                       struct fault *fault);
