/*
 * snapshot_private: writing blocks and directories down, and reading them. doc/formats/snapshot.md has both, byte by byte.
 */
#pragma once

#include <zstd.h>

#include "account/state_private.h"

enum {
    BLOCK_VERSION = 1,
    BLOCK_PAYLOAD_MAX_BYTES = 1 << 20,   /* of 4096 rows with the longest numbers and UIDLs */
    DIRECTORY_VERSION_FIRST = 1,
    DIRECTORY_VERSION_SECTIONS = 2,      /* with sections behind the mailboxes: only what feature levels from FEATURE_ANNOTATIONS on have */
    DIRECTORY_PAYLOAD_MAX_BYTES = 256 << 20,
    SNAPSHOT_COMPRESSION = 1,            /* zstd level: most of a row is random bytes */
};

/* Where a row's bytes are, in the snapshot: never in the journal. */
struct row_place { uint32_t pack, entry; };

/* One that is encoded, until commit. */
struct encoded_block {
    uint64_t serial;
    struct block_place place;            /* object: unset */
};

enum snapshot_phase { SNAPSHOT_JOINS, SNAPSHOT_ENCODES, SNAPSHOT_ENDED };

/* Over all blocks: where it is. */
struct snapshot_walk {
    size_t mailbox;                      /* index */
    bool is_in_graves;
    uint32_t block;
};

struct block_writer {
    ZSTD_CCtx *compressor;
    buf payload;
    uint64_t offset;                     /* of the next block in the object */
    struct encoded_block *encoded;
    size_t encoded_count, encoded_capacity;
};

/* What is encoded before the state stands still. */
struct snapshot_ahead {
    const struct state *of;
    struct snapshot_walk walk;
    struct block_writer writer;
};

struct snapshot {
    view object;                         /* malloced, as are the names of the packs */
    struct pack_slot *packs, *replaced;
    struct packed_body *bodies;
    struct search_list search;
    struct archive_list archive;
    size_t pack_count, replaced_count, body_count;
    enum snapshot_phase phase;
    struct snapshot_walk walk;
    uint64_t asked_serial;               /* a block that was loaded for us only */
    bool *is_condemned;                  /* by object: its blocks move */
    struct block_writer writer;          /* `encoded` in order of serial once ended */
    struct encoded_block *ahead;         /* in order of serial */
    size_t ahead_count;
};

/* Appends the rows of a loaded block to `payload`. `place` gives each row's place. */
void block_encode(const struct block *b, struct row_place (*place)(const void *argument, const struct row *row), const void *argument, buf *payload);
/* Into an empty block. CORRUPT. */
NODISCARD result block_decode(view payload, struct block_pool *pool, struct block *into, struct fault *fault);

/* What a directory says, neither compressed nor guarded. */
void snapshot_directory_put(const struct state *s, const struct snapshot *snapshot, buf *payload);
NODISCARD result snapshot_directory_take(view payload, struct state **ret_state, struct fault *fault);
/* Appends the stored form (header, checksum, zstd frame). */
void snapshot_directory_encode(const struct state *s, const struct snapshot *snapshot, buf *directory);

/* The place that a block has once the snapshot is committed; object PLACE_NONE - 1: the snapshot's own. */
#define PLACE_NEW (PLACE_NONE - 1)
struct block_place snapshot_place(const struct snapshot *snapshot, const struct block *b);
/* A zstd frame of at most `max` bytes as they were. False: not one. */
bool frame_read(view frame, size_t max, buf *ret_bytes);
void frame_write(ZSTD_CCtx *compressor, view bytes, buf *frame);
