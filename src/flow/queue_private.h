/*
 * queue_private: a shard and its messages, for queue*.c and outbound*.c.
 *
 * Everything here lives on the shard's loop.
 */
#pragma once

#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "flow/queue.h"
#include "runtime/coroutine.h"
#include "runtime/loop.h"

struct shard;

enum { QUEUE_OBJECT_NAME_MAX = 64 };

/* One recipient of a message that waits. */
struct queued_recipient {
    struct queue_address address;        /* in the message's memory */
    view domain;                         /* behind the last @ */
    enum { RECIPIENT_WAITING, RECIPIENT_OFFERED, RECIPIENT_DONE } state;
    unsigned tries;
    unix_ms next_try, tried;             /* tried: when the last record about it was written */
    bool is_out;                         /* with outbound: counted in queued.offered, whatever becomes of it meanwhile */
    bool is_elsewhere;                   /* of QUEUE_HAS_LOCAL: no account of ours, as was found out */
    struct parcel *parcel;               /* outbound's, while it waits there; else NULL */
    buf answer;                          /* the last one, as text */
};

struct queued {
    struct shard *shard;
    struct list node;                    /* in shard.messages, in the order of arrival */
    struct queue_envelope envelope;      /* views into memory of its own */
    struct arena *arena;
    struct queued_recipient *recipients;
    size_t waiting;                      /* recipients that are not done */
    size_t offered;                      /* of those, with outbound now */
    bool is_held, is_removed, must_expire;
    struct timer due;
    uint64_t arrival;                    /* its number in the shard: where a listing goes on */
    /* Where the bytes are: the journal's record or the shard's snapshot; what they lack is the object "queue/<message>". */
    enum { BYTES_IN_JOURNAL, BYTES_IN_SNAPSHOT } where;
    bool is_alone;
    struct journal_record record;        /* meta is not kept */
    uint64_t snapshot_offset;
    uint32_t body_bytes;
};

struct shard {
    struct queue *queue;
    unsigned number;
    struct id journal;
    struct loop *loop;
    struct scope work;                   /* what its coroutine has begun */
    struct waitlist told;                /* that must_stop or is_paused has changed */
    bool is_owned, must_leave;
    millis lease_ends;                   /* by our clock, with a margin */
    struct list messages;
    struct map by_id;
    size_t count;
    uint64_t bytes;
    struct journal_position position;
    bool has_position;
    struct id snapshot;                  /* ID_NONE: none */
    uint64_t journal_bytes;              /* read since the head */
    struct journal_watch watch;
    bool is_reading, read_again, is_loading;     /* is_loading: from a snapshot */
    struct mutex reading;
    uint64_t arrivals;
    buf garbage;                         /* ids of objects to be removed, by one coroutine */
    bool is_removing, is_sweeping;
    millis next_sweep;
    /* Told of each record about a message that is there, before it is applied. NULL: nobody. */
    void (*observe)(void *argument, const struct queue_record *r, const struct queued *m);
    void *observer;
};

struct queue {
    struct accounts *accounts;
    struct engine *engine;
    struct loops *loops;
    struct outbound *outbound;
    char owner[ID_TEXT_LEN + 1];
    atomic_uint owned, running;          /* shards owned; shards whose coroutine runs */
    atomic_bool must_stop, is_paused;
    struct shard shards[QUEUE_SHARDS];
};

/* ---- queue.c ---- */
struct shard *queue_shard_of(struct queue *q, struct id message);
/* It stops or pauses: nothing is begun, shards are given back. */
bool queue_lets_go(const struct queue *q);
view queue_object_name(const struct shard *s, struct id id, char text[static QUEUE_OBJECT_NAME_MAX]);

/* ---- queue_shard.c ---- */
/* Runs as a coroutine of the shard's loop: takes the lease, replays, follows, gives it back while the queue pauses, until must_stop. */
void shard_run(void *shard);
bool shard_may_act(const struct shard *s);
struct queued *shard_find(struct shard *s, struct id message);
/* Reads on until the end of the journal. */
MAY_YIELD NODISCARD result shard_read(struct shard *s, millis deadline, struct fault *fault);
/* Applies a record; `record` says where its body is (NULL: in the snapshot, at `offset`). */
void shard_apply(struct shard *s, const struct queue_record *r, const struct journal_record *record, uint64_t snapshot_offset, uint32_t body_bytes);
void shard_forget_all(struct shard *s);
/* Appends a record of the owner and applies it. */
MAY_YIELD NODISCARD result shard_append(struct shard *s, struct queue_record *r, millis deadline, struct fault *fault);
/* Offers what is due, and sets the timer for the rest. */
void queued_consider(struct queued *m);
/* Frees a message that is out of the shard and that nobody holds. */
void queued_let_go(struct queued *m);
/* In the background. */
void shard_remove_object(struct shard *s, struct id object);

/* ---- queue_filter.c ---- */
bool queued_matches(const struct queue_filter *f, const struct queued *m);
bool queued_recipient_matches(const struct queue_filter *f, const struct queued_recipient *r);

/* ---- queue_order.c ---- */
/* An operator's order about one message. True: it is to go. */
bool queued_obey(struct queued *m, enum queue_order order, const struct queue_filter *filter, view target);

/* ---- queue_sweep.c ---- */
/* Removes objects that belong to no message any more: of submissions and snapshots that a crash cut off. By the owner. */
MAY_YIELD NODISCARD result shard_sweep(struct shard *s, millis deadline, struct fault *fault);
/* Does so in the background when it is time. */
void shard_consider_sweep(struct shard *s);

/* ---- queue_compact.c ---- */
MAY_YIELD NODISCARD result shard_compact(struct shard *s, millis deadline, struct fault *fault);
MAY_YIELD NODISCARD result shard_load(struct shard *s, view head, millis deadline, struct fault *fault);

/* ---- what outbound uses ---- */
/* `len` bytes from `offset` of what is to be sent, appended to `into`. */
MAY_YIELD NODISCARD result queued_read(struct queued *m, uint64_t offset, size_t len, millis deadline, buf *into, struct fault *fault);
/*
 * What came of recipients that were offered: makes it durable. Recipients that are deferred are offered again when their time has come.
 * The message may be gone afterwards.
 */
MAY_YIELD void queued_settle(struct queued *m, struct queue_result *results, size_t count);
/* A recipient that was offered and is not tried: waits again. */
void queued_withdraw(struct queued *m, size_t recipient);
