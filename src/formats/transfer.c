#include "formats/transfer.h"

#include <string.h>

enum {
    LINE_BYTES_MAX = 76,         /* RFC 2045 §6.7 and §6.8 */
    SEXTET_MAX = 63,
};

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The value of a letter of the alphabet plus one; 0 for all other bytes. */
static const unsigned char sextets[256] = {
    ['A'] = 1, ['B'] = 2, ['C'] = 3, ['D'] = 4, ['E'] = 5, ['F'] = 6, ['G'] = 7, ['H'] = 8, ['I'] = 9, ['J'] = 10,
    ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16, ['Q'] = 17, ['R'] = 18, ['S'] = 19,
    ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24, ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28,
    ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32, ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37,
    ['l'] = 38, ['m'] = 39, ['n'] = 40, ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46,
    ['u'] = 47, ['v'] = 48, ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55,
    ['3'] = 56, ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64,
};

/* ---- base64 ---- */

static void append_group(buf *b, const unsigned char *bytes, size_t count)
{
    uint32_t bits = (uint32_t)bytes[0] << 16;
    if (count > 1) bits |= (uint32_t)bytes[1] << 8;
    if (count > 2) bits |= bytes[2];
    char *out = buf_extend(b, 4);
    out[0] = alphabet[bits >> 18];
    out[1] = alphabet[bits >> 12 & 63];
    out[2] = count > 1 ? alphabet[bits >> 6 & 63] : '=';
    out[3] = count > 2 ? alphabet[bits & 63] : '=';
}

void base64_append(buf *b, view bytes)
{
    buf_reserve(b, bytes.len / 3 * 4 + 4);
    for (size_t at = 0; at < bytes.len; at += 3) {
        size_t left = bytes.len - at;
        append_group(b, (const unsigned char *)bytes.at + at, left < 3 ? left : 3);
    }
}

bool base64_decode(view text, buf *into)
{
    size_t start = into->len, pads = 0;
    if (text.len % 4) return false;
    while (pads < 2 && text.len && text.at[text.len - 1] == '=') {
        text.len--;
        pads++;
    }
    uint32_t bits = 0;
    unsigned count = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned sextet = sextets[(unsigned char)text.at[i]] - 1u;
        if (sextet > SEXTET_MAX) {
            into->len = start;
            return false;
        }
        bits = bits << 6 | sextet;
        if (++count < 4) continue;
        char *out = buf_extend(into, 3);
        out[0] = (char)(unsigned char)(bits >> 16);
        out[1] = (char)(unsigned char)(bits >> 8);
        out[2] = (char)(unsigned char)bits;
        count = 0;
    }
    bool is_right = count == 0 ? pads == 0 : count + pads == 4 && (bits & (count == 2 ? 15u : 3u)) == 0;
    if (!is_right) {
        into->len = start;
        return false;
    }
    if (count >= 2) buf_append_byte(into, (char)(unsigned char)(count == 2 ? bits >> 4 : bits >> 10));
    if (count == 3) buf_append_byte(into, (char)(unsigned char)(bits >> 2));
    return true;
}

static void end_base64_group(struct transfer_decoder *d, buf *into)
{
    if (d->count == 1) d->is_broken = true;
    if (d->count >= 2) buf_append_byte(into, (char)(unsigned char)(d->count == 2 ? d->bits >> 4 : d->bits >> 10));
    if (d->count == 3) buf_append_byte(into, (char)(unsigned char)(d->bits >> 2));
    d->count = 0;
    d->bits = 0;
}

/* "=" ends a group; what follows begins a new one, as bodies that were glued together want it. */
static void feed_base64(struct transfer_decoder *d, view chunk, buf *into)
{
    buf_reserve(into, chunk.len / 4 * 3 + 6);
    for (size_t i = 0; i < chunk.len; i++) {
        unsigned sextet = sextets[(unsigned char)chunk.at[i]] - 1u;
        if (sextet > SEXTET_MAX) {
            if (chunk.at[i] == '=') end_base64_group(d, into);
            else if (!ascii_is_space(chunk.at[i])) d->is_broken = true;
            continue;
        }
        d->bits = d->bits << 6 | sextet;
        if (++d->count < 4) continue;
        char *out = buf_extend(into, 3);
        out[0] = (char)(unsigned char)(d->bits >> 16);
        out[1] = (char)(unsigned char)(d->bits >> 8);
        out[2] = (char)(unsigned char)d->bits;
        d->count = 0;
        d->bits = 0;
    }
}

/* ---- quoted-printable ---- */

static int hex_digit(char c)
{
    if (ascii_is_digit(c)) return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void flush_blanks(struct transfer_decoder *d, buf *into)
{
    if (d->blanks.len == 0) return;
    buf_append(into, buf_view(&d->blanks));
    buf_clear(&d->blanks);
}

/* One more byte for the escape in d->held ("=" and at most one more). False when it does not belong to it: take it again. */
static bool settle_escape(struct transfer_decoder *d, buf *into, char next)
{
    char first = d->held_count > 1 ? d->held[1] : next;
    if (d->held_count == 1) {
        if (next == '\n') {                               /* soft line break with bare LF */
            d->held_count = 0;
            return true;
        }
        if (next == '\r' || next == ' ' || next == '\t' || hex_digit(next) >= 0) {
            d->held[d->held_count++] = next;
            return true;
        }
    } else if (first == '\r' || first == ' ' || first == '\t') {    /* soft line break, perhaps behind blanks */
        if (next == '\n') {
            d->held_count = 0;
            return true;
        }
        if (next == '\r' || next == ' ' || next == '\t') {
            d->held[1] = next;
            return true;
        }
    } else if (hex_digit(next) >= 0) {
        buf_append_byte(into, (char)(unsigned char)(hex_digit(first) << 4 | hex_digit(next)));
        d->held_count = 0;
        return true;
    }
    d->is_broken = true;                                  /* no escape: it stays as it was written */
    buf_append(into, view_make(d->held, d->held_count));
    d->held_count = 0;
    return false;
}

/* Bytes at the front that stand for themselves, whatever follows. */
static size_t literal_length(view v)
{
    size_t length = 0;
    while (length < v.len && v.at[length] > ' ' && v.at[length] != '=') length++;
    return length;
}

static void feed_quoted_printable(struct transfer_decoder *d, view chunk, buf *into)
{
    for (size_t i = 0; i < chunk.len; i++) {
        size_t literal = d->held_count ? 0 : literal_length(view_from(chunk, i));
        if (literal) {
            flush_blanks(d, into);
            buf_append(into, view_slice(chunk, i, literal));
            i += literal;
            if (i == chunk.len) return;
        }
        char c = chunk.at[i];
        if (d->held_count && settle_escape(d, into, c)) continue;
        if (c == ' ' || c == '\t' || c == '\r') {
            if (d->blanks.len >= TRANSFER_BLANKS_MAX) flush_blanks(d, into);
            buf_append_byte(&d->blanks, c);
        } else if (c == '\n') {                           /* white space at the end of a line was added on the way */
            bool has_cr = d->blanks.len && d->blanks.at[d->blanks.len - 1] == '\r';
            buf_clear(&d->blanks);
            buf_append(into, has_cr ? VIEW("\r\n") : VIEW("\n"));
        } else {
            flush_blanks(d, into);
            if (c == '=') d->held[d->held_count++] = c;
            else buf_append_byte(into, c);
        }
    }
}

/* ---- all ---- */

enum transfer_encoding transfer_encoding_of(view name)
{
    if (name.len == 0 || view_equal_nocase(name, VIEW("7bit")) || view_equal_nocase(name, VIEW("8bit")) ||
        view_equal_nocase(name, VIEW("binary")))
        return TRANSFER_IDENTITY;
    if (view_equal_nocase(name, VIEW("base64"))) return TRANSFER_BASE64;
    if (view_equal_nocase(name, VIEW("quoted-printable"))) return TRANSFER_QUOTED_PRINTABLE;
    return TRANSFER_UNKNOWN;
}

struct transfer_decoder transfer_decoder_of(enum transfer_encoding encoding)
{
    return (struct transfer_decoder){.encoding = encoding, .is_broken = encoding == TRANSFER_UNKNOWN};
}

void transfer_decoder_feed(struct transfer_decoder *d, view chunk, buf *into)
{
    if (d->encoding == TRANSFER_BASE64) feed_base64(d, chunk, into);
    else if (d->encoding == TRANSFER_QUOTED_PRINTABLE) feed_quoted_printable(d, chunk, into);
    else buf_append(into, chunk);
}

void transfer_decoder_end(struct transfer_decoder *d, buf *into)
{
    if (d->encoding == TRANSFER_BASE64) end_base64_group(d, into);
    if (d->held_count > 1 && hex_digit(d->held[1]) >= 0) {
        d->is_broken = true;
        buf_append(into, view_make(d->held, d->held_count));
    }
    buf_done(&d->blanks);
    d->held_count = 0;
}

bool transfer_decode(enum transfer_encoding encoding, view body, buf *into)
{
    struct transfer_decoder d = transfer_decoder_of(encoding);
    transfer_decoder_feed(&d, body, into);
    transfer_decoder_end(&d, into);
    return !d.is_broken;
}

void transfer_append_base64(buf *b, view bytes)
{
    enum { BYTES_OF_LINE = LINE_BYTES_MAX / 4 * 3 };
    for (size_t at = 0; at < bytes.len; at += BYTES_OF_LINE) {
        base64_append(b, view_slice(bytes, at, BYTES_OF_LINE));
        buf_append(b, VIEW("\r\n"));
    }
}

static bool is_line_end(view v)
{
    return v.len == 0 || v.at[0] == '\n' || (v.len >= 2 && v.at[0] == '\r' && v.at[1] == '\n');
}

void transfer_append_quoted_printable(buf *b, view text)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t column = 0;
    while (text.len) {
        if (is_line_end(text)) {
            buf_append(b, VIEW("\r\n"));
            text = view_from(text, text.at[0] == '\r' ? 2 : 1);
            column = 0;
            continue;
        }
        unsigned char byte = (unsigned char)text.at[0];
        text = view_from(text, 1);
        bool is_blank = byte == ' ' || byte == '\t';
        bool is_plain = is_blank ? !is_line_end(text) : byte > ' ' && byte < 0x7f && byte != '=';
        size_t width = is_plain ? 1 : 3;
        if (column + width > LINE_BYTES_MAX - 1) {
            buf_append(b, VIEW("=\r\n"));
            column = 0;
        }
        column += width;
        if (is_plain) buf_append_byte(b, (char)byte);
        else buf_append(b, view_make((char[]){'=', hex[byte >> 4], hex[byte & 15]}, 3));
    }
}
