/*
 * resolver: the domain name system, with DNSSEC where a trust anchor is known (libunbound in the real face; names that a test
 * sets in the simulator).
 *
 * Answers are bounded: at most RESOLVER_RECORDS_MAX records, the rest is left out. CNAMEs have been followed. Answers are cached by the
 * library for their time to live. Any loop.
 */
#pragma once

#include "base/arena.h"
#include "base/fault.h"
#include "base/time.h"
#include "runtime/colour.h"
#include "runtime/stream.h"

struct resolver;
struct loops;

enum dns_type { DNS_A = 1, DNS_CNAME = 5, DNS_PTR = 12, DNS_MX = 15, DNS_TXT = 16, DNS_AAAA = 28, DNS_TLSA = 52 };

enum {
    RESOLVER_RECORDS_MAX = 100,          /* of one answer: five times what a sane MX set or address set has */
    RESOLVER_RECORD_BYTES_MAX = 4096,
    RESOLVER_NAME_BYTES_MAX = 253,       /* RFC 1035 §2.3.4, as text */
    RESOLVER_FLIGHT_MAX = 4096,          /* questions under way; more are UNAVAILABLE at once */
};

struct resolver_options {
    const char *servers;                 /* addresses separated by spaces, "192.0.2.1" or "127.0.0.1@5353"; NULL: /etc/resolv.conf */
    const char *trust_anchor_file;       /* of the root, or of a private zone; NULL: nothing is secure */
};
/* BLOCKS only to read files. INVALID with the reason. */
NODISCARD result resolver_new(const struct resolver_options *options, struct loops *all, struct resolver **ret_resolver, struct fault *fault);
/* No question may be under way. NULL is fine. */
BLOCKS void resolver_free(struct resolver *r);

struct dns_answer {
    bool is_secure;                      /* validated with DNSSEC, also its absence */
    bool is_bogus;                       /* of UNAVAILABLE: there was an answer, and it is forged or its signatures are broken */
    bool has_name;                       /* of NOT_FOUND: the name exists, with records of other types */
    view canonical;                      /* the name at the end of all aliases; the one that was asked for when it is none */
    view *records;                       /* wire format, without the owner */
    size_t count;
    uint32_t ttl_s;
};
/*
 * `name` is an A-label domain name without the last dot. OK: at least one record. NOT_FOUND: certainly none (*ret_answer is filled).
 * UNAVAILABLE: servers fail or the answer is bogus (*ret_answer is filled). TIMEOUT. INVALID: not a domain name.
 */
MAY_YIELD NODISCARD result resolver_ask(struct resolver *r, view name, enum dns_type type, millis deadline, struct arena *arena,
                                        struct dns_answer *ret_answer, struct fault *fault);

/* ---- what stands in records: false when it is broken ---- */

struct dns_mx { uint16_t preference; view host; };       /* host: text without the last dot; empty for the null MX (RFC 7505) */
bool dns_mx_parse(view record, struct arena *arena, struct dns_mx *ret_mx);
bool dns_address_parse(view record, enum dns_type type, struct address *ret_address);
struct dns_tlsa { uint8_t usage, selector, matching; view data; };
bool dns_tlsa_parse(view record, struct dns_tlsa *ret_tlsa);      /* data points into the record */
/* A name in wire format, uncompressed. */
bool dns_name_parse(view record, struct arena *arena, view *ret_name);
/* All strings of a TXT record put together. */
bool dns_txt_parse(view record, struct arena *arena, view *ret_text);
/* Letters, digits, hyphens, underscores in labels of 1 to 63, 253 in all. */
bool dns_name_is_valid(view name);
