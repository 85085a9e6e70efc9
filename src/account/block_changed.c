/*
 * block_changed: which rows of a block were changed after a record, for sessions that are told of changes.
 */
#include "account/block.h"
#include "base/check.h"

static uint32_t next_among(const struct block *b, uint32_t index, uint32_t end, uint64_t since)
{
    if (b->slim) return slim_rows_next_changed(b->slim, index, end, since);
    while (index < end && b->wide[index].modseq <= since) index++;
    return index;
}

uint32_t block_next_changed(const struct block *b, uint32_t index, uint64_t since)
{
    check_slow(b->is_loaded);
    if (b->highest_modseq <= since) return b->count;
    if (!b->peaks) return next_among(b, index, b->count, since);
    while (index < b->count) {
        uint32_t group = index / BLOCK_GROUP_ROWS, end = (group + 1) * BLOCK_GROUP_ROWS;
        if (end > b->count) end = b->count;
        uint32_t found = b->peaks[group] > since ? next_among(b, index, end, since) : end;
        if (found < end) return found;
        index = end;
    }
    return b->count;
}

void block_add_changed(const struct block *b, uint32_t from_uid, uint64_t since, struct imap_set_builder *uids)
{
    if (b->count == 0 || b->highest_modseq <= since || b->last_uid < from_uid) return;
    if (!b->is_loaded || b->lowest_modseq > since || imap_set_builder_set(uids).count >= BLOCK_CHANGED_RANGES_MAX) {
        imap_set_builder_add_range(uids, b->first_uid > from_uid ? b->first_uid : from_uid, b->last_uid);
        return;
    }
    for (uint32_t next, i = block_next_changed(b, block_rank(b, from_uid), since); i < b->count; i = next) {
        uint32_t last = i;
        while ((next = block_next_changed(b, last + 1, since)) < b->count && next - last - 1 <= BLOCK_CHANGED_GAP) last = next;
        imap_set_builder_add_range(uids, block_uid_at(b, i), block_uid_at(b, last));
    }
}
