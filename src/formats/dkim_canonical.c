/* The canonical forms of RFC 6376 §3.4. */
#include "base/check.h"
#include "formats/dkim.h"
#include "formats/header.h"

/* ---- header fields ---- */

static bool is_blank(char byte) { return byte == ' ' || byte == '\t'; }

/* Every line end as CRLF, the last one too. */
static void append_simple(buf *into, view text)
{
    for (view line; view_cut(&text, '\n', &line);) {
        if (line.len && line.at[line.len - 1] == '\r') line.len--;
        buf_append(into, line);
        buf_append(into, VIEW("\r\n"));
    }
}

/* §3.4.2: unfolded, white space runs as one space, none at the ends. */
static void append_relaxed_value(buf *into, view value)
{
    size_t from = into->len;
    bool has_blank = false;
    for (size_t i = 0; i < value.len; i++) {
        char byte = value.at[i];
        bool ends_line = byte == '\n' || (byte == '\r' && i + 1 < value.len && value.at[i + 1] == '\n');
        if (ends_line) continue;
        if (is_blank(byte)) {
            has_blank = true;
            continue;
        }
        if (has_blank && into->len > from) buf_append_byte(into, ' ');
        has_blank = false;
        buf_append_byte(into, byte);
    }
}

void dkim_append_field(buf *into, view whole, bool is_relaxed)
{
    struct header_field field;
    view rest = whole;
    if (!is_relaxed || !header_next(&rest, &field) || field.name.len == 0) {
        append_simple(into, whole);
        return;
    }
    for (size_t i = 0; i < field.name.len; i++) buf_append_byte(into, ascii_lower(field.name.at[i]));
    buf_append_byte(into, ':');
    append_relaxed_value(into, field.value);
    buf_append(into, VIEW("\r\n"));
}

result dkim_append_own_field(buf *into, view whole, bool is_relaxed)
{
    struct header_field field;
    struct dkim_tags tags;
    view rest = whole;
    if (!header_next(&rest, &field) || !dkim_tags_parse(field.value, &tags)) return INVALID;
    const struct dkim_tag *b = dkim_tags_find(&tags, VIEW("b"));
    if (!b) return INVALID;
    buf without CLEANUP(buf_done) = BUF_INIT;
    size_t at = (size_t)(b->raw.at - whole.at);
    buf_append(&without, view_slice(whole, 0, at));
    buf_append(&without, view_from(whole, at + b->raw.len));
    dkim_append_field(into, buf_view(&without), is_relaxed);
    into->len -= 2;
    return OK;
}

/* ---- bodies ---- */

static void put(struct dkim_body *b, view bytes)
{
    b->bytes += bytes.len;
    b->put(b->argument, bytes);
}

static void put_line_ends(struct dkim_body *b, uint64_t count)
{
    static const char many[] = "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n";
    enum { MOST = (sizeof many - 1) / 2 };
    for (; count > 0; count -= count < MOST ? count : MOST) put(b, view_make(many, 2 * (size_t)(count < MOST ? count : MOST)));
}

/* Something that stays: what may have been the end before it was not. */
static void put_text(struct dkim_body *b, view text)
{
    put_line_ends(b, b->empty_lines);
    b->empty_lines = 0;
    if (b->has_blank) put(b, VIEW(" "));
    b->has_blank = false;
    b->in_line = true;
    put(b, text);
}

static void end_line(struct dkim_body *b)
{
    if (b->in_line) put(b, VIEW("\r\n"));
    else b->empty_lines++;
    b->in_line = b->has_blank = b->has_cr = false;
}

/* A CR that no LF followed. */
static void settle_cr(struct dkim_body *b)
{
    if (!b->has_cr) return;
    if (b->cr_ends_lines) {
        end_line(b);
        return;
    }
    b->has_cr = false;
    put_text(b, VIEW("\r"));
}

static bool is_special(const struct dkim_body *b, char byte)
{
    return byte == '\r' || byte == '\n' || (b->is_relaxed && is_blank(byte));
}

void dkim_body_feed(struct dkim_body *b, view piece)
{
    for (size_t i = 0; i < piece.len;) {
        char byte = piece.at[i];
        if (byte == '\n') {
            end_line(b);
            i++;
            continue;
        }
        settle_cr(b);
        if (!is_special(b, byte)) {
            size_t from = i;
            while (i < piece.len && !is_special(b, piece.at[i])) i++;
            put_text(b, view_slice(piece, from, i - from));
            continue;
        }
        if (byte == '\r') b->has_cr = true;
        else b->has_blank = true;
        i++;
    }
}

void dkim_body_end(struct dkim_body *b)
{
    settle_cr(b);
    if (b->in_line) end_line(b);
    /* §3.4.3: an empty body is one CRLF; §3.4.4: it is nothing. */
    if (!b->is_relaxed && b->bytes == 0) put(b, VIEW("\r\n"));
}
