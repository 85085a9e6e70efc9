/* The memory engine's journals. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "engine/memory/memory_private.h"

static struct change *journal_change(enum memory_operation operation, struct id journal)
{
    struct change *c = change_new(operation);
    c->journal = journal;
    return c;
}

/* ---- append -------------------------------------------------------------------------------------------- */

static void tell_append(struct operation *o)
{
    struct journal_append *a = o->append;
    struct change *c = o->change;
    a->code = o->code;
    if (a->code == OK) {
        a->before_known = a->only_if_at || !o->engine->store->faults.blind_appends_tell_nothing;
        if (a->before_known) {
            a->at = c->at;
            a->before = c->before;
            a->body_offset = c->before.offset;
            a->journal_bytes = c->journal_bytes;
            a->journal_records = c->journal_records;
        }
    } else if (a->code == CONFLICT) {
        (void)!fail(a->fault, CONFLICT, "the journal has moved on");
    }
    o->append_done(a, o->argument);
    operation_free(o);
}

void memory_append_start(struct engine *e, struct journal_append *a, millis deadline,
                         void (*done)(struct journal_append *a, void *argument), void *argument)
{
    struct change *c = journal_change(MEMORY_APPEND, a->journal);
    buf_append(&c->other, a->meta);
    buf_append(&c->bytes, a->body);
    c->is_conditional = a->only_if_at != NULL;
    if (a->only_if_at) c->condition = *a->only_if_at;
    struct operation with = {.argument = argument, .append = a, .append_done = done};
    operation_start(memory_of(e), c, deadline, a->fault, tell_append, &with);
}

/* ---- read ---------------------------------------------------------------------------------------------- */

static void copy_page(struct memory_engine *e, const struct stored_journal *j, const struct journal_position *from, struct arena *arena,
                      struct journal_page *page)
{
    size_t first = 0, bytes = 0, limit = e->store->faults.page_records_max ? e->store->faults.page_records_max : ENGINE_PAGE_RECORDS;
    if (!from || !stored_find(j, from, &first)) {
        first = 0;
        page->has_head = true;
        page->head = arena_keep(arena, buf_view(&j->head));
        page->head_at = stored_position(j, 0);
    }
    size_t end = first;
    while (end < j->count && end - first < limit && (end == first || bytes + j->records[end].meta.len <= ENGINE_PAGE_BYTES)) bytes += j->records[end++].meta.len;
    page->count = end - first;
    page->records = arena_array(arena, struct journal_record, page->count + 1);
    for (size_t i = first; i < end; i++)
        page->records[i - first] = (struct journal_record){
            .at = stored_position(j, i + 1),
            .meta = arena_keep(arena, buf_view(&j->records[i].meta)),
            .body_offset = j->first + i,
            .body_bytes = (uint32_t)j->records[i].body.len,
        };
    page->end = stored_position(j, end);
    page->more = end < j->count;
    page->journal_bytes = j->bytes;
}

result memory_read(struct engine *base, struct id journal, const struct journal_position *from, millis deadline, struct arena *arena,
                   struct journal_page *ret_page, struct fault *fault)
{
    colour_pretend_coroutine();
    struct memory_engine *e = memory_of(base);
    struct journal_page page = {0};
    result code = memory_read_begin(e, MEMORY_READ, id_view(&journal), deadline, fault);
    if (code != OK) return code;
    const struct stored_journal *j = store_journal(e->store, journal);
    if (j) copy_page(e, j, from, arena, &page);
    else code = fail(fault, NOT_FOUND, "no such journal");
    code = memory_read_end(e, code, fault);
    if (code == OK) *ret_page = page;
    return code;
}

/* NULL when the head has swallowed the record. */
static const struct stored_record *find_record(const struct memory_engine *e, struct id journal, const struct journal_record *record)
{
    const struct stored_journal *j = store_journal(e->store, journal);
    if (!j || record->body_offset < j->first || record->body_offset - j->first >= j->count) return NULL;
    const struct stored_record *found = &j->records[record->body_offset - j->first];
    return found->serial == record->at.tail ? found : NULL;
}

result memory_read_body(struct engine *base, struct id journal, const struct journal_record *record, uint32_t offset, uint32_t len,
                        millis deadline, buf *into, struct fault *fault)
{
    colour_pretend_coroutine();
    struct memory_engine *e = memory_of(base);
    result code = memory_read_begin(e, MEMORY_READ_BODY, id_view(&journal), deadline, fault);
    if (code != OK) return code;
    const struct stored_record *found = find_record(e, journal, record);
    if (found) buf_append(into, view_slice(buf_view(&found->body), offset, len));
    store_unlock(e->store);
    return found ? OK : fail(fault, NOT_FOUND, "the record is no longer in the journal");
}

result memory_read_bodies(struct engine *base, struct id journal, struct journal_body_wanted *wanted, size_t count, millis deadline,
                          struct fault *fault)
{
    colour_pretend_coroutine();
    struct memory_engine *e = memory_of(base);
    result code = memory_read_begin(e, MEMORY_READ_BODY, id_view(&journal), deadline, fault);
    if (code != OK) return code;
    for (size_t i = 0; i < count; i++) {
        const struct stored_record *found = find_record(e, journal, &wanted[i].record);
        wanted[i].code = found ? OK : NOT_FOUND;
        if (found) buf_append(wanted[i].into, buf_view(&found->body));
    }
    store_unlock(e->store);
    return OK;
}

/* ---- the rest ------------------------------------------------------------------------------------------ */

result memory_replace_head(struct engine *e, struct id journal, uint64_t epoch, const struct journal_position *folded, view head,
                           millis deadline, struct journal_position *ret_head_at, struct fault *fault)
{
    colour_pretend_coroutine();
    struct change *c = journal_change(MEMORY_HEAD, journal);
    c->epoch = epoch;
    c->condition = *folded;
    buf_append(&c->bytes, head);
    result code = memory_change(memory_of(e), c, deadline, &c, fault);
    if (code == CONFLICT) (void)!fail(fault, CONFLICT, "the head is another one by now");
    if (code != OK && code != CONFLICT) return code;
    if (code == OK) *ret_head_at = c->at;
    change_free(c);
    return code;
}

result memory_remove_journal(struct engine *e, struct id journal, millis deadline, struct fault *fault)
{
    colour_pretend_coroutine();
    return memory_change(memory_of(e), journal_change(MEMORY_REMOVE_JOURNAL, journal), deadline, NULL, fault);
}

static int compare_ids(const void *a, const void *b) { return id_compare(*(const struct id *)a, *(const struct id *)b); }

result memory_list_journals(struct engine *base, const struct id *after, size_t max, millis deadline, struct id *journals,
                            size_t *ret_count, struct fault *fault)
{
    colour_pretend_coroutine();
    struct memory_engine *e = memory_of(base);
    result code = memory_read_begin(e, MEMORY_LIST_JOURNALS, VIEW_EMPTY, deadline, fault);
    if (code != OK) return code;
    struct map_slot *slot;
    size_t count = 0;
    struct id *all = calloc(e->store->journals.count + 1, sizeof *all);
    check(all);
    for (size_t at = 0; (slot = map_next(&e->store->journals, &at));) {
        struct id id = ((struct stored_journal *)slot->value)->id;
        if (!after || id_compare(id, *after) > 0) all[count++] = id;
    }
    store_unlock(e->store);
    qsort(all, count, sizeof *all, compare_ids);
    if (count > max) count = max;
    if (count) memcpy(journals, all, count * sizeof *all);
    free(all);
    *ret_count = count;
    return OK;
}
