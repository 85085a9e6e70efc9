#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "engine/local/local_private.h"
#include "runtime/clock.h"

/* ---- where a read runs ------------------------------------------------------------------------------------ */

struct turn {
    struct task task;
    struct local_read *read;
    struct completion done;
};

static void run_on_loop(struct task *t)
{
    struct turn *turn = container_of(t, struct turn, task);
    turn->read->run(turn->read);
    completion_set(&turn->done, OK);
}

static void run_on_worker(void *argument)
{
    struct local_read *r = argument;
    if (millis_before(r->deadline, clock_now())) r->code = fail(r->fault, TIMEOUT, "the deadline passed before the read was begun");
    else r->run(r);
}

result local_read_run(struct local_read *r)
{
    struct turn turn = {.task.run = run_on_loop, .read = r};
    completion_init(&turn.done);
    r->only_cached = true;
    loop_post(loop_self(), &turn.task);
    (void)completion_wait(&turn.done);
    if (r->code != BUSY) return r->code;
    r->only_cached = false;
    result code = worker_run(WORKER_READ, run_on_worker, r);
    return code == OK ? r->code : fail(r->fault, code, "too many reads wait");
}

result local_keep(struct arena *arena, const buf *gathered, char **ret_copy, struct fault *fault)
{
    char *copy = arena_try_alloc(arena, gathered->len + 1);
    if (!copy) return fail(fault, TOO_BIG, "%zu bytes do not fit into what the caller has room for", gathered->len);
    if (gathered->len) memcpy(copy, gathered->at, gathered->len);
    *ret_copy = copy;
    return OK;
}

/* ---- how a journal stands --------------------------------------------------------------------------------- */

static result malformed(struct id journal, uint64_t sequence, struct fault *fault)
{
    char text[ID_TEXT_LEN + 1];
    id_text(journal, text);
    return fail(fault, CORRUPT, "journal %s: row %llu is malformed", text, (unsigned long long)sequence);
}

/* Moves to the first row; reads it if it is the head. `any`: there is a row. */
static result look_at_head(struct rocks_walk *w, struct id journal, bool *ret_any, struct head_row *ret_head, struct fault *fault)
{
    struct record_key first = record_key(journal, 0);
    struct id same;
    uint64_t sequence;
    *ret_head = (struct head_row){0};
    *ret_any = rocks_walk_seek(w, record_key_view(&first));
    if (!*ret_any) return rocks_walk_result(w, fault);
    if (!record_key_parse(rocks_walk_key(w), &same, &sequence)) return malformed(journal, 0, fault);
    if (sequence == 0 && !head_row_parse(rocks_walk_value(w), ret_head)) return malformed(journal, 0, fault);
    return OK;
}

result journal_look(struct rocks *s, struct id journal, struct journal_end *ret_end, struct fault *fault)
{
    struct rocks_walk w;
    struct head_row head;
    struct record_key last_key = record_key(journal, UINT64_MAX);
    struct id found;
    uint64_t last = 0;
    bool any;
    rocks_walk_begin(&w, s, FAMILY_RECORDS, id_view(&journal), true, false);
    result code = look_at_head(&w, journal, &any, &head, fault);
    if (code == OK && any) {
        bool is_one = rocks_walk_seek_last(&w, record_key_view(&last_key)) && record_key_parse(rocks_walk_key(&w), &found, &last);
        code = rocks_walk_result(&w, fault);
        if (!is_one || !id_equal(found, journal) || last < head.folded) last = head.folded;
    }
    rocks_walk_end(&w);
    if (code == OK) *ret_end = (struct journal_end){any, head.epoch, head.folded, last};
    return code;
}

result journal_measure(struct rocks *s, struct id journal, struct journal_position from, uint64_t *ret_offset, struct fault *fault)
{
    struct rocks_walk w;
    struct record_row row;
    struct record_key start = record_key(journal, from.tail + 1);
    uint64_t offset = from.offset;
    rocks_walk_begin(&w, s, FAMILY_RECORDS, id_view(&journal), true, false);
    bool is_good = true;
    for (bool any = rocks_walk_seek(&w, record_key_view(&start)); any && is_good; any = rocks_walk_next(&w)) {
        is_good = record_row_parse(rocks_walk_value(&w), &row);
        if (is_good) offset = offset_add(offset, row.meta.len + row.body_bytes);
    }
    result code = is_good ? rocks_walk_result(&w, fault) : malformed(journal, from.tail, fault);
    rocks_walk_end(&w);
    if (code == OK) *ret_offset = offset;
    return code;
}

/* ---- pages ------------------------------------------------------------------------------------------------ */

struct page_read {
    struct local_read read;
    struct id journal;
    bool has_from;
    struct journal_position from;
    /* Gathered: */
    bool has_head, more, was_blind;
    uint32_t head_bytes;
    struct journal_position head_at, end;
    size_t count;
    buf bytes;                       /* the head, then each meta */
    buf rows;                        /* struct gathered_row */
};

struct gathered_row {
    struct journal_position at;
    size_t meta_at;
    uint32_t meta_bytes, body_bytes;
};

static void begin_page(struct page_read *p, const struct head_row *head)
{
    p->has_head = !p->has_from || p->from.epoch != head->epoch;
    p->head_at = (struct journal_position){head->epoch, 0, head->folded};
    p->end = p->has_head ? p->head_at : p->from;
    p->count = 0;
    p->more = p->was_blind = false;
    buf_clear(&p->bytes);
    buf_clear(&p->rows);
    p->head_bytes = p->has_head ? (uint32_t)head->head.len : 0;
    if (p->has_head) buf_append(&p->bytes, head->head);
}

static result gather_row(struct page_read *p, struct rocks_walk *w, struct fault *fault)
{
    struct id journal;
    uint64_t sequence = 0;
    struct record_row row;
    if (!record_key_parse(rocks_walk_key(w), &journal, &sequence) || !record_row_parse(rocks_walk_value(w), &row))
        return malformed(p->journal, sequence, fault);
    p->end.offset = offset_add(p->end.offset, row.meta.len + row.body_bytes);
    p->end.tail = sequence;
    p->was_blind |= row.was_blind;
    struct gathered_row *g = (struct gathered_row *)(void *)buf_extend(&p->rows, sizeof *g);
    *g = (struct gathered_row){p->end, p->bytes.len, (uint32_t)row.meta.len, row.body_bytes};
    buf_append(&p->bytes, row.meta);
    p->count++;
    return OK;
}

static bool is_full_page(const struct page_read *p, const struct rocks_walk *w)
{
    return p->count == ENGINE_PAGE_RECORDS || (p->count && p->bytes.len - p->head_bytes + rocks_walk_value(w).len > ENGINE_PAGE_BYTES);
}

static result gather_page(struct page_read *p, struct rocks_walk *w)
{
    struct head_row head;
    bool any;
    result code = look_at_head(w, p->journal, &any, &head, p->read.fault);
    if (code != OK) return code;
    if (!any) return fail(p->read.fault, NOT_FOUND, "no such journal");
    begin_page(p, &head);
    struct record_key start = record_key(p->journal, p->end.tail + 1);
    any = rocks_walk_seek(w, record_key_view(&start));
    for (; any && !is_full_page(p, w); any = rocks_walk_next(w))
        if ((code = gather_row(p, w, p->read.fault)) != OK) return code;
    p->more = any;
    return rocks_walk_result(w, p->read.fault);
}

static void run_page(struct local_read *r)
{
    struct page_read *p = container_of(r, struct page_read, read);
    struct rocks_walk w;
    rocks_walk_begin(&w, &r->engine->rocks, FAMILY_RECORDS, id_view(&p->journal), true, r->only_cached);
    r->code = gather_page(p, &w);
    rocks_walk_end(&w);
}

static result keep_page(const struct page_read *p, struct arena *arena, struct journal_page *ret_page, struct fault *fault)
{
    char *bytes;
    struct journal_record *records = arena_try_alloc(arena, (p->count + 1) * sizeof *records);
    result code = records ? local_keep(arena, &p->bytes, &bytes, fault) : fail(fault, TOO_BIG, "no room for a page of %zu records", p->count);
    if (code != OK) return code;
    const struct gathered_row *rows = (const struct gathered_row *)(const void *)p->rows.at;
    for (size_t i = 0; i < p->count; i++)
        records[i] = (struct journal_record){rows[i].at, view_make(bytes + rows[i].meta_at, rows[i].meta_bytes), rows[i].at.tail, rows[i].body_bytes};
    *ret_page = (struct journal_page){.has_head = p->has_head, .head = view_make(bytes, p->head_bytes), .head_at = p->head_at,
                                      .records = records, .count = p->count, .end = p->end, .more = p->more,
                                      .journal_bytes = offset_bytes(p->end.offset)};
    return OK;
}

result local_read(struct engine *base, struct id journal, const struct journal_position *from, millis deadline, struct arena *arena,
                  struct journal_page *ret_page, struct fault *fault)
{
    struct local *e = local_of(base);
    struct page_read p = {.read = {.engine = e, .deadline = deadline, .fault = fault, .run = run_page}, .journal = journal, .has_from = from != NULL};
    if (from) p.from = *from;
    result code = local_read_run(&p.read);
    if (code == OK) code = keep_page(&p, arena, ret_page, fault);
    if (code == OK && !p.more && (!from || p.was_blind)) change_learn(e, journal, p.end);
    buf_done(&p.bytes);
    buf_done(&p.rows);
    return code;
}

/* ---- bodies ----------------------------------------------------------------------------------------------- */

struct body_read {
    struct local_read read;
    struct id journal;
    struct journal_body_wanted *wanted;
    size_t count;
    uint32_t offset, len;            /* of a single one; len 0: whole bodies */
};

static result read_folded(struct local *e, struct id journal, bool only_cached, uint64_t *ret_folded, struct fault *fault)
{
    CLEANUP(buf_done) buf value = BUF_INIT;
    struct record_key key = record_key(journal, 0);
    struct head_row head = {0};
    result code = rocks_get(&e->rocks, FAMILY_RECORDS, record_key_view(&key), 0, HEAD_VALUE_BYTES, only_cached, &value, fault);
    if (code == OK && !head_row_parse(buf_view(&value), &head)) code = malformed(journal, 0, fault);
    if (code == OK || code == NOT_FOUND) *ret_folded = head.folded;
    return code == NOT_FOUND ? OK : code;
}

static result read_one(struct body_read *b, struct journal_body_wanted *w, uint64_t folded)
{
    struct local_read *r = &b->read;
    struct record_key key = record_key(b->journal, w->record.body_offset);
    size_t before = w->into->len, offset = b->len ? b->offset : 0, len = b->len ? b->len : w->record.body_bytes;
    if (len == 0) return OK;
    if (w->record.body_offset <= folded) return fail(r->fault, NOT_FOUND, "the record was folded into the head");
    result code = rocks_get(&r->engine->rocks, FAMILY_BODIES, record_key_view(&key), offset, len, r->only_cached, w->into, r->fault);
    if (code == NOT_FOUND) return fail(r->fault, NOT_FOUND, "no such body");
    if (code == OK && w->into->len - before != len) code = malformed(b->journal, w->record.body_offset, r->fault);
    if (code != OK) w->into->len = before;
    return code;
}

/* BUSY marks what is still to be read. */
static void run_bodies(struct local_read *r)
{
    struct body_read *b = container_of(r, struct body_read, read);
    uint64_t folded;
    r->code = read_folded(r->engine, b->journal, r->only_cached, &folded, r->fault);
    if (r->code != OK) return;
    for (size_t i = 0; i < b->count; i++) {
        struct journal_body_wanted *w = &b->wanted[i];
        if (w->code == BUSY) w->code = read_one(b, w, folded);
        if (w->code == BUSY) r->code = BUSY;
    }
}

result local_read_bodies(struct engine *base, struct id journal, struct journal_body_wanted *wanted, size_t count, millis deadline,
                         struct fault *fault)
{
    struct body_read b = {.read = {.engine = local_of(base), .deadline = deadline, .fault = fault, .run = run_bodies}, .journal = journal,
                          .wanted = wanted, .count = count};
    for (size_t i = 0; i < count; i++) wanted[i].code = BUSY;
    return local_read_run(&b.read);
}

result local_read_body(struct engine *base, struct id journal, const struct journal_record *record, uint32_t offset, uint32_t len,
                       millis deadline, buf *into, struct fault *fault)
{
    struct journal_body_wanted wanted = {.record = *record, .into = into, .code = BUSY};
    struct body_read b = {.read = {.engine = local_of(base), .deadline = deadline, .fault = fault, .run = run_bodies}, .journal = journal,
                          .wanted = &wanted, .count = 1, .offset = offset, .len = len};
    result code = local_read_run(&b.read);
    return code == OK ? wanted.code : code;
}

/* ---- changes ---------------------------------------------------------------------------------------------- */

result local_replace_head(struct engine *base, struct id journal, uint64_t epoch, const struct journal_position *folded, view head,
                          millis deadline, struct journal_position *ret_head_at, struct fault *fault)
{
    struct change c = {.kind = CHANGE_HEAD, .deadline = deadline, .fault = fault, .journal = journal, .at = *folded, .epoch = epoch, .head = head};
    result code = change_commit(local_of(base), &c);
    if (code == OK) *ret_head_at = c.at;
    return code;
}

result local_remove_journal(struct engine *base, struct id journal, millis deadline, struct fault *fault)
{
    struct change c = {.kind = CHANGE_REMOVE_JOURNAL, .deadline = deadline, .fault = fault, .journal = journal};
    return change_commit(local_of(base), &c);
}

/* ---- which journals there are ----------------------------------------------------------------------------- */

struct list_read {
    struct local_read read;
    const struct id *after;
    struct id *journals;
    size_t max, count;
};

static void run_list(struct local_read *r)
{
    struct list_read *l = container_of(r, struct list_read, read);
    struct rocks_walk w;
    struct record_key start = {{0}};
    uint64_t sequence;
    l->count = 0;
    if (l->after) start = record_key(*l->after, UINT64_MAX);
    rocks_walk_begin(&w, &r->engine->rocks, FAMILY_RECORDS, VIEW_EMPTY, true, r->only_cached);
    while (l->count < l->max && rocks_walk_seek(&w, record_key_view(&start)) &&
           record_key_parse(rocks_walk_key(&w), &l->journals[l->count], &sequence))
        start = record_key(l->journals[l->count++], UINT64_MAX);
    r->code = rocks_walk_result(&w, r->fault);
    rocks_walk_end(&w);
}

result local_list_journals(struct engine *base, const struct id *after, size_t max, millis deadline, struct id *journals, size_t *ret_count,
                           struct fault *fault)
{
    struct list_read l = {.read = {.engine = local_of(base), .deadline = deadline, .fault = fault, .run = run_list}, .after = after,
                          .journals = journals, .max = max};
    result code = local_read_run(&l.read);
    if (code == OK) *ret_count = l.count;
    return code;
}
