/*
 * state_aside: a record that touches very many rows is applied aside, in turns, and takes effect at once.
 *
 * The functions that apply records work on a state that has copies of the mailboxes concerned and shares their blocks and graves; these are copied
 * before they change. When all is done the mailboxes take over what was made. Until then whoever reads the state sees it as before the record,
 * and afterwards with all of it: never a part.
 */
#include <stdlib.h>
#include <string.h>

#include "account/state_private.h"
#include "base/check.h"

enum {
    FLAGGED_ROWS_PER_COPIED = 8,             /* a flag costs an eighth of a copy, about */
    PARTS_PER_TURN = 2,                      /* of what is flagged without turns: so far from it that messages that came meanwhile do not matter */
    UIDS_TAKEN_FOR_ROWS = 16,                /* of a range that is as short: to count its rows would cost as much as to flag them */
    ROWS_PER_BREATH = 1024,
    TO_BE_MADE = UINT32_MAX,                 /* number of a mailbox that the record makes, as long as it is aside */
};
#define SERIALS_ASIDE ((uint64_t)1 << 36)    /* more than one record gives: rows of a mailbox are fewer than 2^32 */

struct aside {
    uint64_t last_serial;                    /* of the blocks that were there before */
    struct block **released;                 /* shared ones that the new mailboxes have not */
    size_t released_count, released_capacity;
    struct grave **replaced;                 /* shared ones of which the new mailboxes have copies, which have their blocks */
    size_t replaced_count, replaced_capacity;
    struct mailbox *into;                    /* RESTORE: the mailbox that it names */
    struct vanished_list vanished;           /* of one mailbox: no record removes rows from two */
    uint32_t vanished_from;
};

/* ---- while it is applied ---- */

bool block_is_shared(const struct state *s, const struct block *b)
{
    return s->aside && (b->serial <= s->aside->last_serial || b->serial > s->aside->last_serial + SERIALS_ASIDE);
}

void state_release_block(struct state *s, struct block *b)
{
    if (!block_is_shared(s, b)) {
        block_free(&s->pool, b);
        return;
    }
    struct aside *a = s->aside;
    a->released = state_grow(a->released, a->released_count, &a->released_capacity, sizeof(struct block *));
    a->released[a->released_count++] = b;
}

void state_replace_block(struct mailbox *m, uint32_t at, struct block *with)
{
    state_release_block(m->state, m->blocks[at]);
    m->blocks[at] = with;
}

struct block *state_own_block(struct mailbox *m, uint32_t at)
{
    struct block *b = m->blocks[at];
    if (block_is_shared(m->state, b)) state_replace_block(m, at, block_copy(&m->state->pool, b));
    return m->blocks[at];
}

struct grave *state_own_grave(struct mailbox *m, uint32_t at)
{
    struct grave *g = m->graves[at];
    struct aside *a = m->state->aside;
    if (!a) return g;
    struct grave *own = malloc(sizeof *own);
    check(own != NULL);
    *own = *g;
    own->runs = block_copy_array(g->runs, g->run_count * sizeof *g->runs);
    own->run_capacity = g->run_count;
    a->replaced = state_grow(a->replaced, a->replaced_count, &a->replaced_capacity, sizeof(struct grave *));
    a->replaced[a->replaced_count++] = g;
    return m->graves[at] = own;
}

void state_breathe_now(struct state *s)
{
    s->since_breath = 0;
    s->turns->breathe(s->turns->argument);
}

bool state_keeps_vanished(struct mailbox *m, const struct vanished_list *vanished)
{
    struct aside *a = m->state->aside;
    if (!a) return false;
    check(a->vanished.count == 0);
    a->vanished.at = malloc(vanished->count * sizeof *vanished->at);
    check(a->vanished.at != NULL);
    memcpy(a->vanished.at, vanished->at, vanished->count * sizeof *vanished->at);
    a->vanished.count = vanished->count;
    a->vanished_from = m->number;
    return true;
}

/* ---- which records ---- */

void state_set_turn_rows(struct state *s, uint32_t rows)
{
    s->pool.turn_rows = rows ? rows : STATE_TURN_ROWS;
    s->pool.breath_rows = s->pool.turn_rows < ROWS_PER_BREATH ? 0 : ROWS_PER_BREATH;
}

static uint64_t rows_of(const struct mailbox *m, const struct imap_set *uids, uint32_t among)
{
    uint64_t named = imap_set_size(uids);
    return !m ? 0 : named < among ? named : among;
}

/* About: those that RESTORE would find if its set named all. */
static uint64_t rows_restored(const struct state *s, const struct record *r)
{
    uint64_t rows = 0, named = r->restore.uids.count ? imap_set_size(&r->restore.uids) : UINT64_MAX;
    for (size_t i = 0; i < s->mailbox_count; i++) {
        const struct mailbox *m = s->mailboxes[i];
        if (r->restore.mailbox && m->number != r->restore.mailbox) continue;
        for (uint32_t k = 0; k < m->grave_count; k++)
            if (restore_needs_grave(r, m->graves[k])) rows += m->graves[k]->live;
    }
    return rows < named ? rows : named;
}

/* No fewer than there are. */
static uint64_t rows_within(struct mailbox *m, struct imap_range uids)
{
    uint64_t named = (uint64_t)uids.last - uids.first + 1;
    if (named <= UIDS_TAKEN_FOR_ROWS) return named;
    return (uids.last == UINT32_MAX ? m->exists : mailbox_rank(m, uids.last + 1)) - mailbox_rank(m, uids.first);
}

static uint64_t rows_flagged_at_once(const struct state *s) { return (uint64_t)s->pool.turn_rows * FLAGGED_ROWS_PER_COPIED; }

static bool has_more_rows(struct mailbox *m, const struct imap_set *uids, uint64_t than)
{
    uint64_t rows = 0;
    if (m->exists <= than || imap_set_size(uids) <= than) return false;
    for (size_t i = 0; i < uids->count && rows <= than; i++) rows += rows_within(m, uids->ranges[i]);
    return rows > than;
}

bool state_wants_turns(struct state *s, const struct record *r)
{
    struct mailbox *m;
    switch (r->kind) {
    case RECORD_FLAGS:
        m = state_mailbox(s, r->flags.mailbox);
        return m && has_more_rows(m, &r->flags.uids, rows_flagged_at_once(s));
    case RECORD_COPY:
        m = state_mailbox(s, r->copy.from);
        return m && rows_of(m, &r->copy.uids, m->exists) > s->pool.turn_rows;
    case RECORD_EXPUNGE:
        m = state_mailbox(s, r->expunge.mailbox);
        return m && rows_of(m, &r->expunge.uids, r->expunge.only_deleted ? m->deleted : m->exists) > s->pool.turn_rows;
    case RECORD_RESTORE: return rows_restored(s, r) > s->pool.turn_rows && (r->restore.into.len == 0 || state_may_create(s, r->restore.into));
    default: return false;
    }
}

/* The UID of the row up to which a range has so many: fewer than it has, and one at least. */
static uint32_t uid_of_row(struct mailbox *m, struct imap_range uids, uint64_t rows)
{
    if (uids.last - uids.first < UIDS_TAKEN_FOR_ROWS) return uids.first + (uint32_t)rows - 1;
    return mailbox_uid_at(m, mailbox_rank(m, uids.first) + (uint32_t)rows - 1);
}

bool state_cut_flags(struct state *s, uint32_t mailbox, const struct imap_set *uids, uint64_t *from_uid, struct imap_set_builder *room, struct imap_set *ret_part)
{
    struct mailbox *m = state_mailbox(s, mailbox);
    uint64_t left = rows_flagged_at_once(s) / PARTS_PER_TURN;
    if (uids->count == 0 || *from_uid > uids->ranges[uids->count - 1].last) return false;
    if (*from_uid == 0 && (!m || !has_more_rows(m, uids, left))) {
        *from_uid = (uint64_t)uids->ranges[uids->count - 1].last + 1;
        *ret_part = *uids;
        return true;
    }
    buf_clear(&room->ranges);
    for (size_t i = set_range_from(uids, (uint32_t)*from_uid); i < uids->count && left > 0; i++) {
        struct imap_range range = uids->ranges[i];
        if (range.first < *from_uid) range.first = (uint32_t)*from_uid;
        uint64_t rows = m ? rows_within(m, range) : 0;
        if (rows > left) range.last = uid_of_row(m, range, rows = left);
        left -= rows;
        imap_set_builder_add_range(room, range.first, range.last);
        *from_uid = (uint64_t)range.last + 1;
    }
    *ret_part = imap_set_builder_set(room);
    return true;
}

/* The UID before the block that is one too many for a record, or UINT32_MAX. */
static uint32_t end_of_expunge(struct mailbox *m, const struct imap_set *uids, uint32_t from_uid)
{
    struct removal removal = {.uids = uids, .only_deleted = true};
    uint32_t rows = 0;
    for (uint32_t i = mailbox_block_of_uid(m, from_uid); i < m->block_count; i++) {
        const struct block *b = m->blocks[i];
        if (b->first_uid > uids->ranges[uids->count - 1].last) break;
        if (!removal_takes_part(&removal, b)) continue;
        if (rows && rows + b->count > m->state->pool.turn_rows) return b->first_uid - 1;
        rows += b->count;
    }
    return UINT32_MAX;
}

bool state_cut_expunge(struct state *s, uint32_t mailbox, const struct imap_set *uids, uint64_t *from_uid, struct imap_set_builder *room, struct imap_set *ret_part)
{
    struct mailbox *m = state_mailbox(s, mailbox);
    if (uids->count == 0 || *from_uid > uids->ranges[uids->count - 1].last) return false;
    struct imap_range range = {(uint32_t)*from_uid, m ? end_of_expunge(m, uids, (uint32_t)*from_uid) : UINT32_MAX};
    struct imap_set within = {.ranges = &range, .count = 1};
    *ret_part = *uids;
    if (*from_uid > 0 || range.last < UINT32_MAX) {
        buf_clear(&room->ranges);
        imap_set_builder_add_common(room, uids, &within);
        *ret_part = imap_set_builder_set(room);
    }
    *from_uid = (uint64_t)range.last + 1;
    return ret_part->count > 0;
}

/* ---- the copies ---- */

static void share_mailbox(struct state *shadow, const struct mailbox *m)
{
    if (!m || state_any_mailbox(shadow, m->number)) return;
    struct mailbox *copy = block_copy_array(m, sizeof *m);
    copy->state = shadow;
    copy->blocks = block_copy_array(m->blocks, m->block_count * sizeof(struct block *));
    copy->block_capacity = m->block_count;
    copy->graves = block_copy_array(m->graves, m->grave_count * sizeof(struct grave *));
    copy->grave_capacity = m->grave_count;
    copy->keywords = block_copy_array(m->keywords, m->keyword_count * sizeof *m->keywords);
    copy->keyword_capacity = m->keyword_count;
    copy->metadata = (struct metadata){0};
    copy->log = (struct vanish_log){0};
    list_init(&copy->numberings);
    shadow->mailboxes[shadow->mailbox_count++] = copy;
}

static struct mailbox *find_target(struct state *s, const struct record *r)
{
    char text[RECORD_NAME_BYTES_MAX];
    view name;
    return name_canonical(r->restore.into, text, &name) ? state_find(s, name) : NULL;
}

/* Those with rows that may come back, and where they may go. Whoever names no mailbox need not be told of one. */
static bool is_concerned(const struct record *r, const struct mailbox *m, const struct mailbox *into)
{
    if (m == into || (!into && m->number == INBOX_NUMBER)) return true;
    if (r->restore.mailbox) return m->number == r->restore.mailbox;
    for (uint32_t i = 0; i < m->grave_count; i++)
        if (restore_needs_grave(r, m->graves[i])) return true;
    return false;
}

static void share_for_restore(struct state *shadow, struct state *s, const struct record *r)
{
    struct mailbox *into = r->restore.into.len ? find_target(s, r) : NULL, *made;
    for (size_t i = 0; i < s->mailbox_count; i++)
        if (is_concerned(r, s->mailboxes[i], into)) share_mailbox(shadow, s->mailboxes[i]);
    if (r->restore.into.len == 0) return;
    if (into) {
        shadow->aside->into = state_any_mailbox(shadow, into->number);
        return;
    }
    made = calloc(1, sizeof *made);
    check(made != NULL);
    *made = (struct mailbox){.state = shadow, .number = TO_BE_MADE, .is_selectable = true, .uid_next = 1, .highest_modseq = shadow->sequence};
    list_init(&made->numberings);
    shadow->aside->into = shadow->mailboxes[shadow->mailbox_count++] = made;
}

/* In order of number. */
static void share_mailboxes(struct state *shadow, struct state *s, const struct record *r)
{
    shadow->mailboxes = calloc(s->mailbox_count + 1, sizeof(struct mailbox *));
    check(shadow->mailboxes != NULL);
    if (r->kind == RECORD_RESTORE) {
        share_for_restore(shadow, s, r);
        return;
    }
    uint32_t one = r->kind == RECORD_FLAGS ? r->flags.mailbox : r->kind == RECORD_COPY ? r->copy.from : r->expunge.mailbox;
    uint32_t other = r->kind == RECORD_COPY ? r->copy.to : one;
    share_mailbox(shadow, state_mailbox(s, one < other ? one : other));
    share_mailbox(shadow, state_mailbox(s, one < other ? other : one));
}

result state_restore_target(struct state *s, const struct record *r, struct mailbox **ret_mailbox)
{
    if (s->aside) *ret_mailbox = s->aside->into;
    if (s->aside || r->restore.into.len == 0) return OK;
    result code = state_create(s, r->restore.into, r->written, ret_mailbox);
    return code == EXISTS ? OK : code;
}

/* `from` ends. Its name is the other's. */
static void take_over(struct mailbox *m, struct mailbox *from)
{
    for (uint32_t i = m->grave_count; i < from->grave_count; i++) block_set_ranges(&m->state->pool, from->graves[i]->block, NULL, 0);
    free(m->blocks);
    free(m->graves);
    free(m->keywords);
    m->blocks = from->blocks;
    m->block_count = from->block_count;
    m->block_capacity = from->block_capacity;
    m->before_valid = 0;
    m->graves = from->graves;
    m->grave_count = from->grave_count;
    m->grave_capacity = from->grave_capacity;
    m->keywords = from->keywords;
    m->keyword_count = from->keyword_count;
    m->keyword_capacity = from->keyword_capacity;
    m->uid_next = from->uid_next;
    m->exists = from->exists;
    m->unseen = from->unseen;
    m->deleted = from->deleted;
    m->size_bytes = from->size_bytes;
    m->highest_modseq = from->highest_modseq;
    free(from);
}

/* Whoever was restored into a mailbox that was not there is told which it is. */
static struct mailbox *make_target(struct state *s, const struct record *r, struct outcome *o)
{
    struct mailbox *into = NULL;
    if (r->kind != RECORD_RESTORE || r->restore.into.len == 0) return NULL;
    result code = state_create(s, r->restore.into, r->written, &into);
    check(code == OK || code == EXISTS);
    o->mailbox = into->number;
    o->uid_validity = into->uid_validity;
    return into;
}

static void take_effect(struct state *s, struct state *shadow, const struct record *r, struct outcome *o)
{
    struct aside *a = shadow->aside;
    struct mailbox *into = make_target(s, r, o);
    s->pool.memory_bytes += shadow->pool.memory_bytes;
    s->usage.bytes += shadow->usage.bytes;                       /* differences: they may be below zero, and wrap */
    s->usage.messages += shadow->usage.messages;
    s->usage.expunged_bytes += shadow->usage.expunged_bytes;
    s->usage.expunged_messages += shadow->usage.expunged_messages;
    for (size_t i = 0; i < shadow->mailbox_count; i++) {
        struct mailbox *from = shadow->mailboxes[i];
        take_over(from == a->into ? into : state_any_mailbox(s, from->number), from);
    }
    if (a->vanished.count) mailbox_tell_vanished(state_mailbox(s, a->vanished_from), &a->vanished);
    if (r->kind == RECORD_RESTORE) state_end_mailboxes(s);
}

/* Nobody has them any more. */
MAY_YIELD static void forget_released(struct state *s, struct aside *a, const struct state_turns *turns)
{
    for (size_t i = 0; i < a->replaced_count; i++) {
        free(a->replaced[i]->runs);
        free(a->replaced[i]);
    }
    free(a->replaced);
    for (size_t i = 0; i < a->released_count; i++) {
        block_free(&s->pool, a->released[i]);
        turns->breathe(turns->argument);
    }
    free(a->released);
}

void state_apply_in_turns(struct state *s, const struct record *r, struct record_place place, struct arena *arena, struct outcome *ret_outcome,
                          const struct state_turns *turns)
{
    struct outcome o = {.code = OK, .modseq = s->sequence + 1};
    if (recent_has(&s->recent, r->id) || !state_wants_turns(s, r)) {
        state_apply(s, r, place, arena, ret_outcome);
        return;
    }
    struct aside aside = {.last_serial = s->pool.serial};
    struct state *shadow = calloc(1, sizeof *shadow);
    check(shadow != NULL);
    shadow->aside = &aside;
    shadow->turns = turns;
    shadow->sequence = s->sequence + 1;
    shadow->pool = s->pool;
    shadow->pool.memory_bytes = 0;
    shadow->pool.tick++;
    s->pool.serial += SERIALS_ASIDE;
    share_mailboxes(shadow, s, r);
    state_apply_kind(shadow, r, &place, ret_outcome ? arena : NULL, &o);
    check(s->sequence + 1 == shadow->sequence && shadow->pool.serial <= aside.last_serial + SERIALS_ASIDE);
    s->sequence++;
    s->pool.tick++;
    take_effect(s, shadow, r, &o);
    recent_add(&s->recent, r->id, r->written, o.code);
    if (ret_outcome) *ret_outcome = o;
    free(shadow->mailboxes);
    free(shadow);
    free(aside.vanished.at);
    forget_released(s, &aside, turns);
}
