/* What is demanded of a server: by what its domain publishes, by the operator's route, and by the sender of a message. */
#include "flow/transport.h"

#include "base/check.h"
#include "base/test.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/sim/sim.h"

#define MX VIEW("mx.other.test")

enum published { NOTHING, DANE, DANE_OF_NO_USE, DANE_FORGED, DANE_SILENT };      /* at the host */

struct attempt {
    /* What there is. MX records and addresses are vouched for by DNSSEC where a TLSA record is. */
    enum published published;
    enum mta_sts_mode sts;
    const char *pattern;                 /* of the policy */
    enum route_tls route;
    enum transport_wish wish;
    bool is_literal, mx_is_insecure, has_no_tls;
    /* What is to come of it. */
    result code;
    enum transport_level level;
    enum tls_check check;
    bool is_reported_only, needs_requiretls;
};

struct asking { const struct attempt *attempt; struct sim *sim; };

MAY_YIELD static void compare(const struct attempt *t, size_t number, result code, const struct transport_plan *p)
{
    bool is_as_wanted = code == t->code;
    if (code == OK) {
        is_as_wanted &= p->level == t->level && p->demand.check == t->check && p->demand.is_reported_only == t->is_reported_only &&
                        p->needs_requiretls == t->needs_requiretls;
        /* Whatever is verified is verified against something. */
        is_as_wanted &= t->check != TLS_CHECK_NAME || (p->demand.name_count == 1 && view_equal(p->demand.names[0], MX));
        is_as_wanted &= t->check != TLS_CHECK_DANE || p->demand.association_count == 1;
    }
    if (!is_as_wanted)
        test_fail(__FILE__, __LINE__, "attempt %zu: %s, level %d, check %d, %d, %d", number, result_name(code), (int)p->level, (int)p->demand.check,
                  p->demand.is_reported_only, p->needs_requiretls);
}

static void publish(struct sim *s, enum published published)
{
    static const char record[35] = {3, 1, 1, 'x'}, of_no_use[35] = {0, 0, 1, 'x'};
    view name = VIEW("_25._tcp.mx.other.test");
    if (published == NOTHING) return;
    sim_dns_secure(s, VIEW("other.test"));
    if (published == DANE_FORGED) sim_dns_forge(s, name);
    else if (published == DANE_SILENT) sim_dns_fail(s, name, true);
    else sim_dns_put(s, name, DNS_TLSA, view_make(published == DANE ? record : of_no_use, sizeof record));
}

MAY_YIELD static void plan_one(const struct attempt *t, size_t number, struct resolver *r, struct tls_context *tls)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct outbound_options o = outbound_default_options();
    bool is_secure = t->published != NOTHING;
    view pattern = view_of(t->pattern ? t->pattern : "");
    struct route_host host = {.name = t->is_literal ? VIEW("192.0.2.1") : MX, .canonical = MX, .is_literal = t->is_literal, .is_secure = is_secure, .port = 25};
    struct route route = {.hosts = &host, .host_count = 1, .has_mx = true, .is_secure = is_secure && !t->mx_is_insecure, .canonical = VIEW("other.test"), .tls = t->route};
    struct transport_domain domain = {.route = &route, .name = VIEW("other.test"), .wish = t->wish};
    struct transport_plan plan = {0};
    struct fault fault = {0};
    o.resolver = r;
    o.tls = t->has_no_tls ? NULL : tls;
    if (t->pattern) domain.sts = (struct mta_sts_found){.has_policy = true, .policy = {.mode = t->sts, .patterns = &pattern, .pattern_count = 1}};
    result code = transport_plan(&o, &domain, &host, clock_in(60000), arena, &plan, &fault);
    compare(t, number, code, &plan);
}

static void plan_here(void *argument)
{
    colour_pretend_coroutine();
    struct asking *a = argument;
    struct resolver *r;
    struct tls_context *tls;
    colour_pretend_worker();
    REQUIRE(resolver_new(&(struct resolver_options){0}, loop_family(loop_self()), &r, NULL) == OK);
    REQUIRE(tls_context_new_client(&tls, NULL) == OK);
    plan_one(a->attempt, (size_t)(sim_seed(a->sim) - 1), r, tls);
    tls_context_free(tls);
    resolver_free(r);
}

static void try_all(const struct attempt *attempts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct sim *s = sim_open(1 + i);
        publish(s, attempts[i].published);
        sim_call(sim_node_new(s, "out", 1), 0, plan_here, &(struct asking){&attempts[i], s});
        sim_close(s);
    }
}

TEST(transport_keeps_to_what_the_other_side_publishes)
{
    static const struct attempt attempts[] = {
        {.level = TRANSPORT_OPPORTUNISTIC},
        {.has_no_tls = true, .level = TRANSPORT_CLEAR},
        {.published = DANE, .level = TRANSPORT_VERIFIED, .check = TLS_CHECK_DANE},
        {.published = DANE, .mx_is_insecure = true, .level = TRANSPORT_VERIFIED, .check = TLS_CHECK_DANE},
        {.published = DANE_OF_NO_USE, .level = TRANSPORT_ENCRYPTED},
        {.published = DANE_FORGED, .code = UNAVAILABLE},
        {.published = DANE_SILENT, .code = UNAVAILABLE},
        {.pattern = "mx.other.test", .sts = MTA_STS_ENFORCE, .level = TRANSPORT_VERIFIED, .check = TLS_CHECK_NAME},
        {.pattern = "*.other.test", .sts = MTA_STS_ENFORCE, .level = TRANSPORT_VERIFIED, .check = TLS_CHECK_NAME},
        {.pattern = "mail.other.test", .sts = MTA_STS_ENFORCE, .code = DENIED},
        {.pattern = "mail.other.test", .sts = MTA_STS_TESTING, .level = TRANSPORT_OPPORTUNISTIC, .check = TLS_CHECK_NAME, .is_reported_only = true},
        {.pattern = "mx.other.test", .sts = MTA_STS_TESTING, .level = TRANSPORT_OPPORTUNISTIC, .check = TLS_CHECK_NAME, .is_reported_only = true},
        {.pattern = "mail.other.test", .sts = MTA_STS_NONE, .level = TRANSPORT_OPPORTUNISTIC},
        /* DANE goes before MTA-STS where DNSSEC vouches for all of the way; for the host alone the policy still has a say. */
        {.published = DANE, .pattern = "mail.other.test", .sts = MTA_STS_ENFORCE, .level = TRANSPORT_VERIFIED, .check = TLS_CHECK_DANE},
        {.published = DANE, .mx_is_insecure = true, .pattern = "mail.other.test", .sts = MTA_STS_ENFORCE, .code = DENIED},
        {.published = DANE, .mx_is_insecure = true, .pattern = "mx.other.test", .sts = MTA_STS_ENFORCE, .level = TRANSPORT_VERIFIED, .check = TLS_CHECK_DANE},
        {.published = DANE_OF_NO_USE, .pattern = "mx.other.test", .sts = MTA_STS_ENFORCE, .level = TRANSPORT_VERIFIED, .check = TLS_CHECK_NAME},
    };
    try_all(attempts, array_size(attempts));
}

TEST(transport_does_what_operators_and_senders_want)
{
    static const struct attempt attempts[] = {
        {.route = ROUTE_TLS_NEVER, .level = TRANSPORT_CLEAR},
        {.route = ROUTE_TLS_NEVER, .published = DANE, .level = TRANSPORT_CLEAR},
        {.route = ROUTE_TLS_REQUIRED, .level = TRANSPORT_ENCRYPTED},
        {.route = ROUTE_TLS_REQUIRED, .published = DANE, .level = TRANSPORT_VERIFIED, .check = TLS_CHECK_DANE},
        {.route = ROUTE_TLS_VERIFIED, .level = TRANSPORT_VERIFIED, .check = TLS_CHECK_NAME},
        {.route = ROUTE_TLS_VERIFIED, .is_literal = true, .code = DENIED},
        {.route = ROUTE_TLS_VERIFIED, .pattern = "mx.other.test", .sts = MTA_STS_TESTING, .level = TRANSPORT_VERIFIED, .check = TLS_CHECK_NAME},
        /* TLS-Required: No counts against what is published, not against what an operator wants. */
        {.wish = TRANSPORT_OPTIONAL, .published = DANE, .level = TRANSPORT_OPPORTUNISTIC},
        {.wish = TRANSPORT_OPTIONAL, .published = DANE_FORGED, .level = TRANSPORT_OPPORTUNISTIC},
        {.wish = TRANSPORT_OPTIONAL, .route = ROUTE_TLS_VERIFIED, .level = TRANSPORT_VERIFIED, .check = TLS_CHECK_NAME},
        /* REQUIRETLS wants a name that nobody else could have put there. */
        {.wish = TRANSPORT_REQUIRED, .code = DENIED},
        {.wish = TRANSPORT_REQUIRED, .has_no_tls = true, .published = DANE, .code = DENIED},
        {.wish = TRANSPORT_REQUIRED, .route = ROUTE_TLS_NEVER, .published = DANE, .code = DENIED},
        {.wish = TRANSPORT_REQUIRED, .is_literal = true, .published = DANE, .code = DENIED},
        {.wish = TRANSPORT_REQUIRED, .published = DANE, .level = TRANSPORT_VERIFIED, .check = TLS_CHECK_DANE, .needs_requiretls = true},
        {.wish = TRANSPORT_REQUIRED, .published = DANE_OF_NO_USE, .level = TRANSPORT_VERIFIED, .check = TLS_CHECK_NAME, .needs_requiretls = true},
        {.wish = TRANSPORT_REQUIRED, .published = DANE, .mx_is_insecure = true, .code = DENIED},
        {.wish = TRANSPORT_REQUIRED, .pattern = "mx.other.test", .sts = MTA_STS_ENFORCE, .level = TRANSPORT_VERIFIED, .check = TLS_CHECK_NAME, .needs_requiretls = true},
        {.wish = TRANSPORT_REQUIRED, .pattern = "mail.other.test", .sts = MTA_STS_TESTING, .code = DENIED},
    };
    try_all(attempts, array_size(attempts));
}

/* ---- what a connection that is open is good for ---- */
static struct tls_association association = {3, 1, 1, VIEW_INIT("0123456789abcdef")};

static struct transport_plan verified(void)
{
    struct transport_plan p = {.level = TRANSPORT_VERIFIED, .is_by_sts = true};
    p.demand = (struct tls_demand){.check = TLS_CHECK_NAME, .server_name = VIEW("mx.example.test"), .names = {VIEW("mx.example.test")}, .name_count = 1};
    return p;
}

static struct transport_plan by_dane(void)
{
    struct transport_plan p = {.level = TRANSPORT_VERIFIED, .dane = {.state = DANE_USABLE}};
    p.demand = (struct tls_demand){.check = TLS_CHECK_DANE, .server_name = VIEW("mx.example.test"), .names = {VIEW("mx.example.test"), VIEW("example.test")},
                                   .name_count = 2, .associations = &association, .association_count = 1};
    return p;
}

static struct transport_plan one, p;         /* too large for a frame */

#define EXPECT_DIFFERS(make, change) do { \
        one = p = make(); \
        EXPECT(transport_plan_equal(&one, &p)); \
        change; \
        EXPECT(!transport_plan_equal(&one, &p) && !transport_plan_equal(&p, &one)); \
    } while (0)

TEST(transport_plans_are_the_same_only_to_the_last_detail)
{
    EXPECT_DIFFERS(verified, p.level = TRANSPORT_OPPORTUNISTIC);
    EXPECT_DIFFERS(verified, p.level = TRANSPORT_ENCRYPTED);
    EXPECT_DIFFERS(verified, p.needs_requiretls = true);
    EXPECT_DIFFERS(verified, p.is_by_sts = false);
    EXPECT_DIFFERS(verified, p.is_outside_sts = true);
    EXPECT_DIFFERS(verified, p.demand.check = TLS_CHECK_NOTHING);
    EXPECT_DIFFERS(verified, p.demand.is_reported_only = true);
    EXPECT_DIFFERS(verified, p.demand.server_name = VIEW("mx2.example.test"));
    EXPECT_DIFFERS(verified, p.demand.names[0] = VIEW("mx2.example.test"));
    EXPECT_DIFFERS(verified, p.demand.name_count = 0);
    EXPECT_DIFFERS(by_dane, p.dane.state = DANE_UNUSABLE);
    EXPECT_DIFFERS(by_dane, p.demand.names[1] = VIEW("other.test"));
    EXPECT_DIFFERS(by_dane, p.demand.association_count = 0);
    struct tls_association others[] = {{2, 1, 1, association.data}, {3, 0, 1, association.data}, {3, 1, 2, association.data}, {3, 1, 1, VIEW("0123456789abcdeF")}};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) EXPECT_DIFFERS(by_dane, p.demand.associations = &others[i]);
}
