/* cluster/private: what the files of this room share. */
#pragma once

#include <jansson.h>

#include "cluster/cluster.h"

#define TABLE_NODES VIEW("nodes")
#define TABLE_CLUSTER VIEW("cluster")
#define KEY_LEVEL VIEW("level")

void cluster_json_done(json_t **object);
/* The row as JSON; the caller owns it. NOT_FOUND without a fault. */
MAY_YIELD NODISCARD result cluster_row_read(struct engine *e, view table, view key, millis deadline, json_t **ret_row, struct fault *fault);
/* NULL removes. `expected` not NULL: only if the row is exactly that text (empty: absent). */
MAY_YIELD NODISCARD result cluster_row_write(struct engine *e, view table, view key, const json_t *row, const view *expected, millis deadline, struct fault *fault);
view cluster_json_text(const json_t *row, const char *key, struct arena *arena);
uint64_t cluster_json_number(const json_t *row, const char *key);
json_t *cluster_json_of(view text);
/* The key of an order to drain a node. */
view cluster_drain_key(view node, struct arena *arena);
/* A row of the table `nodes`; CORRUPT when it is not one. */
NODISCARD result cluster_node_parse(view name, view json, struct arena *arena, struct cluster_node *ret_node, struct fault *fault);
json_t *cluster_node_row(const struct cluster_node *n);
