/*
 * indexing: how a compaction brings the index for searches up to date.
 *
 * Messages are indexed as they are packed. Besides, as much as is good for one compaction: entries of packs that no segment has (of before there
 * was an index, or of a segment that was lost), messages that are objects of their own, and segments of one size are merged into a larger one, so
 * that there are few. A segment's object is written before the head that names it, like a pack's.
 */
#pragma once

#include "account/segment.h"
#include "account/state.h"

struct account;
struct compaction;

enum { INDEXING_NAME_MAX = 2 + ID_TEXT_LEN + 1 };
struct made_segment { char name[INDEXING_NAME_MAX]; buf bytes; };

struct indexing {
    bool is_on, has_filters;
    struct segment_builder *builder;
    struct search_range *ranges;             /* of the builder's documents */
    size_t range_count, range_capacity;
    uint32_t first_pack;                     /* slot that the compaction's first new pack gets */
    struct search_list list;                 /* of the snapshot to be */
    size_t old_count;                        /* the first of them are those of the snapshot before */
    struct made_segment *made;               /* objects of this compaction; bytes: still to be written */
    size_t made_count, made_capacity;
};

void indexing_begin(struct compaction *c);
/* Entry of the compaction's pack of this number (from 0). On a worker. */
void indexing_add(struct compaction *c, uint32_t pack, uint32_t entry, view message);
/* Writes a segment of what has come together if that is much, or `is_last`. */
MAY_YIELD NODISCARD result indexing_flush(struct compaction *c, bool is_last, struct fault *fault);
/* What is behind: see above. Without the replay lock. */
MAY_YIELD NODISCARD result indexing_catch_up(struct compaction *c, struct fault *fault);
/*
 * Some packs were rewritten without what died (c->replaced): segments that have entries of them are, too. is_living() tells of an entry of the
 * snapshot before.
 */
typedef bool indexing_living_fn(const void *argument, uint32_t pack, uint32_t entry);
MAY_YIELD NODISCARD result indexing_drop_dead(struct compaction *c, indexing_living_fn *is_living, const void *argument, struct fault *fault);
/* Under the lock: what came at last gets its place in the list; it is written by indexing_write_last(). */
void indexing_seal(struct compaction *c);
MAY_YIELD NODISCARD result indexing_write_last(struct compaction *c, struct fault *fault);
/* Removes objects that no head will name. */
MAY_YIELD void indexing_remove_objects(struct compaction *c, millis deadline);
void indexing_end(struct compaction *c);
/* There is something for indexing_catch_up() to do. */
bool account_wants_indexing(const struct account *a);
