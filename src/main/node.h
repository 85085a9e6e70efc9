/*
 * node: the server as a member of its cluster: its row in the registry, the level it writes at, and draining.
 *
 * A drained node closes its doors (listeners of mail; metrics and the control socket stay), says 503 on /readyz, ends its sessions a
 * few at a time, the oldest first, and opens the doors again when the order is undone.
 */
#pragma once

#include "main/service.h"

struct node;

/* What the server does when it is told. On the loop that joined. */
struct node_doors {
    unsigned (*sessions)(void *argument);
    MAY_YIELD void (*close)(void *argument);
    MAY_YIELD result (*open)(void *argument, struct fault *fault);
    void (*dismiss)(void *argument, unsigned permille);
    void (*stop)(void *argument);              /* the cluster has left this program behind */
    void *argument;
};

/* The loop that calls is the node's. Doors of a node that is drained already are closed when this returns. */
MAY_YIELD NODISCARD result node_join(struct service *s, const struct node_doors *doors, struct node **ret_node, struct fault *fault);
/* Before anything else ends. NULL is fine. */
MAY_YIELD void node_leave(struct node *n);
/* Looks for orders now and not at the next refresh. Any loop. */
void node_look(struct node *n);
bool node_drains(const struct node *n);
