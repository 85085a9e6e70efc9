/*
 * account/home: the structs behind accounts and account, for the files of this room that do I/O.
 *
 * Each loop has a struct home, touched by that loop alone. An account lives in the home of the loop that its id
 * hashes to. Its state changes in three ways, never two at a time:
 *   - own records that follow right on the state's position are applied when their append is told (own.c);
 *   - the tail is read under the replay lock and applied (refresh.c);
 *   - under the same lock a head that another node wrote gives a state built anew (refresh.c).
 * Who waits for a record (own appends) or wants to hear of changes (watches) is told by one posted task, outside coroutines.
 */
#pragma once

#include <stdatomic.h>

#include "account/account.h"
#include "account/budget.h"
#include "account/head.h"
#include "account/private.h"
#include "base/feature.h"
#include "base/list.h"
#include "base/map.h"
#include "runtime/coroutine.h"
#include "runtime/loop.h"

struct home {
    struct accounts *all;
    struct loop *loop;
    bool is_open;
    struct scope scope;                  /* of all work in the background */
    struct map accounts;                 /* by id */
    struct list idle;                    /* accounts that nobody uses, least recently used first */
    size_t idle_bytes;
    size_t grown_bytes;                  /* what states have taken, about, since memory was last looked at */
    struct budget whole;                 /* of messages over MESSAGE_WHOLE_FREE_BYTES that are in memory */
    struct list windows;                 /* read-ahead that no message uses now, least recently used first (message.c) */
    size_t windows_bytes;
    struct list expected;                /* messages that will be opened soon (expect.c) */
    unsigned expected_jobs, expect_unzip_count;
    struct waitlist expected_done;
    void *expect_unzips[MESSAGES_EXPECTED_JOBS];       /* decompressors that no worker uses now */
    struct list indexes;                 /* of packs, least recently used first */
    size_t indexes_bytes;
    struct index_piece **index_pieces;   /* of those that do not fit (pack_index.c); NULL: none yet */
    struct list summaries;               /* of packs, blocks of them, least recently used first (listing.c) */
    size_t summaries_bytes;
    struct index_kept *ahead;            /* whose summaries were read ahead */
    struct unpack_job *unpacking;        /* what a worker unpacks of it now */
    struct waitlist unpacked;            /* who waits for that */
    void *unzip_ahead;                   /* the worker's decompressor */
    struct alone_summary *alone;         /* of the message alone that was asked for last (listing.c) */
    struct list search_pages;            /* of the index for searches, least recently used first (search_reader.c) */
    size_t search_bytes;
    struct list search_hits;             /* what was asked lately, least recently used first (search.c) */
    size_t search_hits_bytes;
    void *unzip;                         /* pack.c's decompressor, made when first needed */
    struct list wishes;                  /* accounts that are to be compacted (upkeep.c) */
    struct map wished;
    struct scope compactions;
    unsigned compactors;
    bool is_stopping;
    bool blind_tells_nothing;            /* the engine does not say where a blind append was put */
    int64_t wall_offset_ms;              /* of the wall clock, and since when it is that (collect.c) */
    millis wall_steady_since;
    struct timer upkeep;
    size_t held_bytes;                   /* of drafts, beyond what may be inline (draft.c) */
    unsigned notes;                      /* on their way into the table */
    millis archive_next, rewrite_next;   /* the pace: nothing more goes to the archive, or is rewritten, before (archive.c, collect.c) */
    struct map usages;                   /* what this loop knows of accounts' usage (quota.c) */
    struct list usages_used;
};

struct accounts {
    struct engine *engine;
    struct loops *family;
    struct accounts_options options;
    bool are_shared;                     /* the store has several nodes */
    archive_limit_fn *archive_limit;
    void *archive_argument;
    atomic_uint feature_level;           /* what may be written: base/feature.h */
    atomic_uint_fast64_t in_memory;      /* accounts, on all loops */
    char node_name[HEAD_ORIGIN_MAX_BYTES + 1];
    struct id me;                        /* names this process in claims */
    unsigned loops;
    struct home homes[];
};

struct account {
    struct home *home;
    struct id id;
    unsigned users;                      /* handles, own appends, work in the background */
    unsigned pins;                       /* blocks that were loaded must stay: somebody loads all that he needs and then looks */
    struct list idle_node;
    size_t idle_bytes;

    struct state *state;                 /* NULL: nothing was loaded yet */
    struct journal_position position;    /* the state has every record up to here */
    struct head head;                    /* that the state descends from; directory is not kept */
    uint64_t skip;                       /* so many records after the position were applied before the head was replaced */
    uint64_t journal_bytes;              /* since the head, about */
    bool is_corrupt;                     /* and was reported */

    struct mutex replay;
    bool is_held_long;                   /* by who lets others of the loop take turns */
    uint64_t reads_begun, reads_done;    /* tail reads: a refresh is served by any that began after it came */
    millis current_at;                   /* when the position was last known to be the journal's end */
    millis foreign_until;                /* others have appended lately: guarded appends would lose */
    struct list own;                     /* own appends in the order of their start (own.c) */
    bool is_slimming;                    /* a coroutine waits to do so */
    bool is_following;                   /* a coroutine reads the tail for them or for watches */
    bool follow_again;

    struct list watches;
    struct journal_watch journal_watch;
    unsigned watch_count;
    uint64_t told_sequence;              /* of the state when the watches were last told */
    struct task tell;
    bool tell_posted;

    int64_t archive_after_ms;            /* the age limit, as it was last heard of; 0: none */
    millis archive_again;                /* not before, because it failed */
    bool wants_sweep;                    /* stale objects were found (verify.c) */
    bool wants_rewriting;                /* the store was too slow for what is mostly dead (collect.c) */
    struct mutex compacting;
    millis compact_after;                /* not before, because it failed */
    struct compaction *compaction;       /* whose snapshot may become the head (compact.c) */

    struct { uint32_t pack, entry; } expecter;         /* what was expected last (expect.c) */
    struct { uint64_t place; unsigned run; } reader;   /* what was read last, for read-ahead (message.c) */
    struct { uint32_t slot, block; unsigned column; struct summary_block *now; } lister;   /* the same for summaries (listing.c); the block asked for last */
    struct list windows, indexes;        /* read-ahead, and indexes of packs */
    struct list search_readers;          /* segments that are open (search_reader.c) */
};

/* ---- home.c ---- */
struct home *accounts_here(struct accounts *all);            /* of the calling loop */
struct account *home_account(struct home *h, struct id id);  /* in memory, or made (users as they are) */
void account_hold(struct account *a);
/* States have taken so many bytes, about. Keeps to the budget: drops idle accounts and forgets blocks of others. */
void home_grew(struct home *h, size_t bytes);
/* Rows were loaded or changed: if there are very many, those that are wide are made slim. */
void account_slim_soon(struct account *a);
/* A state that nobody looks at any more; NULL is fine. A large one goes in turns. */
void home_free_state(struct home *h, struct state *s);
/* account_close() for who looked at one that nobody uses: it goes from memory if `was_loaded` is false. */
void account_close_cold(struct account *a, bool was_loaded);
/* Back to the state of one that was never loaded: for accounts whose journal is gone. */
void account_forget(struct account *a);

/* ---- refresh.c ---- */
MAY_YIELD NODISCARD result account_read_tail(struct account *a, millis deadline, struct fault *fault);   /* the replay lock is held */
/*
 * Reads the tail: afterwards the state has every record that was durable when this was called, and the head that was in its place. Waits for who holds the
 * replay lock, however long; account_refresh() does so only where it must.
 */
MAY_YIELD NODISCARD result account_catch_up(struct account *a, millis deadline, struct fault *fault);
/* account_load_blocks() for who holds the replay lock: the state stays in its place. */
MAY_YIELD NODISCARD result account_load_blocks_locked(struct account *a, const struct block_key *keys, size_t count, millis deadline, struct fault *fault);
/* Releases the replay lock and applies own records that waited for it. */
void account_unlock(struct account *a);
/* Takes the replay lock for who looks at very many rows in turns: nothing changes the state meanwhile, who only reads goes on. */
MAY_YIELD NODISCARD result account_hold_still(struct account *a, millis deadline, struct fault *fault);
void account_hold_no_more(struct account *a);
/* Others of the loop, when they have waited for long enough. */
struct state_turns account_turns(struct account *a);
/* Reads the tail some time soon, in the background, and tells who waits. Any code of the home loop. */
void account_follow(struct account *a);
/* Posts the task that finishes own appends and calls watches. */
void account_tell(struct account *a);
/* Emits the event, once for each account in memory. Returns `code`. */
result account_report_corrupt(struct account *a, result code, const struct fault *fault);

/* ---- own.c ---- */
struct own_append {
    struct list node;                    /* in account.own */
    struct account *account;
    struct journal_append append;
    const struct record *record;         /* the caller's, as long as the append lasts */
    buf meta;
    struct arena *arena;                 /* for the outcome's sets */
    struct outcome *outcome;             /* may be NULL */
    struct fault *fault;
    millis deadline;
    struct journal_position guard;       /* what append.only_if_at points to, if it is set */
    bool in_flight, is_stored, is_applied;
    bool is_waiting;                     /* in flight as others see it, but sent when the guarded one before it is told */
    bool is_uncertain;                   /* the outcome of some try is unknown */
    bool is_unknown;                     /* the outcome of the last try: looked for in the tail before the next one */
    unsigned tries;
    uint64_t told_at_read;               /* account.reads_begun when the append was told */
    result code;                         /* when finished */
    void (*finished)(struct own_append *o);   /* on the home loop, outside coroutines, in the order of starting */
};
/* The caller has set account, append.body, record, arena, outcome, fault, deadline and finished. */
void own_append_start(struct own_append *o);
/* The same for one that cannot be tried: it is finished in its turn. */
void own_append_refuse(struct own_append *o, result code);
/* In a coroutine (change.c): a record whose id and time are set. */
MAY_YIELD NODISCARD result account_append_record(struct account *a, const struct record *r, view body, struct arena *arena, struct outcome *ret_outcome,
                                                 millis deadline, struct fault *fault);
/* The tail has a record of somebody else. */
void account_saw_others(struct account *a);
/* The own append that waits for this record, or NULL. */
struct own_append *own_append_find(struct account *a, struct id record);
/* The state has taken it in; if that was not its first try there, what came of the first is its outcome. */
void own_append_applied(struct own_append *o);
/* Applies what follows on the position; asks for a tail read when something does not. Nothing while the replay lock is held. */
void own_appends_pump(struct account *a);
/* The tail could not be read: gives up own appends that are stored, if their time is over or waiting is no use. True if some still wait. */
bool own_appends_give_up(struct account *a, result code, const struct fault *fault);
/*
 * The tail was read in the reading of this number: what was stored before it and did not come by was folded into a head by another node;
 * what is of unknown outcome is sent again.
 */
void own_appends_after_read(struct account *a, uint64_t number);
/* Calls finished() of those that are, in order. Both from the account's task. */
void own_appends_finish(struct account *a);

/* ---- names of objects: "<account>/p-<id>" ---- */
enum { OBJECT_NAME_MAX = 2 * ID_TEXT_LEN + 24 };
/* `name` is what stands in the state: "p-…", "s-…", "i-…", and "c-…", which is in the archive: "cold/<account>/c-…". */
view account_object_name(struct id account, view name, char text[static OBJECT_NAME_MAX]);
view account_alone_name(struct id account, struct id message, uint32_t second, char text[static OBJECT_NAME_MAX]);
/* What the account has in the archive begins with this: "cold/<account>/". A message alone has the same name there behind "cold/". */
view account_cold_folder(struct id account, char text[static OBJECT_NAME_MAX]);
view account_cold_name(view name, char text[static OBJECT_NAME_MAX]);
/* Of the summary of a message alone, "<account>/h-…", which is made when it goes to the archive; and back. The name of any other object is not changed. */
view account_summary_name(view alone, char text[static OBJECT_NAME_MAX]);
view account_summarized_name(view name, char text[static OBJECT_NAME_MAX]);

/* ---- upkeep.c ---- */
/* After an append that was stored: asks the account's home to compact it if its journal is long now. Any loop. */
void accounts_consider_compaction(struct accounts *all, const struct journal_append *append);
/* The same for an account in memory. On its home. */
void account_consider_compaction(struct account *a);
/* Also when old expunged messages or objects out of use ask for it: looks at more, so when the last session has closed. */
void account_consider_upkeep(struct account *a);
/* What fell out of use has been kept for the grace period and some time more. */
bool account_has_old_retired(const struct account *a);
/* Whether the wall clock has not been set by more than a little for so long. */
bool home_clock_is_steady(struct home *h, int64_t duration_ms);
/* Begins what a home does at times by itself. */
void home_start_upkeep(struct home *h);
/* Waits for compactions under way and begins no more. */
MAY_YIELD void home_stop_upkeep(struct home *h);

/* ---- destroy.c ---- */
/* Destroys once more what was destroyed some time ago. In the background. */
MAY_YIELD void removed_sweep(struct accounts *all);

/* Hears of the account's age limit. What is not known now stays as it was heard of last. */
MAY_YIELD void account_ask_archive_limit(struct account *a);

/* ---- compact.c ---- */
/* What was expunged before then is to be purged now; 0: nothing. */
unix_ms account_purge_before(const struct account *a);
/* A new head was read, under the lock. True if it is the one of the compaction under way here, which then is committed, in turns. */
MAY_YIELD bool compaction_is_head(struct account *a, const struct head *head, const struct state_turns *turns);
void compaction_abort(struct account *a);
/* The bytes are those of the head that the compaction under way here makes. */
bool compaction_is_of(const struct account *a, view head, struct arena *arena, struct head *ret_head);

/* ---- message.c, pack_index.c, quota.c ---- */
/* Before an account's memory goes. */
void account_drop_reading(struct account *a);
void home_drop_windows(struct home *h, size_t keep_bytes);
void home_drop_indexes(struct home *h, size_t keep_bytes);
void home_drop_index_pieces(struct home *h);
void account_drop_indexes(struct account *a);
void home_drop_usages(struct home *h);
void home_drop_alone_summary(struct home *h);
/* A delivery of this loop was stored. */
void usage_grew(struct accounts *all, struct id account, uint64_t bytes);
