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

/* What the operator demands of TLS on a route. */
enum route_tls {
    ROUTE_TLS_AS_PUBLISHED,              /* what the other side publishes, or else encryption if it can be had */
    ROUTE_TLS_NEVER,
    ROUTE_TLS_REQUIRED,                  /* encryption */
    ROUTE_TLS_VERIFIED,                  /* and a certificate for the host's name, or a TLSA record that fits */
};

struct route_host {
    view name;                           /* as TLS should know it; of a literal address its text */
    view canonical;                      /* what the name is an alias of, at the end; the name itself when it is none */
    bool is_literal;                     /* no name but an address: nothing can be verified by it */
    bool is_secure;                      /* DNSSEC vouches for the addresses, through all aliases */
    uint16_t port;
    struct address addresses[ROUTE_ADDRESSES_MAX];   /* with port; IPv6 and IPv4 in turn (RFC 8305 §4) */
    size_t address_count;
};

struct route {
    struct route_host *hosts;
    size_t host_count;
    bool is_lmtp;
    bool is_fixed;                       /* the operator's, not DNS's */
    bool has_mx;                         /* hosts are from MX records */
    bool is_secure;                      /* DNSSEC vouches for the MX records, or that there are none; or the operator says so */
    view canonical;                      /* what the domain is an alias of; the domain itself when it is none */
    enum route_tls tls;
    uint32_t ttl_s;
};

/*
 * An operator's routes: "example.org=192.0.2.1:2525 *=smart.example.net:25,tls=verified old.example=lmtp:10.0.0.1:24", separated by spaces.
 * `*` is for all that have none of their own. Without a host ("example.org=,tls=required") DNS says where mail goes. tls= is never, required or
 * verified.
 */
struct route_table;
NODISCARD result route_table_parse(view text, struct arena *arena, struct route_table **ret_table, struct fault *fault);

/*
 * `domain`: A-labels, or an address literal in brackets. Names in the arena. DENIED: certainly no mail there (no such domain; null MX: fault
 * tells which; *ret_is_null_mx). UNAVAILABLE, TIMEOUT: not known now.
 */
MAY_YIELD NODISCARD result route_find(struct resolver *r, const struct route_table *table, view domain, millis deadline, struct arena *arena,
                                      struct route *ret_route, bool *ret_is_null_mx, struct fault *fault);
