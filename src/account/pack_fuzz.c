/*
 * Fuzzes what stands in objects and heads: a pack's tail and an entry, and a head. Checksums are made right, so that what is behind them is
 * reached. Oracles: entries that are accepted lie within the pack, heads read back as they were written.
 */
#include <stdlib.h>
#include <string.h>

#include "account/head.h"
#include "account/pack.h"
#include "account/summary.h"
#include "base/check.h"
#include "base/hash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_le32(char *at, uint32_t number)
{
    for (int i = 0; i < 4; i++) at[i] = (char)(number >> 8 * i);
}

static void try_pack(view input)
{
    if (input.len < PACK_HEADER_BYTES + PACK_FOOTER_BYTES) return;
    uint32_t entries = (uint32_t)((input.len - PACK_HEADER_BYTES - PACK_FOOTER_BYTES) / (2 * PACK_INDEX_ENTRY_BYTES));
    buf pack CLEANUP(buf_done) = BUF_INIT;
    buf_append(&pack, input);
    char *index = pack.at + pack_index_offset(pack.len, entries), *footer = pack.at + pack.len - PACK_FOOTER_BYTES;
    put_le32(footer, entries);
    put_le32(footer + 4, entries * PACK_INDEX_ENTRY_BYTES);
    put_le32(footer + 8, crc32c(0, view_make(index, entries * PACK_INDEX_ENTRY_BYTES)));
    put_le32(footer + 16, 1);
    memcpy(footer + 24, "TyPk", 4);
    put_le32(footer + 20, crc32c(0, view_make(footer, 20)));
    struct pack_index *got;
    if (pack_index_decode(view_from(buf_view(&pack), (size_t)(index - pack.at)), pack.len, entries, &got, NULL) != OK) return;
    void *unzip = pack_unzip_new();
    for (uint32_t i = 0; i < entries; i++) {
        struct pack_entry e = got->of[i], alone;
        view entry = view_slice(buf_view(&pack), pack_entry_offset(pack.len, entries, i), PACK_INDEX_ENTRY_BYTES);
        check(pack_entry_decode(entry, pack.len, entries, &alone, NULL) == OK && alone.offset == e.offset && alone.method == e.method);
        buf text CLEANUP(buf_done) = BUF_INIT;
        if (e.method == PACK_ABSENT) continue;
        check((uint64_t)e.offset + e.stored_bytes <= pack_index_offset(pack.len, entries));
        view stored = view_slice(buf_view(&pack), e.offset, e.stored_bytes);
        e.crc = crc32c(0, stored);
        if (pack_unpack(&e, stored, unzip, &text, NULL) == OK) check(text.len == e.bytes);
    }
    pack_unzip_free(unzip);
    free(got);
}

/* A block of summaries and the table of them: texts lie within the block. */
static void try_summaries(view input)
{
    uint32_t entries = (uint32_t)(unsigned char)input.at[0] + 1;
    view block = view_from(input, 1), text;
    bool is_plain;
    for (uint32_t i = 0; i < SUMMARY_BLOCK_ENTRIES; i++)
        if (summary_text(block, entries < SUMMARY_BLOCK_ENTRIES ? entries : SUMMARY_BLOCK_ENTRIES, i, &text, &is_plain))
            check(text.at >= block.at && text.at + text.len <= block.at + block.len);
    buf table CLEANUP(buf_done) = BUF_INIT;
    buf_append_le32(&table, 2);
    buf_append_le32(&table, (uint32_t)block.len);
    buf_append_le32(&table, crc32c(0, block));
    buf_append(&table, block);
    if (!summary_table_is_right(buf_view(&table), entries)) return;
    for (unsigned c = 0; c < SUMMARY_COLUMNS; c++) (void)summary_place_of(buf_view(&table), entries, (enum summary_column)c, (entries - 1) / SUMMARY_BLOCK_ENTRIES);
}

static void try_head(view input)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 16 << 20);
    buf bytes CLEANUP(buf_done) = BUF_INIT, again CLEANUP(buf_done) = BUF_INIT;
    struct head h;
    buf_append(&bytes, input);
    buf_append_le32(&bytes, crc32c(0, input));
    if (head_decode(buf_view(&bytes), arena, &h, NULL) != OK) return;
    check(arena_used(arena) <= 4 * input.len + 64);
    head_encode(&again, &h);
    check(view_equal(buf_view(&again), buf_view(&bytes)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    view input = view_make(data, size);
    if (size == 0) return 0;
    if (input.at[0] == 'H') try_head(view_from(input, 1));
    else if (input.at[0] == 'S' && size > 1) try_summaries(view_from(input, 1));
    else try_pack(view_from(input, 1));
    return 0;
}
