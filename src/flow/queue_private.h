/*
 * queue_private: a shard and its messages, for queue*.c and outbound*.c.
 *
 * Everything here lives on the shard's loop.
 */
#pragma once

#include <stdatomic.h>

#include "base/list.h"
#include "flow/queue.h"
#include "flow/queue_due.h"
#include "flow/queue_index.h"
#include "flow/queue_shared.h"
#include "runtime/coroutine.h"
#include "runtime/loop.h"

struct shard;

enum { QUEUE_OBJECT_NAME_MAX = 64 };

/* One recipient of a message that waits. */
struct queued_recipient {
    const char *text;                    /* the address: in the message's memory, or in its extras' */
    struct shared_text *answer;          /* the last one; NULL: none */
    struct parcel *parcel;               /* outbound's, while it waits there; else NULL */
    unix_ms next_try, tried;             /* tried: when the last record about it was written */
    uint16_t text_len, domain_at, tries;
    uint8_t notify;                      /* enum smtp_notify bits; 0: the default, FAILURE and DELAY */
    uint8_t state : 2;                   /* enum recipient_state */
    bool is_out : 1;                     /* with outbound: counted in queued.offered, whatever becomes of it meanwhile */
    bool is_elsewhere : 1;               /* of QUEUE_HAS_LOCAL: no account of ours, as was found out */
};
enum recipient_state { RECIPIENT_WAITING, RECIPIENT_OFFERED, RECIPIENT_DONE };

/* What few messages have. */
struct queued_extras {
    struct arena *arena;                 /* its own */
    view envelope_id, route;
    unix_ms not_before, deliver_by;
    uint8_t deliver_by_mode;
    view *originals;                     /* ORCPT of each recipient */
};

/* A message that waits: there may be a million. */
struct queued {
    struct list node;                    /* in shard.messages, in the order of arrival */
    struct shard *shard;
    struct shared_text *origin;          /* queued_account(), queued_tenant(), queued_sender() */
    struct queued_extras *extras;        /* NULL: none */
    struct id message;
    unix_ms received;
    uint64_t bytes;                      /* to be sent */
    uint64_t arrival;                    /* its number in the shard: where a listing goes on */
    /* Where the bytes are: the journal's record or the shard's snapshot; what they lack is the object "queue/<message>". */
    struct journal_position at;
    uint64_t place;                      /* the record's body_offset, or the offset in the snapshot */
    uint32_t body_bytes, skip_bytes;
    uint32_t flags;                      /* enum queue_flag */
    uint32_t due_place;                  /* queue_due's; 0: it is not looked at again by itself */
    uint32_t offered;                    /* recipients with outbound now, and whoever else holds it */
    uint16_t recipient_count, waiting;   /* waiting: recipients that are not done */
    uint8_t return_what, class, standing;
    int8_t priority;
    bool is_held : 1, is_removed : 1, must_expire : 1, is_in_snapshot : 1;
    struct queued_recipient recipients[];
};

static inline view queued_address(const struct queued_recipient *r) { return view_make(r->text, r->text_len); }
static inline view queued_domain(const struct queued_recipient *r) { return view_make(r->text + r->domain_at, (size_t)r->text_len - r->domain_at); }

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
    struct queue_index by_id;
    struct queue_due due;
    struct map texts;                    /* struct shared_text */
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
    uint64_t compact_bytes;              /* a shard's journal is not folded before it has so many */
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

/* ---- queue_message.c ---- */
/* Not in any list yet; its bytes are nowhere. */
struct queued *queued_new(struct shard *s, const struct queue_envelope *e);
/* In no list any more, and not due. */
void queued_free(struct queued *m);
struct id queued_account(const struct queued *m);
view queued_tenant(const struct queued *m);
view queued_sender(const struct queued *m);
view queued_original(const struct queued *m, size_t recipient);
const struct queued_extras *queued_extras(const struct queued *m);
/* To be changed. */
struct queued_extras *queued_need_extras(struct queued *m);
/* The address must live as long as the message. */
void queued_set_address(struct queued_recipient *r, view address);
void queued_set_answer(struct queued *m, struct queued_recipient *r, view answer);
/* All of it; the array is the arena's, views are the message's. */
void queued_envelope(const struct queued *m, struct arena *arena, struct queue_envelope *ret_envelope);

/* ---- queue_shard.c ---- */
/* Memory of a shard that knows nothing yet. */
void shard_init(struct shard *s);
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
/* Mail comes and goes meanwhile, but for the last moment. */
MAY_YIELD NODISCARD result shard_compact(struct shard *s, struct fault *fault);
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
