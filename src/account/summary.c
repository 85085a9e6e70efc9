#include "account/summary.h"

#include <stdlib.h>
#include <zstd.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/cursor.h"
#include "base/hash.h"
#include "formats/envelope.h"
#include "formats/header.h"
#include "formats/imap_structure.h"
#include "formats/mime.h"
#include "formats/preview.h"

enum {
    SECTION_BLOCKS = 1, SECTION_TABLE = 2,
    LEVEL = 1,
    TEXT_IS_THERE = 1, TEXT_IS_PLAIN = 2, TEXT_BITS = 2,
    ARENA_BYTES_MAX = MIME_ARENA_BYTES_ENOUGH + (4 << 20),
};

static const view fields[] = {
    VIEW_INIT("Date"), VIEW_INIT("From"), VIEW_INIT("Sender"), VIEW_INIT("Reply-To"), VIEW_INIT("To"), VIEW_INIT("Cc"), VIEW_INIT("Bcc"),
    VIEW_INIT("Subject"), VIEW_INIT("In-Reply-To"), VIEW_INIT("Message-ID"), VIEW_INIT("References"), VIEW_INIT("Content-Type"),
    VIEW_INIT("Priority"), VIEW_INIT("X-Priority"), VIEW_INIT("Importance"), VIEW_INIT("List-Id"), VIEW_INIT("List-Post"), VIEW_INIT("Newsgroups"),
    VIEW_INIT("Disposition-Notification-To"), VIEW_INIT("Mail-Followup-To"), VIEW_INIT("Mail-Reply-To"), VIEW_INIT("X-Draft-Info"),
};

bool summary_has_field(view name)
{
    for (size_t i = 0; i < array_size(fields); i++)
        if (view_equal_nocase(name, fields[i])) return true;
    return false;
}

/* ---- writing ---- */

struct column {
    buf ends, texts;             /* of the block that is being filled: le32 each, end << TEXT_BITS | bits */
    buf stored, places;          /* of the blocks that are full */
    bool has_any;                /* in the block that is being filled; a text may be empty */
};

struct summary_writer {
    ZSTD_CCtx *zip;
    struct arena *arena;
    buf text, block;
    uint32_t entries;
    bool has_any;
    struct column columns[SUMMARY_COLUMNS];
};

struct summary_writer *summary_writer_new(void)
{
    struct summary_writer *w = calloc(1, sizeof *w);
    check(w != NULL);
    w->zip = ZSTD_createCCtx();
    check(w->zip != NULL);
    w->arena = arena_new(NULL, ARENA_BYTES_MAX);
    return w;
}

void summary_writer_free(struct summary_writer *w)
{
    if (!w) return;
    ZSTD_freeCCtx(w->zip);
    arena_free(w->arena);
    buf_done(&w->text);
    buf_done(&w->block);
    for (unsigned i = 0; i < SUMMARY_COLUMNS; i++) {
        buf_done(&w->columns[i].ends);
        buf_done(&w->columns[i].texts);
        buf_done(&w->columns[i].stored);
        buf_done(&w->columns[i].places);
    }
    free(w);
}

static void put_place(buf *into, uint64_t offset, size_t stored_bytes, size_t bytes, uint32_t crc)
{
    buf_append_le32(into, (uint32_t)offset);
    buf_append_le32(into, (uint32_t)stored_bytes);
    buf_append_le32(into, (uint32_t)bytes);
    buf_append_le32(into, crc);
}

/* A block without texts takes no room. Offsets are within the column until the end. */
static void end_block(struct summary_writer *w, struct column *c)
{
    size_t at = c->stored.len;
    if (!c->has_any) {
        put_place(&c->places, 0, 0, 0, 0);
    } else {
        buf_clear(&w->block);
        buf_append(&w->block, buf_view(&c->ends));
        buf_append(&w->block, buf_view(&c->texts));
        size_t bound = ZSTD_compressBound(w->block.len);
        buf_reserve(&c->stored, bound);
        size_t stored = ZSTD_compressCCtx(w->zip, c->stored.at + at, bound, w->block.at, w->block.len, LEVEL);
        check(!ZSTD_isError(stored));
        c->stored.len += stored;
        put_place(&c->places, at, stored, w->block.len, crc32c(0, view_from(buf_view(&c->stored), at)));
    }
    buf_clear(&c->ends);
    buf_clear(&c->texts);
    c->has_any = false;
}

static void end_entry(struct summary_writer *w)
{
    w->entries++;
    if (w->entries % SUMMARY_BLOCK_ENTRIES) return;
    for (unsigned i = 0; i < SUMMARY_COLUMNS; i++) end_block(w, &w->columns[i]);
}

static void add_absent(struct summary_writer *w)
{
    for (unsigned i = 0; i < SUMMARY_COLUMNS; i++) {
        struct column *c = &w->columns[i];
        buf_append_le32(&c->ends, (uint32_t)(c->texts.len << TEXT_BITS));
    }
    end_entry(w);
}

static bool is_ascii(view v)
{
    for (size_t i = 0; i < v.len; i++)
        if (v.at[i] & 0x80) return false;
    return true;
}

/* w->text is the entry's. */
static void add_text(struct summary_writer *w, enum summary_column column)
{
    struct column *c = &w->columns[column];
    unsigned bits = 0;
    if (w->text.len <= SUMMARY_TEXT_BYTES_MAX) {
        bits = TEXT_IS_THERE | (is_ascii(buf_view(&w->text)) ? TEXT_IS_PLAIN : 0);
        buf_append(&c->texts, buf_view(&w->text));
        w->has_any = c->has_any = true;
    }
    buf_append_le32(&c->ends, (uint32_t)(c->texts.len << TEXT_BITS | bits));
    buf_clear(&w->text);
}

static void add_fields(struct summary_writer *w, view header)
{
    struct header_field field;
    while (header_next(&header, &field))
        if (summary_has_field(field.name)) buf_append(&w->text, field.whole);
    add_text(w, SUMMARY_HEADER);
}

void summary_add(struct summary_writer *w, uint32_t entry, view message)
{
    struct message_envelope envelope;
    view header, body;
    while (w->entries < entry) add_absent(w);
    arena_reset(w->arena);
    header_split(message, &header, &body);
    message_envelope_parse(header, w->arena, &envelope);
    imap_write_envelope(&w->text, &envelope, false);
    add_text(w, SUMMARY_ENVELOPE);
    const struct mime_part *root = mime_parse(message, w->arena);
    check(root != NULL);
    imap_write_structure(&w->text, root, message, false, false, w->arena);
    add_text(w, SUMMARY_BODY);
    imap_write_structure(&w->text, root, message, true, false, w->arena);
    add_text(w, SUMMARY_BODYSTRUCTURE);
    preview_append(root, message, w->arena, &w->text);
    add_text(w, SUMMARY_PREVIEW);
    add_fields(w, header);
    end_entry(w);
}

void summary_add_kept(struct summary_writer *w, uint32_t entry, const struct summary_kept *kept)
{
    while (w->entries < entry) add_absent(w);
    for (unsigned i = 0; i < SUMMARY_COLUMNS; i++) {
        struct column *c = &w->columns[i];
        buf_clear(&w->text);
        if (kept->has[i]) {
            buf_append(&w->text, kept->texts[i]);
            add_text(w, (enum summary_column)i);
        } else {
            buf_append_le32(&c->ends, (uint32_t)(c->texts.len << TEXT_BITS));
        }
    }
    end_entry(w);
}

static void put_section_header(buf *into, uint32_t kind, size_t bytes, uint32_t crc)
{
    buf_append_le32(into, kind);
    buf_append_le32(into, (uint32_t)bytes);
    buf_append_le32(into, crc);
}

/* Places of a column, moved to where it stands in the pack. */
static void put_table(buf *into, const struct column *c, uint64_t offset)
{
    struct cursor at = cursor_of(buf_view(&c->places));
    uint32_t within, stored, bytes, crc;
    while (take_le32(&at, &within) && take_le32(&at, &stored) && take_le32(&at, &bytes) && take_le32(&at, &crc))
        put_place(into, stored ? offset + within : 0, stored, bytes, crc);
}

void summary_end(struct summary_writer *w, uint32_t entries, uint64_t offset, buf *into)
{
    if (!w->has_any) return;
    while (w->entries < entries) add_absent(w);
    if (w->entries % SUMMARY_BLOCK_ENTRIES)
        for (unsigned i = 0; i < SUMMARY_COLUMNS; i++) end_block(w, &w->columns[i]);
    size_t bytes = 0;
    uint32_t crc = 0;
    buf_clear(&w->block);
    for (unsigned i = 0; i < SUMMARY_COLUMNS; i++) {
        put_table(&w->block, &w->columns[i], offset + SUMMARY_SECTION_HEADER_BYTES + bytes);
        bytes += w->columns[i].stored.len;
        crc = crc32c(crc, buf_view(&w->columns[i].stored));
    }
    put_section_header(into, SECTION_BLOCKS, bytes, crc);
    for (unsigned i = 0; i < SUMMARY_COLUMNS; i++) buf_append(into, buf_view(&w->columns[i].stored));
    put_section_header(into, SECTION_TABLE, w->block.len, crc32c(0, buf_view(&w->block)));
    buf_append(into, buf_view(&w->block));
}

/* ---- reading ---- */

bool summary_table_is_right(view table, uint32_t entries)
{
    struct cursor c = cursor_of(table);
    uint32_t kind, bytes, crc;
    return table.len == summary_table_bytes(entries) && take_le32(&c, &kind) && take_le32(&c, &bytes) && take_le32(&c, &crc) &&
           kind == SECTION_TABLE && bytes == c.rest.len && crc == crc32c(0, c.rest);
}

struct summary_place summary_place_of(view table, uint32_t entries, enum summary_column column, uint32_t block)
{
    uint32_t blocks = (entries + SUMMARY_BLOCK_ENTRIES - 1) / SUMMARY_BLOCK_ENTRIES, offset = 0;
    struct summary_place p = {0};
    size_t at = SUMMARY_SECTION_HEADER_BYTES + ((size_t)column * blocks + block) * SUMMARY_PLACE_BYTES;
    struct cursor c = cursor_of(view_slice(table, at, SUMMARY_PLACE_BYTES));
    if (take_le32(&c, &offset) && take_le32(&c, &p.stored_bytes) && take_le32(&c, &p.bytes) && take_le32(&c, &p.crc)) p.offset = offset;
    return p;
}

result summary_unpack(const struct summary_place *p, view stored, uint32_t block_entries, void *unzip, buf *into, struct fault *fault)
{
    if (stored.len != p->stored_bytes || crc32c(0, stored) != p->crc) return fail(fault, CORRUPT, "a block of summaries fails its checksum");
    if (p->bytes > SUMMARY_BLOCK_BYTES_MAX || p->bytes < 4 * block_entries) return fail(fault, CORRUPT, "a block of summaries of %u bytes", p->bytes);
    buf_reserve(into, p->bytes);
    size_t got = ZSTD_decompressDCtx(unzip, into->at + into->len, p->bytes, stored.at, stored.len);
    if (ZSTD_isError(got) || got != p->bytes) return fail(fault, CORRUPT, "a block of summaries does not decompress");
    into->len += got;
    return OK;
}

static uint32_t end_of(view block, uint32_t index)
{
    uint32_t end = 0;
    struct cursor c = cursor_of(view_slice(block, (size_t)index * 4, 4));
    (void)!take_le32(&c, &end);
    return end;
}

bool summary_text(view block, uint32_t block_entries, uint32_t index, view *ret_text, bool *ret_is_plain)
{
    if (index >= block_entries || block.len < (size_t)block_entries * 4) return false;
    view texts = view_from(block, (size_t)block_entries * 4);
    uint32_t from = index ? end_of(block, index - 1) >> TEXT_BITS : 0, end = end_of(block, index);
    if (!(end & TEXT_IS_THERE) || end >> TEXT_BITS < from || end >> TEXT_BITS > texts.len) return false;
    *ret_text = view_slice(texts, from, (end >> TEXT_BITS) - from);
    *ret_is_plain = end & TEXT_IS_PLAIN;
    return true;
}
