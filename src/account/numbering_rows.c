/*
 * numbering_rows: rows by sequence number, and what there is to tell a session.
 */
#include <string.h>

#include "account/state_private.h"
#include "account/view.h"

static uint32_t block_index(const struct mailbox *m, const struct block *b)
{
    return mailbox_block_of_uid(m, b->last_uid);
}

size_t numbering_rows(struct numbering *n, uint32_t first, size_t max, struct row *rows)
{
    size_t done = 0;
    while (done < max) {
        struct numbered at = numbering_at(n, first + (uint32_t)done);
        size_t count = at.count < max - done ? at.count : max - done;
        if (at.is_ghost) {
            memset(&rows[done], 0, count * sizeof *rows);
            for (size_t i = 0; i < count; i++) rows[done + i].uid = at.uid + (uint32_t)i;
        } else {
            uint32_t index;
            struct block *b = mailbox_block_at(n->mailbox, at.rank, &index);
            if (!b->is_loaded) break;
            if (count > b->count - index) count = b->count - index;
            b->used = n->mailbox->state->pool.tick;
            block_read_rows(b, index, (uint32_t)count, &rows[done]);
        }
        done += count;
    }
    return done;
}

size_t numbering_needs_rows(struct numbering *n, uint32_t first, size_t max, struct block_key *keys, size_t max_keys)
{
    struct mailbox *m = n->mailbox;
    size_t count = 0;
    for (size_t done = 0; done < max && count < max_keys;) {
        struct numbered at = numbering_at(n, first + (uint32_t)done);
        size_t step = at.count;
        if (!at.is_ghost) {
            uint32_t index;
            struct block *b = mailbox_block_at(m, at.rank, &index);
            if (step > b->count - index) step = b->count - index;
            if (!b->is_loaded) {
                struct block_key key = state_block_key(m->state, m->number, b, block_index(m, b), false);
                if (count == 0 || keys[count - 1].index != key.index) keys[count++] = key;
            }
        }
        done += step;
    }
    return count;
}

/* ---- what is new ---- */

static bool block_may_have_changes(const struct numbering *n, const struct block *b)
{
    return b->highest_modseq > n->told_modseq && b->first_uid <= n->known_uid;
}

size_t numbering_needs_changes(struct numbering *n, struct block_key *keys, size_t max_keys)
{
    struct mailbox *m = n->mailbox;
    size_t count = 0;
    for (uint32_t i = 0; m && i < m->block_count && count < max_keys; i++)
        if (!m->blocks[i]->is_loaded && block_may_have_changes(n, m->blocks[i])) keys[count++] = state_block_key(m->state, m->number, m->blocks[i], i, false);
    return count;
}

/* Every row of the block is to be told, and no ghost stands between them. `ghost`: the first that is not below them. */
static bool has_changed_whole(const struct numbering *n, const struct block *b, size_t ghost, bool without_ghosts)
{
    if (b->lowest_modseq <= n->told_modseq || b->last_uid > n->known_uid) return false;
    for (size_t i = 0; i < n->known_count; i++)
        if (n->known[i].last >= b->lowest_modseq && n->known[i].first <= b->highest_modseq) return false;
    return without_ghosts || ghost == n->ghost_count || n->ghosts[ghost].first > b->last_uid;
}

/* Numbers that the rows have once the ghosts are forgotten, or before. */
static void find_changed(struct numbering *n, bool without_ghosts, struct imap_set_builder *changed)
{
    struct mailbox *m = n->mailbox;
    size_t ghost = 0;                    /* the first that is not below the row */
    for (uint32_t i = 0; m && i < m->block_count; i++) {
        const struct block *b = m->blocks[i];
        if (!block_may_have_changes(n, b)) continue;
        if (b->lowest_modseq == b->highest_modseq && numbering_has_told(n, b->lowest_modseq)) continue;
        uint32_t before = mailbox_count_before(m, i);
        while (ghost < n->ghost_count && n->ghosts[ghost].last < b->first_uid) ghost++;
        if (has_changed_whole(n, b, ghost, without_ghosts)) {
            if (!without_ghosts) before += ghost < n->ghost_count ? n->ghosts[ghost].before : n->ghost_messages;
            imap_set_builder_add_range(changed, before + 1, before + b->count);
            continue;
        }
        for (uint32_t k = block_next_changed(b, 0, n->told_modseq); k < b->count; k = block_next_changed(b, k + 1, n->told_modseq)) {
            if (numbering_has_told(n, block_modseq_at(b, k))) continue;
            uint32_t uid = block_uid_at(b, k);
            if (uid > n->known_uid) break;
            while (ghost < n->ghost_count && n->ghosts[ghost].last < uid) ghost++;
            uint32_t ghosts = ghost < n->ghost_count ? n->ghosts[ghost].before : n->ghost_messages;
            imap_set_builder_add(changed, before + k + 1 + (without_ghosts ? 0 : ghosts));
        }
    }
}

static void find_expunged(const struct numbering *n, struct imap_set_builder *numbers, struct imap_set_builder *uids)
{
    for (size_t i = 0; i < n->ghost_count; i++) {
        const struct ghost *g = &n->ghosts[i];
        imap_set_builder_add_range(numbers, g->number, g->number + (g->last - g->first));
        imap_set_builder_add_range(uids, g->first, g->last);
    }
}

static bool keep_set(const struct imap_set_builder *builder, struct arena *arena, struct imap_set *ret_set)
{
    *ret_set = outcome_set(builder, arena);
    return ret_set->count == imap_set_builder_set(builder).count;
}

static void take_as_told(struct numbering *n, bool may_expunge, struct mailbox_changes *changes)
{
    if (may_expunge) numbering_forget_ghosts(n);
    uint32_t known = n->count;
    numbering_take_new(n);
    changes->exists = n->count;
    changes->exists_changed = n->count != known;
    if (n->mailbox) n->told_modseq = n->mailbox->highest_modseq;
    n->known_count = 0;
}


bool numbering_sync(struct numbering *n, bool may_expunge, struct arena *arena, struct mailbox_changes *ret_changes)
{
    struct mailbox_changes changes = {0};
    struct imap_set_builder changed = IMAP_SET_BUILDER_INIT, numbers = IMAP_SET_BUILDER_INIT, uids = IMAP_SET_BUILDER_INIT;
    find_changed(n, may_expunge, &changed);
    if (may_expunge) find_expunged(n, &numbers, &uids);
    bool fits = keep_set(&changed, arena, &changes.changed) && keep_set(&numbers, arena, &changes.expunged) &&
                keep_set(&uids, arena, &changes.expunged_uids);
    imap_set_builder_done(&changed);
    imap_set_builder_done(&numbers);
    imap_set_builder_done(&uids);
    if (!fits) return false;
    take_as_told(n, may_expunge, &changes);
    *ret_changes = changes;
    return true;
}
