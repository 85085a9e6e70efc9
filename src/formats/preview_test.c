#include "formats/preview.h"

#include "base/check.h"
#include "base/test.h"
#include "formats/mime.h"

static void expect_preview(const char *message, const char *want)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, MIME_ARENA_BYTES_ENOUGH);
    buf out CLEANUP(buf_done) = BUF_INIT;
    preview_append(mime_parse(view_of(message), arena), view_of(message), arena, &out);
    EXPECT_VIEW(buf_view(&out), view_of(want));
}

TEST(preview_of_plain_text_is_one_line)
{
    expect_preview("Subject: x\r\n\r\nHello,\r\n\r\n  this is \t it.\r\n", "Hello, this is it.");
    expect_preview("\r\n> quoted\r\n> more\r\nMy answer\r\n-- \r\nJoe\r\n", "My answer");
    expect_preview("\r\n> only quoted\r\n", "> only quoted");
    expect_preview("\r\n\r\n", "");
    expect_preview("Content-Transfer-Encoding: base64\r\n\r\nSGVsbG8=\r\n", "Hello");
    expect_preview("Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n\x1b$BF|K\\8l\x1b(B\r\n", "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e");
}

TEST(preview_of_html_is_without_markup)
{
    expect_preview("Content-Type: text/html\r\n\r\n<html><head><title>T</title><style>p {}</style></head><body><p>Gr&uuml;n &amp; <b>b</b>lue</p>"
                   "<script>x</script><!-- no --><p>a &#x41;&#66; 1 < 2</p>", "Gr\xc3\xbcn & blue a AB 1 < 2");
    expect_preview("Content-Type: text/html\r\n\r\n<style>never ends", "");
}

TEST(preview_prefers_plain_text_and_leaves_attachments_out)
{
    expect_preview("Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\nHTML\r\n--b\r\n\r\nplain\r\n--b--\r\n", "plain");
    expect_preview("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Disposition: attachment\r\n\r\nfile\r\n--b\r\n\r\ntext\r\n--b--\r\n", "text");
    expect_preview("Content-Type: image/png\r\n\r\nxxx", "");
}

TEST(preview_has_at_most_200_characters)
{
    buf message CLEANUP(buf_done) = BUF_INIT, out CLEANUP(buf_done) = BUF_INIT;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, MIME_ARENA_BYTES_ENOUGH);
    buf_append_cstr(&message, "\r\n");
    for (int i = 0; i < 300; i++) buf_append_cstr(&message, "\xc3\xa4");
    preview_append(mime_parse(buf_view(&message), arena), buf_view(&message), arena, &out);
    EXPECT_NUMBER(out.len, 400);
}
