/* The pure half of the line reader: what ends a line and a data block, whatever the chunks. */
#include <string.h>

#include "base/test.h"
#include "runtime/wire_take.h"

/* Reads `input`, arriving in chunks cut at `first` and `second`, as lines; appends each as "<...>", TOO_BIG as "!". */
static void lines_of(view input, size_t first, size_t second, enum wire_line_end line_end, size_t max_bytes, buf *out)
{
    struct wire w;
    wire_init(&w, NULL, line_end);
    size_t ends[] = {first, second, input.len}, at = 0;
    for (int i = 0; i < 3; i++) {
        wire_compact(&w);
        buf_append(&w.input, view_slice(input, at, ends[i] - at));
        at = ends[i];
        view line;
        for (result r; (r = wire_take_line(&w, max_bytes, &line)) != BUSY;) {
            buf_append(out, r == OK ? VIEW("<") : VIEW("!"));
            if (r == OK) buf_append(out, line), buf_append_byte(out, '>');
        }
    }
    buf_done(&w.input);
}

static void expect_lines(view input, enum wire_line_end line_end, size_t max_bytes, view want)
{
    for (size_t first = 0; first <= input.len; first++)
        for (size_t second = first; second <= input.len; second++) {
            buf out = BUF_INIT;
            lines_of(input, first, second, line_end, max_bytes, &out);
            EXPECT_VIEW(buf_view(&out), want);
            buf_done(&out);
        }
}

TEST(only_crlf_ends_a_line)
{
    expect_lines(VIEW("a\r\nbc\r\n\r\nrest"), WIRE_CRLF_ENDS_COMMAND, 100, VIEW("<a><bc><>"));
    expect_lines(VIEW("a\nb\r\n"), WIRE_CRLF_ENDS_COMMAND, 100, VIEW("<a\nb>"));
    expect_lines(VIEW("a\rb\r\n"), WIRE_CRLF_ENDS_COMMAND, 100, VIEW("<a\rb>"));
    expect_lines(VIEW("\n\r\n\r\r\n"), WIRE_CRLF_ENDS_COMMAND, 100, VIEW("<\n><\r>"));
    expect_lines(VIEW("a\n\rb\r\n"), WIRE_CRLF_ENDS_COMMAND, 100, VIEW("<a\n\rb>"));
    expect_lines(((view){"\0\r\n\0", 4}), WIRE_CRLF_ENDS_COMMAND, 100, ((view){"<\0>", 3}));
}

TEST(a_bare_lf_ends_a_line_where_it_may)
{
    expect_lines(VIEW("a\nb\r\nc\r\r\n\n"), WIRE_LF_ENDS_COMMAND, 100, VIEW("<a><b><c\r><>"));
}

TEST(an_overlong_line_is_skipped_and_reported_once)
{
    expect_lines(VIEW("12345\r\n123456\r\nab\r\n"), WIRE_CRLF_ENDS_COMMAND, 5, VIEW("<12345>!<ab>"));
    expect_lines(VIEW("0123456789\r0123\n456789\r\n\r\n"), WIRE_CRLF_ENDS_COMMAND, 3, VIEW("!<>"));
    expect_lines(VIEW("1234567890123\n1\n"), WIRE_LF_ENDS_COMMAND, 5, VIEW("!<1>"));
    expect_lines(VIEW("1234567890123"), WIRE_CRLF_ENDS_COMMAND, 5, VIEW(""));
    expect_lines(VIEW("\r\n1\r\n"), WIRE_CRLF_ENDS_COMMAND, 0, VIEW("<>!"));
}

TEST(an_overlong_line_does_not_gather_memory)
{
    struct wire w;
    wire_init(&w, NULL, WIRE_CRLF_ENDS_COMMAND);
    char filler[1000];
    memset(filler, 'x', sizeof filler);
    view line;
    for (int i = 0; i < 1000; i++) {
        wire_compact(&w);
        buf_append(&w.input, view_make(filler, sizeof filler));
        EXPECT(wire_take_line(&w, 500, &line) == BUSY);
    }
    EXPECT(w.input.capacity < 8192);
    wire_compact(&w);
    buf_append(&w.input, VIEW("\r\nnext\r\n"));
    EXPECT(wire_take_line(&w, 500, &line) == TOO_BIG);
    EXPECT(wire_skipped(&w).len >= WIRE_SKIPPED_START_BYTES + WIRE_SKIPPED_END_BYTES && wire_skipped(&w).len < sizeof filler);
    EXPECT(wire_take_line(&w, 500, &line) == OK);
    EXPECT_NUMBER(wire_skipped(&w).len, 0);
    EXPECT_VIEW(line, VIEW("next"));
    buf_done(&w.input);
}

TEST(an_overlong_line_keeps_its_start_and_its_end)
{
    char text[1000];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)('a' + i % 23);
    for (size_t size = 1; size < 400; size++)
        for (size_t chunk = 1; chunk < 200; chunk += 7) {
            buf input CLEANUP(buf_done) = BUF_INIT;
            buf_append(&input, view_make(text, size));
            buf_append(&input, VIEW("\r\n"));
            struct wire w;
            view line, whole = view_make(text, size);
            wire_init(&w, NULL, WIRE_CRLF_ENDS_COMMAND);
            result r = BUSY;
            for (size_t at = 0; at < input.len && r == BUSY; at += chunk) {
                wire_compact(&w);
                buf_append(&w.input, view_slice(buf_view(&input), at, chunk));
                r = wire_take_line(&w, 0, &line);
            }
            REQUIRE(r == TOO_BIG);
            view kept = wire_skipped(&w);
            EXPECT_VIEW(view_slice(kept, 0, WIRE_SKIPPED_START_BYTES), view_slice(whole, 0, WIRE_SKIPPED_START_BYTES));
            size_t end = size < WIRE_SKIPPED_END_BYTES ? size : WIRE_SKIPPED_END_BYTES;
            EXPECT_VIEW(view_from(kept, kept.len - end), view_from(whole, size - end));
            buf_done(&w.input);
        }
}

/* Reads a data block in the same way; what follows its end is appended after a "|". */
static void data_of(view input, size_t first, size_t second, buf *out)
{
    struct wire w;
    wire_init(&w, NULL, WIRE_CRLF_ENDS_COMMAND);
    wire_data_begin(&w);
    size_t ends[] = {first, second, input.len}, at = 0;
    bool ended = false;
    for (int i = 0; i < 3; i++) {
        wire_compact(&w);
        buf_append(&w.input, view_slice(input, at, ends[i] - at));
        at = ends[i];
        view piece;
        result r;
        while (!ended && (r = wire_take_data(&w, &piece)) != BUSY) {
            ended = r == END;
            if (!ended) EXPECT(piece.len > 0);
            buf_append(out, ended ? VIEW("|") : piece);
        }
        while (ended && wire_take_bytes(&w, 3, &piece) == OK) buf_append(out, piece);
    }
    buf_done(&w.input);
}

static void expect_data(view input, view want)
{
    for (size_t first = 0; first <= input.len; first++)
        for (size_t second = first; second <= input.len; second++) {
            buf out = BUF_INIT;
            data_of(input, first, second, &out);
            EXPECT_VIEW(buf_view(&out), want);
            buf_done(&out);
        }
}

TEST(a_data_block_ends_at_crlf_dot_crlf_alone)
{
    expect_data(VIEW(".\r\nQUIT\r\n"), VIEW("|QUIT\r\n"));
    expect_data(VIEW("a\r\n.\r\nrest"), VIEW("a\r\n|rest"));
    expect_data(VIEW("a\n.\nb\r\n.\r\n"), VIEW("a\n.\nb\r\n|"));
    expect_data(VIEW("a\r.\rb\r\n.\r\n"), VIEW("a\r.\rb\r\n|"));
    expect_data(VIEW("a\n.\r\nb\r\n.\r\n"), VIEW("a\n.\r\nb\r\n|"));
    expect_data(VIEW("a\r.\r\nb\r\n.\r\n"), VIEW("a\r.\r\nb\r\n|"));
    expect_data(VIEW("a\r\n.\nb\r\n.\r\n"), VIEW("a\r\n\nb\r\n|"));
    expect_data(VIEW("a\r\n.\rb\r\n.\r\n"), VIEW("a\r\n\rb\r\n|"));
    expect_data(VIEW("a\r\r\n.\r\r\n\r\n.\r\n"), VIEW("a\r\r\n\r\r\n\r\n|"));
}

TEST(a_leading_dot_is_dropped_once)
{
    expect_data(VIEW("..\r\n.\r\n"), VIEW(".\r\n|"));
    expect_data(VIEW("...a\r\n..\r\n.\r\n"), VIEW("..a\r\n.\r\n|"));
    expect_data(VIEW(".a.\r\n.b\r\n\r\n..\r\n.\r\n"), VIEW("a.\r\nb\r\n\r\n.\r\n|"));
    expect_data(VIEW("\r\n\r\n..\r\n\r\n.\r\n"), VIEW("\r\n\r\n.\r\n\r\n|"));
    expect_data(VIEW("no end\r\n."), VIEW("no end\r\n"));
    expect_data(VIEW("no end\r\n.\r"), VIEW("no end\r\n"));
}

TEST(discarded_input_is_gone)
{
    struct wire w;
    wire_init(&w, NULL, WIRE_CRLF_ENDS_COMMAND);
    buf_append(&w.input, VIEW("STARTTLS\r\nRSET\r\n"));
    view line;
    EXPECT(wire_take_line(&w, 100, &line) == OK);
    EXPECT(wire_has_line(&w) && wire_has_input(&w));
    wire_discard_input(&w);
    EXPECT(!wire_has_line(&w) && !wire_has_input(&w));
    EXPECT(wire_take_line(&w, 100, &line) == BUSY);
    buf_done(&w.input);
}
