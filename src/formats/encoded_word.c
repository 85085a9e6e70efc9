#include "formats/encoded_word.h"

#include <string.h>

#include "base/check.h"
#include "formats/charset.h"
#include "formats/header.h"
#include "formats/transfer.h"

struct word {
    view charset, text;
    bool is_base64;
    size_t length;           /* all of it, "=?" to "?=" */
};

struct decoder {
    buf out;
    buf bytes;               /* of adjacent words in one charset, not yet converted */
    view charset;
    struct transfer_decoder base64;
    size_t base64_length;    /* of the last word's text without padding; what may go on in the next word */
    bool has_words;
    bool words_over;         /* no "?=" in what is left */
};

/* encoded-word = "=?" charset "?" encoding "?" encoded-text "?=" (RFC 2047 §2), charset with *language (RFC 2231 §5) */
static bool match_word(struct decoder *d, view v, struct word *ret_word)
{
    struct word word = {0};
    view rest = view_from(v, 2), encoding;
    if (d->words_over || !view_starts(v, VIEW("=?"))) return false;
    size_t end = view_find(view_slice(rest, 0, 2 * CHARSET_NAME_BYTES_MAX), '?');
    if (end == VIEW_NONE || end == 0) return false;
    word.charset = view_slice(rest, 0, end);
    rest = view_from(rest, end + 1);
    if (rest.len < 2 || rest.at[1] != '?') return false;
    encoding = view_slice(rest, 0, 1);
    word.is_base64 = view_equal_nocase(encoding, VIEW("B"));
    if (!word.is_base64 && !view_equal_nocase(encoding, VIEW("Q"))) return false;
    rest = view_from(rest, 2);
    end = view_find_view(rest, VIEW("?="));
    if (end == VIEW_NONE) {
        d->words_over = true;
        return false;
    }
    word.text = view_slice(rest, 0, end);
    word.length = v.len - rest.len + end + 2;
    size_t star = view_find(word.charset, '*');
    if (star != VIEW_NONE) word.charset = view_slice(word.charset, 0, star);
    *ret_word = word;
    return true;
}

static void end_base64(struct decoder *d)
{
    transfer_decoder_end(&d->base64, &d->bytes);
    d->base64 = transfer_decoder_of(TRANSFER_BASE64);
    d->base64_length = 0;
}

static void flush_words(struct decoder *d)
{
    if (!d->has_words) return;
    end_base64(d);
    charset_append_utf8(d->charset, buf_view(&d->bytes), &d->out);
    buf_clear(&d->bytes);
    d->has_words = false;
}

/* Base64 that was cut at no multiple of four goes on in the next word: the bits left over are not zero, or both lengths tell. */
static bool goes_on(const struct decoder *d, view text)
{
    if (d->base64.count == 0) return false;
    uint32_t left_over = d->base64.bits & (d->base64.count == 2 ? 15u : d->base64.count == 3 ? 3u : 63u);
    return d->base64.count == 1 || left_over || (text.len % 4 != 0 && (d->base64_length + text.len) % 4 == 0);
}

static void decode_q(view text, buf *into)
{
    buf escaped CLEANUP(buf_done) = BUF_INIT;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] == '_' || text.at[i] == ' ') buf_append(&escaped, VIEW("=20"));   /* blanks at the end stay */
        else buf_append_byte(&escaped, text.at[i]);
    }
    transfer_decode(TRANSFER_QUOTED_PRINTABLE, buf_view(&escaped), into);
}

static void add_word(struct decoder *d, const struct word *word)
{
    if (d->has_words && !view_equal_nocase(d->charset, word->charset)) flush_words(d);
    if (!word->is_base64 || !goes_on(d, word->text)) end_base64(d);
    d->charset = word->charset;
    d->has_words = true;
    if (word->is_base64) {
        d->base64_length = word->text.len;
        transfer_decoder_feed(&d->base64, word->text, &d->bytes);
    } else {
        decode_q(word->text, &d->bytes);
    }
}

static void add_raw(struct decoder *d, view raw)
{
    flush_words(d);
    charset_append_utf8(VIEW_EMPTY, raw, &d->out);
}

static void decode(struct decoder *d, view value)
{
    struct word word = {0};
    while (value.len) {
        size_t start = 0;
        while (start < value.len && !match_word(d, view_from(value, start), &word)) {
            size_t next = d->words_over ? VIEW_NONE : view_find_view(view_from(value, start + 1), VIEW("=?"));
            start = next == VIEW_NONE ? value.len : start + 1 + next;
        }
        view raw = view_slice(value, 0, start);
        bool is_gap = d->has_words && start < value.len && view_trim(raw).len == 0;   /* RFC 2047 §6.2 */
        if (raw.len && !is_gap) add_raw(d, raw);
        if (start == value.len) return;
        add_word(d, &word);
        value = view_from(value, start + word.length);
    }
}

/* Text for one line: control characters (a decoded line end among them) become blanks. */
static void flatten(buf *text)
{
    for (size_t i = 0; i < text->len; i++)
        if ((unsigned char)text->at[i] < ' ' || text->at[i] == 0x7f) text->at[i] = ' ';
}

view encoded_word_decode(view value, struct arena *arena)
{
    struct decoder d = {.base64 = transfer_decoder_of(TRANSFER_BASE64)};
    decode(&d, header_unfold(value, arena));
    flush_words(&d);
    flatten(&d.out);
    char *copy = d.out.len ? arena_try_alloc(arena, d.out.len) : NULL;
    if (copy) memcpy(copy, d.out.at, d.out.len);
    view text = view_make(copy, copy ? d.out.len : 0);
    buf_done(&d.out);
    buf_done(&d.bytes);
    return text;
}
