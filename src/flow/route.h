/*
 * route: which servers take mail for a domain (RFC 5321 §5, RFC 7505, RFC 3974).
 *
 * MX hosts in the order of preference, those of equal preference in random order; without an MX record the domain itself. An
 * operator's route for the domain, or for all, goes before DNS. Hostile DNS is bounded: so many hosts, so many addresses. Any loop.
 */
#pragma once

#include "base/arena.h"
#include "runtime/resolver.h"

enum {
    ROUTE_HOSTS_MAX = 10,                /* more MX hosts are not looked at */
    ROUTE_ADDRESSES_MAX = 8,             /* of one host */
    ROUTE_TTL_MIN_S = 60, ROUTE_TTL_MAX_S = 3600,
};

struct route_host {
    view name;                           /* as TLS should know it; of a literal address its text */
    struct address addresses[ROUTE_ADDRESSES_MAX];   /* with port; IPv6 and IPv4 in turn (RFC 8305 §4) */
    size_t address_count;
};

struct route {
    struct route_host *hosts;
    size_t host_count;
    bool is_lmtp;
    uint32_t ttl_s;
};

/*
 * An operator's routes: "example.org=192.0.2.1:2525 *=smart.example.net:25 old.example=lmtp:10.0.0.1:24", separated by spaces. `*` is for
 * all that have none of their own.
 */
struct route_table;
NODISCARD result route_table_parse(view text, struct arena *arena, struct route_table **ret_table, struct fault *fault);

/*
 * `domain`: A-labels, or an address literal in brackets. Names in the arena. DENIED: certainly no mail there (no such domain; null MX: fault
 * tells which; *ret_is_null_mx). UNAVAILABLE, TIMEOUT: not known now.
 */
MAY_YIELD NODISCARD result route_find(struct resolver *r, const struct route_table *table, view domain, millis deadline, struct arena *arena,
                                      struct route *ret_route, bool *ret_is_null_mx, struct fault *fault);
