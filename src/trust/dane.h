/*
 * dane: which certificates the domain name system lets a mail server have (RFC 6698, RFC 7671, and RFC 7672 for SMTP).
 *
 * A TLSA record is a promise only when DNSSEC vouches for it and for the addresses of the server; then the server must speak TLS, and one of
 * the records must fit. Of the records those of usages DANE-TA(2) and DANE-EE(3) are for SMTP (RFC 7672 §3.1.3); a set in which none can be
 * used still says that the server speaks TLS. Any loop.
 */
#pragma once

#include "base/arena.h"
#include "runtime/resolver.h"
#include "runtime/tls.h"

/* A server as the address lookup found it. */
struct dane_host {
    view name;                           /* as the MX record or the operator's route has it */
    view canonical;                      /* what it is an alias of; the name itself when it is none */
    bool is_secure;                      /* its addresses, through all aliases */
    uint16_t port;
};

enum dane_state {
    DANE_NONE,                           /* nothing is promised */
    DANE_UNUSABLE,                       /* TLS is, and no certificate (RFC 7672 §2.2) */
    DANE_USABLE,
};

struct dane {
    enum dane_state state;
    bool is_bogus;                       /* of UNAVAILABLE: the answer was forged or its signatures are broken */
    view base;                           /* the TLSA base domain: the name in SNI, and the first that a DANE-TA certificate may have */
    uint16_t port;
    struct tls_association *associations;
    size_t association_count;
};

/*
 * OK: *ret_dane is filled; memory in the arena. UNAVAILABLE, TIMEOUT: it cannot be found out, so this server must not be used now
 * (RFC 7672 §2.1.1); ret_dane->is_bogus is set. CANCELLED.
 */
MAY_YIELD NODISCARD result dane_find(struct resolver *r, const struct dane_host *host, millis deadline, struct arena *arena, struct dane *ret_dane,
                                     struct fault *fault);
/* Whether a record is one that SMTP clients use: usage, selector, matching type, and data that can be what they say. Pure. */
bool dane_is_usable(const struct dns_tlsa *record);
/* "_25._tcp.mx.example.org. IN TLSA 3 1 1 0D6F..." of one of them, as TLS reports have it (RFC 8460 §4.5). */
view dane_text(const struct dane *d, size_t index, struct arena *arena);
