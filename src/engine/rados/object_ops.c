/* Steps on bases and pieces. */
#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "engine/rados/objects_private.h"

/* ---- together ------------------------------------------------------------------------------------------------- */

void together_init(struct together *t)
{
    t->missing = 0;
    waitlist_init(&t->ended);
}

static void one_ended(struct client_op *op, result code, void *argument)
{
    struct together_op *o = argument;
    o->code = code;
    if (--o->all->missing == 0) waitlist_wake_all(&o->all->ended);
}

void together_start(struct together *t, struct together_op *o, struct client_op *op, millis deadline)
{
    *o = (struct together_op){.all = t, .op = op};
    t->missing++;
    client_start(op, deadline, one_ended, o);
}

/* Deaf to cancellation: the operations are told on the caller's stack. Their deadlines bound it. */
void together_wait(struct together *t)
{
    while (t->missing > 0) waitlist_wait_shielded(&t->ended);
}

/* ---- the base --------------------------------------------------------------------------------------------------- */

struct base_memory {
    rados_xattrs_iter_t attributes;
    int attributes_returned, read_returned;
    size_t got;
    char *bytes;
};

static void end_attributes(void *memory)
{
    struct base_memory *m = memory;
    if (m->attributes) rados_getxattrs_end(m->attributes);
}

static struct client_op *base_new(struct rados *e, view name, size_t len, struct base_memory **ret_memory)
{
    struct client_op *op = client_read_new(e->client, object_space(name), name);
    struct base_memory *m = client_op_alloc(op, sizeof *m);
    client_op_at_end(op, m, end_attributes);
    m->bytes = len ? client_op_buffer(op, len) : NULL;
    rados_read_op_getxattrs(op->read, &m->attributes, &m->attributes_returned);
    *ret_memory = m;
    return op;
}

static bool find_about(const struct base_memory *m, struct object_about *ret_about)
{
    const char *name, *value;
    size_t len;
    while (rados_getxattrs_next(m->attributes, &name, &value, &len) == 0 && name)
        if (view_equal(view_of(name), VIEW(OBJECT_ATTRIBUTE))) return object_about_parse(view_make(value, len), ret_about);
    return false;
}

struct client_op *base_look_new(struct rados *e, view name, void **ret_memory)
{
    struct base_memory *m;
    struct client_op *op = base_new(e, name, 0, &m);
    *ret_memory = m;
    return op;
}

result base_look_result(const struct client_op *op, result code, const void *memory, view name, struct object_about *ret_about, struct fault *fault)
{
    if (code == NOT_FOUND) return fail(fault, NOT_FOUND, "no object " VIEW_FMT, VIEW_ARG(name));
    if (code != OK) {
        code = client_result(op, "read", fault);
        fault_context(fault, "object " VIEW_FMT, VIEW_ARG(name));
        return code;
    }
    return find_about(memory, ret_about) ? OK : fail(fault, CORRUPT, "object " VIEW_FMT " has no description", VIEW_ARG(name));
}

/* No base has more than a chunk. */
result base_read(struct rados *e, view name, uint64_t offset, size_t len, millis deadline, struct base_read *ret_base, struct fault *fault)
{
    struct base_memory *m;
    if (offset >= OBJECT_CHUNK_BYTES) len = 0;
    if (len > OBJECT_CHUNK_BYTES) len = OBJECT_CHUNK_BYTES;
    struct client_op *op = base_new(e, name, len, &m);
    if (len) rados_read_op_read(op->read, offset, len, m->bytes, &m->got, &m->read_returned);
    op->bytes += len;
    result code = client_run(op, deadline, NULL);
    code = base_look_result(op, code, m, name, &ret_base->about, fault);
    if (code != OK) {
        client_op_free(op);
        return code;
    }
    ret_base->op = op;
    ret_base->bytes = view_make(m->bytes, m->got);
    return OK;
}

result base_look(struct rados *e, view name, millis deadline, struct object_about *ret_about, struct fault *fault)
{
    struct base_read base;
    result code = base_read(e, name, 0, 0, deadline, &base, fault);
    if (code != OK) return code;
    *ret_about = base.about;
    client_op_free(base.op);
    return OK;
}

/* ---- reading pieces --------------------------------------------------------------------------------------------- */

struct part_memory {
    size_t wanted, got;
    int returned;
    char *bytes;
};

/* What is left to read, and what is under way. */
struct pieces_reading {
    struct rados *engine;
    view name;
    const struct object_about *about;
    uint64_t offset;
    size_t len;
    struct together all;
    struct together_op parts[OBJECT_PARALLEL];
    struct part_memory *memory[OBJECT_PARALLEL];
    size_t count;
};

static void start_part(struct pieces_reading *r, millis deadline)
{
    char piece[OBJECT_PIECE_NAME_BYTES];
    uint64_t from = r->offset % r->about->piece_bytes, to_end = r->about->piece_bytes - from;
    size_t len = r->len < to_end ? r->len : (size_t)to_end;
    if (len > OBJECT_CHUNK_BYTES) len = OBJECT_CHUNK_BYTES;
    struct client_op *op = client_read_new(r->engine->client, object_space(r->name),
                                           object_piece_name(r->name, r->about->writer, r->offset / r->about->piece_bytes, piece));
    struct part_memory *m = r->memory[r->count] = client_op_alloc(op, sizeof *m);
    m->bytes = client_op_buffer(op, len);
    m->wanted = len;
    rados_read_op_read(op->read, from, len, m->bytes, &m->got, &m->returned);
    op->bytes += len;
    together_start(&r->all, &r->parts[r->count++], op, deadline);
    r->offset += len;
    r->len -= len;
}

/* What the parts brought, in their order. */
static result gather_parts(struct pieces_reading *r, buf *into, struct fault *fault)
{
    result code = OK;
    for (size_t i = 0; i < r->count; i++) {
        const struct together_op *p = &r->parts[i];
        if (code == OK && p->code != OK) {
            code = client_result(p->op, "read", fault);
            fault_context(fault, "object " VIEW_FMT, VIEW_ARG(r->name));
        } else if (code == OK && r->memory[i]->got != r->memory[i]->wanted) {
            code = fail(fault, CORRUPT, "object " VIEW_FMT ": a piece of it is too short", VIEW_ARG(r->name));
        } else if (code == OK) {
            buf_append(into, view_make(r->memory[i]->bytes, r->memory[i]->got));
        }
        client_op_free(p->op);
    }
    r->count = 0;
    return code;
}

result pieces_read(struct rados *e, view name, const struct object_about *about, uint64_t offset, size_t len, millis deadline, buf *into,
                   struct fault *fault)
{
    struct pieces_reading r = {.engine = e, .name = name, .about = about, .offset = offset, .len = len};
    result code = OK;
    together_init(&r.all);
    while (code == OK && r.len > 0) {
        while (r.len > 0 && r.count < OBJECT_PARALLEL) start_part(&r, deadline);
        together_wait(&r.all);
        code = gather_parts(&r, into, fault);
    }
    return code;
}

/* ---- all pieces of an object -------------------------------------------------------------------------------------- */

/* From the last on: while some are there, so is the first, and pieces_count() finds them. */
result pieces_remove(struct rados *e, view name, struct id writer, uint64_t count, millis deadline, struct fault *fault)
{
    struct together all;
    struct together_op ops[OBJECT_PARALLEL];
    char piece[OBJECT_PIECE_NAME_BYTES];
    result code = OK;
    together_init(&all);
    while (code == OK && count > 0) {
        size_t n = count < OBJECT_PARALLEL ? (size_t)count : OBJECT_PARALLEL;
        for (size_t i = 0; i < n; i++) {
            struct client_op *op = client_write_new(e->client, object_space(name), object_piece_name(name, writer, --count, piece));
            rados_write_op_remove(op->write);
            together_start(&all, &ops[i], op, deadline);
        }
        together_wait(&all);
        for (size_t i = 0; i < n; i++) {
            if (code == OK && ops[i].code != NOT_FOUND) code = client_result(ops[i].op, "remove", fault);
            client_op_free(ops[i].op);
        }
    }
    return code;
}

struct stat_memory {
    uint64_t size;
    time_t changed;
    int returned;
};

/* Sizes of `n` pieces from the `first` on; UINT64_MAX: not there. */
MAY_YIELD static result stat_pieces(struct rados *e, view name, struct id writer, uint64_t first, size_t n, millis deadline,
                                    uint64_t sizes[static OBJECT_PARALLEL], struct fault *fault)
{
    struct together all;
    struct together_op ops[OBJECT_PARALLEL];
    struct stat_memory *memory[OBJECT_PARALLEL];
    char piece[OBJECT_PIECE_NAME_BYTES];
    result code = OK;
    together_init(&all);
    for (size_t i = 0; i < n; i++) {
        struct client_op *op = client_read_new(e->client, object_space(name), object_piece_name(name, writer, first + i, piece));
        memory[i] = client_op_alloc(op, sizeof *memory[i]);
        rados_read_op_stat(op->read, &memory[i]->size, &memory[i]->changed, &memory[i]->returned);
        together_start(&all, &ops[i], op, deadline);
    }
    together_wait(&all);
    for (size_t i = 0; i < n; i++) {
        if (code == OK && ops[i].code != NOT_FOUND) code = client_result(ops[i].op, "stat", fault);
        sizes[i] = ops[i].code == OK ? memory[i]->size : UINT64_MAX;
        client_op_free(ops[i].op);
    }
    return code;
}

/* A removal that was cut short has left gaps of less than what it had under way. */
result pieces_count(struct rados *e, view name, struct id writer, millis deadline, uint64_t *ret_count, struct fault *fault)
{
    uint64_t count = 0, sizes[OBJECT_PARALLEL];
    for (uint64_t first = 0;; first += OBJECT_PARALLEL) {
        result code = stat_pieces(e, name, writer, first, OBJECT_PARALLEL, deadline, sizes, fault);
        if (code != OK) return code;
        uint64_t before = count;
        for (size_t i = 0; i < OBJECT_PARALLEL; i++)
            if (sizes[i] != UINT64_MAX) count = first + i + 1;
        if (count == before) break;
    }
    *ret_count = count;
    return OK;
}

static uint64_t piece_size(const struct object_about *about, uint64_t piece)
{
    uint64_t rest = about->size - piece * about->piece_bytes;
    return rest < about->piece_bytes ? rest : about->piece_bytes;
}

result pieces_check(struct rados *e, view name, const struct object_about *about, millis deadline, uint64_t *ret_bad, struct fault *fault)
{
    uint64_t count = object_about_pieces(about), sizes[OBJECT_PARALLEL];
    for (uint64_t first = 0; first < count; first += OBJECT_PARALLEL) {
        size_t n = count - first < OBJECT_PARALLEL ? (size_t)(count - first) : OBJECT_PARALLEL;
        result code = stat_pieces(e, name, about->writer, first, n, deadline, sizes, fault);
        if (code != OK) return code;
        for (size_t i = 0; i < n; i++) {
            if (sizes[i] == piece_size(about, first + i)) continue;
            *ret_bad = first + i;
            return OK;
        }
    }
    *ret_bad = count;
    return OK;
}
