/*
 * layout: what is fixed when a store is made in a cluster: into how many objects its tables and its index of names are spread. It
 * stands as text in the object "layout" among the tables; whoever opens the store reads it. A line that a reader does not know is
 * skipped; another version in the first line is refused.
 */
#pragma once

#include "engine/rados/client.h"

enum {
    RADOS_LAYOUT_MAX_BYTES = 4096,
    RADOS_SHARDS_MAX = 65536,            /* of either kind */
    RADOS_SHARDS_MIN = 4,
    RADOS_DEFAULT_TABLE_SHARDS = 256,    /* rows of one table / 200,000, above which Ceph warns of a large omap: 50 million */
    RADOS_DEFAULT_INDEX_SHARDS = 1024,   /* objects / 200,000: 200 million */
};

struct rados_layout {
    uint32_t table_shards;               /* objects to each table */
    uint32_t index_shards;               /* objects that keep the names of objects */
};

/* NOT_FOUND: no store has been made there. INVALID: not of this version, or not a layout. */
MAY_YIELD NODISCARD result rados_layout_read(struct client *c, struct rados_layout *ret_layout, millis deadline, struct fault *fault);
/* Makes the store. EXISTS: it has a layout. A shard count of 0 is the default. */
MAY_YIELD NODISCARD result rados_layout_write(struct client *c, const struct rados_layout *layout, millis deadline, struct fault *fault);
/* Reads it, making the store with defaults if there is none: the first to open it does. */
MAY_YIELD NODISCARD result rados_layout_take(struct client *c, struct rados_layout *ret_layout, millis deadline, struct fault *fault);

/* The text alone. */
NODISCARD result rados_layout_parse(view text, struct rados_layout *ret_layout, struct fault *fault);
void rados_layout_print(const struct rados_layout *layout, buf *into);
