/*
 * egress_row: what all nodes know of an address that mail leaves from: how much it has sent today while it is warmed up, and which destinations refuse
 * it. A row of the table `egress` for each, keyed by the address (doc/formats/directory.md).
 */
#pragma once

#include "engine/engine.h"
#include "runtime/stream.h"

#define EGRESS_TABLE VIEW("egress")
enum {
    EGRESS_BLOCKS_MAX = 200,             /* destinations that refuse one address: above it nobody takes its mail anyhow. The oldest are forgotten */
    EGRESS_SITE_BYTES_MAX = 200,         /* of the names of its servers that are kept for people */
    EGRESS_ANSWER_BYTES_MAX = 300,
};

struct egress_block {
    uint64_t site;                       /* hash of the names of its servers */
    view hosts, answer;
    unix_ms since, until;
};
struct egress_row {
    int64_t day;                         /* since 1970, in UTC */
    uint64_t sent;                       /* on that day, by all nodes */
    struct egress_block *blocks;
    size_t block_count;
};

/* What is not there is an empty row. Texts live in the arena. Rows that are broken are read as empty: they say nothing that is not learned again. */
MAY_YIELD NODISCARD result egress_row_read(struct engine *e, const struct address *a, millis deadline, struct arena *arena, struct egress_row *ret_row, struct fault *fault);
/*
 * Reads the row, has it changed, and writes it when change() says so; again from the beginning when others were faster. change() finds room for one
 * more block.
 */
MAY_YIELD NODISCARD result egress_row_change(struct engine *e, const struct address *a, bool (*change)(void *argument, struct egress_row *row), void *argument, millis deadline,
                                             struct arena *arena, struct egress_row *ret_row, struct fault *fault);
