/* The steps that journals' operations are made of. */
#include <string.h>

#include "engine/rados/journal_private.h"

void journal_write_if(struct client_op *op, const char *name, uint64_t number)
{
    struct attribute a = attribute_of(number);
    rados_write_op_cmpxattr(op->write, name, LIBRADOS_CMPXATTR_OP_EQ, a.bytes, a.len);
}

void journal_write_set(struct client_op *op, const char *name, uint64_t number)
{
    struct attribute a = attribute_of(number);
    rados_write_op_setxattr(op->write, name, a.bytes, a.len);
}

void journal_read_if(struct client_op *op, const char *name, uint64_t number)
{
    struct attribute a = attribute_of(number);
    rados_read_op_cmpxattr(op->read, name, LIBRADOS_CMPXATTR_OP_EQ, a.bytes, a.len);
}

static void end_attributes(void *memory) { rados_getxattrs_end(*(rados_xattrs_iter_t *)memory); }

rados_xattrs_iter_t *journal_read_place(struct client_op *op)
{
    struct { rados_xattrs_iter_t attributes; int returned; } *m = client_op_alloc(op, sizeof *m);
    rados_read_op_getxattrs(op->read, &m->attributes, &m->returned);
    client_op_at_end(op, m, end_attributes);
    return &m->attributes;
}

result journal_take_place(rados_xattrs_iter_t *attributes, struct journal_place *ret_place, struct fault *fault)
{
    struct journal_place p = {0};
    const struct { const char *name; uint64_t *number; } known[] = {
        {"tail", &p.tail}, {"epoch", &p.epoch}, {"base", &p.base}, {"start", &p.start}, {"folded", &p.folded}};
    const char *name, *value;
    size_t len;
    for (;;) {
        int error = rados_getxattrs_next(*attributes, &name, &value, &len);
        if (error < 0) return fail(fault, IO, "reading a journal's attributes: %s", strerror(-error));
        if (!name) break;
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
            if (strcmp(name, known[i].name) != 0) continue;
            if (len != 0 && len != ATTRIBUTE_BYTES) return fail(fault, CORRUPT, "a journal's attribute %s has %zu bytes", name, len);
            *known[i].number = len ? journal_take_be64(value) : 0;
        }
    }
    if (p.start < p.base) return fail(fault, CORRUPT, "a journal's records begin before its object");
    *ret_place = p;
    return OK;
}

result journal_ask_place(struct rados *e, struct id journal, millis deadline, struct journal_place *ret_place, struct fault *fault)
{
    struct journal_name name = journal_name(journal);
    struct client_op *op = client_read_new(e->client, SPACE_JOURNALS, journal_name_view(&name));
    rados_xattrs_iter_t *attributes = journal_read_place(op);
    result code = client_run(op, deadline, fault);
    if (code == OK) code = journal_take_place(attributes, ret_place, fault);
    client_op_free(op);
    if (code == OK) bases_put(e->bases, journal, ret_place->base);
    return code;
}

struct journal_bytes *journal_read_bytes(struct client_op *op, uint64_t offset, size_t wanted)
{
    struct journal_bytes *b = client_op_alloc(op, sizeof *b);
    b->at = client_op_buffer(op, wanted);
    b->wanted = wanted;
    rados_read_op_read(op->read, offset, wanted, b->at, &b->got, &b->returned);
    op->bytes += wanted;
    return b;
}
