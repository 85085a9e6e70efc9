#include "imapd/test_server.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/test.h"
#include "engine/memory.h"
#include "identity/directory.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/tls.h"

enum { PATIENCE_MS = 60000 };

static void brings_up(void *argument)
{
    colour_pretend_coroutine();
    colour_pretend_worker();
    struct test_server *t = argument;
    struct fault fault = {0};
    /* Every third world folds its journal all the time. */
    struct accounts_options accounts = {.compact_journal_records = sim_seed(t->sim) % 3 == 0 ? 30 : 0, .turn_rows = sim_seed(t->sim) % 2};
    struct tls_certificate none = {0};
    struct directory_account_change change = {.sets_password = true, .password = VIEW("{PLAIN}secret")};
    struct loops *all = loop_family(loop_self());
    t->engine = engine_open_memory(t->store);
    t->identity = identity_new(t->engine, all);
    t->accounts = accounts_new(t->engine, all, &accounts);
    REQUIRE(directory_prepare(t->identity, clock_in(PATIENCE_MS), &fault) == OK);
    REQUIRE(directory_add_domain(t->identity, VIEW("example.test"), VIEW(DIRECTORY_DEFAULT_TENANT), clock_in(PATIENCE_MS), &fault) == OK);
    REQUIRE(directory_add_account(t->identity, VIEW("joe@example.test"), &change, clock_in(PATIENCE_MS), &t->account, &fault) == OK);
    REQUIRE(tls_context_new_server(&none, 1, &t->options.tls, &fault) == OK);
    t->imapd = imapd_new(&t->options, t->identity, t->accounts, all);
}

struct test_server *test_server_open(uint64_t seed, void (*change)(struct imapd_options *options))
{
    struct test_server *t = calloc(1, sizeof *t);
    check(t);
    t->options = imapd_default_options();
    t->options.allows_plain_login = true;
    if (change) change(&t->options);
    t->sim = sim_open(seed);
    t->node = sim_node_new(t->sim, "server", 3);
    t->store = memory_store_new();
    REQUIRE(sim_call(t->node, 0, brings_up, t));
    return t;
}

static void takes_down(void *argument)
{
    colour_pretend_coroutine();
    struct test_server *t = argument;
    imapd_stop(t->imapd);
    while (imapd_sessions(t->imapd) > 0)
        if (coroutine_sleep(10) != OK) break;
    imapd_free(t->imapd);
    accounts_free(t->accounts);
    identity_free(t->identity);
    engine_close(t->engine);
    tls_context_free(t->options.tls);
}

void test_server_close(struct test_server *t)
{
    sim_call(t->node, 0, takes_down, t);
    sim_close(t->sim);
    memory_store_free(t->store);
    free(t);
}

struct transcript *test_server_connect(struct test_server *t)
{
    unsigned loop = (unsigned)sim_choose(t->sim, 3);
    struct transcript *c = transcript_open(t->node, loop, imapd_accept, imapd_service(t->imapd, IMAPD_PLAIN));
    TRANSCRIPT(c, "S: * OK [CAPABILITY IMAP4rev1 * Tayori is ready\n");
    return c;
}

struct transcript *test_server_login(struct test_server *t)
{
    struct transcript *c = test_server_connect(t);
    TRANSCRIPT(c, "C: login LOGIN joe@example.test secret\nS: login OK [CAPABILITY IMAP4rev1 *] Logged in\n");
    return c;
}

void test_server_add(struct test_server *t, const char *mailbox, const char *flags, view message)
{
    buf text CLEANUP(buf_done) = BUF_INIT;
    struct transcript *c = test_server_login(t);
    buf_appendf(&text, "a APPEND %s%s%s {%zu+}\r\n", mailbox, flags[0] ? " " : "", flags, message.len);
    buf_append(&text, message);
    buf_append_cstr(&text, "\r\n");
    transcript_send(c, buf_view(&text));
    TRANSCRIPT(c, "S: a OK [APPENDUID *\nC: z LOGOUT\nS: * BYE *\nS: z OK *\nE:\n");
    transcript_close(c);
}

struct quota_change { struct test_server *server; uint64_t bytes, messages; };

static void sets_quota(void *argument)
{
    colour_pretend_coroutine();
    struct quota_change *q = argument;
    struct fault fault = {0};
    struct directory_account_change change = {.sets_quota = true, .quota_bytes = q->bytes, .sets_quota_messages = true, .quota_messages = q->messages};
    REQUIRE(directory_set_account(q->server->identity, VIEW("joe@example.test"), &change, clock_in(PATIENCE_MS), &fault) == OK);
}

void test_server_set_quota(struct test_server *t, uint64_t bytes)
{
    struct quota_change q = {t, bytes, 0};
    REQUIRE(sim_call(t->node, 0, sets_quota, &q));
}

void test_server_set_message_quota(struct test_server *t, uint64_t messages)
{
    struct quota_change q = {t, 0, messages};
    REQUIRE(sim_call(t->node, 0, sets_quota, &q));
}

static void compacts(void *argument)
{
    colour_pretend_coroutine();
    struct test_server *t = argument;
    struct account *a;
    struct fault fault = {0};
    REQUIRE(account_open(t->accounts, t->account, clock_in(PATIENCE_MS), &a, &fault) == OK);
    REQUIRE(account_compact(a, clock_in(PATIENCE_MS), &fault) == OK);
    account_close(a);
}

static void compacts_at_home(void *argument)
{
    colour_pretend_coroutine();
    struct test_server *t = argument;
    loop_run_on(accounts_home(t->accounts, t->account), "compact", compacts, t);
}

void test_server_compact(struct test_server *t)
{
    REQUIRE(sim_call(t->node, 0, compacts_at_home, t));
}
