/*
 * connection_limit: how many connections one client, or one account, has open, over all loops.
 *
 * A table of counters under a keyed hash of the address (an IPv6 /64 is one client) or of the account's id: no lock, no memory
 * per client, and now and then two that share a counter, which at 65,536 counters a table of some ten thousand connections
 * does not notice while the limit is well above what one client uses. Any thread.
 */
#pragma once

#include <stdatomic.h>

#include "base/id.h"
#include "runtime/stream.h"

enum { CONNECTION_LIMIT_SLOTS = 65536, CONNECTION_LIMIT_MAX = UINT16_MAX };

struct connection_limit {
    _Atomic uint16_t *slots;             /* NULL: no limit */
    unsigned max;
};

/* `max` 0: no limit; at most CONNECTION_LIMIT_MAX. */
void connection_limit_init(struct connection_limit *c, unsigned max);
void connection_limit_done(struct connection_limit *c);
/* False: the client has `max` open already. True: connection_limit_leave() is due. Local sockets always may. */
bool connection_limit_enter(struct connection_limit *c, const struct address *peer);
void connection_limit_leave(struct connection_limit *c, const struct address *peer);
/* The same by account. */
bool connection_limit_enter_account(struct connection_limit *c, struct id account);
void connection_limit_leave_account(struct connection_limit *c, struct id account);
