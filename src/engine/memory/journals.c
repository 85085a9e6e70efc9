/* Journals of a memory store. An offset counts the records of a journal from its beginning, over all epochs. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "engine/memory/store.h"

struct stored_journal *store_journal(struct memory_store *s, struct id journal)
{
    return map_get(&s->journals, id_view(&journal));
}

uint64_t store_journal_records(struct memory_store *s, struct id journal)
{
    const struct stored_journal *j = store_journal(s, journal);
    return j ? j->first + j->count : 0;
}

struct journal_position stored_position(const struct stored_journal *j, size_t records)
{
    uint64_t serial = records ? j->records[records - 1].serial : j->head_serial;
    return (struct journal_position){.epoch = j->epoch, .offset = j->first + records, .tail = serial};
}

bool stored_find(const struct stored_journal *j, const struct journal_position *from, size_t *ret_index)
{
    if (from->epoch != j->epoch || from->offset < j->first || from->offset - j->first > j->count) return false;
    size_t index = (size_t)(from->offset - j->first);
    struct journal_position there = stored_position(j, index);
    if (!journal_position_equal(&there, from)) return false;
    *ret_index = index;
    return true;
}

static void free_records(struct stored_record *records, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        buf_done(&records[i].meta);
        buf_done(&records[i].body);
    }
}

void stored_journal_free(struct stored_journal *j)
{
    free_records(j->records, j->count);
    free(j->records);
    buf_done(&j->head);
    free(j);
}

static struct stored_journal *journal_make(struct memory_store *s, struct id id)
{
    struct stored_journal *j = calloc(1, sizeof *j);
    check(j);
    j->id = id;
    map_put(&s->journals, id_view(&j->id), j);
    return j;
}

static bool condition_holds(const struct stored_journal *j, const struct journal_position *condition)
{
    struct journal_position end = j ? stored_position(j, j->count) : (struct journal_position){0};
    return journal_position_equal(&end, condition);
}

static void keep_history(struct memory_store *s, const struct change *c)
{
    if (!s->keeps_history) return;
    if (s->history_count == s->history_capacity) {
        s->history_capacity = s->history_capacity ? 2 * s->history_capacity : 64;
        s->history = realloc(s->history, s->history_capacity * sizeof *s->history);
        check(s->history);
    }
    buf meta = BUF_INIT;
    buf_append(&meta, buf_view(&c->other));
    s->history[s->history_count++] = (struct memory_history){c->journal, buf_view(&meta), (uint32_t)c->bytes.len};
}

void store_apply_append(struct memory_store *s, struct change *c)
{
    struct stored_journal *j = store_journal(s, c->journal);
    c->code = CONFLICT;
    if (c->is_conditional && !condition_holds(j, &c->condition)) return;
    if (!j) j = journal_make(s, c->journal);
    if (j->count == j->capacity) {
        j->capacity = j->capacity ? 2 * j->capacity : 8;
        j->records = realloc(j->records, j->capacity * sizeof *j->records);
        check(j->records);
    }
    keep_history(s, c);
    c->before = stored_position(j, j->count);
    j->records[j->count++] = (struct stored_record){++s->next_serial, c->other, c->bytes};
    j->bytes += c->other.len + c->bytes.len;
    c->other = c->bytes = BUF_INIT;
    c->at = stored_position(j, j->count);
    c->journal_bytes = j->bytes;
    c->journal_records = j->count;
    c->code = OK;
}

void store_apply_head(struct memory_store *s, struct change *c)
{
    struct stored_journal *j = store_journal(s, c->journal);
    size_t folded;
    c->code = CONFLICT;
    if (!j || j->epoch != c->epoch || !stored_find(j, &c->condition, &folded)) return;
    for (size_t i = 0; i < folded; i++) j->bytes -= j->records[i].meta.len + j->records[i].body.len;
    free_records(j->records, folded);
    memmove(j->records, j->records + folded, (j->count - folded) * sizeof *j->records);
    j->count -= folded;
    j->first += folded;
    j->epoch++;
    j->head_serial = ++s->next_serial;
    buf_done(&j->head);
    j->head = c->bytes;
    c->bytes = BUF_INIT;
    c->at = stored_position(j, 0);
    c->code = OK;
}

void store_apply_remove_journal(struct memory_store *s, struct change *c)
{
    struct stored_journal *j = map_remove(&s->journals, id_view(&c->journal));
    if (j) stored_journal_free(j);
    c->code = OK;
}
