/*
 * row: one message in one mailbox, as replay computes it.
 *
 * 64 bytes, kept in blocks in order of UID (block.h), which take half of that where there are very many. Rows are values: whoever reads one
 * copies it and may keep the copy over a yield; the mailbox goes on changing.
 */
#pragma once

#include "base/id.h"
#include "base/time.h"

/* Flags: system flags below bit 8, the mailbox's keywords from bit 8 on (mailbox_keyword()). */
#define ROW_SEEN      ((uint64_t)1 << 0)
#define ROW_ANSWERED  ((uint64_t)1 << 1)
#define ROW_FLAGGED   ((uint64_t)1 << 2)
#define ROW_DELETED   ((uint64_t)1 << 3)
#define ROW_DRAFT     ((uint64_t)1 << 4)
#define ROW_SYSTEM_FLAGS ((uint64_t)0x1f)
enum { ROW_KEYWORD_BIT = 8, ROW_KEYWORDS_MAX = 56, ROW_KEYWORD_BYTES_MAX = 100 };

/* Where the bytes are. */
#define ROW_IN_JOURNAL UINT32_MAX            /* row.entry: sequence number of the record (its low 32 bits), see state_body() */
#define ROW_ALONE (UINT32_MAX - 1)           /* an object of its own, named by the message id and row.entry: the second (written.ms / 1000) of the record that brought it */
                                             /* else row.pack indexes the state's packs, row.entry the pack's entries */
struct row {
    uint32_t uid;
    uint32_t size_bytes;                     /* RFC822.SIZE; a message has at most 2^32-1 bytes, limits are far lower */
    uint64_t flags;
    uint64_t modseq;                         /* sequence number of the record that last changed it */
    unix_ms internal_date;
    unix_ms save_date;
    struct id message;                       /* the message's id: the same in copies (EMAILID, RFC 8474) */
    uint32_t pack, entry;
};
