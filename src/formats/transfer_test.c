#include <string.h>

#include "base/check.h"
#include "base/test.h"
#include "formats/transfer.h"

static void expect_base64(view bytes, view text)
{
    buf b CLEANUP(buf_done) = BUF_INIT, back CLEANUP(buf_done) = BUF_INIT;
    base64_append(&b, bytes);
    EXPECT_VIEW(buf_view(&b), text);
    EXPECT(base64_decode(text, &back));
    EXPECT_VIEW(buf_view(&back), bytes);
}

TEST(transfer_base64_of_rfc_4648)
{
    expect_base64(VIEW(""), VIEW(""));
    expect_base64(VIEW("f"), VIEW("Zg=="));
    expect_base64(VIEW("fo"), VIEW("Zm8="));
    expect_base64(VIEW("foo"), VIEW("Zm9v"));
    expect_base64(VIEW("foobar"), VIEW("Zm9vYmFy"));
    expect_base64(VIEW("\0\xff\xfe"), VIEW("AP/+"));
}

TEST(transfer_base64_decode_takes_one_right_form_only)
{
    static const char *const wrong[] = {"Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Z===", "====", "Zm9v\r\n", "Zm 9v", "Zg==Zg==", "Zm9_"};
    buf b CLEANUP(buf_done) = BUF_INIT;
    for (size_t i = 0; i < array_size(wrong); i++)
        if (base64_decode(view_of(wrong[i]), &b) || b.len) test_fail(__FILE__, __LINE__, "%s is taken", wrong[i]);
}

static void expect_body(enum transfer_encoding encoding, const char *body, const char *want, bool is_clean)
{
    buf b CLEANUP(buf_done) = BUF_INIT;
    bool was_clean = transfer_decode(encoding, view_of(body), &b);
    if (was_clean != is_clean || !view_equal(buf_view(&b), view_of(want)))
        test_fail(__FILE__, __LINE__, "%s is read as \"" VIEW_FMT "\" (%d)", body, VIEW_ARG(buf_view(&b)), was_clean);
    for (size_t cut = 1; cut < 4; cut++) {                /* the same in chunks */
        struct transfer_decoder d = transfer_decoder_of(encoding);
        buf chunked CLEANUP(buf_done) = BUF_INIT;
        for (size_t at = 0; at < strlen(body); at += cut) transfer_decoder_feed(&d, view_slice(view_of(body), at, cut), &chunked);
        transfer_decoder_end(&d, &chunked);
        EXPECT_VIEW(buf_view(&chunked), buf_view(&b));
        EXPECT(d.is_broken == !was_clean);
    }
}

TEST(transfer_base64_bodies_are_forgiven)
{
    expect_body(TRANSFER_BASE64, "Zm9v\r\nYmFy\r\n", "foobar", true);
    expect_body(TRANSFER_BASE64, "Zm9vYg", "foob", true);
    expect_body(TRANSFER_BASE64, "Zg==Zg==", "ff", true);
    expect_body(TRANSFER_BASE64, "Zm9v!YmFy", "foobar", false);
    expect_body(TRANSFER_BASE64, "Z", "", false);
    expect_body(TRANSFER_BASE64, "", "", true);
}

TEST(transfer_quoted_printable_bodies)
{
    enum transfer_encoding qp = TRANSFER_QUOTED_PRINTABLE;
    expect_body(qp, "a=3Db=\r\nc\r\n", "a=bc\r\n", true);
    expect_body(qp, "a=\nb=e3=81=82", "ab\xe3\x81\x82", true);
    expect_body(qp, "soft= \t \r\nbreak", "softbreak", true);
    expect_body(qp, "trailing \t\r\nblank ", "trailing\r\nblank", true);
    expect_body(qp, "in the middle  of\ta line", "in the middle  of\ta line", true);
    expect_body(qp, "50=% =4", "50=% =4", false);
    expect_body(qp, "=G1==3D=", "=G1==", false);
    expect_body(qp, "a\rb\n", "a\rb\n", true);
    expect_body(qp, "last=", "last", true);
    expect_body(TRANSFER_UNKNOWN, "as it is=", "as it is=", false);
    expect_body(TRANSFER_IDENTITY, "as it is=\r\n", "as it is=\r\n", true);
}

TEST(transfer_bodies_written_read_back)
{
    static const char lines[] = "line \r\n\r\n=\xe3\x81\x82 long long long long long long long long long long long long long long long long end \t";
    buf text CLEANUP(buf_done) = BUF_INIT;
    for (int i = 0; i < 2000; i++) buf_append_byte(&text, (char)(i * 7 + i / 256));
    for (int i = 0; i < 2; i++) {
        buf encoded CLEANUP(buf_done) = BUF_INIT, back CLEANUP(buf_done) = BUF_INIT;
        if (i == 0) transfer_append_base64(&encoded, buf_view(&text));
        else transfer_append_quoted_printable(&encoded, view_of(lines));
        view rest = buf_view(&encoded), line;
        while (view_cut(&rest, '\n', &line)) EXPECT(line.len <= 77);
        EXPECT(transfer_decode(i == 0 ? TRANSFER_BASE64 : TRANSFER_QUOTED_PRINTABLE, buf_view(&encoded), &back));
        EXPECT_VIEW(buf_view(&back), i == 0 ? buf_view(&text) : view_of(lines));
    }
}

TEST(transfer_encoding_names)
{
    EXPECT(transfer_encoding_of(VIEW("")) == TRANSFER_IDENTITY && transfer_encoding_of(VIEW("8BIT")) == TRANSFER_IDENTITY);
    EXPECT(transfer_encoding_of(VIEW("Base64")) == TRANSFER_BASE64 && transfer_encoding_of(VIEW("x-uuencode")) == TRANSFER_UNKNOWN);
}
