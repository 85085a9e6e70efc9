#include "account/view.h"

#include <stdlib.h>
#include <string.h>

#include "account/numbering.h"
#include "account/private.h"
#include "account/state_private.h"
#include "base/check.h"

enum { LOAD_AT_ONCE = 16 };

struct mailbox_view {
    struct account *account;
    uint32_t mailbox;
    struct numbering numbering;
};

result mailbox_view_open(struct account *a, uint32_t mailbox, struct mailbox_view **ret_view)
{
    struct mailbox *m = state_mailbox(account_state(a), mailbox);
    if (!m || !m->is_selectable) return NOT_FOUND;
    struct mailbox_view *v = calloc(1, sizeof *v);
    check(v != NULL);
    v->account = a;
    v->mailbox = mailbox;
    numbering_open(&v->numbering, m);
    *ret_view = v;
    return OK;
}

void mailbox_view_close(struct mailbox_view *v)
{
    if (!v) return;
    numbering_close(&v->numbering);
    free(v);
}

uint32_t mailbox_view_mailbox(const struct mailbox_view *v) { return v->mailbox; }
bool mailbox_view_exists(const struct mailbox_view *v) { return v->numbering.mailbox != NULL; }
uint32_t mailbox_view_count(const struct mailbox_view *v) { return v->numbering.count; }
uint32_t mailbox_view_highest_uid(const struct mailbox_view *v) { return numbering_highest_uid(&v->numbering); }
bool mailbox_view_is_behind(const struct mailbox_view *v) { return numbering_is_behind(&v->numbering); }
void mailbox_view_knows(struct mailbox_view *v, uint64_t modseq) { numbering_knows(&v->numbering, modseq); }

/* ---- rows ---- */

static uint32_t block_index(const struct mailbox *m, const struct block *b)
{
    return mailbox_block_of_uid(m, b->last_uid);
}

/* Copies what is there, up to the first row that is not loaded. How many. */
static size_t copy_numbered(struct mailbox_view *v, uint32_t first, size_t max, struct row *rows)
{
    size_t done = 0;
    while (done < max) {
        struct numbered at = numbering_at(&v->numbering, first + (uint32_t)done);
        size_t count = at.count < max - done ? at.count : max - done;
        if (at.is_ghost) {
            memset(&rows[done], 0, count * sizeof *rows);
            for (size_t i = 0; i < count; i++) rows[done + i].uid = at.uid + (uint32_t)i;
        } else {
            uint32_t index;
            struct block *b = mailbox_block_at(v->numbering.mailbox, at.rank, &index);
            if (!b->is_loaded) break;
            if (count > b->count - index) count = b->count - index;
            b->used = v->numbering.mailbox->state->pool.tick;
            memcpy(&rows[done], &b->rows[index], count * sizeof *rows);
        }
        done += count;
    }
    return done;
}

/* The blocks that are wanted for rows from `first` on. */
static size_t ask_numbered(struct mailbox_view *v, uint32_t first, size_t max, struct block_key keys[LOAD_AT_ONCE])
{
    struct mailbox *m = v->numbering.mailbox;
    size_t count = 0;
    for (size_t done = 0; done < max && count < LOAD_AT_ONCE;) {
        struct numbered at = numbering_at(&v->numbering, first + (uint32_t)done);
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

result mailbox_view_rows(struct mailbox_view *v, uint32_t first, size_t max, struct row *rows, size_t *ret_count, millis deadline, struct fault *fault)
{
    size_t done = 0;
    if (first == 0 || first > v->numbering.count) max = 0;
    for (;;) {
        size_t left = max ? v->numbering.count - (first - 1) : 0;
        if (max > left) max = left;
        done += copy_numbered(v, first + (uint32_t)done, max - done, rows + done);
        if (done == max) break;
        struct block_key keys[LOAD_AT_ONCE];
        size_t count = ask_numbered(v, first + (uint32_t)done, max - done, keys);
        result loaded = account_load_blocks(v->account, keys, count, deadline, fault);
        if (loaded != OK) return loaded;
    }
    *ret_count = done;
    return OK;
}

/* ---- numbers ---- */

result mailbox_view_range(struct mailbox_view *v, uint32_t first_uid, uint32_t last_uid, uint32_t *ret_first, uint32_t *ret_last, millis deadline,
                          struct fault *fault)
{
    *ret_first = numbering_below(&v->numbering, first_uid) + 1;
    *ret_last = last_uid == UINT32_MAX ? v->numbering.count : numbering_below(&v->numbering, last_uid + 1);
    return OK;
}

result mailbox_view_uids(struct mailbox_view *v, const struct imap_set *sequence_numbers, struct arena *arena, struct imap_set *ret_uids, millis deadline,
                         struct fault *fault)
{
    struct imap_set uids = {0};
    if (sequence_numbers->count) uids.ranges = arena_try_alloc(arena, sequence_numbers->count * sizeof *uids.ranges);
    if (sequence_numbers->count && !uids.ranges) return fail(fault, TOO_BIG, "a set of %zu ranges", sequence_numbers->count);
    for (size_t i = 0; i < sequence_numbers->count; i++) {
        struct imap_range numbers = sequence_numbers->ranges[i];
        if (numbers.first > v->numbering.count) break;
        if (numbers.last > v->numbering.count) numbers.last = v->numbering.count;
        uids.ranges[uids.count++] = (struct imap_range){numbering_uid(&v->numbering, numbers.first), numbering_uid(&v->numbering, numbers.last)};
    }
    *ret_uids = uids;
    return OK;
}

/* ---- what is new ---- */

static bool block_may_have_changes(const struct mailbox_view *v, const struct block *b)
{
    return b->highest_modseq > v->numbering.told_modseq && b->first_uid <= v->numbering.known_uid;
}

static size_t ask_changed(struct mailbox_view *v, struct block_key keys[LOAD_AT_ONCE])
{
    struct mailbox *m = v->numbering.mailbox;
    size_t count = 0;
    for (uint32_t i = 0; m && i < m->block_count && count < LOAD_AT_ONCE; i++)
        if (!m->blocks[i]->is_loaded && block_may_have_changes(v, m->blocks[i])) keys[count++] = state_block_key(m->state, m->number, m->blocks[i], i, false);
    return count;
}

/* Numbers that the rows have once the ghosts are forgotten, or before. */
static void find_changed(struct mailbox_view *v, bool without_ghosts, struct imap_set_builder *changed)
{
    struct numbering *n = &v->numbering;
    struct mailbox *m = n->mailbox;
    for (uint32_t i = 0; m && i < m->block_count; i++) {
        const struct block *b = m->blocks[i];
        if (!block_may_have_changes(v, b)) continue;
        uint32_t before = mailbox_count_before(m, i);
        for (uint32_t k = 0; k < b->count && b->rows[k].uid <= n->known_uid; k++)
            if (b->rows[k].modseq > n->told_modseq && !numbering_has_told(n, b->rows[k].modseq))
                imap_set_builder_add(changed, without_ghosts ? before + k + 1 : numbering_below(n, b->rows[k].uid) + 1);
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

static void take_as_told(struct mailbox_view *v, bool may_expunge, struct mailbox_changes *changes)
{
    struct numbering *n = &v->numbering;
    if (may_expunge) numbering_forget_ghosts(n);
    uint32_t known = n->count;
    numbering_take_new(n);
    changes->exists = n->count;
    changes->exists_changed = n->count != known;
    if (n->mailbox) n->told_modseq = n->mailbox->highest_modseq;
    n->known_count = 0;
}

result mailbox_view_sync(struct mailbox_view *v, bool may_expunge, struct arena *arena, struct mailbox_changes *ret_changes, millis deadline,
                         struct fault *fault)
{
    struct block_key keys[LOAD_AT_ONCE];
    for (size_t count; (count = ask_changed(v, keys)) > 0;) {
        result loaded = account_load_blocks(v->account, keys, count, deadline, fault);
        if (loaded != OK) return loaded;
    }
    struct mailbox_changes changes = {0};
    struct imap_set_builder changed = IMAP_SET_BUILDER_INIT, numbers = IMAP_SET_BUILDER_INIT, uids = IMAP_SET_BUILDER_INIT;
    find_changed(v, may_expunge, &changed);
    if (may_expunge) find_expunged(&v->numbering, &numbers, &uids);
    bool fits = keep_set(&changed, arena, &changes.changed) && keep_set(&numbers, arena, &changes.expunged) &&
                keep_set(&uids, arena, &changes.expunged_uids);
    imap_set_builder_done(&changed);
    imap_set_builder_done(&numbers);
    imap_set_builder_done(&uids);
    if (!fits) return fail(fault, TOO_BIG, "the changes of mailbox %u do not fit the arena", v->mailbox);
    take_as_told(v, may_expunge, &changes);
    *ret_changes = changes;
    return OK;
}
