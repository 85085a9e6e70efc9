/* The domain name system of a world: what the test has put there, after a random delay. */
#include <stdlib.h>

#include "runtime/resolver.h"
#include "runtime/coroutine.h"
#include "runtime/sim/sim_private.h"

enum { DELAY_MAX_MS = 20, TTL_S = 300 };

struct resolver { struct sim *world; };

struct sim_dns {
    struct list node;
    buf name, record;
    unsigned type;                         /* 0: the servers of the name fail */
};

static struct sim_dns *dns_add(struct sim *s, view name, unsigned type)
{
    struct sim_dns *d = calloc(1, sizeof *d);
    check(d);
    buf_append(&d->name, name);
    d->type = type;
    list_append(&s->dns, &d->node);
    return d;
}

static void dns_free(struct sim_dns *d)
{
    list_remove(&d->node);
    buf_done(&d->name);
    buf_done(&d->record);
    free(d);
}

static bool is_named(const struct sim_dns *d, view name) { return view_equal_nocase(buf_view(&d->name), name); }

void sim_dns_put(struct sim *s, view name, unsigned type, view record)
{
    buf_append(&dns_add(s, name, type)->record, record);
}

void sim_dns_fail(struct sim *s, view name, bool fails)
{
    list_each(node, &s->dns) {
        struct sim_dns *d = container_of(node, struct sim_dns, node);
        if (d->type == 0 && is_named(d, name)) dns_free(d);
    }
    if (fails) dns_add(s, name, 0);
}

void sim_dns_clear(struct sim *s)
{
    list_each(node, &s->dns) dns_free(container_of(node, struct sim_dns, node));
}

result resolver_new(const struct resolver_options *options, struct loops *all, struct resolver **ret_resolver, struct fault *fault)
{
    struct resolver *r = calloc(1, sizeof *r);
    check(r);
    r->world = sim_current();
    *ret_resolver = r;
    return OK;
}

void resolver_free(struct resolver *r) { free(r); }

result resolver_ask(struct resolver *r, view name, enum dns_type type, millis deadline, struct arena *arena, struct dns_answer *ret_answer,
                    struct fault *fault)
{
    struct dns_answer answer = {.ttl_s = TTL_S, .records = arena_array(arena, view, RESOLVER_RECORDS_MAX)};
    if (!dns_name_is_valid(name)) return fail(fault, INVALID, "not a domain name: " VIEW_FMT, VIEW_ARG(name));
    result code = coroutine_sleep((int64_t)sim_choose(r->world, DELAY_MAX_MS));
    if (code != OK) return fail(fault, code, "DNS");
    list_each(node, &r->world->dns) {
        struct sim_dns *d = container_of(node, struct sim_dns, node);
        if (!is_named(d, name)) continue;
        if (d->type == 0) return fail(fault, UNAVAILABLE, "DNS " VIEW_FMT ": servers fail", VIEW_ARG(name));
        answer.has_name = true;
        if (d->type == (unsigned)type && answer.count < RESOLVER_RECORDS_MAX) answer.records[answer.count++] = arena_keep(arena, buf_view(&d->record));
    }
    *ret_answer = answer;
    return answer.count ? OK : fail(fault, NOT_FOUND, "DNS " VIEW_FMT ": no such %s", VIEW_ARG(name), answer.has_name ? "record" : "name");
}
