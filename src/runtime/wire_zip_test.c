#include "runtime/wire_zip.h"

#include "base/test.h"

static void unpack_all(struct wire_zip *z, view packed, buf *out)
{
    buf_append(wire_zip_arrived(z), packed);
    while (wire_zip_has_more(z)) REQUIRE(wire_zip_unpack(z, out) == OK);
}

TEST(wire_zip_a_packer_that_rested_goes_on_with_the_same_stream)
{
    struct wire_zip *from = wire_zip_new(), *to = wire_zip_new();
    buf packed = BUF_INIT, out = BUF_INIT, want = BUF_INIT;
    for (int i = 0; i < 20; i++) {
        buf line = BUF_INIT;
        buf_appendf(&line, "* %d FETCH (FLAGS (\\Seen) UID %d)\r\n", i, 1000 + i);
        buf_append(&want, buf_view(&line));
        buf_clear(&packed);
        wire_zip_pack(from, buf_view(&line), &packed);
        if (i % 3 == 0) wire_zip_rest(from);
        unpack_all(to, buf_view(&packed), &out);
        if (i % 2 == 0) wire_zip_rest(to);
        buf_done(&line);
    }
    EXPECT_VIEW(buf_view(&out), buf_view(&want));
    buf_done(&packed);
    buf_done(&out);
    buf_done(&want);
    wire_zip_free(from);
    wire_zip_free(to);
}

TEST(wire_zip_unpacks_piece_by_piece)
{
    struct wire_zip *from = wire_zip_new(), *to = wire_zip_new();
    buf zeros = BUF_INIT, packed = BUF_INIT, out = BUF_INIT;
    for (int i = 0; i < 1 << 20; i++) buf_append_byte(&zeros, 'x');
    wire_zip_pack(from, buf_view(&zeros), &packed);
    EXPECT(packed.len < 16384);
    buf_append(wire_zip_arrived(to), buf_view(&packed));
    size_t total = 0;
    while (wire_zip_has_more(to)) {
        buf_clear(&out);
        REQUIRE(wire_zip_unpack(to, &out) == OK);
        EXPECT(out.len <= 16384);
        total += out.len;
    }
    EXPECT_NUMBER(total, 1 << 20);
    buf_done(&zeros);
    buf_done(&packed);
    buf_done(&out);
    wire_zip_free(from);
    wire_zip_free(to);
}

TEST(wire_zip_refuses_what_is_not_packed)
{
    struct wire_zip *z = wire_zip_new();
    buf out = BUF_INIT;
    buf_append(wire_zip_arrived(z), VIEW("a NOOP\r\n\xff\xff\xff\xff"));
    result code = OK;
    while (code == OK && wire_zip_has_more(z)) code = wire_zip_unpack(z, &out);
    EXPECT(code == INVALID);
    buf_done(&out);
    wire_zip_free(z);
}
