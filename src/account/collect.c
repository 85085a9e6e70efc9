/*
 * What compaction clears away.
 *
 * An object that a new head does not refer to any more is noted in that head with the time, and removed by the first
 * compaction after the grace period: until then a reader that is behind finds it. What no head ever referred to (a node died
 * between writing an object and its head or record) is found by listing, about once a day per account, and told from
 * what is under way by the age that its name gives, and because clocks may be wrong, in other ways too: it is removed only when a head has
 * come to be after it was listed. That voids every compaction that was under way, so that no later head can refer to what it had written.
 * A message alone, whose record may still be under way, is removed only by a node whose clock was not set lately, and is looked for once more.
 * The same sweep rewrites packs of which more than half is dead; entries keep their numbers, so no row changes.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "account/compact.h"
#include "account/summary.h"
#include "base/check.h"
#include "base/hash.h"
#include "engine/pressure.h"
#include "runtime/clock.h"
#include "runtime/event.h"
#include "runtime/point.h"

enum {
    LIST_NAMES = 1000,
    REMOVALS_MAX = 10000,                    /* in a sweep */
    LOAD_KEYS = 32,
    REWRITE_BYTES_MAX = 64 << 20,            /* in a compaction */
    REWRITE_SECONDS_MAX = 60,                /* of it, by the pace: mail that came waits to be packed */
    SLOW_LOOK_MS = 500, SLOW_LOOKS_MAX = 20,
    PURGED_BYTES_DUE = 16 << 20,             /* rewriting is looked for when so much was purged since */
    PIECE_BYTES = 1 << 20,
    ARCHIVE_BYTES_MAX = 64 << 20,            /* moved in a compaction */
    ARCHIVE_STEP_MS = 10000,
    CLOCK_DRIFT_MAX_MS = 60000,
};
static const int64_t SWEEP_EVERY_MS = (int64_t)24 * 3600 * 1000, ORPHAN_AGE_MIN_MS = (int64_t)2 * 3600 * 1000;

/* ---- out of use since a while --------------------------------------------------------------------------- */

void collect_retired(struct compaction *c)
{
    struct account *a = c->account;
    int64_t before = clock_wall().ms - a->home->all->options.grace_ms;
    bool is_away = false;                    /* the archive: it is not waited for again and again */
    c->head.retired = arena_array(c->arena, struct retired, HEAD_RETIRED_MAX);
    for (size_t i = 0; i < a->head.retired_count; i++) {
        const struct retired *r = &a->head.retired[i];
        char name[SHORT_NAME_MAX], full[OBJECT_NAME_MAX];
        object_name_make(r->kind, r->id, name);
        millis deadline = r->kind == 'c' ? millis_min(c->deadline, clock_in(ARCHIVE_STEP_MS)) : c->deadline;
        bool is_removed = r->since.ms < before && !(r->kind == 'c' && is_away) &&
                          object_remove(a->home->all->engine, account_object_name(a->id, view_of(name), full), deadline, NULL) == OK;
        is_away |= r->kind == 'c' && r->since.ms < before && !is_removed;
        POINT("account.collect.removed");
        if (!is_removed && !c->is_lost) c->head.retired[c->head.retired_count++] = *r;
        if (c->is_lost) return;              /* another list stands in its place */
    }
}

static void note_one(struct compaction *c, view name)
{
    struct retired r = {.since = clock_wall()};
    if (c->head.retired_count < HEAD_RETIRED_MAX && object_name_parse(name, &r.kind, &r.id)) c->head.retired[c->head.retired_count++] = r;
}

/* The new directory is read as another node would: it also proves that it can be. */
result collect_note_retired(struct compaction *c, struct fault *fault)
{
    struct account *a = c->account;
    struct state *next;
    result code = state_snapshot_open(buf_view(&c->directory), &next, fault);
    if (code != OK) return code;
    view *names;
    struct map kept = MAP_INIT;
    size_t count = state_objects(next, c->arena, &names);
    for (size_t i = 0; i < count; i++) map_put(&kept, names[i], c);
    count = state_objects(a->state, c->arena, &names);
    for (size_t i = 0; i < count; i++)
        if (!map_get(&kept, names[i])) note_one(c, names[i]);
    if (!id_is_none(a->head.snapshot)) {
        char old[SHORT_NAME_MAX];
        object_name_make('s', a->head.snapshot, old);
        if (!map_get(&kept, view_of(old)) && !a->head.directory_is_inline) note_one(c, view_of(old));
    }
    map_done(&kept);
    state_free(next);
    return OK;
}

/* ---- what lives ----------------------------------------------------------------------------------------- */

/* The caller pins the account until it has looked. */
MAY_YIELD result account_load_all(struct account *a, millis deadline, struct fault *fault)
{
    struct block_key keys[LOAD_KEYS];
    check(a->pins > 0);
    for (size_t count; (count = state_needs_all(a->state, keys, LOAD_KEYS)) > 0;) {
        result code = account_load_blocks(a, keys, count, deadline, fault);
        if (code != OK) return code;
        if (coroutine_is_overdue()) coroutine_pause();
    }
    return OK;
}

MAY_YIELD result account_load_and_hold(struct account *a, millis deadline, struct fault *fault)
{
    struct block_key keys[LOAD_KEYS];
    result code = account_load_all(a, deadline, fault);
    if (code == OK) code = account_hold_still(a, deadline, fault);
    if (code != OK) return code;
    /* What came while we waited for the lock. */
    for (size_t count; code == OK && (count = state_needs_all(a->state, keys, LOAD_KEYS)) > 0;)
        code = account_load_blocks_locked(a, keys, count, deadline, fault);
    if (code != OK) account_hold_no_more(a);
    return code;
}

static void set_bit(unsigned char *bits, uint32_t bit) { bits[bit / 8] |= (unsigned char)(1 << bit % 8); }

static void note_alone(struct living *l, const struct row *row, bool is_young)
{
    char name[OBJECT_NAME_MAX];
    view v = account_alone_name(l->account->id, row->message, row->entry, name);
    struct living_alone *m = map_get(&l->alone, v);
    if (!m) {
        m = arena_new_struct(l->arena, struct living_alone);
        *m = (struct living_alone){.name = arena_keep(l->arena, v), .bytes = row->size_bytes};
        map_put(&l->alone, m->name, m);
    }
    m->is_young |= is_young;
}

static void note_row(void *argument, uint32_t mailbox, const struct row *row, bool is_expunged, unix_ms expunged)
{
    struct living *l = argument;
    struct body_place place;
    bool is_young = row->internal_date.ms >= l->before.ms;
    if (is_young && row->internal_date.ms < l->oldest_young.ms) l->oldest_young = row->internal_date;
    if (!state_body(l->account->state, row, &place)) return;
    if (place.kind == BODY_IN_PACK && place.pack < l->packs && l->entries[place.pack]) {
        if (place.entry >= state_pack(l->account->state, place.pack).entries) return;
        set_bit(l->entries[place.pack], place.entry);
        if (l->young && is_young) set_bit(l->young[place.pack], place.entry);
    } else if (place.kind == BODY_ALONE) {
        note_alone(l, row, is_young);
    } else if (place.kind == BODY_IN_JOURNAL && !is_young) {
        l->has_old_in_journal = true;
    }
}

static void begin_living(struct living *l)
{
    struct state *s = l->account->state;
    l->packs = state_packs(s);
    l->oldest_young = ARCHIVE_OLDEST_NONE;
    l->entries = arena_array(l->arena, unsigned char *, l->packs + 1);
    if (l->before.ms != 0) l->young = arena_array(l->arena, unsigned char *, l->packs + 1);
    for (uint32_t i = 0; i < l->packs; i++) {
        struct pack_slot p = state_pack(s, i);
        if (p.object.len == 0) continue;
        l->entries[i] = arena_array(l->arena, unsigned char, p.entries / 8 + 1);
        if (l->young) l->young[i] = arena_array(l->arena, unsigned char, p.entries / 8 + 1);
    }
    if (l->young) state_archive_look(s);
}

/* Of the state as it is at one moment. */
MAY_YIELD static result note_rows(struct compaction *c, struct living *l, struct fault *fault)
{
    struct account *a = l->account;
    a->pins++;
    result code = account_load_and_hold(a, c->deadline, fault);
    if (code == OK) {
        const struct state_turns turns = account_turns(a);
        begin_living(l);
        state_each_row(a->state, note_row, l, &turns);
        account_hold_no_more(a);
    }
    a->pins--;
    return code;
}

static bool is_living(const struct living *l, uint32_t slot, uint32_t entry)
{
    return living_has(l->entries, slot, entry);
}

/* ---- rewriting packs ------------------------------------------------------------------------------------ */

/* Bytes of one place, the pack itself (0) or an archived one. */
struct piece { uint32_t archive; uint64_t at; buf bytes; };

/* A pack that is written anew, entry by entry. */
struct rewriting {
    struct compaction *compaction;
    const struct living *living;
    uint32_t slot;
    const struct pack_slot *from;
    const struct pack_index *index;
    buf section;
    struct summary_sections sections;
    struct piece warm, cold;
    void *unzip;
    buf text;
    /* The entry that is at hand: */
    uint32_t entry;
    enum { ENTRY_STAYS, ENTRY_IS_ARCHIVED, ENTRY_GOES } what;
    struct id message;
    view stored;                             /* not of one that is archived */
};

/* What stands in the summary is taken over, or else the message is read. One that cannot be is left for verify to find, where it is. */
BLOCKS static void place_entry(void *argument)
{
    struct rewriting *r = argument;
    struct compaction *c = r->compaction;
    const struct pack_entry *e = &r->index->of[r->entry];
    struct pack_entry place;
    struct summary_kept kept;
    if (r->what == ENTRY_GOES && crc32c(0, r->stored) != e->crc && !e->archive) r->what = ENTRY_STAYS;
    if (r->what == ENTRY_GOES) {
        archiving_put(c, r->message, e, r->stored, &place);
        (void)pack_add_archived(&c->writer, &place);
        c->replacements[r->slot].names_new = true;
    } else if (r->what == ENTRY_IS_ARCHIVED) {
        (void)pack_add_archived(&c->writer, e);
    } else {
        (void)pack_add_stored(&c->writer, r->message, e, r->stored);
    }
    if (summary_sections_find(&r->sections, r->entry, &kept)) {
        pack_keep_summary(&c->writer, &kept);
    } else if (r->what != ENTRY_IS_ARCHIVED) {
        buf_clear(&r->text);
        if (pack_unpack(e, r->stored, r->unzip, &r->text, NULL) == OK) pack_add_summary(&c->writer, buf_view(&r->text));
    }
}

/* The entry's bytes: neighbours are read with it. */
MAY_YIELD static result read_entry(struct rewriting *r, const struct pack_entry *e, struct fault *fault)
{
    struct compaction *c = r->compaction;
    struct piece *p = e->archive ? &r->cold : &r->warm;
    uint64_t at = e->offset - PACK_ENTRY_HEADER_BYTES;
    size_t bytes = PACK_ENTRY_HEADER_BYTES + e->stored_bytes;
    char full[OBJECT_NAME_MAX];
    if (p->archive != e->archive || at < p->at || at + bytes > p->at + p->bytes.len) {
        buf_clear(&p->bytes);
        p->at = at;
        p->archive = e->archive;
        result code = e->archive ? archiving_read(c, e->archive, at, PIECE_BYTES, &p->bytes, fault)
                                 : object_read(c->account->home->all->engine, account_object_name(c->account->id, r->from->object, full), at, PIECE_BYTES,
                                               c->deadline, &p->bytes, fault);
        if (code == OK && p->bytes.len < bytes) code = fail(fault, CORRUPT, "pack " VIEW_FMT ": an entry ends too early", VIEW_ARG(r->from->object));
        if (code != OK) return code;
    }
    view here = view_slice(buf_view(&p->bytes), (size_t)(at - p->at), bytes);
    r->stored = view_from(here, PACK_ENTRY_HEADER_BYTES);
    return id_from_bytes(view_slice(here, 0, 16), &r->message) ? OK : fail(fault, CORRUPT, "an entry without an id");
}

MAY_YIELD static result copy_entry(struct rewriting *r, struct fault *fault)
{
    struct compaction *c = r->compaction;
    const struct pack_entry *e = &r->index->of[r->entry];
    result code = OK;
    r->what = archiving_takes(c, r->living, r->slot, r->entry, e) ? ENTRY_GOES : e->archive ? ENTRY_IS_ARCHIVED : ENTRY_STAYS;
    if (r->what != ENTRY_IS_ARCHIVED) code = read_entry(r, e, fault);
    if (code == OK && r->what == ENTRY_GOES) code = archiving_open(c, fault);
    if (code == OK) code = compaction_on_worker(c, place_entry, r, fault);
    if (code == OK && c->writer.out.len >= PIECE_BYTES) code = compaction_write_pack(c, fault);
    if (code == OK && r->what == ENTRY_GOES) code = archiving_flush(c, false, fault);
    return code;
}

MAY_YIELD static result copy_entries(struct rewriting *r, struct fault *fault)
{
    struct compaction *c = r->compaction;
    result code = OK;
    for (r->entry = 0; code == OK && r->entry < r->index->entries; r->entry++) {
        if (r->index->of[r->entry].method == PACK_ABSENT) {
            (void)pack_add_absent(&c->writer);
        } else if (!is_living(r->living, r->slot, r->entry)) {
            (void)pack_add_absent(&c->writer);
            c->replacements[r->slot].has_lost = true;
        } else {
            code = copy_entry(r, fault);
        }
        if (coroutine_is_overdue()) coroutine_pause();
    }
    return code;
}

MAY_YIELD static result read_sections(struct rewriting *r, struct fault *fault)
{
    struct compaction *c = r->compaction;
    char full[OBJECT_NAME_MAX];
    uint64_t offset = pack_index_offset(r->from->bytes, r->from->entries) - r->index->section_bytes;
    result code = OK;
    if (r->index->section_bytes)
        code = object_read(c->account->home->all->engine, account_object_name(c->account->id, r->from->object, full), offset, r->index->section_bytes, c->deadline,
                           &r->section, fault);
    if (code == OK) summary_sections_open(&r->sections, buf_view(&r->section), offset, r->from->entries);
    return code;
}

MAY_YIELD static result copy_pack(struct compaction *c, const struct living *l, uint32_t slot, const struct pack_slot *from, const struct pack_index *index,
                                  struct fault *fault)
{
    struct rewriting r = {.compaction = c, .living = l, .slot = slot, .from = from, .index = index, .unzip = pack_unzip_new()};
    result code = read_sections(&r, fault);
    if (code == OK) code = copy_entries(&r, fault);
    summary_sections_close(&r.sections);
    buf_done(&r.section);
    buf_done(&r.warm.bytes);
    buf_done(&r.cold.bytes);
    buf_done(&r.text);
    pack_unzip_free(r.unzip);
    return code;
}

MAY_YIELD static result rewrite_pack(struct compaction *c, const struct living *l, uint32_t slot, const struct pack_slot *from, const struct pack_index *index,
                                     struct fault *fault)
{
    struct new_pack *to = &c->replacements[slot];
    result code = compaction_open_pack(c, to->name, fault);
    if (code == OK) code = copy_pack(c, l, slot, from, index, fault);
    if (code == OK) {
        pack_end(&c->writer);
        to->entries = from->entries;
        to->bytes = pack_bytes(&c->writer);
        c->replaced[slot] = (struct pack_slot){.object = view_of(to->name), .entries = to->entries, .bytes = to->bytes};
        code = compaction_commit_pack(c, fault);
        if (code == OK && to->bytes < from->bytes && !to->names_new) metric_add(METRIC_RECLAIMED_BYTES, (int64_t)(from->bytes - to->bytes));
    }
    POINT("account.collect.pack_rewritten");
    return code;
}

static uint64_t living_bytes(const struct living *l, uint32_t slot, const struct pack_index *index)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < index->entries; i++)
        if (index->of[i].method != PACK_ABSENT && !index->of[i].archive && is_living(l, slot, i)) bytes += PACK_ENTRY_HEADER_BYTES + index->of[i].stored_bytes;
    return bytes;
}

result compaction_read_index(struct compaction *c, const struct pack_slot *p, struct pack_index **ret_index, struct fault *fault)
{
    buf tail CLEANUP(buf_done) = BUF_INIT;
    char full[OBJECT_NAME_MAX];
    uint64_t from = pack_index_offset(p->bytes, p->entries);
    struct account *a = c->account;
    result code = object_read(a->home->all->engine, account_object_name(a->id, p->object, full), from, p->bytes - from, c->deadline, &tail, fault);
    return code == OK ? pack_index_decode(buf_view(&tail), p->bytes, p->entries, ret_index, fault) : code;
}

bool compaction_keep_pace(struct compaction *c, uint64_t rate, uint64_t bytes, millis *next)
{
    for (unsigned looks = 0; engine_pressure(c->account->home->all->engine) != PRESSURE_NONE; looks++) {
        c->store_is_slow |= looks >= SLOW_LOOKS_MAX;
        if (c->store_is_slow || coroutine_sleep(SLOW_LOOK_MS) != OK) return !c->store_is_slow;
    }
    if (rate == 0) return true;
    millis now = clock_now(), from = millis_before(*next, now) ? now : *next;
    *next = millis_add(from, (int64_t)(bytes * 1000 / rate));
    if (from.ms > now.ms) (void)!coroutine_sleep(from.ms - now.ms);
    return true;
}

static uint64_t rewrite_bytes_max(const struct compaction *c)
{
    uint64_t rate = c->account->home->all->options.reclaim_bytes_per_second;
    return rate && rate < REWRITE_BYTES_MAX / REWRITE_SECONDS_MAX ? rate * REWRITE_SECONDS_MAX : REWRITE_BYTES_MAX;
}

/* A pack to be written without its dead. */
MAY_YIELD static bool may_rewrite(struct compaction *c, uint64_t bytes)
{
    struct home *h = c->account->home;
    uint64_t most = rewrite_bytes_max(c);      /* a pack that is larger counts as so much: it too comes to its turn */
    return compaction_keep_pace(c, h->all->options.reclaim_bytes_per_second, bytes < most ? bytes : most, &h->rewrite_next);
}

/* One of which more than half is dead, or that has something for the archive. */
MAY_YIELD static result look_at_pack(struct compaction *c, const struct living *l, uint32_t slot, uint64_t *written, struct fault *fault)
{
    struct pack_slot p = state_pack(c->account->state, slot);
    struct pack_index *index;
    if (p.object.len == 0) return OK;
    p.object = arena_keep(c->arena, p.object);
    result code = compaction_read_index(c, &p, &index, fault);
    if (code != OK) return code;
    uint64_t living = living_bytes(l, slot, index), data = pack_index_offset(p.bytes, p.entries) - PACK_HEADER_BYTES - index->section_bytes;
    bool archives = archiving_wants(c, slot) && !c->archiving.must_stop && c->archiving.moved_bytes < ARCHIVE_BYTES_MAX;
    bool is_dead = living < data / 2 && may_rewrite(c, living);
    if (is_dead || archives) {
        code = rewrite_pack(c, l, slot, &p, index, fault);
        *written += living;
    }
    free(index);
    if (code == OK || !c->archiving.has_failed) return code;
    /* Nothing more goes to the archive; what was is undone when all packs have been looked at. */
    compaction_abort_pack(c);
    c->replaced[slot] = (struct pack_slot){0};
    return OK;
}

MAY_YIELD static result rewrite_packs(struct compaction *c, struct living *l, struct fault *fault)
{
    uint64_t written = 0;
    c->replaced = calloc(l->packs + 1, sizeof *c->replaced);
    c->replacements = calloc(l->packs + 1, sizeof *c->replacements);
    check(c->replaced && c->replacements);
    c->replaced_count = l->packs;
    result code = archiving_survey(c, l, fault);
    for (uint32_t i = 0; code == OK && i < l->packs && written < rewrite_bytes_max(c) && !c->is_lost; i++) code = look_at_pack(c, l, i, &written, fault);
    if (code == OK && !c->is_lost) archiving_complete(c, l, fault);
    return code;
}

static bool entry_lives(const void *argument, uint32_t pack, uint32_t entry)
{
    const struct living *l = argument;
    return pack >= l->packs || !l->entries[pack] || is_living(l, pack, entry);
}

/* ---- the sweep ------------------------------------------------------------------------------------------ */

/* Which names of objects the current head or the state refer to, or will be removed in their time. */
static void note_names_in_use(struct compaction *c, struct arena *arena, struct map *used)
{
    struct account *a = c->account;
    view *names;
    char name[SHORT_NAME_MAX];
    size_t count = state_objects(a->state, arena, &names);
    for (size_t i = 0; i < count; i++) map_put(used, names[i], c);
    for (size_t i = 0; i < a->head.retired_count; i++) {
        object_name_make(a->head.retired[i].kind, a->head.retired[i].id, name);
        map_put(used, arena_keep(arena, view_of(name)), c);
    }
    for (size_t i = 0; i < c->archiving.list.count; i++) map_put(used, arena_keep(arena, c->archiving.list.packs[i].object), c);
    object_name_make('s', a->head.snapshot, name);
    map_put(used, arena_keep(arena, view_of(name)), c);
}

/* The wall clock in seconds at the end of "m-<id>-<8 hex digits>", a message, or "h-…", its summary. */
static bool alone_time(view name, unix_ms *ret_time)
{
    uint64_t seconds = 0;
    view digits = view_from(name, name.len - 8);
    if (name.len != 2 + ID_TEXT_LEN + 1 + 8 || (name.at[0] != 'm' && name.at[0] != 'h')) return false;
    for (size_t i = 0; i < digits.len; i++) {
        char d = digits.at[i];
        seconds = seconds * 16 + (unsigned)(ascii_is_digit(d) ? d - '0' : ascii_lower(d) - 'a' + 10);
    }
    ret_time->ms = (int64_t)seconds * 1000;
    return true;
}

/* A message alone is known by the name that it has outside the archive. */
static view without_cold(view name) { return engine_is_cold(name) ? view_from(name, ENGINE_COLD_BYTES) : name; }

static bool object_is_garbage(view short_name, view full_name, const struct map *used, const struct map *alone, unix_ms made_before)
{
    char kind;
    struct id id;
    unix_ms made;
    if (object_name_parse(short_name, &kind, &id)) return id_time(id).ms < made_before.ms && !map_get(used, short_name);
    char text[OBJECT_NAME_MAX];
    return alone_time(short_name, &made) && made.ms < made_before.ms && !map_get(alone, account_summarized_name(without_cold(full_name), text));
}

bool home_clock_is_steady(struct home *h, int64_t duration_ms)
{
    int64_t offset_ms = clock_wall().ms - clock_now().ms, drift_ms = offset_ms - h->wall_offset_ms;
    if (drift_ms > CLOCK_DRIFT_MAX_MS || drift_ms < -CLOCK_DRIFT_MAX_MS) {
        h->wall_offset_ms = offset_ms;
        h->wall_steady_since = clock_now();
    }
    return !millis_before(clock_now(), millis_add(h->wall_steady_since, duration_ms));
}

static int64_t orphan_age_ms(const struct account *a)
{
    int64_t grace_ms = a->home->all->options.grace_ms;
    return grace_ms > ORPHAN_AGE_MIN_MS ? grace_ms : ORPHAN_AGE_MIN_MS;
}

bool collect_is_stale(const struct account *a, view name)
{
    char kind;
    struct id id;
    unix_ms made, before = {clock_wall().ms - orphan_age_ms(a)};
    if (!object_name_parse(name, &kind, &id)) return alone_time(name, &made) && made.ms < before.ms;
    if (id_time(id).ms >= before.ms || id_equal(id, a->head.snapshot)) return false;
    for (size_t i = 0; i < a->head.retired_count; i++)
        if (id_equal(a->head.retired[i].id, id)) return false;
    return true;
}

MAY_YIELD static result find_garbage_in(struct compaction *c, view folder, const struct map *used, const struct living *l, unix_ms made_before, struct fault *fault)
{
    struct arena *page CLEANUP(arena_freep) = arena_new(NULL, 4 << 20);
    char after[ENGINE_NAME_MAX_BYTES + 1] = "";
    view *names;
    for (size_t count = LIST_NAMES; count == LIST_NAMES && c->garbage_count < REMOVALS_MAX && !c->is_lost;) {
        arena_reset(page);
        result code = object_list(c->account->home->all->engine, folder, view_of(after), LIST_NAMES, c->deadline, page, &names, &count, fault);
        if (code != OK) return code;
        for (size_t i = 0; i < count && c->garbage_count < REMOVALS_MAX; i++)
            if (object_is_garbage(view_from(names[i], folder.len), names[i], used, &l->alone, made_before)) c->garbage[c->garbage_count++] = arena_keep(c->arena, names[i]);
        if (count > 0) memcpy(after, names[count - 1].at, names[count - 1].len);
        if (count > 0) after[names[count - 1].len] = '\0';
    }
    return OK;
}

/* What is in an archive that is away waits for another sweep. */
MAY_YIELD static result find_garbage(struct compaction *c, const struct living *l, unix_ms made_before, struct fault *fault)
{
    struct account *a = c->account;
    struct map used CLEANUP(map_done) = MAP_INIT;
    struct fault ignored;
    char prefix[OBJECT_NAME_MAX];
    note_names_in_use(c, c->arena, &used);
    c->garbage = arena_array(c->arena, view, REMOVALS_MAX);
    result code = find_garbage_in(c, account_object_name(a->id, VIEW_EMPTY, prefix), &used, l, made_before, fault);
    if (code == OK && state_archive(a->state)->is_begun && engine_has_archive(a->home->all->engine))
        (void)!find_garbage_in(c, account_cold_folder(a->id, prefix), &used, l, made_before, &ignored);
    return code;
}

/* What rows refer to now. False when that cannot be told. */
MAY_YIELD static bool look_for_living(struct compaction *c, struct living *l)
{
    struct fault fault;
    return note_rows(c, l, &fault) == OK;
}

void collect_remove_garbage(struct compaction *c)
{
    struct account *a = c->account;
    if (c->garbage_count == 0) return;
    struct living l = {.account = a, .arena = arena_new(NULL, 256 << 20), .alone = MAP_INIT};
    struct map used CLEANUP(map_done) = MAP_INIT;
    size_t removed = 0, folder = ID_TEXT_LEN + 1;
    note_names_in_use(c, c->arena, &used);
    bool takes_alone = home_clock_is_steady(a->home, ORPHAN_AGE_MIN_MS) && look_for_living(c, &l);
    for (size_t i = 0; i < c->garbage_count; i++) {
        view name = c->garbage[i], plain = without_cold(name), short_name = view_from(plain, folder);
        char text[OBJECT_NAME_MAX];
        bool is_alone = short_name.at[0] == 'm' || short_name.at[0] == 'h';
        if (is_alone ? !takes_alone || map_get(&l.alone, account_summarized_name(plain, text)) : map_get(&used, short_name) != NULL) continue;
        removed += object_remove(a->home->all->engine, name, c->deadline, NULL) == OK;
    }
    if (removed > 0) EVENT_EMIT(ACCOUNT_SWEPT, EVENT_ID("account", a->id), EVENT_NUMBER("objects", removed));
    map_done(&l.alone);
    arena_free(l.arena);
}

result collect_sweep(struct compaction *c, struct fault *fault)
{
    struct account *a = c->account;
    unix_ms now = clock_wall();
    bool purged = a->wants_rewriting || c->head.purged_bytes >= PURGED_BYTES_DUE || c->head.purged_bytes > state_usage(a->state).bytes / 4;
    /* Or by a clock that was ahead. */
    bool archives = c->archiving.is_on;
    bool sweeps = a->wants_sweep || now.ms - c->head.swept.ms >= SWEEP_EVERY_MS || c->head.swept.ms - now.ms >= SWEEP_EVERY_MS;
    /* An account begins without garbage. */
    if (c->head.swept.ms == 0 && !a->wants_sweep) {
        c->head.swept = now;
        sweeps = purged = false;
    }
    if (purged || sweeps || archives) {
        struct living l = {.account = a, .arena = arena_new(NULL, 256 << 20), .alone = MAP_INIT, .before = c->archiving.before};
        int64_t age_ms = orphan_age_ms(a);
        result code = note_rows(c, &l, fault);
        if (code == OK && !c->is_lost) code = rewrite_packs(c, &l, fault);
        if (code == OK && !c->is_lost) code = indexing_drop_dead(c, entry_lives, &l, fault);
        if (code == OK && !c->is_lost && sweeps) code = find_garbage(c, &l, (unix_ms){now.ms - age_ms}, fault);
        map_done(&l.alone);
        arena_free(l.arena);
        if (!c->store_is_slow) c->head.purged_bytes = 0;
        if (sweeps) c->head.swept = now;
        a->wants_sweep = false;
        a->wants_rewriting = c->store_is_slow;
        return code;
    }
    return OK;
}
