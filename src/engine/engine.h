/*
 * engine: all that is durable, behind one interface.
 *
 * Four families: journals (small, mutable, the truth of an account or a queue shard), objects (written
 * once), tables (what is looked up by name), signals (who wants to know, who owns). Nothing above knows
 * which engine is behind: local (one machine), rados (a cluster), memory (tests, with faults). All of them
 * pass engine/contract_test.c.
 *
 * Every call comes from a coroutine of any loop and yields. `deadline` bounds the wait: reads then return
 * TIMEOUT; changes return UNKNOWN_OUTCOME (they may be done, or be done later: re-read and look for the
 * id in the record). UNAVAILABLE certainly was not done: full, down, or fenced. CORRUPT and IO concern only
 * what was asked for. Memory that is returned lives in the arena given.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/id.h"
#include "base/list.h"
#include "base/time.h"
#include "runtime/colour.h"
#include "runtime/loop.h"

struct engine;

enum {
    ENGINE_META_MAX_BYTES = 1 << 20,       /* a record's meta; a flag change of scattered UIDs is the largest */
    ENGINE_BODY_MAX_BYTES = 64 << 10,      /* inline message bytes; larger ones are objects */
    ENGINE_HEAD_MAX_BYTES = 64 << 10,
    ENGINE_NAME_MAX_BYTES = 200,           /* of objects and leases: [A-Za-z0-9._/-] */
    ENGINE_KEY_MAX_BYTES = 1024,
    ENGINE_VALUE_MAX_BYTES = 1 << 20,
    ENGINE_TABLE_NAME_MAX_BYTES = 30,      /* [a-z_] */
};

/* Stops the engine: no call may be under way. */
MAY_YIELD void engine_close(struct engine *e);
/* "local", "memory", "rados". Static. */
const char *engine_kind(const struct engine *e);

/* ---- journals ------------------------------------------------------------------------------------------ */

/*
 * A place in a journal: only the engine looks inside; others compare. Zero is the beginning of a journal that has no
 * head yet. `epoch` counts the replacements of the head.
 */
struct journal_position {
    uint64_t epoch, offset, tail;
};
bool journal_position_equal(const struct journal_position *a, const struct journal_position *b);

/*
 * One record: meta is small and read whenever the tail is read; body is message bytes, read on demand. Both become
 * durable together or not at all. A journal comes into being with its first record.
 */
struct journal_append {
    struct id journal;
    view meta, body;                                   /* borrowed until the call returns */
    const struct journal_position *only_if_at;         /* NULL: blind. Else CONFLICT if the journal has moved on */
    /* Set on OK: */
    struct journal_position at;                        /* after this record; valid if before_known */
    struct journal_position before;                    /* where the record was put; valid if before_known */
    bool before_known;                                 /* a blind append of rados does not tell */
    uint64_t body_offset;                              /* as in struct journal_record, if before_known: the record need not be read to know its body's place */
    uint64_t journal_bytes;                            /* meta and body since the head: when to compact. 0 if not known */
    uint64_t journal_records;
    result code;                                       /* this append's own result */
    struct fault *fault;                               /* may be NULL */
    struct {                                           /* engine.c's, while it is under way */
        struct engine *engine;
        void (*done)(struct journal_append *a, void *argument);
        void *argument;
        unsigned slot;
    } under_way;
};
/* One append. Its result. */
MAY_YIELD NODISCARD result engine_append(struct engine *e, struct journal_append *a, millis deadline);
/* Many at once, to any journals, each atomic by itself; several to one journal keep their order. Returns when all have their code. */
MAY_YIELD void engine_append_all(struct engine *e, struct journal_append *const *appends, size_t count, millis deadline);
/*
 * For pipelining without a coroutine each: done(append) is called on the calling loop, outside coroutines, when durable or failed. The
 * append and what it points to stay until then. Does not yield.
 */
void engine_append_start(struct engine *e, struct journal_append *a, millis deadline, void (*done)(struct journal_append *a, void *argument), void *argument);

struct journal_record {
    struct journal_position at;                        /* after this record: where to read on from */
    view meta;
    uint64_t body_offset;                              /* for engine_read_body(); opaque */
    uint32_t body_bytes;
};
struct journal_page {
    bool has_head;                                     /* head is set, records begin right after it */
    view head;                                         /* as engine_replace_head() wrote it; empty: never compacted */
    struct journal_position head_at;
    struct journal_record *records;
    size_t count;
    struct journal_position end;                       /* read on from here */
    bool more;                                         /* there was more when this was read */
    uint64_t journal_bytes;                            /* since the head, 0 if not known */
};
enum { ENGINE_PAGE_RECORDS = 1000, ENGINE_PAGE_BYTES = 1 << 20 };
/*
 * The records after `from`, at most a page. `from` NULL, or of an epoch that has ended: has_head is set and
 * records begin after the head. NOT_FOUND: no such journal.
 */
MAY_YIELD NODISCARD result engine_read(struct engine *e, struct id journal, const struct journal_position *from, millis deadline,
                                       struct arena *arena, struct journal_page *ret_page, struct fault *fault);
/*
 * Appends body bytes [offset, offset+len) of a record to `into`. NOT_FOUND when the head has since swallowed the record: refresh.
 */
MAY_YIELD NODISCARD result engine_read_body(struct engine *e, struct id journal, const struct journal_record *record, uint32_t offset,
                                            uint32_t len, millis deadline, buf *into, struct fault *fault);
struct journal_body_wanted { struct journal_record record; buf *into; result code; };
/* Many whole bodies of one journal in one go. */
MAY_YIELD NODISCARD result engine_read_bodies(struct engine *e, struct id journal, struct journal_body_wanted *wanted, size_t count,
                                              millis deadline, struct fault *fault);
/*
 * Compaction's last step: if the head is still the one of `epoch` (0: none yet), puts a new head in its place, drops all records up to
 * and including `folded`, keeps those after it (also such as arrive meanwhile). CONFLICT: somebody else was faster. `folded` must be of
 * that epoch.
 */
MAY_YIELD NODISCARD result engine_replace_head(struct engine *e, struct id journal, uint64_t epoch, const struct journal_position *folded,
                                               view head, millis deadline, struct journal_position *ret_head_at, struct fault *fault);
/* The journal with all its records. OK also when there was none. */
MAY_YIELD NODISCARD result engine_remove_journal(struct engine *e, struct id journal, millis deadline, struct fault *fault);
/*
 * Journals in an order of the engine's own, which does not change, after `after` (NULL: from the first), at most `max`. The end: ret_count 0.
 * `after` need not exist any more. One that comes into being meanwhile may be told or not.
 */
MAY_YIELD NODISCARD result engine_list_journals(struct engine *e, const struct id *after, size_t max, millis deadline, struct id *journals,
                                                size_t *ret_count, struct fault *fault);

/* ---- objects ------------------------------------------------------------------------------------------- */

/*
 * Objects whose names begin with "cold/" are in the archive: a second place, cheaper and slower, that an operator may give the store (local:
 * another folder; rados: another pool). The name is all that tells. Without one, or while it is away, what names them is UNAVAILABLE and all else goes on.
 */
#define ENGINE_COLD VIEW("cold/")
enum { ENGINE_COLD_BYTES = 5 };
static inline bool engine_is_cold(view name) { return view_starts(name, ENGINE_COLD); }
/* This node was given one. It may be away. */
bool engine_has_archive(const struct engine *e);

struct object_writer;
/*
 * A new object, invisible until committed. EXISTS is reported at commit at the latest. object_commit() and object_abort() free the writer
 * whatever they return.
 */
MAY_YIELD NODISCARD result object_create(struct engine *e, view name, millis deadline, struct object_writer **ret_writer, struct fault *fault);
MAY_YIELD NODISCARD result object_write(struct object_writer *w, view bytes, millis deadline, struct fault *fault);
MAY_YIELD NODISCARD result object_commit(struct object_writer *w, millis deadline, struct fault *fault);
MAY_YIELD void object_abort(struct object_writer *w);
/* The whole in one call. */
MAY_YIELD NODISCARD result object_put(struct engine *e, view name, view bytes, millis deadline, struct fault *fault);
/* A second name for the same bytes, independent of the first (local: a hard link, unless one of them is in the archive). */
MAY_YIELD NODISCARD result object_copy(struct engine *e, view from, view to, millis deadline, struct fault *fault);
/* Appends up to len bytes from offset to `into`: fewer at the end of the object, none beyond it. */
MAY_YIELD NODISCARD result object_read(struct engine *e, view name, uint64_t offset, size_t len, millis deadline, buf *into, struct fault *fault);
MAY_YIELD NODISCARD result object_size(struct engine *e, view name, millis deadline, uint64_t *ret_bytes, struct fault *fault);
/* OK also when there was none. */
MAY_YIELD NODISCARD result object_remove(struct engine *e, view name, millis deadline, struct fault *fault);
/* Names that begin with `prefix`, in order, after `after` (empty: from the first), at most `max`. Those of the archive only if `prefix` begins with "cold/". */
MAY_YIELD NODISCARD result object_list(struct engine *e, view prefix, view after, size_t max, millis deadline, struct arena *arena,
                                       view **ret_names, size_t *ret_count, struct fault *fault);

/* ---- tables -------------------------------------------------------------------------------------------- */

/* Tables are named by short lower-case words and come into being by use. A table has a fixed number of shards; a batch is atomic within one. */
uint32_t table_shards(const struct engine *e, view table);
uint32_t table_shard_of(const struct engine *e, view table, view shard_key);

MAY_YIELD NODISCARD result table_get(struct engine *e, view table, uint32_t shard, view key, millis deadline, struct arena *arena,
                                     view *ret_value, struct fault *fault);

struct table_row { view key, value; };
/* Rows whose key begins with `prefix` and is greater than `after` (empty: from the first), in order of bytes, at most `max` of one shard. */
MAY_YIELD NODISCARD result table_scan(struct engine *e, view table, uint32_t shard, view prefix, view after, size_t max, millis deadline,
                                      struct arena *arena, struct table_row **ret_rows, size_t *ret_count, struct fault *fault);

struct table_change {
    view key;
    enum { TABLE_PUT, TABLE_REMOVE, TABLE_CHECK_ONLY } what;
    view value;
    enum { TABLE_IF_ANY, TABLE_IF_ABSENT, TABLE_IF_PRESENT, TABLE_IF_VALUE } condition;
    view expected;                           /* TABLE_IF_VALUE: these bytes exactly */
};
enum { TABLE_BATCH_MAX = 1000 };
/* All or nothing. CONFLICT when a condition does not hold; *ret_failed (may be NULL) says which change. */
MAY_YIELD NODISCARD result table_batch(struct engine *e, view table, uint32_t shard, const struct table_change *changes, size_t count,
                                       millis deadline, size_t *ret_failed, struct fault *fault);

/* ---- signals ------------------------------------------------------------------------------------------- */

/*
 * changed() is called on the loop that watches, outside coroutines, some time after engine_notify() on the journal anywhere, at least once,
 * several notifications perhaps as one; also when notifications may have been missed. It says "look", not what.
 */
struct journal_watch {
    struct list node;                        /* the engine's */
    struct id journal;
    struct loop *loop;
    void (*changed)(struct journal_watch *w);
    void *engine_private;
};
void engine_watch(struct engine *e, struct id journal, struct journal_watch *w, void (*changed)(struct journal_watch *w));
void engine_unwatch(struct engine *e, struct journal_watch *w);      /* no call after it returns */
/* Never waits. Cheap when nobody watches. An engine may call it itself for each append; callers need not. */
void engine_notify(struct engine *e, struct id journal);

/*
 * A lease: at most one owner until it expires. Advisory: what it protects must be fenced by conditional appends. BUSY: another owner.
 * Acquiring one's own prolongs it. Renewing one that has expired is NOT_FOUND, even if nobody else has taken it: the owner may have been
 * replaced meanwhile. Releasing what one does not own is OK.
 */
MAY_YIELD NODISCARD result lease_acquire(struct engine *e, view name, view owner, int64_t duration_ms, millis deadline, struct fault *fault);
MAY_YIELD NODISCARD result lease_renew(struct engine *e, view name, view owner, int64_t duration_ms, millis deadline, struct fault *fault);
MAY_YIELD NODISCARD result lease_release(struct engine *e, view name, view owner, millis deadline, struct fault *fault);

/* ---- the store as a whole ------------------------------------------------------------------------------ */

/* A consistent copy into `folder` (absent or empty) while the engine serves. INVALID where an engine has no such thing. */
MAY_YIELD NODISCARD result engine_backup(struct engine *e, const char *folder, void (*progress)(void *argument, uint64_t done_bytes, uint64_t all_bytes),
                                         void *argument, struct fault *fault);
/* Checks checksums of everything the engine keeps that nobody else reads. found() is told each thing that is wrong. */
MAY_YIELD NODISCARD result engine_verify(struct engine *e, void (*found)(void *argument, view what), void *argument, struct fault *fault);
/*
 * Gives back what writers of objects that died have left, one part of the store in a call: *place is 0 at first and the next call's then.
 * Adds to *count what was given back. END: there are no more parts.
 */
MAY_YIELD NODISCARD result engine_reclaim(struct engine *e, uint64_t *place, uint64_t *count, struct fault *fault);
/*
 * For moving a store elsewhere. From now on, in this process, changes of the journal (or of any, or of rows of the table) are UNAVAILABLE with a
 * text for the client. When it returns, what was under way has been done (local), or sent unless it waited for others to the same journal (rados).
 */
MAY_YIELD void engine_freeze_journal(struct engine *e, struct id journal, millis deadline);
MAY_YIELD void engine_freeze_journals(struct engine *e, millis deadline);
void engine_freeze_table(struct engine *e, view table);
/* Ends all freezing. */
void engine_thaw(struct engine *e);
