/* Looking terms up. */
#include <stdlib.h>
#include <string.h>

#include "account/segment.h"
#include "base/check.h"
#include "base/cursor.h"

enum {
    HITS_MANY = 64,                          /* in a block: then its postings are read as a whole */
    CANDIDATES_FEW = 16,                     /* to read so many messages costs no more than going through all pairs for one character */
};

struct finding {
    const struct segment_index *index;
    const struct segment_source *source;
    unsigned zones;
    struct fault *fault;
    buf text, infos, postings;
    uint32_t *hits;                          /* numbers of terms in the block */
    size_t hit_count, hit_capacity;
};

/* A pointer is not checked for its colour; this function is. */
MAY_YIELD static result read_bytes(const struct finding *f, uint64_t offset, size_t bytes, buf *into)
{
    buf_clear(into);
    if (bytes == 0) return OK;
    result code = f->source->read(f->source->argument, offset, bytes, into, f->fault);
    return code == OK && into->len != bytes ? fail(f->fault, CORRUPT, "search segment: ends too early") : code;
}

static result malformed(const struct finding *f) { return fail(f->fault, CORRUPT, "search segment: malformed block"); }

/* ---- postings ---- */

/* `loaded`: all postings of the block, or empty. */
MAY_YIELD static result mark_postings(struct finding *f, const struct segment_block *b, uint32_t at, view loaded, uint64_t *bits)
{
    uint32_t documents = f->index->footer.documents;
    struct segment_postings p;
    if (at >= b->postings_bytes) return malformed(f);
    if (loaded.len) {
        view postings = view_from(loaded, at);
        if (!segment_postings_head(view_slice(postings, 0, SEGMENT_POSTINGS_HEAD_MAX), documents, &p)) return malformed(f);
        return segment_postings_mark(&p, view_slice(postings, p.head_bytes, p.bytes), documents, bits) ? OK : malformed(f);
    }
    size_t left = b->postings_bytes - at, head = left < SEGMENT_POSTINGS_HEAD_MAX ? left : SEGMENT_POSTINGS_HEAD_MAX;
    result code = read_bytes(f, segment_postings_offset(b) + at, head, &f->postings);
    if (code != OK) return code;
    if (!segment_postings_head(buf_view(&f->postings), documents, &p) || p.bytes > left - p.head_bytes) return malformed(f);
    code = read_bytes(f, segment_postings_offset(b) + at + p.head_bytes, p.bytes, &f->postings);
    if (code != OK) return code;
    return segment_postings_mark(&p, buf_view(&f->postings), documents, bits) ? OK : malformed(f);
}

MAY_YIELD static result mark_term(struct finding *f, const struct segment_block *b, view infos, uint32_t term, view loaded, uint64_t *bits)
{
    struct cursor c = cursor_of(view_slice(infos, (size_t)term * 4, 4));
    uint32_t info;
    if (!take_le32(&c, &info)) return malformed(f);
    if (!segment_info_is_one(info)) return mark_postings(f, b, info, loaded, bits);
    info &= 0x7fffffff;
    if (info >= f->index->footer.documents) return malformed(f);
    bits[info / 64] |= (uint64_t)1 << info % 64;
    return OK;
}

static void note_hit(struct finding *f, uint32_t term)
{
    if (f->hit_count == f->hit_capacity) {
        f->hit_capacity = f->hit_capacity ? 2 * f->hit_capacity : 256;
        f->hits = realloc(f->hits, f->hit_capacity * sizeof *f->hits);
        check(f->hits);
    }
    f->hits[f->hit_count++] = term;
}

/* The hits, which rise. */
MAY_YIELD static result mark_hits(struct finding *f, const struct segment_block *b, uint64_t *bits)
{
    if (f->hit_count == 0) return OK;
    uint32_t first = f->hits[0], last = f->hits[f->hit_count - 1];
    if (last >= b->terms) return malformed(f);
    result code = read_bytes(f, segment_infos_offset(b) + (uint64_t)first * 4, (size_t)(last - first + 1) * 4, &f->infos);
    buf all = BUF_INIT;
    if (code == OK && f->hit_count >= HITS_MANY) code = read_bytes(f, segment_postings_offset(b), b->postings_bytes, &all);
    for (size_t i = 0; code == OK && i < f->hit_count; i++) code = mark_term(f, b, buf_view(&f->infos), f->hits[i] - first, buf_view(&all), bits);
    buf_done(&all);
    return code;
}

/* ---- words ---- */

static uint32_t count_ends(const char *at, size_t len)
{
    uint32_t count = 0;
    for (size_t i = 0; i < len; i++) count += at[i] == '\n';
    return count;
}

/* Words that match the pattern, each once. Before each word stands the end of the one before. `first`: the number of the text's first word. */
static void match_words(struct finding *f, view text, uint32_t first, view pattern)
{
    size_t counted = 0, at = 0;
    uint32_t ends = 0;
    while (at < text.len) {
        size_t found = view_find_view(view_from(text, at), pattern);
        if (found == VIEW_NONE) return;
        size_t in_word = at + found + (pattern.at[0] == '\n');
        ends += count_ends(text.at + counted, in_word - counted);
        counted = in_word;
        note_hit(f, first + ends - 1);
        size_t rest = view_find(view_from(text, in_word), '\n');
        if (rest == VIEW_NONE) return;
        at = in_word + rest;
    }
}

/* A part of a block's words, with the line feed before it. */
MAY_YIELD static result match_part(struct finding *f, const struct segment_block *b, size_t from, size_t to, uint32_t first, view pattern)
{
    result code = read_bytes(f, b->offset + from, to - from, &f->text);
    if (code != OK) return code;
    if (f->text.at[0] != '\n') return malformed(f);
    match_words(f, buf_view(&f->text), first, pattern);
    return OK;
}

MAY_YIELD static result find_in_block(struct finding *f, const struct segment_block *b, view pattern, uint64_t *bits)
{
    f->hit_count = 0;
    result code = match_part(f, b, 0, b->text_bytes, 0, pattern);
    return code == OK ? mark_hits(f, b, bits) : code;
}

/* ---- words, by a filter ---- */

struct sought { view pattern; uint16_t grams[SEARCH_GRAMS_MAX]; size_t gram_count; };

/* A bit for each chunk that has all grams. */
MAY_YIELD static result ask_filter(struct finding *f, const struct segment_block *filter, const struct sought *sought, buf *chunks, bool *ret_any)
{
    size_t row_bytes = filter->postings_bytes / SEARCH_GRAMS;
    result code = OK;
    memset(buf_extend(chunks, row_bytes), 0xff, row_bytes);
    *ret_any = true;
    for (size_t i = 0; code == OK && *ret_any && i < sought->gram_count; i++) {
        code = read_bytes(f, segment_postings_offset(filter) + sought->grams[i] * row_bytes, row_bytes, &f->postings);
        *ret_any = false;
        for (size_t k = 0; code == OK && k < row_bytes; k++) *ret_any |= (chunks->at[k] &= f->postings.at[k]) != 0;
    }
    return code;
}

struct chunk { uint32_t at, end, first; bool is_wanted; };

static bool take_chunk(view chunks, view wanted, uint32_t number, bool is_last, const struct segment_block *b, struct chunk *ret_chunk)
{
    struct chunk c = {.end = b->text_bytes, .is_wanted = (unsigned char)wanted.at[number / 8] >> number % 8 & 1};
    struct cursor at = cursor_of(view_from(chunks, (size_t)number * SEGMENT_CHUNK_INFO_BYTES));
    if (!take_le32(&at, &c.at) || !take_le32(&at, &c.first) || (!is_last && !take_le32(&at, &c.end))) return false;
    if (!is_last) c.end++;                   /* the line feed before the next one ends this one's last word */
    *ret_chunk = c;
    return c.at < c.end && c.end <= b->text_bytes && c.first < b->terms;
}

/* `count` chunks of a block, from `first` on. */
MAY_YIELD static result find_in_chunks(struct finding *f, const struct segment_block *b, view chunks, view wanted, uint32_t first, uint32_t count, view pattern,
                                       uint64_t *bits)
{
    f->hit_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct chunk c;
        if (!take_chunk(chunks, wanted, first + i, i + 1 == count, b, &c)) return malformed(f);
        result code = c.is_wanted ? match_part(f, b, c.at, c.end, c.first, pattern) : OK;
        if (code != OK) return code;
    }
    return mark_hits(f, b, bits);
}

MAY_YIELD static result find_by_filter(struct finding *f, size_t at, const struct sought *sought, uint64_t *bits)
{
    const struct segment_block *filter = &f->index->blocks[at], *b = filter - filter->terms;
    buf wanted CLEANUP(buf_done) = BUF_INIT, chunks CLEANUP(buf_done) = BUF_INIT, blocks CLEANUP(buf_done) = BUF_INIT;
    uint32_t first = 0, count, all = filter->text_bytes / SEGMENT_CHUNK_INFO_BYTES;
    bool is_any;
    result code = ask_filter(f, filter, sought, &wanted, &is_any);
    if (code != OK || !is_any) return code;
    code = read_bytes(f, filter->offset, filter->text_bytes, &chunks);
    if (code == OK) code = read_bytes(f, segment_infos_offset(filter), (size_t)filter->terms * 4, &blocks);
    struct cursor c = cursor_of(buf_view(&blocks));
    for (; code == OK && take_le32(&c, &count); first += count, b++) {
        if (count > all - first) return malformed(f);
        code = find_in_chunks(f, b, buf_view(&chunks), buf_view(&wanted), first, count, sought->pattern, bits);
    }
    return code;
}

/* ---- words, wherever they are ---- */

/* The filter that has the block of words, or the count of blocks. The reader of directories has seen to it that filters have blocks of their zone. */
static size_t filter_of(const struct segment_index *i, size_t at)
{
    const struct segment_block *b = &i->blocks[at];
    size_t end = at;
    while (end < i->block_count && i->blocks[end].kind == SEGMENT_WORDS && i->blocks[end].zone == b->zone) end++;
    bool has_filter = end < i->block_count && i->blocks[end].kind == SEGMENT_FILTERS && end - i->blocks[end].terms <= at;
    return has_filter ? end : i->block_count;
}

MAY_YIELD static result find_in_blocks(struct finding *f, const struct sought *sought, uint64_t *bits)
{
    const struct segment_index *index = f->index;
    result code = OK;
    for (size_t i = 0; code == OK && i < index->block_count; i++) {
        const struct segment_block *b = &index->blocks[i];
        if (b->kind != SEGMENT_WORDS || !(f->zones >> b->zone & 1)) continue;
        size_t filter = sought->gram_count ? filter_of(index, i) : index->block_count;
        if (filter == index->block_count) {
            code = find_in_block(f, b, sought->pattern, bits);
        } else {
            code = find_by_filter(f, filter, sought, bits);
            i = filter;
        }
    }
    return code;
}

MAY_YIELD static result find_word(struct finding *f, const struct search_query_word *w, uint64_t *bits)
{
    buf pattern CLEANUP(buf_done) = BUF_INIT;
    struct sought sought;
    if (!w->is_open_left) buf_append_byte(&pattern, '\n');
    buf_append(&pattern, w->text);
    if (!w->is_open_right) buf_append_byte(&pattern, '\n');
    sought.pattern = buf_view(&pattern);
    sought.gram_count = search_grams(w->text, 0, sought.grams);
    return find_in_blocks(f, &sought, bits);
}

/* ---- pairs ---- */

/* The block of a zone in which the key stands, if it stands anywhere. */
static const struct segment_block *block_with(const struct segment_index *i, unsigned zone, view key)
{
    const struct segment_block *found = NULL;
    for (size_t k = 0; k < i->block_count; k++) {
        const struct segment_block *b = &i->blocks[k];
        if (b->zone == zone && b->kind == SEGMENT_PAIRS && view_compare(b->first, key) <= 0) found = b;
    }
    return found;
}

static bool find_key(view keys, uint32_t count, view key, uint32_t *ret_term)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = memcmp(keys.at + (size_t)middle * SEGMENT_PAIR_BYTES, key.at, SEGMENT_PAIR_BYTES);
        if (order == 0) {
            *ret_term = middle;
            return true;
        }
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return false;
}

MAY_YIELD static result find_pair_in(struct finding *f, unsigned zone, uint64_t pair, uint64_t *bits)
{
    char text[SEGMENT_PAIR_BYTES];
    uint32_t term;
    segment_pair_key(pair, text);
    view key = view_make(text, sizeof text);
    const struct segment_block *b = block_with(f->index, zone, key);
    if (!b) return OK;
    result code = read_bytes(f, b->offset, b->text_bytes, &f->text);
    if (code != OK || !find_key(buf_view(&f->text), b->terms, key, &term)) return code;
    f->hit_count = 0;
    note_hit(f, term);
    return mark_hits(f, b, bits);
}

MAY_YIELD static result find_pair(struct finding *f, uint64_t pair, uint64_t *bits)
{
    result code = OK;
    for (unsigned zone = 0; code == OK && zone < ZONES; zone++)
        if (f->zones >> zone & 1) code = find_pair_in(f, zone, pair, bits);
    return code;
}

/* Where a character stands in its run. */
enum place { ANYWHERE, BEGINS, ENDS };

static bool has_character(uint64_t pair, uint32_t c, enum place place)
{
    uint32_t first = (uint32_t)(pair >> 21), second = pair & 0x1fffff;
    if (first == 0) return false;
    if (place == ENDS && second) return second == c;
    return first == c || (place == ANYWHERE && second == c);
}

/* Pairs are in order of their first characters. */
static bool may_begin(const struct segment_index *i, const struct segment_block *b, uint32_t c)
{
    const struct segment_block *next = b + 1;
    bool is_last = next == i->blocks + i->block_count || next->zone != b->zone || next->kind != b->kind;
    return segment_pair_of(b->first.at) >> 21 <= c && (is_last || segment_pair_of(next->first.at) >> 21 >= c);
}

MAY_YIELD static result find_character(struct finding *f, uint32_t c, enum place place, uint64_t *bits)
{
    result code = OK;
    for (size_t i = 0; code == OK && i < f->index->block_count; i++) {
        const struct segment_block *b = &f->index->blocks[i];
        if (b->kind != SEGMENT_PAIRS || !(f->zones >> b->zone & 1) || (place == BEGINS && !may_begin(f->index, b, c))) continue;
        code = read_bytes(f, b->offset, b->text_bytes, &f->text);
        f->hit_count = 0;
        for (uint32_t term = 0; code == OK && term < b->terms; term++)
            if (has_character(segment_pair_of(f->text.at + (size_t)term * SEGMENT_PAIR_BYTES), c, place)) note_hit(f, term);
        if (code == OK) code = mark_hits(f, b, bits);
    }
    return code;
}

/* ---- needles ---- */

static void keep_common(uint64_t *bits, const uint64_t *with, size_t words)
{
    for (size_t i = 0; i < words; i++) bits[i] &= with[i];
}

static void add_bits(uint64_t *bits, const uint64_t *more, size_t words)
{
    for (size_t i = 0; i < words; i++) bits[i] |= more[i];
}

static bool are_few(const uint64_t *bits, size_t words)
{
    size_t count = 0;
    for (size_t i = 0; i < words && count <= CANDIDATES_FEW; i++) count += (size_t)__builtin_popcountll(bits[i]);
    return count <= CANDIDATES_FEW;
}

static bool has_bits(const uint64_t *bits, size_t words)
{
    for (size_t i = 0; i < words; i++)
        if (bits[i]) return true;
    return false;
}

/* Those that have all words and pairs: every bit of `bits` is set before. */
MAY_YIELD static result find_all(struct finding *f, const struct search_query *q, bool with_words, uint64_t *bits)
{
    size_t words = segment_bits_words(f->index->footer.documents);
    uint64_t *one = malloc(words * sizeof *one);
    result code = OK;
    check(one);
    for (unsigned i = 0; code == OK && i < q->pair_count + (with_words ? q->word_count : 0); i++) {
        memset(one, 0, words * sizeof *one);
        code = i < q->pair_count ? find_pair(f, q->pairs[i], one) : find_word(f, &q->words[i - q->pair_count], one);
        keep_common(bits, one, words);
        if (!has_bits(bits, words)) break;
    }
    free(one);
    return code;
}

MAY_YIELD static result find_stretch(struct finding *f, const struct search_query *q, uint64_t *sure, uint64_t *maybe)
{
    size_t words = segment_bits_words(f->index->footer.documents);
    uint64_t *candidates = calloc(words, sizeof *candidates), *with_pairs = malloc(words * sizeof *with_pairs);
    check(candidates && with_pairs);
    memset(with_pairs, 0xff, words * sizeof *with_pairs);
    result code = find_all(f, q, false, with_pairs);
    bool has_any = code == OK && has_bits(with_pairs, words);
    if (has_any) code = find_word(f, &q->words[0], sure);
    if (has_any && code == OK) code = find_pair(f, SEARCH_PAIR_LONG, candidates);
    keep_common(candidates, with_pairs, words);
    free(with_pairs);
    add_bits(maybe, candidates, words);
    free(candidates);
    return code;
}

/* Those that have the character there. */
MAY_YIELD static result keep_with_character(struct finding *f, uint32_t c, enum place place, uint64_t *bits)
{
    size_t words = segment_bits_words(f->index->footer.documents);
    if (c == 0 || are_few(bits, words)) return OK;
    uint64_t *one = calloc(words, sizeof *one);
    check(one);
    result code = find_character(f, c, place, one);
    keep_common(bits, one, words);
    free(one);
    return code;
}

MAY_YIELD static result find_candidates(struct finding *f, const struct search_query *q, uint64_t *maybe)
{
    size_t words = segment_bits_words(f->index->footer.documents);
    uint64_t *candidates = malloc(words * sizeof *candidates);
    check(candidates);
    memset(candidates, 0xff, words * sizeof *candidates);
    result code = find_all(f, q, true, candidates);
    if (code == OK) code = keep_with_character(f, q->beginning, BEGINS, candidates);
    if (code == OK) code = keep_with_character(f, q->ending, ENDS, candidates);
    add_bits(maybe, candidates, words);
    free(candidates);
    return code;
}

MAY_YIELD static result find(struct finding *f, const struct search_query *q, uint64_t *sure, uint64_t *maybe)
{
    switch (q->kind) {
    case SEARCH_WORD: return find_word(f, &q->words[0], sure);
    case SEARCH_PAIR: return find_pair(f, q->pairs[0], sure);
    case SEARCH_CHARACTER: return find_character(f, q->character, ANYWHERE, sure);
    case SEARCH_STRETCH: return find_stretch(f, q, sure, maybe);
    case SEARCH_CANDIDATES: return find_candidates(f, q, maybe);
    case SEARCH_UNKNOWN: break;
    }
    memset(maybe, 0xff, segment_bits_words(f->index->footer.documents) * sizeof *maybe);
    return OK;
}

/* A needle stands in a body or in a field: a message whose body has one half of it and whose header has the other is none. */
MAY_YIELD static result find_in_zones(struct finding *f, const struct search_query *q, uint64_t *sure, uint64_t *maybe)
{
    const unsigned zones = f->zones, parts[] = {zones & 1u << ZONE_BODY, zones & ~(1u << ZONE_BODY)};
    result code = OK;
    if (q->kind != SEARCH_CANDIDATES) return find(f, q, sure, maybe);
    for (size_t i = 0; code == OK && i < array_size(parts); i++) {
        f->zones = parts[i];
        if (parts[i]) code = find(f, q, sure, maybe);
    }
    f->zones = zones;
    return code;
}

result segment_find(const struct segment_index *i, const struct segment_source *source, const struct search_query *q, unsigned zones, uint64_t *sure,
                    uint64_t *maybe, struct fault *fault)
{
    struct finding f = {.index = i, .source = source, .zones = zones, .fault = fault};
    result code = find_in_zones(&f, q, sure, maybe);
    if (code == OK) code = find_pair_in(&f, ZONE_OTHER, SEGMENT_PAIR_INCOMPLETE, maybe);
    if (code == OK) add_bits(maybe, sure, segment_bits_words(i->footer.documents));
    buf_done(&f.text);
    buf_done(&f.infos);
    buf_done(&f.postings);
    free(f.hits);
    return code;
}
