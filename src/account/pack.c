#include "account/pack.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "account/summary.h"
#include "base/check.h"
#include "base/cursor.h"
#include "base/hash.h"

enum {
    VERSION = 1,
    VERSION_ARCHIVE = 2,                   /* of the footer, when an entry is in the archive */
    METHOD_BITS = 8,                       /* of the last word of an index entry; above them the archived pack's number */
    LEVEL = 1,                             /* mail of 5 KB: level 3 gains 3 % and costs half as much again */
    GAIN_MIN_EIGHTHS = 1,                  /* stored as it is when compression saves less */
    COMPRESSED_FROM_BYTES = 128,
};
static const char magic[4] = {'T', 'y', 'P', 'k'};

/* ---- writing ------------------------------------------------------------------------------------------- */

void pack_writer_init(struct pack_writer *w)
{
    *w = (struct pack_writer){.out = BUF_INIT, .index = BUF_INIT};
    w->zip = ZSTD_createCCtx();
    check(w->zip);
    w->summaries = summary_writer_new();
    buf_append(&w->out, view_make(magic, sizeof magic));
    buf_append_le32(&w->out, VERSION);
}

void pack_writer_done(struct pack_writer *w)
{
    buf_done(&w->out);
    buf_done(&w->index);
    ZSTD_freeCCtx(w->zip);
    w->zip = NULL;
    summary_writer_free(w->summaries);
    w->summaries = NULL;
}

static uint32_t add_index(struct pack_writer *w, const struct pack_entry *e)
{
    check(w->entries < PACK_ENTRIES_MAX);
    buf_append_le32(&w->index, e->offset);
    buf_append_le32(&w->index, e->stored_bytes);
    buf_append_le32(&w->index, e->bytes);
    buf_append_le32(&w->index, e->crc);
    buf_append_le32(&w->index, (uint32_t)e->method | e->archive << METHOD_BITS);
    if (e->archive) w->names_archive = true;
    return w->entries++;
}

static uint32_t begin_entry(struct pack_writer *w, struct id message)
{
    buf_append(&w->out, id_view(&message));
    uint64_t offset = pack_bytes(w);
    check(offset < UINT32_MAX - PACK_ENTRY_BYTES_MAX);
    return (uint32_t)offset;
}

uint32_t pack_add(struct pack_writer *w, struct id message, view bytes)
{
    check(bytes.len <= PACK_ENTRY_BYTES_MAX);
    struct pack_entry e = {.offset = begin_entry(w, message), .bytes = (uint32_t)bytes.len, .method = PACK_STORED};
    size_t start = w->out.len, packed = 0;
    if (bytes.len >= COMPRESSED_FROM_BYTES) {
        buf_reserve(&w->out, ZSTD_compressBound(bytes.len));
        packed = ZSTD_compressCCtx(w->zip, w->out.at + start, ZSTD_compressBound(bytes.len), bytes.at, bytes.len, LEVEL);
        if (ZSTD_isError(packed) || packed > bytes.len - bytes.len / 8 * GAIN_MIN_EIGHTHS) packed = 0;
    }
    if (packed > 0) {
        e.method = PACK_ZSTD;
        w->out.len += packed;
    } else {
        buf_append(&w->out, bytes);
    }
    e.stored_bytes = (uint32_t)(w->out.len - start);
    e.crc = crc32c(0, view_from(buf_view(&w->out), start));
    summary_add(w->summaries, w->entries, bytes);
    return add_index(w, &e);
}

void pack_add_summary(struct pack_writer *w, view message)
{
    check(w->entries > 0);
    summary_add(w->summaries, w->entries - 1, message);
}

uint32_t pack_add_stored(struct pack_writer *w, struct id message, const struct pack_entry *as, view stored)
{
    struct pack_entry e = *as;
    check(stored.len == as->stored_bytes);
    e.offset = begin_entry(w, message);
    e.archive = 0;
    buf_append(&w->out, stored);
    return add_index(w, &e);
}

uint32_t pack_add_archived(struct pack_writer *w, const struct pack_entry *as)
{
    check(as->archive > 0 && as->archive >> (32 - METHOD_BITS) == 0 && as->method != PACK_ABSENT);
    return add_index(w, as);
}

void pack_keep_summary(struct pack_writer *w, const struct summary_kept *kept)
{
    check(w->entries > 0);
    summary_add_kept(w->summaries, w->entries - 1, kept);
}

uint32_t pack_add_absent(struct pack_writer *w)
{
    return add_index(w, &(struct pack_entry){.method = PACK_ABSENT});
}

void pack_end(struct pack_writer *w)
{
    size_t sections = w->out.len;
    summary_end(w->summaries, w->entries, pack_bytes(w), &w->out);
    sections = w->out.len - sections;
    buf_append(&w->out, buf_view(&w->index));
    size_t footer = w->out.len;
    buf_append_le32(&w->out, w->entries);
    buf_append_le32(&w->out, (uint32_t)w->index.len);
    buf_append_le32(&w->out, crc32c(0, buf_view(&w->index)));
    buf_append_le32(&w->out, (uint32_t)sections);
    buf_append_le32(&w->out, w->names_archive ? VERSION_ARCHIVE : VERSION);
    buf_append_le32(&w->out, crc32c(0, view_from(buf_view(&w->out), footer)));
    buf_append(&w->out, view_make(magic, sizeof magic));
}

void pack_writer_took(struct pack_writer *w)
{
    w->taken += w->out.len;
    buf_clear(&w->out);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

uint64_t pack_index_offset(uint64_t bytes, uint32_t entries)
{
    uint64_t tail = (uint64_t)entries * PACK_INDEX_ENTRY_BYTES + PACK_FOOTER_BYTES;
    return tail < bytes ? bytes - tail : 0;
}

static bool footer_is_right(view footer, uint32_t entries, uint32_t *ret_index_crc, uint32_t *ret_section_bytes, uint32_t *ret_version)
{
    struct cursor c = cursor_of(footer);
    uint32_t counted, index_bytes, crc;
    uint32_t expected = crc32c(0, view_slice(footer, 0, 20));
    return take_le32(&c, &counted) && take_le32(&c, &index_bytes) && take_le32(&c, ret_index_crc) && take_le32(&c, ret_section_bytes) &&
           take_le32(&c, ret_version) && take_le32(&c, &crc) && take_view(&c, view_make(magic, sizeof magic)) && crc == expected &&
           counted == entries && index_bytes == (uint64_t)entries * PACK_INDEX_ENTRY_BYTES &&
           (*ret_version == VERSION || *ret_version == VERSION_ARCHIVE);
}

/* Where the bytes of another pack end is not known here. */
static bool take_entry(struct cursor *c, uint64_t data_end, uint32_t version, struct pack_entry *e)
{
    uint32_t method;
    if (!take_le32(c, &e->offset) || !take_le32(c, &e->stored_bytes) || !take_le32(c, &e->bytes) || !take_le32(c, &e->crc) || !take_le32(c, &method))
        return false;
    e->archive = 0;
    if (version == VERSION_ARCHIVE) {
        e->archive = method >> METHOD_BITS;
        method &= (1u << METHOD_BITS) - 1;
        if (e->archive) data_end = UINT32_MAX;
    }
    e->method = (enum pack_method)method;
    if (method == PACK_ABSENT) return e->archive == 0;
    bool fits = method == PACK_STORED ? e->stored_bytes == e->bytes : e->stored_bytes <= e->bytes;
    return method <= PACK_ZSTD && e->bytes <= PACK_ENTRY_BYTES_MAX && fits &&
           e->offset >= PACK_HEADER_BYTES + PACK_ENTRY_HEADER_BYTES && (uint64_t)e->offset + e->stored_bytes <= data_end;
}

result pack_index_decode(view tail, uint64_t bytes, uint32_t entries, struct pack_index **ret_index, struct fault *fault)
{
    uint64_t index_bytes = (uint64_t)entries * PACK_INDEX_ENTRY_BYTES;
    uint32_t crc, section_bytes, version;
    if (entries > PACK_ENTRIES_MAX || tail.len != index_bytes + PACK_FOOTER_BYTES || tail.len + PACK_HEADER_BYTES > bytes)
        return fail(fault, CORRUPT, "pack of %u entries with a tail of %zu bytes", entries, tail.len);
    if (!footer_is_right(view_from(tail, index_bytes), entries, &crc, &section_bytes, &version)) return fail(fault, CORRUPT, "pack's footer is not one");
    if (section_bytes > bytes - tail.len - PACK_HEADER_BYTES) return fail(fault, CORRUPT, "pack with sections of %u bytes", section_bytes);
    view table = view_slice(tail, 0, index_bytes);
    if (crc32c(0, table) != crc) return fail(fault, CORRUPT, "pack's index fails its checksum");
    struct pack_index *index = malloc(sizeof *index + entries * sizeof index->of[0]);
    check(index);
    index->entries = entries;
    index->section_bytes = section_bytes;
    struct cursor c = cursor_of(table);
    for (uint32_t i = 0; i < entries; i++) {
        if (take_entry(&c, bytes - tail.len, version, &index->of[i])) continue;
        free(index);
        return fail(fault, CORRUPT, "pack's index: entry %u", i);
    }
    *ret_index = index;
    return OK;
}

uint64_t pack_entry_offset(uint64_t bytes, uint32_t entries, uint32_t entry)
{
    return pack_index_offset(bytes, entries) + (uint64_t)entry * PACK_INDEX_ENTRY_BYTES;
}

/* Of both versions: the earlier one has no bits above the method. */
result pack_entry_decode(view stored, uint64_t bytes, uint32_t entries, struct pack_entry *ret_entry, struct fault *fault)
{
    struct cursor c = cursor_of(stored);
    struct pack_entry e;
    if (stored.len != PACK_INDEX_ENTRY_BYTES || !take_entry(&c, pack_index_offset(bytes, entries), VERSION_ARCHIVE, &e))
        return fail(fault, CORRUPT, "pack's index: an entry is not one");
    *ret_entry = e;
    return OK;
}

void *pack_unzip_new(void)
{
    void *unzip = ZSTD_createDCtx();
    check(unzip);
    return unzip;
}

void pack_unzip_free(void *unzip)
{
    ZSTD_freeDCtx(unzip);
}

result pack_unpack(const struct pack_entry *e, view stored, void *unzip, buf *into, struct fault *fault)
{
    if (e->method == PACK_ABSENT) return fail(fault, NOT_FOUND, "the pack's entry was reclaimed");
    if (stored.len != e->stored_bytes || crc32c(0, stored) != e->crc) return fail(fault, CORRUPT, "packed message fails its checksum");
    if (e->method == PACK_STORED) {
        buf_append(into, stored);
        return OK;
    }
    buf_reserve(into, e->bytes);
    size_t got = ZSTD_decompressDCtx(unzip, into->at + into->len, e->bytes, stored.at, stored.len);
    if (ZSTD_isError(got) || got != e->bytes) return fail(fault, CORRUPT, "packed message does not decompress: %s", ZSTD_isError(got) ? ZSTD_getErrorName(got) : "wrong length");
    into->len += got;
    return OK;
}
