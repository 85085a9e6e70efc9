/*
 * mailbox_rows: the blocks of a mailbox, places of UIDs in them, and taking rows out.
 */
#include <stdlib.h>
#include <string.h>

#include "account/state_private.h"
#include "base/check.h"

void mailbox_add_block(struct mailbox *m, struct block *b)
{
    if (m->block_count == m->block_capacity) {
        size_t capacity = m->block_capacity;
        m->blocks = state_grow(m->blocks, m->block_count, &capacity, sizeof *m->blocks);
        m->block_capacity = (uint32_t)capacity;
    }
    b->before = m->exists;
    if (m->before_valid == m->block_count) m->before_valid++;
    m->blocks[m->block_count++] = b;
    m->exists += b->count;
    m->unseen += b->unseen;
    m->deleted += b->deleted;
    m->size_bytes += b->size_bytes;
}

void mailbox_push(struct mailbox *m, const struct row *row, view uidl)
{
    struct block *last = m->block_count ? m->blocks[m->block_count - 1] : NULL;
    if (!last || !last->is_loaded || last->count >= m->state->pool.block_rows || block_is_shared(m->state, last)) {
        last = block_new(&m->state->pool);
        mailbox_add_block(m, last);
    }
    block_push(&m->state->pool, last, row, uidl);
    m->exists++;
    if (!(row->flags & ROW_SEEN)) m->unseen++;
    if (row->flags & ROW_DELETED) m->deleted++;
    m->size_bytes += row->size_bytes;
    m->highest_modseq = row->modseq;
    m->uid_next = row->uid + 1;
    m->state->usage.messages++;
    m->state->usage.bytes += row->size_bytes;
}

void mailbox_push_block(struct mailbox *m, struct block *b)
{
    mailbox_add_block(m, b);
    m->highest_modseq = b->highest_modseq;
    m->uid_next = b->last_uid + 1;
    m->state->usage.messages += b->count;
    m->state->usage.bytes += b->size_bytes;
}

uint32_t mailbox_count_before(struct mailbox *m, uint32_t block)
{
    for (; m->before_valid <= block; m->before_valid++) {
        uint32_t i = m->before_valid;
        m->blocks[i]->before = i ? m->blocks[i - 1]->before + m->blocks[i - 1]->count : 0;
    }
    return m->blocks[block]->before;
}

uint32_t mailbox_block_of_uid(const struct mailbox *m, uint32_t uid)
{
    uint32_t low = 0, high = m->block_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (m->blocks[middle]->last_uid < uid) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

uint32_t mailbox_rank(struct mailbox *m, uint32_t uid)
{
    uint32_t i = mailbox_block_of_uid(m, uid);
    return i == m->block_count ? m->exists : mailbox_count_before(m, i) + block_rank(m->blocks[i], uid);
}

struct block *mailbox_block_at(struct mailbox *m, uint32_t rank, uint32_t *ret_index)
{
    check(rank < m->exists);
    mailbox_count_before(m, m->block_count - 1);
    uint32_t low = 0, high = m->block_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (m->blocks[middle]->before <= rank) {
            low = middle;
        } else {
            high = middle;
        }
    }
    *ret_index = rank - m->blocks[low]->before;
    return m->blocks[low];
}

uint32_t mailbox_uid_at(struct mailbox *m, uint32_t rank)
{
    uint32_t index;
    const struct block *b = mailbox_block_at(m, rank, &index);
    return block_uid_at(b, index);
}

static bool can_join(const struct state *s, const struct block *left, const struct block *right)
{
    return !block_is_shared(s, left) && left->is_loaded && right->is_loaded && left->count + right->count <= s->pool.block_rows / 2;
}

static void join(struct state *s, struct block *left, struct block *right)
{
    for (uint32_t i = 0; i < right->count; i++) {
        struct row row = block_row(right, i);
        block_push(&s->pool, left, &row, block_uidl(right, i));
    }
    state_release_block(s, right);
}

void mailbox_tidy(struct mailbox *m)
{
    uint32_t kept = 0;
    m->exists = m->unseen = m->deleted = 0;
    m->size_bytes = 0;
    for (uint32_t i = 0; i < m->block_count; i++) {
        struct block *b = m->blocks[i];
        if (!b) continue;
        if (b->count == 0) {
            state_release_block(m->state, b);
        } else if (kept && can_join(m->state, m->blocks[kept - 1], b)) {
            join(m->state, m->blocks[kept - 1], b);
        } else {
            m->blocks[kept++] = b;
        }
    }
    m->block_count = kept;
    m->before_valid = 0;
    for (uint32_t i = 0; i < kept; i++) {
        m->exists += m->blocks[i]->count;
        m->unseen += m->blocks[i]->unseen;
        m->deleted += m->blocks[i]->deleted;
        m->size_bytes += m->blocks[i]->size_bytes;
    }
}

/* ---- sets and blocks ---- */

size_t set_range_from(const struct imap_set *set, uint32_t number)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->ranges[middle].last < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool set_overlaps(const struct imap_set *set, uint32_t first, uint32_t last)
{
    size_t i = set_range_from(set, first);
    return i < set->count && set->ranges[i].first <= last;
}

static bool set_covers(const struct imap_set *set, uint32_t first, uint32_t last)
{
    size_t i = set_range_from(set, first);
    return i < set->count && set->ranges[i].first <= first && set->ranges[i].last >= last;
}

bool set_touches_block(const struct imap_set *set, const struct block *b)
{
    if (!set_overlaps(set, b->first_uid, b->last_uid)) return false;
    if (block_is_gapless(b)) return true;
    uint32_t last;
    for (uint32_t i = 0; i < b->count; i += last) {
        uint32_t first = block_uid_run(b, i, &last);
        if (set_overlaps(set, first, last)) return true;
        last = last - first + 1;
    }
    return false;
}

bool set_covers_block(const struct imap_set *set, const struct block *b)
{
    if (set_covers(set, b->first_uid, b->last_uid)) return true;
    if (block_is_gapless(b) || !set_overlaps(set, b->first_uid, b->last_uid)) return false;
    uint32_t last;
    for (uint32_t i = 0; i < b->count; i += last) {
        uint32_t first = block_uid_run(b, i, &last);
        if (!set_covers(set, first, last)) return false;
        last = last - first + 1;
    }
    return true;
}

/* ---- taking rows out ---- */

void vanished_add(struct vanished_list *v, uint32_t first, uint32_t last, uint32_t rank)
{
    struct vanished *newest = v->count ? &v->at[v->count - 1] : NULL;
    if (newest && newest->last + 1 == first) {
        newest->last = last;
        return;
    }
    v->at = state_grow(v->at, v->count, &v->capacity, sizeof *v->at);
    v->at[v->count++] = (struct vanished){first, last, rank};
}

enum fate { STAYS, GOES_WHOLE, GOES_IN_PART };

static enum fate fate_of(const struct removal *removal, const struct block *b)
{
    if (removal->only_deleted && b->deleted == 0) return STAYS;
    if (removal->uids && !set_touches_block(removal->uids, b)) return STAYS;
    if (removal->only_deleted && b->deleted < b->count) return GOES_IN_PART;
    return !removal->uids || set_covers_block(removal->uids, b) ? GOES_WHOLE : GOES_IN_PART;
}

bool removal_takes_part(const struct removal *removal, const struct block *b) { return fate_of(removal, b) == GOES_IN_PART; }

bool removal_needs_rows(const struct removal *removal, const struct block *b) { return !b->is_loaded && removal_takes_part(removal, b); }

static void add_whole(const struct block *b, uint32_t before, struct vanished_list *vanished)
{
    uint32_t last;
    for (uint32_t i = 0; i < b->count;) {
        uint32_t first = block_uid_run(b, i, &last);
        vanished_add(vanished, first, last, before + i);
        i += last - first + 1;
    }
}

struct part {
    struct mailbox *mailbox;
    const struct removal *removal;
    struct vanished_list *vanished;
    const struct block *block;
    uint32_t before;
    size_t range;                        /* of the set: rows come in order of UID */
};

static bool takes_row(void *argument, uint32_t index, const struct row *row)
{
    struct part *part = argument;
    const struct imap_set *uids = part->removal->uids;
    if (part->removal->only_deleted && !(row->flags & ROW_DELETED)) return false;
    if (uids) {
        while (part->range < uids->count && uids->ranges[part->range].last < row->uid) part->range++;
        if (part->range == uids->count || uids->ranges[part->range].first > row->uid) return false;
    }
    vanished_add(part->vanished, row->uid, row->uid, part->before + index);
    return true;
}

/* Rows must be buried before block_remove() moves UIDLs about: a first pass buries. */
static void bury_part(struct part *part)
{
    struct part look = *part;
    struct vanished_list unused = {0};
    look.vanished = &unused;
    for (uint32_t i = 0; i < part->block->count; i++) {
        struct row row = block_row(part->block, i);
        if (takes_row(&look, i, &row))
            grave_bury_row(part->mailbox, &row, block_uidl(part->block, i), part->removal->when, part->mailbox->state->sequence);
    }
    free(unused.at);
}

static void remove_part(struct mailbox *m, struct block *b, uint32_t before, const struct removal *removal, struct vanished_list *vanished)
{
    struct part part = {m, removal, vanished, b, before, 0};
    if (removal->buries) bury_part(&part);
    block_remove(&m->state->pool, b, takes_row, &part);
}

void mailbox_tell_vanished(struct mailbox *m, const struct vanished_list *vanished)
{
    vanish_log_add(m, vanished->at, vanished->count);
    list_each(node, &m->numberings) numbering_vanish(container_of(node, struct numbering, node), vanished->at, vanished->count);
}

void mailbox_remove_rows(struct mailbox *m, const struct removal *removal, struct vanished_list *vanished)
{
    uint32_t before = 0, exists = m->exists;
    uint64_t bytes = m->size_bytes;
    for (uint32_t i = 0; i < m->block_count; i++) {
        struct block *b = m->blocks[i];
        uint32_t count = b->count;
        enum fate fate = fate_of(removal, b);
        if (fate == GOES_WHOLE) {
            add_whole(b, before, vanished);
            m->blocks[i] = NULL;
            if (removal->buries) {
                grave_bury_block(m, b, removal->when, m->state->sequence);
            } else {
                state_release_block(m->state, b);
            }
        } else if (fate == GOES_IN_PART) {
            remove_part(m, state_own_block(m, i), before, removal, vanished);
        }
        before += count;
        state_breathe(m->state, fate == GOES_IN_PART ? count : 0);
    }
    if (vanished->count == 0) return;
    mailbox_tidy(m);
    m->highest_modseq = m->state->sequence;
    m->state->usage.messages -= exists - m->exists;
    m->state->usage.bytes -= bytes - m->size_bytes;
    if (!state_keeps_vanished(m, vanished)) mailbox_tell_vanished(m, vanished);
}

/* ---- keywords ---- */

static uint64_t keyword_flag(const struct mailbox *m, view keyword)
{
    for (uint32_t i = 0; i < m->keyword_count; i++)
        if (view_equal_nocase(m->keywords[i], keyword)) return (uint64_t)1 << (ROW_KEYWORD_BIT + i);
    return 0;
}

void mailbox_add_keyword(struct mailbox *m, view keyword)
{
    m->keywords = state_grow(m->keywords, m->keyword_count, &m->keyword_capacity, sizeof *m->keywords);
    m->keywords[m->keyword_count++] = state_keep_text(keyword);
}

static uint64_t take_keyword(struct mailbox *m, view keyword)
{
    uint64_t flag = keyword_flag(m, keyword);
    if (flag || m->keyword_count == ROW_KEYWORDS_MAX) return flag;
    mailbox_add_keyword(m, keyword);
    return (uint64_t)1 << (ROW_KEYWORD_BIT + m->keyword_count - 1);
}

uint64_t mailbox_take_keywords(struct mailbox *m, const view *keywords, size_t count)
{
    uint64_t flags = 0;
    for (size_t i = 0; i < count; i++) flags |= take_keyword(m, keywords[i]);
    return flags;
}

uint64_t keyword_map_flags(struct keyword_map *map, uint64_t flags)
{
    uint64_t mapped = flags & ROW_SYSTEM_FLAGS;
    for (uint64_t rest = flags >> ROW_KEYWORD_BIT; rest; rest &= rest - 1) {
        unsigned i = (unsigned)__builtin_ctzll(rest);
        if (!(map->known >> i & 1)) {
            map->to_flag[i] = take_keyword(map->to, map->from->keywords[i]);
            map->known |= (uint64_t)1 << i;
        }
        mapped |= map->to_flag[i];
    }
    return mapped;
}

view mailbox_keyword(const struct mailbox *m, unsigned bit)
{
    unsigned i = bit - ROW_KEYWORD_BIT;
    return bit >= ROW_KEYWORD_BIT && i < m->keyword_count ? m->keywords[i] : VIEW_EMPTY;
}

uint64_t mailbox_keyword_flag(const struct mailbox *m, view keyword) { return keyword_flag(m, keyword); }

size_t mailbox_keywords(const struct mailbox *m, struct arena *arena, view **ret_keywords)
{
    *ret_keywords = arena_array(arena, view, m->keyword_count);
    for (uint32_t i = 0; i < m->keyword_count; i++) (*ret_keywords)[i] = arena_keep(arena, m->keywords[i]);
    return m->keyword_count;
}
