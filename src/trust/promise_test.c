/* What domains promise of their servers, in the simulator: DANE from DNS, MTA-STS from DNS and HTTPS, and the table that keeps it. */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/test.h"
#include "engine/memory.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/sim/sim.h"
#include "trust/dane.h"
#include "trust/mta_sts.h"

enum { PATIENCE_MS = 60 * 1000, HOUR_MS = 3600 * 1000 };

struct world {
    struct sim *sim;
    struct sim_node *node;
    struct memory_store *store;
    struct engine *engine;
    struct resolver *resolver;
    struct http *http;
    struct mta_sts *sts;
};

static void open_inside(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    struct loops *all = loop_family(loop_self());
    w->engine = engine_open_memory(w->store);
    REQUIRE(resolver_new(&(struct resolver_options){0}, all, &w->resolver, NULL) == OK);
    REQUIRE(http_new(&(struct http_options){0}, &w->http, NULL) == OK);
    w->sts = mta_sts_new(w->engine, w->resolver, w->http, all);
}

static void close_inside(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    colour_pretend_worker();
    mta_sts_free(w->sts);
    http_free(w->http);
    resolver_free(w->resolver);
    engine_close(w->engine);
}

static struct world *world_open(void)
{
    struct world *w = calloc(1, sizeof *w);
    check(w);
    w->sim = sim_open(1);
    sim_set_call_limit(w->sim, 400 * 24 * (int64_t)HOUR_MS);
    w->node = sim_node_new(w->sim, "a", 1);
    w->store = memory_store_new();
    sim_call(w->node, 0, open_inside, w);
    return w;
}

static void world_close(struct world *w)
{
    sim_call(w->node, 0, close_inside, w);
    memory_store_free(w->store);
    sim_close(w->sim);
    free(w);
}

/* ---- DANE ---- */

/* Usage, selector, matching type 1, 32 bytes. */
static void put_tlsa(struct world *w, const char *name, char usage, char selector)
{
    char record[35] = {usage, selector, 1, 'x'};
    sim_dns_put(w->sim, view_of(name), DNS_TLSA, view_make(record, sizeof record));
}

struct asking { struct world *world; struct dane_host host; struct arena *arena; struct dane got; result code; };

static void ask_inside(void *argument)
{
    colour_pretend_coroutine();
    struct asking *a = argument;
    a->code = dane_find(a->world->resolver, &a->host, clock_in(PATIENCE_MS), a->arena, &a->got, NULL);
}

static struct asking ask(struct world *w, struct arena *arena, const char *name, const char *canonical, bool is_secure)
{
    struct asking a = {.world = w, .arena = arena, .host = {view_of(name), view_of(canonical), is_secure, 25}};
    sim_call(w->node, 0, ask_inside, &a);
    return a;
}

TEST(dane_believes_what_dnssec_vouches_for)
{
    struct world *w = world_open();
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    sim_dns_secure(w->sim, VIEW("good.test"));
    put_tlsa(w, "_25._tcp.mx.good.test", 3, 1);
    put_tlsa(w, "_25._tcp.mx.good.test", 1, 1);
    put_tlsa(w, "_25._tcp.old.good.test", 1, 1);
    put_tlsa(w, "_25._tcp.mx.plain.test", 3, 1);
    struct asking a = ask(w, arena, "mx.good.test", "mx.good.test", true);
    EXPECT(a.code == OK && a.got.state == DANE_USABLE && a.got.association_count == 1 && a.got.associations[0].usage == 3);
    EXPECT_VIEW(view_slice(dane_text(&a.got, 0, arena), 0, 38), VIEW("_25._tcp.mx.good.test. IN TLSA 3 1 1 7"));
    EXPECT(ask(w, arena, "old.good.test", "old.good.test", true).got.state == DANE_UNUSABLE);
    EXPECT(ask(w, arena, "none.good.test", "none.good.test", true).got.state == DANE_NONE);
    EXPECT(ask(w, arena, "mx.good.test", "mx.good.test", false).got.state == DANE_NONE);        /* the addresses are not vouched for */
    EXPECT(ask(w, arena, "mx.plain.test", "mx.plain.test", true).got.state == DANE_NONE);
    world_close(w);
}

TEST(dane_does_without_what_cannot_be_known)
{
    struct world *w = world_open();
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    sim_dns_secure(w->sim, VIEW("good.test"));
    sim_dns_forge(w->sim, VIEW("_25._tcp.forged.good.test"));
    sim_dns_fail(w->sim, VIEW("_25._tcp.dead.good.test"), true);
    struct asking a = ask(w, arena, "forged.good.test", "forged.good.test", true);
    EXPECT(a.code == UNAVAILABLE && a.got.is_bogus);
    a = ask(w, arena, "dead.good.test", "dead.good.test", true);
    EXPECT(a.code == UNAVAILABLE && !a.got.is_bogus);
    world_close(w);
}

/* RFC 7672 §2.2.2. */
TEST(dane_follows_aliases)
{
    struct world *w = world_open();
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    sim_dns_secure(w->sim, VIEW("good.test"));
    sim_dns_put(w->sim, VIEW("alias.good.test"), DNS_CNAME, VIEW("\2mx\5plain\4test\0"));
    put_tlsa(w, "_25._tcp.mx.good.test", 3, 1);
    put_tlsa(w, "_25._tcp.alias.good.test", 2, 0);
    struct asking a = ask(w, arena, "alias.good.test", "mx.good.test", true);
    EXPECT(a.got.state == DANE_USABLE && a.got.associations[0].usage == 3);
    EXPECT_VIEW(a.got.base, VIEW("mx.good.test"));
    a = ask(w, arena, "alias.good.test", "none.good.test", true);
    EXPECT(a.got.state == DANE_USABLE && a.got.associations[0].usage == 2);
    EXPECT_VIEW(a.got.base, VIEW("alias.good.test"));
    a = ask(w, arena, "alias.good.test", "mx.plain.test", false);       /* the alias is vouched for, what it leads to is not */
    EXPECT_VIEW(a.got.base, VIEW("alias.good.test"));
    world_close(w);
}

/* ---- MTA-STS ---- */

static const char policy_url[] = "https://mta-sts.sts.test/.well-known/mta-sts.txt";

struct finding { struct world *world; struct arena *arena; struct mta_sts_found got; result code; int64_t after_ms; };

static void find_inside(void *argument)
{
    colour_pretend_coroutine();
    struct finding *f = argument;
    if (f->after_ms) (void)!coroutine_sleep(f->after_ms);
    f->code = mta_sts_find(f->world->sts, VIEW("STS.test"), clock_in(PATIENCE_MS), f->arena, &f->got, NULL);
}

static struct mta_sts_found find(struct world *w, struct arena *arena, int64_t after_ms)
{
    struct finding f = {.world = w, .arena = arena, .after_ms = after_ms};
    sim_call(w->node, 0, find_inside, &f);
    EXPECT(f.code == OK);
    return f.got;
}

static void publish(struct world *w, const char *mode)
{
    char text[200];
    snprintf(text, sizeof text, "version: STSv1\nmode: %s\nmx: mx.sts.test\nmax_age: %d\n", mode, 10 * 24 * 3600);
    sim_http_put(w->sim, view_of(policy_url), 200, view_of(text));
}

static void put_record(struct world *w, const char *id)
{
    char record[64];
    int len = snprintf(record, sizeof record, "%cv=STSv1; id=%s;", 0, id);
    record[0] = (char)(len - 1);
    sim_dns_put(w->sim, VIEW("_mta-sts.sts.test"), DNS_TXT, view_make(record, (size_t)len));
}

TEST(mta_sts_keeps_a_promise_until_its_end)
{
    struct world *w = world_open();
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 16 << 20);
    EXPECT(!find(w, arena, 0).has_policy && sim_http_asked(w->sim) == 0);
    sim_dns_put(w->sim, VIEW("mta-sts.sts.test"), DNS_A, VIEW("\300\0\2\1"));
    put_record(w, "1");
    publish(w, "enforce");
    EXPECT(!find(w, arena, 0).has_policy);                              /* the answer of a moment ago */
    EXPECT(find(w, arena, HOUR_MS).policy.mode == MTA_STS_ENFORCE);
    EXPECT_NUMBER(sim_http_asked(w->sim), 1);
    EXPECT(find(w, arena, HOUR_MS).has_policy && sim_http_asked(w->sim) == 1);
    /* Somebody stands in the way of DNS and HTTPS; the node is started anew. */
    sim_dns_fail(w->sim, VIEW("_mta-sts.sts.test"), true);
    sim_http_put(w->sim, view_of(policy_url), 404, VIEW_EMPTY);
    sim_call(w->node, 0, close_inside, w);
    sim_call(w->node, 0, open_inside, w);
    EXPECT(find(w, arena, 0).policy.mode == MTA_STS_ENFORCE);
    EXPECT(find(w, arena, 9ll * 24 * HOUR_MS).has_policy);
    EXPECT(!find(w, arena, 2ll * 24 * HOUR_MS).has_policy);
    world_close(w);
}

TEST(mta_sts_fetches_what_is_new)
{
    struct world *w = world_open();
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 16 << 20);
    sim_dns_put(w->sim, VIEW("mta-sts.sts.test"), DNS_A, VIEW("\300\0\2\1"));
    put_record(w, "1");
    publish(w, "testing");
    EXPECT(find(w, arena, 0).policy.mode == MTA_STS_TESTING);
    publish(w, "none");
    EXPECT(find(w, arena, 2 * HOUR_MS).policy.mode == MTA_STS_TESTING);                 /* the same id */
    EXPECT(find(w, arena, 23ll * HOUR_MS).policy.mode == MTA_STS_NONE);                 /* a day later it is looked at in any case */
    /* What is published is broken: what was holds, and the trouble is told. */
    sim_http_put(w->sim, view_of(policy_url), 200, VIEW("<html>"));
    struct mta_sts_found found = find(w, arena, 25ll * HOUR_MS);
    EXPECT(found.has_policy && found.trouble == MTA_STS_INVALID);
    unsigned asked = sim_http_asked(w->sim);
    (void)find(w, arena, 2 * 60 * 1000);
    EXPECT_NUMBER(sim_http_asked(w->sim), asked);                                       /* not again so soon */
    sim_http_put(w->sim, view_of(policy_url), 0, VIEW_EMPTY);
    EXPECT(find(w, arena, HOUR_MS).trouble == MTA_STS_WEBPKI_INVALID);
    world_close(w);
}

/* §3.1: two records are none. */
TEST(mta_sts_wants_one_record)
{
    struct world *w = world_open();
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 16 << 20);
    sim_dns_put(w->sim, VIEW("mta-sts.sts.test"), DNS_A, VIEW("\300\0\2\1"));
    put_record(w, "1");
    put_record(w, "2");
    publish(w, "enforce");
    EXPECT(!find(w, arena, 0).has_policy && sim_http_asked(w->sim) == 0);
    world_close(w);
}
