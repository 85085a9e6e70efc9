/* Every text that a pack keeps, in the order of its entries. */
#include <zstd.h>

#include "account/summary.h"
#include "base/check.h"

void summary_sections_open(struct summary_sections *s, view bytes, uint64_t offset, uint32_t entries)
{
    uint64_t table_bytes = summary_table_bytes(entries);
    *s = (struct summary_sections){.bytes = bytes, .offset = offset, .entries = entries};
    if (bytes.len < table_bytes) return;
    view table = view_from(bytes, bytes.len - (size_t)table_bytes);
    if (!summary_table_is_right(table, entries)) return;
    s->table = table;
    s->unzip = ZSTD_createDCtx();
    check(s->unzip);
}

void summary_sections_close(struct summary_sections *s)
{
    if (s->unzip) ZSTD_freeDCtx(s->unzip);
    for (unsigned i = 0; i < SUMMARY_COLUMNS; i++) buf_done(&s->blocks[i]);
    *s = (struct summary_sections){0};
}

static void unpack(struct summary_sections *s, uint32_t block)
{
    for (unsigned i = 0; i < SUMMARY_COLUMNS; i++) {
        struct summary_place p = summary_place_of(s->table, s->entries, (enum summary_column)i, block);
        buf_clear(&s->blocks[i]);
        if (p.stored_bytes == 0 || p.offset < s->offset || p.offset - s->offset + p.stored_bytes > s->bytes.len) continue;
        view stored = view_slice(s->bytes, (size_t)(p.offset - s->offset), p.stored_bytes);
        if (summary_unpack(&p, stored, summary_block_entries(s->entries, block), s->unzip, &s->blocks[i], NULL) != OK) buf_clear(&s->blocks[i]);
    }
    s->block = block;
    s->has_block = true;
}

bool summary_sections_find(struct summary_sections *s, uint32_t entry, struct summary_kept *ret_kept)
{
    uint32_t block = entry / SUMMARY_BLOCK_ENTRIES;
    bool has_any = false, is_plain;
    if (s->table.len == 0 || entry >= s->entries) return false;
    if (!s->has_block || s->block != block) unpack(s, block);
    *ret_kept = (struct summary_kept){0};
    for (unsigned i = 0; i < SUMMARY_COLUMNS; i++) {
        view bytes = buf_view(&s->blocks[i]);
        ret_kept->has[i] = bytes.len && summary_text(bytes, summary_block_entries(s->entries, block), entry % SUMMARY_BLOCK_ENTRIES, &ret_kept->texts[i], &is_plain);
        has_any |= ret_kept->has[i];
    }
    return has_any;
}
