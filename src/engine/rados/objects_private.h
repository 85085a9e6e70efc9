/*
 * objects_private: objects in a cluster, from within.
 *
 * An object is a RADOS object of its name (the base) with an attribute that describes it. Up to a chunk of bytes is in the base itself,
 * written with it in one operation. A larger one's bytes are in pieces, named after the base and the writer, filled by aligned
 * appends before the base is there; the base has no data then. The base is created exclusively: that is the commit.
 *
 * Before a writer writes anything it puts a row "name writer" into a shard of the index: so objects can be listed by name, and whatever a
 * writer that died has left can be found. The row goes when the bytes are gone. A row's object is committed if the base is
 * there and is this writer's.
 */
#pragma once

#include <pthread.h>

#include "base/list.h"
#include "engine/rados/rados_private.h"
#include "runtime/coroutine.h"

enum {
    OBJECT_CHUNK_BYTES = 1 << 20,        /* what a writer holds, an append carries and a read asks for; rounded down to the pool's alignment */
    OBJECT_PIECE_CHUNKS = 4,
    OBJECT_PARALLEL = 8,                 /* operations of one call under way */
    OBJECT_CACHE_SLOTS = 1024,
    OBJECT_ABOUT_BYTES = 33,
    OBJECT_PIECE_NAME_BYTES = ENGINE_NAME_MAX_BYTES + ID_TEXT_LEN + 16,
    OBJECT_ROW_BYTES = ENGINE_NAME_MAX_BYTES + ID_TEXT_LEN + 2,
    OBJECT_WRITER_LIFE_MS = 60 * 60 * 1000,      /* no writer commits later than this after its beginning ... */
    OBJECT_GRACE_MS = 24 * 60 * 60 * 1000,       /* ... so what was begun longer ago by the clock of any node and is not committed is left over */
};
#define OBJECT_ATTRIBUTE "tayori"

/* Where an object's base and pieces are. */
static inline enum client_space object_space(view name) { return engine_is_cold(name) ? SPACE_ARCHIVE : SPACE_OBJECTS; }

/* The attribute of a base. */
struct object_about {
    struct id writer;
    uint64_t size;
    uint32_t piece_bytes;                /* 0: the bytes are in the base */
};
void object_about_write(const struct object_about *about, char into[static OBJECT_ABOUT_BYTES]);
bool object_about_parse(view bytes, struct object_about *ret_about);
uint64_t object_about_pieces(const struct object_about *about);
view object_piece_name(view name, struct id writer, uint64_t piece, char into[static OBJECT_PIECE_NAME_BYTES]);

/* What was last read of large objects, so that a range of one costs one operation. From any loop. */
struct object_cache;
struct object_cache *object_cache_new(void);
void object_cache_free(struct object_cache *c);
bool object_cache_find(struct object_cache *c, view name, struct object_about *ret_about);
void object_cache_keep(struct object_cache *c, view name, const struct object_about *about);
void object_cache_forget(struct object_cache *c, view name);

/* ---- operations of one coroutine that are under way at the same time --------------------------------------- */

struct together {
    size_t missing;
    struct waitlist ended;
};
struct together_op {
    struct together *all;
    struct client_op *op;
    result code;
};
void together_init(struct together *t);
void together_start(struct together *t, struct together_op *o, struct client_op *op, millis deadline);
/* Returns when all have their code. */
MAY_YIELD void together_wait(struct together *t);

/* ---- object_ops.c: steps -------------------------------------------------------------------------------------- */

struct base_read {
    struct client_op *op;                /* of the caller, on OK: to be freed when the bytes were looked at */
    struct object_about about;
    view bytes;                          /* what the base has of the range asked for */
};
/* NOT_FOUND: not committed. CORRUPT: there is something that is no object. */
MAY_YIELD NODISCARD result base_read(struct rados *e, view name, uint64_t offset, size_t len, millis deadline, struct base_read *ret_base,
                                     struct fault *fault);
/* Only what it says about itself. */
MAY_YIELD NODISCARD result base_look(struct rados *e, view name, millis deadline, struct object_about *ret_about, struct fault *fault);
/* For many at a time: a read of a base without its bytes, and what it said. */
struct client_op *base_look_new(struct rados *e, view name, void **ret_memory);
NODISCARD result base_look_result(const struct client_op *op, result code, const void *memory, view name, struct object_about *ret_about,
                                  struct fault *fault);
/* Appends a range that lies within the object to `into`. NOT_FOUND: a piece is not there. */
MAY_YIELD NODISCARD result pieces_read(struct rados *e, view name, const struct object_about *about, uint64_t offset, size_t len, millis deadline,
                                       buf *into, struct fault *fault);
/* Pieces 0 to count-1, the last ones first; those that are not there are no failure. */
MAY_YIELD NODISCARD result pieces_remove(struct rados *e, view name, struct id writer, uint64_t count, millis deadline, struct fault *fault);
/* How many pieces a writer has left, from the first on. Some of them may be missing. */
MAY_YIELD NODISCARD result pieces_count(struct rados *e, view name, struct id writer, millis deadline, uint64_t *ret_count, struct fault *fault);
/* The first piece that is not there or has another size; *ret_count if there is none such. */
MAY_YIELD NODISCARD result pieces_check(struct rados *e, view name, const struct object_about *about, millis deadline, uint64_t *ret_bad, struct fault *fault);

/* ---- object_index.c: rows ------------------------------------------------------------------------------------- */

/* Names of one account are in one shard, all others are spread. */
uint32_t index_shard_of(const struct rados *e, view name);
/* The shard that has all names with this prefix, if one has. */
bool index_shard_of_prefix(const struct rados *e, view prefix, uint32_t *ret_shard);
MAY_YIELD NODISCARD result index_put(struct rados *e, view name, struct id writer, millis deadline, struct fault *fault);
MAY_YIELD NODISCARD result index_remove(struct rados *e, view name, struct id writer, millis deadline, struct fault *fault);

struct index_row { view key, name; struct id writer; bool is_malformed; };
struct index_page {
    struct index_row *rows;              /* in the order of their names */
    size_t count;
    bool more;
};
/* Rows of one shard whose key begins with `prefix` and is greater than `after`, at most `max` (1000). The same for several at a time. */
struct client_op *index_page_new(struct rados *e, uint32_t shard, view prefix, view after, size_t max, void **ret_memory);
NODISCARD result index_page_result(const struct client_op *op, result code, void *memory, struct arena *arena, struct index_page *ret_page, struct fault *fault);
MAY_YIELD NODISCARD result index_page_read(struct rados *e, uint32_t shard, view prefix, view after, size_t max, millis deadline, struct arena *arena,
                                           struct index_page *ret_page, struct fault *fault);

/* ---- object_leftovers.c ------------------------------------------------------------------------------------- */

/* Pieces and row of a writer whose object is not, or no longer, committed. `pieces` UINT64_MAX: not known. */
MAY_YIELD NODISCARD result leftover_remove(struct rados *e, view name, struct id writer, uint64_t pieces, millis deadline, struct fault *fault);
/* Those of writers of this name that began longer than the grace period ago. */
MAY_YIELD NODISCARD result leftovers_remove(struct rados *e, view name, millis deadline, struct fault *fault);
/*
 * Every object of the index: its pieces are there and of their size; nothing is left over that is older than the grace period. found() is
 * told what is wrong. The bytes themselves are the cluster's to check: it scrubs them against their checksums.
 */
MAY_YIELD NODISCARD result objects_verify(struct rados *e, int64_t grace_ms, void (*found)(void *argument, view what), void *argument, struct fault *fault);
/* As engine_reclaim(): a shard of the index at a time. */
MAY_YIELD NODISCARD result objects_reclaim(struct rados *e, int64_t grace_ms, uint64_t *place, uint64_t *count, struct fault *fault);
