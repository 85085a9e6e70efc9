/*
 * cluster: the nodes that share a store, and what they agree on.
 *
 * A node that serves is a row in the table `nodes`, written anew every CLUSTER_REFRESH_MS, and holds a lease on its name. Orders to a
 * node (drain) and the feature level are rows of the table `cluster`, which each node reads as often. Rows: doc/formats/cluster.md.
 *
 * Times in rows are wall clock: nodes keep their clocks by NTP; an error of seconds makes a node look gone too early or too late and
 * nothing worse, and is told (NODE_CLOCKS_DIFFER). The same works on every engine; on one machine the cluster has one node.
 */
#pragma once

#include "base/feature.h"
#include "engine/engine.h"

enum {
    CLUSTER_NAME_BYTES_MAX = 63,
    CLUSTER_REFRESH_MS = 3000,
    CLUSTER_LEASE_MS = 12000,
    CLUSTER_GONE_MS = 12000,           /* not seen for so long: gone */
    CLUSTER_FORGET_MS = 600000,        /* gone for so long: the row is removed by others */
    CLUSTER_CLOCKS_DIFFER_MS = 2000,   /* more is told: NTP keeps a hundredth of it */
    CLUSTER_LEVEL_WAIT_MS = 15000,     /* from a raise until the new level is written at: every node has heard of it, or stopped */
    CLUSTER_NODES_MAX = 10000,
};

struct cluster_load {
    uint64_t sessions, accounts;                  /* open; kept in memory */
    uint64_t operations, slow_operations;         /* of the store, under way; and of those, such as take longer than they should */
    uint64_t pressure;                            /* 0: none; engine/pressure.h */
    uint64_t leases;                              /* held, the node's own included */
};

struct cluster_node {
    view name, version, roles, addresses;         /* lists with commas */
    struct id id;                                 /* of the folder that the node keeps its own few files in */
    unsigned level_max;
    unix_ms started, seen;
    bool is_gone;
    enum { NODE_SERVING, NODE_DRAINING, NODE_DRAINED } state;
    struct cluster_load load;
};
const char *cluster_state_name(const struct cluster_node *n);

/* ---- asking and ordering: any coroutine, member or not ---- */

/* All rows, those of nodes that are gone too, in order of names. */
MAY_YIELD NODISCARD result cluster_nodes(struct engine *e, millis deadline, struct arena *arena, struct cluster_node **ret_nodes, size_t *ret_count,
                                         struct fault *fault);

struct cluster_level { unsigned level, written_level; unix_ms written_from; };    /* written_level: what may be written now */
/*
 * The level of a store that is opened. A store that has none yet gets one: FEATURE_LEVEL_MAX when it is new, else the first. INVALID with a
 * text for the operator when this program does not understand it.
 */
MAY_YIELD NODISCARD result cluster_open_level(struct engine *e, bool is_new, millis deadline, struct cluster_level *ret_level, struct fault *fault);
MAY_YIELD NODISCARD result cluster_read_level(struct engine *e, millis deadline, struct cluster_level *ret_level, struct fault *fault);
/* To `level` (0: the highest that all nodes know). BUSY: a node in the registry does not know it; the fault names it. EXISTS: it is that already. */
MAY_YIELD NODISCARD result cluster_raise_level(struct engine *e, unsigned level, millis deadline, unsigned *ret_level, struct fault *fault);

/* over_ms < 0: as the node's configuration says. NOT_FOUND: no such node. Stands until it is undone, also over a restart of the node. */
MAY_YIELD NODISCARD result cluster_drain(struct engine *e, view node, int64_t over_ms, millis deadline, struct fault *fault);
MAY_YIELD NODISCARD result cluster_undrain(struct engine *e, view node, millis deadline, struct fault *fault);
/* Removes the row of a node that is gone. BUSY: it is not. */
MAY_YIELD NODISCARD result cluster_forget(struct engine *e, view node, millis deadline, struct fault *fault);

/* ---- being a member ---- */

struct cluster;

struct cluster_options {
    view name, version, roles, addresses;
    struct id id;
    unsigned level_max;                           /* 0: FEATURE_LEVEL_MAX */
    /* Called in the member's own coroutine on the loop that joined. They do not yield. */
    void (*load)(void *argument, struct cluster_load *ret_load);
    void (*level_changed)(void *argument, unsigned written_level);
    void (*drain_changed)(void *argument, bool drains, int64_t over_ms);
    void (*outdated)(void *argument, const struct fault *fault);     /* the cluster's level is above ours: stop */
    void *argument;
};
/*
 * Writes the row, takes the lease on the name, reads level and orders (their hooks are called before it returns) and goes on doing so.
 * BUSY: another node of this name is alive; a node that died keeps its name for CLUSTER_LEASE_MS, which this waits for.
 */
MAY_YIELD NODISCARD result cluster_join(struct engine *e, const struct cluster_options *options, millis deadline, struct cluster **ret_cluster, struct fault *fault);
/* Looks for orders now. On the loop that joined. */
void cluster_look(struct cluster *c);
/* Removes row and lease. On the loop that joined. */
MAY_YIELD void cluster_leave(struct cluster *c);
