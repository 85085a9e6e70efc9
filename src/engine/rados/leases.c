/*
 * Leases: exclusive locks with a duration, of the class "lock" that every OSD has. librados offers them only as calls that
 * block their thread; what these do, calling a method of the class in a write, is done here as an operation like any other.
 *
 * A lease is an object "lease/NAME" with one lock. To the class the holder is a client of the cluster and a cookie, which is the owner. A
 * process that was started again, or fenced, is another client, so it has to renew in vain; acquiring, an owner takes what is its own by
 * its name from the client it was before.
 * Arguments of the class are encoded as Ceph encodes everything: version, oldest version that reads it, length, members.
 */
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/cursor.h"
#include "engine/rados/rados_private.h"

enum { LOCK_EXCLUSIVE = 1, LOCK_MAY_RENEW = 1, LOCK_MUST_RENEW = 2, INFO_MAX_BYTES = 4096, STRUCT_HEADER_BYTES = 6 };
#define LOCK_NAME VIEW("lease")

struct holder {
    bool is_there;
    unsigned char type;                                /* of the client's name in the cluster, and its number */
    uint64_t client;
    char owner[ENGINE_NAME_MAX_BYTES];
    size_t owner_bytes;
};

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

static void append_break(buf *b, const struct holder *h)
{
    size_t began = begin_struct(b);
    append_text(b, LOCK_NAME);
    buf_append_byte(b, (char)h->type);
    buf_append_le64(b, h->client);
    append_text(b, view_make(h->owner, h->owner_bytes));
    end_struct(b, began);
}

/* The lockers, of which an exclusive lock has one at most: a count, then each one's name, cookie and more. */
static bool take_holder(struct cursor *c, struct holder *ret_holder)
{
    view header, type, owner;
    uint32_t count, owner_bytes;
    struct holder h = {0};
    if (!take_bytes(c, STRUCT_HEADER_BYTES, &header) || !take_le32(c, &count)) return false;
    if (count > 0) {
        if (!take_bytes(c, STRUCT_HEADER_BYTES, &header) || !take_bytes(c, 1, &type) || !take_le64(c, &h.client)) return false;
        if (!take_le32(c, &owner_bytes) || owner_bytes > sizeof h.owner || !take_bytes(c, owner_bytes, &owner)) return false;
        h.is_there = true;
        h.type = (unsigned char)type.at[0];
        memcpy(h.owner, owner.at, owner_bytes);
        h.owner_bytes = owner_bytes;
    }
    *ret_holder = h;
    return true;
}

static view object_name(view name, char into[static ENGINE_NAME_MAX_BYTES + 16])
{
    static const char prefix[] = "lease/";
    memcpy(into, prefix, sizeof prefix - 1);
    memcpy(into + sizeof prefix - 1, name.at, name.len);
    return view_make(into, sizeof prefix - 1 + name.len);
}

/*
 * Calls the method in a write on the lease's object; what it returned, or what kept it from being called. `removes`: and removes the object
 * in the same operation, so that what was held once leaves nothing behind. (Locks that the class calls ephemeral do as much, but cannot be
 * asked for once they have expired.)
 */
MAY_YIELD static int call(struct engine *base, view name, const char *method, const buf *in, bool removes, millis deadline, struct fault *fault,
                          result *ret_code)
{
    char object[ENGINE_NAME_MAX_BYTES + 16];
    struct client_op *op = client_write_new(rados_of(base)->client, SPACE_SIGNALS, object_name(name, object));
    rados_write_op_exec(op->write, "lock", method, in->at, in->len, NULL);
    if (removes) rados_write_op_remove(op->write);
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
    int returned = call(base, name, "lock", &in, false, deadline, fault, ret_code);
    buf_done(&in);
    return returned;
}

MAY_YIELD static result ask_holder(struct engine *base, view name, millis deadline, struct holder *ret_holder, struct fault *fault)
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
        if (!take_holder(&c, ret_holder)) code = fail(fault, CORRUPT, "the cluster tells of a lease in a way that is not known");
    } else if (code == NOT_FOUND) {
        *ret_holder = (struct holder){0};
        code = OK;
    } else {
        code = client_result(op, "lease", fault);
    }
    client_op_free(op);
    return code;
}

static bool is_owner(const struct holder *h, view owner) { return h->is_there && view_equal(view_make(h->owner, h->owner_bytes), owner); }

static result fail_busy(view name, struct fault *fault) { return fail(fault, BUSY, "lease " VIEW_FMT " has another owner", VIEW_ARG(name)); }

/* Takes it from the client that this owner was before. OK also when that has lost it meanwhile. */
MAY_YIELD static result take_over(struct engine *base, view name, view owner, millis deadline, struct fault *fault)
{
    struct holder h;
    result code = ask_holder(base, name, deadline, &h, fault);
    if (code != OK || !h.is_there) return code;
    if (!is_owner(&h, owner)) return fail_busy(name, fault);
    buf in = BUF_INIT;
    append_break(&in, &h);
    int returned = call(base, name, "break_lock", &in, false, deadline, fault, &code);
    buf_done(&in);
    return returned == -ENOENT ? OK : code;
}

result cluster_lease_acquire(struct engine *base, view name, view owner, int64_t duration_ms, millis deadline, struct fault *fault)
{
    result code;
    int returned = lock(base, name, owner, duration_ms, LOCK_MAY_RENEW, deadline, fault, &code);
    if (returned != -EBUSY) return code;
    code = take_over(base, name, owner, deadline, fault);
    if (code != OK) return code;
    returned = lock(base, name, owner, duration_ms, LOCK_MAY_RENEW, deadline, fault, &code);
    return returned == -EBUSY ? fail_busy(name, fault) : code;
}

result cluster_lease_renew(struct engine *base, view name, view owner, int64_t duration_ms, millis deadline, struct fault *fault)
{
    result code;
    struct holder h;
    int returned = lock(base, name, owner, duration_ms, LOCK_MUST_RENEW, deadline, fault, &code);
    if (returned != -ENOENT && returned != -EBUSY) return code;
    code = ask_holder(base, name, deadline, &h, fault);
    if (code != OK) return code;
    if (h.is_there && !is_owner(&h, owner)) return fail_busy(name, fault);
    return fail(fault, NOT_FOUND, "lease " VIEW_FMT " has expired", VIEW_ARG(name));
}

result cluster_lease_release(struct engine *base, view name, view owner, millis deadline, struct fault *fault)
{
    result code;
    buf in = BUF_INIT;
    append_unlock(&in, owner);
    int returned = call(base, name, "unlock", &in, true, deadline, fault, &code);
    buf_done(&in);
    return returned == -ENOENT ? OK : code;
}
