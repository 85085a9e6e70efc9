/*
 * block: up to BLOCK_ROWS rows, the unit in which rows are kept, stored, loaded and forgotten.
 *
 * 1. Its summary (count, UIDs, sums, place in a snapshot object) is always in memory; its rows may not be.
 * 2. Rows of a mailbox's block rise in UID; those of a grave's block stand in the order in which they were expunged.
 * 3. `serial` names the rows' content within the process: every change gives a new one. A block whose place is PLACE_NONE stands in no
 *    snapshot as it is now and is never unloaded.
 * 4. Loaded rows are wide, as struct row, or slim (block_slim.h): who changes them asks for wide ones, who reads does not mind.
 * 5. While a mailbox's block is not loaded, `ranges` has its UIDs, so that sequence numbers need no rows. Graves have none.
 * 6. Loaded rows that are more than a group have a peak for each group: no row of it has a modseq above. So finding what was changed costs what was
 *    changed. Derived: it stands in no snapshot.
 */
#pragma once

#include "account/block_slim.h"
#include "account/row.h"
#include "base/buf.h"
#include "formats/imap_set.h"

/* What all blocks of a state share. */
struct block_pool {
    uint32_t block_rows;                /* at most so many in a block: BLOCK_ROWS, tests take fewer */
    uint32_t turn_rows;                 /* a record that makes more of them anew is applied in turns: STATE_TURN_ROWS, tests take fewer */
    uint32_t breath_rows;               /* of a turn; 0 in tests: each is one */
    uint64_t serial;                    /* the last one given */
    size_t wide_bytes;                  /* above it rows are made slim: STATE_WIDE_BYTES, tests take fewer */
    uint64_t tick;                      /* of the last use, for eviction */
    size_t memory_bytes;                /* rows, UIDLs and ranges of all blocks */
};

#define PLACE_NONE UINT32_MAX
struct block_place {
    uint32_t object;                    /* index of the state's snapshot objects, or PLACE_NONE */
    uint32_t bytes, crc;                /* as stored */
    uint64_t offset;
};

enum { BLOCK_GROUP_ROWS = 32 };         /* 8 bytes for so many rows; they are looked at where one of them was changed */

/* A POP3 unique id that a row carries. */
struct block_uidl {
    uint32_t row;                       /* index; they rise */
    uint32_t at, len;                   /* in uidl_text */
};

/* Consecutive UIDs of a block that is not loaded. */
struct block_range { uint32_t first, last, before; };      /* before: rows of the block before this range */

struct block {
    struct row *wide;                   /* `capacity` of them, or NULL: */
    struct slim_rows *slim;             /* never both */
    uint32_t count, capacity;
    bool is_loaded;
    bool has_journal_rows;              /* some may have ROW_IN_JOURNAL */
    uint32_t first_uid, last_uid;       /* of rows; 0 in a grave */
    uint32_t unseen, deleted;
    uint32_t first_unseen;              /* index, or count */
    uint32_t before;                    /* rows of the mailbox in the blocks before this one (mailbox_count_before()) */
    uint64_t size_bytes, highest_modseq;
    uint64_t lowest_modseq;             /* while it is loaded */
    unix_ms oldest, newest;             /* while it is loaded: no row has an internal date outside of it */
    uint64_t *peaks;                    /* of groups; NULL: highest_modseq serves */
    uint32_t peak_capacity;
    struct block_range *ranges;         /* not loaded: the UIDs, if any is missing between */
    uint32_t range_count;
    struct block_uidl *uidls;
    uint32_t uidl_count, uidl_capacity;
    buf uidl_text;
    uint64_t serial, used;
    struct block_place place;
};

struct block *block_new(struct block_pool *pool);
void block_free(struct block_pool *pool, struct block *b);
/* Wide, to be changed. Good until the block is made slim or changes its count. */
struct row *block_rows(struct block_pool *pool, struct block *b);
/* A copy, whatever form they have. */
struct row block_row(const struct block *b, uint32_t index);
void block_read_rows(const struct block *b, uint32_t first, uint32_t count, struct row *into);
uint64_t block_modseq_at(const struct block *b, uint32_t index);
uint64_t block_flags_at(const struct block *b, uint32_t index);
/* The sums are the caller's: block_recount(). */
void block_set_flags(struct block_pool *pool, struct block *b, uint32_t index, uint64_t flags, uint64_t modseq);
/* Makes the rows slim if they become smaller by that and are not about to change. How many bytes it gave back. */
size_t block_slim(struct block_pool *pool, struct block *b);

/* Of a loaded one, with rows of its own: about to be changed. */
struct block *block_copy(struct block_pool *pool, const struct block *b);
/*
 * Of `count` rows from `first` on, with consecutive UIDs from that of `like` on, and its modseq and save date: they share their memory as long as none of
 * them changes. NULL: they are not slim.
 */
struct block *block_copy_as(struct block_pool *pool, const struct block *b, uint32_t first, uint32_t count, const struct row *like);
/* A malloced copy of an array; NULL of one that has nothing. */
void *block_copy_array(const void *of, size_t bytes);

/* The rows are about to change, or have: the block is no longer what a snapshot has. */
void block_changed(struct block_pool *pool, struct block *b);
/* All rows of an empty block, which is theirs from now on: malloced. */
void block_set_rows(struct block_pool *pool, struct block *b, struct row *rows, uint32_t count);
/* Of a row behind those that have one. */
void block_add_uidl(struct block_pool *pool, struct block *b, uint32_t row, view uidl);
/* Adds a row at the end and to the summary. */
void block_push(struct block_pool *pool, struct block *b, const struct row *row, view uidl);
/*
 * Removes the rows for which `remove` is true, in one pass, and counts again. Loaded.
 */
void block_remove(struct block_pool *pool, struct block *b, bool (*remove)(void *argument, uint32_t index, const struct row *row), void *argument);
/* Makes the sums anew from the rows. */
void block_recount(struct block *b);
/* Of a row, by index; empty: none of its own. Good until the block changes. */
view block_uidl(const struct block *b, uint32_t index);

/* Rows with UIDs below `uid`: also the index of the first that is not. Not for graves. */
uint32_t block_rank(const struct block *b, uint32_t uid);
uint32_t block_uid_at(const struct block *b, uint32_t index);
/* The longest run of consecutive UIDs of rows from `index` on; its last UID is in *ret_last. */
uint32_t block_uid_run(const struct block *b, uint32_t index, uint32_t *ret_last);
static inline bool block_is_gapless(const struct block *b) { return b->count && b->last_uid - b->first_uid == b->count - 1; }

/* ---- what was changed (block_changed.c) ---- */
enum {
    BLOCK_CHANGED_GAP = 16,             /* rows that are read in the time that one range more takes */
    BLOCK_CHANGED_RANGES_MAX = 1 << 17, /* 1 MiB */
};
/*
 * The first row from `index` on that a record after `since` changed, or count. Loaded. Costs the rows of groups that have one, and a comparison for each
 * of the others that it passes.
 */
uint32_t block_next_changed(const struct block *b, uint32_t index, uint64_t since);
/*
 * Adds UIDs from `from_uid` on, outside of which no such row is: those rows and up to BLOCK_CHANGED_GAP others between two of them; all of a block that is
 * not loaded, or once `uids` has BLOCK_CHANGED_RANGES_MAX. Not for graves.
 */
void block_add_changed(const struct block *b, uint32_t from_uid, uint64_t since, struct imap_set_builder *uids);

/* Forgets the rows of a block that has a place. `is_grave`: without keeping its UIDs. */
void block_unload(struct block_pool *pool, struct block *b, bool is_grave);
/* The UIDs of a block that is not loaded; count 0: none is missing between the first and the last. */
void block_set_ranges(struct block_pool *pool, struct block *b, const struct imap_range *ranges, uint32_t count);
/* Takes the rows (and UIDLs) of `loaded`, which is left empty. The summary stays. */
void block_take_rows(struct block_pool *pool, struct block *b, struct block *loaded);
