/*
 * Random operations on three things that must agree: a state in memory, a state that is snapshotted, evicted, loaded and built anew at
 * random moments, and a naive model of rows and of what each session was told.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "account/snapshot_private.h"
#include "account/test_records.h"
#include "account/test_store.h"
#include "account/view.h"
#include "base/check.h"
#include "base/test.h"

enum { BOXES = 4, SESSIONS = 5, MODEL_ROWS_MAX = 6000, GRAVES_MAX = 60000 };

/* In the model a keyword has the same bit in every mailbox. */
static const view keywords[] = {VIEW_INIT("$Junk"), VIEW_INIT("$Forwarded"), VIEW_INIT("work"), VIEW_INIT("later")};

struct model_row { uint32_t uid; uint64_t flags, modseq; struct id message; };
struct model_box { uint32_t number, uid_next, count; struct model_row rows[MODEL_ROWS_MAX]; };
struct model_grave { uint32_t box; int64_t when_ms; struct model_row row; };

/* What a session was told: it sees these UIDs, with sequence numbers by their place. */
struct session {
    bool is_open;
    uint32_t box, count;
    uint32_t uids[MODEL_ROWS_MAX * 2];
    uint64_t told;
    uint64_t known[NUMBERING_KNOWN_MAX]; /* records that it told of itself */
    uint32_t known_count;
    struct numbering numbering;
};

struct world {
    uint64_t random;
    struct author plain;                 /* state in memory */
    struct state *other;                 /* the state that is moved about */
    struct test_store store;
    struct model_box boxes[BOXES];
    struct model_grave *graves;
    uint32_t grave_count;
    struct session sessions[SESSIONS];
    struct arena *arena;
    uint32_t flags_per_keyword;          /* few, or so many that whole blocks have none */
    uint64_t looks, commit_looks;        /* in the middle of records, and of commits */
};

/* SplitMix64. */
static uint64_t next_random(struct world *w)
{
    uint64_t z = w->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint32_t below(struct world *w, uint32_t limit) { return limit ? (uint32_t)(next_random(w) % limit) : 0; }

/* A resolved set of up to six ranges over the UIDs of a box and some beyond. */
static struct imap_set random_set(struct world *w, const struct model_box *box)
{
    struct imap_set set = {.ranges = arena_array(w->arena, struct imap_range, 6)};
    uint32_t at = 1, end = box->uid_next + 10;
    if (below(w, 4) == 0) {
        set.ranges[set.count++] = (struct imap_range){1, end};
        return set;
    }
    for (unsigned i = 0, wanted = 1 + below(w, 6); i < wanted && at < end; i++) {
        uint32_t first = at + below(w, end - at), last = first + below(w, below(w, 3) ? 20 : end);
        set.ranges[set.count++] = (struct imap_range){first, last};
        at = last + 2;
    }
    return set;
}

static bool same_sets(struct imap_set a, struct imap_set b)
{
    return a.count == b.count && (a.count == 0 || memcmp(a.ranges, b.ranges, a.count * sizeof *a.ranges) == 0);
}

static struct record_flags random_flags(struct world *w, uint64_t system)
{
    struct record_flags flags = {.system = system, .keywords = arena_array(w->arena, view, array_size(keywords))};
    for (size_t i = 0; i < array_size(keywords); i++)
        if (below(w, w->flags_per_keyword) == 0) flags.keywords[flags.keyword_count++] = keywords[i];
    return flags;
}

static uint64_t model_flags(const struct record_flags *flags)
{
    uint64_t bits = flags->system;
    for (size_t i = 0; i < flags->keyword_count; i++)
        for (size_t k = 0; k < array_size(keywords); k++)
            if (view_equal(flags->keywords[i], keywords[k])) bits |= (uint64_t)1 << (ROW_KEYWORD_BIT + k);
    return bits;
}

static uint64_t flags_of_row(const struct mailbox *m, const struct row *row)
{
    uint64_t bits = row->flags & ROW_SYSTEM_FLAGS;
    for (size_t k = 0; k < array_size(keywords); k++)
        if (row->flags & mailbox_keyword_flag(m, keywords[k])) bits |= (uint64_t)1 << (ROW_KEYWORD_BIT + k);
    return bits;
}

static void read_rows(struct world *w, struct session *s);

/* Whoever looks while a record is applied in turns sees nothing of it yet: neither does the model. */
static void look_meanwhile(void *argument)
{
    struct world *w = argument;
    struct session *s = &w->sessions[below(w, SESSIONS)];
    w->looks++;
    if (state_sequence(w->other) == state_sequence(w->plain.state)) return;      /* it has taken effect: what is of no use any more is being freed */
    if (s->is_open) read_rows(w, s);
    for (unsigned i = 0; i < BOXES; i++) {
        struct mailbox *m = state_mailbox(w->other, w->boxes[i].number);
        (void)state_slim(w->other, below(w, 5));
        REQUIRE(!m || (m->exists == w->boxes[i].count && m->uid_next == w->boxes[i].uid_next && m->highest_modseq <= state_sequence(w->other)));
    }
}

/* A commit changes nothing that anybody sees: rows are what they were, and each has its body. */
static void look_at_commit(void *argument)
{
    struct world *w = argument;
    struct session *s = &w->sessions[below(w, SESSIONS)];
    const struct mailbox *m = state_mailbox(w->other, w->boxes[below(w, BOXES)].number);
    struct body_place place;
    w->commit_looks++;
    if (s->is_open) read_rows(w, s);
    for (uint32_t i = 0; m && i < m->block_count; i++)
        for (uint32_t k = 0; m->blocks[i]->is_loaded && k < m->blocks[i]->count; k++) {
            struct row row = block_row(m->blocks[i], k);
            REQUIRE(state_body(w->other, &row, &place));
        }
}

/* On both states; outcomes must be the same. */
static void apply(struct world *w, struct record *r)
{
    colour_pretend_coroutine();
    struct outcome other;
    const struct state_turns turns = {look_meanwhile, w};
    author_apply(&w->plain, r);
    test_store_prepare(&w->store, w->other, r);
    struct record_place place = {.body_bytes = 1};
    state_apply_in_turns(w->other, r, place, w->arena, &other, &turns);
    struct outcome *plain = &w->plain.outcome;
    REQUIRE(plain->code == other.code && plain->mailbox == other.mailbox && plain->modseq == other.modseq);
    REQUIRE(same_sets(plain->source_uids, other.source_uids) && same_sets(plain->result_uids, other.result_uids) &&
            same_sets(plain->unchanged_uids, other.unchanged_uids));
}

static void model_add(struct model_box *box, uint64_t flags, uint64_t modseq, struct id message)
{
    REQUIRE(box->count < MODEL_ROWS_MAX);
    box->rows[box->count++] = (struct model_row){box->uid_next++, flags, modseq, message};
}

/* ---- operations ---- */

static void deliver(struct world *w, struct model_box *box)
{
    uint32_t count = 1 + below(w, below(w, 4) ? 5 : 60);
    bool is_alone = w->flags_per_keyword > 6 && below(w, 4);
    for (uint32_t i = 0; i < count && box->count + 1 < MODEL_ROWS_MAX / 2; i++) {
        struct record_flags flags = random_flags(w, next_random(w) & ROW_SYSTEM_FLAGS);
        struct id message = author_id(&w->plain);
        if (below(w, 10) == 0) box->uid_next += below(w, 5);
        struct record r = {.kind = RECORD_APPEND, .append = {.mailbox = box->number, .message = message, .size_bytes = 1 + below(w, 1000), .uid = box->uid_next,
                                                             .internal_date.ms = (int64_t)below(w, 1000) - 500, .flags = flags, .uidl = below(w, 8) ? VIEW_EMPTY : VIEW("uidl"),
                                                             .is_alone = is_alone}};
        apply(w, &r);
        model_add(box, model_flags(&flags), state_sequence(w->plain.state), message);
    }
}

static void flag(struct world *w, struct model_box *box)
{
    struct record_flags asked = random_flags(w, (uint64_t)1 << below(w, 5));
    uint64_t modseq = state_sequence(w->plain.state) + 1, flags = model_flags(&asked);
    enum flags_change change = (enum flags_change)below(w, 3);
    uint64_t since = below(w, 3) ? UINT64_MAX : modseq - 1 - below(w, (uint32_t)modseq);
    struct record r = {.kind = RECORD_FLAGS, .flags = {.mailbox = box->number, .uids = random_set(w, box), .change = change, .flags = asked, .unchanged_since = since}};
    apply(w, &r);
    for (uint32_t i = 0; i < box->count; i++) {
        struct model_row *row = &box->rows[i];
        if (!imap_set_has(&r.flags.uids, row->uid)) continue;
        bool left = row->modseq > since;
        REQUIRE(imap_set_has(&w->plain.outcome.unchanged_uids, row->uid) == left);
        uint64_t after = change == FLAGS_ADD ? row->flags | flags : change == FLAGS_REMOVE ? row->flags & ~flags : flags;
        if (left || after == row->flags) continue;
        row->flags = after;
        row->modseq = modseq;
    }
    struct session *s = &w->sessions[below(w, SESSIONS)];
    if (s->is_open && s->known_count < NUMBERING_KNOWN_MAX && &w->boxes[s->box] == box) {
        s->known[s->known_count++] = modseq;
        numbering_knows(&s->numbering, below(w, 4) ? w->plain.outcome.follows : 0, modseq);
    }
}

static void bury(struct world *w, struct model_box *box, const struct model_row *row, int64_t when_ms)
{
    REQUIRE(w->grave_count < GRAVES_MAX);
    w->graves[w->grave_count++] = (struct model_grave){(uint32_t)(box - w->boxes), when_ms, *row};
}

static void expunge(struct world *w, struct model_box *box)
{
    struct record r = {.kind = RECORD_EXPUNGE, .expunge = {.mailbox = box->number, .uids = random_set(w, box), .only_deleted = below(w, 2)}};
    apply(w, &r);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < box->count; i++) {
        struct model_row row = box->rows[i];
        bool goes = imap_set_has(&r.expunge.uids, row.uid) && (!r.expunge.only_deleted || (row.flags & ROW_DELETED));
        REQUIRE(imap_set_has(&w->plain.outcome.source_uids, row.uid) == goes);
        if (goes) {
            bury(w, box, &row, r.written.ms);
        } else {
            box->rows[kept++] = row;
        }
    }
    box->count = kept;
}

static void copy(struct world *w, struct model_box *from, struct model_box *to)
{
    struct record r = {.kind = RECORD_COPY, .copy = {.from = from->number, .to = to->number, .uids = random_set(w, from), .moves = below(w, 2)}};
    uint32_t count = from->count, wanted = 0, kept = 0;
    for (uint32_t i = 0; i < count; i++) wanted += imap_set_has(&r.copy.uids, from->rows[i].uid);
    if (to->count + wanted + 1 >= MODEL_ROWS_MAX) return;
    apply(w, &r);
    uint64_t modseq = state_sequence(w->plain.state);
    for (uint32_t i = 0; i < count; i++)
        if (imap_set_has(&r.copy.uids, from->rows[i].uid)) model_add(to, from->rows[i].flags, modseq, from->rows[i].message);
    if (!r.copy.moves) return;
    for (uint32_t i = 0; i < from->count; i++)
        if (i >= count || !imap_set_has(&r.copy.uids, from->rows[i].uid)) from->rows[kept++] = from->rows[i];
    from->count = kept;
}

static void restore(struct world *w, struct model_box *box)
{
    int64_t now = w->plain.now_ms, since = now - (int64_t)below(w, 100) * 1000;
    struct record r = {.kind = RECORD_RESTORE, .restore = {.mailbox = box->number, .since = {since}, .until = {since + (int64_t)below(w, 30) * 1000}}};
    static const char *const names[BOXES] = {"INBOX", "a", "b", "c"};
    struct model_box *to = box;
    if (below(w, 2)) r.restore.uids = random_set(w, box);
    if (below(w, 4) == 0) {
        to = &w->boxes[below(w, BOXES)];
        r.restore.into = view_of(names[to - w->boxes]);
    }
    uint32_t wanted = 0, kept = 0;
    for (uint32_t i = 0; i < w->grave_count; i++) wanted += w->graves[i].box == (uint32_t)(box - w->boxes);
    if (to->count + wanted >= MODEL_ROWS_MAX) return;
    apply(w, &r);
    for (uint32_t i = 0; i < w->grave_count; i++) {
        struct model_grave g = w->graves[i];
        bool comes = g.box == (uint32_t)(box - w->boxes) && g.when_ms >= since && g.when_ms <= r.restore.until.ms &&
                     (r.restore.uids.count == 0 || imap_set_has(&r.restore.uids, g.row.uid));
        if (comes) {
            model_add(to, g.row.flags & ~ROW_DELETED, state_sequence(w->plain.state), g.row.message);
        } else {
            w->graves[kept++] = g;
        }
    }
    w->grave_count = kept;
}

static void purge(struct world *w)
{
    struct record r = {.kind = RECORD_PURGE, .purge.before = {w->plain.now_ms - (int64_t)below(w, 60) * 1000}};
    uint32_t kept = 0;
    apply(w, &r);
    for (uint32_t i = 0; i < w->grave_count; i++)
        if (w->graves[i].when_ms >= r.purge.before.ms) w->graves[kept++] = w->graves[i];
    w->grave_count = kept;
}

/* The mailbox ends, its sessions see everything vanish; another of the same name begins. */
static void end_box(struct world *w, struct model_box *box)
{
    static const char *const names[BOXES] = {"INBOX", "a", "b", "c"};
    const char *name = names[box - w->boxes];
    for (uint32_t i = 0; i < SESSIONS; i++) {
        struct session *s = &w->sessions[i];
        if (!s->is_open || &w->boxes[s->box] != box) continue;
        numbering_close(&s->numbering);
        s->is_open = false;
    }
    if (box == w->boxes) {
        struct record r = {.kind = RECORD_RENAME, .rename = {.mailbox = box->number, .name = VIEW("old inbox")}};
        apply(w, &r);
        r = (struct record){.kind = RECORD_DELETE, .delete.mailbox = author_number(&w->plain, "old inbox")};
        apply(w, &r);
        box->count = 0;
        return;
    }
    struct record r = {.kind = RECORD_DELETE, .delete.mailbox = box->number};
    apply(w, &r);
    for (uint32_t i = 0; i < w->grave_count; i++)
        if (w->graves[i].box == (uint32_t)(box - w->boxes)) w->graves[i].box = BOXES;
    r = (struct record){.kind = RECORD_CREATE, .create.name = view_of(name)};
    apply(w, &r);
    *box = (struct model_box){.number = author_number(&w->plain, name), .uid_next = 1};
}

/* ---- sessions ---- */

static void open_session(struct world *w, struct session *s)
{
    s->box = below(w, BOXES);
    struct model_box *box = &w->boxes[s->box];
    numbering_open(&s->numbering, state_mailbox(w->other, box->number));
    s->is_open = true;
    s->count = box->count;
    s->told = state_sequence(w->other);
    s->known_count = 0;
    for (uint32_t i = 0; i < box->count; i++) s->uids[i] = box->rows[i].uid;
    REQUIRE(s->numbering.count == s->count);
}

static const struct model_row *model_find(const struct model_box *box, uint32_t uid)
{
    for (uint32_t low = 0, high = box->count; low < high;) {
        uint32_t middle = low + (high - low) / 2;
        if (box->rows[middle].uid == uid) return &box->rows[middle];
        if (box->rows[middle].uid < uid) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

static void load(struct world *w, const struct block_key *keys, size_t count)
{
    for (size_t i = 0; i < count; i++) test_store_load(&w->store, w->other, &keys[i]);
}

static void read_rows(struct world *w, struct session *s)
{
    if (s->count == 0) return;
    uint32_t first = 1 + below(w, s->count), want = 1 + below(w, s->count - first + 1);
    struct row *rows = arena_array(w->arena, struct row, want);
    struct block_key keys[4];
    size_t done = 0;
    while ((done += numbering_rows(&s->numbering, first + (uint32_t)done, want - done, rows + done)) < want)
        load(w, keys, numbering_needs_rows(&s->numbering, first + (uint32_t)done, want - done, keys, 4));
    for (uint32_t i = 0; i < want; i++) {
        const struct model_row *row = model_find(&w->boxes[s->box], s->uids[first - 1 + i]);
        REQUIRE(rows[i].uid == s->uids[first - 1 + i] && row_is_gone(&rows[i]) == (row == NULL));
        if (row) REQUIRE(flags_of_row(s->numbering.mailbox, &rows[i]) == row->flags && rows[i].modseq == row->modseq && id_equal(rows[i].message, row->message));
    }
    uint32_t uid = below(w, w->boxes[s->box].uid_next + 3), smaller = 0;
    while (smaller < s->count && s->uids[smaller] < uid) smaller++;
    REQUIRE(numbering_below(&s->numbering, uid) == smaller);
}

static bool is_known(const struct session *s, uint64_t modseq)
{
    for (uint32_t i = 0; i < s->known_count; i++)
        if (s->known[i] == modseq) return true;
    return false;
}

/* What the model says that the session must be told. */
static void sync_session(struct world *w, struct session *s)
{
    struct model_box *box = &w->boxes[s->box];
    struct block_key keys[4];
    struct mailbox_changes changes;
    bool may_expunge = below(w, 2);
    struct imap_set_builder numbers = IMAP_SET_BUILDER_INIT, uids = IMAP_SET_BUILDER_INIT, changed_numbers = IMAP_SET_BUILDER_INIT;
    numbering_sync(&s->numbering, may_expunge, &changes);
    for (size_t i = 0; i < changes.expunged_count; i++) {
        struct imap_range n = ghost_numbers(&changes.expunged[i]), u = ghost_uids(&changes.expunged[i]);
        imap_set_builder_add_range(&numbers, n.first, n.last);
        imap_set_builder_add_range(&uids, u.first, u.last);
    }
    mailbox_changes_done(&changes);
    do
        for (size_t count; (count = numbering_needs_changes(&s->numbering, &changes, keys, 4)) > 0;) load(w, keys, count);
    while (numbering_next_changed(&s->numbering, &changes, &changed_numbers));
    struct imap_set expunged = imap_set_builder_set(&numbers), expunged_uids = imap_set_builder_set(&uids), changed = imap_set_builder_set(&changed_numbers);
    uint32_t known = s->count, kept = 0;
    for (uint32_t i = 0; i < known; i++) {
        bool is_gone = !model_find(box, s->uids[i]);
        if (may_expunge) REQUIRE(imap_set_has(&expunged, i + 1) == is_gone && imap_set_has(&expunged_uids, s->uids[i]) == is_gone);
        if (!may_expunge || !is_gone) s->uids[kept++] = s->uids[i];
    }
    s->count = kept;
    uint32_t last = kept ? s->uids[kept - 1] : 0;
    for (uint32_t i = 0; i < kept; i++) {
        const struct model_row *row = model_find(box, s->uids[i]);
        REQUIRE(imap_set_has(&changed, i + 1) == (row && row->modseq > s->told && !is_known(s, row->modseq)));
    }
    for (uint32_t i = 0; i < box->count; i++)
        if (box->rows[i].uid > last && (kept == 0 || box->rows[i].uid > s->uids[kept - 1])) s->uids[s->count++] = box->rows[i].uid;
    REQUIRE(changes.exists == s->count && changes.exists_changed == (s->count != kept));
    REQUIRE(s->numbering.count == s->count && (may_expunge || !s->numbering.ghost_count || numbering_is_behind(&s->numbering)));
    s->told = state_sequence(w->other);
    s->known_count = 0;
    imap_set_builder_done(&numbers);
    imap_set_builder_done(&uids);
    imap_set_builder_done(&changed_numbers);
}

/* What was changed since any moment is named, and of blocks in memory little else. */
static void find_changed(struct world *w)
{
    const struct model_box *box = &w->boxes[below(w, BOXES)];
    const struct mailbox *m = state_mailbox(w->other, box->number);
    struct imap_set_builder uids = IMAP_SET_BUILDER_INIT;
    uint64_t since = state_sequence(w->other) - below(w, below(w, 2) ? 10 : (uint32_t)state_sequence(w->other) + 1);
    bool is_loaded = true;
    for (uint32_t i = 0, from = 1; i < m->block_count; from = m->blocks[i++]->last_uid + 1) {
        block_add_changed(m->blocks[i], from, since, &uids);
        is_loaded &= m->blocks[i]->is_loaded;
    }
    struct imap_set set = imap_set_builder_set(&uids);
    uint32_t between = 0;                /* rows in the range at hand that were not changed, since the last that was */
    for (uint32_t i = 0; i < box->count; i++) {
        bool is_changed = box->rows[i].modseq > since, is_named = imap_set_has(&set, box->rows[i].uid);
        between = is_changed || !is_named ? 0 : between + 1;
        REQUIRE((!is_changed || is_named) && (!is_loaded || between <= BLOCK_CHANGED_GAP));
    }
    imap_set_builder_done(&uids);
}

static void use_session(struct world *w)
{
    struct session *s = &w->sessions[below(w, SESSIONS)];
    if (below(w, 2)) find_changed(w);
    if (!s->is_open) {
        open_session(w, s);
    } else if (below(w, 10) == 0) {
        numbering_close(&s->numbering);
        s->is_open = false;
    } else if (below(w, 2)) {
        read_rows(w, s);
    } else {
        sync_session(w, s);
    }
}

/* ---- what happens to the other state ---- */

static void build_anew(struct world *w)
{
    struct state *fresh = test_store_open(&w->store);
    test_store_forget_ahead(&w->store);
    fresh->pool.block_rows = w->other->pool.block_rows;
    state_set_turn_rows(fresh, w->other->pool.turn_rows);
    state_set_wide_bytes(fresh, w->other->pool.wide_bytes);
    state_adopt(fresh, w->other);
    state_free(w->other);
    w->other = fresh;
}

static void disturb(struct world *w)
{
    struct block_key keys[5];
    const struct state_turns turns = {look_at_commit, w};
    w->store.turns = below(w, 2) ? &turns : NULL;
    if (below(w, 2)) test_store_ahead(&w->store, w->other);
    if (below(w, 2)) {
        state_set_wide_bytes(w->other, 1 + (below(w, 3) ? 0 : below(w, 100000)));
        (void)state_slim(w->other, 1 + below(w, 100));
    }
    switch (below(w, 6)) {
    case 0:
        test_store_snapshot(&w->store, w->other, false);
        if (below(w, 3) == 0) build_anew(w);
        break;
    case 1: test_store_snapshot(&w->store, w->other, true); break;
    case 2: load(w, keys, state_needs_all(w->other, keys, below(w, 6))); break;
    default: state_evict(w->other, below(w, 4) ? below(w, 100000) : SIZE_MAX); break;
    }
}

static void expect_no_problem(void *argument, view what) { test_fail(__FILE__, __LINE__, VIEW_FMT, VIEW_ARG(what)); }

static void compare(struct world *w)
{
    unsigned char plain[32], other[32];
    for (uint32_t i = 0; i < BOXES; i++) {
        struct mailbox *m = state_mailbox(w->plain.state, w->boxes[i].number);
        REQUIRE(m && m->exists == w->boxes[i].count && m->uid_next == w->boxes[i].uid_next);
        for (uint32_t k = 0; k < m->exists; k++) REQUIRE(mailbox_uid_at(m, k) == w->boxes[i].rows[k].uid);
    }
    struct state *loaded = w->other;
    test_store_load_all(&w->store, loaded);
    state_digest(w->plain.state, plain);
    state_digest(loaded, other);
    REQUIRE(memcmp(plain, other, sizeof plain) == 0);
    REQUIRE(state_check(w->plain.state, expect_no_problem, NULL) == 0 && state_check(loaded, expect_no_problem, NULL) == 0);
}

static void operate(struct world *w)
{
    struct model_box *box = &w->boxes[below(w, BOXES)];
    switch (below(w, 14)) {
    case 0: case 1: case 2: deliver(w, box); break;
    case 3: case 4: flag(w, box); break;
    case 5: expunge(w, box); break;
    case 6: copy(w, box, &w->boxes[below(w, BOXES)]); break;
    case 7: if (below(w, 3) == 0) restore(w, box); break;
    case 8: if (below(w, 3) == 0) purge(w); break;
    case 9: if (below(w, 12) == 0) end_box(w, box); break;
    default: use_session(w); break;
    }
    if (below(w, 4) == 0) disturb(w);
    arena_reset(w->arena);
    arena_reset(w->plain.arena);
}

static struct world *new_world(uint64_t seed)
{
    struct world *w = calloc(1, sizeof *w);
    check(w != NULL);
    w->random = seed;
    w->flags_per_keyword = seed % 2 ? 6 : 600;
    w->plain = author_new();
    w->arena = arena_new(NULL, 64 << 20);
    w->graves = calloc(GRAVES_MAX, sizeof *w->graves);
    check(w->graves != NULL);
    struct author same = author_new();
    w->other = same.state;
    arena_free(same.arena);
    w->plain.state->pool.block_rows = 8 + below(w, 40);
    w->other->pool.block_rows = 8 + below(w, below(w, 2) ? 40 : 400);
    state_set_turn_rows(w->other, 1 + below(w, 20));
    w->boxes[0] = (struct model_box){.number = 1, .uid_next = 1};
    for (uint32_t i = 1; i < BOXES; i++) {
        struct record r = {.kind = RECORD_CREATE, .create.name = view_of(i == 1 ? "a" : i == 2 ? "b" : "c")};
        apply(w, &r);
        w->boxes[i] = (struct model_box){.number = w->plain.outcome.mailbox, .uid_next = 1};
    }
    return w;
}

static void end_world(struct world *w)
{
    for (uint32_t i = 0; i < SESSIONS; i++)
        if (w->sessions[i].is_open) numbering_close(&w->sessions[i].numbering);
    test_store_done(&w->store);
    state_free(w->other);
    author_done(&w->plain);
    arena_free(w->arena);
    free(w->graves);
    free(w);
}

static void run(uint64_t seed, unsigned operations)
{
    struct world *w = new_world(seed);
    for (unsigned i = 0; i < operations; i++) {
        operate(w);
        if (i % 50 == 49) compare(w);
    }
    compare(w);
    for (unsigned i = 0; i < 20 && !w->commit_looks; i++) {     /* a seed may have drawn none */
        const struct state_turns turns = {look_at_commit, w};
        w->store.turns = &turns;
        deliver(w, &w->boxes[0]);
        test_store_snapshot(&w->store, w->other, true);
    }
    REQUIRE(w->looks > 0 && w->commit_looks > 0);
    end_world(w);
}

static bool run_alone(uint64_t seed)
{
    fflush(stdout);
    pid_t child = fork();
    check(child >= 0);
    if (child == 0) {
        run(seed, 400);
        test_stop();
    }
    int status;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* TAYORI_SEED=n runs that seed alone, TAYORI_SEEDS=n so many. */
TEST_SLOW(state_agrees_with_a_naive_model, 120)
{
    const char *one = getenv("TAYORI_SEED"), *many = getenv("TAYORI_SEEDS");
    uint64_t first = one ? strtoull(one, NULL, 10) : 1, count = one ? 1 : many ? strtoull(many, NULL, 10) : 25;
    for (uint64_t seed = first; seed < first + count; seed++) {
        if (!run_alone(seed)) {
            test_fail(__FILE__, __LINE__, "TAYORI_SEED=%" PRIu64, seed);
            return;
        }
    }
}
