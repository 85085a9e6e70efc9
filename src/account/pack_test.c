#include "account/pack.h"

#include <string.h>

#include "account/head.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/test.h"

/* ---- packs ---- */

static void write_messages(struct pack_writer *w, unsigned count)
{
    pack_writer_init(w);
    for (unsigned i = 0; i < count; i++) {
        buf text CLEANUP(buf_done) = BUF_INIT;
        for (unsigned n = 0; n < i * 10; n++) buf_appendf(&text, "Message %u line %u\r\n", i, n);
        struct id id = {{(unsigned char)i}};
        EXPECT_NUMBER(pack_add(w, id, buf_view(&text)), i);
    }
}

static view tail_of(const struct pack_writer *w)
{
    return view_from(buf_view(&w->out), (size_t)pack_index_offset(pack_bytes(w), w->entries));
}

TEST(pack_gives_back_what_was_put_in)
{
    struct pack_writer w;
    struct pack_index *index;
    void *unzip = pack_unzip_new();
    write_messages(&w, 30);
    pack_end(&w);
    REQUIRE(pack_index_decode(tail_of(&w), pack_bytes(&w), 30, &index, NULL) == OK);
    for (unsigned i = 0; i < 30; i++) {
        buf text CLEANUP(buf_done) = BUF_INIT, got CLEANUP(buf_done) = BUF_INIT;
        for (unsigned n = 0; n < i * 10; n++) buf_appendf(&text, "Message %u line %u\r\n", i, n);
        const struct pack_entry *e = &index->of[i];
        EXPECT(pack_unpack(e, view_slice(buf_view(&w.out), e->offset, e->stored_bytes), unzip, &got, NULL) == OK);
        EXPECT_VIEW(buf_view(&got), buf_view(&text));
        EXPECT(i < 2 || e->method == PACK_ZSTD);
    }
    free(index);
    pack_unzip_free(unzip);
    pack_writer_done(&w);
}

TEST(pack_keeps_numbers_when_entries_die)
{
    struct pack_writer w, next;
    struct pack_index *index, *of_next;
    void *unzip = pack_unzip_new();
    write_messages(&w, 10);
    pack_end(&w);
    REQUIRE(pack_index_decode(tail_of(&w), pack_bytes(&w), 10, &index, NULL) == OK);
    pack_writer_init(&next);
    for (unsigned i = 0; i < 10; i++) {
        const struct pack_entry *e = &index->of[i];
        if (i % 3 == 0) pack_add_stored(&next, (struct id){{(unsigned char)i}}, e, view_slice(buf_view(&w.out), e->offset, e->stored_bytes));
        else pack_add_absent(&next);
    }
    pack_end(&next);
    REQUIRE(pack_index_decode(tail_of(&next), pack_bytes(&next), 10, &of_next, NULL) == OK);
    buf got CLEANUP(buf_done) = BUF_INIT;
    EXPECT(pack_unpack(&of_next->of[9], view_slice(buf_view(&next.out), of_next->of[9].offset, of_next->of[9].stored_bytes), unzip, &got, NULL) == OK);
    EXPECT(view_starts(buf_view(&got), VIEW("Message 9 line 0\r\n")));
    EXPECT(pack_unpack(&of_next->of[8], VIEW_EMPTY, unzip, &got, NULL) == NOT_FOUND);
    EXPECT(pack_bytes(&next) < pack_bytes(&w));
    free(index);
    free(of_next);
    pack_unzip_free(unzip);
    pack_writer_done(&w);
    pack_writer_done(&next);
}

TEST(pack_tells_every_flipped_bit)
{
    struct pack_writer w;
    struct pack_index *index;
    void *unzip = pack_unzip_new();
    write_messages(&w, 6);
    pack_end(&w);
    size_t tail = (size_t)pack_index_offset(pack_bytes(&w), 6);
    REQUIRE(pack_index_decode(tail_of(&w), pack_bytes(&w), 6, &index, NULL) == OK);
    for (size_t at = tail; at < w.out.len; at++) {
        struct pack_index *other = NULL;
        w.out.at[at] = (char)(w.out.at[at] ^ 4);
        EXPECT(pack_index_decode(tail_of(&w), pack_bytes(&w), 6, &other, NULL) == CORRUPT);
        free(other);
        w.out.at[at] = (char)(w.out.at[at] ^ 4);
    }
    const struct pack_entry *e = &index->of[5];
    for (size_t at = 0; at < e->stored_bytes; at++) {
        buf got CLEANUP(buf_done) = BUF_INIT;
        w.out.at[e->offset + at] = (char)(w.out.at[e->offset + at] ^ 64);
        EXPECT(pack_unpack(e, view_slice(buf_view(&w.out), e->offset, e->stored_bytes), unzip, &got, NULL) == CORRUPT);
        w.out.at[e->offset + at] = (char)(w.out.at[e->offset + at] ^ 64);
    }
    free(index);
    pack_unzip_free(unzip);
    pack_writer_done(&w);
}

/* An entry that is read alone has no checksum: then the bytes that it leads to are the wrong ones, or it says that there are none. */
TEST(pack_entry_alone_tells_every_flipped_bit)
{
    struct pack_writer w;
    void *unzip = pack_unzip_new();
    write_messages(&w, 6);
    pack_end(&w);
    view pack = buf_view(&w.out);
    uint64_t at = pack_entry_offset(pack.len, 6, 3);
    for (unsigned bit = 0; bit <= 8 * PACK_INDEX_ENTRY_BYTES; bit++) {
        struct pack_entry e;
        buf got CLEANUP(buf_done) = BUF_INIT;
        bool is_whole = bit == 8 * PACK_INDEX_ENTRY_BYTES;
        if (!is_whole) w.out.at[at + bit / 8] ^= (char)(1 << bit % 8);
        result code = pack_entry_decode(view_slice(pack, at, PACK_INDEX_ENTRY_BYTES), pack.len, 6, &e, NULL);
        if (code == OK) code = pack_unpack(&e, view_slice(pack, e.offset, e.stored_bytes), unzip, &got, NULL);
        if (is_whole) EXPECT(code == OK && view_starts(buf_view(&got), VIEW("Message 3 line 0\r\n")));
        else EXPECT(code == CORRUPT || code == NOT_FOUND || e.archive);
        if (!is_whole) w.out.at[at + bit / 8] ^= (char)(1 << bit % 8);
    }
    EXPECT(pack_entry_decode(view_slice(pack, at, PACK_INDEX_ENTRY_BYTES - 1), pack.len, 6, &(struct pack_entry){0}, NULL) == CORRUPT);
    pack_unzip_free(unzip);
    pack_writer_done(&w);
}

TEST(pack_refuses_another_count_of_entries_or_a_short_tail)
{
    struct pack_writer w;
    struct pack_index *index;
    write_messages(&w, 6);
    pack_end(&w);
    EXPECT(pack_index_decode(tail_of(&w), pack_bytes(&w), 5, &index, NULL) == CORRUPT);
    EXPECT(pack_index_decode(view_from(tail_of(&w), 1), pack_bytes(&w), 6, &index, NULL) == CORRUPT);
    EXPECT(pack_index_decode(VIEW_EMPTY, 0, 0, &index, NULL) == CORRUPT);
    EXPECT(pack_index_decode(tail_of(&w), pack_bytes(&w), UINT32_MAX, &index, NULL) == CORRUPT);
    pack_writer_done(&w);
}

/* ---- heads ---- */

TEST(head_reads_what_it_wrote)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct retired retired[] = {{'p', {{1, 2, 3}}, {77}}, {'s', {{4}}, {INT64_MAX}}};
    struct head h = {.snapshot = {{9, 8, 7}}, .sequence = 1234567890123, .swept = {42}, .purged_bytes = 5, .retired = retired, .retired_count = 2,
                     .directory_is_inline = true, .directory = VIEW("the directory")}, got;
    buf bytes CLEANUP(buf_done) = BUF_INIT;
    head_encode(&bytes, &h);
    REQUIRE(head_decode(buf_view(&bytes), arena, &got, NULL) == OK);
    EXPECT(id_equal(got.snapshot, h.snapshot) && got.sequence == h.sequence && got.swept.ms == 42 && got.purged_bytes == 5);
    EXPECT_NUMBER(got.retired_count, 2);
    EXPECT(got.retired[1].kind == 's' && got.retired[0].since.ms == 77 && id_equal(got.retired[0].id, retired[0].id));
    EXPECT_VIEW(got.directory, VIEW("the directory"));
    h.directory_is_inline = false;
    h.directory_offset = UINT64_MAX / 3;
    h.directory_bytes = 70000;
    h.directory_crc = 99;
    buf_clear(&bytes);
    head_encode(&bytes, &h);
    REQUIRE(head_decode(buf_view(&bytes), arena, &got, NULL) == OK);
    EXPECT(!got.directory_is_inline && got.directory_offset == h.directory_offset && got.directory_bytes == 70000 && got.directory_crc == 99);
    EXPECT(!got.has_origin);
    h.has_origin = true;
    h.written.ms = 1234567;
    memcpy(h.origin, "node-a", 7);
    buf_clear(&bytes);
    head_encode(&bytes, &h);
    REQUIRE(head_decode(buf_view(&bytes), arena, &got, NULL) == OK);
    EXPECT(got.has_origin && got.written.ms == 1234567 && view_equal(view_of(got.origin), VIEW("node-a")));
}

TEST(head_tells_damage_and_a_newer_version)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct head h = {.snapshot = {{1}}, .directory_is_inline = true, .directory = VIEW("x")}, got;
    buf bytes CLEANUP(buf_done) = BUF_INIT;
    struct fault fault;
    head_encode(&bytes, &h);
    for (size_t at = 0; at < bytes.len; at++) {
        bytes.at[at] = (char)(bytes.at[at] ^ 1);
        EXPECT(head_decode(buf_view(&bytes), arena, &got, NULL) == CORRUPT);
        bytes.at[at] = (char)(bytes.at[at] ^ 1);
    }
    for (size_t len = 0; len < bytes.len; len++) EXPECT(head_decode(view_slice(buf_view(&bytes), 0, len), arena, &got, NULL) == CORRUPT);
    bytes.at[0] = 3;
    EXPECT(head_decode(buf_view(&bytes), arena, &got, &fault) == CORRUPT);
    EXPECT(view_find_view(view_of(fault.detail), VIEW("written by a newer version")) != VIEW_NONE);
}
