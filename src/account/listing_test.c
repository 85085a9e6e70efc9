/* Summaries: written with a pack, read back, and never believed when they are damaged. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account/pack.h"
#include "account/summary.h"
#include "base/check.h"
#include "base/test.h"

static void make_message(buf *text, unsigned i)
{
    buf_clear(text);
    buf_appendf(text, "From: joe%u <joe%u@example.test>\r\nX-Other: y\r\nSubject: message %u\r\n\r\nThe text of %u.\r\n", i, i, i, i);
    if (i % 50 == 7) {                       /* a header that is too long to be kept */
        buf_clear(text);
        buf_append_cstr(text, "Subject: ");
        for (unsigned k = 0; k <= SUMMARY_TEXT_BYTES_MAX; k++) buf_append_byte(text, 'x');
        buf_append_cstr(text, "\r\n\r\n");
    }
    if (i % 50 == 8) {
        buf_clear(text);
        buf_append_cstr(text, "Subject: \xe6\x97\xa5\r\n\r\n\xe6\x97\xa5\r\n");
    }
}

static void write_pack(struct pack_writer *w, unsigned count)
{
    buf text CLEANUP(buf_done) = BUF_INIT;
    pack_writer_init(w);
    for (unsigned i = 0; i < count; i++) {
        make_message(&text, i);
        if (i % 50 == 9) (void)pack_add_absent(w);
        else (void)pack_add(w, (struct id){{(unsigned char)i}}, buf_view(&text));
    }
    pack_end(w);
}

static view table_of(const struct pack_writer *w, uint32_t entries)
{
    uint64_t at = pack_index_offset(w->out.len, entries) - summary_table_bytes(entries);
    return view_slice(buf_view(&w->out), (size_t)at, (size_t)summary_table_bytes(entries));
}

static bool text_of(const struct pack_writer *w, uint32_t entries, enum summary_column column, uint32_t entry, buf *block, view *ret_text, bool *ret_is_plain)
{
    uint32_t number = entry / SUMMARY_BLOCK_ENTRIES, count = summary_block_entries(entries, number);
    struct summary_place p = summary_place_of(table_of(w, entries), entries, column, number);
    struct fault fault = {0};
    void *unzip = pack_unzip_new();
    buf_clear(block);
    REQUIRE(p.stored_bytes > 0);
    REQUIRE(summary_unpack(&p, view_slice(buf_view(&w->out), (size_t)p.offset, p.stored_bytes), count, unzip, block, &fault) == OK);
    pack_unzip_free(unzip);
    return summary_text(buf_view(block), count, entry % SUMMARY_BLOCK_ENTRIES, ret_text, ret_is_plain);
}

TEST(summary_of_each_message_of_a_pack)
{
    enum { COUNT = 300 };
    struct pack_writer w;
    struct pack_index *index;
    buf block CLEANUP(buf_done) = BUF_INIT, expected CLEANUP(buf_done) = BUF_INIT;
    write_pack(&w, COUNT);
    REQUIRE(pack_index_decode(view_from(buf_view(&w.out), (size_t)pack_index_offset(w.out.len, COUNT)), w.out.len, COUNT, &index, NULL) == OK);
    EXPECT(index->section_bytes > summary_table_bytes(COUNT));
    REQUIRE(summary_table_is_right(table_of(&w, COUNT), COUNT));
    for (unsigned i = 0; i < COUNT; i++) {
        view text;
        bool is_plain, is_there = text_of(&w, COUNT, SUMMARY_HEADER, i, &block, &text, &is_plain);
        EXPECT(is_there == (i % 50 != 7 && i % 50 != 9));
        if (!is_there || i % 50 == 8) continue;
        buf_clear(&expected);
        buf_appendf(&expected, "From: joe%u <joe%u@example.test>\r\nSubject: message %u\r\n", i, i, i);
        EXPECT_VIEW(text, buf_view(&expected));
        REQUIRE(text_of(&w, COUNT, SUMMARY_PREVIEW, i, &block, &text, &is_plain));
        buf_clear(&expected);
        buf_appendf(&expected, "The text of %u.", i);
        EXPECT_VIEW(text, buf_view(&expected));
        EXPECT(is_plain);
    }
    view text;
    bool is_plain;
    EXPECT(text_of(&w, COUNT, SUMMARY_ENVELOPE, 8, &block, &text, &is_plain) && !is_plain);
    free(index);
    pack_writer_done(&w);
}

TEST(summary_that_is_damaged_is_not_believed)
{
    enum { COUNT = 20 };
    struct pack_writer w;
    struct fault fault = {0};
    buf block CLEANUP(buf_done) = BUF_INIT;
    void *unzip = pack_unzip_new();
    write_pack(&w, COUNT);
    struct summary_place p = summary_place_of(table_of(&w, COUNT), COUNT, SUMMARY_ENVELOPE, 0);
    w.out.at[p.offset] ^= 1;
    EXPECT(summary_unpack(&p, view_slice(buf_view(&w.out), (size_t)p.offset, p.stored_bytes), COUNT, unzip, &block, &fault) == CORRUPT);
    w.out.at[p.offset] ^= 1;
    size_t table_at = (size_t)(table_of(&w, COUNT).at - w.out.at);
    w.out.at[table_at + SUMMARY_SECTION_HEADER_BYTES] ^= 1;
    EXPECT(!summary_table_is_right(table_of(&w, COUNT), COUNT));
    EXPECT(!summary_table_is_right(VIEW("short"), COUNT));
    char hostile[8] = {(char)0xff, (char)0xff, (char)0xff, (char)0xff, 'x'};
    view text;
    bool is_plain;
    EXPECT(!summary_text(view_make(hostile, sizeof hostile), 1, 0, &text, &is_plain));
    pack_unzip_free(unzip);
    pack_writer_done(&w);
}
