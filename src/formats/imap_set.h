/*
 * imap_set: sequence sets (RFC 9051 §9 sequence-set, §4.1.1), as written and as numbers.
 *
 * As written, a set may name "*" (the largest number in use) and be in any order, with overlaps.
 * imap_set_resolve() makes ranges of it that rise, do not touch and do not overlap; a number then is in
 * the set exactly when one range has it. The same struct serves sequence numbers and UIDs: the caller
 * knows which it is.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

enum {
    IMAP_STAR = 0,              /* "*" in a range as written; 0 is no valid number */
};

struct imap_range {
    uint32_t first, last;       /* inclusive; as written either may be IMAP_STAR and first > last */
};

struct imap_set {
    struct imap_range *ranges;
    size_t count;
    bool is_saved;              /* "$": the result of SEARCH RETURN (SAVE), RFC 5182; no ranges then */
};

/*
 * The ranges with "*" replaced by `highest`, sorted and merged, in `arena` (at most 8 bytes a range).
 * With highest 0 (an empty mailbox) "*" stands for nothing and a range to it is left out.
 */
struct imap_set imap_set_resolve(const struct imap_set *written, uint32_t highest, struct arena *arena);
/* In a resolved set. */
bool imap_set_has(const struct imap_set *resolved, uint32_t number);
uint64_t imap_set_size(const struct imap_set *resolved);

/* Adds `number` to ranges being built in rising order ("1:3,5"): extends the last range or begins one. */
struct imap_set_builder {
    buf ranges;                 /* array of struct imap_range */
};
#define IMAP_SET_BUILDER_INIT ((struct imap_set_builder){BUF_INIT})
void imap_set_builder_done(struct imap_set_builder *builder);
void imap_set_builder_add(struct imap_set_builder *builder, uint32_t number);
void imap_set_builder_add_range(struct imap_set_builder *builder, uint32_t first, uint32_t last);
/* A view of what was added: good until the next call on the builder. */
struct imap_set imap_set_builder_set(const struct imap_set_builder *builder);

/* What two resolved sets have in common is added. */
void imap_set_builder_add_common(struct imap_set_builder *builder, const struct imap_set *a, const struct imap_set *b);

/* The same in turns: some steps from a place on, which is {0} at first. False: that was all. */
struct imap_common_place { size_t a, b; };
bool imap_set_builder_add_some_common(struct imap_set_builder *builder, const struct imap_set *a, const struct imap_set *b, size_t steps,
                                      struct imap_common_place *place);

/* Writes either kind; an empty set writes nothing (the grammar has no empty set). */
void imap_set_write(buf *out, const struct imap_set *set);
