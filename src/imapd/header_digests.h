/*
 * header_digests: what SORT and THREAD compare of messages (formats/sort_values.h), from memory (digest_columns.h) or from their headers.
 *
 * A command reads with a reader of its own, in the order of UIDs. What it read of headers is kept for the next, as long as there is room.
 */
#pragma once

#include "account/row.h"
#include "base/arena.h"
#include "base/fault.h"
#include "formats/sort_values.h"
#include "imapd/digest_columns.h"
#include "runtime/colour.h"

enum { DIGEST_KINDS = 8 };                   /* one for each of enum sort_need */

struct session;

struct digest_reader {
    struct session *s;
    unsigned needs;                          /* of enum sort_need */
    uint64_t command;
    uint32_t block;                          /* that stands in the parts */
    bool has_block;
    struct arena *arena;                     /* of one message */
    buf value;                               /* one that is being written */
    struct digest_block parts[DIGEST_KINDS];
    uint64_t references[SORT_REFERENCES_MAX];    /* of the message that was read last */
};

void digest_reader_init(struct digest_reader *r, struct session *s, unsigned needs);
/* Keeps what was read. */
void digest_reader_done(struct digest_reader *r);
/*
 * Of a message; texts and references are good until this is called again. Not OK: it cannot be read, and the values are those of one
 * without fields.
 */
MAY_YIELD NODISCARD result digest_reader_read(struct digest_reader *r, const struct row *row, struct sort_values *ret_values, struct fault *fault);
/* message_id of a message that will be asked for a few calls from now, if it is known; 0: not. */
uint64_t digest_reader_coming(const struct digest_reader *r);
