/*
 * header_digests: what SORT and THREAD compare of messages (formats/sort_values.h), kept of those that were sorted lately, on one loop.
 *
 * Messages never change, so what was read once is right for ever. Two generations: when the younger has half of the budget, the older goes.
 */
#pragma once

#include "account/row.h"
#include "base/fault.h"
#include "base/map.h"
#include "formats/sort_values.h"
#include "runtime/colour.h"

enum { HEADER_DIGESTS_BYTES_MAX = 64 << 20 };    /* of a loop: some 300,000 messages */

struct digest;
struct header_digests {
    struct map young, old;
    size_t young_bytes;
    uint32_t generation;                 /* of the young */
    struct digest *last, *expected;      /* of the young, or NULL: the one that came last; the one that came after what was asked for last */
};

struct session;

void header_digests_done(struct header_digests *d);
/*
 * Of a message, from memory or from its header; texts are good until the arena ends or this is called again. Not OK: it cannot be read.
 */
MAY_YIELD NODISCARD result header_digest_read(struct session *s, const struct row *row, struct arena *arena, struct sort_values *ret_values,
                                              struct fault *fault);
