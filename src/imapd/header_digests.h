/*
 * header_digests: what SORT and THREAD compare of messages (formats/sort_values.h), kept of those that were sorted lately, on one loop.
 *
 * Messages never change, so what was read once is right for ever. Two generations: when the younger has half of the budget, the older goes.
 */
#pragma once

#include "account/row.h"
#include "base/fault.h"
#include "formats/sort_values.h"
#include "runtime/colour.h"

enum { HEADER_DIGESTS_BYTES_MAX = 32 << 20 };    /* of a loop: some 200,000 messages */

struct digest;
struct digest_generation {
    char **slabs;                        /* digests, one behind the other in the order in which they came */
    size_t slab_count, used;             /* used: of the last slab */
    uint32_t *table;                     /* by message: places, from 1 on; 0: free */
    size_t capacity, count;
};
struct header_digests {
    struct digest_generation young, old;
    struct digest *expected;             /* the one behind what was asked for last: who sorts a mailbox again asks in the same order. Or NULL */
    bool expects_old;                    /* it is of the older generation */
};

struct session;

void header_digests_done(struct header_digests *d);
/* message_id of a message that will be asked for a few calls from now if the order is that of the last time; 0: not known. */
uint64_t header_digests_coming(const struct header_digests *d);
/*
 * Of a message, from memory or from its header; texts are good until the arena ends or this is called again. Not OK: it cannot be read.
 */
MAY_YIELD NODISCARD result header_digest_read(struct session *s, const struct row *row, struct arena *arena, struct sort_values *ret_values,
                                              struct fault *fault);
