/* One connection to a destination: finding it, and the messages that go over it. */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "flow/outbound_judge.h"
#include "runtime/clock.h"
#include "runtime/event.h"
#include "runtime/random.h"

enum {
    ROUTE_MS = 60000,
    POLICY_MS = 90000,                   /* a fetch of MTA-STS, and what is asked before it */
    CONNECT_MS = 30000,
    READ_MS = 30000,
    NOTICE_MS = 30000,
    LINGER_MS = 1000,                    /* an open connection waits so long for more */
    ROUTE_ARENA_BYTES = 4 << 20,
    PLACE_WAIT_MS = 1000,
    TRIES_MAX = 12,                      /* addresses of one destination in one attempt */
};

/* A worker: a connection, and the destination that it is for now. */
struct attempt {
    struct destination *destination;
    bool is_coming;                          /* counted in destination.coming */
    bool goes_over;                          /* the destination is another one of the site, and has not been looked at */
    bool has_turn;                           /* in the site's pace */
    struct site *site;                       /* that it counts for; NULL: not known yet */
    struct site_place place;                 /* of that site */
    /* The connection: */
    bool is_open;
    struct smtp_client client;
    struct address to;
    struct transport_plan made_by;
    const struct egress_address *source;     /* that it came from; NULL: the system's, or the one of all */
    /* Of the destination: */
    struct arena *arena;
    struct route route;
    view host;
    struct transport_domain domain;
    struct transport_plan plan;              /* for that host */
    unsigned tries;
    bool are_away;                           /* servers could not be reached, or turned us away: it concerns all domains that have them */
    bool is_undecided;                       /* a host was out of reach, or what it must be could not be found out */
    struct fault fault;
};

/* ---- what came of it ---- */

static int64_t interval_ms(const struct outbound_options *o, unsigned tries)
{
    int64_t ms = o->retry_min_ms;
    for (unsigned i = 0; i < tries && ms < o->retry_max_ms; i++) ms *= 2;
    if (ms > o->retry_max_ms) ms = o->retry_max_ms;
    return ms + (int64_t)random_below((uint64_t)ms / 8 + 1);
}

/* No later than the sender wants to hear of it (RFC 2852). */
unix_ms outbound_next_try(const struct outbound_options *o, const struct queued *m, unsigned tries)
{
    unix_ms now = clock_wall(), next = {now.ms + interval_ms(o, tries)};
    unix_ms by = queued_extras(m)->deliver_by;
    if (by.ms > now.ms && by.ms < next.ms) next = by;
    return next;
}

static const char *outcome_name(enum queue_outcome outcome)
{
    return outcome == QUEUE_DELIVERED ? "delivered" : outcome == QUEUE_FAILED ? "failed" : "deferred";
}

static void tell_results(const struct destination *d, const struct queued *m, const struct queue_result *results, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct queue_result *r = &results[i];
        view meaning = view_of(r->outcome == QUEUE_DELIVERED ? "delivered" : answer_class_name((enum answer_class)r->meaning));
        EVENT_EMIT(MESSAGE_SENT, EVENT_ID("message", m->message), EVENT_TEXT("recipient", queued_address(&m->recipients[r->recipient])),
                   EVENT_TEXT("outcome", view_of(outcome_name(r->outcome))),
                   EVENT_TEXT("class", meaning), EVENT_NUMBER("status", r->code), EVENT_TEXT("host", r->host),
                   EVENT_TEXT("domain", view_of(d->domain)), EVENT_TEXT("answer", r->answer));
    }
}

/* Notices first: a failure that is recorded and not told would be mail that vanished. A notice twice is better. */
MAY_YIELD static result tell_sender(struct destination *d, struct queued *m, const struct queue_result *results, size_t count, struct fault *fault)
{
    struct outbound *o = d->home->all;
    result code = bounce_send(o, m, BOUNCE_FAILED, results, count, clock_in(NOTICE_MS), fault);
    if (code == OK) code = bounce_send(o, m, BOUNCE_DELIVERED, results, count, clock_in(NOTICE_MS), fault);
    return code;
}

static bool is_late(const struct outbound_options *o, const struct queued *m, const struct queue_result *r)
{
    const struct queued_extras *e = queued_extras(m);
    int64_t now_ms = clock_wall().ms, tried_ms = m->recipients[r->recipient].tried.ms, begun_ms = e->not_before.ms > m->received.ms ? e->not_before.ms : m->received.ms;
    if (r->outcome != QUEUE_DEFERRED) return false;
    if (e->deliver_by_mode & QUEUE_BY_NOTIFY && now_ms >= e->deliver_by.ms && tried_ms < e->deliver_by.ms) return true;
    return o->delay_notice_ms > 0 && now_ms >= begun_ms + o->delay_notice_ms && tried_ms < begun_ms + o->delay_notice_ms;
}

MAY_YIELD static void tell_late(struct destination *d, struct queued *m, const struct queue_result *results, size_t count)
{
    struct outbound *o = d->home->all;
    struct fault fault = {0};
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ROUTE_ARENA_BYTES);
    struct queue_result *late = arena_array(arena, struct queue_result, count);
    size_t late_count = 0;
    for (size_t i = 0; i < count; i++)
        if (is_late(&o->options, m, &results[i])) late[late_count++] = results[i];
    if (late_count > 0 && bounce_send(o, m, BOUNCE_DELAYED, late, late_count, clock_in(NOTICE_MS), &fault) != OK)
        EVENT_EMIT(NOTICE_NOT_SENT, EVENT_ID("message", m->message), EVENT_FAULT(&fault));
}

MAY_YIELD static void settle(struct destination *d, struct queued *m, struct queue_result *results, size_t count)
{
    struct fault fault = {0};
    if (m->is_removed) {
        queued_settle(m, results, count);
        return;
    }
    tell_results(d, m, results, count);
    if (tell_sender(d, m, results, count, &fault) != OK) {
        EVENT_EMIT(NOTICE_NOT_SENT, EVENT_ID("message", m->message), EVENT_FAULT(&fault));
        for (size_t i = 0; i < count; i++)
            if (results[i].outcome == QUEUE_FAILED) {
                results[i].outcome = QUEUE_DEFERRED;
                results[i].next_try = outbound_next_try(&d->home->all->options, m, m->recipients[results[i].recipient].tries);
            }
    }
    tell_late(d, m, results, count);
    queued_settle(m, results, count);
}

/* The same for all recipients of a parcel. */
MAY_YIELD static void settle_all(struct destination *d, struct parcel *p, const struct queue_result *like)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ROUTE_ARENA_BYTES);
    struct queue_result *results = arena_array(arena, struct queue_result, p->count);
    for (size_t i = 0; i < p->count; i++) {
        results[i] = *like;
        results[i].recipient = p->recipients[i];
    }
    settle(d, p->message, results, p->count);
}

void parcel_settle(struct destination *d, struct parcel *p, struct queue_result *results, size_t count) { settle(d, p->message, results, count); }

/* What is too old, or was wanted back by now. */
MAY_YIELD static void give_up(struct destination *d, struct parcel *p)
{
    char answer[QUEUE_ANSWER_BYTES_MAX];
    const struct queued_recipient *first = &p->message->recipients[p->recipients[0]];
    view last = shared_view(first->answer);
    snprintf(answer, sizeof answer, "the message could not be delivered in time%s" VIEW_FMT, last.len ? "; last: " : "", VIEW_ARG(view_slice(last, 0, 400)));
    struct queue_result r = {.outcome = QUEUE_FAILED, .class = 5, .subject = 4, .detail = 7, .answer = view_of(answer)};
    settle_all(d, p, &r);
}

/* ---- sending ---- */

MAY_YIELD static result read_message(void *argument, uint64_t offset, size_t len, buf *into, struct fault *fault)
{
    struct queued *m = argument;
    return queued_read(m, offset, len, clock_in(READ_MS), into, fault);
}

static void result_of_outcome(struct queue_result *r, const struct destination *d, const struct queued *m, const struct smtp_client_outcome *o, view host)
{
    *r = (struct queue_result){.recipient = r->recipient, .code = o->code, .class = o->class, .subject = o->subject, .detail = o->detail, .host = host,
                               .answer = buf_view(&o->text)};
    r->outcome = o->what == CLIENT_DELIVERED ? QUEUE_DELIVERED : o->what == CLIENT_REFUSED ? QUEUE_FAILED : QUEUE_DEFERRED;
    if (r->outcome == QUEUE_DEFERRED) r->next_try = outbound_next_try(&d->home->all->options, m, m->recipients[r->recipient].tries);
}

MAY_YIELD static void send_parcel(struct attempt *a, struct parcel *p)
{
    struct destination *d = a->destination;
    struct smtp_client *c = &a->client;
    struct verdict verdict = {0};
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ROUTE_ARENA_BYTES);
    struct queued *m = p->message;
    const struct queued_extras *x = queued_extras(m);
    view *recipients = arena_array(arena, view, p->count);
    struct smtp_client_outcome *outcomes = arena_array(arena, struct smtp_client_outcome, p->count);
    struct queue_result *results = arena_array(arena, struct queue_result, p->count);
    struct smtp_client_report *reports = arena_array(arena, struct smtp_client_report, p->count);
    for (size_t i = 0; i < p->count; i++) {
        const struct queued_recipient *to = &m->recipients[p->recipients[i]];
        recipients[i] = queued_address(to);
        reports[i] = (struct smtp_client_report){to->notify, queued_original(m, p->recipients[i])};
    }
    struct smtp_client_message message = {
        .sender = queued_sender(m), .recipients = recipients, .recipient_count = p->count, .is_8bit = m->flags & QUEUE_IS_8BIT,
        .is_utf8 = m->flags & QUEUE_IS_UTF8,
        .requires_tls = m->flags & QUEUE_REQUIRES_TLS && c->has_tls && c->offer.requiretls, .bytes = m->bytes, .read = read_message, .argument = m,
        .reports = reports, .return_what = m->return_what, .envelope_id = x->envelope_id, .by_mode = x->deliver_by_mode,
        .by_seconds = (x->deliver_by.ms - clock_wall().ms) / 1000, .priority = m->priority,
    };
    smtp_client_send(c, &message, outcomes);
    for (size_t i = 0; i < p->count; i++) {
        results[i].recipient = p->recipients[i];
        result_of_outcome(&results[i], d, m, &outcomes[i], a->host);
        outbound_judge(d, a->host, &results[i], &verdict);
        results[i].is_passed_on = c->offer.dsn;
        results[i].is_untimed = x->deliver_by_mode & QUEUE_BY_NOTIFY && !c->offer.deliver_by && !c->is_lmtp && message.by_seconds > 0;
        results[i].is_final = c->is_lmtp;
    }
    outbound_learn(d, a->source, &verdict);
    settle(d, m, results, p->count);
    for (size_t i = 0; i < p->count; i++) buf_done(&outcomes[i].text);
}

/* RFC 6531 §3.5: an address that the other side cannot read is refused here. */
MAY_YIELD static bool refuse_utf8(struct destination *d, struct smtp_client *c, struct parcel *p)
{
    if (!(p->message->flags & QUEUE_IS_UTF8) || c->offer.utf8) return false;
    struct queue_result r = {.outcome = QUEUE_FAILED, .code = 553, .class = 5, .subject = 6, .detail = 7,
                             .answer = VIEW("the server does not take internationalised mail (SMTPUTF8)")};
    settle_all(d, p, &r);
    return true;
}

MAY_YIELD static bool refuse_size(struct destination *d, struct smtp_client *c, struct parcel *p)
{
    if (c->offer.size_bytes_max == 0 || p->message->bytes <= c->offer.size_bytes_max) return false;
    struct queue_result r = {.outcome = QUEUE_FAILED, .code = 552, .class = 5, .subject = 3, .detail = 4, .answer = VIEW("the message is larger than the server takes")};
    settle_all(d, p, &r);
    return true;
}

/* RFC 2852 §4.1.4: what is wanted back goes to no server that would not keep to it. */
MAY_YIELD static bool refuse_in_time(struct destination *d, struct smtp_client *c, struct parcel *p)
{
    const struct queued_extras *e = queued_extras(p->message);
    int64_t left_s = (e->deliver_by.ms - clock_wall().ms) / 1000;
    if (!(e->deliver_by_mode & QUEUE_BY_RETURN) || c->is_lmtp) return false;
    if (c->offer.deliver_by && left_s > 0 && (uint64_t)left_s >= c->offer.deliver_by_min_s) return false;
    struct queue_result r = {.outcome = QUEUE_FAILED, .class = 5, .subject = c->offer.deliver_by ? 4 : 3, .detail = c->offer.deliver_by ? 7 : 3,
                             .answer = VIEW("the server does not promise to deliver it in the time that was asked for (DELIVERBY)")};
    settle_all(d, p, &r);
    return true;
}

static void arrive(struct attempt *a)
{
    if (a->is_coming) a->destination->coming--;
    a->is_coming = false;
}

static void go_over(struct attempt *a)
{
    a->goes_over = a->is_coming = true;
    a->destination->coming++;
}

/* More to send, perhaps after a moment. NULL: nothing, or another destination has it, and the worker is that one's now. */
MAY_YIELD static struct parcel *next_parcel(struct attempt *a)
{
    struct destination *before = a->destination, *wanted;
    arrive(a);
    struct parcel *p = destination_take(before);
    if (p) return p;
    if ((wanted = site_next(a->site))) {
        destination_hand_over(before, wanted);
        a->destination = wanted;
    } else if (site_linger(a->site, &a->destination, LINGER_MS) == OK && a->destination == before) {
        return destination_take(before);
    }
    if (a->destination != before) go_over(a);
    return NULL;
}

/* A turn that nothing was sent in is good for the next destination of the site. */
MAY_YIELD static bool await_turn(struct attempt *a)
{
    if (!a->has_turn) a->has_turn = site_await_turn(a->site) == OK;
    return a->has_turn;
}

MAY_YIELD static void send_parcels(struct attempt *a)
{
    struct smtp_client *c = &a->client;
    while (!c->is_broken && c->messages < site_messages_per_connection(a->site) && site_keep_place(a->site, &a->place) && await_turn(a)) {
        struct destination *d = a->destination;
        struct parcel *p = next_parcel(a);
        if (!p) return;
        a->has_turn = false;
        if (!refuse_utf8(d, c, p) && !refuse_size(d, c, p) && !refuse_in_time(d, c, p)) send_parcel(a, p);
        free(p);
        if (coroutine_is_overdue()) coroutine_pause();
    }
}

/* ---- connecting ---- */

static const struct fault no_fault;

MAY_YIELD static result open_client(struct attempt *a, const struct address *to, bool without_tls)
{
    const struct outbound_options *o = &a->destination->home->all->options;
    const struct address *source = to->family == 4 ? o->source4 : o->source6;
    struct smtp_client_options options = {.hello = o->server_name, .is_lmtp = a->route.is_lmtp};
    struct destination *d = a->destination;
    struct stream *stream;
    a->client = (struct smtp_client){0};
    if (d->home->ledger) egress_ledger_await(d->home->ledger);
    if (!site_choose_source(d->site, d->pool, to->family, &a->source)) {
        a->is_undecided = a->are_away = true;
        return fail(&a->fault, UNAVAILABLE, "no IPv%u address of the pool may send there now", to->family);
    }
    if (a->source) source = &a->source->address, options.hello = a->source->hello;
    result code = stream_connect(to, source, clock_in(CONNECT_MS), &stream, &a->fault);
    if (code != OK) {
        a->is_undecided = a->are_away = true;
        return code;
    }
    struct address from = *stream_local(stream);
    a->to = *to;
    a->made_by = a->plan;
    transport_apply(&a->plan, o, &options);
    if (without_tls) options.tls = NULL;
    code = smtp_client_open(&a->client, stream, &options, &a->fault);
    if (code == DENIED || code == BUSY) outbound_judge_greeting(d, a->host, a->source, &a->client.answer);
    if (code != OK && !transport_is_policy_failure(&a->client)) a->is_undecided = a->are_away = true;
    if (code == OK) code = transport_check(&a->plan, &a->client, &a->fault);
    transport_tell(o, &(struct transport_outcome){.domain = &a->domain, .plan = &a->plan, .host = a->host, .from = &from, .to = to, .client = &a->client,
                                                  .fault = code == OK ? &no_fault : &a->fault});
    a->is_open = code == OK;
    if (code != OK) smtp_client_close(&a->client);
    return code;
}

MAY_YIELD static void close_client(struct attempt *a)
{
    if (a->is_open) smtp_client_close(&a->client);
    a->is_open = false;
}

/*
 * The connection that is open is what would be opened now: to a server that the route has, from where mail leaves for this site, and with nothing
 * that this destination demands in another way. Who wants reports gets connections that can be counted.
 */
static bool is_reached(const struct attempt *a, const struct route_host *host)
{
    if (!a->is_open || a->client.is_broken || a->client.is_lmtp != a->route.is_lmtp || a->domain.wants_reports || !transport_plan_equal(&a->made_by, &a->plan)) return false;
    for (size_t i = 0; i < host->address_count; i++)
        if (address_equal(&host->addresses[i], &a->to) && host->addresses[i].port == a->to.port) return true;
    return false;
}

MAY_YIELD static result try_address(struct attempt *a, const struct address *to)
{
    result code = open_client(a, to, false);
    /* RFC 7435 §3: where nothing is promised, a server whose TLS is broken is as good as one that has none. */
    if (code != OK && code != CANCELLED && a->client.tls == SMTP_CLIENT_TLS_FAILED && transport_may_retry_clear(&a->plan, &a->client)) code = open_client(a, to, true);
    return code;
}

MAY_YIELD static result try_host(struct attempt *a, const struct route_host *host)
{
    struct destination *d = a->destination;
    result code = transport_plan(&d->home->all->options, &a->domain, host, clock_in(ROUTE_MS), a->arena, &a->plan, &a->fault);
    a->host = host->name;
    a->is_undecided |= code != OK && code != DENIED;
    if (code != OK) {
        transport_tell(&d->home->all->options,
                       &(struct transport_outcome){.domain = &a->domain, .plan = &a->plan, .planned = code, .host = a->host, .fault = &a->fault});
        return code;
    }
    if (is_reached(a, host)) {
        a->made_by = a->plan;                /* the same, in memory that stays */
        return OK;
    }
    close_client(a);
    code = UNAVAILABLE;
    for (size_t i = 0; i < host->address_count && a->tries++ < TRIES_MAX; i++) {
        code = try_address(a, &host->addresses[i]);
        if (code == OK || code == CANCELLED) return code;
    }
    return code;
}

/* RFC 5321 §5.1: one host after the other, each by all its addresses, until one answers. */
MAY_YIELD static result connect_to_any(struct attempt *a)
{
    result code = UNAVAILABLE;
    for (size_t h = 0; h < a->route.host_count; h++) {
        code = try_host(a, &a->route.hosts[h]);
        if (code == OK || code == CANCELLED) return code;
    }
    return code;
}

/* No mail will ever get there: everything that waits fails. */
MAY_YIELD static void fail_all(struct destination *d, const struct fault *fault, bool is_null_mx)
{
    struct queue_result r = {.outcome = QUEUE_FAILED, .code = is_null_mx ? 556 : 550, .class = 5, .subject = 1, .detail = is_null_mx ? 10 : 2,
                             .answer = view_of(fault->detail)};
    for (struct parcel *p; (p = destination_take(d));) {
        settle_all(d, p, &r);
        free(p);
    }
}

/* RFC 8689 §4.2.1: no server of the domain gives what these messages require, so they fail. */
MAY_YIELD static void fail_unprotected(struct attempt *a)
{
    char text[QUEUE_ANSWER_BYTES_MAX];
    bool lacks_requiretls = a->client.tls == SMTP_CLIENT_TLS_ON && a->client.flaw == TLS_FLAW_NONE;
    snprintf(text, sizeof text, "%s", a->fault.detail);
    struct queue_result r = {.outcome = QUEUE_FAILED, .code = 550, .class = 5, .subject = 7, .detail = lacks_requiretls ? 30 : 10, .answer = view_of(text)};
    for (struct parcel *p; (p = destination_take(a->destination));) {
        settle_all(a->destination, p, &r);
        free(p);
    }
}

MAY_YIELD static void give_all_up(struct destination *d)
{
    for (struct parcel *p; (p = destination_take(d));) {
        give_up(d, p);
        free(p);
        if (coroutine_is_overdue()) coroutine_pause();
    }
}

/* ---- a worker ---- */

/* False: the site has no room for this connection now. */
MAY_YIELD static bool join_site(struct attempt *a)
{
    struct destination *d = a->destination;
    struct site *before = a->site;
    view hosts[ROUTE_HOSTS_MAX];
    for (size_t i = 0; i < a->route.host_count; i++) hosts[i] = a->route.hosts[i].name;
    site_join(site_of(d->home, d->pool, view_of(d->domain), hosts, a->route.host_count), d);
    a->site = d->site;
    if (d->site->connections > site_window(d->site) || millis_before(clock_now(), d->site->rests_until)) return false;
    if (!a->is_open && site_wake_idle(d->site, d)) return false;
    if (before == a->site) return site_keep_place(a->site, &a->place);
    if (before) site_leave_place(before, &a->place);
    a->has_turn = false;
    if (site_take_place(d->site, &a->place) == OK) return true;
    /* Other nodes have all of them: soon again. */
    d->rests_until = clock_in(PLACE_WAIT_MS + (int64_t)random_below(PLACE_WAIT_MS));
    return false;
}

MAY_YIELD static result find_servers(struct attempt *a, bool *ret_is_null_mx)
{
    const struct destination *d = a->destination;
    const struct outbound_options *o = &d->home->all->options;
    const struct route_table *routes = o->routes;
    result code = OK;
    if (d->kind == TO_ROUTE) code = route_table_parse(arena_printf(a->arena, "*%s", d->domain), a->arena, (struct route_table **)&routes, &a->fault);
    if (code == OK) code = route_find(o->resolver, routes, view_of(d->domain), clock_in(ROUTE_MS), a->arena, &a->route, ret_is_null_mx, &a->fault);
    return code;
}

/* With the connection that is open, if it does. */
MAY_YIELD static result reach(struct attempt *a)
{
    const struct destination *d = a->destination;
    result code = transport_begin(&d->home->all->options, &a->route, view_of(d->domain), d->wish, clock_in(POLICY_MS), a->arena, &a->domain, &a->fault);
    a->is_undecided = code != OK;
    return code == OK ? connect_to_any(a) : code;
}

/* Nothing goes there now. Servers that are away are so for all domains; what a domain's policy forbids concerns it alone. */
MAY_YIELD static void rest(struct attempt *a)
{
    struct destination *d = a->destination;
    if (d->wish == TRANSPORT_REQUIRED && !a->is_undecided && a->route.host_count) fail_unprotected(a);
    else if (a->site && a->are_away) site_rest(a->site, 0, view_of(a->fault.detail));
    else destination_rest(d, a->fault.detail);
}

MAY_YIELD static void work(struct attempt *a)
{
    struct destination *d = a->destination;
    struct arena *before = a->arena;
    bool is_null_mx = false, has_room = false;
    a->arena = arena_new(NULL, ROUTE_ARENA_BYTES);
    a->route = (struct route){0};
    a->fault = no_fault;
    a->tries = 0;
    a->are_away = a->is_undecided = false;
    result found = find_servers(a, &is_null_mx), code = found;
    if (code == OK) has_room = join_site(a);
    if (has_room) code = reach(a);
    if (code != OK || !has_room) close_client(a);
    arena_free(before);
    if (found == DENIED) {
        fail_all(d, &a->fault, is_null_mx);
    } else if (code == OK && has_room) {
        d->rests_until = (millis){0};
        d->rest_ms = 0;
        send_parcels(a);
    } else if (code != OK && code != CANCELLED) {
        rest(a);
    }
    if (!a->goes_over) arrive(a);
}

/* Returns the destination that it was for at the end. */
MAY_YIELD static struct destination *work_through(struct destination *d)
{
    struct attempt a = {.destination = d, .is_coming = true};
    do {
        a.goes_over = false;
        work(&a);
    } while (a.goes_over);
    close_client(&a);
    if (a.site) site_leave_place(a.site, &a.place);
    arena_free(a.arena);
    return a.destination;
}

void destination_work(void *argument)
{
    colour_pretend_coroutine();
    struct destination *d = argument;
    bool has_connection = d->kind == TO_DOMAIN || d->kind == TO_ROUTE;
    if (!has_connection) d->coming--;
    if (has_connection) d = work_through(d);
    else if (d->kind == TO_ACCOUNTS) destination_deliver_here(d);
    else give_all_up(d);
    d->connections--;
    if (d->site) {
        d->site->connections--;
        /* What rests is woken by its timer. */
        if (millis_before(clock_now(), d->rests_until)) destination_consider(d);
        site_consider(d->site);
    } else {
        destination_consider(d);
    }
    destination_consider_end(d);
}
