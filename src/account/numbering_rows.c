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

/* ---- what was changed ---- */

static bool may_have_changes(const struct mailbox_changes *c, const struct block *b)
{
    return b->highest_modseq > c->since && b->first_uid <= c->known_uid;
}

size_t numbering_needs_changes(const struct numbering *n, const struct mailbox_changes *c, struct block_key *keys, size_t max_keys)
{
    struct mailbox *m = n->mailbox;
    size_t count = 0;
    for (uint32_t i = m ? mailbox_block_of_uid(m, c->from_uid) : 0; m && i < m->block_count && count < max_keys; i++)
        if (!m->blocks[i]->is_loaded && may_have_changes(c, m->blocks[i])) keys[count++] = state_block_key(m->state, m->number, m->blocks[i], i, false);
    return count;
}

static bool is_told(const struct mailbox_changes *c, uint64_t modseq)
{
    if (modseq <= c->since) return true;
    for (size_t i = 0; i < c->known_count; i++)
        if (modseq >= c->known[i].first && modseq <= c->known[i].last) return true;
    return false;
}

/* Every row of the block is to be told. */
static bool has_changed_whole(const struct mailbox_changes *c, const struct block *b)
{
    if (b->lowest_modseq <= c->since || b->first_uid < c->from_uid || b->last_uid > c->known_uid) return false;
    for (size_t i = 0; i < c->known_count; i++)
        if (c->known[i].last >= b->lowest_modseq && c->known[i].first <= b->highest_modseq) return false;
    return true;
}

/* `before`: rows of the mailbox before the block. */
static void add_changed(const struct numbering *n, const struct mailbox_changes *c, const struct block *b, uint32_t before, struct imap_set_builder *numbers)
{
    size_t ghost = numbering_ghost_from(n, b->first_uid);    /* the first that is not below the row */
    bool has_ghosts = ghost < n->ghost_count && n->ghosts[ghost].first <= b->last_uid;
    if (!has_ghosts && has_changed_whole(c, b)) {
        uint32_t ghosts = ghost < n->ghost_count ? n->ghosts[ghost].before : n->ghost_messages;
        imap_set_builder_add_range(numbers, before + ghosts + 1, before + ghosts + b->count);
        return;
    }
    for (uint32_t k = block_next_changed(b, block_rank(b, c->from_uid), c->since); k < b->count; k = block_next_changed(b, k + 1, c->since)) {
        if (is_told(c, block_modseq_at(b, k))) continue;
        uint32_t uid = block_uid_at(b, k);
        if (uid > c->known_uid) break;
        while (ghost < n->ghost_count && n->ghosts[ghost].last < uid) ghost++;
        imap_set_builder_add(numbers, before + k + 1 + (ghost < n->ghost_count ? n->ghosts[ghost].before : n->ghost_messages));
    }
}

bool numbering_next_changed(const struct numbering *n, struct mailbox_changes *c, struct imap_set_builder *numbers)
{
    struct mailbox *m = n->mailbox;
    for (uint32_t i = m ? mailbox_block_of_uid(m, c->from_uid) : 0; m && i < m->block_count; i++) {
        const struct block *b = m->blocks[i];
        if (!may_have_changes(c, b) || (b->lowest_modseq == b->highest_modseq && is_told(c, b->lowest_modseq))) continue;
        if (b->is_loaded) {
            add_changed(n, c, b, mailbox_count_before(m, i), numbers);
            c->from_uid = b->last_uid + 1;
        }
        return true;
    }
    return false;
}
