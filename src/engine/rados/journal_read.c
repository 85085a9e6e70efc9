/*
 * Pages. Who is of the epoch of now reads on with one operation that is guarded by the epoch; who is not gets the attributes, the
 * head and the first bytes in one. Bodies are read over: they come along in the same bytes, and are not looked at.
 */
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "engine/rados/journal_private.h"

enum {
    FIRST_WINDOW_BYTES = 64 << 10,       /* what arrives between two looks fits, mostly */
    LOOK_BYTES = 8 << 10,                /* what a look is counted with among what is under way: most bring little, and many are at once */
    SPECULATIVE_BYTES = 64 << 10,        /* with the head: a journal whose object begins with its first record is read in one go */
    WINDOW_BYTES = 1 << 20,
    PAGE_SCANNED_BYTES = 4 << 20,        /* of a page, bodies included */
    TRIES_MAX = 20,                      /* the head changes under us */
};
static const char head_key[] = "head";

struct page_read {
    struct rados *engine;
    struct id journal;
    struct journal_name name;
    millis deadline;
    struct arena *arena;
    struct fault *fault;
    uint64_t epoch, base;                /* assumed, and what operations are guarded by */
    const struct journal_position *from; /* the caller's */
    struct journal_position end;         /* after the last record that was gathered */
    bool has_head, more;
    view head;
    struct journal_position head_at;
    buf records;                         /* struct journal_record */
    size_t count, meta_bytes, scanned;
};

/* ---- what is in a window ---------------------------------------------------------------------------------- */

static result add_record(struct page_read *p, const struct frame *f)
{
    struct journal_record r = {.body_bytes = f->body_bytes};
    char *meta = arena_try_alloc(p->arena, f->meta.len + 1);
    if (!meta) return fail(p->fault, TOO_BIG, "a page does not fit into what the caller has room for");
    memcpy(meta, f->meta.at, f->meta.len);
    r.meta = view_make(meta, f->meta.len);
    p->end.offset += f->bytes;
    p->end.tail = f->append_id;
    r.at = p->end;
    r.body_offset = p->end.offset - FRAME_TRAILER_BYTES - f->body_bytes;
    memcpy(buf_extend(&p->records, sizeof r), &r, sizeof r);
    p->count++;
    p->meta_bytes += f->meta.len;
    p->scanned += f->bytes;
    return OK;
}

static bool is_full_page(const struct page_read *p, const struct frame *next)
{
    return p->count == ENGINE_PAGE_RECORDS || p->scanned >= PAGE_SCANNED_BYTES || (p->count && p->meta_bytes + next->meta.len > ENGINE_PAGE_BYTES);
}

static result broken(const struct page_read *p, const char *how)
{
    return fail(p->fault, CORRUPT, "journal %s: the record at offset %llu %s", p->name.text, (unsigned long long)p->end.offset, how);
}

/* *ret_needed: 0: no more is wanted; else how many bytes from p->end on are. `is_last`: the object ends where the window does. */
static result gather(struct page_read *p, view window, bool is_last, size_t *ret_needed)
{
    struct frame f;
    size_t needed;
    enum frame_state state;
    *ret_needed = 0;
    while ((state = journal_frame_read(window, &f, &needed)) == FRAME_WHOLE) {
        if (is_full_page(p, &f)) {
            p->more = true;
            return OK;
        }
        result code = add_record(p, &f);
        if (code != OK) return code;
        window = view_from(window, f.bytes);
    }
    if (state == FRAME_BROKEN) return broken(p, "is malformed");
    if (is_last) return window.len ? broken(p, "is cut off") : OK;
    if (p->scanned < PAGE_SCANNED_BYTES || p->count == 0) *ret_needed = needed > WINDOW_BYTES ? needed : WINDOW_BYTES;
    else p->more = true;
    return OK;
}

/* ---- operations ------------------------------------------------------------------------------------------- */

static struct client_op *new_read(const struct page_read *p)
{
    return client_read_new(p->engine->client, SPACE_JOURNALS, journal_name_view(&p->name));
}

MAY_YIELD static result run(struct page_read *p, struct client_op *op)
{
    struct fault *fault = p->fault;
    result code = client_run(op, p->deadline, NULL);
    if (code == OK || code == CONFLICT) return code;
    return op->returned == -ENOENT ? fail(fault, NOT_FOUND, "no such journal") : client_result(op, "read of a journal", fault);
}

/* What stands before p->end is the id of the record that ends there, or a hole that a head has left. Else it is another journal of the same name. */
static bool is_continued(const struct page_read *p, const struct journal_bytes *bytes, size_t back)
{
    if (bytes->got < back) return false;
    if (back == 0) return true;
    uint64_t id = journal_frame_id_at(bytes->at);
    return id == p->end.tail || (id == 0 && p->epoch > 0);
}

/* The bytes from p->end on. CONFLICT: the epoch or the base is not the one assumed, or p->end is no place in this journal. */
MAY_YIELD static result read_window(struct page_read *p, size_t wanted, size_t *ret_needed)
{
    uint64_t offset = p->end.offset - p->base;
    size_t back = offset >= FRAME_ID_BYTES ? FRAME_ID_BYTES : 0;
    struct client_op *op = new_read(p);
    journal_read_if(op, "epoch", p->epoch);
    journal_read_if(op, "base", p->base);
    struct journal_bytes *bytes = journal_read_bytes(op, offset - back, wanted + back);
    if (wanted == FIRST_WINDOW_BYTES) op->bytes = LOOK_BYTES;
    result code = run(p, op);
    if (code == OK && !is_continued(p, bytes, back)) code = CONFLICT;
    if (code == OK) code = gather(p, view_make(bytes->at + back, bytes->got - back), bytes->got < bytes->wanted, ret_needed);
    client_op_free(op);
    return code;
}

struct head_read {
    rados_omap_iter_t rows;
    int returned;
};

static void end_rows(void *memory) { rados_omap_get_end(((struct head_read *)memory)->rows); }

static struct head_read *read_head(struct client_op *op)
{
    struct head_read *h = client_op_alloc(op, sizeof *h);
    rados_read_op_omap_get_vals_by_keys2(op->read, (const char *const[]){head_key}, 1, (const size_t[]){sizeof head_key - 1}, &h->rows, &h->returned);
    client_op_at_end(op, h, end_rows);
    op->bytes += ENGINE_HEAD_MAX_BYTES;
    return h;
}

static result take_head(struct page_read *p, struct head_read *h, const struct journal_place *place)
{
    char *key, *value;
    size_t key_len, len = 0;
    p->has_head = true;
    p->epoch = place->epoch;
    p->base = place->base;
    p->head_at = p->end = (struct journal_position){place->epoch, place->start, place->folded};
    p->head = VIEW_EMPTY;
    if (place->epoch == 0) return OK;
    int error = rados_omap_get_next2(h->rows, &key, &value, &key_len, &len);
    if (error < 0 || !key || len == 0) return fail(p->fault, CORRUPT, "journal %s has no head", p->name.text);
    char *copy = arena_try_alloc(p->arena, len);
    if (!copy) return fail(p->fault, TOO_BIG, "a head does not fit into what the caller has room for");
    memcpy(copy, value, len);
    p->head = view_make(copy, len);
    return OK;
}

/* The epoch of the caller's position is that of now, only the base was assumed wrongly: then the position is as good as before. */
static bool is_just_shrunk(struct page_read *p, const struct journal_place *place)
{
    if (!p->from || p->from->epoch != place->epoch || p->from->offset < place->start || p->base == place->base) return false;
    p->base = place->base;
    p->end = *p->from;
    return true;
}

static void forget(struct page_read *p)
{
    buf_clear(&p->records);
    p->count = p->meta_bytes = p->scanned = 0;
    p->more = false;
}

/* Where the journal stands, its head, and the first records if they are at the object's beginning. */
MAY_YIELD static result read_from_head(struct page_read *p, size_t *ret_needed)
{
    forget(p);
    struct client_op *op = new_read(p);
    rados_xattrs_iter_t *attributes = journal_read_place(op);
    struct head_read *head = read_head(op);
    struct journal_bytes *bytes = journal_read_bytes(op, 0, SPECULATIVE_BYTES);
    struct journal_place place;
    result code = run(p, op);
    if (code == OK) code = journal_take_place(attributes, &place, p->fault);
    if (code == OK) bases_put(p->engine->bases, p->journal, place.base);
    bool may_read_on = code == OK && is_just_shrunk(p, &place);
    if (may_read_on) *ret_needed = FIRST_WINDOW_BYTES;
    else if (code == OK) code = take_head(p, head, &place);
    if (code == OK && !may_read_on) {
        view there = view_from(view_make(bytes->at, bytes->got), place.start - place.base < bytes->got ? place.start - place.base : bytes->got);
        bool is_last = bytes->got < bytes->wanted && place.start - place.base <= bytes->got;
        code = gather(p, there, is_last, ret_needed);
    }
    client_op_free(op);
    return code;
}

/* ---- the page --------------------------------------------------------------------------------------------- */

MAY_YIELD static result read_page(struct page_read *p)
{
    const struct journal_position *from = p->from;
    size_t needed = FIRST_WINDOW_BYTES;
    result code = CONFLICT;
    if (from) {
        p->epoch = from->epoch;
        p->base = bases_get(p->engine->bases, p->journal);
        p->end = *from;
        if (from->offset >= p->base) code = read_window(p, needed, &needed);
    }
    for (unsigned tries = 0; code == CONFLICT || (code == OK && needed > 0);) {
        if (code == CONFLICT && p->count > 0) {
            p->more = true;              /* what was gathered was true then */
            return OK;
        }
        if (code == CONFLICT && ++tries > TRIES_MAX) return fail(p->fault, UNAVAILABLE, "the journal's head changes faster than it can be read");
        code = code == CONFLICT ? read_from_head(p, &needed) : read_window(p, needed, &needed);
    }
    return code;
}

static result keep_page(const struct page_read *p, struct journal_page *ret_page)
{
    struct journal_record *records = arena_try_alloc(p->arena, (p->count + 1) * sizeof *records);
    if (!records) return fail(p->fault, TOO_BIG, "no room for a page of %zu records", p->count);
    if (p->count) memcpy(records, p->records.at, p->records.len);
    *ret_page = (struct journal_page){.has_head = p->has_head, .head = p->head, .head_at = p->head_at, .records = records,
                                      .count = p->count, .end = p->end, .more = p->more};
    return OK;
}

result cluster_read(struct engine *base, struct id journal, const struct journal_position *from, millis deadline, struct arena *arena,
                    struct journal_page *ret_page, struct fault *fault)
{
    struct page_read p = {.engine = rados_of(base), .journal = journal, .name = journal_name(journal), .deadline = deadline, .arena = arena,
                          .fault = fault, .from = from};
    result code = read_page(&p);
    if (code == OK) code = keep_page(&p, ret_page);
    buf_done(&p.records);
    return code;
}
