/*
 * rocks: RocksDB as the local engine uses it. For worker threads, the committer, and short reads of a loop.
 *
 * RocksDB's own log is off: the commit log comes first (commit_log.h), what is applied here is in memory until
 * rocks_flush(). A background error of RocksDB (a full disk while it flushes) can only be cured by opening anew; so every
 * use of the handle holds the lock for reading, rocks_reopen() for writing.
 */
#pragma once

#include <pthread.h>
#include <rocksdb/c.h>

#include "base/buf.h"
#include "base/fault.h"
#include "engine/local/files.h"
#include "engine/local/keys.h"
#include "engine/local/log_block.h"
#include "runtime/colour.h"

struct rocks_options {
    const char *folder;
    uint64_t cache_bytes, memory_bytes;      /* memory: what is expected between two flushes */
};

struct rocks {
    struct rocks_options options;                /* its folder is the copy below */
    char folder[PATH_BYTES];
    pthread_rwlock_t lock;
    rocksdb_t *db;                           /* NULL: could not be opened anew */
    rocksdb_column_family_handle_t *families[FAMILY_COUNT];
    rocksdb_options_t *database_options, *family_options[FAMILY_COUNT];
    rocksdb_cache_t *cache;
    rocksdb_writeoptions_t *write;
    rocksdb_readoptions_t *read, *read_cached;   /* cached: what memory has, else "incomplete" */
};

BLOCKS NODISCARD result rocks_open(struct rocks *s, const struct rocks_options *options, struct fault *fault);
BLOCKS void rocks_close(struct rocks *s);
/*
 * Closes and opens. What was not flushed is lost: `fill` applies it again, with rocks_apply_anew(), before anybody else may look or flush.
 * When it fails, the tables stay closed.
 */
BLOCKS NODISCARD result rocks_reopen(struct rocks *s, result (*fill)(void *context, struct fault *fault), void *context, struct fault *fault);
/* All that was applied before is in files when it returns OK. */
BLOCKS NODISCARD result rocks_flush(struct rocks *s, struct fault *fault);
/* Bytes of all files of bodies, and of those how many are of bodies that compaction knows to be gone. */
BLOCKS NODISCARD result rocks_garbage(struct rocks *s, uint64_t *ret_all_bytes, uint64_t *ret_garbage_bytes, struct fault *fault);
/* One step: merges the keys of all bodies, and moves those that live in the oldest quarter of the files together. May take long. */
BLOCKS NODISCARD result rocks_collect(struct rocks *s, struct fault *fault);
/* From the committer, or when nothing writes any more: rocks_collect() then ends soon, for good. */
void rocks_stop_collecting(struct rocks *s);
BLOCKS NODISCARD result rocks_checkpoint(struct rocks *s, const char *folder, struct fault *fault);

/* Applies the entries of a block of the commit log. CORRUPT: malformed. Other failures leave RocksDB refusing writes until reopened. */
BLOCKS NODISCARD result rocks_apply(struct rocks *s, view payload, struct fault *fault);
BLOCKS NODISCARD result rocks_apply_anew(struct rocks *s, view payload, struct fault *fault);

/* Appends bytes [offset, offset+len) of a value. NOT_FOUND; BUSY: only_cached, and a file would have to be read. */
NODISCARD result rocks_get(struct rocks *s, int family, view key, size_t offset, size_t len, bool only_cached, buf *into, struct fault *fault);

/*
 * A walk over one family, within the keys that begin with `prefix`. Holds the store's lock for reading: a thread that has begun one reads by
 * it alone, and not for long, because rocks_reopen() waits for it, and everybody for that. Not to be moved.
 */
struct rocks_walk {
    struct rocks *rocks;
    rocksdb_readoptions_t *options;
    rocksdb_iterator_t *iterator;
    unsigned char before[TABLE_KEY_MAX_BYTES];   /* the first key after those with the prefix */
    result code;                                 /* OK while all is well; BUSY: see rocks_get() */
};
/*
 * `is_journal`: blind to removed ranges, which are always below what a reader of journals looks at, because RocksDB sorts all of
 * them anew for each reader after each removal (measured: 0.5 ms with 4,000 of them).
 */
void rocks_walk_begin(struct rocks_walk *w, struct rocks *s, int family, view prefix, bool is_journal, bool only_cached);
void rocks_walk_end(struct rocks_walk *w);
bool rocks_walk_seek(struct rocks_walk *w, view key);         /* to the first key at or after */
bool rocks_walk_seek_last(struct rocks_walk *w, view key);    /* to the last key at or before */
bool rocks_walk_next(struct rocks_walk *w);
bool rocks_walk_previous(struct rocks_walk *w);
view rocks_walk_key(const struct rocks_walk *w);     /* good until the walk moves */
view rocks_walk_value(const struct rocks_walk *w);
/* A whole value of any family. NOT_FOUND. */
NODISCARD result rocks_walk_get(struct rocks_walk *w, int family, view key, buf *into, struct fault *fault);
/* OK, or why the walk ended too early. */
result rocks_walk_result(struct rocks_walk *w, struct fault *fault);

/* The text of an error of RocksDB, freed, as a result: CORRUPT, UNAVAILABLE (disk full), BUSY (not in memory), IO. */
result rocks_fail(char *error, const char *doing, struct fault *fault);
