#include "runtime/wire_take.h"

#include <string.h>

#include "base/check.h"
#include "runtime/wire_zip.h"

void wire_init(struct wire *w, struct stream *s, enum wire_line_end line_end)
{
    *w = (struct wire){.stream = s, .line_end = line_end};
}

static view rest_of(const struct wire *w)
{
    return view_from(buf_view(&w->input), w->input_at);
}

static view consume(struct wire *w, size_t count)
{
    view v = {w->input.at + w->input_at, count};
    w->input_at += count;
    return v;
}

/*
 * Finds the next line end: the length of the line without it, and with it. This function alone decides what a
 * line end is.
 */
static bool find_line_end(struct wire *w, size_t *ret_len, size_t *ret_whole)
{
    const char *at = w->input.at;
    size_t from = w->scanned > w->input_at ? w->scanned : w->input_at;
    while (from < w->input.len) {
        const char *lf = memchr(at + from, '\n', w->input.len - from);
        if (!lf) break;
        size_t position = (size_t)(lf - at);
        bool after_cr = position > w->input_at && at[position - 1] == '\r';
        if (after_cr || w->line_end == WIRE_LF_ENDS_COMMAND) {
            w->scanned = position;
            *ret_len = position - w->input_at - (after_cr ? 1 : 0);
            *ret_whole = position + 1 - w->input_at;
            return true;
        }
        from = position + 1;
    }
    w->scanned = w->input.len;
    return false;
}

enum { UNPACKED_AHEAD_BYTES_MAX = 128 * 1024 };   /* in the search for a line's end */

/* Of compressed input a line may be there and not yet be unpacked. True also when it is known that reading fails or ends at once. */
bool wire_has_line(struct wire *w)
{
    size_t len, whole;
    for (;;) {
        if (find_line_end(w, &len, &whole)) return true;
        if (!w->zip || !wire_zip_has_more(w->zip)) return false;
        if (w->input.len - w->input_at > UNPACKED_AHEAD_BYTES_MAX) return true;
        wire_compact(w);
        if (wire_zip_unpack(w->zip, &w->input) != OK) return true;
    }
}

bool wire_has_input(const struct wire *w)
{
    return w->input_at < w->input.len || (w->zip && wire_zip_has_more(w->zip));
}

enum { KEPT_END_BYTES = WIRE_SKIPPED_END_BYTES + 1 };   /* with a CR that may belong to the line's end */

/* Drops the middle of what came of an over-long line. */
static void skip_line(struct wire *w)
{
    size_t kept = WIRE_SKIPPED_START_BYTES + KEPT_END_BYTES;
    view rest = rest_of(w);
    w->skips_line = true;
    if (rest.len <= kept) return;
    char *start = w->input.at + w->input_at;
    memmove(start + WIRE_SKIPPED_START_BYTES, start + rest.len - KEPT_END_BYTES, KEPT_END_BYTES);
    w->input.len = w->scanned = w->input_at + kept;
}

result wire_take_line(struct wire *w, size_t max_bytes, view *ret_line)
{
    size_t len, whole;
    if (find_line_end(w, &len, &whole)) {
        view line = view_slice(consume(w, whole), 0, len);
        bool too_big = w->skips_line || len > max_bytes;
        w->skips_line = false;
        w->skipped = too_big ? line : VIEW_EMPTY;
        if (too_big) return TOO_BIG;
        *ret_line = line;
        return OK;
    }
    if (w->skips_line || w->input.len - w->input_at > max_bytes + 1) skip_line(w);
    return BUSY;
}

/* At the start of a line of a data block that begins with a dot. OK: the dot is to be dropped. END, BUSY. */
static result judge_dot(view rest)
{
    if (rest.len < 2) return BUSY;
    if (rest.at[1] != '\r') return OK;
    if (rest.len < 3) return BUSY;
    return rest.at[2] == '\n' ? END : OK;
}

/* RFC 5321 §4.5.2 */
result wire_take_data(struct wire *w, view *ret_piece)
{
    view rest = rest_of(w);
    if (rest.len == 0) return BUSY;
    if (w->at_line_start && rest.at[0] == '.') {
        result r = judge_dot(rest);
        if (r == BUSY) return BUSY;
        consume(w, r == END ? 3 : 1);
        if (r == END) return END;
        w->at_line_start = false;
        rest = rest_of(w);
    }
    const char *dot = memmem(rest.at, rest.len, "\r\n.", 3);
    if (dot) {
        w->at_line_start = true;
        *ret_piece = consume(w, (size_t)(dot - rest.at) + 2);
        return OK;
    }
    /* A last CR waits for what follows it. */
    bool ends_in_cr = rest.at[rest.len - 1] == '\r';
    if (ends_in_cr && rest.len == 1) return BUSY;
    w->at_line_start = rest.len >= 2 && memcmp(rest.at + rest.len - 2, "\r\n", 2) == 0;
    *ret_piece = consume(w, rest.len - (ends_in_cr ? 1 : 0));
    return OK;
}

result wire_take_bytes(struct wire *w, size_t max_bytes, view *ret_bytes)
{
    view rest = rest_of(w);
    check(max_bytes > 0);
    if (rest.len == 0) return BUSY;
    *ret_bytes = consume(w, rest.len < max_bytes ? rest.len : max_bytes);
    return OK;
}

void wire_compact(struct wire *w)
{
    size_t left = w->input.len - w->input_at;
    if (left && w->input_at) memmove(w->input.at, w->input.at + w->input_at, left);
    w->scanned = w->scanned > w->input_at ? w->scanned - w->input_at : 0;
    w->input.len = left;
    w->input_at = 0;
}

void wire_data_begin(struct wire *w) { w->at_line_start = true; }

void wire_discard_input(struct wire *w)
{
    buf_clear(&w->input);
    w->input_at = w->scanned = 0;
    w->skips_line = false;
}
