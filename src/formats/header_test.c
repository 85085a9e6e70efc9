#include "base/check.h"
#include "base/test.h"
#include "formats/header.h"

static struct arena *test_arena(void)
{
    static struct arena *arena;
    if (!arena) arena = arena_new(NULL, 16 << 20);
    return arena;
}

/* Every byte comes out in some field, and the walk stops behind the empty line. */
static void expect_fields(view header, size_t want_count, view want_rest)
{
    struct header_field field;
    size_t count = 0, bytes = 0, len = header.len;
    while (header_next(&header, &field)) {
        count++;
        bytes += field.whole.len;
    }
    EXPECT_NUMBER(count, want_count);
    EXPECT_VIEW(header, want_rest);
    EXPECT(bytes <= len - want_rest.len && bytes + 2 >= len - want_rest.len);
}

TEST(header_fields_end_at_the_first_empty_line)
{
    expect_fields(VIEW("A: 1\r\nB: 2\r\n\r\nC: body\r\n"), 2, VIEW("C: body\r\n"));
    expect_fields(VIEW("A: 1\nB: 2\n\nbody"), 2, VIEW("body"));
    expect_fields(VIEW("A: 1\r\nB: no line end"), 2, VIEW(""));
    expect_fields(VIEW("\r\nbody"), 0, VIEW("body"));
    expect_fields(VIEW(""), 0, VIEW(""));
}

TEST(header_fields_keep_folds_in_the_value)
{
    struct header_field field;
    view rest = VIEW("Subject: one\r\n two\r\n\tthree\r\nTo: x\r\n\r\n");
    REQUIRE(header_next(&rest, &field));
    EXPECT_VIEW(field.name, VIEW("Subject"));
    EXPECT_VIEW(field.value, VIEW(" one\r\n two\r\n\tthree"));
    EXPECT_VIEW(header_unfold(field.value, test_arena()), VIEW("one two\tthree"));
    REQUIRE(header_next(&rest, &field));
    EXPECT_VIEW(field.whole, VIEW("To: x\r\n"));
}

TEST(header_lines_that_are_no_field_have_no_name)
{
    static const char *const lines[] = {"From MAILER Mon Jan  1 00:00:00 2026\n", "no colon\r\n", ": no name\r\n", " fold first\r\n",
                                        "two words: x\r\n", "\rX: bare CR\r\n"};
    for (size_t i = 0; i < array_size(lines); i++) {
        view rest = view_of(lines[i]);
        struct header_field field;
        REQUIRE(header_next(&rest, &field));
        EXPECT_VIEW(field.name, VIEW(""));
        EXPECT_VIEW(field.whole, view_of(lines[i]));
    }
    struct header_field field;
    REQUIRE(header_find(VIEW("junk\r\nSubject \t: spaced\r\n"), VIEW("subject"), &field));
    EXPECT_VIEW(field.value, VIEW(" spaced"));
}

TEST(header_bytes_of_any_kind_are_data)
{
    view rest = VIEW("A: x\0y\rz\xff\r\nB:\r\n\r\n");
    struct header_field field;
    REQUIRE(header_next(&rest, &field));
    EXPECT_VIEW(field.value, VIEW(" x\0y\rz\xff"));
    REQUIRE(header_next(&rest, &field));
    EXPECT_VIEW(field.value, VIEW(""));
}

TEST(header_split_keeps_the_empty_line_with_the_header)
{
    view header, body;
    header_split(VIEW("A: 1\r\n\r\nbody"), &header, &body);
    EXPECT_VIEW(header, VIEW("A: 1\r\n\r\n"));
    EXPECT_VIEW(body, VIEW("body"));
    header_split(VIEW("A: 1\r\n"), &header, &body);
    EXPECT_VIEW(header, VIEW("A: 1\r\n"));
    EXPECT_VIEW(body, VIEW(""));
    header_split(VIEW("\nbody"), &header, &body);
    EXPECT_VIEW(body, VIEW("body"));
}

TEST(header_unfold_is_bounded)
{
    size_t size = 2 * HEADER_VALUE_BYTES_MAX;
    char *huge = arena_alloc(test_arena(), size);
    for (size_t i = 0; i < size; i++) huge[i] = i % 80 == 79 ? '\n' : i % 80 == 0 ? ' ' : 'x';
    view value = header_unfold(view_make(huge, size), test_arena());
    EXPECT(value.len <= HEADER_VALUE_BYTES_MAX && !view_has_byte(value, '\n'));
    struct arena *tiny = arena_new(NULL, 4);
    EXPECT_VIEW(header_unfold(VIEW(" first\r\n second"), tiny), VIEW("first"));
    arena_free(tiny);
}
