/*
 * local_private: the local engine from within.
 *
 * Threads: loops call the slots; all changes go to one committer (a batcher), which writes the commit log, then applies to the
 * tables; a flusher thread brings the tables into files behind it; reads run on the calling loop when memory has what they want,
 * else on read workers; objects on write workers.
 */
#pragma once

#include <stdatomic.h>

#include "engine/local.h"
#include "engine/local/commit_log.h"
#include "engine/local/files.h"
#include "engine/local/rocks.h"
#include "engine/local/tails.h"
#include "engine/private.h"
#include "runtime/coroutine.h"
#include "runtime/workers.h"

enum {
    LOCAL_FOLDER_MAX_BYTES = 512,
    LOCAL_TABLE_SHARDS = 4,               /* all of one store: for the sake of code that spreads its keys */
    LOCAL_DEFAULT_CACHE_BYTES = 64 << 20,
    LOCAL_DEFAULT_WRITE_BUFFER_BYTES = 32 << 20,
    LOCAL_GARBAGE_SEGMENTS = 8,           /* garbage of bodies below this, in segments of the log, is left alone */
    LOCAL_ROOM_KEPT_SEGMENTS = 4,         /* free disk, in segments of the log, that stays for flushes and compaction */
};

/* Of the file "format". */
#define LOCAL_FORMAT_TEXT "tayori local engine 1\n"

struct change;
struct archive;
struct object_files;
struct leases;

/* Brings the tables into files when the commit log goes over to its next segment. */
struct flusher {
    struct background *thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    uint64_t wanted;                      /* generation */
    bool must_stop, wants_spare;
};

/* Gives the space of bodies back that heads have swallowed, when half of it is such. */
struct collector {
    struct background *thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool must_stop, wants_look;
};

struct local {
    struct engine base;
    char folder[LOCAL_FOLDER_MAX_BYTES], archive_folder[LOCAL_FOLDER_MAX_BYTES];
    struct engine_local_options options;
    int lock_fd;
    struct rocks rocks;
    struct commit_log log;
    struct flusher flusher;
    struct collector collector;
    struct batcher *batcher;
    struct object_files *files;
    struct archive *archive;
    struct leases *leases;
    atomic_bool is_broken;                /* RocksDB refuses writes: see committer_repair() */
    atomic_bool is_full;
    /* The committer's: */
    struct tails tails;
    struct log_block block;               /* in the making */
    struct change *members, **members_end;    /* whose effects it holds */
    struct map touched;                   /* journals that it appends to blindly: struct tail, in block_arena */
    struct map table_rows;                /* table rows that it changes: struct pending_row, in block_arena */
    struct arena *block_arena;
    uint64_t next_sequence;
    int64_t repaired_ms;                  /* when it was last tried */
};

static inline struct local *local_of(const struct engine *e) { return (struct local *)(uintptr_t)e; }

/* ---- changes: committer.c, judge.c ------------------------------------------------------------------------ */

struct change {
    struct batch_item item;
    struct local *engine;
    struct change *next_member;
    enum { CHANGE_APPEND, CHANGE_HEAD, CHANGE_REMOVE_JOURNAL, CHANGE_TABLE, CHANGE_LEARN, CHANGE_CHECKPOINT } kind;
    result code;
    struct fault *fault;
    millis deadline;
    struct completion *waiter;            /* NULL: told() and freed, or just freed */
    struct id journal;
    struct journal_append *append;        /* CHANGE_APPEND */
    void (*told)(struct journal_append *a, void *argument);
    void *argument;
    struct journal_position at;           /* CHANGE_HEAD: folded, then the new head's; CHANGE_LEARN: the end that was seen */
    uint64_t epoch;
    view head;
    view table;                           /* CHANGE_TABLE */
    uint32_t shard;
    const struct table_change *changes;
    size_t count, failed;
    const char *copy_folder;              /* CHANGE_CHECKPOINT */
};

/* Submits and waits: the result. `c` is set up but for its item. */
MAY_YIELD NODISCARD result change_commit(struct local *e, struct change *c);
void change_learn(struct local *e, struct id journal, struct journal_position end);
void local_append_start(struct engine *base, struct journal_append *a, millis deadline, void (*done)(struct journal_append *a, void *argument),
                        void *argument);
/* The batcher's run(). */
BLOCKS void committer_run(void *context, struct batch_item *first);
/* Writes the block that was gathered, applies it, gives its members their code, and begins another. OK also when it was empty. */
BLOCKS result committer_commit(struct local *e);
/* Judges one change by what the tables and the block say; adds its effects to the block and itself to the members if it may be. */
BLOCKS void judge(struct change *c);
bool committer_has_room(const struct local *e, size_t entries, size_t bytes);
/* Room in the block for effects, committing what it has if need be. False: they would not fit in any block. */
BLOCKS bool committer_make_room(struct local *e, size_t entries, size_t bytes);

/* ---- flusher.c -------------------------------------------------------------------------------------------- */

void flusher_start(struct local *e);
BLOCKS void flusher_stop(struct local *e);           /* returns when what it is doing is done */
void flusher_want(struct local *e, uint64_t generation);
void flusher_want_spare(struct local *e);

/* ---- collector.c ------------------------------------------------------------------------------------------ */

void collector_start(struct local *e);
BLOCKS void collector_stop(struct local *e);
/* After a flush: there may be more garbage now. Never waits. */
void collector_want_look(struct local *e);

/* ---- the slots of engine/private.h ------------------------------------------------------------------------ */

/* How a journal stands in the tables. For threads that may block. */
struct journal_end { bool exists; uint64_t epoch, folded, last; };
NODISCARD result journal_look(struct rocks *s, struct id journal, struct journal_end *ret_end, struct fault *fault);
/* Offset of the journal's end, when a position in it is known. */
NODISCARD result journal_measure(struct rocks *s, struct id journal, struct journal_position from, uint64_t *ret_offset, struct fault *fault);

MAY_YIELD result local_read(struct engine *base, struct id journal, const struct journal_position *from, millis deadline, struct arena *arena,
                  struct journal_page *ret_page, struct fault *fault);
MAY_YIELD result local_read_body(struct engine *base, struct id journal, const struct journal_record *record, uint32_t offset, uint32_t len,
                       millis deadline, buf *into, struct fault *fault);
MAY_YIELD result local_read_bodies(struct engine *base, struct id journal, struct journal_body_wanted *wanted, size_t count, millis deadline,
                         struct fault *fault);
MAY_YIELD result local_replace_head(struct engine *base, struct id journal, uint64_t epoch, const struct journal_position *folded, view head,
                          millis deadline, struct journal_position *ret_head_at, struct fault *fault);
MAY_YIELD result local_remove_journal(struct engine *base, struct id journal, millis deadline, struct fault *fault);
MAY_YIELD result local_list_journals(struct engine *base, const struct id *after, size_t max, millis deadline, struct id *journals, size_t *ret_count,
                           struct fault *fault);

uint32_t local_table_shards(const struct engine *base, view table);
MAY_YIELD result local_table_get(struct engine *base, view table, uint32_t shard, view key, millis deadline, struct arena *arena, view *ret_value,
                       struct fault *fault);
MAY_YIELD result local_table_scan(struct engine *base, view table, uint32_t shard, view prefix, view after, size_t max, millis deadline,
                        struct arena *arena, struct table_row **ret_rows, size_t *ret_count, struct fault *fault);
MAY_YIELD result local_table_batch(struct engine *base, view table, uint32_t shard, const struct table_change *changes, size_t count, millis deadline,
                         size_t *ret_failed, struct fault *fault);

MAY_YIELD result local_object_create(struct engine *base, view name, millis deadline, struct object_writer **ret_writer, struct fault *fault);
MAY_YIELD result local_object_write(struct object_writer *w, view bytes, millis deadline, struct fault *fault);
MAY_YIELD result local_object_commit(struct object_writer *w, millis deadline, struct fault *fault);
MAY_YIELD void local_object_abort(struct object_writer *w);
MAY_YIELD result local_object_put(struct engine *base, view name, view bytes, millis deadline, struct fault *fault);
MAY_YIELD result local_object_copy(struct engine *base, view from, view to, millis deadline, struct fault *fault);
MAY_YIELD result local_object_read(struct engine *base, view name, uint64_t offset, size_t len, millis deadline, buf *into, struct fault *fault);
MAY_YIELD result local_object_size(struct engine *base, view name, millis deadline, uint64_t *ret_bytes, struct fault *fault);
MAY_YIELD result local_object_remove(struct engine *base, view name, millis deadline, struct fault *fault);
MAY_YIELD result local_object_list(struct engine *base, view prefix, view after, size_t max, millis deadline, struct arena *arena, view **ret_names,
                         size_t *ret_count, struct fault *fault);

MAY_YIELD result local_lease_acquire(struct engine *base, view name, view owner, int64_t duration_ms, millis deadline, struct fault *fault);
MAY_YIELD result local_lease_renew(struct engine *base, view name, view owner, int64_t duration_ms, millis deadline, struct fault *fault);
MAY_YIELD result local_lease_release(struct engine *base, view name, view owner, millis deadline, struct fault *fault);
struct leases *leases_new(void);
void leases_free(struct leases *l);

MAY_YIELD result local_backup(struct engine *base, const char *folder, void (*progress)(void *argument, uint64_t done_bytes, uint64_t all_bytes),
                    void *argument, struct fault *fault);
MAY_YIELD result local_verify(struct engine *base, void (*found)(void *argument, view what), void *argument, struct fault *fault);

/* ---- running a read where it may block -------------------------------------------------------------------- */

/*
 * Reads that memory may answer: run(read) is called on the loop, outside the coroutine's small stack, with only_cached set; if it says
 * BUSY, once more on a read worker without. It works on memory of its own, not on the caller's arena.
 */
struct local_read {
    struct local *engine;
    bool only_cached;
    millis deadline;
    result code;
    struct fault *fault;
    void (*run)(struct local_read *r);
};
MAY_YIELD NODISCARD result local_read_run(struct local_read *r);
/* What was gathered, in the caller's arena. TOO_BIG: over its budget. */
NODISCARD result local_keep(struct arena *arena, const buf *gathered, char **ret_copy, struct fault *fault);
