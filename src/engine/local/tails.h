/*
 * tails: where journals end, as far as the committer knows. Used by the committer alone.
 *
 * What is not here is not unknown for ever: a conditional append brings a position to compare with the tables, and a
 * reader who has come to the end of a journal tells it (CHANGE_LEARN). A blind append to a journal that is not here reads nothing.
 */
#pragma once

#include "base/id.h"
#include "base/list.h"
#include "base/map.h"
#include "engine/engine.h"

enum { TAILS_MAX = 200000 };         /* about 30 MB */

struct tail {
    struct list node;                /* by last use */
    struct id journal;
    uint64_t epoch;
    uint64_t folded, last;           /* sequences: swallowed by the head; of the last record, or `folded` */
    uint64_t offset;                 /* of the end; keys.h */
};

struct tails {
    struct map by_journal;
    struct list by_use;              /* most recent first */
};

void tails_init(struct tails *t);
void tails_clear(struct tails *t);
struct tail *tails_get(struct tails *t, struct id journal);          /* NULL: not known. Counts as use */
struct tail *tails_put(struct tails *t, const struct tail *state);   /* a copy; replaces what was known */
void tails_forget(struct tails *t, struct id journal);
/* Drops those longest out of use above TAILS_MAX. Not while a block is in the making that speaks of them. */
void tails_trim(struct tails *t);

static inline struct journal_position tail_position(const struct tail *t) { return (struct journal_position){t->epoch, t->offset, t->last}; }
