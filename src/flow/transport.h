/*
 * transport: how a connection to another server must be protected.
 *
 * What the other side publishes (DANE, RFC 7672; MTA-STS, RFC 8461, where DANE says nothing), what the sender of a message wishes (RFC 8689)
 * and what the operator's routes say, put together for each host of a route. A host that does not give what is demanded gets no mail, and
 * there is no way back to the clear: the mail goes to the next host, or waits.
 */
#pragma once

#include "flow/outbound.h"
#include "flow/smtp_client.h"
#include "runtime/tls.h"
#include "trust/dane.h"
#include "trust/mta_sts.h"
#include "trust/tls_reports.h"

/* Of a message. Messages of one connection have the same. */
enum transport_wish {
    TRANSPORT_AS_PUBLISHED,              /* what the other side asks for */
    TRANSPORT_REQUIRED,                  /* REQUIRETLS: encrypted and verified at every step, or not at all */
    TRANSPORT_OPTIONAL,                  /* TLS-Required: No: delivered whatever the other side publishes */
};
/* `flags`: enum queue_flag. */
enum transport_wish transport_wish_of(unsigned flags, view sender);
/* The header of a message has TLS-Required: No (RFC 8689 §3). */
bool transport_header_makes_tls_optional(view header);
/* "REQUIRETLS", "TLS-Required: No"; empty for the usual. Static. */
const char *transport_wish_name(enum transport_wish wish);

enum transport_level {
    TRANSPORT_CLEAR,                     /* no TLS */
    TRANSPORT_OPPORTUNISTIC,             /* TLS if it can be had; nothing is verified */
    TRANSPORT_ENCRYPTED,                 /* TLS; nothing is verified */
    TRANSPORT_VERIFIED,
};

/* What is known before the first host is looked at. */
struct transport_domain {
    const struct route *route;
    view name;                           /* as in route_find() */
    enum transport_wish wish;
    struct mta_sts_found sts;
    bool wants_reports;                  /* there is a record at _smtp._tls (RFC 8460 §3), and reports are made here */
};

/* For one host. */
struct transport_plan {
    enum transport_level level;
    struct tls_demand demand;
    bool needs_requiretls;               /* the server must offer it */
    bool is_by_sts, is_outside_sts;      /* MTA-STS has a say in it; and the host is none of its policy */
    struct dane dane;
};

/* OK, or why it cannot be found out now. The route and the name must live as long as *ret_domain; memory in the arena. */
MAY_YIELD NODISCARD result transport_begin(const struct outbound_options *o, const struct route *route, view name, enum transport_wish wish, millis deadline,
                                           struct arena *arena, struct transport_domain *ret_domain, struct fault *fault);
/*
 * OK. DENIED: this host must not have such mail, and waiting will hardly change that. UNAVAILABLE, TIMEOUT: it cannot be found out now. *ret_plan
 * is filled in any case, as far as it is known; its memory is the arena's.
 */
MAY_YIELD NODISCARD result transport_plan(const struct outbound_options *o, const struct transport_domain *domain, const struct route_host *host,
                                          millis deadline, struct arena *arena, struct transport_plan *ret_plan, struct fault *fault);
/* A connection made by the one is what the other asks for, to the last detail: nothing of it would be looked at in another way. */
bool transport_plan_equal(const struct transport_plan *a, const struct transport_plan *b);
/* What the plan means for the SMTP client; the plan must live as long. */
void transport_apply(const struct transport_plan *plan, const struct outbound_options *o, struct smtp_client_options *options);
/* After smtp_client_open(). DENIED: the server does not offer what is needed. */
NODISCARD result transport_check(const struct transport_plan *plan, const struct smtp_client *c, struct fault *fault);
/* Where a domain wants reports (RFC 8460 §3): OK, or NOT_FOUND and others when it does not say so. Views in the arena. */
MAY_YIELD NODISCARD result transport_ask_reports(struct resolver *r, view domain, millis deadline, struct arena *arena, struct tls_report_record *ret_record);
/* What is told of one connection, or of a host that was not connected to. */
struct transport_outcome {
    const struct transport_domain *domain;
    const struct transport_plan *plan;
    result planned;                      /* of transport_plan() */
    view host;
    const struct address *from, *to;     /* NULL: not connected */
    const struct smtp_client *client;    /* NULL: not connected */
    const struct fault *fault;           /* of what failed */
};
/* Adds it to what reports will say, where the domain wants some. */
void transport_tell(const struct outbound_options *o, const struct transport_outcome *outcome);
/* The client failed to open, and the plan has it that the same server may be asked again without TLS. */
bool transport_may_retry_clear(const struct transport_plan *plan, const struct smtp_client *c);
/* The client failed to open because of what the server's TLS is, not because the connection broke. */
bool transport_is_policy_failure(const struct smtp_client *c);
