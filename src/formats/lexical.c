#include "formats/lexical.h"

#include <string.h>

#include "base/utf8.h"

enum { ESC = 0x1b };

/* From ESC $ (a double-byte set begins) to the ESC ( that returns, or to the end of the line. */
static size_t jis_run_length(view v)
{
    size_t at = 2;
    while (at < v.len && v.at[at] != '\r' && v.at[at] != '\n') {
        if (v.at[at] == ESC && at + 2 < v.len && v.at[at + 1] == '(' && v.at[at + 2] != 'I') return at + 3;
        at++;
    }
    return at;
}

static bool is_shift_jis_pair(unsigned char lead, unsigned char trail)
{
    bool is_lead = (lead >= 0x81 && lead <= 0x9f) || (lead >= 0xe0 && lead <= 0xfc);
    return is_lead && trail >= 0x40 && trail != 0x7f && trail <= 0xfc;
}

size_t lexical_unit_length(view v)
{
    unsigned char first = (unsigned char)v.at[0];
    if (first == ESC && v.len >= 2 && v.at[1] == '$') return jis_run_length(v);
    if (first < 0x80 || v.len < 2) return 1;
    view rest = v;
    uint32_t code_point;
    if (utf8_take(&rest, &code_point)) return v.len - rest.len;
    return is_shift_jis_pair(first, (unsigned char)v.at[1]) ? 2 : 1;
}

enum { NO_BYTE = -1 };

/*
 * Length of the quoted string, comment or literal at the front with both delimiters; 0 when it does not
 * end. `open` is NO_BYTE for what does not nest.
 */
static size_t enclosed_length(view v, int open, int close, unsigned depth_max)
{
    unsigned depth = 1;
    for (size_t at = 1; at < v.len;) {
        size_t unit = lexical_unit_length(view_from(v, at));
        int byte = unit == 1 ? (unsigned char)v.at[at] : NO_BYTE - 1;
        at += unit;
        if (byte == '\\') {
            at++;
        } else if (byte == close) {
            if (--depth == 0) return at;
        } else if (byte == open && ++depth > depth_max) {
            return 0;
        }
    }
    return 0;
}

static struct lexeme lexeme_to(struct lexer *l, enum lexeme_kind kind, size_t end, size_t delimiters)
{
    struct lexeme x = {.kind = kind, .at = l->at, .end = end};
    x.text = view_slice(l->whole, l->at + delimiters, end - l->at - 2 * delimiters);
    l->at = end;
    return x;
}

static bool has_special(const struct lexer *l, char byte)
{
    unsigned char index = (unsigned char)byte;
    return index < 0x80 && (l->specials[index / 64] >> index % 64 & 1);
}

static bool take_enclosed(struct lexer *l, view rest, struct lexeme *ret_lexeme)
{
    size_t length = 0;
    if (rest.at[0] == '"' && !l->quotes_over) {
        length = enclosed_length(rest, NO_BYTE, '"', 1);
        if (length) *ret_lexeme = lexeme_to(l, LEXEME_QUOTED, l->at + length, 1);
        else l->quotes_over = true;
    } else if (rest.at[0] == '(' && !l->comments_over) {
        length = enclosed_length(rest, '(', ')', LEXICAL_COMMENT_DEPTH_MAX);
        if (length) *ret_lexeme = lexeme_to(l, LEXEME_COMMENT, l->at + length, 1);
        else l->comments_over = true;
    } else if (rest.at[0] == '[' && !l->literals_over && has_special(l, '[')) {
        length = enclosed_length(rest, NO_BYTE, ']', 1);
        if (length) *ret_lexeme = lexeme_to(l, LEXEME_LITERAL, l->at + length, 0);
        else l->literals_over = true;
    }
    return length != 0;
}

static bool is_special(const struct lexer *l, char byte)
{
    return byte != '[' && has_special(l, byte);
}

static bool ends_text(const struct lexer *l, char byte)
{
    if (ascii_is_space(byte) || is_special(l, byte)) return true;
    return (byte == '"' && !l->quotes_over) || (byte == '(' && !l->comments_over) ||
           (byte == '[' && !l->literals_over && has_special(l, '['));
}

/* Letters, digits and a few more: never the end of a text, never the start of something longer. */
static bool is_plain(char byte)
{
    return ascii_is_alpha(byte) || ascii_is_digit(byte) || byte == '-' || byte == '_' || byte == '+';
}

struct lexeme lexer_next(struct lexer *l)
{
    view rest = view_from(l->whole, l->at);
    if (rest.len == 0) return (struct lexeme){.kind = LEXEME_END, .text = rest, .at = l->at, .end = l->at};
    size_t length = 0;
    while (length < rest.len && ascii_is_space(rest.at[length])) length++;
    if (length) return lexeme_to(l, LEXEME_SPACE, l->at + length, 0);

    struct lexeme enclosed;
    if (take_enclosed(l, rest, &enclosed)) return enclosed;
    if (is_special(l, rest.at[0])) return lexeme_to(l, LEXEME_SPECIAL, l->at + 1, 0);
    do {
        length += is_plain(rest.at[length]) ? 1 : lexical_unit_length(view_from(rest, length));
    } while (length < rest.len && (is_plain(rest.at[length]) || !ends_text(l, rest.at[length])));
    return lexeme_to(l, LEXEME_TEXT, l->at + length, 0);
}

size_t lexical_unquote(view content, char *into)
{
    size_t len = 0;
    for (size_t at = 0; at < content.len;) {
        size_t unit = lexical_unit_length(view_from(content, at));
        if (unit == 1 && content.at[at] == '\\' && at + 1 < content.len) {
            at++;
            unit = 1;
        }
        if (unit > 1 || (content.at[at] != '\r' && content.at[at] != '\n')) {
            memcpy(into + len, content.at + at, unit);
            len += unit;
        }
        at += unit;
    }
    return len;
}

void lexical_append_unquoted(buf *b, view content)
{
    if (content.len == 0) return;
    buf_reserve(b, content.len);
    b->len += lexical_unquote(content, b->at + b->len);
}
