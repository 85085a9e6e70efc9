/* Who gets a message: aliases that nest, loop and grow too wide; and what one answer says of many recipients. */
#include <stdio.h>

#include "base/check.h"
#include "base/test.h"
#include "engine/memory.h"
#include "flow/delivery.h"
#include "flow/forward.h"
#include "identity/secrets.h"
#include "trust/return_path.h"
#include "runtime/clock.h"
#include "identity/directory.h"
#include "runtime/clock.h"
#include "runtime/event.h"
#include "runtime/sim/sim.h"

struct flow {
    struct engine *engine;
    struct intake intake;
    struct arena *arena, *scratch;
};

MAY_YIELD static void add_account(struct flow *f, const char *address, enum account_standing standing)
{
    struct directory_account_change change = {.sets_password = true, .password = VIEW("{PLAIN}x"), .sets_standing = true, .standing = standing};
    struct fault fault = {0};
    struct id id;
    if (directory_add_account(f->intake.identity, view_of(address), &change, MILLIS_NEVER, &id, &fault) != OK)
        test_fail(__FILE__, __LINE__, "%s: %s", address, fault.detail);
}

MAY_YIELD static void add_alias(struct flow *f, const char *address, const view *targets, size_t count)
{
    struct fault fault = {0};
    if (directory_add_alias(f->intake.identity, view_of(address), targets, count, false, MILLIS_NEVER, &fault) != OK)
        test_fail(__FILE__, __LINE__, "%s: %s", address, fault.detail);
}

MAY_YIELD static enum smtp_status_name decide(struct flow *f, const char *local_part, size_t *ret_accounts)
{
    struct smtp_path path = {.local_part = view_of(local_part), .domain = VIEW("x.test"), .domain_kind = SMTP_DOMAIN_NAME};
    struct intake_recipient recipient = {0};
    struct fault fault = {0};
    enum smtp_status_name status = intake_decide(&f->intake, &path, 0, MILLIS_NEVER, f->arena, f->scratch, &recipient, &fault);
    *ret_accounts = recipient.account_count;
    arena_reset(f->scratch);
    return status;
}

/* Opens a flow, runs body(flow) in it, closes. */
struct in_flow {
    void (*body)(struct flow *f);
};

static void run_inside(void *argument)
{
    colour_pretend_coroutine();
    struct in_flow *in = argument;
    struct memory_store *store = memory_store_new();
    struct flow f = {.engine = engine_open_memory(store), .arena = arena_new(NULL, 8 << 20), .scratch = arena_new(NULL, INTAKE_SCRATCH_BYTES_MAX)};
    f.intake.accounts = accounts_new(f.engine, loop_family(loop_self()), &(struct accounts_options){0});
    f.intake.identity = identity_new(f.engine, loop_family(loop_self()));
    EXPECT(directory_prepare(f.intake.identity, MILLIS_NEVER, NULL) == OK);
    EXPECT(directory_add_domain(f.intake.identity, VIEW("x.test"), VIEW("default"), MILLIS_NEVER, NULL) == OK);
    add_account(&f, "a@x.test", STANDING_ACTIVE);
    add_account(&f, "b@x.test", STANDING_ACTIVE);
    add_account(&f, "out@x.test", STANDING_SUSPENDED);
    in->body(&f);
    identity_free(f.intake.identity);
    accounts_free(f.intake.accounts);
    engine_close(f.engine);
    memory_store_free(store);
    arena_free(f.arena);
    arena_free(f.scratch);
}

static void run(void (*body)(struct flow *f))
{
    struct sim *s = sim_open(1);
    struct sim_node *n = sim_node_new(s, "mx", 1);
    EXPECT(sim_call(n, 0, run_inside, &(struct in_flow){body}));
    sim_close(s);
}

/* ---- aliases ---- */

MAY_YIELD static void loops(struct flow *f)
{
    size_t accounts;
    add_alias(f, "one@x.test", (view[]){VIEW("two@x.test"), VIEW("a@x.test")}, 2);
    add_alias(f, "two@x.test", (view[]){VIEW("one@x.test"), VIEW("b@x.test"), VIEW("a@x.test")}, 3);
    EXPECT_NUMBER(decide(f, "one", &accounts), SMTP_RECIPIENT_OK);
    EXPECT_NUMBER(accounts, 2);
    add_alias(f, "here@x.test", (view[]){VIEW("there@x.test")}, 1);
    add_alias(f, "there@x.test", (view[]){VIEW("here@x.test")}, 1);
    EXPECT_NUMBER(decide(f, "here", &accounts), SMTP_ALIAS_LOOP);
}

TEST(intake_follows_each_address_of_an_alias_once)
{
    run(loops);
}

MAY_YIELD static void depth(struct flow *f)
{
    char from[32], to[32];
    size_t accounts;
    for (int i = 0; i <= IDENTITY_ALIAS_DEPTH_MAX; i++) {
        snprintf(from, sizeof from, "n%d@x.test", i);
        snprintf(to, sizeof to, "n%d@x.test", i + 1);
        add_alias(f, from, (view[]){i == IDENTITY_ALIAS_DEPTH_MAX ? VIEW("a@x.test") : view_of(to)}, 1);
    }
    EXPECT_NUMBER(decide(f, "n1", &accounts), SMTP_RECIPIENT_OK);
    EXPECT_NUMBER(decide(f, "n0", &accounts), SMTP_ALIAS_LOOP);
}

TEST(intake_limits_how_deep_aliases_nest)
{
    run(depth);
}

MAY_YIELD static void width(struct flow *f)
{
    enum { HALF = INTAKE_ACCOUNTS_MAX / 2 + 1 };
    static char names[2][HALF][32];
    static view targets[HALF];
    size_t accounts;
    for (int half = 0; half < 2; half++) {
        for (int i = 0; i < HALF; i++) {
            snprintf(names[half][i], sizeof names[half][i], "m%d-%d@x.test", half, i);
            add_account(f, names[half][i], STANDING_ACTIVE);
            targets[i] = view_of(names[half][i]);
        }
        add_alias(f, half ? "right@x.test" : "left@x.test", targets, HALF);
    }
    add_alias(f, "both@x.test", (view[]){VIEW("left@x.test"), VIEW("right@x.test")}, 2);
    EXPECT_NUMBER(decide(f, "left", &accounts), SMTP_RECIPIENT_OK);
    EXPECT_NUMBER(accounts, HALF);
    EXPECT_NUMBER(decide(f, "both", &accounts), SMTP_ALIAS_TOO_WIDE);
}

TEST(intake_limits_how_many_accounts_an_alias_has)
{
    run(width);
}

MAY_YIELD static void members(struct flow *f)
{
    size_t accounts;
    add_alias(f, "some@x.test", (view[]){VIEW("out@x.test"), VIEW("gone@x.test"), VIEW("b@x.test"), VIEW("far@away.test")}, 4);
    add_alias(f, "none@x.test", (view[]){VIEW("out@x.test")}, 1);
    EXPECT_NUMBER(decide(f, "some", &accounts), SMTP_RECIPIENT_OK);
    EXPECT_NUMBER(accounts, 1);
    EXPECT_NUMBER(sim_event_count(sim_current(), EVENT_ALIAS_MEMBER_LEFT_OUT), 1);
    EXPECT_NUMBER(decide(f, "none", &accounts), SMTP_SUSPENDED_NOW);
    f->intake.suspended_is_permanent = true;
    EXPECT_NUMBER(decide(f, "none", &accounts), SMTP_SUSPENDED);
    EXPECT_NUMBER(decide(f, "out", &accounts), SMTP_SUSPENDED);
}

TEST(intake_leaves_out_members_that_cannot_take_mail)
{
    run(members);
}

MAY_YIELD static void postmaster(struct flow *f)
{
    struct smtp_path path = {.local_part = VIEW("Postmaster")};
    struct intake_recipient recipient;
    f->intake.postmaster_domain = VIEW("mx1.a.x.test");
    add_account(f, "postmaster@x.test", STANDING_ACTIVE);
    EXPECT_NUMBER(intake_decide(&f->intake, &path, 0, MILLIS_NEVER, f->arena, f->scratch, &recipient, NULL), SMTP_RECIPIENT_OK);
    f->intake.postmaster_domain = VIEW("mx1.away.test");
    EXPECT_NUMBER(intake_decide(&f->intake, &path, 0, MILLIS_NEVER, f->arena, f->scratch, &recipient, NULL), SMTP_RELAY_DENIED);
}

TEST(intake_finds_the_postmaster_of_the_domain_that_the_host_is_in)
{
    run(postmaster);
}

/* ---- other servers ---- */

MAY_YIELD static void forwards(struct flow *f)
{
    struct forwarding forwarding = {.identity = f->intake.identity, .server_name = VIEW("mx.x.test")};
    struct smtp_path path = {.local_part = VIEW("Team"), .domain = VIEW("X.test"), .domain_kind = SMTP_DOMAIN_NAME};
    struct intake_recipient r = {0};
    view target = VIEW("far@away.test"), team[] = {VIEW("a@x.test"), VIEW("far@away.test"), VIEW("away@x.test")};
    size_t accounts;
    add_alias(f, "away@x.test", &target, 1);
    add_alias(f, "team@x.test", team, 3);
    EXPECT_NUMBER(decide(f, "away", &accounts), SMTP_NO_ROUTE);
    f->intake.forwarding = &forwarding;
    REQUIRE(intake_decide(&f->intake, &path, 0, MILLIS_NEVER, f->arena, f->scratch, &r, NULL) == SMTP_RECIPIENT_OK);
    /* Each address once, however many ways lead there. */
    EXPECT(r.account_count == 1 && r.forward_count == 1 && !r.is_return);
    arena_reset(f->scratch);
    EXPECT_VIEW(r.forwards[0], target);
    EXPECT_VIEW(r.alias, VIEW("team@x.test"));
    EXPECT_VIEW(forward_mailbox(VIEW("a..b@away.test"), f->arena), VIEW("\"a..b\"@away.test"));
}

TEST(intake_leads_to_other_servers_where_mail_is_forwarded)
{
    run(forwards);
}

MAY_YIELD static void returns(struct flow *f)
{
    struct forwarding forwarding = {.identity = f->intake.identity, .server_name = VIEW("mx.x.test")};
    struct identity_secrets found;
    struct return_path_secrets secrets = {.count = 1};
    struct intake_recipient r = {0};
    buf address CLEANUP(buf_done) = BUF_INIT;
    size_t accounts;
    f->intake.forwarding = &forwarding;
    REQUIRE(identity_find_secrets(f->intake.identity, VIEW("return-path"), MILLIS_NEVER, f->arena, &found, NULL) == OK);
    secrets.list[0] = found.list[0];
    REQUIRE(return_path_wrap(&secrets, clock_wall(), VIEW("far@away.test"), VIEW("x.test"), &address, NULL) == OK);
    view local = view_slice(buf_view(&address), 0, view_find_last(buf_view(&address), '@'));
    struct smtp_path path = {.local_part = local, .domain = VIEW("x.test"), .domain_kind = SMTP_DOMAIN_NAME};
    REQUIRE(intake_decide(&f->intake, &path, 0, MILLIS_NEVER, f->arena, f->scratch, &r, NULL) == SMTP_RECIPIENT_OK);
    EXPECT(r.is_return && r.forward_count == 1 && r.account_count == 0);
    EXPECT_VIEW(r.forwards[0], VIEW("far@away.test"));
    EXPECT_NUMBER(decide(f, "SRS0=aaaaaa=aa=away.test=far", &accounts), SMTP_RETURN_PATH_NOT_OURS);
    /* Who has such an address has it. */
    add_account(f, "srs0=aaaaaa=aa=away.test=far@x.test", STANDING_ACTIVE);
    EXPECT_NUMBER(decide(f, "SRS0=aaaaaa=aa=away.test=far", &accounts), SMTP_RECIPIENT_OK);
    EXPECT_NUMBER(accounts, 1);
    path.domain = VIEW("elsewhere.test");
    EXPECT_NUMBER(intake_decide(&f->intake, &path, 0, MILLIS_NEVER, f->arena, f->scratch, &r, NULL), SMTP_RELAY_DENIED);
}

TEST(intake_takes_return_paths_that_were_made_here)
{
    run(returns);
}

/* ---- one answer for all ---- */

static enum smtp_status_name summary_of(enum smtp_status_name one, enum smtp_status_name two)
{
    struct intake_recipient recipients[] = {{.status = one}, {.status = two}};
    return delivery_summary(&(struct delivery_order){.recipients = recipients, .recipient_count = 2});
}

TEST(delivery_summary_is_temporary_when_some_have_the_message)
{
    EXPECT_NUMBER(summary_of(SMTP_SAVED, SMTP_SAVED), SMTP_SAVED);
    EXPECT_NUMBER(summary_of(SMTP_SAVED, SMTP_STORE_UNAVAILABLE), SMTP_STORE_UNAVAILABLE);
    EXPECT_NUMBER(smtp_status(summary_of(SMTP_NO_SUCH_USER, SMTP_SAVED))->code / 100, 4);
    EXPECT_NUMBER(summary_of(SMTP_NO_SUCH_USER, SMTP_STORE_UNAVAILABLE), SMTP_STORE_UNAVAILABLE);
    EXPECT_NUMBER(summary_of(SMTP_NO_SUCH_USER, SMTP_NO_SUCH_USER), SMTP_NO_SUCH_USER);
}
