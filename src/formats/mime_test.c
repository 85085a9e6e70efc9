#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/test.h"
#include "formats/mime.h"

static struct arena *test_arena(void)
{
    static struct arena *arena;
    if (!arena) arena = arena_new(NULL, 256 << 20);
    return arena;
}

/* The structure in one line: text/plain[6,1] is a leaf of 6 bytes in 1 line; ( ) encloses children. */
static void show_part(buf *b, const struct mime_part *part)
{
    buf_appendf(b, VIEW_FMT "/" VIEW_FMT, VIEW_ARG(part->type), VIEW_ARG(part->subtype));
    if (part->kind != MIME_MULTIPART) buf_appendf(b, "[%zu,%u]", part->body.len, part->body_lines);
    if (!part->first) return;
    buf_append_byte(b, '(');
    for (const struct mime_part *child = part->first; child; child = child->next) {
        if (child != part->first) buf_append_byte(b, ' ');
        show_part(b, child);
    }
    buf_append_byte(b, ')');
}

static void expect_structure(const char *message, const char *want)
{
    buf b CLEANUP(buf_done) = BUF_INIT;
    show_part(&b, mime_parse(view_of(message), test_arena()));
    if (!view_equal(buf_view(&b), view_of(want)))
        test_fail(__FILE__, __LINE__, "%s\n#   is read as " VIEW_FMT "\n#   not        %s", message, VIEW_ARG(buf_view(&b)), want);
}

#define MIXED "Content-Type: multipart/mixed; boundary=b\r\n\r\n"

TEST(mime_structure_of_well_formed_messages)
{
    expect_structure("Subject: x\r\n\r\none\r\ntwo\r\n", "text/plain[10,2]");
    expect_structure("Subject: x\r\n\r\nno line end", "text/plain[11,1]");
    expect_structure("", "text/plain[0,0]");
    expect_structure(MIXED "preamble\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: TEXT/Html\r\n\r\ntwo\r\n\r\n--b--\r\nepilogue\r\n",
                     "multipart/mixed(text/plain[3,1] TEXT/Html[5,1])");
    expect_structure("Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nbody\r\n", "message/rfc822[24,3](text/plain[6,1])");
    expect_structure("Content-Type: multipart/digest; boundary=\"b\"\r\n\r\n--b\r\n\r\nSubject: a\r\n\r\nx\r\n--b\r\n\r\nSubject: b\r\n\r\ny\r\n--b--\r\n",
                     "multipart/digest(message/rfc822[15,3](text/plain[1,1]) message/rfc822[15,3](text/plain[1,1]))");
    expect_structure("Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b--\n", "multipart/mixed(text/plain[3,1])");
}

TEST(mime_structure_of_nested_multiparts)
{
    expect_structure(MIXED "--b\r\nContent-Type: multipart/alternative; boundary=bb\r\n\r\n--bb\r\n\r\n1\r\n--bb\r\n\r\n2\r\n--bb--\r\n\r\n--b\r\n\r\n3\r\n--b--\r\n",
                     "multipart/mixed(multipart/alternative(text/plain[1,1] text/plain[1,1]) text/plain[1,1])");
    /* the same boundary at two levels: the innermost is closed first */
    expect_structure(MIXED "--b\r\n" MIXED "--b\r\n\r\n1\r\n--b--\r\n--b\r\n\r\n2\r\n--b--\r\n",
                     "multipart/mixed(multipart/mixed(text/plain[1,1]) text/plain[1,1])");
    /* an inner multipart that is not closed ends with the outer delimiter */
    expect_structure(MIXED "--b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\n\r\n1\r\n--b\r\n\r\n2\r\n--b--\r\n",
                     "multipart/mixed(multipart/alternative(text/plain[1,1]) text/plain[1,1])");
}

TEST(mime_structure_of_broken_messages)
{
    expect_structure("Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\n1\r\n", "text/plain[10,3]");
    expect_structure(MIXED "no part at all\r\n", "text/plain[16,1]");
    expect_structure("Content-Type: multipart; boundary=b\r\n\r\n--b\r\n\r\n1\r\n", "multipart/mixed(text/plain[3,1])");
    expect_structure("Content-Type: \r\n\r\nx", "text/plain[1,1]");
    expect_structure("Content-Type: text\r\n\r\nx", "text/plain[1,1]");
    expect_structure("Content-Type: image; name=x\r\n\r\nx", "application/octet-stream[1,1]");
    expect_structure("Content-Type: t\xe9xt/pl\xe0in\r\n\r\nx", "text/plain[1,1]");
    expect_structure("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3ViamVjdA==\r\n", "application/octet-stream[14,1]");
    expect_structure(MIXED "--b\r\n--b\r\n--b--", "multipart/mixed(text/plain[0,0] text/plain[0,0])");
    expect_structure(MIXED "--b\r\nContent-Type: text/html\r\n--b\r\n\r\n--b--", "multipart/mixed(text/html[0,0] text/plain[0,0])");
    expect_structure(MIXED "--b\r\nContent-Type: message/rfc822\r\n\r\n--b\r\n\r\n1\r\n--b--",
                     "multipart/mixed(message/rfc822[0,0](text/plain[0,0]) text/plain[1,1])");
    expect_structure(MIXED "--b\r\n\r\nnever closed", "multipart/mixed(text/plain[12,1])");
    expect_structure(MIXED "--b  \t\r\n\r\n1\r\n--b-- \r\n", "multipart/mixed(text/plain[1,1])");
    expect_structure(MIXED "--bb\r\n--b\r\n\r\n1\r\n--b1\r\n--b--", "multipart/mixed(text/plain[7,2])");
}

/* Invariants 2 and 3 of mime.h. */
static void expect_sound(const struct mime_part *part, size_t from, size_t to)
{
    size_t body_end = part->body.from + part->body.len;
    REQUIRE(part->header.from >= from && part->header.from + part->header.len == part->body.from && body_end <= to);
    REQUIRE(part->type.len && part->subtype.len && part->depth <= MIME_DEPTH_MAX);
    REQUIRE((part->kind == MIME_LEAF) == !part->first);
    REQUIRE(part->kind != MIME_MESSAGE || !part->first->next);
    unsigned number = 0;
    for (const struct mime_part *child = part->first; child; child = child->next) {
        REQUIRE(child->parent == part && child->number == ++number && child->depth == part->depth + 1);
        expect_sound(child, part->body.from, body_end);
    }
}

TEST(mime_fields_are_read_with_tolerance)
{
    const struct mime_part *p = mime_parse(VIEW(
        "Content-Type: application/pdf (a comment); name=my file.pdf; charset = \"a\\\"b\" x-more=1;;\r\n\tlast=\r\n"
        "Content-Transfer-Encoding: BASE64 (really)\r\nContent-ID: <id@x>\r\nContent-Description: some\r\n thing\r\n"
        "Content-Disposition: attachment; filename*0*=utf-8''a%20; filename*1=b\r\nContent-Language: ja, en-GB (x)\r\n"
        "Content-Location: http://x/\r\nContent-MD5: abc\r\nContent-Type: text/html\r\n\r\n"), test_arena());
    EXPECT(mime_is(p, "application", "PDF") && p->parameters.count == 4 && !p->is_degraded);
    EXPECT_VIEW(mime_parameter(&p->parameters, VIEW("Name")), VIEW("my file.pdf"));
    EXPECT_VIEW(mime_parameter(&p->parameters, VIEW("charset")), VIEW("a\"b"));
    EXPECT_VIEW(mime_parameter(&p->parameters, VIEW("x-more")), VIEW("1"));
    EXPECT_VIEW(mime_parameter(&p->parameters, VIEW("last")), VIEW(""));
    EXPECT_VIEW(p->encoding, VIEW("BASE64"));
    EXPECT_VIEW(p->id, VIEW("<id@x>"));
    EXPECT_VIEW(p->description, VIEW("some thing"));
    EXPECT_VIEW(p->disposition, VIEW("attachment"));
    EXPECT_VIEW(mime_parameter(&p->disposition_parameters, VIEW("filename*1")), VIEW("b"));
    REQUIRE(p->language_count == 2);
    EXPECT_VIEW(p->languages[1], VIEW("en-GB"));
    EXPECT_VIEW(p->location, VIEW("http://x/"));
    EXPECT_VIEW(p->md5, VIEW("abc"));
    p = mime_parse(VIEW("Content-Disposition: filename=\"x\"\r\nContent-Type: text/plain charset=utf-8\r\n\r\n"), test_arena());
    EXPECT_VIEW(p->disposition, VIEW("attachment"));
    EXPECT_VIEW(mime_parameter(&p->parameters, VIEW("charset")), VIEW("utf-8"));
}

static const char nested_message[] =
    "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    "--b\r\n\r\none\r\n"
    "--b\r\nContent-Type: message/rfc822\r\n\r\n"
        "Subject: two\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n"
        "--c\r\n\r\ntwo.one\r\n--c\r\nContent-Type: text/html\r\n\r\ntwo.two\r\n--c--\r\n"
    "--b\r\nContent-Type: message/rfc822\r\n\r\n"
        "Subject: three\r\n\r\nthree.one\r\n"
    "--b--\r\n";

static view section(const struct mime_part *root, view message, enum mime_what what, size_t count, uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t numbers[] = {a, b, c};
    struct mime_range range;
    return mime_section(root, numbers, count, what, &range) ? mime_range_of(message, range) : VIEW("(none)");
}

TEST(mime_sections_are_found_by_number)
{
    view message = view_of(nested_message), none = VIEW("(none)");
    const struct mime_part *root = mime_parse(message, test_arena());
    expect_sound(root, 0, message.len);
    EXPECT_VIEW(section(root, message, MIME_WHOLE, 0, 0, 0, 0), message);
    EXPECT_VIEW(section(root, message, MIME_HEADER, 0, 0, 0, 0), VIEW("Content-Type: multipart/mixed; boundary=b\r\n\r\n"));
    EXPECT_VIEW(section(root, message, MIME_WHOLE, 1, 1, 0, 0), VIEW("one"));
    EXPECT_VIEW(section(root, message, MIME_MIME, 1, 1, 0, 0), VIEW("\r\n"));
    EXPECT_VIEW(section(root, message, MIME_MIME, 1, 2, 0, 0), VIEW("Content-Type: message/rfc822\r\n\r\n"));
    EXPECT_VIEW(section(root, message, MIME_HEADER, 1, 2, 0, 0), VIEW("Subject: two\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n"));
    EXPECT_VIEW(section(root, message, MIME_WHOLE, 2, 2, 1, 0), VIEW("two.one"));
    EXPECT_VIEW(section(root, message, MIME_WHOLE, 2, 2, 2, 0), VIEW("two.two"));
    EXPECT_VIEW(section(root, message, MIME_MIME, 2, 2, 2, 0), VIEW("Content-Type: text/html\r\n\r\n"));
    EXPECT_VIEW(section(root, message, MIME_TEXT, 1, 3, 0, 0), VIEW("three.one"));
    EXPECT_VIEW(section(root, message, MIME_WHOLE, 2, 3, 1, 0), VIEW("three.one"));
    EXPECT_VIEW(section(root, message, MIME_WHOLE, 2, 1, 1, 0), none);
    EXPECT_VIEW(section(root, message, MIME_WHOLE, 3, 3, 1, 1), none);
    EXPECT_VIEW(section(root, message, MIME_HEADER, 1, 1, 0, 0), none);
    EXPECT_VIEW(section(root, message, MIME_MIME, 0, 0, 0, 0), none);
    EXPECT_VIEW(section(root, message, MIME_WHOLE, 1, 4, 0, 0), none);
    EXPECT_VIEW(section(root, message, MIME_WHOLE, 1, 0, 0, 0), none);
    view plain = VIEW("Subject: x\r\n\r\nbody");
    root = mime_parse(plain, test_arena());
    EXPECT_VIEW(section(root, plain, MIME_WHOLE, 1, 1, 0, 0), VIEW("body"));
    EXPECT_VIEW(section(root, plain, MIME_TEXT, 0, 0, 0, 0), VIEW("body"));
    EXPECT_VIEW(section(root, plain, MIME_WHOLE, 1, 2, 0, 0), none);
}

TEST(mime_depth_and_parts_are_limited)
{
    buf b CLEANUP(buf_done) = BUF_INIT;
    for (int i = 0; i < 500; i++) buf_appendf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i);
    const struct mime_part *part = mime_parse(buf_view(&b), test_arena());
    expect_sound(part, 0, b.len);
    unsigned depth = 0;
    for (; part->first; part = part->first) depth++;
    EXPECT_NUMBER(depth, MIME_DEPTH_MAX);
    EXPECT(mime_is(part, "application", "octet-stream") && part->is_degraded);

    buf_clear(&b);
    for (int i = 0; i < 500; i++) buf_append_cstr(&b, "Content-Type: message/rfc822\r\n\r\n");
    expect_sound(mime_parse(buf_view(&b), test_arena()), 0, b.len);

    buf_clear(&b);
    buf_append_cstr(&b, MIXED);
    for (int i = 0; i < MIME_PARTS_MAX + 100; i++) buf_append_cstr(&b, "--b\r\n\r\n1\r\n");
    buf_append_cstr(&b, "--b--\r\n");
    part = mime_parse(buf_view(&b), test_arena());
    expect_sound(part, 0, b.len);
    unsigned count = 0;
    const struct mime_part *last = NULL;
    for (const struct mime_part *child = part->first; child; child = child->next) count++, last = child;
    EXPECT_NUMBER(count, MIME_PARTS_MAX - 1);
    EXPECT(last->body.len > 900 && last->body.from + last->body.len + 9 == b.len);

    struct arena *small = arena_new(NULL, 20000);
    expect_sound(mime_parse(buf_view(&b), small), 0, b.len);
    arena_free(small);
    struct arena *none = arena_new(NULL, 10);
    EXPECT(mime_parse(buf_view(&b), none) == NULL);
    arena_free(none);
}

/* Processor time of one parse, in milliseconds. */
static int64_t parse_ms(view message)
{
    struct timespec from, to;
    struct arena *arena = arena_new(NULL, 64 << 20);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    expect_sound(mime_parse(message, arena), 0, message.len);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    arena_free(arena);
    return (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000;
}

TEST_SLOW(mime_time_is_linear_whatever_the_boundaries, 60)
{
    static const char *const lines[] = {"--\n", "--b\n", "--bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb!\n", "\n", "-", "--b0--\n", "--a\n\n"};
    for (size_t i = 0; i < array_size(lines); i++) {
        buf b CLEANUP(buf_done) = BUF_INIT;
        for (int depth = 0; depth < MIME_DEPTH_MAX; depth++) {      /* boundaries that are each other's beginnings */
            char text[80];
            memset(text, 'b', sizeof text);
            buf_appendf(&b, "Content-Type: multipart/mixed; boundary=%.*s%d\n\n--%.*s%d\n", depth % 60, text, depth % 3, depth % 60, text, depth % 3);
        }
        while (b.len < 4 << 20) buf_append_cstr(&b, lines[i]);
        int64_t ms = parse_ms(buf_view(&b));
        if (ms > 3000) test_fail(__FILE__, __LINE__, "4 MB of lines like %s take %d ms", lines[i], (int)ms);
    }
}
