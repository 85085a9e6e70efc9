#include "formats/search_terms.h"

#include "base/check.h"
#include "base/utf8.h"

/* ---- characters ---- */

enum script { SCRIPT_NONE, SCRIPT_JOINER, SCRIPT_WORD, SCRIPT_HAN, SCRIPT_HIRAGANA, SCRIPT_KATAKANA, SCRIPT_HANGUL };

static const uint8_t ascii_scripts[128] = {
    ['0' ... '9'] = SCRIPT_WORD, ['A' ... 'Z'] = SCRIPT_WORD, ['a' ... 'z'] = SCRIPT_WORD, ['_'] = SCRIPT_WORD,
    ['@'] = SCRIPT_JOINER, ['.'] = SCRIPT_JOINER, ['-'] = SCRIPT_JOINER, ['\''] = SCRIPT_JOINER, ['+'] = SCRIPT_JOINER, ['&'] = SCRIPT_JOINER,
};

static enum script script_of_ascii(unsigned char c) { return c < 128 ? ascii_scripts[c] : SCRIPT_NONE; }

/* Rising; what stands in none is a letter of a script with spaces, or a sign that may as well be one. */
static const struct { uint32_t first, last; enum script script; } scripts[] = {
    {0x80, 0xa9, SCRIPT_NONE},            {0xab, 0xb4, SCRIPT_NONE},            {0xb6, 0xb9, SCRIPT_NONE},            {0xbb, 0xbf, SCRIPT_NONE},
    {0xd7, 0xd7, SCRIPT_NONE},            {0xf7, 0xf7, SCRIPT_NONE},            {0x1100, 0x11ff, SCRIPT_HANGUL},      {0x2000, 0x206f, SCRIPT_NONE},
    {0x2190, 0x245f, SCRIPT_NONE},        {0x2500, 0x27bf, SCRIPT_NONE},        {0x3000, 0x3004, SCRIPT_NONE},        {0x3005, 0x3007, SCRIPT_HAN},
    {0x3008, 0x3020, SCRIPT_NONE},        {0x3021, 0x3029, SCRIPT_HAN},         {0x302a, 0x303f, SCRIPT_NONE},        {0x3040, 0x309f, SCRIPT_HIRAGANA},
    {0x30a0, 0x30a0, SCRIPT_NONE},        {0x30a1, 0x30fa, SCRIPT_KATAKANA},    {0x30fb, 0x30fb, SCRIPT_NONE},        {0x30fc, 0x30ff, SCRIPT_KATAKANA},
    {0x3105, 0x312f, SCRIPT_HAN},         {0x3130, 0x318f, SCRIPT_HANGUL},      {0x31f0, 0x31ff, SCRIPT_KATAKANA},    {0x3200, 0x33ff, SCRIPT_HAN},
    {0x3400, 0x4dbf, SCRIPT_HAN},         {0x4e00, 0x9fff, SCRIPT_HAN},         {0xa960, 0xa97f, SCRIPT_HANGUL},      {0xac00, 0xd7ff, SCRIPT_HANGUL},
    {0xe000, 0xf8ff, SCRIPT_NONE},        {0xf900, 0xfaff, SCRIPT_HAN},         {0xfe10, 0xfe6f, SCRIPT_NONE},        {0xff00, 0xff0f, SCRIPT_NONE},
    {0xff1a, 0xff20, SCRIPT_NONE},        {0xff3b, 0xff40, SCRIPT_NONE},        {0xff5b, 0xff65, SCRIPT_NONE},        {0xffe0, 0xffff, SCRIPT_NONE},
    {0x20000, 0x3ffff, SCRIPT_HAN},
};

static enum script script_of(uint32_t c)
{
    size_t low = 0, high = array_size(scripts);
    if (c < 0x80) return script_of_ascii((unsigned char)c);
    if (c >= 0x4e00 && c <= 0x9fff) return SCRIPT_HAN;
    if (c >= 0x3040 && c <= 0x309f) return SCRIPT_HIRAGANA;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (scripts[middle].last < c) low = middle + 1;
        else high = middle;
    }
    return low < array_size(scripts) && c >= scripts[low].first ? scripts[low].script : SCRIPT_WORD;
}

static bool is_cjk(enum script s) { return s >= SCRIPT_HAN; }

/* The character at `at`; a byte that is none is read as a separator of one byte. */
static enum script look(view text, size_t at, uint32_t *ret_c, size_t *ret_bytes)
{
    unsigned char byte = (unsigned char)text.at[at];
    view rest = view_from(text, at);
    size_t before = rest.len;
    *ret_c = byte;
    *ret_bytes = 1;
    if (byte < 0x80) return script_of_ascii(byte);
    if (!utf8_take(&rest, ret_c)) return SCRIPT_NONE;
    *ret_bytes = before - rest.len;
    return script_of(*ret_c);
}

/* ---- tokens ---- */

/* Where the word that begins at `at` ends. */
static size_t word_end(view text, size_t at)
{
    uint32_t c;
    size_t bytes, end = at;
    while (end < text.len) {
        while (end < text.len && script_of_ascii((unsigned char)text.at[end]) == SCRIPT_WORD) end++;
        if (end == text.len) break;
        enum script script = look(text, end, &c, &bytes);
        if (script == SCRIPT_WORD) {
            end += bytes;
            continue;
        }
        size_t after = end + bytes;
        if (script != SCRIPT_JOINER || after >= text.len || look(text, after, &c, &bytes) != SCRIPT_WORD) break;
        end = after + bytes;
    }
    return end;
}

static bool is_continuation(char byte) { return ((unsigned char)byte & 0xc0) == 0x80; }

static void tell_word(view word, const struct search_terms_sink *sink)
{
    for (size_t from = 0;; from += SEARCH_WORD_STEP_BYTES) {
        size_t begin = from, end = from + SEARCH_WORD_BYTES_MAX;
        while (begin > 0 && is_continuation(word.at[begin])) begin--;
        if (end >= word.len) {
            sink->word(sink->argument, view_from(word, begin));
            return;
        }
        while (end < word.len && is_continuation(word.at[end])) end++;
        sink->word(sink->argument, view_slice(word, begin, end - begin));
    }
}

static size_t characters_max(enum script s) { return s == SCRIPT_HAN ? SEARCH_HAN_CHARACTERS_MAX : SEARCH_KANA_CHARACTERS_MAX; }

static void tell_stretch(view stretch, size_t characters, enum script script, const struct search_terms_sink *sink)
{
    if (characters < SEARCH_RUN_CHARACTERS_MIN) return;
    if (characters <= characters_max(script)) sink->word(sink->argument, stretch);
    else sink->pair(sink->argument, SEARCH_PAIR_LONG);
}

/* From the CJK character at `at` to the end of its run. */
static size_t tell_run(view text, size_t at, const struct search_terms_sink *sink)
{
    enum script stretch_script = SCRIPT_NONE;
    size_t stretch_at = at, stretch_characters = 0, characters = 0, bytes;
    uint32_t c, last = 0;
    for (; at < text.len; at += bytes) {
        enum script script = look(text, at, &c, &bytes);
        if (!is_cjk(script)) break;
        if (script != stretch_script) {
            tell_stretch(view_slice(text, stretch_at, at - stretch_at), stretch_characters, stretch_script, sink);
            stretch_script = script;
            stretch_at = at;
            stretch_characters = 0;
        }
        stretch_characters++;
        if (characters++) sink->pair(sink->argument, (uint64_t)last << 21 | c);
        last = c;
    }
    tell_stretch(view_slice(text, stretch_at, at - stretch_at), stretch_characters, stretch_script, sink);
    if (characters == 1) sink->pair(sink->argument, (uint64_t)last << 21);
    return at;
}

void search_terms_each(view folded, const struct search_terms_sink *sink)
{
    for (size_t at = 0; at < folded.len;) {
        uint32_t c;
        size_t bytes;
        enum script script = look(folded, at, &c, &bytes);
        if (script == SCRIPT_WORD) {
            size_t end = word_end(folded, at);
            tell_word(view_slice(folded, at, end - at), sink);
            at = end;
        } else if (is_cjk(script)) {
            at = tell_run(folded, at, sink);
        } else {
            at += bytes;
        }
    }
}

/* ---- grams ---- */

enum { GRAM_BITS = 15, CJK_FIRST = 0x2e80 };
_Static_assert(SEARCH_GRAMS == 1 << GRAM_BITS, "numbers of grams");

static uint16_t gram_of(uint32_t a, uint32_t b, uint32_t c)
{
    uint64_t mixed = ((uint64_t)a << 42 | (uint64_t)b << 21 | c) * 0x9e3779b97f4a7c15;
    return (uint16_t)(mixed >> (64 - GRAM_BITS));
}

/* A byte that is no character is one. */
static uint32_t take_character(view *rest)
{
    uint32_t c = (unsigned char)rest->at[0];
    if (c < 0x80 || !utf8_take(rest, &c)) *rest = view_from(*rest, 1);
    return c;
}

size_t search_grams(view word, size_t from, uint16_t grams[static SEARCH_GRAMS_MAX])
{
    view rest = view_from(word, from);
    uint32_t a = 0, b = 0;
    size_t characters = 0, count = 0;
    while (rest.len && count < SEARCH_GRAMS_MAX) {
        uint32_t c = take_character(&rest);
        characters++;
        if (characters >= 3 && a < CJK_FIRST) grams[count++] = gram_of(a, b, c);
        if (characters >= 2 && b >= CJK_FIRST && count < SEARCH_GRAMS_MAX) grams[count++] = gram_of(b, c, 0);
        a = b;
        b = c;
    }
    return count;
}

/* ---- needles ---- */

/* In the text the word may go on where the needle ends, or where it ends behind one joiner. */
static bool is_open(view beyond) { return beyond.len == 0 || (beyond.len == 1 && script_of_ascii((unsigned char)beyond.at[0]) == SCRIPT_JOINER); }

/* A kept piece has it whole only when it is short. */
static struct search_query_word query_word(view needle, size_t at, size_t end)
{
    struct search_query_word w = {view_slice(needle, at, end - at), is_open(view_slice(needle, 0, at)), is_open(view_from(needle, end))};
    if (w.text.len <= SEARCH_WORD_STEP_BYTES) return w;
    size_t cut = SEARCH_WORD_STEP_BYTES;
    while (is_continuation(w.text.at[cut])) cut--;
    w.text = view_slice(w.text, 0, cut);
    w.is_open_right = true;
    return w;
}

static void add_pair(void *argument, uint64_t pair)
{
    struct search_query *q = argument;
    if (pair != SEARCH_PAIR_LONG && q->pair_count < SEARCH_QUERY_TERMS_MAX) q->pairs[q->pair_count++] = pair;
}

static void ignore_word(void *argument, view word)
{
    (void)argument;
    (void)word;
}

/* A needle of CJK characters alone. */
static void make_run(view needle, struct search_query *q)
{
    uint32_t c;
    size_t bytes, characters = 0;
    enum script first = look(needle, 0, &c, &bytes);
    bool is_one_script = true;
    q->character = c;
    for (size_t at = 0; at < needle.len; at += bytes, characters++) is_one_script &= look(needle, at, &c, &bytes) == first;
    if (characters == 1) q->kind = SEARCH_CHARACTER;
    else if (characters == 2) q->kind = SEARCH_PAIR;
    else if (is_one_script) q->kind = SEARCH_STRETCH;
    else return;
    q->words[0] = (struct search_query_word){needle, true, true};
    q->word_count = q->kind == SEARCH_STRETCH;
}

/* In a needle, a character at its edge may have neighbours in the text, on one side: it is no character that stands alone. */
static size_t add_run(view needle, size_t at, struct search_query *q)
{
    const struct search_terms_sink sink = {ignore_word, add_pair, q};
    unsigned before = q->pair_count;
    size_t end = tell_run(needle, at, &sink);
    bool is_alone = q->pair_count == before + 1 && (q->pairs[before] & 0x1fffff) == 0;
    if (!is_alone || (at > 0 && end < needle.len)) return end;
    q->pair_count = before;
    if (end < needle.len) q->ending = (uint32_t)(q->pairs[before] >> 21);
    else if (at > 0) q->beginning = (uint32_t)(q->pairs[before] >> 21);
    return end;
}

void search_query_make(view needle, struct search_query *q)
{
    unsigned tokens = 0;
    size_t covered = 0;
    bool has_run = false;
    *q = (struct search_query){.kind = SEARCH_CANDIDATES};
    for (size_t at = 0; at < needle.len;) {
        uint32_t c;
        size_t bytes, end;
        enum script script = look(needle, at, &c, &bytes);
        if (script == SCRIPT_WORD) {
            end = word_end(needle, at);
            if (q->word_count < SEARCH_QUERY_TERMS_MAX) q->words[q->word_count++] = query_word(needle, at, end);
        } else if (is_cjk(script)) {
            end = add_run(needle, at, q);
            has_run = true;
        } else {
            at += bytes;
            continue;
        }
        tokens++;
        covered += end - at;
        at = end;
    }
    if (tokens == 1 && covered == needle.len && has_run) make_run(needle, q);
    else if (tokens == 1 && covered == needle.len && needle.len <= SEARCH_WORD_STEP_BYTES) q->kind = SEARCH_WORD;
    if (q->kind == SEARCH_CANDIDATES && q->word_count + q->pair_count == 0 && !q->ending && !q->beginning) q->kind = SEARCH_UNKNOWN;
}
