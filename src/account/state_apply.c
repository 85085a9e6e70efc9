/*
 * state_apply: what records do to rows.
 */
#include <stdlib.h>
#include <string.h>

#include "account/state_private.h"
#include "base/check.h"

struct imap_set outcome_set(const struct imap_set_builder *builder, struct arena *arena)
{
    struct imap_set set = imap_set_builder_set(builder);
    size_t bytes = set.count * sizeof *set.ranges;
    void *copy = set.count ? arena_try_alloc(arena, bytes) : NULL;
    if (!copy) return (struct imap_set){0};
    set.ranges = memcpy(copy, set.ranges, bytes);
    return set;
}

static struct imap_set vanished_set(const struct vanished_list *vanished, struct arena *arena)
{
    struct imap_set set = {.count = vanished->count};
    set.ranges = set.count ? arena_try_alloc(arena, set.count * sizeof *set.ranges) : NULL;
    if (!set.ranges) return (struct imap_set){0};
    for (size_t i = 0; i < set.count; i++) set.ranges[i] = (struct imap_range){vanished->at[i].first, vanished->at[i].last};
    return set;
}

static struct mailbox *selectable(struct state *s, uint32_t number)
{
    struct mailbox *m = state_mailbox(s, number);
    return m && m->is_selectable ? m : NULL;
}

/* ---- append ---- */

static struct mailbox *append_target(struct state *s, const struct record *r)
{
    struct mailbox *m = NULL;
    if (r->append.mailbox) {
        m = selectable(s, r->append.mailbox);
    } else if (r->append.name.len == 0) {
        m = state_mailbox(s, INBOX_NUMBER);
    } else {
        char text[RECORD_NAME_BYTES_MAX];
        view name;
        if (name_canonical(r->append.name, text, &name)) m = state_find(s, name);
        if (m && !m->is_selectable) m = NULL;
        if (!m && r->append.creates && state_create(s, r->append.name, r->written, &m) != OK) m = NULL;
    }
    return m || !r->append.falls_back ? m : state_mailbox(s, INBOX_NUMBER);
}

static void add_body(struct state *s, const struct record *r, const struct record_place *place)
{
    s->bodies = state_grow(s->bodies, s->body_count, &s->body_capacity, sizeof *s->bodies);
    s->bodies[s->body_count++] =
        (struct body){s->sequence, r->append.message, {.kind = BODY_IN_JOURNAL, .record = *place}};
}

static struct imap_set one_uid(uint32_t uid, struct arena *arena)
{
    struct imap_set set = {.ranges = arena_array(arena, struct imap_range, 1), .count = 1};
    set.ranges[0] = (struct imap_range){uid, uid};
    return set;
}

/* The mailbox of the message that the append replaces; NULL: it is gone. */
static struct mailbox *replaced_mailbox(struct state *s, const struct record *r)
{
    struct mailbox *m = selectable(s, r->append.replaces_mailbox);
    uint32_t uid = r->append.replaces_uid;
    return m && uid < UINT32_MAX && mailbox_rank(m, uid + 1) > mailbox_rank(m, uid) ? m : NULL;
}

static void remove_replaced(struct mailbox *m, const struct record *r)
{
    struct imap_range range = {r->append.replaces_uid, r->append.replaces_uid};
    struct imap_set uids = {.ranges = &range, .count = 1};
    struct vanished_list vanished = {0};
    mailbox_remove_rows(m, &(struct removal){.uids = &uids, .buries = true, .when = r->written}, &vanished);
    free(vanished.at);
}

static void apply_append(struct state *s, const struct record *r, const struct record_place *place, struct arena *arena, struct outcome *o)
{
    struct mailbox *m = append_target(s, r);
    struct mailbox *replaced = r->append.replaces_uid ? replaced_mailbox(s, r) : NULL;
    o->code = !m ? NOT_FOUND : m->uid_next > UID_MAX ? TOO_BIG : r->append.replaces_uid && !replaced ? INVALID : OK;
    if (o->code != OK) return;
    struct row row = {
        .uid = r->append.uid >= m->uid_next && r->append.uid <= UID_ASKED_MAX ? r->append.uid : m->uid_next,
        .size_bytes = r->append.size_bytes,
        .flags = r->append.flags.system | mailbox_take_keywords(m, r->append.flags.keywords, r->append.flags.keyword_count),
        .modseq = s->sequence,
        .internal_date = r->append.internal_date,
        .save_date = r->append.save_date,
        .message = r->append.message,
        .pack = r->append.is_alone ? ROW_ALONE : ROW_IN_JOURNAL,
        .entry = r->append.is_alone ? (uint32_t)(r->written.ms / 1000) : (uint32_t)s->sequence,
    };
    if (r->append.is_hidden) {
        m->uid_next = row.uid + 1;
        grave_bury_row(m, &row, r->append.uidl, r->written, s->sequence);
    } else {
        mailbox_push(m, &row, r->append.uidl);
    }
    if (!r->append.is_alone) add_body(s, r, place);
    archive_arrives(s, row.internal_date);
    if (replaced) remove_replaced(replaced, r);
    o->mailbox = m->number;
    o->uid_validity = m->uid_validity;
    if (arena) o->result_uids = one_uid(row.uid, arena);
}

/* ---- flags ---- */

struct flagging {
    enum flags_change change;
    uint64_t flags;
    uint64_t unchanged_since;
    uint64_t modseq;
    struct imap_set_builder unchanged;
    bool has_changed;
};

enum { ROWS_PER_CHANGED = 8 };

/* In one block. */
struct flagged { uint32_t count; uint64_t differ; };

static uint64_t flags_after(const struct flagging *f, uint64_t flags)
{
    return f->change == FLAGS_ADD ? flags | f->flags : f->change == FLAGS_REMOVE ? flags & ~f->flags : f->flags;
}

/* From the summary alone: no row of the block would change. */
static bool is_without_effect(const struct record *r, const struct block *b)
{
    const struct record_flags *flags = &r->flags.flags;
    if (r->flags.unchanged_since != UINT64_MAX || flags->keyword_count || r->flags.change == FLAGS_REPLACE) return false;
    bool adds = r->flags.change == FLAGS_ADD;
    if (flags->system & ~(ROW_SEEN | ROW_DELETED)) return false;
    if ((flags->system & ROW_SEEN) && b->unseen != (adds ? 0 : b->count)) return false;
    return !(flags->system & ROW_DELETED) || b->deleted == (adds ? b->count : 0);
}

static void flag_rows(struct flagging *f, struct block_pool *pool, struct block *b, uint32_t from, uint32_t to, struct flagged *done)
{
    for (uint32_t i = from; i < to; i++) {
        if (f->unchanged_since != UINT64_MAX && block_modseq_at(b, i) > f->unchanged_since) {
            imap_set_builder_add(&f->unchanged, block_uid_at(b, i));
            continue;
        }
        uint64_t before = block_flags_at(b, i), after = flags_after(f, before);
        if (after == before) continue;
        block_set_flags(pool, b, i, after, f->modseq);
        done->count++;
        done->differ |= before ^ after;
    }
}

/* A few in a block do not cost as much as the block has rows. */
static void sum_up(const struct flagging *f, struct block *b, const struct flagged *done)
{
    bool are_few = done->count < b->count / ROWS_PER_CHANGED && !(done->differ & (ROW_SEEN | ROW_DELETED));
    if (are_few) b->highest_modseq = f->modseq;      /* lowest_modseq is no higher than it is said to be */
    else block_recount(b);
}

/* The ranges of `uids` from *range on that touch the block. */
static void flag_block(struct flagging *f, struct mailbox *m, uint32_t at, const struct imap_set *uids, size_t *range)
{
    struct flagged done = {0};
    bool is_shared = block_is_shared(m->state, m->blocks[at]);
    struct block *b = is_shared ? block_copy(&m->state->pool, m->blocks[at]) : m->blocks[at];
    while (*range < uids->count && uids->ranges[*range].first <= b->last_uid) {
        const struct imap_range *r = &uids->ranges[*range];
        flag_rows(f, &m->state->pool, b, block_rank(b, r->first), r->last >= b->last_uid ? b->count : block_rank(b, r->last + 1), &done);
        if (r->last > b->last_uid) break;
        (*range)++;
    }
    if (done.count == 0 && is_shared) block_free(&m->state->pool, b);
    if (done.count == 0) return;
    if (is_shared) state_replace_block(m, at, b);
    m->unseen -= b->unseen;
    m->deleted -= b->deleted;
    sum_up(f, b, &done);
    block_changed(&m->state->pool, b);
    b->used = m->state->pool.tick;
    m->unseen += b->unseen;
    m->deleted += b->deleted;
    f->has_changed = true;
}

/* A keyword that is taken away need not be given a bit first. */
static uint64_t keyword_flags(struct mailbox *m, const struct record_flags *flags, bool removes)
{
    uint64_t known = 0;
    if (!removes) return mailbox_take_keywords(m, flags->keywords, flags->keyword_count);
    for (size_t i = 0; i < flags->keyword_count; i++) known |= mailbox_keyword_flag(m, flags->keywords[i]);
    return known;
}

static void apply_flags(struct state *s, const struct record *r, struct arena *arena, struct outcome *o)
{
    const struct imap_set *uids = &r->flags.uids;
    struct mailbox *m = selectable(s, r->flags.mailbox);
    if (!m) {
        o->code = NOT_FOUND;
        return;
    }
    struct flagging f = {r->flags.change, r->flags.flags.system, r->flags.unchanged_since, s->sequence, IMAP_SET_BUILDER_INIT, false};
    f.flags |= keyword_flags(m, &r->flags.flags, r->flags.change == FLAGS_REMOVE);
    o->follows = m->highest_modseq;
    size_t range = 0;
    for (uint32_t i = uids->count ? mailbox_block_of_uid(m, uids->ranges[0].first) : m->block_count; i < m->block_count; i++) {
        struct block *b = m->blocks[i];
        while (range < uids->count && uids->ranges[range].last < b->first_uid) range++;
        if (range == uids->count) break;
        if (!set_touches_block(uids, b) || is_without_effect(r, b)) continue;
        check(b->is_loaded);
        flag_block(&f, m, i, uids, &range);
        state_breathe(s, b->count);
    }
    if (f.has_changed) m->highest_modseq = s->sequence;
    o->mailbox = m->number;
    o->uid_validity = m->uid_validity;
    if (arena) o->unchanged_uids = outcome_set(&f.unchanged, arena);
    imap_set_builder_done(&f.unchanged);
}

/* ---- copy, move, expunge ---- */

enum { BLOCK_PARTS = 16 };               /* rows that are less than such a part of a block would leave many small blocks */

struct copying {
    struct mailbox *from, *to;
    struct keyword_map map;
    unix_ms when;
    struct imap_set_builder source, result;
};

/* Without giving the mailbox a keyword: nodes whose rows are slim must do so in the same order as others. */
static bool keeps_flags(const struct keyword_map *map, const struct block *b, uint32_t from, uint32_t to)
{
    uint64_t flags = 0;
    for (uint32_t i = from; i < to && map->from->keyword_count; i++) flags |= block_flags_at(b, i);
    for (uint64_t rest = flags >> ROW_KEYWORD_BIT; rest; rest &= rest - 1) {
        unsigned i = (unsigned)__builtin_ctzll(rest);
        if (!(map->known >> i & 1) || map->to_flag[i] != (uint64_t)1 << (ROW_KEYWORD_BIT + i)) return false;
    }
    return true;
}

/* Many rows as a block, which shares its memory with the other. */
static bool copy_together(struct copying *c, struct block *b, uint32_t from, uint32_t to)
{
    struct block_pool *pool = &c->to->state->pool;
    uint32_t count = to - from, uid = c->to->uid_next, last;
    if (count < pool->block_rows / BLOCK_PARTS || uid > UID_MAX - count || !keeps_flags(&c->map, b, from, to)) return false;
    if (!b->slim && (count < b->count || !block_slim(pool, b))) return false;
    for (uint32_t i = from; i < to; i += last + 1 - block_uid_at(b, i)) {
        uint32_t first = block_uid_run(b, i, &last), end = block_uid_at(b, to - 1);
        imap_set_builder_add_range(&c->source, first, last < end ? last : end);
    }
    imap_set_builder_add_range(&c->result, uid, uid + count - 1);
    struct row like = {.uid = uid, .modseq = c->to->state->sequence, .save_date = c->when};
    mailbox_push_block(c->to, block_copy_as(pool, b, from, count, &like));
    return true;
}

static bool copy_rows(struct copying *c, struct block *b, uint32_t from, uint32_t to)
{
    if (copy_together(c, b, from, to)) return true;
    for (uint32_t i = from; i < to; i++) {
        struct row row = block_row(b, i);
        if (c->to->uid_next > UID_MAX) return false;
        imap_set_builder_add(&c->source, row.uid);
        row.uid = c->to->uid_next;
        row.modseq = c->to->state->sequence;
        row.save_date = c->when;             /* RFC 8514 §3: of this mailbox */
        row.flags = keyword_map_flags(&c->map, row.flags);
        imap_set_builder_add(&c->result, row.uid);
        mailbox_push(c->to, &row, VIEW_EMPTY);
    }
    return true;
}

/* Rows that the copying itself adds (to the same mailbox) have larger UIDs than the last that was there. */
static bool copy_all(struct copying *c, const struct imap_set *uids)
{
    uint32_t last_uid = c->from->uid_next - 1;
    for (size_t range = 0; range < uids->count; range++) {
        struct imap_range r = uids->ranges[range];
        if (r.last > last_uid) r.last = last_uid;
        for (uint32_t i = mailbox_block_of_uid(c->from, r.first); r.first <= r.last && i < c->from->block_count; i++) {
            struct block *b = c->from->blocks[i];
            if (b->first_uid > r.last) break;
            uint32_t from = block_rank(b, r.first), to = r.last >= b->last_uid ? b->count : block_rank(b, r.last + 1);
            if (from == to) continue;
            check(b->is_loaded);
            if (!copy_rows(c, b, from, to)) return false;
            state_breathe(c->to->state, to - from);
        }
    }
    return true;
}

static void apply_copy(struct state *s, const struct record *r, struct arena *arena, struct outcome *o)
{
    struct mailbox *from = selectable(s, r->copy.from), *to = selectable(s, r->copy.to);
    if (!from || !to) {
        o->code = NOT_FOUND;
        return;
    }
    struct copying c = {from, to, {.from = from, .to = to}, r->written, IMAP_SET_BUILDER_INIT, IMAP_SET_BUILDER_INIT};
    if (!copy_all(&c, &r->copy.uids)) o->code = TOO_BIG;
    if (r->copy.moves) {
        struct imap_set moved = imap_set_builder_set(&c.source);
        struct vanished_list vanished = {0};
        mailbox_remove_rows(from, &(struct removal){.uids = &moved}, &vanished);
        free(vanished.at);
    }
    o->mailbox = to->number;
    o->uid_validity = to->uid_validity;
    if (arena) {
        o->source_uids = outcome_set(&c.source, arena);
        o->result_uids = outcome_set(&c.result, arena);
    }
    imap_set_builder_done(&c.source);
    imap_set_builder_done(&c.result);
}

static void apply_expunge(struct state *s, const struct record *r, struct arena *arena, struct outcome *o)
{
    struct mailbox *m = selectable(s, r->expunge.mailbox);
    if (!m) {
        o->code = NOT_FOUND;
        return;
    }
    struct vanished_list vanished = {0};
    struct removal removal = {.uids = &r->expunge.uids, .only_deleted = r->expunge.only_deleted, .buries = true, .when = r->written};
    mailbox_remove_rows(m, &removal, &vanished);
    o->mailbox = m->number;
    o->uid_validity = m->uid_validity;
    if (arena) o->source_uids = vanished_set(&vanished, arena);
    free(vanished.at);
}

/* ---- all kinds ---- */

void state_apply_kind(struct state *s, const struct record *r, const struct record_place *place, struct arena *arena, struct outcome *o)
{
    switch (r->kind) {
    case RECORD_APPEND: apply_append(s, r, place, arena, o); return;
    case RECORD_FLAGS: apply_flags(s, r, arena, o); return;
    case RECORD_COPY: apply_copy(s, r, arena, o); return;
    case RECORD_EXPUNGE: apply_expunge(s, r, arena, o); return;
    case RECORD_CREATE: state_apply_create(s, r, o); return;
    case RECORD_DELETE: state_apply_delete(s, r, o); return;
    case RECORD_RENAME: state_apply_rename(s, r, o); return;
    case RECORD_SUBSCRIBE: state_apply_subscribe(s, r, o); return;
    case RECORD_RESTORE: state_apply_restore(s, r, arena, o); return;
    case RECORD_PURGE: state_apply_purge(s, r); return;
    case RECORD_MAILBOX: state_apply_mailbox(s, r, o); return;
    case RECORD_METADATA: state_apply_metadata(s, r, o); return;
    case RECORD_REVEAL: state_apply_reveal(s, r, arena, o); return;
    }
    unreachable();
}

void state_apply(struct state *s, const struct record *r, struct record_place place, struct arena *arena, struct outcome *ret_outcome)
{
    check_slow(state_needs(s, r, NULL, 0) == 0);
    struct outcome o = {.code = OK, .modseq = s->sequence + 1};
    bool is_again = recent_has(&s->recent, r->id);
    s->sequence++;
    s->pool.tick++;
    if (is_again) {
        o.code = CONFLICT;
    } else {
        state_apply_kind(s, r, &place, ret_outcome ? arena : NULL, &o);
    }
    recent_add(&s->recent, r->id, r->written, o.code);
    if (ret_outcome) *ret_outcome = o;
}

/* ---- what must be loaded first ---- */

struct asking {
    struct state *state;
    uint32_t mailbox;
    struct block_key *keys;
    size_t max, count;                   /* max 0: only whether there is one */
};

static void ask(struct asking *a, const struct block *b, uint32_t index, bool is_graveyard)
{
    if (a->count < a->max) a->keys[a->count] = state_block_key(a->state, a->mailbox, b, index, is_graveyard);
    a->count++;
}

static bool is_full(const struct asking *a) { return a->count && a->count >= a->max; }

static void ask_touched(struct asking *a, struct mailbox *m, const struct imap_set *uids, const struct record *flags)
{
    if (!m || uids->count == 0) return;
    a->mailbox = m->number;
    for (uint32_t i = mailbox_block_of_uid(m, uids->ranges[0].first); i < m->block_count && !is_full(a); i++) {
        struct block *b = m->blocks[i];
        if (b->first_uid > uids->ranges[uids->count - 1].last) break;
        if (!b->is_loaded && set_touches_block(uids, b) && !(flags && is_without_effect(flags, b))) ask(a, b, i, false);
    }
}

static void ask_expunged(struct asking *a, struct mailbox *m, const struct record *r)
{
    struct removal removal = {.uids = &r->expunge.uids, .only_deleted = r->expunge.only_deleted};
    if (!m) return;
    a->mailbox = m->number;
    for (uint32_t i = 0; i < m->block_count && !is_full(a); i++)
        if (removal_needs_rows(&removal, m->blocks[i])) ask(a, m->blocks[i], i, false);
}

static void ask_restored(struct asking *a, struct state *s, const struct record *r)
{
    for (size_t i = 0; i < s->mailbox_count; i++) {
        struct mailbox *m = s->mailboxes[i];
        if (r->restore.mailbox && m->number != r->restore.mailbox) continue;
        a->mailbox = m->number;
        for (uint32_t k = 0; k < m->grave_count && !is_full(a); k++)
            if (!m->graves[k]->block->is_loaded && restore_needs_grave(r, m->graves[k])) ask(a, m->graves[k]->block, k, true);
    }
}

size_t state_needs(struct state *s, const struct record *r, struct block_key *keys, size_t max)
{
    struct asking a = {.state = s, .keys = keys, .max = max};
    struct imap_range replaced = {0};
    if (r->kind == RECORD_APPEND) replaced.first = replaced.last = r->append.replaces_uid;
    if (r->kind == RECORD_APPEND && r->append.replaces_uid)
        ask_touched(&a, selectable(s, r->append.replaces_mailbox), &(struct imap_set){.ranges = &replaced, .count = 1}, NULL);
    if (r->kind == RECORD_FLAGS) ask_touched(&a, selectable(s, r->flags.mailbox), &r->flags.uids, r);
    if (r->kind == RECORD_COPY && selectable(s, r->copy.to)) ask_touched(&a, selectable(s, r->copy.from), &r->copy.uids, NULL);
    if (r->kind == RECORD_EXPUNGE) ask_expunged(&a, selectable(s, r->expunge.mailbox), r);
    if (r->kind == RECORD_RESTORE || r->kind == RECORD_REVEAL) ask_restored(&a, s, r);
    return a.count;
}
