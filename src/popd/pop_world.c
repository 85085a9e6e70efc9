#include "popd/pop_world.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/test.h"
#include "identity/directory.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/random.h"
#include "runtime/tls.h"

enum { PATIENCE_MS = 60 * 1000 };

/* ---- opening and closing ---- */

struct opening {
    struct pop_world *world;
    const struct popd_options *options;
};

MAY_YIELD static void add_account(struct pop_world *w, const char *address, enum account_standing standing)
{
    struct directory_account_change change = {.sets_password = true, .password = VIEW("{PLAIN}secret"), .sets_standing = true, .standing = standing};
    struct fault fault = {0};
    struct id id;
    if (directory_add_account(w->identity, view_of(address), &change, clock_in(PATIENCE_MS), &id, &fault) != OK)
        test_fail(__FILE__, __LINE__, "%s: %s", address, fault.detail);
}

MAY_YIELD static void fill_directory(struct pop_world *w)
{
    struct fault fault = {0};
    EXPECT(directory_prepare(w->identity, clock_in(PATIENCE_MS), &fault) == OK);
    EXPECT(directory_add_domain(w->identity, VIEW("example.test"), VIEW("default"), clock_in(PATIENCE_MS), &fault) == OK);
    add_account(w, "joe@example.test", STANDING_ACTIVE);
    add_account(w, "ann@example.test", STANDING_ACTIVE);
    add_account(w, "suspended@example.test", STANDING_SUSPENDED);
}

static void open_inside(void *argument)
{
    colour_pretend_coroutine();
    struct opening *opening = argument;
    struct pop_world *w = opening->world;
    struct loops *all = loop_family(loop_self());
    struct popd_options options = opening->options ? *opening->options : popd_default_options();
    w->engine = engine_open_memory(w->store);
    w->accounts = accounts_new(w->engine, all, &(struct accounts_options){0});
    w->identity = identity_new(w->engine, all);
    colour_pretend_worker();
    EXPECT(tls_context_new_server(&(struct tls_certificate){"certificate", "key"}, 1, &w->tls, NULL) == OK);
    if (!w->joined) fill_directory(w);
    if (!opening->options) {
        options.tls = w->tls;
        options.allows_plain_login = true;
    }
    w->popd = popd_new(&options, w->identity, w->accounts, all);
}

struct pop_world *pop_world_open(uint64_t seed, const struct popd_options *options)
{
    struct pop_world *w = calloc(1, sizeof *w);
    check(w);
    w->sim = sim_open(seed);
    w->node = sim_node_new(w->sim, "pop", POP_WORLD_LOOPS);
    w->store = memory_store_new();
    sim_call(w->node, 0, open_inside, &(struct opening){w, options});
    return w;
}

struct pop_world *pop_world_join(struct pop_world *first, const struct popd_options *options)
{
    struct pop_world *w = calloc(1, sizeof *w);
    check(w);
    w->joined = first;
    w->sim = first->sim;
    w->store = first->store;
    w->node = sim_node_new(w->sim, "pop again", POP_WORLD_LOOPS);
    sim_call(w->node, 0, open_inside, &(struct opening){w, options});
    return w;
}

void pop_world_kill(struct pop_world *w)
{
    sim_node_crash(w->node);
    engine_abandon_memory(w->engine);
}

static void close_inside(void *argument)
{
    colour_pretend_coroutine();
    struct pop_world *w = argument;
    popd_stop(w->popd);
    for (int i = 0; i < 1000 && popd_sessions(w->popd) > 0; i++) (void)!coroutine_sleep(100);
    EXPECT_NUMBER(popd_sessions(w->popd), 0);
    popd_free(w->popd);
    tls_context_free(w->tls);
    identity_free(w->identity);
    accounts_free(w->accounts);
    engine_close(w->engine);
}

void pop_world_close(struct pop_world *w)
{
    if (sim_node_is_up(w->node)) sim_call(w->node, 0, close_inside, w);
    if (!w->joined) {
        memory_store_free(w->store);
        sim_close(w->sim);
    }
    free(w);
}

/* ---- mailboxes ---- */

struct errand {
    struct pop_world *world;
    const char *address;
    struct id account;
    view message;
    uint32_t uid, count;
};

MAY_YIELD static void find_account(struct errand *e)
{
    struct fault fault = {0};
    struct identity_account account;
    struct arena *arena = arena_new(NULL, 1 << 20);
    if (identity_find_account_by_address(e->world->identity, view_of(e->address), clock_in(PATIENCE_MS), arena, &account, &fault) == OK)
        e->account = account.id;
    else
        test_fail(__FILE__, __LINE__, "%s: %s", e->address, fault.detail);
    arena_free(arena);
}

static void deliver_inside(void *argument)
{
    colour_pretend_coroutine();
    struct errand *e = argument;
    struct fault fault = {0};
    find_account(e);
    struct draft *draft = draft_new(e->world->accounts, random_id(), UINT64_MAX);
    struct delivery delivery = {.account = e->account};
    if (draft_write(draft, e->message, clock_in(PATIENCE_MS), &fault) == OK)
        accounts_deliver(e->world->accounts, draft, &delivery, 1, clock_in(PATIENCE_MS));
    else
        delivery.code = fault.code;
    draft_free(draft);
    if (delivery.code != OK) test_fail(__FILE__, __LINE__, "%s: %s %s", e->address, result_name(delivery.code), delivery.fault.detail);
}

void pop_world_deliver(struct pop_world *w, const char *address, view message)
{
    sim_call(w->node, 0, deliver_inside, &(struct errand){.world = w, .address = address, .message = message});
}

/* With the account open: expunges e->uid if there is one, and counts. */
static void visit_at_home(void *argument)
{
    colour_pretend_coroutine();
    struct errand *e = argument;
    struct fault fault = {0};
    struct account *account;
    struct mailbox_info info;
    struct outcome outcome;
    struct arena *arena = arena_new(NULL, 1 << 20);
    result code = account_open(e->world->accounts, e->account, clock_in(PATIENCE_MS), &account, &fault);
    if (code == OK) {
        code = account_refresh(account, clock_in(PATIENCE_MS), &fault);
        mailbox_read_info(state_find(account_state(account), VIEW("INBOX")), arena, &info);
        e->count = info.exists;
        struct imap_range range = {e->uid, e->uid};
        struct record record = {.kind = RECORD_EXPUNGE, .expunge = {.mailbox = info.number, .uids = {.ranges = &range, .count = 1}}};
        if (code == OK && e->uid) code = account_change(account, &record, arena, &outcome, clock_in(PATIENCE_MS), &fault);
        account_close(account);
    }
    if (code != OK) test_fail(__FILE__, __LINE__, "%s: %s: %s", e->address, result_name(code), fault.detail);
    arena_free(arena);
}

static void visit_inside(void *argument)
{
    colour_pretend_coroutine();
    struct errand *e = argument;
    find_account(e);
    loop_run_on(accounts_home(e->world->accounts, e->account), "visit", visit_at_home, e);
}

void pop_world_expunge(struct pop_world *w, const char *address, uint32_t uid)
{
    sim_call(w->node, 0, visit_inside, &(struct errand){.world = w, .address = address, .uid = uid});
}

uint32_t pop_world_count(struct pop_world *w, const char *address)
{
    struct errand e = {.world = w, .address = address};
    sim_call(w->node, 0, visit_inside, &e);
    return e.count;
}

/* ---- playing ---- */

struct transcript *pop_world_connect(struct pop_world *w, enum popd_kind kind)
{
    return transcript_open(w->node, (unsigned)sim_choose(w->sim, POP_WORLD_LOOPS), popd_accept, popd_service(w->popd, kind));
}

void pop_world_play(struct pop_world *w, enum popd_kind kind, const char *script)
{
    struct transcript *t = pop_world_connect(w, kind);
    TRANSCRIPT(t, script);
    transcript_close(t);
}

struct conversation {
    struct pop_world *world;
    view input;
    size_t piece;
    buf *answers;
    struct stream *client;
};

static void accept_inside(void *argument, struct stream *s)
{
    popd_accept(argument, s);
}

struct arrival {
    struct pop_world *world;
    struct stream *stream;
};

static void accept_on_loop(void *argument)
{
    struct arrival *a = argument;
    accept_inside(popd_service(a->world->popd, POPD_PLAIN), a->stream);
}

/* Reads until nothing has come for a while, or the server has closed. */
MAY_YIELD static bool read_all(struct conversation *c, int64_t patience_ms)
{
    struct fault fault = {0};
    result code;
    do code = stream_read(c->client, c->answers, 4096, clock_in(patience_ms), &fault); while (code == OK);
    return code == TIMEOUT;
}

static void converse_inside(void *argument)
{
    colour_pretend_coroutine();
    struct conversation *c = argument;
    struct fault fault = {0};
    size_t piece = c->piece ? c->piece : c->input.len;
    bool is_open = read_all(c, 100);
    for (size_t at = 0; is_open && at < c->input.len; at += piece) {
        view part = view_slice(c->input, at, piece);
        is_open = stream_write(c->client, &part, 1, clock_in(PATIENCE_MS), &fault) == OK;
    }
    read_all(c, PATIENCE_MS);
    stream_close(c->client);
}

void pop_world_converse(struct pop_world *w, view input, size_t piece, buf *answers)
{
    struct sim_node *away = sim_node_new(w->sim, "client", 1);
    struct arrival arrival = {.world = w};
    struct conversation c = {.world = w, .input = input, .piece = piece, .answers = answers};
    struct loop *loop = sim_node_loop(w->node, (unsigned)sim_choose(w->sim, POP_WORLD_LOOPS));
    sim_stream_pair(sim_node_loop(away, 0), loop, &c.client, &arrival.stream);
    sim_on_loop(loop, accept_on_loop, &arrival);
    sim_call(away, 0, converse_inside, &c);
}
