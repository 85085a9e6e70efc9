/*
 * summary: what lists of messages want of each, made once, beside the bytes of a pack.
 *
 * Envelope, structure, preview and the common header fields of the messages of a pack, in columns of blocks, so that a list takes few
 * large reads and a block serves many messages. Derived data: an entry may lack a text (too long, or a pack that an older version wrote),
 * and who finds none reads the message. The format, byte by byte: doc/formats/packs.md. Pure.
 */
#pragma once

#include "base/buf.h"
#include "base/fault.h"

enum summary_column {
    SUMMARY_ENVELOPE, SUMMARY_BODY, SUMMARY_BODYSTRUCTURE,   /* as RFC 9051 §7.5.2 writes them for a session without UTF-8 */
    SUMMARY_PREVIEW,                                          /* formats/preview.h */
    SUMMARY_HEADER,                                           /* the fields of summary_has_field(), as they stand, in their order */
    SUMMARY_COLUMNS,
};

enum {
    SUMMARY_BLOCK_ENTRIES = 128,
    SUMMARY_TEXT_BYTES_MAX = 8 << 10,        /* longer ones are left out: structures of hundreds of parts, endless lists of recipients */
    SUMMARY_BLOCK_BYTES_MAX = SUMMARY_BLOCK_ENTRIES * (SUMMARY_TEXT_BYTES_MAX + 4),
    SUMMARY_SECTION_HEADER_BYTES = 12,
    SUMMARY_PLACE_BYTES = 16,
};

/* Whether a header field of that name is among those kept; the name "" is not. */
bool summary_has_field(view name);

/* ---- writing ---- */

struct summary_writer;
struct summary_writer *summary_writer_new(void);
void summary_writer_free(struct summary_writer *w);
/* Of entry number `entry`; those between the last and it have none. Parses and compresses: for a worker. */
void summary_add(struct summary_writer *w, uint32_t entry, view message);
/* The same from what was kept of it elsewhere. */
struct summary_kept { view texts[SUMMARY_COLUMNS]; bool has[SUMMARY_COLUMNS]; };
void summary_add_kept(struct summary_writer *w, uint32_t entry, const struct summary_kept *kept);
/* The sections of a pack of so many entries, which stand at `offset` in it; nothing when no entry has any. */
void summary_end(struct summary_writer *w, uint32_t entries, uint64_t offset, buf *into);

/* ---- reading ---- */

/* Of the section that says where blocks are: it stands right before the index. */
static inline uint64_t summary_table_bytes(uint32_t entries)
{
    return SUMMARY_SECTION_HEADER_BYTES + (uint64_t)(entries / SUMMARY_BLOCK_ENTRIES + (entries % SUMMARY_BLOCK_ENTRIES != 0)) * SUMMARY_COLUMNS * SUMMARY_PLACE_BYTES;
}
/* The stored bytes of a block; stored_bytes 0: it has no texts. */
struct summary_place { uint64_t offset; uint32_t stored_bytes, bytes, crc; };
/* `table`: that section of a pack of so many entries. False: it is none. */
bool summary_table_is_right(view table, uint32_t entries);
struct summary_place summary_place_of(view table, uint32_t entries, enum summary_column column, uint32_t block);
/* Unpacks a block. CORRUPT. */
NODISCARD result summary_unpack(const struct summary_place *p, view stored, uint32_t block_entries, void *unzip, buf *into, struct fault *fault);
/* The text of an entry of a block (from 0); false: it has none. *ret_is_plain: of ASCII alone, so any session may have it as it is. */
bool summary_text(view block, uint32_t block_entries, uint32_t index, view *ret_text, bool *ret_is_plain);
static inline uint32_t summary_block_entries(uint32_t entries, uint32_t block)
{
    uint32_t left = entries - block * SUMMARY_BLOCK_ENTRIES;
    return left < SUMMARY_BLOCK_ENTRIES ? left : SUMMARY_BLOCK_ENTRIES;
}

/* ---- all of a pack's, for who writes it anew ---- */

struct summary_sections {
    view bytes, table;                       /* borrowed. Table empty: the pack has none */
    uint64_t offset;                         /* of `bytes` in the pack */
    uint32_t entries, block;                 /* the block that is unpacked */
    bool has_block;
    void *unzip;
    buf blocks[SUMMARY_COLUMNS];             /* empty: without texts */
};
/* `bytes` stand at `offset`, between the last entry and the index. Damaged ones count as none: what is derived is made again. */
void summary_sections_open(struct summary_sections *s, view bytes, uint64_t offset, uint32_t entries);
void summary_sections_close(struct summary_sections *s);
/* Texts are good until the next call. False: it has none. Unpacks: for a worker. */
bool summary_sections_find(struct summary_sections *s, uint32_t entry, struct summary_kept *ret_kept);
