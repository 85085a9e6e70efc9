/*
 * pack: many small messages in one object.
 *
 * A pack is written once, front to back; its index stands at its end. Each entry is compressed by itself (zstd), or stored as it is
 * when that does not pay, and guarded by a checksum. Entries are numbered from 0 and keep their number when a pack is rewritten
 * without the entries that died: those become absent. The format, offset by offset: doc/formats/packs.md.
 * Of an entry whose message is in the archive, the pack keeps the summary and says where the bytes are: in an archived pack of this format.
 * Pure: whoever writes takes the bytes out of the writer, whoever reads brings them.
 */
#pragma once

#include "base/buf.h"
#include "base/fault.h"
#include "base/id.h"

enum {
    PACK_HEADER_BYTES = 8,
    PACK_ENTRY_HEADER_BYTES = 16,          /* the message's id, for salvage */
    PACK_INDEX_ENTRY_BYTES = 20,
    PACK_FOOTER_BYTES = 28,
    PACK_ENTRIES_MAX = 1 << 16,
    PACK_ENTRY_BYTES_MAX = 64 << 10,       /* what a record's body has at most: larger messages are objects of their own */
};

enum pack_method { PACK_STORED = 0, PACK_ZSTD = 1, PACK_ABSENT = 2 };

struct pack_entry {
    uint32_t offset;                       /* of the stored bytes in the pack */
    uint32_t stored_bytes, bytes;
    uint32_t crc;                          /* crc32c of the stored bytes */
    enum pack_method method;
    uint32_t archive;                      /* 0: the bytes are here. Else the number of the archived pack that has them, and offset is within that */
};

struct pack_writer {
    buf out;                               /* to be written next; taken with pack_writer_took() */
    buf index;
    uint64_t taken;                        /* bytes that are no longer in `out` */
    uint32_t entries;
    bool names_archive;                    /* some entry does */
    void *zip;
    struct summary_writer *summaries;
};
/* Not for a coroutine's stack while it compresses: pack_add() belongs on a worker. */
void pack_writer_init(struct pack_writer *w);
void pack_writer_done(struct pack_writer *w);
/* The entry's number. */
uint32_t pack_add(struct pack_writer *w, struct id message, view bytes);
/* An entry of another pack as it stands there. */
uint32_t pack_add_stored(struct pack_writer *w, struct id message, const struct pack_entry *as, view stored);
uint32_t pack_add_absent(struct pack_writer *w);
/* An entry whose bytes are in the archive. */
uint32_t pack_add_archived(struct pack_writer *w, const struct pack_entry *as);
/* The offset that pack_add_stored() gives the next entry. */
static inline uint64_t pack_next_offset(const struct pack_writer *w) { return w->taken + w->out.len + PACK_ENTRY_HEADER_BYTES; }
/* What another pack has of the entry added last, for its summary. */
struct summary_kept;
void pack_keep_summary(struct pack_writer *w, const struct summary_kept *kept);
/* What pack_add_stored() cannot know: the message itself, of the entry added last, for its summary. */
void pack_add_summary(struct pack_writer *w, view message);
/* Index and footer. Afterwards the pack has pack_bytes(). */
void pack_end(struct pack_writer *w);
static inline uint64_t pack_bytes(const struct pack_writer *w) { return w->taken + w->out.len; }
/* What was in `out` is written down elsewhere. */
void pack_writer_took(struct pack_writer *w);

struct pack_index {
    uint32_t entries;
    uint32_t section_bytes;                /* between the last entry and the index */
    struct pack_entry of[];
};
/* Where the index begins in a pack of so many bytes and entries, as the state's pack table tells them: read from here to the end. */
uint64_t pack_index_offset(uint64_t bytes, uint32_t entries);
/* `tail` are the pack's last bytes, from pack_index_offset() on. The index is malloc'ed. */
NODISCARD result pack_index_decode(view tail, uint64_t bytes, uint32_t entries, struct pack_index **ret_index, struct fault *fault);

/* One entry alone: where it stands in the index, and what it says. It has no checksum of its own, but the stored bytes that it leads to have. CORRUPT. */
uint64_t pack_entry_offset(uint64_t bytes, uint32_t entries, uint32_t entry);
NODISCARD result pack_entry_decode(view stored, uint64_t bytes, uint32_t entries, struct pack_entry *ret_entry, struct fault *fault);

/* Decompression contexts are kept, one to a loop. */
void *pack_unzip_new(void);
void pack_unzip_free(void *unzip);
/* Checks and unpacks; appends to `into`. CORRUPT. */
NODISCARD result pack_unpack(const struct pack_entry *e, view stored, void *unzip, buf *into, struct fault *fault);
