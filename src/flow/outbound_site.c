#include "flow/outbound_site.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "runtime/clock.h"
#include "runtime/event.h"
#include "runtime/random.h"

enum {
    WINDOW_FIRST = 2,
    REST_FIRST_MS = 60000,
    REST_MAX_MS = 3600000,
    IDLE_MS = 600000,
    STORE_MS = 5000,
    MINUTE_US = 60 * 1000 * 1000,
};

/* ---- which site ---- */

static bool host_before(view a, view b) { return view_compare_nocase(a, b) < 0; }

/* The hosts in order, so that preferences do not matter; of a long list the first ones. */
static void write_key(buf *key, int pool, const view *hosts, size_t count)
{
    view last = VIEW_EMPTY;
    buf_appendf(key, "%d", pool);
    for (size_t n = 0; n < count && key->len < SITE_KEY_MAX; n++) {
        view next = VIEW_EMPTY;
        for (size_t i = 0; i < count; i++)
            if ((last.len == 0 || host_before(last, hosts[i])) && (next.len == 0 || host_before(hosts[i], next))) next = hosts[i];
        if (next.len == 0) break;
        buf_append_byte(key, ' ');
        for (size_t i = 0; i < next.len; i++) buf_append_byte(key, ascii_lower(next.at[i]));
        last = next;
    }
}

void site_find_limit(struct site *s)
{
    const struct outbound_options *o = &s->home->all->options;
    view hosts[ROUTE_HOSTS_MAX], rest = buf_view(&s->key), word;
    size_t count = 0;
    (void)view_cut(&rest, ' ', &word);
    while (count < ROUTE_HOSTS_MAX && view_cut(&rest, ' ', &word)) hosts[count++] = word;
    s->limit = s->home->rules ? answer_rules_limit(s->home->rules, buf_view(&s->domain), hosts, count) : (struct site_limit){0};
    if (s->limit.connections == 0 || s->limit.connections > o->connections_max) s->limit.connections = o->connections_max;
    if (s->limit.messages == 0 || s->limit.messages > o->messages_per_connection) s->limit.messages = o->messages_per_connection;
}

static void forget(struct timer *t)
{
    struct site *s = container_of(t, struct site, idle);
    check(s->members == 0 && s->connections == 0);
    map_remove(&s->home->sites, buf_view(&s->key));
    site_free(s);
}

struct site *site_of(struct outbound_loop *l, int pool, view domain, const view *hosts, size_t count)
{
    buf key = BUF_INIT;
    write_key(&key, pool, hosts, count);
    struct site *s = map_get(&l->sites, buf_view(&key));
    if (s) {
        buf_done(&key);
        return s;
    }
    s = calloc(1, sizeof *s);
    check(s);
    s->home = l;
    s->key = key;
    s->window = WINDOW_FIRST;
    list_init(&s->destinations);
    list_init(&s->lingering);
    buf_append(&s->domain, domain);
    site_find_limit(s);
    timer_init(&s->idle, forget);
    map_put(&l->sites, buf_view(&s->key), s);
    return s;
}

void site_free(struct site *s)
{
    timer_disarm(&s->idle);
    buf_done(&s->key);
    buf_done(&s->domain);
    buf_done(&s->reason);
    free(s);
}

void site_join(struct site *s, struct destination *d)
{
    struct site *before = d->site;
    if (before == s) return;
    site_leave(d);
    if (before) before->connections -= d->connections;
    d->site = s;
    s->members++;
    timer_disarm(&s->idle);
    s->connections += d->connections;
    if (d->waiting > 0) site_list(s, d);
    if (before) site_consider(before);
}

void site_list(struct site *s, struct destination *d)
{
    if (d->is_listed) return;
    d->is_listed = true;
    list_append(&s->destinations, &d->in_site);
}

void site_unlist(struct destination *d)
{
    if (d->is_listed) list_remove(&d->in_site);
    d->is_listed = false;
}

void site_leave(struct destination *d)
{
    struct site *s = d->site;
    site_unlist(d);
    d->site = NULL;
    if (!s || --s->members > 0) return;
    millis after = clock_in(IDLE_MS);
    timer_arm(&s->idle, millis_before(after, s->rests_until) ? s->rests_until : after);
}

/* ---- how much ---- */

/* Shards that this loop owns, as parts of a limit: shard n of 16 has what lies between n and n + 1 sixteenths of it. Turned by the key, so that not the same always have more. */
static unsigned share_of(const struct site *s, unsigned limit)
{
    const struct queue *q = s->home->all->queue;
    unsigned turn = (unsigned)crc32c(0, buf_view(&s->key)) % QUEUE_SHARDS, share = 0;
    for (unsigned i = 0; i < QUEUE_SHARDS; i++) {
        if (q->shards[i].loop != loop_self() || !q->shards[i].is_owned) continue;
        unsigned n = (i + turn) % QUEUE_SHARDS;
        share += limit * (n + 1) / QUEUE_SHARDS - limit * n / QUEUE_SHARDS;
    }
    return share;
}

static unsigned shards_here(const struct site *s)
{
    const struct queue *q = s->home->all->queue;
    unsigned count = 0;
    for (unsigned i = 0; i < QUEUE_SHARDS; i++) count += q->shards[i].loop == loop_self() && q->shards[i].is_owned;
    return count;
}

/* Others own shards and would be left without any connection. */
static bool needs_places(const struct site *s) { return s->limit.connections < QUEUE_SHARDS && shards_here(s) < QUEUE_SHARDS; }

unsigned site_window(const struct site *s)
{
    unsigned most = needs_places(s) ? s->limit.connections : share_of(s, s->limit.connections);
    if (most == 0) most = 1;             /* the last ones of a shard that was just given away */
    return s->window < most ? s->window : most;
}

unsigned site_messages_per_connection(const struct site *s) { return s->limit.messages; }

result site_await_turn(struct site *s)
{
    if (s->limit.rate == 0) return OK;
    unsigned mine = shards_here(s);
    int64_t now_us = clock_now_us(), interval_us = (int64_t)MINUTE_US * QUEUE_SHARDS / ((int64_t)s->limit.rate * (mine ? mine : 1));
    int64_t at_us = s->next_us > now_us ? s->next_us : now_us;
    s->next_us = at_us + interval_us;
    return at_us > now_us ? coroutine_sleep((at_us - now_us + 999) / 1000) : OK;
}

/* ---- turns ---- */

void site_consider(struct site *s)
{
    const struct destination *first = NULL;
    while (!list_is_empty(&s->destinations) && (!list_is_empty(&s->lingering) || s->connections < site_window(s))) {
        struct destination *d = container_of(s->destinations.next, struct destination, in_site);
        if (d == first) return;
        site_unlist(d);
        if (d->waiting == 0) continue;
        if (!first) first = d;
        site_list(s, d);
        destination_consider(d);
    }
}

struct destination *site_next(struct site *s)
{
    list_each(node, &s->destinations) {
        struct destination *d = container_of(node, struct destination, in_site);
        if (d->waiting == 0) site_unlist(d);
        if (d->waiting <= 2 * (size_t)d->connections || millis_before(clock_now(), d->rests_until)) continue;
        site_unlist(d);
        site_list(s, d);
        return d;
    }
    return NULL;
}

/* ---- connections that linger ---- */

struct idle { struct list node; struct destination *destination; struct waitlist woken; bool is_woken; };

result site_linger(struct site *s, struct destination **destination, int64_t duration_ms)
{
    struct idle idle = {.destination = *destination};
    waitlist_init(&idle.woken);
    list_append(&s->lingering, &idle.node);
    result code = waitlist_wait(&idle.woken, clock_in(duration_ms));
    list_remove(&idle.node);
    *destination = idle.destination;
    if (!idle.is_woken) return code;
    idle.destination->coming--;
    return code == CANCELLED ? code : OK;
}

static void wake_idle(struct idle *idle)
{
    list_remove(&idle->node);
    waitlist_wake_one(&idle->woken);
}

bool site_wake_idle(struct site *s, struct destination *d)
{
    if (list_is_empty(&s->lingering)) return false;
    struct idle *found = container_of(s->lingering.next, struct idle, node);
    list_each(node, &s->lingering) {
        struct idle *idle = container_of(node, struct idle, node);
        if (idle->destination != d) continue;
        found = idle;
        break;
    }
    if (found->destination != d) destination_hand_over(found->destination, d);
    found->destination = d;
    found->is_woken = true;
    d->coming++;
    wake_idle(found);
    return true;
}

void site_wake_all(struct site *s)
{
    list_each(node, &s->lingering) wake_idle(container_of(node, struct idle, node));
}

/* With some chance in it, so that many destinations behind one dead server do not come back as one. */
void site_rest(struct site *s, int64_t at_least_ms, view reason)
{
    /* Several connections fail at once: one rest. */
    if (millis_before(clock_now(), s->rests_until)) return;
    if (at_least_ms > 0) s->rest_ms = at_least_ms;
    else s->rest_ms = s->rest_ms == 0 ? REST_FIRST_MS : s->rest_ms * 2 > REST_MAX_MS ? REST_MAX_MS : s->rest_ms * 2;
    s->rests_until = clock_in(s->rest_ms + (int64_t)random_below((uint64_t)s->rest_ms / 8 + 1));
    s->window = 1;
    buf_clear(&s->reason);
    buf_append(&s->reason, reason);
    size_t waiting = 0;
    view first = buf_view(&s->key);
    list_each(node, &s->destinations) {
        struct destination *d = container_of(node, struct destination, in_site);
        if (d->waiting == 0) continue;
        waiting += d->waiting;
        first = view_of(d->domain);
        destination_consider(d);         /* arms what wakes it */
    }
    EVENT_EMIT(DESTINATION_RESTS, EVENT_TEXT("domain", first), EVENT_NUMBER("ms", s->rest_ms), EVENT_NUMBER("waiting", waiting), EVENT_TEXT("reason", reason));
}

/* ---- places of sites that take few ---- */

result site_take_place(struct site *s, struct site_place *ret_place)
{
    struct engine *e = s->home->all->queue->engine;
    struct site_place p = {.is_needed = needs_places(s)};
    if (p.is_needed) {
        unsigned limit = s->limit.connections, first = (unsigned)random_below(limit);
        id_text(random_id(), p.owner);
        for (unsigned i = 0; i < limit && !p.is_held; i++) {
            snprintf(p.name, sizeof p.name, "queue/site-%08x-%u", crc32c(0, buf_view(&s->key)), (first + i) % limit);
            p.is_held = lease_acquire(e, view_of(p.name), view_of(p.owner), SITE_LEASE_MS, clock_in(STORE_MS), NULL) == OK;
        }
        if (!p.is_held) return BUSY;
        p.renew_at = clock_in(SITE_LEASE_MS / 3);
    }
    *ret_place = p;
    return OK;
}

bool site_keep_place(struct site *s, struct site_place *p)
{
    if (!p->is_held || millis_before(clock_now(), p->renew_at)) return !p->is_needed || p->is_held;
    p->is_held = lease_renew(s->home->all->queue->engine, view_of(p->name), view_of(p->owner), SITE_LEASE_MS, clock_in(STORE_MS), NULL) == OK;
    p->renew_at = clock_in(SITE_LEASE_MS / 3);
    return p->is_held;
}

void site_leave_place(struct site *s, struct site_place *p)
{
    if (p->is_held) (void)!lease_release(s->home->all->queue->engine, view_of(p->name), view_of(p->owner), clock_in(STORE_MS), NULL);
    p->is_held = false;
}

/* ---- where from ---- */

/* The same for all pools. */
static view hosts_of(const struct site *s)
{
    view key = buf_view(&s->key), pool;
    (void)view_cut(&key, ' ', &pool);
    return key;
}

void site_block(struct site *s, const struct egress_address *a, int64_t ms, view answer)
{
    char text[ADDRESS_TEXT_MAX];
    if (!a || !egress_ledger_block(s->home->ledger, a, hosts_of(s), ms, answer)) return;
    EVENT_EMIT(EGRESS_BLOCKED, EVENT_TEXT("address", address_text(&a->address, text)), EVENT_TEXT("site", view_slice(hosts_of(s), 0, 200)), EVENT_NUMBER("ms", ms),
               EVENT_TEXT("answer", answer));
}

/* Of what an address may send in a day: what this loop has sent since the others were told stands for what they have. */
static bool has_room(const struct site *s, const struct egress_address *a)
{
    uint64_t limit = egress_day_limit(a, clock_wall()), written, since;
    if (limit == UINT64_MAX) return true;
    egress_ledger_sent(s->home->ledger, a, &written, &since);
    unsigned mine = shards_here(s);
    return written + since * QUEUE_SHARDS / (mine ? mine : 1) < limit;
}

bool site_choose_source(struct site *s, int pool, unsigned family, const struct egress_address **ret_address)
{
    const struct egress *e = s->home->all->options.egress;
    const struct egress_address *found = NULL;
    unsigned fit = 0;
    *ret_address = NULL;
    if (pool == EGRESS_NONE || !e) return true;
    for (size_t i = 0; i < e->pools[pool].address_count; i++) {
        const struct egress_address *a = &e->pools[pool].addresses[i];
        if (a->address.family != family) continue;
        if (egress_ledger_is_blocked(s->home->ledger, a, hosts_of(s)) || !has_room(s, a)) continue;
        fit++;
        if (random_below(fit) == 0) found = a;
    }
    *ret_address = found;
    return found != NULL;
}

void site_count_sent(struct site *s, const struct egress_address *a)
{
    if (!a || a->warm_from.ms == 0) return;
    egress_ledger_count(s->home->ledger, a);
}
