#include "flow/outbound_site.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "runtime/clock.h"
#include "runtime/event.h"
#include "runtime/random.h"

enum {
    REST_FIRST_MS = 60000,
    REST_MAX_MS = 3600000,
    IDLE_MS = 60000,                     /* a destination that nothing waits for is forgotten after it */
    LEAVE_LOOK_MS = 20,
    CHECK_MS = 3600000,
};

struct outbound_options outbound_default_options(void)
{
    return (struct outbound_options){
        .connections_max = 40,
        .messages_per_connection = 100,
        .expire_ms = 5ll * 24 * 3600 * 1000,
        .delay_notice_ms = 4ll * 3600 * 1000,
        .retry_min_ms = 60 * 1000,
        .retry_max_ms = 4ll * 3600 * 1000,
    };
}

struct outbound *outbound_new(const struct outbound_options *options, struct queue *queue, struct loops *all)
{
    unsigned loops = loops_count(all);
    struct outbound *o = calloc(1, sizeof *o + loops * sizeof o->of_loop[0]);
    check(o);
    o->options = *options;
    o->queue = queue;
    o->loops = loops;
    for (unsigned i = 0; i < loops; i++) {
        o->of_loop[i].all = o;
        o->of_loop[i].rules = options->rules;
    }
    return o;
}

const struct outbound_options *outbound_options_of(const struct outbound *o) { return &o->options; }

/* ---- destinations ---- */

static bool is_idle(const struct destination *d) { return d->waiting == 0 && d->connections == 0; }

static void destination_free(struct destination *d)
{
    check(is_idle(d));
    timer_disarm(&d->wake);
    site_leave(d);
    map_done(&d->lane_of);
    buf_done(&d->reason);
    free(d);
}

void destination_consider_end(struct destination *d)
{
    millis after = clock_in(IDLE_MS);
    if (is_idle(d)) timer_arm(&d->wake, millis_before(after, d->rests_until) ? d->rests_until : after);
}

static void wake(struct timer *t)
{
    struct destination *d = container_of(t, struct destination, wake);
    destination_consider(d);
    if (!is_idle(d)) return;
    if (millis_before(clock_now(), d->rests_until)) {
        timer_arm(t, d->rests_until);
        return;
    }
    map_remove(&d->home->destinations, d->key);
    destination_free(d);
}

static struct outbound_loop *loop_here(struct outbound *o)
{
    struct outbound_loop *l = &o->of_loop[loop_index(loop_self())];
    if (!l->is_open) {
        scope_init(&l->scope, NULL);
        waitlist_init(&l->settled);
        l->is_open = true;
        if (o->options.egress && o->options.egress->pool_count > 0) l->ledger = egress_ledger_new(o->queue->engine, o->options.egress, &l->scope);
    }
    return l;
}

static struct destination *destination_of(struct outbound_loop *l, view domain, enum transport_wish wish, int pool)
{
    char key[RESOLVER_NAME_BYTES_MAX + 5];
    size_t len = domain.len < sizeof key - 2 ? domain.len : sizeof key - 2;
    for (size_t i = 0; i < len; i++) key[i] = ascii_lower(domain.at[i]);
    key[len] = (char)('0' + (int)wish);
    key[len + 1] = (char)('A' + pool);
    struct destination *d = map_get(&l->destinations, view_make(key, len + 2));
    if (d) return d;
    d = calloc(1, sizeof *d + 2 * len + 3);
    check(d);
    d->home = l;
    d->wish = wish;
    d->pool = pool;
    d->domain = d->text;
    memcpy(d->text, key, len);
    memcpy(d->text + len + 1, key, len + 2);
    d->key = view_make(d->text + len + 1, len + 2);
    d->kind = view_equal(domain, VIEW(DESTINATION_HERE)) ? TO_ACCOUNTS : view_equal(domain, VIEW(DESTINATION_LATE)) ? TO_NOBODY
              : view_starts(domain, VIEW("=")) ? TO_ROUTE : TO_DOMAIN;
    list_init(&d->lanes);
    timer_init(&d->wake, wake);
    /* What is no domain has nobody to find first. */
    if (d->kind == TO_ACCOUNTS || d->kind == TO_NOBODY) site_join(site_of(l, EGRESS_NONE, domain, &domain, 1), d);
    map_put(&l->destinations, d->key, d);
    return d;
}

static void end_loop(void *argument)
{
    colour_pretend_coroutine();
    struct outbound_loop *l = argument;
    size_t at = 0;
    if (l->ledger) egress_ledger_save(l->ledger);
    if (l->is_open) scope_done(&l->scope);
    l->is_open = false;
    egress_ledger_free(l->ledger);
    for (struct map_slot *slot; (slot = map_next(&l->destinations, &at));) destination_free(slot->value);
    map_done(&l->destinations);
    at = 0;
    for (struct map_slot *slot; (slot = map_next(&l->sites, &at));) site_free(slot->value);
    map_done(&l->sites);
}

void outbound_free(struct outbound *o)
{
    if (!o) return;
    for (unsigned i = 0; i < o->loops; i++) loop_run_on(loops_at(o->queue->loops, i), "outbound end", end_loop, &o->of_loop[i]);
    free(o);
}

/* ---- what waits ---- */

static struct lane *lane_of(struct destination *d, struct id account)
{
    struct lane *lane = map_get(&d->lane_of, id_view(&account));
    if (lane) return lane;
    lane = calloc(1, sizeof *lane);
    check(lane);
    lane->account = account;
    lane->destination = d;
    list_init(&lane->parcels);
    list_append(&d->lanes, &lane->node);
    map_put(&d->lane_of, id_view(&lane->account), lane);
    return lane;
}

static void lane_insert(struct lane *lane, struct parcel *p)
{
    struct list *after = lane->parcels.previous;
    while (after != &lane->parcels && container_of(after, struct parcel, node)->message->priority < p->message->priority) after = after->previous;
    list_append(after->next, &p->node);
}

static struct parcel *parcel_new(struct queued *m, uint16_t room)
{
    struct parcel *p = calloc(1, sizeof *p + room * sizeof p->recipients[0]);
    check(p);
    p->message = m;
    p->room = room;
    return p;
}

static void parcel_add(struct parcel *p, size_t recipient)
{
    p->recipients[p->count++] = (uint16_t)recipient;
    p->message->recipients[recipient].parcel = p;
}

/* In its place, with more room. */
static struct parcel *parcel_grow(struct parcel *p)
{
    struct parcel *larger = parcel_new(p->message, p->room * 2 < SMTP_CLIENT_RECIPIENTS_MAX ? (uint16_t)(p->room * 2) : SMTP_CLIENT_RECIPIENTS_MAX);
    larger->lane = p->lane;
    list_append(&p->node, &larger->node);
    list_remove(&p->node);
    for (size_t i = 0; i < p->count; i++) parcel_add(larger, p->recipients[i]);
    free(p);
    return larger;
}

static struct parcel *parcel_for(struct destination *d, struct queued *m)
{
    struct lane *lane = lane_of(d, queued_account(m));
    if (!list_is_empty(&lane->parcels)) {
        struct parcel *last = container_of(lane->parcels.previous, struct parcel, node);
        if (last->message == m && last->count < last->room) return last;
        if (last->message == m && last->room < SMTP_CLIENT_RECIPIENTS_MAX) return parcel_grow(last);
    }
    struct parcel *p = parcel_new(m, 1);
    p->lane = lane;
    lane_insert(lane, p);
    d->waiting++;
    return p;
}

unix_ms outbound_ends(const struct outbound *o, const struct queued *m)
{
    const struct queued_extras *x = queued_extras(m);
    int64_t begun_ms = x->not_before.ms > m->received.ms ? x->not_before.ms : m->received.ms, ends_ms = begun_ms + o->options.expire_ms;
    if (x->deliver_by_mode & QUEUE_BY_RETURN && x->deliver_by.ms < ends_ms) ends_ms = x->deliver_by.ms;
    return (unix_ms){m->must_expire ? 0 : ends_ms};
}

static struct destination *destination_for(struct outbound *o, const struct queued *m, size_t recipient)
{
    char route[RESOLVER_NAME_BYTES_MAX + 3];
    struct outbound_loop *l = loop_here(o);
    view through = queued_extras(m)->route;
    enum transport_wish wish = transport_wish_of(m->flags, queued_sender(m));
    int pool = egress_pool_of(o->options.egress, queued_tenant(m), (enum queue_class)m->class, (enum queue_standing)m->standing);
    if (outbound_ends(o, m).ms <= clock_wall().ms) return destination_of(l, VIEW(DESTINATION_LATE), TRANSPORT_AS_PUBLISHED, EGRESS_NONE);
    if (m->flags & QUEUE_HAS_LOCAL && !m->recipients[recipient].is_elsewhere) return destination_of(l, VIEW(DESTINATION_HERE), TRANSPORT_AS_PUBLISHED, EGRESS_NONE);
    if (through.len == 0) return destination_of(l, queued_domain(&m->recipients[recipient]), wish, pool);
    snprintf(route, sizeof route, "=" VIEW_FMT, VIEW_ARG(through));
    return destination_of(l, view_of(route), wish, pool);
}

void outbound_offer(struct outbound *o, struct queued *m, size_t recipient)
{
    struct destination *d = destination_for(o, m, recipient);
    parcel_add(parcel_for(d, m), recipient);
    destination_consider(d);
}

void outbound_hurry(struct outbound *o, struct queued *m)
{
    for (size_t i = 0; i < m->recipient_count; i++) {
        if (!m->recipients[i].parcel) continue;
        struct destination *d = m->recipients[i].parcel->lane->destination;
        d->rests_until = (millis){0};
        timer_disarm(&d->wake);
        if (d->site) d->site->rests_until = (millis){0};
        destination_consider(d);
    }
}

static void lane_drop_if_empty(struct destination *d, struct lane *lane)
{
    if (!list_is_empty(&lane->parcels)) return;
    list_remove(&lane->node);
    map_remove(&d->lane_of, id_view(&lane->account));
    free(lane);
}

static void parcel_withdraw(struct destination *d, struct parcel *p)
{
    struct queued *m = p->message;
    list_remove(&p->node);
    d->waiting--;
    m->offered++;                        /* holds it until we are through */
    for (size_t i = 0; i < p->count; i++) {
        struct queued_recipient *r = &m->recipients[p->recipients[i]];
        r->parcel = NULL;
        if (!r->answer) queued_set_answer(m, r, d->site && d->site->reason.len ? buf_view(&d->site->reason) : buf_view(&d->reason));
        queued_withdraw(m, p->recipients[i]);
    }
    free(p);
    if (--m->offered == 0 && m->is_removed) queued_let_go(m);
}

void outbound_recall(struct outbound *o, struct queued *m)
{
    m->offered++;
    for (size_t i = 0; i < m->recipient_count; i++) {
        struct parcel *p = m->recipients[i].parcel;
        if (!p) continue;
        struct lane *lane = p->lane;
        struct destination *d = lane->destination;
        parcel_withdraw(d, p);
        lane_drop_if_empty(d, lane);
        destination_consider_end(d);
    }
    if (--m->offered == 0 && m->is_removed) queued_let_go(m);
}

/* A record of an owner before us came late and says so. */
static bool is_settled(const struct parcel *p)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->message->recipients[p->recipients[i]].state != RECIPIENT_DONE) return false;
    return true;
}

struct parcel *destination_take(struct destination *d)
{
    while (!list_is_empty(&d->lanes)) {
        struct lane *lane = container_of(list_pop(&d->lanes), struct lane, node);
        struct parcel *p = container_of(lane->parcels.next, struct parcel, node);
        list_append(&d->lanes, &lane->node);
        if (!shard_may_act(p->message->shard) || is_settled(p)) {
            /* Its owner offers it again, or another node does. */
            struct queued *m = p->message;
            bool stays = !m->is_removed;
            parcel_withdraw(d, p);
            lane_drop_if_empty(d, lane);
            if (stays) queued_consider(m);
            continue;
        }
        list_remove(&p->node);
        d->waiting--;
        p->lane = NULL;
        for (size_t i = 0; i < p->count; i++) p->message->recipients[p->recipients[i]].parcel = NULL;
        lane_drop_if_empty(d, lane);
        return p;
    }
    return NULL;
}

static void start_worker(struct destination *d)
{
    d->connections++;
    d->coming++;
    if (d->site) d->site->connections++;
    coroutine_spawn(&d->home->scope, "outbound connection", destination_work, d);
}

void destination_hand_over(struct destination *from, struct destination *to)
{
    from->connections--;
    if (from->site) from->site->connections--;
    to->connections++;
    if (to->site) to->site->connections++;
    destination_consider_end(from);
}

static millis rests_until(const struct destination *d)
{
    millis until = d->rests_until;
    return d->site && millis_before(until, d->site->rests_until) ? d->site->rests_until : until;
}

void destination_consider(struct destination *d)
{
    if (d->waiting == 0) return;
    if (d->site) site_list(d->site, d);
    if (millis_before(clock_now(), rests_until(d))) {
        timer_arm(&d->wake, rests_until(d));
        return;
    }
    if (d->coming >= d->waiting) return;
    /* A connection that is open is better than a further one. */
    if (d->site && site_wake_idle(d->site, d)) return;
    /* The first one finds out whose servers they are. */
    if (d->site ? d->site->connections < site_window(d->site) : d->connections == 0) start_worker(d);
}

/* With some chance in it, so that many destinations do not come back as one. */
void destination_rest(struct destination *d, const char *reason)
{
    /* Several connections fail at once: one rest. */
    if (millis_before(clock_now(), d->rests_until)) return;
    d->rest_ms = d->rest_ms == 0 ? REST_FIRST_MS : d->rest_ms * 2 > REST_MAX_MS ? REST_MAX_MS : d->rest_ms * 2;
    d->rests_until = clock_in(d->rest_ms + (int64_t)random_below((uint64_t)d->rest_ms / 8));
    buf_clear(&d->reason);
    buf_append_cstr(&d->reason, reason);
    EVENT_EMIT(DESTINATION_RESTS, EVENT_TEXT("domain", view_of(d->domain)), EVENT_NUMBER("ms", d->rest_ms), EVENT_NUMBER("waiting", d->waiting),
               EVENT_TEXT("reason", view_of(reason)));
    if (d->waiting > 0) timer_arm(&d->wake, d->rests_until);
}

/* ---- rules ---- */

struct new_rules { struct outbound_loop *loop; const struct answer_rules *rules; };

static void take_rules(void *argument)
{
    struct new_rules *n = argument;
    size_t at = 0;
    n->loop->rules = n->rules;
    for (struct map_slot *slot; (slot = map_next(&n->loop->sites, &at));) site_find_limit(slot->value);
}

void outbound_take_rules(struct outbound *o, const struct answer_rules *rules)
{
    for (unsigned i = 0; i < o->loops; i++) {
        struct new_rules n = {&o->of_loop[i], rules};
        loop_run_on(loops_at(o->queue->loops, i), "outbound rules", take_rules, &n);
    }
}

/* ---- where mail leaves from ---- */

static void watch_egress(void *argument)
{
    colour_pretend_coroutine();
    struct outbound *o = argument;
    unsigned before = 0;
    do {
        unsigned problems = egress_check(o->options.egress, o->options.resolver);
        metric_add(METRIC_EGRESS_UNCONFIRMED, (int64_t)problems - before);
        before = problems;
    } while (coroutine_sleep(CHECK_MS) == OK);
    metric_add(METRIC_EGRESS_UNCONFIRMED, -(int64_t)before);
}

void outbound_watch_egress(struct outbound *o)
{
    if (!o->options.egress || o->options.egress->pool_count == 0) return;
    coroutine_spawn(&loop_here(o)->scope, "egress check", watch_egress, o);
}

/* ---- a shard leaves ---- */

static void withdraw_all(struct outbound_loop *l, struct shard *s)
{
    size_t at = 0;
    for (struct map_slot *slot; (slot = map_next(&l->destinations, &at));) {
        struct destination *d = slot->value;
        list_each(lane_node, &d->lanes) {
            struct lane *lane = container_of(lane_node, struct lane, node);
            list_each(node, &lane->parcels) {
                struct parcel *p = container_of(node, struct parcel, node);
                if (p->message->shard == s) parcel_withdraw(d, p);
            }
            lane_drop_if_empty(d, lane);
        }
        destination_consider_end(d);
        if (d->site) site_wake_all(d->site);     /* who lingers looks whether there is reason to */
    }
}

static bool has_offered(const struct shard *s)
{
    list_each(node, &s->messages)
        if (container_of(node, struct queued, node)->offered > 0) return true;
    return false;
}

void outbound_leave(struct outbound *o, struct shard *s)
{
    withdraw_all(loop_here(o), s);
    while (has_offered(s))
        if (coroutine_sleep(LEAVE_LOOK_MS) != OK) return;
}

/* ---- operators ---- */

struct listing { struct outbound_loop *loop; void (*show)(void *argument, const struct outbound_line *line); void *argument; };

static void list_loop(void *argument)
{
    struct listing *list = argument;
    size_t at = 0;
    for (struct map_slot *slot; (slot = map_next(&list->loop->destinations, &at));) {
        const struct destination *d = slot->value;
        int64_t rests_ms = rests_until(d).ms - clock_now().ms;
        view reason = d->site && d->site->rests_until.ms > d->rests_until.ms ? buf_view(&d->site->reason) : buf_view(&d->reason);
        struct outbound_line line = {.domain = view_of(d->domain), .waiting = d->waiting, .connections = d->connections, .connections_max = d->site ? site_window(d->site) : 1,
                                     .rests_ms = rests_ms > 0 ? rests_ms : 0, .reason = reason, .wish = transport_wish_name(d->wish)};
        if (d->waiting || d->connections || line.rests_ms) list->show(list->argument, &line);
    }
}

void outbound_list(struct outbound *o, void (*show)(void *argument, const struct outbound_line *line), void *argument)
{
    for (unsigned i = 0; i < o->loops; i++) {
        struct listing list = {&o->of_loop[i], show, argument};
        loop_run_on(loops_at(o->queue->loops, i), "outbound list", list_loop, &list);
    }
}
