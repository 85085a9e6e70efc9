/*
 * account: mailboxes that are served, on their home loop.
 *
 * An open account is a struct state in memory and the position in the journal that it was computed up to: a cache.
 * Everything that changes it appends a record and then replays, so an OK is durable before it is told. All calls on
 * one account come from its home loop (accounts_home()), except accounts_deliver() and drafts, which run anywhere.
 * Accounts stay in memory after their last session while the budget lasts.
 */
#pragma once

#include <stdatomic.h>

#include "account/record.h"
#include "account/row.h"
#include "account/state.h"
#include "account/summary.h"
#include "engine/engine.h"

struct accounts;        /* all of a node */
struct account;         /* one, open on its home loop */

struct accounts_options {
    uint64_t memory_bytes;                       /* budget of states kept without sessions, per node; 0: 256 MiB */
    uint64_t compact_journal_bytes;              /* compact when the journal has grown by this; 0: 4 MiB */
    uint32_t compact_journal_records;            /* or by this many records; 0: 4000 */
    int64_t retention_ms;                        /* how long expunged messages stay restorable; default 7 days if 0 */
    int64_t grace_ms;                            /* how long objects out of use are kept for readers that are behind; 0: 1 hour */
    view node_name;                              /* noted in what is written, cut to 63 bytes; empty: "" */
    unsigned feature_level;                      /* 0: FEATURE_LEVEL_MAX */
    uint64_t draft_memory_bytes;                 /* of messages on their way in that are too large for a record, per loop; 0: 32 MiB */
    uint32_t turn_rows;                          /* records that make more rows anew are applied in turns; 0: STATE_TURN_ROWS */
    uint64_t pack_indexes_bytes;                 /* of indexes of packs that nobody uses now, per loop; 0: 8 MiB */
    size_t wide_bytes;                           /* rows of accounts that take more are kept in half the memory; 0: STATE_WIDE_BYTES */
    uint64_t reclaim_bytes_per_second;           /* a loop rewrites so much of packs that are mostly dead at most; 0: as fast as it goes */
    uint64_t archive_bytes_per_second;           /* a loop moves so much to the archive at most; 0: as fast as it goes */
    bool is_alone;                               /* no other node uses the store: so it always is with the local engine; tests say it of others */
    bool leaves_upkeep;                          /* accounts that only receive are noted for nodes that have the maintenance role */
};
struct accounts *accounts_new(struct engine *e, struct loops *all, const struct accounts_options *options);
/*
 * How old messages of an account may become before they go to the archive; 0: they never do. Asked when an account is tended; before the first
 * account is opened it is said who knows. On any loop.
 */
typedef result archive_limit_fn(void *argument, struct id account, int64_t *ret_after_ms);
void accounts_set_archive_limit(struct accounts *all, archive_limit_fn *limit, void *argument);
/* No account may be open any more. Waits for compactions under way. */
MAY_YIELD void accounts_free(struct accounts *all);
/* What may be written from now on (base/feature.h). Any thread. */
void accounts_set_feature_level(struct accounts *all, unsigned level);
unsigned accounts_feature_level(const struct accounts *all);
/* Accounts in memory, open or not. Any thread. */
uint64_t accounts_in_memory(const struct accounts *all);
/* False: the journal is not an account's. Ids of accounts begin with the time they were made; others name their journals by words. */
bool accounts_own_journal(struct id journal);
struct loop *accounts_home(struct accounts *all, struct id account);
struct engine *accounts_engine(struct accounts *all);
/* Other nodes may serve the same accounts at the same time. */
bool accounts_are_shared(const struct accounts *all);

/* Loads what is needed (head, snapshot's summaries, tail). An account without a journal is an empty INBOX. */
MAY_YIELD NODISCARD result account_open(struct accounts *all, struct id id, millis deadline, struct account **ret_account, struct fault *fault);
void account_close(struct account *a);
struct id account_id(const struct account *a);
struct state *account_state(struct account *a);          /* to read; do not keep pointers into it over a yield */
/* When the journal was last folded, and by which node; false when it never was or the head does not say. The name lives as long as the account stays open. */
bool account_origin(const struct account *a, unix_ms *ret_written, view *ret_node);
/*
 * Reads the tail: afterwards the state has every record that anybody can have been told of before this was called. Those are all that were durable, but
 * for such as wait to be applied here while their authors wait for it too; and only if other nodes, which may have shown those, have no part in the store.
 * So who reads does not wait until a record of another session is applied to a million messages, or until a snapshot is made; who writes does.
 */
MAY_YIELD NODISCARD result account_refresh(struct account *a, millis deadline, struct fault *fault);

/* changed() runs on the home loop, outside coroutines, after the state took in records (one's own too). For IDLE. */
struct account_watch { struct list node; void (*changed)(struct account_watch *w); };
/* Also makes the account follow what other nodes append, for as long as somebody watches. */
void account_watch(struct account *a, struct account_watch *w, void (*changed)(struct account_watch *w));
void account_unwatch(struct account *a, struct account_watch *w);

/*
 * Appends a record and replays up to it: *ret_outcome is what came of it. Fills in r->id and r->written. The call's result is about
 * the append (UNAVAILABLE, UNKNOWN_OUTCOME after a re-read could not settle it ...); ret_outcome->code about the intent.
 * `is_conditional`: the decision needs what the state says now (create, rename, delete): if others wrote meanwhile, replay decides anyway.
 */
MAY_YIELD NODISCARD result account_change(struct account *a, struct record *r, struct arena *arena, struct outcome *ret_outcome, millis deadline,
                                          struct fault *fault);

/* ---- messages in ---- */

struct draft;
enum { DRAFT_INLINE_MAX_BYTES = ENGINE_BODY_MAX_BYTES };
/*
 * A message on its way in, of any length, in bounded memory: kept in memory up to DRAFT_INLINE_MAX_BYTES, or 1 MiB while the loop's share
 * lasts, then streamed to a staging object. `message` is its id for ever (random_id() at the connection's transaction). Any loop; stays on it.
 */
struct draft *draft_new(struct accounts *all, struct id message, uint64_t limit_bytes);
/* TOO_BIG over the limit (the draft may then only be freed). Yields only while streaming. */
MAY_YIELD NODISCARD result draft_write(struct draft *d, view bytes, millis deadline, struct fault *fault);
uint64_t draft_bytes(const struct draft *d);
struct id draft_message(const struct draft *d);
MAY_YIELD void draft_free(struct draft *d);
/* All of its bytes, if they are few enough to be kept inline. False: an object, for draft_store(). */
bool draft_is_small(const struct draft *d, view *ret_bytes);
/* All of its bytes while they are in memory, 1 MiB at most. Before it is delivered. */
bool draft_is_held(const struct draft *d, view *ret_bytes);
/* A large draft's bytes become an object of this name too: for what is not an account's. OK also when it is there. */
MAY_YIELD NODISCARD result draft_store(struct draft *d, view name, millis deadline, struct fault *fault);

struct delivery {
    struct id account;
    view mailbox;                       /* empty: INBOX. Gone or absent: INBOX */
    struct record_flags flags;
    result code;                        /* set: OK when durable */
    struct fault fault;
};
/* One record to each account, all at once; returns when all are decided. Any loop. */
MAY_YIELD void accounts_deliver(struct accounts *all, struct draft *d, struct delivery *deliveries, size_t count, millis deadline);
/* What an account may hold; 0: any number. */
struct quota { uint64_t bytes, messages; };
/* Whether one more message of so many bytes fits. OVER_QUOTA if not. Any loop; cheap when the account's usage is known in this process. */
MAY_YIELD NODISCARD result accounts_check_quota(struct accounts *all, struct id account, struct quota quota, uint64_t more_bytes, millis deadline, struct fault *fault);

struct append_options {
    uint32_t mailbox;                   /* number */
    struct record_flags flags;
    unix_ms internal_date, save_date;   /* 0: now */
    uint32_t uid;                       /* 0: next */
    view uidl;
    uint32_t replaces_mailbox, replaces_uid;    /* expunged in the same record; INVALID as the outcome when it is gone. 0: none */
    bool is_hidden;                     /* until a RECORD_REVEAL names the UID of the outcome; from FEATURE_ANNOTATIONS on */
};
/* APPEND and import, on the home loop. */
MAY_YIELD NODISCARD result account_append(struct account *a, struct draft *d, const struct append_options *options, struct arena *arena,
                                          struct outcome *ret_outcome, millis deadline, struct fault *fault);
/*
 * The same without waiting: several may be under way, done() runs on the home loop outside coroutines in the order in which they were
 * started. The pending struct and the draft stay until then. Only drafts that are inline (draft_bytes() <= DRAFT_INLINE_MAX_BYTES): else INVALID at once.
 */
struct append_pending {
    struct draft *draft;
    struct append_options options;
    struct outcome outcome;             /* sets in `arena` */
    struct arena *arena;
    result code;
    struct fault fault;
    void (*done)(struct append_pending *p);
    void *private_data;                 /* the account room's */
    void *argument;                     /* the caller's */
};
void account_append_start(struct account *a, struct append_pending *p, millis deadline);

/* ---- messages out ---- */

struct message;
/*
 * Opens the bytes of a row. Yields while reading. Neighbouring rows are read ahead in one go, so reading a mailbox in order costs few reads.
 * NOT_FOUND: expunged and reclaimed since.
 */
MAY_YIELD NODISCARD result message_open(struct account *a, uint32_t mailbox, const struct row *row, millis deadline, struct message **ret_message, struct fault *fault);
/*
 * Messages of these rows will be opened soon, by who pipelines: their bytes are read and unpacked meanwhile. To be asked for only when
 * messages_may_expect(). Neither yields. What is never opened takes memory until others are expected: at most MESSAGES_EXPECTED_JOBS times
 * MESSAGES_EXPECTED_AT_ONCE packed messages (64 KiB) in a loop.
 */
enum { MESSAGES_EXPECTED_AT_ONCE = 32, MESSAGES_EXPECTED_JOBS = 4 };
bool messages_may_expect(struct account *a);
void messages_expect(struct account *a, const struct row *rows, size_t count);
uint64_t message_size(const struct message *m);
/* Up to `len` bytes from `offset`, good until the next call on this message. The whole of a message that is kept inline or packed in one view. */
MAY_YIELD NODISCARD result message_read(struct message *m, uint64_t offset, size_t len, millis deadline, view *ret_bytes, struct fault *fault);
/*
 * All of it as one view, good until message_close(): for parsing its structure. Of the messages over MESSAGE_WHOLE_FREE_BYTES, as many
 * in a loop as fit its budget, and one that is larger alone: waits its turn, so memory stays bounded.
 */
enum { MESSAGE_WHOLE_FREE_BYTES = 1 << 20, MESSAGE_WHOLE_BUDGET_BYTES = 64 << 20 };
MAY_YIELD NODISCARD result message_whole(struct message *m, millis deadline, view *ret_bytes, struct fault *fault);
void message_close(struct message *m);

/*
 * A text that lists want of a message, when it was made beforehand (account/summary.h); good until the next call or yield. NOT_FOUND: it was not,
 * so the message is to be read.
 */
MAY_YIELD NODISCARD result message_summary(struct account *a, const struct row *row, enum summary_column column, millis deadline, view *ret_text, bool *ret_is_plain);

/* ---- upkeep ---- */
/* Folds the journal into packs and a snapshot now. OK also when there was nothing to do or another node was faster. */
MAY_YIELD NODISCARD result account_compact(struct account *a, millis deadline, struct fault *fault);
/* The account has something old that is not in the archive, by the age limit that was last heard of: another account_compact() goes on with it. */
bool account_wants_archiving(const struct account *a);
/* Some of its messages may be in the archive, where reading one costs more than asking the index. */
bool account_has_archive(const struct account *a);
/* Loads every block, then state_digest(). */
MAY_YIELD NODISCARD result account_digest(struct account *a, unsigned char digest[static 32], millis deadline, struct fault *fault);
/* The expunged that are still restorable, newest first, up to max. */
struct expunged_info { uint32_t mailbox; view mailbox_name; struct row row; unix_ms expunged; };
MAY_YIELD NODISCARD result account_expunged(struct account *a, struct arena *arena, size_t max, struct expunged_info **ret_list, size_t *ret_count, millis deadline,
                                            struct fault *fault);
/* Checks the account: every row's message readable and of its size, every object referenced or waiting for its end, counters right. */
struct account_verify {
    uint64_t messages, bytes, objects, garbage_objects, problems;
    uint64_t stale_objects;              /* of garbage_objects: such as no compaction will come across by itself */
    void (*found)(void *argument, view what);
    void *argument;
    uint64_t bytes_per_second;           /* of messages, at most; 0: as fast as it goes */
    const atomic_bool *is_stopped;       /* may be NULL. Set: ends with CANCELLED soon */
};
MAY_YIELD NODISCARD result account_verify(struct account *a, struct account_verify *v, millis deadline, struct fault *fault);
/* The journal and all objects of an account that was removed from the directory. What is left or comes late is cleared away within hours. */
MAY_YIELD NODISCARD result accounts_destroy(struct accounts *all, struct id account, millis deadline, struct fault *fault);

/* ---- what nodes do to accounts that nobody has open: room upkeep; any loop ---- */

/*
 * Folds the journal if it is long, and purges and clears away what has waited for its time. `is_noted`: a note led to it, which is gone
 * afterwards. BUSY: another node is at it. An account that was not in memory before does not stay there.
 */
MAY_YIELD NODISCARD result accounts_tend(struct accounts *all, struct id account, bool is_noted, millis deadline, bool *ret_was_due, struct fault *fault);
/* account_verify(), and clears away the objects that it found stale. */
MAY_YIELD NODISCARD result accounts_scrub(struct accounts *all, struct id account, struct account_verify *v, millis deadline, struct fault *fault);
/* How many shards notes have; 0: nodes do not share this store, and there are no notes. */
uint32_t accounts_note_shards(const struct accounts *all);
/* The next accounts of a shard that are noted and that nobody is at, after *after (ID_NONE: from the first), which moves on. */
MAY_YIELD NODISCARD result accounts_noted(struct accounts *all, uint32_t shard, struct id *after, size_t max, millis deadline, struct id *ret_ids, size_t *ret_count,
                                          bool *ret_more, struct fault *fault);
