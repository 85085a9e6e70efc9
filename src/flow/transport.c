#include "flow/transport.h"

#include "flow/queue_record.h"
#include "formats/header.h"

/* ---- wishes ---- */

enum transport_wish transport_wish_of(unsigned flags, view sender)
{
    /* RFC 8689 §5: a notice is not lost because the way back offers less; it says REQUIRETLS where it can. */
    if (flags & QUEUE_REQUIRES_TLS) return sender.len ? TRANSPORT_REQUIRED : TRANSPORT_AS_PUBLISHED;
    return flags & QUEUE_TLS_IS_OPTIONAL ? TRANSPORT_OPTIONAL : TRANSPORT_AS_PUBLISHED;
}

bool transport_header_makes_tls_optional(view header)
{
    struct header_field field;
    return header_find(header, VIEW("TLS-Required"), &field) && view_equal_nocase(view_trim(field.value), VIEW("No"));
}

const char *transport_wish_name(enum transport_wish wish)
{
    return wish == TRANSPORT_REQUIRED ? "REQUIRETLS" : wish == TRANSPORT_OPTIONAL ? "TLS-Required: No" : "";
}

/* ---- what is demanded of a host ---- */

struct planning {
    const struct outbound_options *options;
    const struct transport_domain *domain;
    const struct route *route;
    const struct route_host *host;
    struct transport_plan *plan;
};

static void add_name(struct tls_demand *d, view name)
{
    for (size_t i = 0; i < d->name_count; i++)
        if (view_equal_nocase(d->names[i], name)) return;
    if (name.len && d->name_count < TLS_NAMES_MAX) d->names[d->name_count++] = name;
}

static void raise_to(struct transport_plan *plan, enum transport_level level)
{
    if (plan->level < level) plan->level = level;
}

/* A trusted certificate for the host's name. What DANE demands already is not less. */
static void demand_name(struct planning *p)
{
    raise_to(p->plan, TRANSPORT_VERIFIED);
    p->plan->demand.is_reported_only = false;
    if (p->plan->demand.check != TLS_CHECK_NOTHING) return;
    p->plan->demand.check = TLS_CHECK_NAME;
    add_name(&p->plan->demand, p->host->name);
}

/* RFC 7672 §3.2.2: names that a certificate under a trust anchor of the domain's may have. */
static void demand_dane(struct planning *p)
{
    struct transport_plan *plan = p->plan;
    struct tls_demand *d = &plan->demand;
    if (plan->dane.state == DANE_NONE) return;
    raise_to(plan, plan->dane.state == DANE_USABLE ? TRANSPORT_VERIFIED : TRANSPORT_ENCRYPTED);
    if (plan->dane.state == DANE_UNUSABLE) return;
    d->check = TLS_CHECK_DANE;
    d->server_name = plan->dane.base;
    d->associations = plan->dane.associations;
    d->association_count = plan->dane.association_count;
    add_name(d, plan->dane.base);
    if (p->route->is_fixed || !p->route->is_secure) return;
    add_name(d, p->domain->name);
    add_name(d, p->route->canonical);
}

/* Whether what the other side publishes counts. */
static bool is_asked(const struct outbound_options *o, const struct route *route, enum transport_wish wish)
{
    return wish != TRANSPORT_OPTIONAL && route->tls != ROUTE_TLS_NEVER && !route->is_lmtp && o->tls;
}

MAY_YIELD static result ask_dane(struct planning *p, millis deadline, struct arena *arena, struct fault *fault)
{
    struct dane_host host = {.name = p->host->name, .canonical = p->host->canonical, .is_secure = p->host->is_secure, .port = p->host->port};
    return dane_find(p->options->resolver, &host, deadline, arena, &p->plan->dane, fault);
}

/*
 * RFC 8461 §4.1, §5. Where DNSSEC vouches for the MX records and the certificate is DANE's, nothing is left for it to say; where it vouches for the
 * host alone, the name of the host still has to be one of the policy's.
 */
static result demand_sts(struct planning *p, struct fault *fault)
{
    const struct mta_sts_found *sts = &p->domain->sts;
    struct transport_plan *plan = p->plan;
    bool is_enforced = sts->policy.mode == MTA_STS_ENFORCE;
    if (!sts->has_policy || sts->policy.mode == MTA_STS_NONE || (plan->dane.state == DANE_USABLE && p->route->is_secure)) return OK;
    plan->is_by_sts = true;
    plan->is_outside_sts = !mta_sts_allows(&sts->policy, p->host->name);
    if (plan->is_outside_sts && is_enforced) return fail(fault, DENIED, "MTA-STS: " VIEW_FMT " is not in the policy of the domain", VIEW_ARG(p->host->name));
    if (is_enforced) {
        demand_name(p);
    } else if (plan->demand.check == TLS_CHECK_NOTHING) {
        /* Looked at, and told in reports. */
        plan->demand.check = TLS_CHECK_NAME;
        plan->demand.is_reported_only = true;
        add_name(&plan->demand, p->host->name);
    }
    return OK;
}

/* RFC 8689 §4.2.1: the name that is verified must be one that nobody else could have put there. */
static result demand_requiretls(struct planning *p, struct fault *fault)
{
    bool is_vouched_for = p->plan->is_by_sts && !p->plan->is_outside_sts;
    p->plan->needs_requiretls = true;
    if (p->route->tls == ROUTE_TLS_NEVER || !p->options->tls) return fail(fault, DENIED, "the message requires TLS, and its route has none");
    if (p->host->is_literal) return fail(fault, DENIED, "the message requires TLS, and an address has no name that can be verified");
    if (p->route->has_mx && !p->route->is_secure && !is_vouched_for)
        return fail(fault, DENIED, "the message requires TLS, and neither DNSSEC nor MTA-STS vouches for the servers of " VIEW_FMT, VIEW_ARG(p->domain->name));
    demand_name(p);
    return OK;
}

static result demand_operators(struct planning *p, struct fault *fault)
{
    if (p->route->tls == ROUTE_TLS_NEVER) p->plan->level = TRANSPORT_CLEAR;
    if (p->route->tls == ROUTE_TLS_REQUIRED) raise_to(p->plan, TRANSPORT_ENCRYPTED);
    if (p->route->tls == ROUTE_TLS_VERIFIED && p->host->is_literal) return fail(fault, DENIED, "the route wants a verified server, and an address has no name");
    if (p->route->tls == ROUTE_TLS_VERIFIED) demand_name(p);
    return OK;
}

/* CANCELLED alone is an error: nobody waits for a report. */
MAY_YIELD static result ask_reports(const struct outbound_options *o, view name, millis deadline, struct arena *arena, bool *ret_wants)
{
    struct tls_report_record record;
    result code = transport_ask_reports(o->resolver, name, deadline, arena, &record);
    *ret_wants = code == OK;
    return code == CANCELLED ? CANCELLED : OK;
}

result transport_begin(const struct outbound_options *o, const struct route *route, view name, enum transport_wish wish, millis deadline, struct arena *arena,
                       struct transport_domain *ret_domain, struct fault *fault)
{
    struct transport_domain domain = {.route = route, .name = name, .wish = wish};
    result code = OK;
    if (o->sts && !route->is_fixed && is_asked(o, route, wish)) code = mta_sts_find(o->sts, name, deadline, arena, &domain.sts, fault);
    if (code == OK && o->reports && !route->is_fixed && is_asked(o, route, wish)) code = ask_reports(o, name, deadline, arena, &domain.wants_reports);
    if (code == OK) *ret_domain = domain;
    return code;
}

result transport_plan(const struct outbound_options *o, const struct transport_domain *domain, const struct route_host *host, millis deadline,
                      struct arena *arena, struct transport_plan *ret_plan, struct fault *fault)
{
    const struct route *route = domain->route;
    struct transport_plan plan = {.level = o->tls ? TRANSPORT_OPPORTUNISTIC : TRANSPORT_CLEAR};
    struct planning p = {.options = o, .domain = domain, .route = route, .host = host, .plan = &plan};
    result code = OK;
    if (!host->is_literal) plan.demand.server_name = host->name;
    if (is_asked(o, route, domain->wish) && !host->is_literal) code = ask_dane(&p, deadline, arena, fault);
    if (code == OK) {
        demand_dane(&p);
        code = demand_sts(&p, fault);
    }
    if (code == OK) code = demand_operators(&p, fault);
    if (code == OK && domain->wish == TRANSPORT_REQUIRED) code = demand_requiretls(&p, fault);
    *ret_plan = plan;
    return code;
}

/* ---- the same again ---- */

static bool association_equal(const struct tls_association *a, const struct tls_association *b)
{
    return a->usage == b->usage && a->selector == b->selector && a->matching == b->matching && view_equal(a->data, b->data);
}

/* In the same order: who asks in another one gets a connection of its own. */
static bool demand_equal(const struct tls_demand *a, const struct tls_demand *b)
{
    if (a->check != b->check || a->is_reported_only != b->is_reported_only || !view_equal_nocase(a->server_name, b->server_name)) return false;
    if (a->name_count != b->name_count || a->association_count != b->association_count) return false;
    for (size_t i = 0; i < a->name_count; i++)
        if (!view_equal_nocase(a->names[i], b->names[i])) return false;
    for (size_t i = 0; i < a->association_count; i++)
        if (!association_equal(&a->associations[i], &b->associations[i])) return false;
    return true;
}

bool transport_plan_equal(const struct transport_plan *a, const struct transport_plan *b)
{
    return a->level == b->level && a->needs_requiretls == b->needs_requiretls && a->is_by_sts == b->is_by_sts && a->is_outside_sts == b->is_outside_sts &&
           a->dane.state == b->dane.state && demand_equal(&a->demand, &b->demand);
}

/* ---- the connection ---- */

void transport_apply(const struct transport_plan *plan, const struct outbound_options *o, struct smtp_client_options *options)
{
    options->tls = plan->level == TRANSPORT_CLEAR ? NULL : o->tls;
    options->tls_is_required = plan->level >= TRANSPORT_ENCRYPTED;
    options->demand = &plan->demand;
}

result transport_check(const struct transport_plan *plan, const struct smtp_client *c, struct fault *fault)
{
    if (plan->needs_requiretls && !c->offer.requiretls) return fail(fault, DENIED, "the message requires TLS, and the server does not offer REQUIRETLS");
    return OK;
}

bool transport_may_retry_clear(const struct transport_plan *plan, const struct smtp_client *c)
{
    return plan->level == TRANSPORT_OPPORTUNISTIC && c->tls == SMTP_CLIENT_TLS_FAILED;
}

bool transport_is_policy_failure(const struct smtp_client *c)
{
    return c->tls == SMTP_CLIENT_TLS_NOT_OFFERED || c->tls == SMTP_CLIENT_TLS_REFUSED || c->flaw != TLS_FLAW_NONE;
}
