/*
 * Leases: exclusive locks with a duration, of the class "lock" that every OSD has. librados offers them only as calls that
 * block their thread; what these do, calling a method of the class in a write, is done here as an operation like any other.
 *
 * A lease is an object "lease/NAME" with one lock of that name. To the class the holder is this client and a cookie, which is the
 * owner. A client that was fenced is another client afterwards: it has lost its leases, though until their time others cannot have them.
 * Arguments of the class are encoded as Ceph encodes everything: version, oldest version that reads it, length, members.
 */
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/cursor.h"
#include "engine/rados/rados_private.h"

enum { LOCK_EXCLUSIVE = 1, LOCK_MAY_RENEW = 1, LOCK_MUST_RENEW = 2, INFO_MAX_BYTES = 4096, STRUCT_HEADER_BYTES = 6 };
#define LOCK_NAME VIEW("lease")

static void append_text(buf *b, view text)
{
    buf_append_le32(b, (uint32_t)text.len);
    buf_append(b, text);
}

/* The members begin where this returns. */
static size_t begin_struct(buf *b)
{
    buf_append_byte(b, 1);
    buf_append_byte(b, 1);
    buf_append_le32(b, 0);
    return b->len;
}

static void end_struct(buf *b, size_t began)
{
    uint32_t bytes = (uint32_t)(b->len - began);
    for (unsigned i = 0; i < 4; i++) b->at[began - 4 + i] = (char)(bytes >> 8 * i);
}

static void append_lock(buf *b, view owner, int64_t duration_ms, unsigned flags)
{
    size_t began = begin_struct(b);
    append_text(b, LOCK_NAME);
    buf_append_byte(b, LOCK_EXCLUSIVE);
    append_text(b, owner);
    append_text(b, VIEW_EMPTY);                        /* tag */
    append_text(b, VIEW_EMPTY);                        /* description */
    buf_append_le32(b, (uint32_t)(duration_ms / 1000));
    buf_append_le32(b, (uint32_t)(duration_ms % 1000 * 1000000));
    buf_append_byte(b, (char)flags);
    end_struct(b, began);
}

static void append_unlock(buf *b, view owner)
{
    size_t began = begin_struct(b);
    append_text(b, LOCK_NAME);
    append_text(b, owner);
    end_struct(b, began);
}

static view object_name(view name, char into[static ENGINE_NAME_MAX_BYTES + 16])
{
    static const char prefix[] = "lease/";
    memcpy(into, prefix, sizeof prefix - 1);
    memcpy(into + sizeof prefix - 1, name.at, name.len);
    return view_make(into, sizeof prefix - 1 + name.len);
}

/* Calls the method in a write on the lease's object; what it returned, or what kept it from being called. */
MAY_YIELD static int call(struct engine *base, view name, const char *method, const buf *in, millis deadline, struct fault *fault, result *ret_code)
{
    char object[ENGINE_NAME_MAX_BYTES + 16];
    struct client_op *op = client_write_new(rados_of(base)->client, SPACE_SIGNALS, object_name(name, object));
    rados_write_op_exec(op->write, "lock", method, in->at, in->len, NULL);
    *ret_code = client_run(op, deadline, NULL);
    int returned = op->returned;
    bool is_answer = returned == -EBUSY || returned == -ENOENT || returned == -EEXIST;
    if (*ret_code != OK && !is_answer) *ret_code = client_result(op, "lease", fault);
    client_op_free(op);
    return returned;
}

MAY_YIELD static int lock(struct engine *base, view name, view owner, int64_t duration_ms, unsigned flags, millis deadline, struct fault *fault,
                          result *ret_code)
{
    buf in = BUF_INIT;
    append_lock(&in, owner, duration_ms, flags);
    int returned = call(base, name, "lock", &in, deadline, fault, ret_code);
    buf_done(&in);
    return returned;
}

result cluster_lease_acquire(struct engine *base, view name, view owner, int64_t duration_ms, millis deadline, struct fault *fault)
{
    result code;
    int returned = lock(base, name, owner, duration_ms, LOCK_MAY_RENEW, deadline, fault, &code);
    return returned == -EBUSY ? fail(fault, BUSY, "lease " VIEW_FMT " has another owner", VIEW_ARG(name)) : code;
}

/* OK: somebody holds it. */
MAY_YIELD static result is_held(struct engine *base, view name, millis deadline, bool *ret_is_held, struct fault *fault)
{
    struct answer { int returned; size_t used; char bytes[INFO_MAX_BYTES]; };
    char object[ENGINE_NAME_MAX_BYTES + 16];
    buf in = BUF_INIT;
    size_t began = begin_struct(&in);
    append_text(&in, LOCK_NAME);
    end_struct(&in, began);
    struct client_op *op = client_read_new(rados_of(base)->client, SPACE_SIGNALS, object_name(name, object));
    struct answer *a = client_op_alloc(op, sizeof *a);
    rados_read_op_exec_user_buf(op->read, "lock", "get_info", in.at, in.len, a->bytes, sizeof a->bytes, &a->used, &a->returned);
    buf_done(&in);
    result code = client_run(op, deadline, NULL);
    if (code == OK) {
        struct cursor c = cursor_of(view_make(a->bytes, a->used));
        view header;
        uint32_t holders = 0;
        *ret_is_held = take_bytes(&c, STRUCT_HEADER_BYTES, &header) && take_le32(&c, &holders) && holders > 0;
    } else if (code == NOT_FOUND) {
        *ret_is_held = false;
        code = OK;
    } else {
        code = client_result(op, "lease", fault);
    }
    client_op_free(op);
    return code;
}

result cluster_lease_renew(struct engine *base, view name, view owner, int64_t duration_ms, millis deadline, struct fault *fault)
{
    result code;
    bool is_anothers = false;
    int returned = lock(base, name, owner, duration_ms, LOCK_MUST_RENEW, deadline, fault, &code);
    if (returned != -ENOENT && returned != -EBUSY) return code;
    code = is_held(base, name, deadline, &is_anothers, fault);
    if (code != OK) return code;
    if (is_anothers) return fail(fault, BUSY, "lease " VIEW_FMT " has another owner", VIEW_ARG(name));
    return fail(fault, NOT_FOUND, "lease " VIEW_FMT " has expired", VIEW_ARG(name));
}

result cluster_lease_release(struct engine *base, view name, view owner, millis deadline, struct fault *fault)
{
    result code;
    buf in = BUF_INIT;
    append_unlock(&in, owner);
    int returned = call(base, name, "unlock", &in, deadline, fault, &code);
    buf_done(&in);
    return returned == -ENOENT ? OK : code;
}
