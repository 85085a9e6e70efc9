/*
 * Filters of segments: for each gram a bit for each chunk of words that has it. Who looks for a part of a word goes through the chunks that have all
 * its grams, and through no others.
 */
#include <stdlib.h>
#include <string.h>

#include "account/segment.h"
#include "base/check.h"

enum { CHUNK_BITS_BYTES = SEARCH_GRAMS / 8, SQUARE = 64 };

struct segment_filter {
    buf bits;                                /* SEARCH_GRAMS for each chunk */
    buf chunks, blocks;                      /* of chunks: le32 where it begins, le32 its first term; of blocks: le32 chunks */
    uint32_t chunk_count, block_count;
    uint32_t in_block;                       /* chunks of the block under way */
    size_t chunk_at;
    char last[256];                          /* word of the chunk under way; its grams are noted */
    size_t last_len;
};

struct segment_filter *segment_filter_new(void)
{
    struct segment_filter *f = calloc(1, sizeof *f);
    check(f);
    return f;
}

void segment_filter_free(struct segment_filter *f)
{
    if (!f) return;
    buf_done(&f->bits);
    buf_done(&f->chunks);
    buf_done(&f->blocks);
    free(f);
}

static void begin_chunk(struct segment_filter *f, size_t at, uint32_t term)
{
    memset(buf_extend(&f->bits, CHUNK_BITS_BYTES), 0, CHUNK_BITS_BYTES);
    buf_append_le32(&f->chunks, (uint32_t)at);
    buf_append_le32(&f->chunks, term);
    f->chunk_at = at;
    f->chunk_count++;
    f->in_block++;
    f->last_len = 0;
}

/* Words rise: what a word begins with has mostly been noted with the one before. Where the first new gram may begin. */
static size_t known_bytes(const struct segment_filter *f, view word)
{
    size_t same = 0, characters = 0;
    while (same < f->last_len && same < word.len && f->last[same] == word.at[same]) same++;
    while (same > 0 && characters < 3)
        if (((unsigned char)word.at[--same] & 0xc0) != 0x80) characters++;
    return same;
}

void segment_filter_word(struct segment_filter *f, view word, size_t at, uint32_t term)
{
    uint16_t grams[SEARCH_GRAMS_MAX];
    if (f->in_block == 0 || at - f->chunk_at + word.len + 2 > SEGMENT_CHUNK_BYTES) begin_chunk(f, at, term);
    size_t count = search_grams(word, known_bytes(f, word), grams);
    unsigned char *bits = (unsigned char *)f->bits.at + f->bits.len - CHUNK_BITS_BYTES;
    for (size_t i = 0; i < count; i++) bits[grams[i] / 8] |= (unsigned char)(1 << grams[i] % 8);
    f->last_len = word.len < sizeof f->last ? word.len : 0;
    memcpy(f->last, word.at, f->last_len);
}

void segment_filter_end_block(struct segment_filter *f)
{
    buf_append_le32(&f->blocks, f->in_block);
    f->block_count++;
    f->in_block = 0;
}

/* Another block may have as many chunks as words of the smallest kind fill it with. */
bool segment_filter_is_full(const struct segment_filter *f)
{
    enum { BLOCK_CHUNKS_MAX = 2 * (SEGMENT_TEXT_BYTES_MAX / SEGMENT_CHUNK_BYTES) + 2 };
    return f->chunk_count + BLOCK_CHUNKS_MAX > SEGMENT_CHUNKS_MAX;
}

/* A square of bits, row i to column i: halves change places, then their halves. */
static void turn_square(uint64_t square[static SQUARE])
{
    uint64_t mask = 0xffffffff;
    for (unsigned step = SQUARE / 2; step; step /= 2, mask ^= mask << step) {
        for (unsigned i = 0; i < SQUARE; i = (i + step + 1) & ~step) {
            uint64_t swapped = (square[i] >> step ^ square[i + step]) & mask;
            square[i] ^= swapped << step;
            square[i + step] ^= swapped;
        }
    }
}

static uint64_t load_bits(const char *at)
{
    uint64_t bits = 0;
    for (unsigned i = 0; i < 8; i++) bits |= (uint64_t)(unsigned char)at[i] << 8 * i;
    return bits;
}

/* Bits of up to 64 chunks, for 64 grams. */
static void turn_over(const struct segment_filter *f, uint32_t gram, uint32_t chunk, size_t row_bytes, char *rows)
{
    uint64_t square[SQUARE] = {0};
    uint32_t count = f->chunk_count - chunk < SQUARE ? f->chunk_count - chunk : SQUARE;
    for (uint32_t i = 0; i < count; i++) square[i] = load_bits(f->bits.at + (size_t)(chunk + i) * CHUNK_BITS_BYTES + gram / 8);
    turn_square(square);
    for (uint32_t i = 0; i < SQUARE; i++)
        for (uint32_t k = 0; k < (count + 7) / 8; k++) rows[(gram + i) * row_bytes + chunk / 8 + k] = (char)(unsigned char)(square[i] >> 8 * k);
}

uint32_t segment_filter_end(struct segment_filter *f, buf *text, buf *infos, buf *postings)
{
    uint32_t blocks = f->chunk_count >= SEGMENT_CHUNKS_MIN ? f->block_count : 0;
    size_t row_bytes = segment_filter_row_bytes(f->chunk_count);
    check(f->in_block == 0 && f->chunk_count <= SEGMENT_CHUNKS_MAX);
    if (blocks) {
        buf_append(text, buf_view(&f->chunks));
        buf_append(infos, buf_view(&f->blocks));
        char *rows = buf_extend(postings, SEARCH_GRAMS * row_bytes);
        for (uint32_t gram = 0; gram < SEARCH_GRAMS; gram += SQUARE)
            for (uint32_t chunk = 0; chunk < f->chunk_count; chunk += SQUARE) turn_over(f, gram, chunk, row_bytes, rows);
    }
    buf_clear(&f->bits);
    buf_clear(&f->chunks);
    buf_clear(&f->blocks);
    f->chunk_count = f->block_count = 0;
    return blocks;
}
