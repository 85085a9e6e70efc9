/* Segments, front to back. */
#include <string.h>

#include "account/segment.h"
#include "base/check.h"
#include "base/hash.h"

enum { MAGIC = 0x67537954 };    /* "TySg" */

void segment_pair_key(uint64_t pair, char key[static SEGMENT_PAIR_BYTES])
{
    for (unsigned i = 0; i < SEGMENT_PAIR_BYTES; i++) key[i] = (char)(unsigned char)(pair >> (8 * (SEGMENT_PAIR_BYTES - 1 - i)));
}

uint64_t segment_pair_of(const char *key)
{
    uint64_t pair = 0;
    for (unsigned i = 0; i < SEGMENT_PAIR_BYTES; i++) pair = pair << 8 | (unsigned char)key[i];
    return pair;
}

static uint32_t version_of(const struct segment_writer *w) { return w->has_filters ? 2 : 1; }

void segment_writer_init(struct segment_writer *w, uint32_t documents, bool has_filters)
{
    *w = (struct segment_writer){.documents = documents, .has_filters = has_filters};
    if (has_filters) w->filter = segment_filter_new();
    check(documents <= SEGMENT_DOCUMENTS_MAX);
    buf_append_le32(&w->out, MAGIC);
    buf_append_le32(&w->out, version_of(w));
}

void segment_writer_done(struct segment_writer *w)
{
    buf *all[] = {&w->out, &w->directory, &w->crcs, &w->text, &w->infos, &w->postings};
    for (size_t i = 0; i < array_size(all); i++) buf_done(all[i]);
    segment_filter_free(w->filter);
}

/* What is in `out` and in no checksum yet. */
static void sum(struct segment_writer *w)
{
    view rest = view_from(buf_view(&w->out), w->summed);
    while (rest.len) {
        view part = view_slice(rest, 0, SEGMENT_PAGE_BYTES - w->page_bytes);
        w->page_crc = crc32c(w->page_crc, part);
        w->page_bytes += (uint32_t)part.len;
        rest = view_from(rest, part.len);
        if (w->page_bytes < SEGMENT_PAGE_BYTES) break;
        buf_append_le32(&w->crcs, w->page_crc);
        w->page_crc = w->page_bytes = 0;
    }
    w->summed = w->out.len;
}

void segment_writer_took(struct segment_writer *w)
{
    sum(w);
    w->taken += w->out.len;
    w->summed = 0;
    buf_clear(&w->out);
}

static view first_term(const struct segment_writer *w)
{
    view text = buf_view(&w->text);
    if (w->kind == SEGMENT_PAIRS) return view_slice(text, 0, SEGMENT_PAIR_BYTES);
    return view_slice(text, 1, view_find(view_from(text, 1), '\n'));
}

static void append_block(struct segment_writer *w, unsigned kind, uint32_t terms, view first)
{
    buf_append_varint(&w->directory, w->has_filters ? w->zone << 2 | kind : w->zone << 1 | kind);
    buf_append_varint(&w->directory, terms);
    buf_append_varint(&w->directory, w->text.len);
    buf_append_varint(&w->directory, w->postings.len);
    buf_append_varint(&w->directory, first.len);
    buf_append(&w->directory, first);
    buf_append(&w->out, buf_view(&w->text));
    buf_append(&w->out, buf_view(&w->infos));
    buf_append(&w->out, buf_view(&w->postings));
    buf_clear(&w->text);
    buf_clear(&w->infos);
    buf_clear(&w->postings);
    w->terms = 0;
    sum(w);
}

static void end_filter(struct segment_writer *w)
{
    uint32_t blocks = w->has_filters ? segment_filter_end(w->filter, &w->text, &w->infos, &w->postings) : 0;
    if (blocks) append_block(w, SEGMENT_FILTERS, blocks, VIEW_EMPTY);
}

static void end_block(struct segment_writer *w, bool goes_on)
{
    if (w->terms == 0) return;
    append_block(w, w->kind, w->terms, first_term(w));
    if (!w->has_filters || w->kind != SEGMENT_WORDS) return;
    segment_filter_end_block(w->filter);
    if (!goes_on || segment_filter_is_full(w->filter)) end_filter(w);
}

static void append_list(buf *out, const uint32_t *documents, size_t count)
{
    uint32_t next = 0;
    for (size_t i = 0; i < count; i++) {
        check(documents[i] >= next);
        buf_append_varint(out, documents[i] - next);
        next = documents[i] + 1;
    }
}

static void append_bitmap(buf *out, const uint32_t *documents, size_t count, size_t bytes)
{
    char *bits = buf_extend(out, bytes);
    memset(bits, 0, bytes);
    for (size_t i = 0; i < count; i++) bits[documents[i] / 8] |= (char)(1 << documents[i] % 8);
}

static void append_postings(struct segment_writer *w, const uint32_t *documents, size_t count)
{
    size_t bitmap_bytes = (w->documents + 7) / 8, before = w->postings.len;
    bool is_bitmap = count > bitmap_bytes;
    if (count == 1) {
        buf_append_le32(&w->infos, (uint32_t)SEGMENT_INFO_ONE | documents[0]);
        return;
    }
    buf_append_le32(&w->infos, (uint32_t)before);
    buf_append_varint(&w->postings, count << 1 | is_bitmap);
    if (is_bitmap) {
        append_bitmap(&w->postings, documents, count, bitmap_bytes);
        return;
    }
    /* The length stands before the list: a byte or two are made room for, mostly enough. */
    buf list = BUF_INIT;
    append_list(&list, documents, count);
    buf_append_varint(&w->postings, list.len);
    buf_append(&w->postings, buf_view(&list));
    buf_done(&list);
}

void segment_writer_term(struct segment_writer *w, unsigned zone, unsigned kind, view term, const uint32_t *documents, size_t count)
{
    bool is_full = w->postings.len >= SEGMENT_POSTINGS_BYTES_FULL ||
                   (kind == SEGMENT_WORDS ? w->text.len + term.len + 1 > SEGMENT_TEXT_BYTES_MAX : w->terms >= SEGMENT_PAIRS_MAX);
    check(count > 0 && documents[count - 1] < w->documents);
    bool goes_on = zone == w->zone && kind == w->kind;
    if (w->terms && (is_full || !goes_on)) end_block(w, goes_on);
    if (w->terms == 0 && kind == SEGMENT_WORDS) buf_append_byte(&w->text, '\n');
    w->zone = zone;
    w->kind = kind;
    if (w->has_filters && kind == SEGMENT_WORDS) segment_filter_word(w->filter, term, w->text.len - 1, w->terms);
    w->terms++;
    buf_append(&w->text, term);
    if (kind == SEGMENT_WORDS) buf_append_byte(&w->text, '\n');
    append_postings(w, documents, count);
}

void segment_writer_end(struct segment_writer *w, const struct segment_alone *alone, size_t count)
{
    end_block(w, false);
    uint64_t alone_offset = w->taken + w->out.len;
    for (size_t i = 0; i < count; i++) {
        buf_append(&w->out, id_view(&alone[i].message));
        buf_append_le32(&w->out, alone[i].document);
    }
    sum(w);
    if (w->page_bytes) buf_append_le32(&w->crcs, w->page_crc);
    uint64_t body_bytes = w->taken + w->out.len;
    uint32_t tail_crc = crc32c(crc32c(0, buf_view(&w->directory)), buf_view(&w->crcs));
    buf_append(&w->out, buf_view(&w->directory));
    buf_append(&w->out, buf_view(&w->crcs));
    size_t footer = w->out.len;
    buf_append_le32(&w->out, w->documents);
    buf_append_le32(&w->out, (uint32_t)count);
    buf_append_le64(&w->out, body_bytes);
    buf_append_le64(&w->out, alone_offset);
    buf_append_le32(&w->out, (uint32_t)w->directory.len);
    buf_append_le32(&w->out, (uint32_t)(w->crcs.len / 4));
    buf_append_le32(&w->out, tail_crc);
    buf_append_le32(&w->out, version_of(w));
    buf_append_le32(&w->out, crc32c(0, view_from(buf_view(&w->out), footer)));
    buf_append_le32(&w->out, MAGIC);
    w->summed = w->out.len;
}
