/*
 * commit_log: where a change becomes durable. Files written over again and again, in direct synced writes.
 *
 * Overwriting blocks that a file already has needs no change of the file system's own records: half the time of an append and
 * fdatasync, and a third of RocksDB's log (doc/decisions/0002-own-commit-log.md). So the log is a few segment files of fixed size, each
 * used as a whole, then written again from its start under a new generation once the tables have its content in files.
 *
 * 1. One thread writes. A block is written after the one before it is durable: what does not read back and has no valid
 *    block after it was never acknowledged.
 * 2. Generations that a replay needs are never overwritten: commit_log_release() says what it does not need any more, each block
 *    writes that down (replay_from), and a segment is used again only when a durable block says that it is not needed.
 * 3. What an earlier generation left in a segment is mail, and its sender may have made it look like a block. So every block carries a
 *    number that was drawn when the store was made, which nobody else knows.
 */
#pragma once

#include <pthread.h>

#include "base/fault.h"
#include "engine/local/log_block.h"
#include "runtime/colour.h"

enum {
    LOG_SEGMENTS_MAX = 6,
    LOG_SEGMENT_MIN_BYTES = 8 << 20,
    LOG_BLOCK_MAX_BYTES = (4 << 20) + LOG_ALIGN,
};

struct log_segment {
    int fd;
    uint64_t bytes;
    uint64_t generation;             /* of its first block; 0: none that is needed */
    uint64_t salt;                   /* of all its blocks */
};

struct commit_log {
    int folder;
    uint64_t segment_bytes, salt;
    bool never_sync;
    pthread_mutex_t lock;            /* of segments, count, released */
    pthread_cond_t changed;
    struct log_segment segments[LOG_SEGMENTS_MAX];
    unsigned count;
    uint64_t released;               /* generations up to this one may be overwritten */
    bool flush_failed;               /* nobody should wait for a segment to be released, */
    bool spare_failed;               /* or for one more to be made */
    /* The committer's, who writes them under the lock because the flusher looks at them: */
    struct log_segment *active;
    bool is_ended;                   /* active is of the former process: it takes no block any more but that of commit_log_settle() */
    uint64_t at, durable_replay_from;        /* in the active segment; of the newest durable block */
    /* The committer's alone: */
    uint64_t generation, number, next_sequence;
    uint64_t written_bytes, blocks;
};

/* What was found amiss when the log was read. */
struct log_damage {
    uint64_t generation, at;
    uint64_t lost_blocks;            /* acknowledged, unreadable */
    bool is_torn;                    /* the last write was cut off: nothing acknowledged is lost */
};

/* `folder` exists. Reads which generations there are. */
BLOCKS NODISCARD result commit_log_open(struct commit_log *l, const char *folder, uint64_t segment_bytes, bool never_sync, struct fault *fault);
BLOCKS void commit_log_close(struct commit_log *l);
/*
 * Calls apply() with the payload of each block that the tables may lack, in order, and stops at its first failure. Before the first
 * commit_log_write(). At the end next_sequence is what the log knows of it, and all generations but the newest, which goes on being
 * written, are released: the caller flushes the tables before it writes.
 */
BLOCKS NODISCARD result commit_log_replay(struct commit_log *l, result (*apply)(void *context, view payload, struct fault *fault), void *context,
                                          struct log_damage *ret_damage, struct fault *fault);
/* While it is in use: calls apply() for all that was not released. By the committer. */
BLOCKS NODISCARD result commit_log_replay_again(struct commit_log *l, result (*apply)(void *context, view payload, struct fault *fault),
                                                void *context, struct fault *fault);

/* A block can be written without a new segment. Else call commit_log_advance() first. */
bool commit_log_fits(const struct commit_log *l, const struct log_block *b);
/*
 * Goes over to a segment that is free, waiting for one if need be. *ret_full: the generation that ended; what it holds should now be
 * flushed. UNAVAILABLE when none will be free (flushes fail).
 */
BLOCKS NODISCARD result commit_log_advance(struct commit_log *l, uint64_t *ret_full, struct fault *fault);
/* Durable when it returns OK; otherwise it may be there or not: see commit_log_abandon(). */
BLOCKS NODISCARD result commit_log_write(struct commit_log *l, struct log_block *b, uint64_t next_sequence, struct fault *fault);
/* After a write failed and the tables were flushed: nothing that was written up to now will be replayed once the next block is durable. */
void commit_log_abandon(struct commit_log *l);
/* Writes down what was released, so that the next start has nothing to replay of it. */
BLOCKS NODISCARD result commit_log_settle(struct commit_log *l, struct fault *fault);

/* From any thread: the tables have generations up to this one in files. */
void commit_log_release(struct commit_log *l, uint64_t generation);
/* Lets commit_log_advance() fail rather than wait (true), or wait again. */
void commit_log_set_flush_failed(struct commit_log *l, bool failed);
/* Makes one more segment if none is free to go over to, or if there are less than two. From the flusher. */
BLOCKS NODISCARD result commit_log_make_spare(struct commit_log *l, struct fault *fault);
/* Before commit_log_advance() waits for one that the flusher was asked to make. */
void commit_log_expect_spare(struct commit_log *l);
