#include "account/archive.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account/compact.h"
#include "base/check.h"
#include "runtime/clock.h"
#include "runtime/event.h"
#include "runtime/point.h"
#include "runtime/random.h"

enum {
    PACK_BYTES_FULL = 16 << 20,              /* of an archived pack; then the next one begins */
    SMALL_PACK_BYTES = 4 << 20, SMALL_PACKS_MAX = 8,   /* so many small ones become one */
    PIECE_BYTES = 1 << 20,
    MOVED_BYTES_MAX = 64 << 20,              /* alone, in a compaction */
    STEP_MS = 60000,                         /* one that hangs is given up */
    AGAIN_MS = 10 * 60000,                   /* after a failure */
    LATE_PART = 16,                          /* of the limit: so late a message may be, so that many go at once */
    LIST_NAMES = 1000,
    SUMMARIZED_BYTES_MAX = 32 << 20,         /* half of what may be in memory for it */
};
static const int64_t LATE_MAX_MS = (int64_t)7 * 24 * 3600 * 1000;

static struct engine *engine_of(const struct compaction *c) { return c->account->home->all->engine; }
static millis soon(const struct compaction *c) { return millis_min(c->deadline, clock_in(STEP_MS)); }

/* Told whatever the code: the archive is no reason to give up a compaction. */
static result note_failure(struct compaction *c, result code)
{
    if (code == OK) return OK;
    c->archiving.has_failed = true;
    metric_add(METRIC_ARCHIVE_FAILURES, 1);
    return code;
}

bool account_has_archive(const struct account *a) { return state_archive(a->state)->is_begun; }

bool account_wants_archiving(const struct account *a)
{
    const struct accounts *all = a->home->all;
    const struct archive_list *l = state_archive(a->state);
    int64_t limit_ms = a->archive_after_ms, late_ms = limit_ms / LATE_PART < LATE_MAX_MS ? limit_ms / LATE_PART : LATE_MAX_MS;
    struct usage usage = state_usage(a->state);
    if (limit_ms <= 0 || accounts_feature_level(all) < FEATURE_ARCHIVE || !engine_has_archive(all->engine)) return false;
    if (millis_before(clock_now(), a->archive_again) || usage.messages + usage.expunged_messages == 0) return false;
    return !l->knows_oldest || l->oldest.ms < clock_wall().ms - limit_ms - late_ms;
}

/* ---- beginning and ending ------------------------------------------------------------------------------- */

void archiving_begin(struct compaction *c)
{
    struct archiving *x = &c->archiving;
    archive_list_copy(&x->list, state_archive(c->account->state));
    x->is_on = account_wants_archiving(c->account);
    if (x->is_on) x->before.ms = clock_wall().ms - c->account->archive_after_ms;
}

static void free_survey(struct archiving *x)
{
    free(x->living);
    free(x->is_condemned);
    free(x->wants);
    x->living = NULL;
    x->is_condemned = x->wants = NULL;
    x->surveyed = 0;
}

MAY_YIELD void archiving_end(struct compaction *c)
{
    struct archiving *x = &c->archiving;
    if (x->object) object_abort(x->object);
    if (x->has_writer) pack_writer_done(&x->writer);
    free_survey(x);
    free(x->made);
    archive_list_done(&x->list);
}

void archiving_remove_objects(struct compaction *c, millis deadline)
{
    struct archiving *x = &c->archiving;
    char name[OBJECT_NAME_MAX];
    for (size_t i = 0; i < x->made_count; i++) (void)!object_remove(engine_of(c), account_object_name(c->account->id, view_of(x->made[i]), name), deadline, NULL);
}

void archiving_tell(const struct compaction *c)
{
    const struct archiving *x = &c->archiving;
    uint64_t messages = x->moved_messages + x->alone_messages, bytes = x->moved_bytes + x->alone_bytes;
    if (messages == 0) return;
    metric_add(METRIC_ARCHIVED_MESSAGES, (int64_t)messages);
    metric_add(METRIC_ARCHIVED_BYTES, (int64_t)bytes);
    EVENT_EMIT(ACCOUNT_ARCHIVED, EVENT_ID("account", c->account->id), EVENT_NUMBER("messages", messages), EVENT_NUMBER("bytes", bytes));
}

/* ---- what is to be moved -------------------------------------------------------------------------------- */

static size_t index_of(const struct archive_list *l, uint32_t number)
{
    for (size_t low = 0, high = l->count; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (l->packs[middle].number == number) return middle;
        if (l->packs[middle].number < number) low = middle + 1;
        else high = middle;
    }
    return SIZE_MAX;
}

static bool is_old(const struct archiving *x, const struct living *l, uint32_t slot, uint32_t entry)
{
    return x->is_on && l->before.ms != 0 && living_has(l->entries, slot, entry) && !living_has(l->young, slot, entry);
}

static void survey_pack(struct compaction *c, const struct living *l, uint32_t slot, const struct pack_index *index)
{
    struct archiving *x = &c->archiving;
    for (uint32_t i = 0; i < index->entries; i++) {
        const struct pack_entry *e = &index->of[i];
        if (e->method == PACK_ABSENT || !living_has(l->entries, slot, i)) continue;
        if (!e->archive) {
            x->wants[slot] |= is_old(x, l, slot, i);
            continue;
        }
        size_t at = index_of(&x->list, e->archive);
        x->list.packed_messages++;
        x->list.packed_bytes += e->bytes;
        if (at < x->surveyed) x->living[at] += PACK_ENTRY_HEADER_BYTES + e->stored_bytes;
    }
}

/* Half dead, or one of many that are small: what lives in them moves. */
static bool condemn(struct archiving *x)
{
    size_t small = 0, condemned = 0;
    for (size_t i = 0; i < x->surveyed; i++) small += x->list.packs[i].bytes < SMALL_PACK_BYTES;
    for (size_t i = 0; i < x->surveyed; i++) {
        uint64_t bytes = x->list.packs[i].bytes;
        x->is_condemned[i] = x->living[i] < bytes / 2 || (small > SMALL_PACKS_MAX && bytes < SMALL_PACK_BYTES);
        condemned += x->is_condemned[i];
    }
    return condemned > 0;
}

static void want_condemned(struct archiving *x, const struct living *l, uint32_t slot, const struct pack_index *index)
{
    for (uint32_t i = 0; i < index->entries && !x->wants[slot]; i++) {
        const struct pack_entry *e = &index->of[i];
        size_t at = e->archive ? index_of(&x->list, e->archive) : SIZE_MAX;
        x->wants[slot] = at < x->surveyed && x->is_condemned[at] && living_has(l->entries, slot, i);
    }
}

MAY_YIELD static result each_pack(struct compaction *c, const struct living *l, bool is_second, struct fault *fault)
{
    struct account *a = c->account;
    result code = OK;
    for (uint32_t i = 0; code == OK && i < l->packs && !c->is_lost; i++) {
        struct pack_slot p = state_pack(a->state, i);
        struct pack_index *index;
        if (p.object.len == 0) continue;
        p.object = arena_keep(c->arena, p.object);
        code = compaction_read_index(c, &p, &index, fault);
        if (code != OK) break;
        if (is_second) want_condemned(&c->archiving, l, i, index);
        else survey_pack(c, l, i, index);
        free(index);
        if (coroutine_is_overdue()) coroutine_pause();
    }
    return code;
}

result archiving_survey(struct compaction *c, const struct living *l, struct fault *fault)
{
    struct archiving *x = &c->archiving;
    if (!x->is_on && x->list.count == 0) return OK;
    x->surveyed = x->list.count;
    x->living = calloc(x->surveyed + 1, sizeof *x->living);
    x->is_condemned = calloc(x->surveyed + 1, sizeof *x->is_condemned);
    x->wants = calloc(l->packs + 1, sizeof *x->wants);
    check(x->living && x->is_condemned && x->wants);
    x->list.packed_messages = x->list.packed_bytes = 0;
    result code = each_pack(c, l, false, fault);
    if (code == OK && x->is_on && condemn(x)) code = each_pack(c, l, true, fault);
    return code;
}

bool archiving_wants(const struct compaction *c, uint32_t slot)
{
    const struct archiving *x = &c->archiving;
    return x->is_on && !x->has_failed && x->wants && x->wants[slot];
}

bool archiving_takes(const struct compaction *c, const struct living *l, uint32_t slot, uint32_t entry, const struct pack_entry *e)
{
    const struct archiving *x = &c->archiving;
    if (!archiving_wants(c, slot) || x->must_stop) return false;
    if (!e->archive) return is_old(x, l, slot, entry);
    size_t at = index_of(&x->list, e->archive);
    return at < x->surveyed && x->is_condemned[at];
}

/* ---- archived packs ------------------------------------------------------------------------------------- */

result archiving_open(struct compaction *c, struct fault *fault)
{
    struct archiving *x = &c->archiving;
    char full[OBJECT_NAME_MAX];
    if (x->has_writer) return OK;
    if (x->list.next_number > ARCHIVE_NUMBER_MAX) return note_failure(c, fail(fault, TOO_BIG, "no number is left for an archived pack"));
    if (x->made_count == x->made_capacity) {
        x->made_capacity = x->made_capacity ? 2 * x->made_capacity : 8;
        x->made = realloc(x->made, x->made_capacity * sizeof *x->made);
        check(x->made);
    }
    char *name = x->made[x->made_count];
    object_name_make('c', random_id(), name);
    result code = object_create(engine_of(c), account_object_name(c->account->id, view_of(name), full), soon(c), &x->object, fault);
    if (code != OK) return note_failure(c, code);
    x->number = archive_list_add(&x->list, view_of(name));
    x->made_count++;
    x->has_changed = true;
    pack_writer_init(&x->writer);
    x->has_writer = true;
    return OK;
}

void archiving_put(struct compaction *c, struct id message, const struct pack_entry *e, view stored, struct pack_entry *ret_place)
{
    struct archiving *x = &c->archiving;
    *ret_place = *e;
    ret_place->archive = x->number;
    ret_place->offset = (uint32_t)pack_next_offset(&x->writer);
    (void)pack_add_stored(&x->writer, message, e, stored);
    if (e->archive) return;
    x->moved_messages++;
    x->moved_bytes += e->stored_bytes;
    x->list.packed_messages++;
    x->list.packed_bytes += e->bytes;
}

MAY_YIELD static void keep_pace(struct compaction *c, uint64_t bytes)
{
    struct home *h = c->account->home;
    c->archiving.must_stop |= !compaction_keep_pace(c, h->all->options.archive_bytes_per_second, bytes, &h->archive_next);
}

MAY_YIELD static result write_out(struct compaction *c, struct fault *fault)
{
    struct archiving *x = &c->archiving;
    uint64_t bytes = x->writer.out.len;
    result code = object_write(x->object, buf_view(&x->writer.out), soon(c), fault);
    c->written_bytes += bytes;
    pack_writer_took(&x->writer);
    keep_pace(c, bytes);
    return note_failure(c, code);
}

MAY_YIELD static result commit_pack(struct compaction *c, struct fault *fault)
{
    struct archiving *x = &c->archiving;
    pack_end(&x->writer);
    x->list.packs[x->list.count - 1].bytes = pack_bytes(&x->writer);
    result code = write_out(c, fault);
    struct object_writer *object = x->object;
    x->object = NULL;
    pack_writer_done(&x->writer);
    x->has_writer = false;
    POINT("account.archive.before_commit");
    if (code == OK) code = note_failure(c, object_commit(object, soon(c), fault));
    else object_abort(object);
    POINT("account.archive.committed");
    return code;
}

result archiving_flush(struct compaction *c, bool is_last, struct fault *fault)
{
    struct archiving *x = &c->archiving;
    if (!x->has_writer) return OK;
    if (is_last || pack_bytes(&x->writer) >= PACK_BYTES_FULL || x->writer.entries >= PACK_ENTRIES_MAX) return commit_pack(c, fault);
    return x->writer.out.len >= PIECE_BYTES ? write_out(c, fault) : OK;
}

result archiving_read(struct compaction *c, uint32_t number, uint64_t offset, size_t bytes, buf *into, struct fault *fault)
{
    char name[OBJECT_NAME_MAX];
    view object = archive_list_find(&c->archiving.list, number);
    if (object.len == 0) return note_failure(c, fail(fault, CORRUPT, "archived pack %u is not listed", number));
    metric_add(METRIC_ARCHIVE_READS, 1);
    return note_failure(c, object_read(engine_of(c), account_object_name(c->account->id, object, name), offset, bytes, soon(c), into, fault));
}

/* ---- messages that are objects of their own ------------------------------------------------------------- */

/* Names of those that are not in the archive yet, or not only there. */
MAY_YIELD static result list_warm(struct compaction *c, struct map *warm, struct fault *fault)
{
    struct arena *page CLEANUP(arena_freep) = arena_new(NULL, 4 << 20);
    char prefix[OBJECT_NAME_MAX], after[ENGINE_NAME_MAX_BYTES + 1] = "";
    view folder = account_object_name(c->account->id, VIEW("m-"), prefix), *names;
    for (size_t count = LIST_NAMES; count == LIST_NAMES;) {
        arena_reset(page);
        result code = object_list(engine_of(c), folder, view_of(after), LIST_NAMES, c->deadline, page, &names, &count, fault);
        if (code != OK) return code;
        for (size_t i = 0; i < count; i++) map_put(warm, arena_keep(c->arena, names[i]), c);
        if (count > 0) snprintf(after, sizeof after, VIEW_FMT, VIEW_ARG(names[count - 1]));
    }
    return OK;
}

struct summarizing { view message; struct pack_writer writer; };

BLOCKS static void summarize(void *argument)
{
    struct summarizing *s = argument;
    pack_writer_init(&s->writer);
    (void)pack_add_absent(&s->writer);
    pack_add_summary(&s->writer, s->message);
    pack_end(&s->writer);
}

/* So that lists need not ask the archive. One that is too large to be read as a whole goes without. */
MAY_YIELD static result write_summary(struct compaction *c, const struct living_alone *m, struct fault *fault)
{
    struct home *h = c->account->home;
    buf message CLEANUP(buf_done) = BUF_INIT;
    struct summarizing s = {0};
    char text[OBJECT_NAME_MAX];
    if (m->bytes > SUMMARIZED_BYTES_MAX) return OK;
    if (budget_take(&h->whole, m->bytes, c->deadline) != OK) return fail(fault, BUSY, "no memory for a large message");
    result code = object_read(engine_of(c), m->name, 0, m->bytes, c->deadline, &message, fault);
    s.message = buf_view(&message);
    if (code == OK) code = compaction_on_worker(c, summarize, &s, fault);
    if (code == OK) {
        code = object_put(engine_of(c), account_summary_name(m->name, text), buf_view(&s.writer.out), c->deadline, fault);
        pack_writer_done(&s.writer);
    }
    budget_give(&h->whole, m->bytes);
    return code == EXISTS || code == NOT_FOUND ? OK : code;
}

/* In the archive and durable, then gone from where it was. What is there already was written by somebody who died between the two. */
MAY_YIELD static result move_alone(struct compaction *c, const struct living_alone *m, struct fault *fault)
{
    struct engine *e = engine_of(c);
    char text[OBJECT_NAME_MAX];
    view cold = account_cold_name(m->name, text);
    uint64_t bytes = 0;
    result code = write_summary(c, m, fault);
    if (code == OK) code = object_copy(e, m->name, cold, soon(c), fault);
    POINT("account.archive.alone_copied");
    if (code == OK || code == EXISTS || code == NOT_FOUND) code = object_size(e, cold, soon(c), &bytes, fault);
    if (code == OK && bytes != m->bytes) code = fail(fault, CORRUPT, VIEW_FMT " has %" PRIu64 " bytes instead of %u", VIEW_ARG(cold), bytes, m->bytes);
    if (code != OK) return code;
    code = object_remove(e, m->name, c->deadline, fault);
    POINT("account.archive.alone_removed");
    return code;
}

MAY_YIELD static result move_all_alone(struct compaction *c, struct living *l, bool may_move, struct fault *fault)
{
    struct archiving *x = &c->archiving;
    struct map warm CLEANUP(map_done) = MAP_INIT;
    size_t at = 0;
    result code = list_warm(c, &warm, fault);
    x->list.alone_messages = x->list.alone_bytes = 0;
    for (struct map_slot *slot; code == OK && !c->is_lost && (slot = map_next(&l->alone, &at));) {
        const struct living_alone *m = slot->value;
        if (map_get(&warm, m->name) && m->is_young) continue;
        if (map_get(&warm, m->name)) {
            if (!may_move || x->must_stop || x->moved_bytes + x->alone_bytes >= MOVED_BYTES_MAX) {
                x->has_rest = true;
                continue;
            }
            code = note_failure(c, move_alone(c, m, fault));
            if (code != OK) break;
            x->alone_messages++;
            x->alone_bytes += m->bytes;
            keep_pace(c, m->bytes);
        }
        x->list.alone_messages++;
        x->list.alone_bytes += m->bytes;
    }
    return code;
}

/* ---- all of it ------------------------------------------------------------------------------------------ */

/* Packs that were rewritten to name an archived pack which is not there stay as they were. */
MAY_YIELD static void undo(struct compaction *c)
{
    struct archiving *x = &c->archiving;
    char name[OBJECT_NAME_MAX];
    for (size_t i = 0; i < c->replaced_count; i++) {
        if (!c->replacements[i].names_new || c->replaced[i].object.len == 0) continue;
        (void)!object_remove(engine_of(c), account_object_name(c->account->id, c->replaced[i].object, name), c->deadline, NULL);
        c->replaced[i] = (struct pack_slot){0};
        c->replacements[i].has_lost = false;
    }
    if (x->object) object_abort(x->object);
    x->object = NULL;
    if (x->has_writer) pack_writer_done(&x->writer);
    x->has_writer = false;
    archiving_remove_objects(c, soon(c));
    x->made_count = 0;
    archive_list_done(&x->list);
    archive_list_copy(&x->list, state_archive(c->account->state));
    x->has_changed = x->is_on = false;
    x->moved_messages = x->moved_bytes = 0;
}

/* Those in which nothing lives any more. */
static void drop_dead(struct archiving *x)
{
    for (size_t i = x->surveyed; i > 0; i--) {
        if (x->living[i - 1] > 0 && (!x->is_condemned[i - 1] || x->has_rest)) continue;
        archive_list_remove(&x->list, i - 1);
        x->has_changed = true;
    }
}

static void tell_failure(struct compaction *c, result code, const struct fault *fault)
{
    c->account->archive_again = clock_in(AGAIN_MS);
    EVENT_EMIT(ACCOUNT_NOT_ARCHIVED, EVENT_ID("account", c->account->id), EVENT_TEXT("result", view_of(result_name(code))), EVENT_FAULT(fault));
}

void archiving_complete(struct compaction *c, struct living *l, struct fault *fault)
{
    struct archiving *x = &c->archiving;
    struct fault here = {0};
    bool was_begun = state_archive(c->account->state)->is_begun;
    result code = x->has_failed ? UNAVAILABLE : archiving_flush(c, true, &here);
    if (x->has_failed) {
        tell_failure(c, code, code == UNAVAILABLE && fault && fault->detail[0] ? fault : &here);
        undo(c);
        return;
    }
    for (uint32_t i = 0; x->is_on && i < l->packs; i++) x->has_rest |= x->wants[i] && (i >= c->replaced_count || c->replaced[i].object.len == 0);
    x->has_rest |= x->must_stop || l->has_old_in_journal;
    drop_dead(x);
    if (!x->is_on) return;
    code = move_all_alone(c, l, was_begun, &here);
    if (code != OK) {
        x->has_rest = true;
        tell_failure(c, code, &here);
    }
    x->list.is_begun = x->list.knows_oldest = x->has_changed = true;
    x->list.oldest = x->has_rest ? ARCHIVE_OLDEST_NOW : l->oldest_young;
}
