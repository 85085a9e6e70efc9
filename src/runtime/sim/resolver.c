/* The domain name system of a world: what the test has put there, after a random delay. */
#include <stdlib.h>

#include "runtime/resolver.h"
#include "runtime/coroutine.h"
#include "runtime/sim/sim_private.h"

enum { DELAY_MAX_MS = 20, TTL_S = 300, ALIASES_MAX = 8 };
/* In place of a type: the servers of the name fail; its answers are forged; the zone of that name is secure. */
enum { NAME_FAILS = 0, NAME_IS_FORGED = 0x10001, ZONE_IS_SECURE = 0x10002 };

struct resolver { struct sim *world; };

struct sim_dns {
    struct list node;
    buf name, record;
    unsigned type;                         /* or one of these: */
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
        if (d->type == NAME_FAILS && is_named(d, name)) dns_free(d);
    }
    if (fails) dns_add(s, name, NAME_FAILS);
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

void sim_dns_secure(struct sim *s, view zone) { dns_add(s, zone, ZONE_IS_SECURE); }
void sim_dns_forge(struct sim *s, view name) { dns_add(s, name, NAME_IS_FORGED); }

static bool is_in_zone(view name, view zone)
{
    return view_equal_nocase(name, zone) || (view_ends_nocase(name, zone) && name.at[name.len - zone.len - 1] == '.');
}

static bool is_secure(struct sim *s, view name)
{
    list_each(node, &s->dns) {
        struct sim_dns *d = container_of(node, struct sim_dns, node);
        if (d->type == ZONE_IS_SECURE && is_in_zone(name, buf_view(&d->name))) return true;
    }
    return false;
}

/* One name, without following aliases. *ret_alias: the record that leads on. */
static result look_up(struct sim *s, view name, enum dns_type type, struct arena *arena, struct dns_answer *answer, view *ret_alias, struct fault *fault)
{
    answer->has_name = false;
    list_each(node, &s->dns) {
        struct sim_dns *d = container_of(node, struct sim_dns, node);
        if (d->type == ZONE_IS_SECURE || !is_named(d, name)) continue;
        if (d->type == NAME_FAILS) return fail(fault, UNAVAILABLE, "DNS " VIEW_FMT ": servers fail", VIEW_ARG(name));
        answer->is_bogus = d->type == NAME_IS_FORGED;
        if (answer->is_bogus) return fail(fault, UNAVAILABLE, "DNS " VIEW_FMT ": bogus", VIEW_ARG(name));
        answer->has_name = true;
        if (d->type == DNS_CNAME && type != DNS_CNAME && !dns_name_parse(buf_view(&d->record), arena, ret_alias)) check(false);
        if (d->type == (unsigned)type && answer->count < RESOLVER_RECORDS_MAX) answer->records[answer->count++] = arena_keep(arena, buf_view(&d->record));
    }
    return OK;
}

result resolver_ask(struct resolver *r, view name, enum dns_type type, millis deadline, struct arena *arena, struct dns_answer *ret_answer,
                    struct fault *fault)
{
    struct dns_answer answer = {.ttl_s = TTL_S, .is_secure = true, .records = arena_array(arena, view, RESOLVER_RECORDS_MAX)};
    if (!dns_name_is_valid(name)) return fail(fault, INVALID, "not a domain name: " VIEW_FMT, VIEW_ARG(name));
    result code = coroutine_sleep((int64_t)sim_choose(r->world, DELAY_MAX_MS));
    if (code != OK) return fail(fault, code, "DNS");
    answer.canonical = arena_keep(arena, name);
    for (unsigned i = 0; i < ALIASES_MAX; i++) {
        view alias = VIEW_EMPTY;
        code = look_up(r->world, answer.canonical, type, arena, &answer, &alias, fault);
        answer.is_secure &= is_secure(r->world, answer.canonical);
        *ret_answer = answer;
        if (code != OK) return code;
        if (!alias.len) break;
        answer.canonical = alias;
    }
    return answer.count ? OK : fail(fault, NOT_FOUND, "DNS " VIEW_FMT ": no such %s", VIEW_ARG(name), answer.has_name ? "record" : "name");
}
