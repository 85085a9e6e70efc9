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
#include "base/check.h"
#include "runtime/clock.h"
#include "runtime/event.h"
#include "runtime/point.h"

enum {
    LIST_NAMES = 1000,
    REMOVALS_MAX = 10000,                    /* in a sweep */
    LOAD_KEYS = 32,
    REWRITE_BYTES_MAX = 64 << 20,            /* in a compaction: at a pace that the disks stand */
    PURGED_BYTES_DUE = 16 << 20,             /* rewriting is looked for when so much was purged since */
    PIECE_BYTES = 1 << 20,
    CLOCK_DRIFT_MAX_MS = 60000,
};
static const int64_t SWEEP_EVERY_MS = (int64_t)24 * 3600 * 1000, ORPHAN_AGE_MIN_MS = (int64_t)2 * 3600 * 1000;

/* ---- out of use since a while --------------------------------------------------------------------------- */

void collect_retired(struct compaction *c)
{
    struct account *a = c->account;
    int64_t before = clock_wall().ms - a->home->all->options.grace_ms;
    c->head.retired = arena_array(c->arena, struct retired, HEAD_RETIRED_MAX);
    for (size_t i = 0; i < a->head.retired_count; i++) {
        const struct retired *r = &a->head.retired[i];
        char name[SHORT_NAME_MAX], full[OBJECT_NAME_MAX];
        object_name_make(r->kind, r->id, name);
        bool is_removed = r->since.ms < before &&
                          object_remove(a->home->all->engine, account_object_name(a->id, view_of(name), full), c->deadline, NULL) == OK;
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

/* What rows refer to: a bit for each entry of each pack, and the names of messages alone. */
struct living {
    struct account *account;
    struct arena *arena;
    size_t packs;
    unsigned char **entries;                 /* by slot */
    struct map alone;                        /* names "m-…" */
};

static void note_row(void *argument, uint32_t mailbox, const struct row *row, bool is_expunged, unix_ms expunged)
{
    struct living *l = argument;
    struct body_place place;
    if (!state_body(l->account->state, row, &place)) return;
    if (place.kind == BODY_IN_PACK && place.pack < l->packs && l->entries[place.pack]) {
        if (place.entry < state_pack(l->account->state, place.pack).entries) l->entries[place.pack][place.entry / 8] |= (unsigned char)(1 << place.entry % 8);
    } else if (place.kind == BODY_ALONE) {
        char name[OBJECT_NAME_MAX];
        view v = account_alone_name(l->account->id, row->message, row->entry, name);
        if (!map_get(&l->alone, v)) map_put(&l->alone, arena_keep(l->arena, v), l);
    }
}

static void note_rows(struct living *l)
{
    struct state *s = l->account->state;
    l->packs = state_packs(s);
    l->entries = arena_array(l->arena, unsigned char *, l->packs + 1);
    for (uint32_t i = 0; i < l->packs; i++) {
        struct pack_slot p = state_pack(s, i);
        if (p.object.len > 0) l->entries[i] = arena_array(l->arena, unsigned char, p.entries / 8 + 1);
    }
    state_each_row(s, note_row, l);
}

static bool is_living(const struct living *l, uint32_t slot, uint32_t entry)
{
    return l->entries[slot][entry / 8] & 1 << entry % 8;
}

/* ---- rewriting packs ------------------------------------------------------------------------------------ */

struct moved_entry {
    struct pack_writer *writer;
    struct id message;
    const struct pack_entry *entry;
    view stored;
    void *unzip;
    buf text;
};

/* The bytes go over as they are; for its summary the message is read. One that cannot be is left for verify to find. */
BLOCKS static void move_entry(void *argument)
{
    struct moved_entry *m = argument;
    (void)pack_add_stored(m->writer, m->message, m->entry, m->stored);
    buf_clear(&m->text);
    if (pack_unpack(m->entry, m->stored, m->unzip, &m->text, NULL) == OK) pack_add_summary(m->writer, buf_view(&m->text));
}

MAY_YIELD static result copy_entries(struct compaction *c, const struct living *l, uint32_t slot, const struct pack_slot *from, const struct pack_index *index,
                                     struct fault *fault)
{
    struct account *a = c->account;
    buf piece CLEANUP(buf_done) = BUF_INIT;
    char full[OBJECT_NAME_MAX];
    uint64_t piece_at = 0;
    result code = OK;
    struct moved_entry moved = {.writer = &c->writer, .unzip = pack_unzip_new()};
    for (uint32_t i = 0; code == OK && i < index->entries; i++) {
        const struct pack_entry *e = &index->of[i];
        if (e->method == PACK_ABSENT || !is_living(l, slot, i)) {
            (void)pack_add_absent(&c->writer);
            continue;
        }
        uint64_t at = e->offset - PACK_ENTRY_HEADER_BYTES;
        size_t bytes = PACK_ENTRY_HEADER_BYTES + e->stored_bytes;
        if (at < piece_at || at + bytes > piece_at + piece.len) {
            buf_clear(&piece);
            piece_at = at;
            code = object_read(a->home->all->engine, account_object_name(a->id, from->object, full), at, PIECE_BYTES, c->deadline, &piece, fault);
            if (code == OK && piece.len < bytes) code = fail(fault, CORRUPT, "pack %s ends too early", full);
            if (code != OK) break;
        }
        view here = view_slice(buf_view(&piece), (size_t)(at - piece_at), bytes);
        if (!id_from_bytes(view_slice(here, 0, 16), &moved.message)) break;
        moved.entry = e;
        moved.stored = view_from(here, PACK_ENTRY_HEADER_BYTES);
        code = compaction_on_worker(c, move_entry, &moved, fault);
        if (code == OK && c->writer.out.len >= PIECE_BYTES) code = compaction_write_pack(c, fault);
        if (coroutine_is_overdue()) coroutine_pause();
    }
    pack_unzip_free(moved.unzip);
    buf_done(&moved.text);
    return code;
}

MAY_YIELD static result rewrite_pack(struct compaction *c, const struct living *l, uint32_t slot, const struct pack_slot *from, const struct pack_index *index,
                                     struct fault *fault)
{
    struct new_pack *to = &c->replacements[slot];
    result code = compaction_open_pack(c, to->name, fault);
    if (code == OK) code = copy_entries(c, l, slot, from, index, fault);
    if (code == OK) {
        pack_end(&c->writer);
        to->entries = from->entries;
        to->bytes = pack_bytes(&c->writer);
        c->replaced[slot] = (struct pack_slot){.object = view_of(to->name), .entries = to->entries, .bytes = to->bytes};
        code = compaction_commit_pack(c, fault);
        if (code == OK && to->bytes < from->bytes) metric_add(METRIC_RECLAIMED_BYTES, (int64_t)(from->bytes - to->bytes));
    }
    POINT("account.collect.pack_rewritten");
    return code;
}

static uint64_t living_bytes(const struct living *l, uint32_t slot, const struct pack_index *index)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < index->entries; i++)
        if (index->of[i].method != PACK_ABSENT && is_living(l, slot, i)) bytes += PACK_ENTRY_HEADER_BYTES + index->of[i].stored_bytes;
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

MAY_YIELD static result rewrite_packs(struct compaction *c, const struct living *l, struct fault *fault)
{
    struct state *s = c->account->state;
    uint64_t written = 0;
    result code = OK;
    c->replaced = calloc(l->packs + 1, sizeof *c->replaced);
    c->replacements = calloc(l->packs + 1, sizeof *c->replacements);
    check(c->replaced && c->replacements);
    c->replaced_count = l->packs;
    for (uint32_t i = 0; code == OK && i < l->packs && written < REWRITE_BYTES_MAX && !c->is_lost; i++) {
        struct pack_index *index;
        struct pack_slot p = state_pack(s, i);
        if (p.object.len == 0) continue;
        p.object = arena_keep(c->arena, p.object);
        code = compaction_read_index(c, &p, &index, fault);
        if (code != OK) break;
        uint64_t living = living_bytes(l, i, index), data = pack_index_offset(p.bytes, p.entries) - PACK_HEADER_BYTES - index->section_bytes;
        if (living < data / 2) code = rewrite_pack(c, l, i, &p, index, fault);
        if (living < data / 2) written += living;
        free(index);
        s = c->account->state;
    }
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
    object_name_make('s', a->head.snapshot, name);
    map_put(used, arena_keep(arena, view_of(name)), c);
}

/* The wall clock in seconds at the end of "m-<id>-<8 hex digits>". */
static bool alone_time(view name, unix_ms *ret_time)
{
    uint64_t seconds = 0;
    view digits = view_from(name, name.len - 8);
    if (name.len != 2 + ID_TEXT_LEN + 1 + 8 || name.at[0] != 'm') return false;
    for (size_t i = 0; i < digits.len; i++) {
        char d = digits.at[i];
        seconds = seconds * 16 + (unsigned)(ascii_is_digit(d) ? d - '0' : ascii_lower(d) - 'a' + 10);
    }
    ret_time->ms = (int64_t)seconds * 1000;
    return true;
}

static bool object_is_garbage(view short_name, view full_name, const struct map *used, const struct map *alone, unix_ms made_before)
{
    char kind;
    struct id id;
    unix_ms made;
    if (object_name_parse(short_name, &kind, &id)) return id_time(id).ms < made_before.ms && !map_get(used, short_name);
    return alone_time(short_name, &made) && made.ms < made_before.ms && !map_get(alone, full_name);
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

MAY_YIELD static result find_garbage(struct compaction *c, const struct living *l, unix_ms made_before, struct fault *fault)
{
    struct account *a = c->account;
    struct arena *page CLEANUP(arena_freep) = arena_new(NULL, 4 << 20);
    struct map used CLEANUP(map_done) = MAP_INIT;
    char prefix[OBJECT_NAME_MAX], after[ENGINE_NAME_MAX_BYTES + 1] = "";
    view folder = account_object_name(a->id, VIEW_EMPTY, prefix), *names;
    size_t count = LIST_NAMES;
    note_names_in_use(c, c->arena, &used);
    c->garbage = arena_array(c->arena, view, REMOVALS_MAX);
    while (count == LIST_NAMES && c->garbage_count < REMOVALS_MAX && !c->is_lost) {
        arena_reset(page);
        result code = object_list(a->home->all->engine, folder, view_of(after), LIST_NAMES, c->deadline, page, &names, &count, fault);
        if (code != OK) return code;
        for (size_t i = 0; i < count && c->garbage_count < REMOVALS_MAX; i++)
            if (object_is_garbage(view_from(names[i], folder.len), names[i], &used, &l->alone, made_before)) c->garbage[c->garbage_count++] = arena_keep(c->arena, names[i]);
        if (count > 0) memcpy(after, names[count - 1].at, names[count - 1].len);
        if (count > 0) after[names[count - 1].len] = '\0';
    }
    return OK;
}

/* What rows refer to now. False when that cannot be told. */
MAY_YIELD static bool look_for_living(struct compaction *c, struct living *l)
{
    struct account *a = c->account;
    struct fault fault;
    a->pins++;
    bool is_known = account_load_all(a, c->deadline, &fault) == OK;
    if (is_known) note_rows(l);
    a->pins--;
    return is_known;
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
        view name = c->garbage[i], short_name = view_from(name, folder);
        if (short_name.at[0] == 'm' ? !takes_alone || map_get(&l.alone, name) : map_get(&used, short_name) != NULL) continue;
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
    bool purged = c->head.purged_bytes >= PURGED_BYTES_DUE || c->head.purged_bytes > state_usage(a->state).bytes / 4;
    /* Or by a clock that was ahead. */
    bool sweeps = a->wants_sweep || now.ms - c->head.swept.ms >= SWEEP_EVERY_MS || c->head.swept.ms - now.ms >= SWEEP_EVERY_MS;
    if (c->head.swept.ms == 0 && !a->wants_sweep) c->head.swept = now;      /* an account begins without garbage */
    else if (!purged && !sweeps) return OK;
    else {
        struct living l = {.account = a, .arena = arena_new(NULL, 256 << 20), .alone = MAP_INIT};
        int64_t age_ms = orphan_age_ms(a);
        a->pins++;
        result code = account_load_all(a, c->deadline, fault);
        if (code == OK && !c->is_lost) note_rows(&l);
        a->pins--;
        if (code == OK && !c->is_lost) code = rewrite_packs(c, &l, fault);
        if (code == OK && !c->is_lost) code = indexing_drop_dead(c, entry_lives, &l, fault);
        if (code == OK && !c->is_lost && sweeps) code = find_garbage(c, &l, (unix_ms){now.ms - age_ms}, fault);
        map_done(&l.alone);
        arena_free(l.arena);
        c->head.purged_bytes = 0;
        if (sweeps) c->head.swept = now;
        a->wants_sweep = false;
        return code;
    }
    return OK;
}
