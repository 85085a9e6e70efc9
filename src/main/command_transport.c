/* command_transport: how connections to other servers are protected, and what was counted of it. */
#include "base/check.h"
#include "flow/tls_reporting.h"
#include "flow/transport.h"
#include "main/command.h"
#include "runtime/clock.h"

enum { ROUTE_ARENA_BYTES = 4 << 20, DAY_MS = 24 * 3600 * 1000 };

static json_t *text_json(view v)
{
    json_t *text = json_stringn(v.len ? v.at : "", v.len);
    return text ? text : json_string("?");
}

static json_t *buf_json(buf *text)
{
    json_t *json = text_json(buf_view(text));
    buf_done(text);
    return json;
}

/* ---- show ---- */

static const char *level_name(enum transport_level level)
{
    static const char *const names[] = {[TRANSPORT_CLEAR] = "never", [TRANSPORT_OPPORTUNISTIC] = "opportunistic", [TRANSPORT_ENCRYPTED] = "encrypted",
                                        [TRANSPORT_VERIFIED] = "verified"};
    return names[level];
}

static json_t *reasons_json(const struct transport_domain *domain, const struct transport_plan *plan)
{
    buf text = BUF_INIT;
    if (plan->dane.state == DANE_USABLE) buf_append(&text, VIEW(" DANE"));
    if (plan->dane.state == DANE_UNUSABLE) buf_append(&text, VIEW(" DANE (no usable record)"));
    if (plan->is_by_sts) buf_appendf(&text, " MTA-STS (%s)", mta_sts_mode_name(domain->sts.policy.mode));
    if (domain->route->tls != ROUTE_TLS_AS_PUBLISHED) buf_append(&text, VIEW(" route"));
    if (text.len) buf_consume(&text, 1);
    return buf_json(&text);
}

static json_t *addresses_json(const struct route_host *host)
{
    buf text = BUF_INIT;
    for (size_t i = 0; i < host->address_count; i++) {
        char one[ADDRESS_TEXT_MAX];
        if (i) buf_append_byte(&text, ' ');
        buf_append(&text, address_text(&host->addresses[i], one));
    }
    return buf_json(&text);
}

static json_t *detail_json(const struct transport_domain *domain, const struct transport_plan *plan, const struct fault *fault, struct arena *arena)
{
    buf text = BUF_INIT;
    if (fault->detail[0]) buf_append_cstr(&text, fault->detail);
    for (size_t i = 0; i < plan->dane.association_count; i++) {
        if (text.len) buf_append(&text, VIEW("; "));
        buf_append(&text, dane_text(&plan->dane, i, arena));
    }
    if (domain->sts.trouble != MTA_STS_NO_TROUBLE) buf_append(&text, text.len ? VIEW("; MTA-STS could not be fetched") : VIEW("MTA-STS could not be fetched"));
    return buf_json(&text);
}

MAY_YIELD static result show_host(struct command_call *call, const struct outbound_options *o, const struct transport_domain *domain, const struct route_host *host,
                                  struct arena *arena)
{
    struct transport_plan plan;
    struct fault fault = {0};
    (void)!transport_plan(o, domain, host, command_deadline(), arena, &plan, &fault);
    return command_row(call, json_pack("{s:o, s:i, s:o, s:b, s:s, s:o, s:o}", "host", text_json(host->name), "port", (int)host->port, "addresses", addresses_json(host), "dnssec",
                                       domain->route->is_secure && host->is_secure, "tls", fault.detail[0] ? "refused" : level_name(plan.level), "by", reasons_json(domain, &plan),
                                       "detail", detail_json(domain, &plan, &fault, arena)));
}

result command_transport_show(struct command_call *call, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ROUTE_ARENA_BYTES);
    struct route *route = arena_new_struct(arena, struct route);
    struct transport_domain domain;
    bool is_null_mx;
    if (!call->service->outbound) return fail(fault, UNAVAILABLE, "no server runs here that sends mail");
    const struct outbound_options *o = outbound_options_of(call->service->outbound);
    result code = route_find(o->resolver, o->routes, command_text(call, "domain"), command_deadline(), arena, route, &is_null_mx, fault);
    if (code == OK) code = transport_begin(o, route, command_text(call, "domain"), TRANSPORT_AS_PUBLISHED, command_deadline(), arena, &domain, fault);
    for (size_t i = 0; code == OK && i < route->host_count; i++) code = show_host(call, o, &domain, &route->hosts[i], arena);
    return code;
}

/* ---- reports ---- */

static json_t *failures_json(const struct tls_report_policy *p)
{
    buf text = BUF_INIT;
    for (size_t i = 0; i < p->detail_count; i++) {
        const struct tls_report_detail *d = &p->details[i];
        buf_appendf(&text, "%s%llu " VIEW_FMT " " VIEW_FMT, i ? "; " : "", (unsigned long long)d->count, VIEW_ARG(d->result_type), VIEW_ARG(d->receiving_host));
    }
    return buf_json(&text);
}

MAY_YIELD static result show_group(struct command_call *call, const struct tls_reports_group *g)
{
    result code = OK;
    for (size_t i = 0; code == OK && i < g->report->policy_count; i++) {
        const struct tls_report_policy *p = &g->report->policies[i];
        code = command_row(call, json_pack("{s:o, s:o, s:o, s:I, s:I, s:o}", "day", text_json(g->day), "domain", text_json(g->domain), "policy", text_json(p->type), "successes",
                                           (json_int_t)p->successes, "failures", (json_int_t)p->failures, "details", failures_json(p)));
    }
    return code;
}

result command_transport_reports(struct command_call *call, struct fault *fault)
{
    struct tls_reports_place *place = arena_new_struct(call->arena, struct tls_reports_place);
    view domain = command_text(call, "domain");
    result code = OK;
    if (call->service->outbound && outbound_options_of(call->service->outbound)->reports) tls_reports_flush(outbound_options_of(call->service->outbound)->reports);
    while (code == OK) {
        struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, TLS_REPORTS_ARENA_BYTES);
        struct tls_reports_group g;
        code = tls_reports_next(call->service->engine, place, command_deadline(), arena, &g, fault);
        if (code == OK && (domain.len == 0 || view_equal_nocase(domain, g.domain))) code = show_group(call, &g);
    }
    return code == END ? OK : code;
}

result command_transport_send_reports(struct command_call *call, struct fault *fault)
{
    uint64_t count = 0;
    unix_ms until = {clock_wall().ms - (command_has(call, "today") ? 0 : DAY_MS)};
    if (!call->service->reporting) return fail(fault, UNAVAILABLE, "no server runs here that makes reports (outbound.tls_reports)");
    result code = tls_reporting_send(call->service->reporting, tls_reports_day(until, call->arena), &count, fault);
    return code == OK ? command_row(call, json_pack("{s:I}", "domains", (json_int_t)count)) : code;
}
