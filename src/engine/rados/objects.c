/* Reading and removing objects. */
#include <string.h>

#include "base/check.h"
#include "engine/rados/objects_private.h"

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static size_t clip(uint64_t size, uint64_t offset, size_t len)
{
    if (offset >= size) return 0;
    return size - offset < len ? (size_t)(size - offset) : len;
}

/* The range of an object whose bytes are in its base, or of a piece-wise one what it is. */
MAY_YIELD static result read_base(struct rados *e, view name, uint64_t offset, size_t len, millis deadline, buf *into, struct object_about *ret_about,
                                  struct fault *fault)
{
    struct base_read base;
    result code = base_read(e, name, offset, len, deadline, &base, fault);
    if (code != OK) return code;
    *ret_about = base.about;
    if (base.about.piece_bytes) object_cache_keep(e->object_cache, name, &base.about);
    else if (base.bytes.len < clip(base.about.size, offset, len)) code = fail(fault, CORRUPT, "object " VIEW_FMT " is shorter than it says", VIEW_ARG(name));
    else buf_append(into, view_slice(base.bytes, 0, clip(base.about.size, offset, len)));
    client_op_free(base.op);
    return code;
}

/*
 * A piece that is not there: the object was removed meanwhile, and perhaps another made under its name (then what the cache says is old); or
 * the base is still there, which goes first: then the piece is lost.
 */
result cluster_object_read(struct engine *base, view name, uint64_t offset, size_t len, millis deadline, buf *into, struct fault *fault)
{
    struct rados *e = rados_of(base);
    struct object_about about;
    struct id missed = ID_NONE;
    size_t before = into->len;
    for (;;) {
        if (!object_cache_find(e->object_cache, name, &about)) {
            result code = read_base(e, name, offset, len, deadline, into, &about, fault);
            if (code != OK || about.piece_bytes == 0) return code;
            if (id_equal(about.writer, missed)) return fail(fault, CORRUPT, "object " VIEW_FMT ": a piece of it is missing", VIEW_ARG(name));
        }
        result code = pieces_read(e, name, &about, offset, clip(about.size, offset, len), deadline, into, fault);
        if (code != NOT_FOUND) return code;
        into->len = before;
        missed = about.writer;
        object_cache_forget(e->object_cache, name);
    }
}

result cluster_object_size(struct engine *base, view name, millis deadline, uint64_t *ret_bytes, struct fault *fault)
{
    struct object_about about;
    result code = base_look(rados_of(base), name, deadline, &about, fault);
    if (code == OK) *ret_bytes = about.size;
    return code;
}

/* ---- removing --------------------------------------------------------------------------------------------------- */

/* Only the one that was looked at: another may have been made under this name meanwhile. `about` NULL: whatever is there. */
MAY_YIELD static result remove_base(struct rados *e, view name, const struct object_about *about, millis deadline, struct fault *fault)
{
    char attribute[OBJECT_ABOUT_BYTES];
    struct client_op *op = client_write_new(e->client, object_space(name), name);
    if (about) {
        object_about_write(about, attribute);
        rados_write_op_cmpxattr(op->write, OBJECT_ATTRIBUTE, LIBRADOS_CMPXATTR_OP_EQ, attribute, sizeof attribute);
    }
    rados_write_op_remove(op->write);
    result code = client_run(op, deadline, fault);
    client_op_free(op);
    return code;
}

/* First the base: from then on the object is not there. What cannot be cleared away after it is found by its row later. */
result cluster_object_remove(struct engine *base, view name, millis deadline, struct fault *fault)
{
    struct rados *e = rados_of(base);
    struct object_about about = {.writer = ID_NONE};
    result code;
    object_cache_forget(e->object_cache, name);
    do {
        code = base_look(e, name, deadline, &about, fault);
        if (code == OK || code == CORRUPT) code = remove_base(e, name, code == OK ? &about : NULL, deadline, fault);
        else if (code != NOT_FOUND) return code;
    } while (code == CONFLICT);
    if (code == NOT_FOUND) return leftovers_remove(e, name, deadline, fault);
    object_cache_forget(e->object_cache, name);
    if (code == OK && !id_is_none(about.writer)) (void)!leftover_remove(e, name, about.writer, object_about_pieces(&about), deadline, NULL);
    return code;
}
