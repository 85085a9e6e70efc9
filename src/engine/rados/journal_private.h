/*
 * journal_private: journals of the rados engine. journal_append.c, journal_read.c (pages), journal_bodies.c, journal_head.c
 * (replacement, shrinking, removal), journal_list.c, and bases.c.
 *
 * A journal is one object: frames one after the other; attributes, of eight bytes each, big-endian, absent when 0:
 *     tail    the append id of the last frame
 *     epoch   how often the head was replaced
 *     base    the logical offset of the object's first byte
 *     start   the logical offset of the first record after the head
 *     folded  the append id of the last record in the head
 * and the head in its omap. Offsets in positions are logical: they stay the same when the object is shrunk.
 */
#pragma once

#include "engine/rados/frame.h"
#include "engine/rados/rados_private.h"

enum { ATTRIBUTE_BYTES = 8 };

/* The object's name. */
struct journal_name { char text[ID_TEXT_LEN + 1]; };
static inline struct journal_name journal_name(struct id journal)
{
    struct journal_name n;
    id_text(journal, n.text);
    return n;
}
static inline view journal_name_view(const struct journal_name *n) { return view_make(n->text, ID_TEXT_LEN); }

/* The bytes that an attribute has for a number: none for 0. The memory is borrowed until the step is added: librados copies. */
struct attribute { char bytes[ATTRIBUTE_BYTES]; size_t len; };
static inline struct attribute attribute_of(uint64_t number)
{
    struct attribute a = {.len = number ? ATTRIBUTE_BYTES : 0};
    journal_put_be64(a.bytes, number);
    return a;
}
/* Steps of an operation: only if the attribute has that number; set it. */
void journal_write_if(struct client_op *op, const char *name, uint64_t number);
void journal_write_set(struct client_op *op, const char *name, uint64_t number);
void journal_read_if(struct client_op *op, const char *name, uint64_t number);

/* How a journal stands, from its attributes. */
struct journal_place { uint64_t tail, epoch, base, start, folded; };
/* Adds the step that reads all attributes; they are parsed when the operation has ended well. */
rados_xattrs_iter_t *journal_read_place(struct client_op *op);
NODISCARD result journal_take_place(rados_xattrs_iter_t *attributes, struct journal_place *ret_place, struct fault *fault);
/* The attributes alone, in one operation. */
MAY_YIELD NODISCARD result journal_ask_place(struct rados *e, struct id journal, millis deadline, struct journal_place *ret_place, struct fault *fault);

/* A step that reads bytes of the object. */
struct journal_bytes {
    char *at;
    size_t wanted, got;
    int returned;
};
/* `offset` is the object's own. */
struct journal_bytes *journal_read_bytes(struct client_op *op, uint64_t offset, size_t wanted);

/*
 * Bases of journals that this node has to do with: kept because operations are guarded by the base they assume, and one that assumes
 * wrongly costs another. 0, that of a journal that never was shrunk, if nothing is known.
 */
struct bases;
struct bases *bases_new(void);
void bases_free(struct bases *b);
uint64_t bases_get(struct bases *b, struct id journal);
void bases_put(struct bases *b, struct id journal, uint64_t base);

/* Gives the space of what heads have folded back by writing the rest anew, in the background. For journals that have become too large. */
void journal_shrink_start(struct rados *e, struct id journal);
