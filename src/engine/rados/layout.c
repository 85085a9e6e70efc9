#include "engine/rados/layout.h"

#include "base/buf.h"
#include "base/check.h"

static const view object_name = VIEW_INIT("layout");

struct text_read {
    size_t got;
    int returned;
    char bytes[RADOS_LAYOUT_MAX_BYTES];
};

result rados_layout_read(struct client *c, struct rados_layout *ret_layout, millis deadline, struct fault *fault)
{
    struct client_op *op = client_read_new(c, SPACE_TABLES, object_name);
    struct text_read *text = client_op_alloc(op, sizeof *text);
    rados_read_op_read(op->read, 0, sizeof text->bytes, text->bytes, &text->got, &text->returned);
    result code = client_run(op, deadline, fault);
    /* Whoever starts a program is told what is wrong with the key or the pool. */
    if (code == UNAVAILABLE && op->returned < 0) code = client_error(op->returned, false, "the layout of the store", fault);
    if (code == OK) code = rados_layout_parse(view_make(text->bytes, text->got), ret_layout, fault);
    else if (code == NOT_FOUND) code = fail(fault, NOT_FOUND, "the cluster has no store there: nothing has been made in these pools under this name");
    client_op_free(op);
    return code;
}

result rados_layout_write(struct client *c, const struct rados_layout *layout, millis deadline, struct fault *fault)
{
    CLEANUP(buf_done) buf text = BUF_INIT;
    struct rados_layout ignored;
    rados_layout_print(layout, &text);
    result code = rados_layout_parse(buf_view(&text), &ignored, fault);
    if (code != OK) return code;
    struct client_op *op = client_write_new(c, SPACE_TABLES, object_name);
    rados_write_op_create(op->write, LIBRADOS_CREATE_EXCLUSIVE, NULL);
    rados_write_op_write_full(op->write, text.at, text.len);
    code = client_run(op, deadline, fault);
    if (code == EXISTS) code = fail(fault, EXISTS, "the cluster has a store there already");
    client_op_free(op);
    return code;
}

/* Nodes that start at the same time: one makes it, all read what that one made. */
result rados_layout_take(struct client *c, struct rados_layout *ret_layout, millis deadline, struct fault *fault)
{
    result code = rados_layout_read(c, ret_layout, deadline, fault);
    if (code != NOT_FOUND) return code;
    code = rados_layout_write(c, &(struct rados_layout){0}, deadline, fault);
    return code == OK || code == EXISTS ? rados_layout_read(c, ret_layout, deadline, fault) : code;
}
