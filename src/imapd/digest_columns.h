/*
 * digest_columns: short strings by UID, kept in little memory: what SORT and THREAD compared of messages lately, on one loop.
 *
 * A column is one kind of value of one mailbox, as a mailbox of a million costs six bytes for each date and some twenty for what threads it.
 * It stands in blocks of 256 UIDs, which are copied out, read in order, added to and put back as a whole. Messages never change, and neither
 * numbers of mailboxes nor UIDs are used again, so what was read once is right for ever. (Where a damaged journal lost records, a UID may become
 * another message: that is sorted as the lost one until it was not used for minutes.)
 *
 * All columns share a budget. When it is spent, those that were used longest ago lose blocks from their end; but a column that has half of it
 * takes only what is free: two that do not fit together do not throw each other out wholly each time. What was not used for minutes goes.
 */
#pragma once

#include "base/buf.h"
#include "base/id.h"
#include "base/list.h"
#include "runtime/loop.h"

enum {
    DIGEST_BYTES_MAX = 32 << 20,             /* of a loop: dates and threads of a million messages */
    DIGEST_COLUMNS_MAX = 1024,               /* of a loop: they are looked for one by one */
    DIGEST_IDLE_MS = 5 * 60 * 1000,
    DIGEST_BLOCK_UIDS = 256,
};

struct digest_key {
    struct id account;
    uint32_t mailbox;
    unsigned kind;
};

struct digest_columns {
    struct list columns;                     /* the one used last comes last */
    size_t count, bytes;
    uint64_t commands;
    struct timer idle;
    bool is_stopping;
};

void digest_columns_init(struct digest_columns *all);
/* Forgets all; nothing is kept from now on. On its loop. */
void digest_columns_stop(struct digest_columns *all);
/* Of a command that begins: what it kept itself is not thrown out for it. */
static inline uint64_t digest_columns_begin(struct digest_columns *all) { return ++all->commands; }
/* Appends block number `block` (UID / DIGEST_BLOCK_UIDS) of a column to `into`; nothing if there is none. */
void digest_columns_get(struct digest_columns *all, const struct digest_key *key, uint32_t block, uint64_t command, buf *into);
/* Keeps a block in place of what was there, if there is room. */
void digest_columns_put(struct digest_columns *all, const struct digest_key *key, uint32_t block, uint64_t command, view bytes);

/* ---- blocks ---- */

/* One that is read, and added to, in the order of UIDs. Zeroed: at its beginning, empty. */
struct digest_block {
    buf bytes;                               /* of each UID in turn: a varint, 0: not known, else the length of the value and one, and the value */
    size_t at;
    unsigned index;                          /* of the UID that stands at `at` */
    bool is_changed;
};

/* Goes on to a UID; from the beginning if it is past it. */
void digest_block_seek(struct digest_block *b, unsigned index);
/* The value there, good until the next digest_block_add(). False: not known. */
bool digest_block_value(const struct digest_block *b, view *ret_value);
/* The same, empty if not known; how many bytes the UID takes. It has some. */
size_t digest_block_entry(const struct digest_block *b, view *ret_value);
/* Of the UID there, whose value is not known. */
void digest_block_add(struct digest_block *b, view value);
