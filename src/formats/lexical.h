/*
 * lexical: the words of structured header fields (RFC 5322 §3.2), read with tolerance.
 *
 * Besides RFC 5322 it knows that raw Japanese text stands in fields: between ESC $ B and ESC ( B, and as
 * the second byte of a Shift_JIS character, a quote, bracket or backslash is a piece of a character.
 * A quote, comment or literal that never ends is not one: its first byte is then text, and so are all
 * later ones of its kind, which keeps the time linear. Pure; views point into the input.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/view.h"

enum { LEXICAL_COMMENT_DEPTH_MAX = 50 };     /* deeper nesting is no comment any more */

enum lexeme_kind {
    LEXEME_END,
    LEXEME_SPACE,       /* a run of white space and line ends */
    LEXEME_QUOTED,      /* `text` is what stands between the quotes, quoted-pairs untouched */
    LEXEME_COMMENT,     /* `text` is what stands between the parentheses */
    LEXEME_LITERAL,     /* `text` includes the brackets */
    LEXEME_TEXT,        /* a run of anything else */
    LEXEME_SPECIAL,     /* one of lexer.specials */
};

struct lexeme {
    enum lexeme_kind kind;
    view text;
    size_t at, end;     /* position in the input, delimiters included */
};

struct lexer {
    view whole;
    size_t at;
    uint64_t specials[2];      /* a bit for each ASCII byte that is a lexeme of its own (no letter, digit, - _ +); '[' when literals are wanted */
    bool quotes_over, comments_over, literals_over;
};

static inline struct lexer lexer_of(view text, const char *specials)
{
    struct lexer l = {.whole = text};
    for (; *specials; specials++) l.specials[(unsigned char)*specials / 64 % 2] |= (uint64_t)1 << (unsigned char)*specials % 64;
    return l;
}

/* LEXEME_END at the end, again and again. */
struct lexeme lexer_next(struct lexer *l);

/* How many bytes at the front of v (not empty) belong together: a run of ISO-2022-JP, a UTF-8 or Shift_JIS character, or 1. */
size_t lexical_unit_length(view v);

/* Appends the content of a quoted string or comment without line ends and backslashes of quoted-pairs. */
void lexical_append_unquoted(buf *b, view content);
/* The same into memory of at least content.len bytes; how many were written. */
size_t lexical_unquote(view content, char *into);
