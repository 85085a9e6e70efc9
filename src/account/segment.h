/*
 * segment: an index of the texts of some messages, in one immutable object. doc/formats/search.md has it byte by byte.
 *
 * Messages are numbered from 0 (documents); which they are the account's snapshot knows (struct search_segment), and the segment itself
 * of those that are objects of their own. Terms (formats/search_terms.h) stand in order of zone, kind and bytes, in blocks: the terms, one behind the
 * other; a number for each; their postings. At the end: where the blocks are, a checksum for each page, a footer. A reader takes pages,
 * and believes none that fails its checksum: an index is derived data, without it messages are read.
 * Pure: whoever writes takes the bytes out of the writer, whoever reads brings them.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/id.h"
#include "formats/message_text.h"
#include "formats/search_terms.h"
#include "runtime/colour.h"

enum {
    SEGMENT_PAGE_BYTES = 64 << 10,           /* what a checksum guards */
    SEGMENT_FOOTER_BYTES = 48,
    SEGMENT_HEADER_BYTES = 8,
    SEGMENT_DOCUMENTS_MAX = 1 << 22,
    SEGMENT_TEXT_BYTES_MAX = 256 << 10,      /* of a block's words; one that is longer still ends it */
    SEGMENT_PAIRS_MAX = 4096,                /* of a block */
    SEGMENT_PAIR_BYTES = 6,
    SEGMENT_CHUNK_BYTES = 16 << 10,          /* of a block's words: what a filter tells apart */
    SEGMENT_CHUNKS_MAX = 2048,               /* of a filter */
    SEGMENT_CHUNKS_MIN = 8,                  /* fewer have none: they are soon gone through */
    SEGMENT_CHUNK_INFO_BYTES = 8,            /* where it begins, its first term */
    SEGMENT_POSTINGS_BYTES_FULL = 1 << 20,   /* then a block ends */
    SEGMENT_MERGE_INPUTS_MAX = 16,
    SEGMENT_ALONE_BYTES = 20,                /* id, document */
    SEGMENT_DIRECTORY_BYTES_MAX = 64 << 20,
    SEGMENT_DOCUMENT_BYTES_MAX = 1 << 20,    /* of a message's text; the rest is looked into by who searches */
};

/* SEGMENT_FILTERS: which chunks of the blocks of words before it have words with a gram (search_grams()); only in version 2. */
enum segment_kind { SEGMENT_WORDS, SEGMENT_PAIRS, SEGMENT_FILTERS };
/* Beside those of search_terms.h: the message has more text than was indexed, or could not be read. In ZONE_OTHER. */
enum { SEGMENT_PAIR_INCOMPLETE = 2 };

struct segment_alone { struct id message; uint32_t document; };

/* ---- writing ---- */

struct segment_writer {
    buf out;                                 /* to be written next; taken with segment_writer_took() */
    uint64_t taken;
    uint32_t documents;
    buf directory, crcs;
    uint32_t page_crc, page_bytes;           /* of the page under way */
    size_t summed;                           /* bytes of `out` that are in a checksum */
    unsigned zone, kind;                     /* of the block under way */
    buf text, infos, postings;
    uint32_t terms;
    bool has_filters;
    struct segment_filter *filter;           /* of the blocks of words since the last one */
};
/* `has_filters`: version 2, from FEATURE_SEARCH_FILTERS on. */
void segment_writer_init(struct segment_writer *w, uint32_t documents, bool has_filters);
void segment_writer_done(struct segment_writer *w);
/* Terms rise; documents rise and are at least one. A pair's key: segment_pair_key(). */
void segment_writer_term(struct segment_writer *w, unsigned zone, unsigned kind, view term, const uint32_t *documents, size_t count);
/* In order of id. */
void segment_writer_end(struct segment_writer *w, const struct segment_alone *alone, size_t count);
void segment_writer_took(struct segment_writer *w);
/* Big-endian, so that keys compare as numbers do. */
void segment_pair_key(uint64_t pair, char key[static SEGMENT_PAIR_BYTES]);
uint64_t segment_pair_of(const char *key);

/* ---- building: messages in ---- */

struct segment_builder;
struct segment_builder *segment_builder_new(void);
void segment_builder_free(struct segment_builder *b);
/* The next document, of a message as it is stored. CPU only; not for a coroutine's stack. */
uint32_t segment_builder_add(struct segment_builder *b, view message);
/* A document without text; `is_incomplete`: it must be read by who searches. */
uint32_t segment_builder_add_empty(struct segment_builder *b, bool is_incomplete);
/* The last document is an object of its own. */
void segment_builder_is_alone(struct segment_builder *b, struct id message);
uint32_t segment_builder_documents(const struct segment_builder *b);
/* It has as much as is good for one segment. */
bool segment_builder_is_full(const struct segment_builder *b);
/* The whole segment. The builder is then empty. CPU only. */
void segment_builder_write(struct segment_builder *b, bool has_filters, buf *into);

/* ---- reading ---- */

struct segment_block {
    unsigned zone, kind;
    uint32_t terms, text_bytes, postings_bytes;   /* of filters: blocks, bytes of what is told of chunks, bytes of bits */
    uint64_t offset;                         /* text, then 4 bytes for each term, then postings */
    view first;                              /* its first term */
};
struct segment_footer {
    uint32_t version, documents, alone;
    uint64_t body_bytes, alone_offset;       /* blocks and the table of those alone; the table's place */
    uint32_t directory_bytes, pages, tail_crc;
};
struct segment_index {
    struct segment_footer footer;
    struct segment_block *blocks;
    size_t block_count;
    view crcs;                               /* le32 each */
    buf kept;                                /* what views point into */
};
/* `last`: the object's last SEGMENT_FOOTER_BYTES. */
NODISCARD result segment_footer_decode(view last, uint64_t object_bytes, struct segment_footer *ret_footer, struct fault *fault);
static inline uint64_t segment_tail_bytes(const struct segment_footer *f) { return (uint64_t)f->directory_bytes + (uint64_t)f->pages * 4; }
/* `tail`: the bytes before the footer. malloc'ed. */
NODISCARD result segment_index_decode(const struct segment_footer *f, view tail, struct segment_index **ret_index, struct fault *fault);
void segment_index_free(struct segment_index *i);
/* `bytes`: the whole page, the last one up to the end of the body. */
bool segment_page_is_sound(const struct segment_index *i, uint64_t page, view bytes);

/* ---- filters (segment_filter.c) ---- */

struct segment_filter *segment_filter_new(void);
void segment_filter_free(struct segment_filter *f);
/* Words as they come into a block: `at` where the line feed before it stands in the block's text, `term` its number. */
void segment_filter_word(struct segment_filter *f, view word, size_t at, uint32_t term);
void segment_filter_end_block(struct segment_filter *f);
bool segment_filter_is_full(const struct segment_filter *f);
/* What the filter's block consists of, appended; nothing, and 0, if there are too few chunks. The number of blocks. The filter is then empty. */
uint32_t segment_filter_end(struct segment_filter *f, buf *text, buf *infos, buf *postings);
static inline size_t segment_filter_row_bytes(uint32_t chunks) { return ((size_t)chunks + 7) / 8; }

static inline uint64_t segment_infos_offset(const struct segment_block *b) { return b->offset + b->text_bytes; }
static inline uint64_t segment_postings_offset(const struct segment_block *b) { return b->offset + b->text_bytes + (uint64_t)b->terms * 4; }

/* What stands for a term: one document, or where its postings begin in the block. */
enum { SEGMENT_INFO_ONE = (int)0x80000000 };
static inline bool segment_info_is_one(uint32_t info) { return info >> 31; }
/* Head of postings: how many bytes follow it. False: damaged. `at`: of postings, at most SEGMENT_POSTINGS_HEAD_MAX bytes are looked at. */
enum { SEGMENT_POSTINGS_HEAD_MAX = 10 };
struct segment_postings { uint32_t count, bytes; unsigned head_bytes; bool is_bitmap; };
bool segment_postings_head(view at, uint32_t documents, struct segment_postings *ret_postings);
/* Sets a bit for each document. False: damaged; some bits may be set. */
bool segment_postings_mark(const struct segment_postings *p, view bytes, uint32_t documents, uint64_t *bits);
/* The same as a list, up to `documents` long. */
bool segment_postings_list(const struct segment_postings *p, view bytes, uint32_t documents, uint32_t *list);

/* ---- finding ---- */

/* Bytes of the object, appended. Wherever they come from, they are as they were written. */
struct segment_source {
    result (*read)(void *argument, uint64_t offset, size_t bytes, buf *into, struct fault *fault);    /* MAY_YIELD */
    void *argument;
};
static inline size_t segment_bits_words(uint32_t documents) { return (size_t)documents / 64 + 1; }
/*
 * Adds to `sure` the documents that have the needle in one of the zones (bits), and to `maybe` those and all others that may have it.
 * Both have segment_bits_words() words. Needs about 4 MiB of memory.
 */
MAY_YIELD NODISCARD result segment_find(const struct segment_index *i, const struct segment_source *source, const struct search_query *q, unsigned zones,
                                        uint64_t *sure, uint64_t *maybe, struct fault *fault);

/* ---- merging ---- */

struct segment_merge;
struct segment_merge_input {
    const struct segment_index *index;
    const uint64_t *living;                  /* a bit for each document that is still there; NULL: all are */
};
/* The documents of the inputs, one behind the other. Inputs stay until segment_merge_free(). */
struct segment_merge *segment_merge_new(const struct segment_merge_input *inputs, size_t count, bool has_filters);
void segment_merge_free(struct segment_merge *m);
/*
 * Goes on. OK: take the output (segment_merge_out()) and call again. BUSY: give the block (segment_merge_wants()) and call again.
 * END: the rest of the output. CORRUPT. CPU only.
 */
NODISCARD result segment_merge_step(struct segment_merge *m, struct fault *fault);
struct segment_writer *segment_merge_out(struct segment_merge *m);
/* Which bytes of which input's object are wanted, into this buffer. */
buf *segment_merge_wants(struct segment_merge *m, size_t *ret_input, uint64_t *ret_offset, size_t *ret_bytes);
