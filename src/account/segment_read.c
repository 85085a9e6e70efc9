/* What a segment says, and whether it can be believed. */
#include <stdlib.h>

#include "account/segment.h"
#include "base/check.h"
#include "base/cursor.h"
#include "base/hash.h"

enum { MAGIC = 0x67537954, VERSION_MAX = 2, TERM_BYTES_MAX = 255 };

result segment_footer_decode(view last, uint64_t object_bytes, struct segment_footer *ret_footer, struct fault *fault)
{
    struct segment_footer f;
    struct cursor c = cursor_of(last);
    uint32_t crc, magic;
    bool taken = take_le32(&c, &f.documents) && take_le32(&c, &f.alone) && take_le64(&c, &f.body_bytes) && take_le64(&c, &f.alone_offset) &&
                 take_le32(&c, &f.directory_bytes) && take_le32(&c, &f.pages) && take_le32(&c, &f.tail_crc) && take_le32(&c, &f.version) &&
                 take_le32(&c, &crc) && take_le32(&c, &magic) && cursor_at_end(&c);
    if (!taken || magic != MAGIC || crc != crc32c(0, view_slice(last, 0, SEGMENT_FOOTER_BYTES - 8))) return fail(fault, CORRUPT, "search segment: bad footer");
    if (f.version == 0 || f.version > VERSION_MAX) return fail(fault, CORRUPT, "search segment of version %u", f.version);
    bool fits = f.documents <= SEGMENT_DOCUMENTS_MAX && f.alone <= f.documents && f.directory_bytes <= SEGMENT_DIRECTORY_BYTES_MAX &&
                f.body_bytes <= object_bytes && f.alone_offset <= f.body_bytes && f.body_bytes - f.alone_offset == (uint64_t)f.alone * SEGMENT_ALONE_BYTES &&
                f.pages == (f.body_bytes + SEGMENT_PAGE_BYTES - 1) / SEGMENT_PAGE_BYTES && f.alone_offset >= SEGMENT_HEADER_BYTES &&
                f.body_bytes + segment_tail_bytes(&f) + SEGMENT_FOOTER_BYTES == object_bytes;
    if (!fits) return fail(fault, CORRUPT, "search segment: footer does not fit %llu bytes", (unsigned long long)object_bytes);
    *ret_footer = f;
    return OK;
}

/* As much as the chunks tell of themselves, and a bit for each chunk and gram. */
static bool is_filter(const struct segment_block *b)
{
    uint32_t chunks = b->text_bytes / SEGMENT_CHUNK_INFO_BYTES;
    return chunks > 0 && chunks <= SEGMENT_CHUNKS_MAX && b->text_bytes % SEGMENT_CHUNK_INFO_BYTES == 0 && b->terms <= chunks && b->first.len == 0 &&
           b->postings_bytes == SEARCH_GRAMS * segment_filter_row_bytes(chunks);
}

static bool take_block(struct cursor *c, unsigned version, uint64_t offset, struct segment_block *b)
{
    uint32_t what;
    unsigned kind_bits = version == 1 ? 1 : 2;
    *b = (struct segment_block){.offset = offset};
    if (!take_varint32(c, &what) || !take_varint32(c, &b->terms) || !take_varint32(c, &b->text_bytes) || !take_varint32(c, &b->postings_bytes) ||
        !take_sized(c, TERM_BYTES_MAX, &b->first))
        return false;
    b->zone = what >> kind_bits;
    b->kind = what & ((1u << kind_bits) - 1);
    if (b->zone >= ZONES || b->kind > SEGMENT_FILTERS || b->terms == 0) return false;
    if (b->kind == SEGMENT_FILTERS) return is_filter(b);
    if (b->kind == SEGMENT_PAIRS) return b->terms <= SEGMENT_PAIRS_MAX && b->text_bytes == b->terms * SEGMENT_PAIR_BYTES && b->first.len == SEGMENT_PAIR_BYTES;
    return b->text_bytes <= SEGMENT_TEXT_BYTES_MAX + TERM_BYTES_MAX && b->terms < b->text_bytes / 2 + 1 && b->first.len > 0;
}

/* Filters stand among the blocks of words. */
static unsigned place_of(const struct segment_block *b) { return b->zone << 1 | (b->kind == SEGMENT_PAIRS); }

static bool take_blocks(struct segment_index *i, view directory)
{
    struct cursor c = cursor_of(directory);
    uint64_t offset = SEGMENT_HEADER_BYTES;
    size_t capacity = 0, unfiltered = 0;     /* blocks of words in a row, up to here */
    while (!cursor_at_end(&c)) {
        if (i->block_count == capacity) {
            capacity = capacity ? 2 * capacity : 16;
            i->blocks = realloc(i->blocks, capacity * sizeof *i->blocks);
            check(i->blocks);
        }
        struct segment_block *b = &i->blocks[i->block_count];
        if (!take_block(&c, i->footer.version, offset, b)) return false;
        if (i->block_count && place_of(&b[-1]) > place_of(b)) return false;
        if (b->kind != SEGMENT_WORDS || (i->block_count && b[-1].zone != b->zone)) {
            if (b->kind == SEGMENT_FILTERS && (b->terms > unfiltered || b[-1].zone != b->zone)) return false;
            unfiltered = 0;
        }
        unfiltered += b->kind == SEGMENT_WORDS;
        offset = segment_postings_offset(b) + b->postings_bytes;
        if (offset > i->footer.alone_offset) return false;
        i->block_count++;
    }
    return offset == i->footer.alone_offset;
}

result segment_index_decode(const struct segment_footer *f, view tail, struct segment_index **ret_index, struct fault *fault)
{
    if (tail.len != segment_tail_bytes(f) || crc32c(0, tail) != f->tail_crc) return fail(fault, CORRUPT, "search segment: wrong checksum of its directory");
    struct segment_index *i = calloc(1, sizeof *i);
    check(i);
    i->footer = *f;
    buf_append(&i->kept, tail);
    i->crcs = view_from(buf_view(&i->kept), f->directory_bytes);
    if (!take_blocks(i, view_slice(buf_view(&i->kept), 0, f->directory_bytes))) {
        segment_index_free(i);
        return fail(fault, CORRUPT, "search segment: malformed directory");
    }
    *ret_index = i;
    return OK;
}

void segment_index_free(struct segment_index *i)
{
    if (!i) return;
    free(i->blocks);
    buf_done(&i->kept);
    free(i);
}

bool segment_page_is_sound(const struct segment_index *i, uint64_t page, view bytes)
{
    uint32_t crc;
    struct cursor c = cursor_of(view_slice(i->crcs, (size_t)page * 4, 4));
    return page < i->footer.pages && take_le32(&c, &crc) && crc == crc32c(0, bytes);
}

/* ---- postings ---- */

bool segment_postings_head(view at, uint32_t documents, struct segment_postings *ret_postings)
{
    struct cursor c = cursor_of(at);
    uint32_t head;
    struct segment_postings p = {0};
    if (!take_varint32(&c, &head)) return false;
    p.count = head >> 1;
    p.is_bitmap = head & 1;
    p.bytes = (documents + 7) / 8;
    if (!p.is_bitmap && !take_varint32(&c, &p.bytes)) return false;
    p.head_bytes = (unsigned)cursor_position(&c);
    *ret_postings = p;
    return p.count > 1;
}

/* Most steps have one byte. */
static bool take_step(const unsigned char **at, const unsigned char *end, uint32_t *ret_step)
{
    uint32_t step = 0;
    for (unsigned shift = 0; *at < end && shift < 28; shift += 7) {
        unsigned char byte = *(*at)++;
        step |= (uint32_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret_step = step;
            return true;
        }
    }
    return false;
}

bool segment_postings_mark(const struct segment_postings *p, view bytes, uint32_t documents, uint64_t *bits)
{
    const unsigned char *at = (const unsigned char *)bytes.at, *end = at + bytes.len;
    uint32_t document = 0, step;
    if (p->is_bitmap) {
        if (bytes.len != (documents + 7) / 8 || (documents % 8 && at[bytes.len - 1] >> documents % 8)) return false;
        for (size_t i = 0; i < bytes.len; i++) bits[i / 8] |= (uint64_t)at[i] << 8 * (i % 8);
        return true;
    }
    for (uint32_t i = 0; i < p->count; i++, document++) {
        if (!take_step(&at, end, &step) || step >= documents - document) return false;
        document += step;
        bits[document / 64] |= (uint64_t)1 << document % 64;
    }
    return at == end;
}

bool segment_postings_list(const struct segment_postings *p, view bytes, uint32_t documents, uint32_t *list)
{
    const unsigned char *at = (const unsigned char *)bytes.at, *end = at + bytes.len;
    uint32_t document = 0, step, count = 0;
    if (p->count > documents) return false;
    if (p->is_bitmap) {
        if (bytes.len != (documents + 7) / 8) return false;
        for (; document < documents; document++) {
            if (!(at[document / 8] & 1 << document % 8)) continue;
            if (count == p->count) return false;
            list[count++] = document;
        }
        return count == p->count;
    }
    for (uint32_t i = 0; i < p->count; i++, document++) {
        if (document >= documents || !take_step(&at, end, &step) || step >= documents - document) return false;
        document += step;
        list[i] = document;
    }
    return at == end;
}
