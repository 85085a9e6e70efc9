/*
 * The line reader under random bytes in random chunks. The first three bytes of the input choose line end, limit and chunk size. Oracles:
 * the units are those of the input in one piece, and so are both ends of lines that are too long; lines hold no line end; data equals what a
 * slow reference reader says.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "runtime/wire_take.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_lines(view input, size_t chunk, enum wire_line_end line_end, size_t max_bytes, buf *out)
{
    struct wire w;
    wire_init(&w, NULL, line_end);
    for (size_t at = 0; at < input.len; at += chunk) {
        wire_compact(&w);
        buf_append(&w.input, view_slice(input, at, chunk));
        view line;
        for (result r; (r = wire_take_line(&w, max_bytes, &line)) != BUSY;) {
            buf_append_byte(out, (char)r);
            if (r != OK) {
                view skipped = wire_skipped(&w);
                buf_append(out, view_slice(skipped, 0, WIRE_SKIPPED_START_BYTES));
                buf_append(out, view_from(skipped, skipped.len > WIRE_SKIPPED_END_BYTES ? skipped.len - WIRE_SKIPPED_END_BYTES : 0));
                continue;
            }
            check(line.len <= max_bytes && view_find_view(line, VIEW("\r\n")) == VIEW_NONE);
            check(line_end == WIRE_CRLF_ENDS_COMMAND || !view_has_byte(line, '\n'));
            buf_append_u64(out, line.len);
            buf_append(out, line);
        }
        check(w.input.len - w.input_at <= max_bytes + 2 || w.input.len - w.input_at <= WIRE_SKIPPED_START_BYTES + WIRE_SKIPPED_END_BYTES + 1);
    }
    buf_done(&w.input);
}

static void read_data(view input, size_t chunk, buf *out)
{
    struct wire w;
    wire_init(&w, NULL, WIRE_CRLF_ENDS_COMMAND);
    wire_data_begin(&w);
    result r = BUSY;
    for (size_t at = 0; at < input.len && r != END; at += chunk) {
        wire_compact(&w);
        buf_append(&w.input, view_slice(input, at, chunk));
        view piece;
        while ((r = wire_take_data(&w, &piece)) == OK) buf_append(out, piece);
    }
    if (r == END) buf_append(out, VIEW("\r\n.\r\n"));
    buf_done(&w.input);
}

/* One byte at a time, after the letter of RFC 5321 §4.5.2. */
static void read_data_slowly(view input, buf *out)
{
    size_t at = 0;
    while (at < input.len) {
        view rest = view_from(input, at);
        bool line_start = at == 0 || (at >= 2 && memcmp(input.at + at - 2, "\r\n", 2) == 0);
        if (line_start && view_starts(rest, VIEW(".\r\n"))) {
            buf_append(out, VIEW("\r\n.\r\n"));
            return;
        }
        if (line_start && rest.at[0] == '.') {
            if (rest.len < 2 || (rest.at[1] == '\r' && rest.len < 3)) return;
        } else if (!(rest.at[0] == '\r' && rest.len == 1)) {
            buf_append_byte(out, rest.at[0]);
        }
        at++;
    }
}

static void check_same(const buf *a, const buf *b) { check(view_equal(buf_view(a), buf_view(b))); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3) return 0;
    enum wire_line_end line_end = data[0] & 1 ? WIRE_LF_ENDS_COMMAND : WIRE_CRLF_ENDS_COMMAND;
    size_t max_bytes = data[1], chunk = (size_t)data[2] + 1;
    view input = view_make(data + 3, size - 3);
    buf whole = BUF_INIT, chunked = BUF_INIT, slow = BUF_INIT;
    read_lines(input, input.len + 1, line_end, max_bytes, &whole);
    read_lines(input, chunk, line_end, max_bytes, &chunked);
    check_same(&whole, &chunked);
    buf_clear(&whole);
    buf_clear(&chunked);
    read_data(input, input.len + 1, &whole);
    read_data(input, chunk, &chunked);
    read_data_slowly(input, &slow);
    check_same(&whole, &chunked);
    check_same(&whole, &slow);
    buf_done(&whole);
    buf_done(&chunked);
    buf_done(&slow);
    return 0;
}
