/*
 * Bodies by the places of their records, also of records of a former epoch. What is read ends with the record's append id: where
 * that does not stand, the head has swallowed the record.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "engine/rados/journal_private.h"
#include "runtime/coroutine.h"

enum {
    GROUP_BYTES = 1 << 20,               /* bodies that stand together are read together, up to this */
    GAP_BYTES = 8 << 10,                 /* and over gaps (metas) up to this */
    GROUPS_AT_ONCE = 4,
    TRIES_MAX = 5,                       /* the journal is shrunk under us */
};

static result gone(struct fault *fault) { return fail(fault, NOT_FOUND, "the record was folded into the head"); }

/* CONFLICT: the base is another one; then it is looked up. NOT_FOUND too when the whole journal is gone. */
MAY_YIELD static result run(struct rados *e, struct id journal, struct client_op *op, millis deadline, struct fault *fault)
{
    result code = client_run(op, deadline, NULL);
    if (code == OK) return OK;
    if (code != CONFLICT) return op->returned == -ENOENT ? gone(fault) : client_result(op, "read of message bytes", fault);
    struct journal_place place;
    code = journal_ask_place(e, journal, deadline, &place, fault);
    return code == OK ? CONFLICT : code;
}

static struct client_op *new_read(struct rados *e, struct id journal, uint64_t base)
{
    struct journal_name name = journal_name(journal);
    struct client_op *op = client_read_new(e->client, SPACE_JOURNALS, journal_name_view(&name));
    journal_read_if(op, "base", base);
    return op;
}

static bool has_id(const struct journal_record *r, const char *end) { return journal_frame_id_at(end - FRAME_ID_BYTES) == r->at.tail; }

/* ---- a part of one body ----------------------------------------------------------------------------------- */

MAY_YIELD static result read_part(struct rados *e, struct id journal, const struct journal_record *r, uint32_t offset, uint32_t len, millis deadline,
                                  buf *into, struct fault *fault)
{
    uint64_t base = bases_get(e->bases, journal);
    if (r->body_offset < base) return gone(fault);
    struct client_op *op = new_read(e, journal, base);
    struct journal_bytes *part = journal_read_bytes(op, r->body_offset - base + offset, len);
    struct journal_bytes *id = journal_read_bytes(op, r->at.offset - base - FRAME_ID_BYTES, FRAME_ID_BYTES);
    result code = run(e, journal, op, deadline, fault);
    if (code == OK && (part->got < len || id->got < FRAME_ID_BYTES || !has_id(r, id->at + FRAME_ID_BYTES))) code = gone(fault);
    if (code == OK) buf_append(into, view_make(part->at, len));
    client_op_free(op);
    return code;
}

result cluster_read_body(struct engine *base, struct id journal, const struct journal_record *record, uint32_t offset, uint32_t len,
                         millis deadline, buf *into, struct fault *fault)
{
    struct rados *e = rados_of(base);
    if (offset == 0 && len == record->body_bytes) {
        struct journal_body_wanted wanted = {.record = *record, .into = into};
        result code = cluster_read_bodies(base, journal, &wanted, 1, deadline, fault);
        return code == OK ? wanted.code : code;
    }
    result code = CONFLICT;
    for (unsigned tries = 0; code == CONFLICT && tries < TRIES_MAX; tries++) code = read_part(e, journal, record, offset, len, deadline, into, fault);
    return code == CONFLICT ? fail(fault, UNAVAILABLE, "the journal is shrunk again and again") : code;
}

/* ---- many whole bodies ------------------------------------------------------------------------------------ */

struct group {
    struct journal_body_wanted **wanted; /* in the order of their offsets */
    size_t count;
    uint64_t from, to;                   /* logical: the first body, the end of the last record */
};

struct gathering {
    struct rados *engine;
    struct id journal;
    millis deadline;
    struct group *groups;
    size_t group_count, next;
    result code;                         /* the first that concerns all */
    struct fault *fault;
};

static void take_body(const struct group *g, const char *bytes, size_t got, struct journal_body_wanted *w, struct fault *fault)
{
    const struct journal_record *r = &w->record;
    size_t from = r->body_offset - g->from, to = r->at.offset - g->from;
    if (to > got || !has_id(r, bytes + to)) {
        w->code = gone(fault);
        return;
    }
    bool is_good = journal_frame_body_is_good(view_make(bytes + from, r->body_bytes + FRAME_BODY_CRC_BYTES));
    w->code = is_good ? OK : fail(fault, CORRUPT, "the bytes of a message at offset %llu of its journal are damaged", (unsigned long long)r->body_offset);
    if (is_good) buf_append(w->into, view_make(bytes + from, r->body_bytes));
}

MAY_YIELD static result try_group(struct gathering *all, struct group *g)
{
    struct rados *e = all->engine;
    uint64_t base = bases_get(e->bases, all->journal);
    for (; g->count && g->wanted[0]->record.body_offset < base; g->wanted++, g->count--) g->wanted[0]->code = gone(all->fault);
    if (g->count == 0) return OK;
    g->from = g->wanted[0]->record.body_offset;
    struct client_op *op = new_read(e, all->journal, base);
    struct journal_bytes *bytes = journal_read_bytes(op, g->from - base, g->to - g->from);
    result code = run(e, all->journal, op, all->deadline, all->fault);
    if (code == OK)
        for (size_t i = 0; i < g->count; i++) take_body(g, bytes->at, bytes->got, g->wanted[i], all->fault);
    if (code == NOT_FOUND)
        for (size_t i = 0; i < g->count; i++) g->wanted[i]->code = NOT_FOUND;
    client_op_free(op);
    return code == NOT_FOUND ? OK : code;
}

MAY_YIELD static void read_groups(void *argument)
{
    struct gathering *all = argument;
    while (all->next < all->group_count && all->code == OK) {
        struct group *g = &all->groups[all->next++];
        result code = CONFLICT;
        for (unsigned tries = 0; code == CONFLICT && tries < TRIES_MAX; tries++) code = try_group(all, g);
        if (code != OK) all->code = code == CONFLICT ? fail(all->fault, UNAVAILABLE, "the journal is shrunk again and again") : code;
    }
}

static int by_offset(const void *a, const void *b)
{
    const struct journal_body_wanted *x = *(struct journal_body_wanted *const *)a, *y = *(struct journal_body_wanted *const *)b;
    return (x->record.body_offset > y->record.body_offset) - (x->record.body_offset < y->record.body_offset);
}

static void make_groups(struct gathering *all, struct journal_body_wanted **sorted, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct journal_record *r = &sorted[i]->record;
        struct group *g = all->group_count ? &all->groups[all->group_count - 1] : NULL;
        if (!g || r->body_offset > g->to + GAP_BYTES || r->at.offset > g->from + GROUP_BYTES) {
            g = &all->groups[all->group_count++];
            *g = (struct group){.wanted = &sorted[i], .from = r->body_offset};
        }
        g->count++;
        if (r->at.offset > g->to) g->to = r->at.offset;
    }
}

MAY_YIELD static void read_all_groups(struct gathering *all)
{
    struct scope readers;
    scope_init(&readers, NULL);
    for (size_t i = 1; i < all->group_count && i < GROUPS_AT_ONCE; i++) coroutine_spawn(&readers, "rados bodies", read_groups, all);
    read_groups(all);
    scope_join(&readers);
    scope_unlink(&readers);
}

result cluster_read_bodies(struct engine *base, struct id journal, struct journal_body_wanted *wanted, size_t count, millis deadline, struct fault *fault)
{
    struct gathering all = {.engine = rados_of(base), .journal = journal, .deadline = deadline, .fault = fault};
    struct journal_body_wanted **sorted = calloc(count, sizeof *sorted);
    all.groups = calloc(count, sizeof *all.groups);
    check(sorted && all.groups);
    size_t asked = 0;
    for (size_t i = 0; i < count; i++) {
        wanted[i].code = wanted[i].record.body_bytes ? UNAVAILABLE : OK;
        if (wanted[i].record.body_bytes) sorted[asked++] = &wanted[i];
    }
    qsort(sorted, asked, sizeof *sorted, by_offset);
    make_groups(&all, sorted, asked);
    read_all_groups(&all);
    free(all.groups);
    free(sorted);
    return all.code;
}
