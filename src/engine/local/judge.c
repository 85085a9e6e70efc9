/*
 * Whether a change may be, by what the tables say and the block in the making adds to it; and its effects.
 */
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "engine/local/local_private.h"

static void join(struct change *c)
{
    *c->engine->members_end = c;
    c->engine->members_end = &c->next_member;
}

static const char *name_of(struct id journal, char text[static ID_TEXT_LEN + 1])
{
    id_text(journal, text);
    return text;
}

/* What adds bytes is refused when the disk is full; what frees some is not. */
static bool is_full(struct change *c)
{
    if (!atomic_load(&c->engine->is_full)) return false;
    c->code = fail(c->fault, UNAVAILABLE, "the disk of %s is full", c->engine->folder);
    fault_tell(c->fault, "The store is full");
    return true;
}

/* ---- what is known of a journal ---------------------------------------------------------------------------- */

/* Blind appends of this block to a journal that is not among the tails: their last sequence, and what they add. */
static void touch(struct local *e, struct id journal, uint64_t sequence, uint64_t bytes)
{
    struct tail *t = map_get(&e->touched, id_view(&journal));
    if (!t) {
        t = arena_new_struct(e->block_arena, struct tail);
        t->journal = journal;
        map_put(&e->touched, id_view(&t->journal), t);
    }
    t->last = sequence;
    t->offset = offset_add(t->offset, bytes);
}

/* From the tables and a position that somebody knows. CONFLICT: the position is not of this epoch, or not one of this journal. */
BLOCKS static result learn(struct local *e, struct id journal, struct journal_position known, struct tail **ret_tail, struct fault *fault)
{
    struct journal_end end;
    struct tail *pending = map_get(&e->touched, id_view(&journal));
    result code = journal_look(&e->rocks, journal, &end, fault);
    if (code != OK) return code;
    if (end.epoch != known.epoch || known.tail < end.folded || known.tail > end.last) return CONFLICT;
    struct tail t = {.journal = journal, .epoch = end.epoch, .folded = end.folded, .last = end.last, .offset = known.offset};
    if (end.last > known.tail) code = journal_measure(&e->rocks, journal, known, &t.offset, fault);
    if (code != OK) return code;
    if (pending) {
        t.last = pending->last;
        t.offset += pending->offset;
        map_remove(&e->touched, id_view(&journal));
    }
    *ret_tail = tails_put(&e->tails, &t);
    return OK;
}

/* No head and no record: there is no such journal. */
static bool is_nothing(const struct tail *t) { return t->epoch == 0 && t->last == 0; }

static bool is_at(const struct tail *t, const struct journal_position *p) { return t->epoch == p->epoch && t->last == p->tail; }

/* ---- appends ---------------------------------------------------------------------------------------------- */

static void add_record(struct local *e, const struct journal_append *a, uint64_t sequence, bool is_blind)
{
    struct record_key key = record_key(a->journal, sequence);
    struct record_row row = {.was_blind = is_blind, .body_bytes = (uint32_t)a->body.len, .meta = a->meta};
    record_row_write(log_block_put(&e->block, FAMILY_RECORDS, record_key_view(&key), RECORD_VALUE_BYTES + a->meta.len), &row);
    if (a->body.len) memcpy(log_block_put(&e->block, FAMILY_BODIES, record_key_view(&key), a->body.len), a->body.at, a->body.len);
}

static void tell_place(struct journal_append *a, struct tail *t, uint64_t sequence, uint64_t bytes)
{
    a->before = tail_position(t);
    t->last = sequence;
    t->offset = offset_add(t->offset, bytes);
    a->at = tail_position(t);
    a->before_known = true;
    a->body_offset = sequence;
    a->journal_bytes = offset_bytes(t->offset);
    a->journal_records = offset_records(t->offset);
}

BLOCKS static void judge_append(struct change *c)
{
    struct local *e = c->engine;
    struct journal_append *a = c->append;
    char text[ID_TEXT_LEN + 1];
    if (is_full(c)) return;
    check(committer_make_room(e, 2, 2 * RECORD_KEY_BYTES + RECORD_VALUE_BYTES + a->meta.len + a->body.len));
    struct tail *t = tails_get(&e->tails, a->journal);
    c->code = OK;
    if (!t && a->only_if_at) c->code = learn(e, a->journal, *a->only_if_at, &t, c->fault);
    if (c->code == OK && a->only_if_at && !is_at(t, a->only_if_at)) c->code = CONFLICT;
    if (c->code == CONFLICT) c->code = fail(c->fault, CONFLICT, "journal %s has moved on", name_of(a->journal, text));
    if (c->code != OK) return;
    uint64_t sequence = e->next_sequence++, bytes = a->meta.len + a->body.len;
    add_record(e, a, sequence, t == NULL);
    if (t) tell_place(a, t, sequence, bytes);
    else touch(e, a->journal, sequence, bytes);
    join(c);
}

/* ---- heads ------------------------------------------------------------------------------------------------ */

static void add_head(struct change *c, const struct tail *t)
{
    struct local *e = c->engine;
    struct record_key key = record_key(c->journal, 0);
    struct head_row row = {.epoch = c->epoch + 1, .folded = c->at.tail, .head = c->head};
    head_row_write(log_block_put(&e->block, FAMILY_RECORDS, record_key_view(&key), HEAD_VALUE_BYTES + c->head.len), &row);
    if (row.folded == t->folded) return;
    struct record_key from = record_key(c->journal, t->folded + 1), before = record_key(c->journal, row.folded + 1);
    log_block_remove_range(&e->block, FAMILY_RECORDS, record_key_view(&from), record_key_view(&before));
    log_block_remove_range(&e->block, FAMILY_BODIES, record_key_view(&from), record_key_view(&before));
}

BLOCKS static void judge_head(struct change *c)
{
    struct local *e = c->engine;
    char text[ID_TEXT_LEN + 1];
    check(committer_make_room(e, 3, 5 * RECORD_KEY_BYTES + HEAD_VALUE_BYTES + c->head.len));
    struct tail *t = tails_get(&e->tails, c->journal);
    c->code = t ? OK : learn(e, c->journal, c->at, &t, c->fault);
    if (c->code == OK && (is_nothing(t) || t->epoch != c->epoch || c->at.tail < t->folded || c->at.tail > t->last)) c->code = CONFLICT;
    if (c->code == CONFLICT) c->code = fail(c->fault, CONFLICT, "journal %s has another head", name_of(c->journal, text));
    if (c->code != OK) return;
    add_head(c, t);
    t->epoch++;
    t->offset -= c->at.offset;
    t->folded = c->at.tail;
    c->at = (struct journal_position){t->epoch, 0, t->folded};
    join(c);
}

/*
 * The last record first, so that what a crash leaves is a journal cut short; row by row, because readers are blind to removed ranges.
 * Committed at once: who comes next may ask the tables how the journal stands.
 */
BLOCKS static void judge_remove_journal(struct change *c)
{
    struct local *e = c->engine;
    struct record_key last = record_key(c->journal, UINT64_MAX);
    struct rocks_walk walk;
    c->code = committer_commit(e);
    if (c->code != OK) return;
    tails_forget(&e->tails, c->journal);
    rocks_walk_begin(&walk, &e->rocks, FAMILY_RECORDS, id_view(&c->journal), true, false);
    bool any = rocks_walk_seek_last(&walk, record_key_view(&last));
    for (; any && view_starts(rocks_walk_key(&walk), id_view(&c->journal)); any = rocks_walk_previous(&walk)) {
        if (!committer_has_room(e, 2, 2 * RECORD_KEY_BYTES)) c->code = committer_commit(e);
        if (c->code != OK) break;
        log_block_remove(&e->block, FAMILY_RECORDS, rocks_walk_key(&walk));
        log_block_remove(&e->block, FAMILY_BODIES, rocks_walk_key(&walk));
    }
    if (c->code == OK) c->code = rocks_walk_result(&walk, c->fault);
    else (void)fail(c->fault, c->code, "the journal was removed in part");
    rocks_walk_end(&walk);
    if (c->code == OK) join(c);
    if (c->code == OK) (void)committer_commit(e);
}

BLOCKS static void judge_learn(struct change *c)
{
    struct tail *t;
    if (!tails_get(&c->engine->tails, c->journal)) (void)learn(c->engine, c->journal, c->at, &t, NULL);
    c->code = OK;
}

/* ---- tables ----------------------------------------------------------------------------------------------- */

/* A row as the block leaves it. Views of the block, which does not move. */
struct pending_row {
    bool is_present;
    view key, value;
};

BLOCKS static result look_up(struct local *e, view key, struct pending_row *ret_row, buf *value, struct fault *fault)
{
    struct pending_row *pending = map_get(&e->table_rows, key);
    if (pending) {
        *ret_row = *pending;
        return OK;
    }
    buf_clear(value);
    result code = rocks_get(&e->rocks, FAMILY_TABLES, key, 0, SIZE_MAX, false, value, fault);
    if (code != OK && code != NOT_FOUND) return code;
    *ret_row = (struct pending_row){.is_present = code == OK, .value = buf_view(value)};
    return OK;
}

static bool holds(const struct table_change *t, const struct pending_row *now)
{
    switch (t->condition) {
    case TABLE_IF_ANY: return true;
    case TABLE_IF_ABSENT: return !now->is_present;
    case TABLE_IF_PRESENT: return now->is_present;
    case TABLE_IF_VALUE: return now->is_present && view_equal(now->value, t->expected);
    }
    unreachable();
}

/* All conditions are about what was there before the batch. */
BLOCKS static result check_conditions(struct change *c)
{
    CLEANUP(buf_done) buf value = BUF_INIT;
    struct pending_row now;
    struct table_key key;
    for (size_t i = 0; i < c->count; i++) {
        if (c->changes[i].condition == TABLE_IF_ANY) continue;
        table_key_make(&key, c->table, c->shard, c->changes[i].key);
        result code = look_up(c->engine, table_key_view(&key), &now, &value, c->fault);
        if (code != OK) return code;
        if (holds(&c->changes[i], &now)) continue;
        c->failed = i;
        return fail(c->fault, CONFLICT, "table " VIEW_FMT ": the row of change %zu is not as expected", VIEW_ARG(c->table), i);
    }
    return OK;
}

static void remember_row(struct local *e, struct pending_row row)
{
    struct pending_row *kept = map_get(&e->table_rows, row.key);
    if (!kept) {
        kept = arena_new_struct(e->block_arena, struct pending_row);
        kept->key = row.key;
        map_put(&e->table_rows, kept->key, kept);
    }
    kept->is_present = row.is_present;
    kept->value = row.value;
}

static void add_table_change(struct change *c, const struct table_change *t)
{
    struct log_block *b = &c->engine->block;
    struct table_key key;
    if (t->what == TABLE_CHECK_ONLY) return;
    table_key_make(&key, c->table, c->shard, t->key);
    view in_block = view_make(b->at + b->len + LOG_ENTRY_BYTES, key.len);
    if (t->what == TABLE_REMOVE) {
        log_block_remove(b, FAMILY_TABLES, table_key_view(&key));
        remember_row(c->engine, (struct pending_row){false, in_block, VIEW_EMPTY});
        return;
    }
    char *value = log_block_put(b, FAMILY_TABLES, table_key_view(&key), t->value.len);
    if (t->value.len) memcpy(value, t->value.at, t->value.len);
    remember_row(c->engine, (struct pending_row){true, in_block, view_make(value, t->value.len)});
}

static bool adds_bytes(const struct change *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->changes[i].what == TABLE_PUT) return true;
    return false;
}

BLOCKS static void judge_table(struct change *c)
{
    size_t bytes = 0;
    if (adds_bytes(c) && is_full(c)) return;
    for (size_t i = 0; i < c->count; i++)
        bytes += c->table.len + 5 + c->changes[i].key.len + (c->changes[i].what == TABLE_PUT ? c->changes[i].value.len : 0);
    if (!committer_make_room(c->engine, c->count, bytes)) {
        c->code = fail(c->fault, TOO_BIG, "a batch of %zu bytes for table " VIEW_FMT, bytes, VIEW_ARG(c->table));
        return;
    }
    c->code = check_conditions(c);
    if (c->code != OK) return;
    for (size_t i = 0; i < c->count; i++) add_table_change(c, &c->changes[i]);
    join(c);
}

/* ---- all -------------------------------------------------------------------------------------------------- */

/* Nothing is written meanwhile, so that all families are copied as of one moment. */
BLOCKS static void judge_checkpoint(struct change *c)
{
    struct local *e = c->engine;
    c->code = committer_commit(e);
    if (c->code != OK) return;
    put_be64((unsigned char *)log_block_put(&e->block, FAMILY_STATE, STATE_SEQUENCE_KEY, 8), e->next_sequence);
    c->code = committer_commit(e);
    if (c->code == OK) c->code = rocks_checkpoint(&e->rocks, c->copy_folder, c->fault);
}

void judge(struct change *c)
{
    switch (c->kind) {
    case CHANGE_APPEND: judge_append(c); return;
    case CHANGE_HEAD: judge_head(c); return;
    case CHANGE_REMOVE_JOURNAL: judge_remove_journal(c); return;
    case CHANGE_TABLE: judge_table(c); return;
    case CHANGE_LEARN: judge_learn(c); return;
    case CHANGE_CHECKPOINT: judge_checkpoint(c); return;
    }
}
