/*
 * connection_limit: how many connections one client has open, over all loops.
 *
 * A table of counters under a keyed hash of the address (an IPv6 /64 is one client): no lock, no memory
 * per client, and now and then two clients that share a counter, which at 65,536 counters a table
 * of a few thousand connections does not notice. Any thread.
 */
#pragma once

#include <stdatomic.h>

#include "runtime/stream.h"

enum { CONNECTION_LIMIT_SLOTS = 65536 };

struct connection_limit {
    _Atomic uint16_t *slots;
    unsigned per_address_max;            /* 0: no limit */
};

void connection_limit_init(struct connection_limit *c, unsigned per_address_max);
void connection_limit_done(struct connection_limit *c);
/* False: the client has per_address_max open already. True: connection_limit_leave() is due. Local sockets always may. */
bool connection_limit_enter(struct connection_limit *c, const struct address *peer);
void connection_limit_leave(struct connection_limit *c, const struct address *peer);
