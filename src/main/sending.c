#include "main/sending.h"

#include "runtime/clock.h"
#include "flow/tls_reporting.h"
#include "runtime/http.h"
#include "runtime/tls.h"
#include "runtime/workers.h"
#include "trust/mta_sts.h"

enum { STOP_TIMEOUT_MS = 30000, ARENA_BYTES = 16 << 20 };

struct making {
    struct sending *sending;
    const struct config *config;
    struct fault *fault;
    result code;
};

BLOCKS static void make(void *argument)
{
    struct making *m = argument;
    const struct config *c = m->config;
    const struct http_options https = {.authorities_file = *c->outbound_authorities ? c->outbound_authorities : NULL};
    m->code = http_new(&https, &m->sending->http, m->fault);
    if (m->code == OK) m->code = tls_context_new_client(&m->sending->tls, m->fault);
    if (m->code == OK) m->code = tls_context_trust(m->sending->tls, *c->outbound_authorities ? c->outbound_authorities : NULL, m->fault);
}

static void start_reporting(struct sending *s, struct service *service)
{
    const struct config *c = service->config;
    view from = *c->outbound_tls_report_from ? view_of(c->outbound_tls_report_from) : arena_printf(s->arena, "postmaster@%s", c->server_name);
    struct tls_reporting_options o = {.queue = service->queue, .resolver = service->resolver, .http = s->http, .reports = s->reports, .signing = service->signing,
                                      .server_name = view_of(c->server_name), .from = from};
    if (s->reports) s->reporting = tls_reporting_start(&o, service->engine);
    service->reporting = s->reporting;
}

BLOCKS static void unmake(void *argument)
{
    struct sending *s = argument;
    http_free(s->http);
}

static result read_source(const char *text, uint8_t family, struct address *ret_address, const struct address **ret_source, struct fault *fault)
{
    if (!*text) return OK;
    if (!address_parse(view_of(text), ret_address) || ret_address->family != family) return fail(fault, INVALID, "outbound source \"%s\": expected an IPv%u address", text, family);
    *ret_source = ret_address;
    return OK;
}

result sending_start(struct sending *s, struct service *service, const struct intake *intake, struct fault *fault)
{
    const struct config *c = service->config;
    struct making m = {.sending = s, .config = c, .fault = fault};
    struct outbound_options o = outbound_default_options();
    s->arena = arena_new(NULL, ARENA_BYTES);
    result r = worker_run(WORKER_SLOW, make, &m);
    if (r == OK) r = m.code;
    if (r == OK) r = route_table_parse(view_of(c->outbound_routes), s->arena, &s->routes, fault);
    if (r == OK) r = read_source(c->outbound_source4, 4, &s->source4, &o.source4, fault);
    if (r == OK) r = read_source(c->outbound_source6, 6, &s->source6, &o.source6, fault);
    s->rules_arena = arena_new(NULL, ARENA_BYTES);
    s->rules = arena_new_struct(s->rules_arena, struct answer_rules);
    if (r == OK) r = sending_read_rules(c, s->rules_arena, s->rules, fault);
    if (r != OK) return r;
    o.rules = s->rules;
    s->egress = (struct egress){service->config->egress, service->config->egress_count};
    o.egress = &s->egress;
    o.server_name = view_of(c->server_name);
    o.resolver = service->resolver;
    o.signing = service->signing;
    o.intake = intake;
    o.tls = s->tls;
    if (c->outbound_mta_sts) s->sts = mta_sts_new(service->engine, service->resolver, s->http, service->loops);
    o.sts = s->sts;
    if (c->outbound_tls_reports) s->reports = tls_reports_new(service->engine, service->loops, view_of(c->node_name));
    o.reports = s->reports;
    o.routes = s->routes;
    o.connections_max = (unsigned)c->outbound_connections;
    o.messages_per_connection = (unsigned)c->outbound_messages;
    o.expire_ms = (int64_t)c->outbound_expire_ms;
    o.delay_notice_ms = (int64_t)c->outbound_delay_notice_ms;
    o.retry_min_ms = (int64_t)c->outbound_retry_min_ms;
    o.retry_max_ms = (int64_t)c->outbound_retry_max_ms;
    s->outbound = outbound_new(&o, service->queue, service->loops);
    service->outbound = s->outbound;
    outbound_watch_egress(s->outbound);
    start_reporting(s, service);
    queue_pause(service->queue, true);
    queue_start(service->queue, s->outbound);
    return OK;
}

result sending_reload_rules(struct sending *s, const struct config *c, struct fault *fault)
{
    struct arena *arena = arena_new(NULL, ARENA_BYTES);
    struct answer_rules *rules = arena_new_struct(arena, struct answer_rules);
    result r = sending_read_rules(c, arena, rules, fault);
    if (r != OK) {
        arena_free(arena);
        return r;
    }
    outbound_take_rules(s->outbound, rules);
    arena_free(s->rules_arena);
    s->rules_arena = arena;
    s->rules = rules;
    return OK;
}

void sending_stop(struct sending *s, struct service *service)
{
    service->reporting = NULL;
    tls_reporting_stop(s->reporting);
    if (s->outbound) queue_stop(service->queue, clock_in(STOP_TIMEOUT_MS));
    service->outbound = NULL;
    outbound_free(s->outbound);
    tls_reports_free(s->reports);
    mta_sts_free(s->sts);
    (void)!worker_run(WORKER_SLOW, unmake, s);
    if (s->tls) tls_context_free(s->tls);
    arena_free(s->rules_arena);
    arena_free(s->arena);
    *s = (struct sending){0};
}
