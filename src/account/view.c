#include "account/view.h"

#include <stdlib.h>
#include <string.h>

#include "account/private.h"
#include "account/state_private.h"
#include "base/check.h"
#include "runtime/coroutine.h"

enum { LOAD_AT_ONCE = 16, RANGES_PER_TURN = 64 };

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
void mailbox_view_knows(struct mailbox_view *v, uint64_t follows, uint64_t modseq) { numbering_knows(&v->numbering, follows, modseq); }
bool mailbox_view_has_told(const struct mailbox_view *v, uint64_t modseq) { return numbering_has_told(&v->numbering, modseq); }

result mailbox_view_rows(struct mailbox_view *v, uint32_t first, size_t max, struct row *rows, size_t *ret_count, millis deadline, struct fault *fault)
{
    size_t done = 0;
    if (first == 0 || first > v->numbering.count) max = 0;
    for (;;) {
        size_t left = max ? v->numbering.count - (first - 1) : 0;
        if (max > left) max = left;
        done += numbering_rows(&v->numbering, first + (uint32_t)done, max - done, rows + done);
        if (done == max) break;
        struct block_key keys[LOAD_AT_ONCE];
        size_t count = numbering_needs_rows(&v->numbering, first + (uint32_t)done, max - done, keys, LOAD_AT_ONCE);
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
        if (i % RANGES_PER_TURN == 0 && coroutine_is_overdue()) coroutine_pause();
    }
    *ret_uids = uids;
    return OK;
}

/* ---- what is new ---- */

static result end_set(struct imap_set_builder *uids, struct arena *arena, struct imap_set *ret_uids, struct fault *fault)
{
    size_t count = imap_set_builder_set(uids).count;
    struct imap_set set = outcome_set(uids, arena);
    imap_set_builder_done(uids);
    if (set.count < count) return fail(fault, TOO_BIG, "%zu ranges of messages do not fit the arena", count);
    *ret_uids = set;
    return OK;
}

result mailbox_view_touched(struct mailbox_view *v, uint64_t since, struct arena *arena, struct imap_set *ret_uids, struct fault *fault)
{
    struct imap_set_builder uids = IMAP_SET_BUILDER_INIT;
    const struct mailbox *m = v->numbering.mailbox;
    for (uint32_t i = 0, from = 1; m && i < m->block_count;) {
        const struct block *b = m->blocks[i++];
        if (b->highest_modseq <= since) continue;
        block_add_changed(b, from, since, &uids);
        from = b->last_uid + 1;
        if (!coroutine_is_overdue()) continue;
        coroutine_pause();
        m = v->numbering.mailbox;
        i = m ? mailbox_block_of_uid(m, from) : 0;       /* they may be other blocks now */
    }
    return end_set(&uids, arena, ret_uids, fault);
}

result mailbox_view_dated(const struct mailbox_view *v, unix_ms from, unix_ms until, struct arena *arena, struct imap_set *ret_uids, struct fault *fault)
{
    struct imap_set_builder uids = IMAP_SET_BUILDER_INIT;
    const struct mailbox *m = v->numbering.mailbox;
    for (uint32_t i = 0; m && i < m->block_count; i++) {
        const struct block *b = m->blocks[i];
        if (!b->is_loaded || (b->oldest.ms <= until.ms && b->newest.ms >= from.ms)) imap_set_builder_add_range(&uids, b->first_uid, b->last_uid);
    }
    return end_set(&uids, arena, ret_uids, fault);
}

static bool may_have_flag(const struct block *b, uint64_t flag, bool is_set)
{
    uint32_t without = flag == ROW_SEEN ? b->unseen : b->count - b->deleted;
    return is_set ? without < b->count : without > 0;
}

result mailbox_view_flagged(const struct mailbox_view *v, uint64_t flag, bool is_set, struct arena *arena, struct imap_set *ret_uids, struct fault *fault)
{
    check(flag == ROW_SEEN || flag == ROW_DELETED);
    struct imap_set_builder uids = IMAP_SET_BUILDER_INIT;
    const struct mailbox *m = v->numbering.mailbox;
    for (uint32_t i = 0; m && i < m->block_count; i++) {
        const struct block *b = m->blocks[i];
        if (may_have_flag(b, flag, is_set)) imap_set_builder_add_range(&uids, b->first_uid, b->last_uid);
    }
    return end_set(&uids, arena, ret_uids, fault);
}

void mailbox_view_sync(struct mailbox_view *v, bool may_expunge, struct mailbox_changes *ret_changes)
{
    numbering_sync(&v->numbering, may_expunge, ret_changes);
}

result mailbox_view_next_changed(struct mailbox_view *v, struct mailbox_changes *c, struct imap_set_builder *numbers, millis deadline, struct fault *fault)
{
    buf_clear(&numbers->ranges);
    for (;;) {
        struct block_key keys[LOAD_AT_ONCE];
        uint32_t from_uid = c->from_uid;
        if (!numbering_next_changed(&v->numbering, c, numbers)) return END;
        if (c->from_uid != from_uid) return OK;
        size_t count = numbering_needs_changes(&v->numbering, c, keys, LOAD_AT_ONCE);
        result loaded = account_load_blocks(v->account, keys, count, deadline, fault);
        if (loaded != OK) return loaded;
    }
}

void mailbox_view_tell_again(struct mailbox_view *v, const struct mailbox_changes *c) { numbering_tell_again(&v->numbering, c); }
