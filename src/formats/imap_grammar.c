#include "formats/imap_grammar.h"

#include <string.h>

#include "base/check.h"

bool imap_miss(struct imap_grammar *g, const char *expected)
{
    if (g->expected) return false;
    g->expected = expected;
    g->position = cursor_position(&g->at);
    g->code = INVALID;
    return false;
}

bool imap_too_many(struct imap_grammar *g, const char *what)
{
    if (!imap_miss(g, what) && g->code == INVALID) g->code = TOO_BIG;
    return false;
}

/* atom-specials (RFC 9051 §9): "(" / ")" / "{" / SP / CTL / "%" / "*" / DQUOTE / "\" / "]" */
static bool is_atom_char(unsigned char c)
{
    return c > 0x20 && c < 0x7f && !strchr("(){%*\"\\]", c);
}

static bool is_astring_char(unsigned char c)
{
    return is_atom_char(c) || c == ']';
}

static bool is_tag_char(unsigned char c)
{
    return is_astring_char(c) && c != '+';
}

static bool is_list_char(unsigned char c)
{
    return is_astring_char(c) || c == '%' || c == '*';
}

static bool is_set_char(unsigned char c)
{
    return (c >= '0' && c <= '9') || c == ':' || c == ',' || c == '*';
}

bool imap_take_atom(struct imap_grammar *g, view *ret_atom)
{
    return take_while1(&g->at, is_atom_char, ret_atom);
}

bool imap_take_tag(struct cursor *c, view *ret_tag)
{
    struct cursor start = *c;
    if (take_while1(c, is_tag_char, ret_tag) && ret_tag->len <= IMAP_TAG_BYTES_MAX) return true;
    *c = start;
    return false;
}

/* quoted = DQUOTE *QUOTED-CHAR DQUOTE; bytes above 0x7f are taken as they are (RFC 6855 §3). */
static bool take_quoted(struct imap_grammar *g, view *ret_string)
{
    struct cursor start = g->at;
    if (!take_byte(&g->at, '"')) return false;
    view rest = g->at.rest;
    size_t len = 0, escapes = 0;
    for (; len < rest.len && rest.at[len] != '"'; len++) {
        if (rest.at[len] == '\\') {
            if (++len >= rest.len) break;
            escapes++;
        }
        if (rest.at[len] == '\r' || rest.at[len] == '\n' || rest.at[len] == 0) break;
    }
    if (len >= rest.len || rest.at[len] != '"') {
        g->at = start;
        return imap_miss(g, "a closing quote");
    }
    g->at.rest = view_from(rest, len + 1);
    *ret_string = view_slice(rest, 0, len);
    if (escapes == 0) return true;
    char *plain = arena_try_alloc(g->arena, len);
    if (!plain) return imap_too_many(g, "a shorter command");
    size_t kept = 0;
    for (size_t i = 0; i < len; i++) plain[kept++] = rest.at[i] == '\\' ? rest.at[++i] : rest.at[i];
    *ret_string = view_make(plain, kept);
    return true;
}

bool imap_take_literal_header(struct cursor *c, struct imap_literal *ret_literal)
{
    struct cursor start = *c;
    struct imap_literal literal = {.is_sync = true};
    literal.is_binary = take_byte(c, '~');
    if (take_byte(c, '{') && take_number(c, INT64_MAX, &literal.size_bytes)) {
        if (take_byte(c, '+')) literal.is_sync = false;
        if (take_byte(c, '}')) {
            *ret_literal = literal;
            return true;
        }
    }
    *c = start;
    return false;
}

/* literal = "{" number64 ["+"] "}" CRLF *CHAR8, and CHAR8 has no NUL */
static bool take_literal(struct imap_grammar *g, view *ret_string)
{
    struct cursor start = g->at;
    struct imap_literal literal;
    if (imap_take_literal_header(&g->at, &literal) && take_view(&g->at, VIEW("\r\n")) &&
        literal.size_bytes <= g->at.rest.len && take_bytes(&g->at, (size_t)literal.size_bytes, ret_string)) {
        if (!view_has_byte(*ret_string, 0)) return true;
        imap_miss(g, "a literal without NUL");
    }
    g->at = start;
    return false;
}

bool imap_take_value(struct imap_grammar *g, view *ret_value, bool *ret_is_nil)
{
    struct cursor start = g->at;
    struct imap_literal literal;
    if (imap_take_literal_header(&g->at, &literal) && literal.is_binary && take_view(&g->at, VIEW("\r\n")) &&
        literal.size_bytes <= g->at.rest.len && take_bytes(&g->at, (size_t)literal.size_bytes, ret_value)) {
        *ret_is_nil = false;
        return true;
    }
    g->at = start;
    return imap_take_nstring(g, ret_value, ret_is_nil);
}

bool imap_take_string(struct imap_grammar *g, view *ret_string)
{
    return take_quoted(g, ret_string) || take_literal(g, ret_string);
}

bool imap_take_astring(struct imap_grammar *g, view *ret_string)
{
    return take_while1(&g->at, is_astring_char, ret_string) || imap_take_string(g, ret_string);
}

bool imap_take_nstring(struct imap_grammar *g, view *ret_string, bool *ret_is_nil)
{
    *ret_is_nil = imap_take_word(g, VIEW("NIL"));
    if (*ret_is_nil) *ret_string = VIEW_EMPTY;
    return *ret_is_nil || imap_take_string(g, ret_string);
}

bool imap_take_list_mailbox(struct imap_grammar *g, view *ret_pattern)
{
    return take_while1(&g->at, is_list_char, ret_pattern) || imap_take_string(g, ret_pattern);
}

bool imap_take_number64(struct imap_grammar *g, uint64_t *ret_number)
{
    return take_number(&g->at, INT64_MAX, ret_number);
}

bool imap_take_nonzero(struct imap_grammar *g, uint32_t *ret_number)
{
    struct cursor start = g->at;
    uint32_t number;
    if (take_number32(&g->at, &number) && number != 0) {
        *ret_number = number;
        return true;
    }
    g->at = start;
    return false;
}

/* seq-number = nz-number / "*" */
static bool take_seq_number(struct imap_grammar *g, uint32_t *ret_number)
{
    if (imap_take_nonzero(g, ret_number)) return true;
    if (!take_byte(&g->at, '*')) return false;
    *ret_number = IMAP_STAR;
    return true;
}

static bool take_range(struct imap_grammar *g, struct imap_range *ret_range)
{
    struct imap_range r;
    if (!take_seq_number(g, &r.first)) return false;
    r.last = r.first;
    if (take_byte(&g->at, ':') && !take_seq_number(g, &r.last)) return false;
    *ret_range = r;
    return true;
}

/* sequence-set = (seq-number / seq-range) ["," sequence-set] / "$" (RFC 5182 §2.1) */
bool imap_take_set(struct imap_grammar *g, struct imap_set *ret_set)
{
    struct cursor start = g->at;
    struct imap_set set = {0};
    if (take_byte(&g->at, '$')) {
        *ret_set = (struct imap_set){.is_saved = true};
        return true;
    }
    view text = take_while(&g->at, is_set_char);
    g->at = start;
    if (text.len == 0) return false;
    size_t most = 1;
    for (size_t i = 0; i < text.len; i++) most += text.at[i] == ',';
    set.ranges = arena_try_alloc(g->arena, most * sizeof *set.ranges);
    if (!set.ranges) return imap_too_many(g, "a shorter set");
    do {
        check(set.count < most);
        if (!take_range(g, &set.ranges[set.count])) {
            g->at = start;
            return false;
        }
        set.count++;
    } while (take_byte(&g->at, ','));
    *ret_set = set;
    return true;
}

bool imap_take_space(struct imap_grammar *g) { return take_byte(&g->at, ' ') || imap_miss(g, "a space"); }
bool imap_take_open(struct imap_grammar *g) { return take_byte(&g->at, '(') || imap_miss(g, "\"(\""); }
bool imap_take_close(struct imap_grammar *g) { return take_byte(&g->at, ')') || imap_miss(g, "\")\""); }

/* Words end where no letter, digit, dot, hyphen or "=" follows: "BODY" is not taken of "BODYSTRUCTURE". */
static bool is_word_char(unsigned char c)
{
    return ascii_is_alpha((char)c) || ascii_is_digit((char)c) || c == '.' || c == '-' || c == '=' || c == '_';
}

static view peek_word(const struct imap_grammar *g)
{
    struct cursor c = g->at;
    return take_while(&c, is_word_char);
}

bool imap_take_word(struct imap_grammar *g, view word)
{
    if (!view_equal_nocase(peek_word(g), word)) return false;
    g->at.rest = view_from(g->at.rest, word.len);
    return true;
}

unsigned imap_take_word_of(struct imap_grammar *g, const struct imap_word *words, size_t count)
{
    view word = peek_word(g);
    for (size_t i = 0; i < count; i++) {
        if (!view_equal_nocase(word, words[i].text)) continue;
        g->at.rest = view_from(g->at.rest, word.len);
        return words[i].value;
    }
    return 0;
}

view imap_word_text(const struct imap_word *words, size_t count, unsigned value)
{
    for (size_t i = 0; i < count; i++)
        if (words[i].value == value) return words[i].text;
    unreachable();
}

void *imap_grow(struct imap_grammar *g, void *array, size_t count, size_t size_bytes)
{
    if (count & (count - 1)) return array;
    void *larger = arena_try_alloc(g->arena, (count ? count * 2 : 1) * size_bytes);
    if (!larger) {
        imap_too_many(g, "a shorter command");
        return NULL;
    }
    if (count) memcpy(larger, array, count * size_bytes);
    return larger;
}
