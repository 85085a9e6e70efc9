/*
 * Building a segment in memory: each term gets a number, each document adds the numbers of its terms to one long list. At the end the list is
 * turned over, from terms of documents to documents of terms.
 */
#include <stdlib.h>
#include <string.h>

#include "account/segment.h"
#include "base/check.h"
#include "base/hash.h"
#include "formats/mime.h"
#include "formats/search_terms.h"

enum {
    POSTINGS_FULL = 2 << 20, TERMS_FULL = 1 << 19,       /* with what one message may add at most: about 60 MB */
    DOCUMENTS_FULL = 1 << 16,
    SLOTS_FIRST = 1 << 12,
    TREE_BYTES_MAX = MIME_ARENA_BYTES_ENOUGH,
};

struct term {
    uint32_t at;                             /* of its bytes */
    uint16_t bytes;
    uint8_t zone, kind;
    uint32_t last;                           /* document + 1 */
    uint32_t count;
    uint32_t hash;
};

struct segment_builder {
    struct term *terms;
    uint32_t term_count, term_capacity;
    uint64_t *slots;                         /* hash, and term + 1 in the lower half; 0: free */
    uint64_t seed;
    uint32_t slot_count;
    buf bytes;
    uint32_t *postings, *ends;               /* numbers of terms; where each document's end */
    size_t posting_count, posting_capacity, end_capacity;
    uint32_t documents;
    struct segment_alone *alone;
    size_t alone_count, alone_capacity;
    size_t text_bytes;                       /* of the document under way */
    bool is_incomplete;
    unsigned zone;
    struct message_text text;
    struct arena *tree;
};

static void *grow(void *array, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity) return array;
    *capacity = *capacity ? 2 * *capacity : 1024;
    array = realloc(array, *capacity * size);
    check(array);
    return array;
}

struct segment_builder *segment_builder_new(void)
{
    struct segment_builder *b = calloc(1, sizeof *b);
    check(b);
    b->tree = arena_new(NULL, TREE_BYTES_MAX);
    b->slot_count = SLOTS_FIRST;
    b->seed = hash_bytes(VIEW("terms"));
    b->slots = calloc(b->slot_count, sizeof *b->slots);
    check(b->slots);
    return b;
}

void segment_builder_free(struct segment_builder *b)
{
    if (!b) return;
    free(b->terms);
    free(b->slots);
    free(b->postings);
    free(b->ends);
    free(b->alone);
    buf_done(&b->bytes);
    message_text_done(&b->text);
    arena_free(b->tree);
    free(b);
}

uint32_t segment_builder_documents(const struct segment_builder *b) { return b->documents; }

bool segment_builder_is_full(const struct segment_builder *b)
{
    return b->posting_count >= POSTINGS_FULL || b->term_count >= TERMS_FULL || b->documents >= DOCUMENTS_FULL;
}

/* ---- terms ---- */

/* Four bytes at a time, from a seed that only this process knows: whoever sends mail may choose words, but not which collide. */
static uint32_t hash_of(const struct segment_builder *b, unsigned zone, unsigned kind, view term)
{
    uint64_t hash = b->seed ^ (zone << 1 | kind);
    const char *at = term.at;
    size_t left = term.len;
    for (; left >= 4; left -= 4, at += 4) {
        uint32_t word;
        memcpy(&word, at, 4);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15;
        hash ^= hash >> 29;
    }
    for (; left; left--) hash = (hash ^ (unsigned char)*at++) * 0x9e3779b97f4a7c15;
    return (uint32_t)((hash ^ hash >> 29) * 0xbf58476d1ce4e5b9 >> 32);
}

static void rehash(struct segment_builder *b)
{
    b->slot_count *= 2;
    free(b->slots);
    b->slots = calloc(b->slot_count, sizeof *b->slots);
    check(b->slots);
    for (uint32_t i = 0; i < b->term_count; i++) {
        uint32_t at = b->terms[i].hash & (b->slot_count - 1);
        while (b->slots[at]) at = (at + 1) & (b->slot_count - 1);
        b->slots[at] = (uint64_t)b->terms[i].hash << 32 | (i + 1);
    }
}

static uint32_t add_term(struct segment_builder *b, unsigned zone, unsigned kind, view term, uint32_t hash)
{
    if (b->term_count == b->term_capacity) {
        b->term_capacity = b->term_capacity ? 2 * b->term_capacity : 1024;
        b->terms = realloc(b->terms, b->term_capacity * sizeof *b->terms);
        check(b->terms);
    }
    b->terms[b->term_count] = (struct term){.at = (uint32_t)b->bytes.len, .bytes = (uint16_t)term.len, .zone = (uint8_t)zone, .kind = (uint8_t)kind, .hash = hash};
    buf_append(&b->bytes, term);
    return b->term_count++;
}

static void note(struct segment_builder *b, unsigned zone, unsigned kind, view term)
{
    uint32_t hash = hash_of(b, zone, kind, term), at = hash & (b->slot_count - 1), i;
    for (; b->slots[at]; at = (at + 1) & (b->slot_count - 1)) {
        if (b->slots[at] >> 32 != hash) continue;
        const struct term *t = &b->terms[(uint32_t)b->slots[at] - 1];
        if (t->zone == zone && t->kind == kind && t->bytes == term.len && memcmp(b->bytes.at + t->at, term.at, term.len) == 0) break;
    }
    if (b->slots[at]) {
        i = (uint32_t)b->slots[at] - 1;
    } else {
        i = add_term(b, zone, kind, term, hash);
        b->slots[at] = (uint64_t)hash << 32 | (i + 1);
        if (b->term_count > b->slot_count / 2) rehash(b);
    }
    struct term *t = &b->terms[i];
    if (t->last == b->documents + 1) return;
    t->last = b->documents + 1;
    t->count++;
    b->postings = grow(b->postings, b->posting_count, &b->posting_capacity, sizeof *b->postings);
    b->postings[b->posting_count++] = i;
}

static void note_pair(void *argument, uint64_t pair)
{
    struct segment_builder *b = argument;
    char key[SEGMENT_PAIR_BYTES];
    segment_pair_key(pair, key);
    note(b, b->zone, SEGMENT_PAIRS, view_make(key, sizeof key));
}

static void note_word(void *argument, view word)
{
    struct segment_builder *b = argument;
    note(b, b->zone, SEGMENT_WORDS, word);
}

static void note_text(struct segment_builder *b, unsigned zone, view text)
{
    const struct search_terms_sink sink = {note_word, note_pair, b};
    b->zone = zone;
    search_terms_each(text, &sink);
}

static bool note_piece(void *argument, const struct message_piece *piece)
{
    struct segment_builder *b = argument;
    view text = piece->text;
    size_t left = SEGMENT_DOCUMENT_BYTES_MAX - b->text_bytes;
    if (text.len > left) {
        b->is_incomplete = true;
        text.len = left;
        if (piece->value_at > text.len) return false;
    }
    b->text_bytes += text.len;
    if (piece->value_at) note_text(b, piece->zone == ZONE_BODY ? ZONE_BODY : ZONE_OTHER, view_slice(text, 0, piece->value_at));
    note_text(b, piece->zone, view_from(text, piece->value_at));
    return !b->is_incomplete;
}

/* ---- documents ---- */

static uint32_t end_document(struct segment_builder *b)
{
    if (b->is_incomplete) {
        b->zone = ZONE_OTHER;
        note_pair(b, SEGMENT_PAIR_INCOMPLETE);
    }
    b->ends = grow(b->ends, b->documents, &b->end_capacity, sizeof *b->ends);
    b->ends[b->documents] = (uint32_t)b->posting_count;
    return b->documents++;
}

uint32_t segment_builder_add(struct segment_builder *b, view message)
{
    view header, body;
    b->text_bytes = 0;
    b->is_incomplete = false;
    arena_reset(b->tree);
    header_split(message, &header, &body);
    const struct mime_part *root = mime_parse(message, b->tree);
    if (message_text_header(&b->text, header, note_piece, b) && root) message_text_parts(&b->text, message, root, note_piece, b);
    b->is_incomplete |= !root;
    return end_document(b);
}

uint32_t segment_builder_add_empty(struct segment_builder *b, bool is_incomplete)
{
    b->is_incomplete = is_incomplete;
    return end_document(b);
}

void segment_builder_is_alone(struct segment_builder *b, struct id message)
{
    check(b->documents > 0);
    b->alone = grow(b->alone, b->alone_count, &b->alone_capacity, sizeof *b->alone);
    b->alone[b->alone_count++] = (struct segment_alone){message, b->documents - 1};
}

/* ---- turning over ---- */

struct order { uint64_t prefix; uint32_t term; };

static _Thread_local const struct segment_builder *sorted;    /* qsort() has no argument */

static int by_term(const void *left, const void *right)
{
    const struct order *a = left, *b = right;
    if (a->prefix != b->prefix) return a->prefix < b->prefix ? -1 : 1;
    const struct term *x = &sorted->terms[a->term], *y = &sorted->terms[b->term];
    return view_compare(view_make(sorted->bytes.at + x->at, x->bytes), view_make(sorted->bytes.at + y->at, y->bytes));
}

/* Zone, kind, and the first seven bytes: most terms are told apart by it. */
static uint64_t prefix_of(const struct segment_builder *b, const struct term *t)
{
    uint64_t prefix = (uint64_t)(t->zone << 1 | t->kind) << 56;
    for (unsigned i = 0; i < 7 && i < t->bytes; i++) prefix |= (uint64_t)(unsigned char)b->bytes.at[t->at + i] << (48 - 8 * i);
    return prefix;
}

static struct order *order_terms(const struct segment_builder *b)
{
    struct order *order = malloc((b->term_count + 1) * sizeof *order);
    check(order);
    for (uint32_t i = 0; i < b->term_count; i++) order[i] = (struct order){prefix_of(b, &b->terms[i]), i};
    sorted = b;
    if (b->term_count) qsort(order, b->term_count, sizeof *order, by_term);
    sorted = NULL;
    return order;
}

/* Documents by term, and where each term's begin. */
static uint32_t *turn_over(const struct segment_builder *b, uint32_t *starts)
{
    uint32_t *documents = malloc((b->posting_count + 1) * sizeof *documents), at = 0;
    check(documents);
    for (uint32_t i = 0; i < b->term_count; i++) {
        starts[i] = at;
        at += b->terms[i].count;
    }
    size_t posting = 0;
    for (uint32_t document = 0; document < b->documents; document++)
        for (; posting < b->ends[document]; posting++) documents[starts[b->postings[posting]]++] = document;
    for (uint32_t i = 0; i < b->term_count; i++) starts[i] -= b->terms[i].count;
    return documents;
}

static int by_id(const void *left, const void *right)
{
    const struct segment_alone *a = left, *b = right;
    return id_compare(a->message, b->message);
}

static void forget_all(struct segment_builder *b)
{
    b->term_count = 0;
    b->posting_count = b->alone_count = 0;
    b->documents = 0;
    buf_clear(&b->bytes);
    memset(b->slots, 0, b->slot_count * sizeof *b->slots);
}

void segment_builder_write(struct segment_builder *b, bool has_filters, buf *into)
{
    struct segment_writer w;
    struct order *order = order_terms(b);
    uint32_t *starts = malloc((b->term_count + 1) * sizeof *starts);
    check(starts);
    uint32_t *documents = turn_over(b, starts);
    segment_writer_init(&w, b->documents, has_filters);
    for (uint32_t i = 0; i < b->term_count; i++) {
        const struct term *t = &b->terms[order[i].term];
        segment_writer_term(&w, t->zone, t->kind, view_make(b->bytes.at + t->at, t->bytes), documents + starts[order[i].term], t->count);
    }
    if (b->alone_count) qsort(b->alone, b->alone_count, sizeof *b->alone, by_id);
    segment_writer_end(&w, b->alone, b->alone_count);
    buf_append(into, buf_view(&w.out));
    segment_writer_done(&w);
    free(documents);
    free(starts);
    free(order);
    forget_all(b);
}
