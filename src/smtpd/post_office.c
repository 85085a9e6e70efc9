#include "smtpd/post_office.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/test.h"
#include "identity/directory.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"

enum { PATIENCE_MS = 60 * 1000, SMALL_QUOTA_BYTES = 1000 };

/* ---- opening ---- */

struct opening {
    struct post_office *office;
    const struct smtpd_options *options;
};

MAY_YIELD static void add_account(struct post_office *o, const char *address, enum account_standing standing, uint64_t quota_bytes)
{
    struct directory_account_change change = {.sets_password = true, .password = VIEW("{PLAIN}secret"), .sets_standing = true,
                                              .standing = standing, .sets_quota = true, .quota_bytes = quota_bytes};
    struct fault fault = {0};
    struct id id;
    if (directory_add_account(o->identity, view_of(address), &change, clock_in(PATIENCE_MS), &id, &fault) != OK)
        test_fail(__FILE__, __LINE__, "%s: %s", address, fault.detail);
}

MAY_YIELD static void add_alias(struct post_office *o, const char *address, const view *targets, size_t count)
{
    struct fault fault = {0};
    if (directory_add_alias(o->identity, view_of(address), targets, count, false, clock_in(PATIENCE_MS), &fault) != OK)
        test_fail(__FILE__, __LINE__, "%s: %s", address, fault.detail);
}

MAY_YIELD static void fill_directory(struct post_office *o)
{
    static const char *const accounts[] = {"a@example.test", "c@example.test", "d@example.test", "dots..name@example.test",
                                           "postmaster@example.test", "catch@other.test"};
    struct fault fault = {0};
    EXPECT(directory_prepare(o->identity, clock_in(PATIENCE_MS), &fault) == OK);
    EXPECT(directory_add_domain(o->identity, VIEW("example.test"), VIEW("default"), clock_in(PATIENCE_MS), &fault) == OK);
    EXPECT(directory_add_domain(o->identity, VIEW("other.test"), VIEW("default"), clock_in(PATIENCE_MS), &fault) == OK);
    for (size_t i = 0; i < array_size(accounts); i++) add_account(o, accounts[i], STANDING_ACTIVE, 0);
    add_account(o, "b@example.test", STANDING_ACTIVE, SMALL_QUOTA_BYTES);
    add_account(o, "suspended@example.test", STANDING_SUSPENDED, 0);
    EXPECT(directory_set_domain(o->identity, VIEW("other.test"), VIEW("catch@other.test"), clock_in(PATIENCE_MS), &fault) == OK);
    add_alias(o, "all@example.test", (view[]){VIEW("a@example.test"), VIEW("b@example.test"), VIEW("c@example.test")}, 3);
    add_alias(o, "nested@example.test", (view[]){VIEW("all@example.test"), VIEW("d@example.test")}, 2);
    add_alias(o, "loop@example.test", (view[]){VIEW("loop@example.test")}, 1);
    add_alias(o, "dangling@example.test", (view[]){VIEW("nobody@example.test")}, 1);
    add_alias(o, "away@example.test", (view[]){VIEW("somebody@elsewhere.test")}, 1);
}

static void open_inside(void *argument)
{
    colour_pretend_coroutine();
    struct opening *opening = argument;
    struct post_office *o = opening->office;
    struct loops *all = loop_family(loop_self());
    struct smtpd_options options = opening->options ? *opening->options : smtpd_default_options();
    o->engine = engine_open_memory(o->store);
    o->accounts = accounts_new(o->engine, all, &(struct accounts_options){0});
    o->identity = identity_new(o->engine, all);
    colour_pretend_worker();
    EXPECT(tls_context_new_server(&(struct tls_certificate){"certificate", "key"}, 1, &o->tls, NULL) == OK);
    fill_directory(o);
    if (!opening->options) {
        options.server_name = VIEW("mx.example.test");
        options.tls = o->tls;
    }
    struct intake intake = {.identity = o->identity, .accounts = o->accounts, .postmaster_domain = VIEW("example.test")};
    o->smtpd = smtpd_new(&options, &intake, all);
}

struct post_office *post_office_open(uint64_t seed, const struct smtpd_options *options)
{
    struct post_office *o = calloc(1, sizeof *o);
    check(o);
    o->sim = sim_open(seed);
    o->node = sim_node_new(o->sim, "mx", 2);
    o->store = memory_store_new();
    sim_call(o->node, 0, open_inside, &(struct opening){o, options});
    return o;
}

/* ---- closing ---- */

static void close_inside(void *argument)
{
    colour_pretend_coroutine();
    struct post_office *o = argument;
    smtpd_stop(o->smtpd);
    for (int i = 0; i < 1000 && smtpd_sessions(o->smtpd) > 0; i++) (void)!coroutine_sleep(100);
    EXPECT_NUMBER(smtpd_sessions(o->smtpd), 0);
    smtpd_free(o->smtpd);
    tls_context_free(o->tls);
    identity_free(o->identity);
    accounts_free(o->accounts);
    engine_close(o->engine);
}

void post_office_close(struct post_office *o)
{
    sim_call(o->node, 0, close_inside, o);
    memory_store_free(o->store);
    sim_close(o->sim);
    free(o);
}

/* ---- playing ---- */

struct transcript *post_office_connect(struct post_office *o, enum smtpd_kind kind)
{
    return transcript_open(o->node, (unsigned)sim_choose(o->sim, 2), smtpd_accept, smtpd_service(o->smtpd, kind));
}

void post_office_play(struct post_office *o, enum smtpd_kind kind, const char *script)
{
    struct transcript *t = post_office_connect(o, kind);
    TRANSCRIPT(t, script);
    transcript_close(t);
}

struct conversation {
    void *service;
    struct stream *near, *far;
    view input;
    size_t piece;
    buf *replies;
};

static void accept_inside(void *argument)
{
    struct conversation *c = argument;
    smtpd_accept(c->service, c->near);
}

static void send_inside(void *argument)
{
    colour_pretend_coroutine();
    struct conversation *c = argument;
    size_t piece = c->piece ? c->piece : c->input.len;
    for (view rest = c->input; rest.len > 0; rest = view_from(rest, piece)) {
        view part = view_slice(rest, 0, piece);
        if (stream_write(c->far, &part, 1, clock_in(PATIENCE_MS), NULL) != OK) return;
        if (c->piece) (void)!coroutine_sleep(1);
    }
}

static void listen_inside(void *argument)
{
    enum { SILENCE_MS = 30 * 1000 };
    colour_pretend_coroutine();
    struct conversation *c = argument;
    while (stream_read(c->far, c->replies, 4096, clock_in(SILENCE_MS), NULL) == OK) continue;
    stream_abort(c->far);
    (void)!coroutine_sleep(1000);
    stream_close(c->far);
}

static bool is_id(view v)
{
    struct id id;
    return id_parse(view_slice(v, 0, ID_TEXT_LEN), &id);
}

static void mask_ids(buf *replies)
{
    size_t len = 0;
    for (size_t i = 0; i < replies->len; i++) {
        if (is_id(view_from(buf_view(replies), i))) {
            replies->at[len++] = 'I';
            replies->at[len++] = 'D';
            i += ID_TEXT_LEN - 1;
        } else {
            replies->at[len++] = replies->at[i];
        }
    }
    replies->len = len;
}

void post_office_converse(struct post_office *o, enum smtpd_kind kind, view input, size_t piece, buf *replies)
{
    struct conversation c = {.service = smtpd_service(o->smtpd, kind), .input = input, .piece = piece, .replies = replies};
    struct sim_node *client = sim_node_new(o->sim, "client", 1);
    sim_stream_pair(sim_node_loop(o->node, 0), sim_node_loop(client, 0), &c.near, &c.far);
    sim_spawn(o->node, 0, "accept", accept_inside, &c);
    sim_spawn(client, 0, "send", send_inside, &c);
    sim_call(client, 0, listen_inside, &c);
    mask_ids(replies);
}

void post_office_try(enum smtpd_kind kind, const char *script)
{
    for (uint64_t seed = 1; seed <= POST_OFFICE_SEEDS; seed++) {
        struct post_office *o = post_office_open(seed, NULL);
        post_office_play(o, kind, script);
        post_office_close(o);
    }
}
