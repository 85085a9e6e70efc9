/* Writing objects. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "engine/rados/objects_private.h"
#include "runtime/clock.h"
#include "runtime/random.h"

enum { CLEAN_UP_MS = 3000, SETTLE_MS = 2000 };

struct writer {
    struct object_writer base;           /* first */
    char name[ENGINE_NAME_MAX_BYTES];
    size_t name_bytes;
    struct id id;
    millis began;
    uint64_t written;                    /* bytes that are in pieces; the last one may be cut short */
    uint64_t piece_bytes;
    bool has_row;                        /* perhaps */
    bool has_failed;                     /* a write did: it cannot be committed any more */
    bool may_come;                       /* something that was written may be done later still: nothing is cleared away */
    size_t chunk_bytes;
    buf pending;                         /* less than a chunk, or one */
};

static struct writer *writer_of(struct object_writer *base) { return (struct writer *)(void *)base; }
static struct rados *engine_of(const struct writer *w) { return rados_of(w->base.engine); }
static view name_of(const struct writer *w) { return view_make(w->name, w->name_bytes); }

static uint64_t pieces_begun(const struct writer *w) { return w->written / w->piece_bytes + (w->written % w->piece_bytes != 0); }

/* ---- beginning -------------------------------------------------------------------------------------------------- */

result cluster_object_create(struct engine *base, view name, millis deadline, struct object_writer **ret_writer, struct fault *fault)
{
    uint64_t alignment = client_alignment(rados_of(base)->client, object_space(name));
    if (alignment > OBJECT_CHUNK_BYTES) return fail(fault, INVALID, "the pool of objects asks for writes of %" PRIu64 " bytes", alignment);
    struct writer *w = calloc(1, sizeof *w);
    check(w);
    w->base.engine = base;
    w->name_bytes = name.len;
    memcpy(w->name, name.at, name.len);
    w->id = random_id();
    w->began = clock_now();
    w->chunk_bytes = (size_t)(OBJECT_CHUNK_BYTES - OBJECT_CHUNK_BYTES % alignment);
    w->piece_bytes = (uint64_t)w->chunk_bytes * OBJECT_PIECE_CHUNKS;
    *ret_writer = &w->base;
    return OK;
}

static void free_writer(struct writer *w)
{
    buf_done(&w->pending);
    free(w);
}

/*
 * Whoever finds a row, or pieces, older than the grace period takes them for a dead writer's. So a writer gives up long before: then no
 * object is committed whose pieces are being cleared away.
 */
static result check_life(const struct writer *w, struct fault *fault)
{
    if (w->has_failed) return fail(fault, IO, "an earlier write of the object failed");
    if (clock_now().ms - w->began.ms > OBJECT_WRITER_LIFE_MS) return fail(fault, TIMEOUT, "object " VIEW_FMT " has been written for too long", VIEW_ARG(name_of(w)));
    return OK;
}

/* ---- bytes ------------------------------------------------------------------------------------------------------ */

/* A step whose outcome is unknown, before the commit: nobody can see it, so the object is certainly not there. */
static result note(struct writer *w, result code, struct fault *fault)
{
    if (code == OK) return OK;
    w->has_failed = true;
    if (code != UNKNOWN_OUTCOME) return code;
    w->may_come = true;
    if (fault) fault->code = TIMEOUT;
    return TIMEOUT;
}

/*
 * The row goes first, and the bytes only when it is durable. Were both sent at once, a node that dies between them could leave an object that
 * no listing tells: nobody would ever clear it away.
 */
MAY_YIELD static result put_row(struct writer *w, millis deadline, struct fault *fault)
{
    if (w->has_row) return OK;
    w->has_row = true;
    return note(w, index_put(engine_of(w), name_of(w), w->id, deadline, fault), fault);
}

/* Appends to the current piece. All but an object's last append are of whole chunks, so multiples of the pool's alignment. */
MAY_YIELD static result append_chunk(struct writer *w, view bytes, millis deadline, struct fault *fault)
{
    char piece[OBJECT_PIECE_NAME_BYTES];
    result code = put_row(w, deadline, fault);
    if (code != OK) return code;
    struct client_op *op = client_write_new(engine_of(w)->client, object_space(name_of(w)), object_piece_name(name_of(w), w->id, w->written / w->piece_bytes, piece));
    if (w->written % w->piece_bytes == 0) rados_write_op_create(op->write, LIBRADOS_CREATE_EXCLUSIVE, NULL);
    rados_write_op_append(op->write, bytes.at, bytes.len);
    op->bytes += bytes.len;
    code = client_run(op, deadline, fault);
    client_op_free(op);
    w->written += bytes.len;
    return note(w, code, fault);
}

/* A chunk is written when more follows: an object of one chunk or less is written whole at the commit. */
result cluster_object_write(struct object_writer *base, view bytes, millis deadline, struct fault *fault)
{
    struct writer *w = writer_of(base);
    result code = check_life(w, fault);
    while (code == OK && bytes.len > 0) {
        if (w->pending.len == w->chunk_bytes) {
            code = append_chunk(w, buf_view(&w->pending), deadline, fault);
            buf_clear(&w->pending);
        } else if (w->pending.len == 0 && bytes.len > w->chunk_bytes) {
            code = append_chunk(w, view_slice(bytes, 0, w->chunk_bytes), deadline, fault);
            bytes = view_from(bytes, w->chunk_bytes);
        } else {
            view part = view_slice(bytes, 0, w->chunk_bytes - w->pending.len);
            buf_append(&w->pending, part);
            bytes = view_from(bytes, part.len);
        }
    }
    return code;
}

/* ---- the commit --------------------------------------------------------------------------------------------------- */

/* Who made the base that is there? The creation is exclusive and leaves the writer's id. */
MAY_YIELD static result settle(struct writer *w, result code, millis deadline, struct fault *fault)
{
    struct object_about about;
    if (code != EXISTS && code != UNKNOWN_OUTCOME) return code;
    if (code == UNKNOWN_OUTCOME && !millis_before(clock_now(), deadline)) return code;
    result looked = base_look(engine_of(w), name_of(w), millis_min(deadline, clock_in(SETTLE_MS)), &about, NULL);
    if (looked == OK && id_equal(about.writer, w->id)) return OK;
    if (looked == OK || code == EXISTS) return fail(fault, EXISTS, "object " VIEW_FMT " exists", VIEW_ARG(name_of(w)));
    return code;
}

MAY_YIELD static result create_base(struct writer *w, millis deadline, struct fault *fault)
{
    struct object_about about = {.writer = w->id, .size = w->written + w->pending.len};
    char attribute[OBJECT_ABOUT_BYTES];
    if (w->written > 0) about = (struct object_about){w->id, w->written, (uint32_t)w->piece_bytes};
    object_about_write(&about, attribute);
    struct client_op *op = client_write_new(engine_of(w)->client, object_space(name_of(w)), name_of(w));
    rados_write_op_create(op->write, LIBRADOS_CREATE_EXCLUSIVE, NULL);
    if (about.piece_bytes == 0 && w->pending.len > 0) rados_write_op_write_full(op->write, w->pending.at, w->pending.len);
    rados_write_op_setxattr(op->write, OBJECT_ATTRIBUTE, attribute, sizeof attribute);
    op->bytes += w->pending.len;
    result code = client_run(op, deadline, fault);
    client_op_free(op);
    code = settle(w, code, deadline, fault);
    if (code == UNKNOWN_OUTCOME) w->may_come = true;
    if (code == OK && about.piece_bytes) object_cache_keep(engine_of(w)->object_cache, name_of(w), &about);
    return code;
}

MAY_YIELD static result commit(struct writer *w, millis deadline, struct fault *fault)
{
    result code = check_life(w, fault);
    if (code == OK && w->written > 0 && w->pending.len > 0) {
        code = append_chunk(w, buf_view(&w->pending), deadline, fault);
        buf_clear(&w->pending);
    }
    if (code == OK) code = put_row(w, deadline, fault);
    return code == OK ? create_base(w, deadline, fault) : code;
}

/*
 * What cannot be cleared away now (the cluster does not answer, or something may still come) is found by its row later: see
 * object_leftovers.c.
 */
MAY_YIELD static void clean_up(struct writer *w)
{
    if (w->has_row && !w->may_come)
        (void)!leftover_remove(engine_of(w), name_of(w), w->id, pieces_begun(w), clock_in(CLEAN_UP_MS), NULL);
}

result cluster_object_commit(struct object_writer *base, millis deadline, struct fault *fault)
{
    struct writer *w = writer_of(base);
    result code = commit(w, deadline, fault);
    if (code != OK) clean_up(w);
    free_writer(w);
    return code;
}

void cluster_object_abort(struct object_writer *base)
{
    struct writer *w = writer_of(base);
    clean_up(w);
    free_writer(w);
}

/* ---- copying ------------------------------------------------------------------------------------------------------ */

MAY_YIELD static result copy_bytes(struct engine *base, view from, uint64_t size, struct object_writer *w, millis deadline, struct fault *fault)
{
    CLEANUP(buf_done) buf chunk = BUF_INIT;
    result code = OK;
    for (uint64_t at = 0; code == OK && at < size; at += OBJECT_CHUNK_BYTES) {
        uint64_t wanted = size - at < OBJECT_CHUNK_BYTES ? size - at : OBJECT_CHUNK_BYTES;
        buf_clear(&chunk);
        code = cluster_object_read(base, from, at, (size_t)wanted, deadline, &chunk, fault);
        if (code == OK && chunk.len != wanted) code = fail(fault, CORRUPT, "object " VIEW_FMT " is shorter than it says", VIEW_ARG(from));
        if (code == OK) code = cluster_object_write(w, buf_view(&chunk), deadline, fault);
    }
    return code;
}

/* The C interface of librados has no copy on the cluster's side. */
result cluster_object_copy(struct engine *base, view from, view to, millis deadline, struct fault *fault)
{
    struct object_about about;
    struct object_writer *w;
    result code = base_look(rados_of(base), from, deadline, &about, fault);
    if (code == OK) code = cluster_object_create(base, to, deadline, &w, fault);
    if (code != OK) return code;
    code = copy_bytes(base, from, about.size, w, deadline, fault);
    if (code == OK) return cluster_object_commit(w, deadline, fault);
    cluster_object_abort(w);
    return code;
}
