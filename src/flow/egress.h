/*
 * egress: the addresses that mail leaves from, in pools.
 *
 * A pool has IPv4 and IPv6 addresses, each with the name that it says in EHLO, and says whose mail it is for: tenants, standings of
 * accounts, kinds of messages. The first pool that is for a message takes it, so that one abused account does not spoil the
 * addresses of all. An address that is new takes so many messages in its first day of sending, twice as many in each further one.
 *
 * Pools are read alone; what an address has sent and where it is blocked is in the store (egress_ledger.h).
 */
#pragma once

#include "flow/queue_record.h"
#include "runtime/stream.h"

enum { EGRESS_POOLS_MAX = 32, EGRESS_ADDRESSES_MAX = 64, EGRESS_NONE = -1 };

struct egress_address {
    struct address address;
    view hello;
    unix_ms warm_from;                   /* 0: it is as good as it gets */
    uint64_t warm_first;                 /* messages of that first day, of the whole cluster */
};

struct egress_pool {
    view name;
    struct egress_address *addresses;
    size_t address_count;
    view *tenants;                       /* none: all */
    size_t tenant_count;
    unsigned standings, classes;         /* 1 << enum queue_standing, queue_class; 0: all */
};

struct egress {
    const struct egress_pool *pools;
    size_t pool_count;
};

/* The index of the first pool that is for such a message; EGRESS_NONE. */
int egress_pool_of(const struct egress *e, view tenant, enum queue_class class, enum queue_standing standing);
/* Messages that the address may send at this time of its life in a day of the cluster; UINT64_MAX: any. */
uint64_t egress_day_limit(const struct egress_address *a, unix_ms now);

struct resolver;
/*
 * Looks at every address: its name in DNS (PTR) leads back to it, and the name that it says leads to it (RFC 8601 §2.7.3). Tells what is not so by
 * events and the gauge; returns how many are not.
 */
MAY_YIELD unsigned egress_check(const struct egress *e, struct resolver *r);
