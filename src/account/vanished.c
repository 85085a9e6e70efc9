/*
 * vanished: which UIDs of a mailbox are no more, for clients that come back (RFC 7162 §3.2).
 *
 * The last expunges are remembered since the state was loaded. For what is older, all UIDs that no message has are told, which
 * the RFC allows (§3.2.6, minmodseq). What is remembered is a help and no part of the value.
 */
#include <stdlib.h>
#include <string.h>

#include "account/state_private.h"
#include "base/check.h"

enum { REMEMBERED_MAX = 2048 };          /* ranges of a mailbox, 16 bytes each */

/* Forgets the older half; and what of a record is half forgotten is not known. */
static void forget(struct vanish_log *l)
{
    size_t gone = l->count / 2;
    l->complete_after = l->at[gone - 1].modseq;
    while (gone < l->count && l->at[gone].modseq == l->complete_after) gone++;
    memmove(l->at, l->at + gone, (l->count - gone) * sizeof *l->at);
    l->count -= gone;
}

void vanish_log_add(struct mailbox *m, const struct vanished *vanished, size_t count)
{
    struct vanish_log *l = &m->log;
    if (count > REMEMBERED_MAX / 2) {
        l->count = 0;
        l->complete_after = m->state->sequence;
        return;
    }
    if (l->count + count > REMEMBERED_MAX) forget(l);
    for (size_t i = 0; i < count; i++) {
        l->at = state_grow(l->at, l->count, &l->capacity, sizeof *l->at);
        l->at[l->count++] = (struct vanish_range){m->state->sequence, vanished[i].first, vanished[i].last};
    }
}

void vanish_log_done(struct vanish_log *l)
{
    free(l->at);
    *l = (struct vanish_log){0};
}

/* UIDs of [first, last] that no message has. */
static void add_missing(const struct mailbox *m, uint32_t first, uint32_t last, struct imap_set_builder *into)
{
    for (uint32_t i = mailbox_block_of_uid(m, first); i < m->block_count && m->blocks[i]->first_uid <= last; i++) {
        const struct block *b = m->blocks[i];
        for (uint32_t k = block_rank(b, first); k < b->count;) {
            uint32_t end, begin = block_uid_run(b, k, &end);
            if (begin > last) break;
            if (begin > first) imap_set_builder_add_range(into, first, begin - 1);
            k += end - begin + 1;
            if (end >= last) return;
            first = end + 1;
        }
    }
    if (first <= last) imap_set_builder_add_range(into, first, last);
}

bool mailbox_vanished(const struct mailbox *m, const struct imap_set *uids, uint64_t since, struct arena *arena, struct imap_set_builder *into)
{
    const struct vanish_log *l = &m->log;
    if (since < l->complete_after) {
        for (size_t i = 0; i < uids->count; i++) {
            struct imap_range r = uids->ranges[i];
            if (r.last >= m->uid_next) r.last = m->uid_next - 1;
            if (r.first <= r.last) add_missing(m, r.first, r.last, into);
        }
        return false;
    }
    struct imap_set written = {.ranges = arena_array(arena, struct imap_range, l->count)};
    for (size_t i = 0; i < l->count; i++)
        if (l->at[i].modseq > since) written.ranges[written.count++] = (struct imap_range){l->at[i].first, l->at[i].last};
    struct imap_set gone = imap_set_resolve(&written, UINT32_MAX, arena);
    imap_set_builder_add_common(into, &gone, uids);
    return true;
}
