/*
 * tls_reporting: the daily reports about TLS to other domains (RFC 8460 §5): made of what all nodes have counted, sent as mail by the queue, or by
 * HTTPS where that is asked for. One node does it, whoever has the lease; a report that was sent is removed from the table.
 */
#pragma once

#include "flow/queue.h"
#include "runtime/http.h"
#include "runtime/resolver.h"
#include "trust/tls_reports.h"

struct signing;

struct tls_reporting_options {
    struct queue *queue;
    struct resolver *resolver;
    struct http *http;                   /* NULL: only by mail */
    struct tls_reports *reports;
    struct signing *signing;             /* NULL: reports leave unsigned, and many do not take them (§3 wants DKIM) */
    view server_name;
    view from;                           /* mailbox in From, and who answers for the reports */
};
struct tls_reporting;

/* Begins on the calling loop; the options are copied, what they point to lives longer. */
struct tls_reporting *tls_reporting_start(const struct tls_reporting_options *options, struct engine *e);
/* From the same loop. NULL is fine. */
MAY_YIELD void tls_reporting_stop(struct tls_reporting *r);
/* Sends what is due; `until` is the last day that is sent ("2026-02-01"), today's included where it is. *ret_count: domains that were told. */
MAY_YIELD NODISCARD result tls_reporting_send(struct tls_reporting *r, view until, uint64_t *ret_count, struct fault *fault);
