/*
 * tls_report: reports about TLS between mail servers (RFC 8460): the TXT record that asks for them (§3), and the JSON document (§4), read and
 * written. Counts of several documents can be added up. Pure; nothing here yields.
 *
 * Reports come from anybody: what is read is bounded, and nested no deeper than a report is.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/time.h"

enum {
    TLS_REPORT_PLACES_MAX = 8,           /* rua of one record */
    TLS_REPORT_JSON_BYTES_MAX = 4 << 20, /* of a document: ten times what large senders write */
    TLS_REPORT_DEPTH_MAX = 16,           /* §4.4 has six */
    TLS_REPORT_POLICIES_MAX = 16,        /* of one document that is gathered here; of others, what is beyond it is left out */
    TLS_REPORT_DETAILS_MAX = 64,         /* kinds of failures of one policy; what is beyond it counts in the summary alone */
    TLS_REPORT_STRINGS_MAX = 256,        /* lines of a policy, or its MX patterns */
    TLS_REPORT_TEXT_MAX = 500,           /* of any one text; longer ones are cut */
    TLS_REPORT_ARENA_BYTES = 16 << 20,   /* for reading one and adding to it: its texts twice, and arrays */
};

/* The places that a TXT record of _smtp._tls.DOMAIN asks reports to be sent to: mailto: and https: URIs, which point into the text. */
struct tls_report_record { view places[TLS_REPORT_PLACES_MAX]; size_t count; };
/* False: it is none of version TLSRPTv1, or names no place. */
bool tls_report_record_parse(view text, struct tls_report_record *ret_record);

struct tls_report_detail {               /* §4.3; empty: not said */
    view result_type, sending_ip, receiving_host, receiving_hello, receiving_ip, reason, more;
    uint64_t count;
};

struct tls_report_policy {
    view type;                           /* "tlsa", "sts", "no-policy-found" */
    view domain;
    view *strings;                       /* TLSA records, or lines of the policy */
    size_t string_count;
    view *hosts;                         /* MX patterns of STS */
    size_t host_count;
    uint64_t successes, failures;        /* connections */
    struct tls_report_detail *details;
    size_t detail_count;
};

struct tls_report {
    view organisation, contact, id;
    unix_ms begin, end;                  /* seconds count */
    struct tls_report_policy policies[TLS_REPORT_POLICIES_MAX];
    size_t policy_count;
};

void tls_report_write(buf *into, const struct tls_report *r);
/* False: it is no report; *reterr_reason says why (static). All in the arena, which has room for TLS_REPORT_ARENA_BYTES. */
bool tls_report_parse(view json, struct arena *arena, struct tls_report *ret_report, const char **reterr_reason);
/* Adds counts: to the policy that is the same, or to a new one. What is new is copied into the arena. False: no room for another. */
bool tls_report_add(struct tls_report *r, const struct tls_report_policy *policy, struct arena *arena);
