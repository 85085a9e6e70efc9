#include "smtpd/post_office.h"

#include <stdlib.h>

#include "account/view.h"
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
    bool is_first;
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
    if (opening->is_first) fill_directory(o);
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
    sim_call(o->node, 0, open_inside, &(struct opening){o, options, true});
    return o;
}

void post_office_reopen(struct post_office *o, const struct smtpd_options *options)
{
    engine_abandon_memory(o->engine);
    sim_node_restart(o->node);
    sim_call(o->node, 0, open_inside, &(struct opening){o, options, false});
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

/* ---- looking ---- */

struct look {
    struct post_office *office;
    const char *address;
    struct id account;
    buf *into;
    size_t count;
};

MAY_YIELD static void read_message(struct account *account, const struct mailbox_info *inbox, const struct row *row, buf *into)
{
    struct fault fault = {0};
    struct message *message;
    view bytes;
    result code = message_open(account, inbox->number, row, clock_in(PATIENCE_MS), &message, &fault);
    if (code == OK) {
        code = message_whole(message, clock_in(PATIENCE_MS), &bytes, &fault);
        if (code == OK) buf_append(into, bytes);
        message_close(message);
    }
    if (code != OK) test_fail(__FILE__, __LINE__, "UID %u: %s: %s", row->uid, result_name(code), fault.detail);
}

MAY_YIELD static void read_inbox(struct account *account, struct arena *arena, struct look *look)
{
    enum { ROWS_MAX = 1000 };
    struct fault fault = {0};
    struct mailbox_info inbox;
    struct mailbox_view *view_of_inbox;
    struct row *rows = arena_array(arena, struct row, ROWS_MAX);
    mailbox_read_info(state_find(account_state(account), VIEW("INBOX")), arena, &inbox);
    if (mailbox_view_open(account, inbox.number, &view_of_inbox) != OK) return;
    if (mailbox_view_rows(view_of_inbox, 1, ROWS_MAX, rows, &look->count, clock_in(PATIENCE_MS), &fault) != OK)
        test_fail(__FILE__, __LINE__, "%s: %s", look->address, fault.detail);
    for (size_t i = 0; i < look->count; i++) read_message(account, &inbox, &rows[i], look->into);
    mailbox_view_close(view_of_inbox);
}

static void look_at_home(void *argument)
{
    colour_pretend_coroutine();
    struct look *look = argument;
    struct fault fault = {0};
    struct account *account;
    struct arena *arena = arena_new(NULL, 4 << 20);
    result code = account_open(look->office->accounts, look->account, clock_in(PATIENCE_MS), &account, &fault);
    if (code == OK) {
        code = account_refresh(account, clock_in(PATIENCE_MS), &fault);
        if (code == OK) read_inbox(account, arena, look);
        account_close(account);
    }
    if (code != OK) test_fail(__FILE__, __LINE__, "%s: %s: %s", look->address, result_name(code), fault.detail);
    arena_free(arena);
}

static void look_inside(void *argument)
{
    colour_pretend_coroutine();
    struct look *look = argument;
    struct fault fault = {0};
    struct identity_account account;
    struct arena *arena = arena_new(NULL, 1 << 20);
    if (identity_find_account_by_address(look->office->identity, view_of(look->address), clock_in(PATIENCE_MS), arena, &account, &fault) == OK) {
        look->account = account.id;
        loop_run_on(accounts_home(look->office->accounts, account.id), "look", look_at_home, look);
    } else {
        test_fail(__FILE__, __LINE__, "%s: %s", look->address, fault.detail);
    }
    arena_free(arena);
}

size_t post_office_inbox(struct post_office *o, const char *address, buf *into)
{
    struct look look = {.office = o, .address = address, .into = into};
    sim_call(o->node, 0, look_inside, &look);
    return look.count;
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
