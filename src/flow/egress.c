#include "flow/egress.h"

#include <stdio.h>

#include "base/check.h"
#include "runtime/clock.h"
#include "runtime/event.h"
#include "runtime/resolver.h"

enum { DAY_MS = 24 * 3600 * 1000, DOUBLINGS_MAX = 40, ASK_MS = 20000, CHECK_ARENA_BYTES = 8 << 20, REVERSE_NAME_MAX = 80 };

/* ---- choosing ---- */

static bool is_for(const struct egress_pool *p, view tenant, enum queue_class class, enum queue_standing standing)
{
    if (p->standings && !(p->standings & 1u << standing)) return false;
    if (p->classes && !(p->classes & 1u << class)) return false;
    for (size_t i = 0; i < p->tenant_count; i++)
        if (view_equal_nocase(p->tenants[i], tenant)) return true;
    return p->tenant_count == 0;
}

int egress_pool_of(const struct egress *e, view tenant, enum queue_class class, enum queue_standing standing)
{
    for (size_t i = 0; e && i < e->pool_count; i++)
        if (is_for(&e->pools[i], tenant, class, standing)) return (int)i;
    return EGRESS_NONE;
}

uint64_t egress_day_limit(const struct egress_address *a, unix_ms now)
{
    if (a->warm_from.ms == 0) return UINT64_MAX;
    int64_t days = now.ms < a->warm_from.ms ? -1 : (now.ms - a->warm_from.ms) / DAY_MS;
    if (days < 0) return 0;
    return days >= DOUBLINGS_MAX ? UINT64_MAX : a->warm_first << days;
}

/* ---- what DNS says of an address ---- */

/* RFC 1035 §3.5, RFC 3596 §2.5. */
static view reverse_name(const struct address *a, struct arena *arena)
{
    buf name CLEANUP(buf_done) = BUF_INIT;
    if (a->family == 4) {
        buf_appendf(&name, "%u.%u.%u.%u.in-addr.arpa", a->bytes[3], a->bytes[2], a->bytes[1], a->bytes[0]);
    } else {
        for (int i = 15; i >= 0; i--) buf_appendf(&name, "%x.%x.", a->bytes[i] & 15, a->bytes[i] >> 4);
        buf_append(&name, VIEW("ip6.arpa"));
    }
    return arena_keep(arena, buf_view(&name));
}

MAY_YIELD static bool leads_to(struct resolver *r, view name, const struct address *a, struct arena *arena)
{
    struct dns_answer answer;
    struct address found;
    enum dns_type type = a->family == 4 ? DNS_A : DNS_AAAA;
    if (resolver_ask(r, name, type, clock_in(ASK_MS), arena, &answer, NULL) != OK) return false;
    for (size_t i = 0; i < answer.count; i++)
        if (dns_address_parse(answer.records[i], type, &found) && address_equal(&found, a)) return true;
    return false;
}

/* NULL: all is well. */
MAY_YIELD static const char *problem_of(struct resolver *r, const struct egress_address *a, struct arena *arena)
{
    struct dns_answer answer;
    view name;
    result code = resolver_ask(r, reverse_name(&a->address, arena), DNS_PTR, clock_in(ASK_MS), arena, &answer, NULL);
    if (code == NOT_FOUND) return "it has no name in DNS (PTR)";
    if (code != OK) return "DNS does not answer for its name (PTR)";
    for (size_t i = 0; i < answer.count; i++) {
        if (!dns_name_parse(answer.records[i], arena, &name) || !leads_to(r, name, &a->address, arena)) continue;
        return leads_to(r, a->hello, &a->address, arena) ? NULL : "the name that it says in EHLO does not lead to it";
    }
    return "its name in DNS does not lead back to it";
}

unsigned egress_check(const struct egress *e, struct resolver *r)
{
    unsigned problems = 0;
    for (size_t p = 0; p < e->pool_count; p++)
        for (size_t i = 0; i < e->pools[p].address_count; i++) {
            struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, CHECK_ARENA_BYTES);
            const struct egress_address *a = &e->pools[p].addresses[i];
            char text[ADDRESS_TEXT_MAX];
            const char *problem = problem_of(r, a, arena);
            if (!problem) continue;
            problems++;
            EVENT_EMIT(EGRESS_NOT_CONFIRMED, EVENT_TEXT("pool", e->pools[p].name), EVENT_TEXT("address", address_text(&a->address, text)), EVENT_TEXT("hello", a->hello),
                       EVENT_TEXT("problem", view_of(problem)));
        }
    return problems;
}
