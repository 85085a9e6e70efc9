/* Mail out in the simulator: nodes with a queue on one memory store, and a server on the other side that a test tells what to say. */
#include "flow/outbound.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/test.h"
#include "engine/memory.h"
#include "flow/outbound_private.h"
#include "flow/queue_private.h"
#include "identity/directory.h"
#include "runtime/clock.h"
#include "runtime/listener.h"
#include "runtime/random.h"
#include "runtime/sim/sim.h"
#include "runtime/tls.h"
#include "runtime/wire.h"

enum { NODES = 2, PATIENCE_MS = 60 * 1000, SINK_PORT = 25, TAKEN_MAX = 5000 };

/* ---- the other side ---- */

struct taken { char subject[24]; unsigned recipients; };

struct world {
    struct sim *sim;
    struct memory_store *store;
    struct node {
        struct world *world;
        struct sim_node *sim;
        struct engine *engine;
        struct accounts *accounts;
        struct identity *identity;
        struct intake intake;
        struct resolver *resolver;
        struct queue *queue;
        struct outbound *outbound;
    } nodes[NODES];
    struct sim_node *other;
    const char *rcpt_answer;             /* NULL: 250 */
    struct taken taken[TAKEN_MAX];
    size_t taken_count;
    unsigned connections, open, open_max, rcpt_count;
    int64_t pause_ms;                    /* before each answer to RCPT */
    struct answer_rules rules;
    struct arena *arena;
};

struct sink { struct world *world; struct wire wire; unsigned recipients; };

MAY_YIELD static bool sink_say(struct sink *s, const char *text)
{
    wire_putf(&s->wire, "%s\r\n", text);
    return wire_flush(&s->wire, clock_in(PATIENCE_MS), NULL) == OK;
}

MAY_YIELD static bool sink_take_data(struct sink *s)
{
    buf data CLEANUP(buf_done) = BUF_INIT;
    view piece;
    result code;
    if (!sink_say(s, "354 go on")) return false;
    wire_data_begin(&s->wire);
    while ((code = wire_data(&s->wire, clock_in(PATIENCE_MS), &piece, NULL)) == OK) buf_append(&data, piece);
    if (code != END) return false;
    struct world *w = s->world;
    REQUIRE(w->taken_count < TAKEN_MAX);
    struct taken *t = &w->taken[w->taken_count++];
    size_t at = view_find_view(buf_view(&data), VIEW("Subject: "));
    view subject = view_from(buf_view(&data), at == VIEW_NONE ? data.len : at + 9);
    size_t end = view_find(subject, '\r');
    subject = view_slice(subject, 0, end < sizeof t->subject - 1 ? end : sizeof t->subject - 1);
    if (subject.len) memcpy(t->subject, subject.at, subject.len);
    t->recipients = s->recipients;
    return sink_say(s, "250 taken");
}

MAY_YIELD static bool sink_answer(struct sink *s, view line)
{
    if (view_starts_nocase(line, VIEW("EHLO"))) return sink_say(s, "250-other.test\r\n250 PIPELINING");
    if (view_starts_nocase(line, VIEW("MAIL"))) s->recipients = 0;
    if (view_starts_nocase(line, VIEW("RCPT"))) {
        if (s->world->pause_ms && coroutine_sleep(s->world->pause_ms) != OK) return false;
        s->recipients += s->world->rcpt_answer == NULL;
        s->world->rcpt_count++;
        return sink_say(s, s->world->rcpt_answer ? s->world->rcpt_answer : "250 ok");
    }
    if (view_starts_nocase(line, VIEW("DATA"))) return s->recipients ? sink_take_data(s) : sink_say(s, "554 no recipients");
    if (view_starts_nocase(line, VIEW("QUIT"))) return false;
    return sink_say(s, "250 ok");
}

static void sink_run(void *argument)
{
    colour_pretend_coroutine();
    struct sink *s = argument;
    view line;
    bool goes_on = sink_say(s, "220 other.test");
    while (goes_on && wire_line(&s->wire, 2000, clock_in(10 * PATIENCE_MS), &line, NULL) == OK) goes_on = sink_answer(s, line);
    s->world->open--;
    wire_done(&s->wire);
    free(s);
}

static void sink_accept(void *argument, struct stream *stream)
{
    struct world *w = argument;
    struct sink *s = calloc(1, sizeof *s);
    check(s);
    s->world = w;
    w->connections++;
    w->open++;
    if (w->open > w->open_max) w->open_max = w->open;
    wire_init(&s->wire, stream, WIRE_CRLF_ENDS_COMMAND);
    coroutine_spawn(loop_scope(loop_self()), "sink", sink_run, s);
}

static void open_sink(void *argument)
{
    struct world *w = argument;
    struct listener *l;
    struct listener_options o = {.name = "sink", .accepted = sink_accept, .argument = w};
    colour_pretend_worker();
    REQUIRE(address_parse(VIEW("192.0.2.1"), &o.address));
    o.address.port = SINK_PORT;
    REQUIRE(listener_open(loop_family(loop_self()), &o, &l, NULL) == OK);
}

/* ---- nodes ---- */

static void open_node(void *argument)
{
    colour_pretend_coroutine();
    struct node *n = argument;
    struct loops *all = loop_family(loop_self());
    struct outbound_options o = outbound_default_options();
    n->engine = engine_open_memory(n->world->store);
    n->accounts = accounts_new(n->engine, all, &(struct accounts_options){0});
    n->identity = identity_new(n->engine, all);
    n->intake = (struct intake){.identity = n->identity, .accounts = n->accounts, .postmaster_domain = VIEW("example.test")};
    REQUIRE(directory_prepare(n->identity, clock_in(PATIENCE_MS), NULL) == OK);
    n->queue = queue_new(n->accounts, all);
    REQUIRE(resolver_new(&(struct resolver_options){0}, all, &n->resolver, NULL) == OK);
    o.server_name = VIEW("out.example.test");
    o.resolver = n->resolver;
    o.intake = &n->intake;
    o.rules = &n->world->rules;
    n->outbound = outbound_new(&o, n->queue, all);
    queue_start(n->queue, n->outbound);
}

static void close_node(void *argument)
{
    colour_pretend_coroutine();
    struct node *n = argument;
    queue_stop(n->queue, clock_in(PATIENCE_MS));
    outbound_free(n->outbound);
    colour_pretend_worker();
    resolver_free(n->resolver);
    queue_free(n->queue);
    identity_free(n->identity);
    accounts_free(n->accounts);
    engine_close(n->engine);
}

static void put_address(struct sim *s, view name) { sim_dns_put(s, name, DNS_A, VIEW("\300\0\2\1")); }

static struct world *world_open_with(uint64_t seed, unsigned nodes, const char *rules)
{
    struct world *w = calloc(1, sizeof *w);
    check(w);
    w->arena = arena_new(NULL, 1 << 20);
    REQUIRE(answer_rules_parse(view_of(rules), VIEW("test"), w->arena, &w->rules, NULL) == OK);
    w->sim = sim_open(seed);
    w->store = memory_store_new();
    w->other = sim_node_new(w->sim, "other", 1);
    sim_call(w->other, 0, open_sink, w);
    put_address(w->sim, VIEW("elsewhere.test"));
    for (unsigned i = 0; i < nodes; i++) {
        w->nodes[i].world = w;
        w->nodes[i].sim = sim_node_new(w->sim, i ? "b" : "a", 2);
        sim_call(w->nodes[i].sim, 0, open_node, &w->nodes[i]);
    }
    return w;
}

static struct world *world_open(uint64_t seed, unsigned nodes) { return world_open_with(seed, nodes, ""); }

static void world_close(struct world *w)
{
    for (unsigned i = 0; i < NODES; i++)
        if (w->nodes[i].sim && sim_node_is_up(w->nodes[i].sim)) sim_call(w->nodes[i].sim, 0, close_node, &w->nodes[i]);
    memory_store_free(w->store);
    sim_close(w->sim);
    arena_free(w->arena);
    free(w);
}

/* ---- sending ---- */

struct order { struct node *node; const char *subject, *to; struct id account; unsigned count; size_t padding; uint32_t flags; };

static void enqueue(void *argument)
{
    colour_pretend_coroutine();
    struct order *o = argument;
    for (unsigned i = 0; i < o->count; i++) {
        buf text CLEANUP(buf_done) = BUF_INIT;
        struct fault fault = {0};
        buf_appendf(&text, "Subject: %s%u\r\n\r\n", o->subject, i);
        while (text.len < o->padding) buf_append(&text, VIEW("some text of some length\r\n"));
        struct queue_address to = {.address = view_of(o->to)};
        struct queue_envelope e = {.message = random_id(), .account = o->account, .sender = VIEW("s@example.test"), .received = clock_wall(), .bytes = text.len, .flags = o->flags,
                                   .recipients = &to, .recipient_count = 1};
        if (queue_enqueue_bytes(o->node->queue, &e, buf_view(&text), clock_in(PATIENCE_MS), &fault) != OK) test_fail(__FILE__, __LINE__, "%s", fault.detail);
    }
}

static void send(struct world *w, unsigned node, const char *subject, const char *to, unsigned account, unsigned count)
{
    struct order o = {.node = &w->nodes[node], .subject = subject, .to = to, .account = {{(unsigned char)account}}, .count = count};
    sim_call(w->nodes[node].sim, 0, enqueue, &o);
}

static bool was_taken(const struct world *w, const char *subject)
{
    for (size_t i = 0; i < w->taken_count; i++)
        if (strcmp(w->taken[i].subject, subject) == 0) return true;
    return false;
}

struct summary { struct node *node; struct queue_summary found; };

static void summarise(void *argument)
{
    colour_pretend_coroutine();
    struct summary *s = argument;
    struct fault fault = {0};
    if (queue_summarise(s->node->queue, clock_in(PATIENCE_MS), &s->found, &fault) != OK) test_fail(__FILE__, __LINE__, "%s", fault.detail);
}

static struct queue_summary summary_of(struct world *w, unsigned node)
{
    struct summary s = {.node = &w->nodes[node]};
    sim_call(w->nodes[node].sim, 0, summarise, &s);
    return s.found;
}

TEST(outbound_delivers_and_forgets)
{
    struct world *w = world_open(1, 1);
    send(w, 0, "m", "a@elsewhere.test", 1, 20);
    sim_run(w->sim, 10000);
    EXPECT_NUMBER(w->taken_count, 20);
    EXPECT_NUMBER(summary_of(w, 0).messages, 0);
    EXPECT(w->connections < 20);
    world_close(w);
}

TEST(outbound_takes_a_dead_nodes_shards_and_loses_nothing)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct world *w = world_open(seed, 2);
        sim_run(w->sim, 5000);
        sim_node_crash_after(w->nodes[0].sim, 200 + 150 * seed);
        send(w, 1, "m", "a@elsewhere.test", 1, 60);
        sim_run(w->sim, 3 * QUEUE_LEASE_MS);
        if (sim_node_is_up(w->nodes[0].sim)) sim_node_crash(w->nodes[0].sim);
        engine_abandon_memory(w->nodes[0].engine);
        sim_run(w->sim, 3 * QUEUE_LEASE_MS);
        EXPECT_NUMBER(summary_of(w, 1).shards, QUEUE_SHARDS);
        EXPECT_NUMBER(summary_of(w, 1).messages, 0);
        for (unsigned i = 0; i < 60; i++) {
            char subject[24];
            snprintf(subject, sizeof subject, "m%u", i);
            if (!was_taken(w, subject)) test_fail(__FILE__, __LINE__, "seed %d: %s was lost", (int)seed, subject);
        }
        world_close(w);
    }
}

struct pausing { struct node *node; bool pauses; };

static void pause_queue(void *argument)
{
    colour_pretend_coroutine();
    struct pausing *p = argument;
    queue_pause(p->node->queue, p->pauses);
}

TEST(outbound_of_a_node_that_pauses_goes_on_at_another_and_comes_back)
{
    struct world *w = world_open(11, 2);
    struct pausing p = {.node = &w->nodes[0], .pauses = true};
    sim_run(w->sim, 5000);
    send(w, 0, "m", "a@elsewhere.test", 1, 40);
    sim_call(p.node->sim, 0, pause_queue, &p);
    sim_run(w->sim, QUEUE_LEASE_MS / 2 + 10000);
    EXPECT_NUMBER(summary_of(w, 0).shards, 0);
    EXPECT_NUMBER(summary_of(w, 1).shards, QUEUE_SHARDS);
    EXPECT_NUMBER(summary_of(w, 1).messages, 0);
    EXPECT_NUMBER(w->taken_count, 40);               /* nothing twice: what was under way ended first */
    p.pauses = false;
    sim_call(p.node->sim, 0, pause_queue, &p);
    p = (struct pausing){.node = &w->nodes[1], .pauses = true};
    sim_call(p.node->sim, 0, pause_queue, &p);
    sim_run(w->sim, QUEUE_LEASE_MS / 2 + 10000);
    EXPECT_NUMBER(summary_of(w, 0).shards, QUEUE_SHARDS);
    world_close(w);
}

TEST(outbound_lets_no_account_wait_for_another)
{
    struct world *w = world_open(2, 1);
    w->rcpt_answer = "450 4.2.1 not yet";
    send(w, 0, "flood", "a@elsewhere.test", 1, 2000);
    w->rcpt_answer = NULL;
    REQUIRE(summary_of(w, 0).messages > 1000);
    send(w, 0, "letter", "b@elsewhere.test", 2, 1);
    size_t before = w->taken_count;
    while (!was_taken(w, "letter0") && w->taken_count < 2000) sim_run(w->sim, 1);
    EXPECT(was_taken(w, "letter0"));
    if (w->taken_count - before > 200) test_fail(__FILE__, __LINE__, "%zu of the flood went first", w->taken_count - before);
    world_close(w);
}

TEST(outbound_tells_senders_elsewhere_never_when_the_sender_is_null)
{
    struct world *w = world_open(3, 1);
    w->rcpt_answer = "550 5.1.1 nobody";
    /* s@example.test is of no domain of ours here: the notice goes out by the queue, and its own failure makes no further one. */
    send(w, 0, "m", "a@elsewhere.test", 1, 1);
    sim_dns_put(w->sim, VIEW("example.test"), DNS_MX, VIEW("\0\12\11elsewhere\4test\0"));
    sim_run(w->sim, 60000);
    EXPECT_NUMBER(sim_event_count(w->sim, EVENT_NOTICE_SENT), 1);
    EXPECT_NUMBER(summary_of(w, 0).messages, 0);
    world_close(w);
}

static void add_sender(void *argument)
{
    colour_pretend_coroutine();
    struct node *n = argument;
    struct id id;
    struct directory_account_change change = {.sets_standing = true, .standing = STANDING_SUSPENDED, .sets_quota = true, .quota_bytes = 1};
    REQUIRE(directory_add_domain(n->identity, VIEW("example.test"), VIEW("default"), clock_in(PATIENCE_MS), NULL) == OK);
    REQUIRE(directory_add_account(n->identity, VIEW("s@example.test"), &change, clock_in(PATIENCE_MS), &id, NULL) == OK);
}

/* Who has no room any more, or must not log in now, is told all the same: the other side is not asked again and again until it changes. */
TEST(outbound_tells_a_sender_whose_mailbox_takes_no_mail)
{
    struct world *w = world_open(3, 1);
    w->rcpt_answer = "550 5.1.1 nobody";
    sim_call(w->nodes[0].sim, 0, add_sender, &w->nodes[0]);
    send(w, 0, "m", "a@elsewhere.test", 1, 1);
    sim_run(w->sim, 3600 * 1000);
    EXPECT_NUMBER(w->rcpt_count, 1);
    EXPECT_NUMBER(summary_of(w, 0).messages, 0);
    world_close(w);
}

TEST(outbound_rests_while_a_destination_is_away)
{
    struct world *w = world_open(4, 1);
    sim_dns_fail(w->sim, VIEW("elsewhere.test"), true);
    send(w, 0, "m", "a@elsewhere.test", 1, 50);
    sim_run(w->sim, 30000);
    EXPECT_NUMBER(sim_event_count(w->sim, EVENT_DESTINATION_RESTS), 2);      /* on each loop */
    EXPECT_NUMBER(summary_of(w, 0).messages, 50);
    sim_dns_fail(w->sim, VIEW("elsewhere.test"), false);
    sim_run(w->sim, 120000);
    EXPECT_NUMBER(w->taken_count, 50);
    world_close(w);
}

TEST(outbound_fails_what_has_nowhere_to_go)
{
    struct world *w = world_open(5, 1);
    sim_dns_put(w->sim, VIEW("null.test"), DNS_MX, VIEW("\0\0\0"));
    send(w, 0, "m", "a@null.test", 1, 1);
    send(w, 0, "n", "a@absent.test", 1, 1);
    sim_run(w->sim, 30000);
    /* Both, and the notices about them, whose sender's domain is nowhere either. */
    EXPECT_NUMBER(sim_event_count(w->sim, EVENT_MESSAGE_SENT), 4);
    for (unsigned i = 0; i < 4; i++) EXPECT_VIEW(sim_event_field(w->sim, EVENT_MESSAGE_SENT, i, "outcome"), VIEW("failed"));
    EXPECT_NUMBER(summary_of(w, 0).messages, 0);
    world_close(w);
}

/* ---- folding ---- */

static void compact_all(void *argument)
{
    colour_pretend_coroutine();
    struct shard *s = argument;
    struct fault fault = {0};
    if (shard_compact(s, &fault) != OK) test_fail(__FILE__, __LINE__, "shard %u: %s", s->number, fault.detail);
}

TEST(outbound_folds_what_waits_and_finds_it_again)
{
    struct world *w = world_open(6, 1);
    w->rcpt_answer = "451 4.3.2 later";
    struct order o = {.node = &w->nodes[0], .subject = "m", .to = "a@elsewhere.test", .account = {{1}}, .count = 40, .padding = 5000};
    sim_call(w->nodes[0].sim, 0, enqueue, &o);
    sim_run(w->sim, 10000);
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < QUEUE_SHARDS; i++) sim_call(w->nodes[0].sim, i % 2, compact_all, &w->nodes[0].queue->shards[i]);
    EXPECT_NUMBER(summary_of(w, 0).messages, 40);
    sim_call(w->nodes[0].sim, 0, close_node, &w->nodes[0]);
    sim_call(w->nodes[0].sim, 0, open_node, &w->nodes[0]);
    sim_run(w->sim, 2 * QUEUE_LEASE_MS);
    EXPECT_NUMBER(summary_of(w, 0).messages, 40);
    w->rcpt_answer = NULL;
    sim_run(w->sim, 3600 * 1000);
    EXPECT_NUMBER(w->taken_count, 40);
    EXPECT_NUMBER(summary_of(w, 0).messages, 0);
    world_close(w);
}

/* A reader may find the journal folded before the one who folds it has come to say where the bytes are now. */
TEST(outbound_sends_on_while_queues_are_folded)
{
    struct world *w = world_open(12, 1);
    size_t deferred = 0;
    memory_store_set_faults(w->store, &(struct memory_faults){.delay_max_us = 20000});
    w->pause_ms = 100;
    for (unsigned round = 0; round < 40; round++) {
        struct order o = {.node = &w->nodes[0], .subject = "m", .to = "a@elsewhere.test", .account = {{1}}, .count = 50, .padding = 5000};
        sim_call(w->nodes[0].sim, 0, enqueue, &o);
        for (unsigned i = 0; i < QUEUE_SHARDS; i++) sim_call(w->nodes[0].sim, i % 2, compact_all, &w->nodes[0].queue->shards[i]);
    }
    sim_run(w->sim, 20000);
    EXPECT_NUMBER(w->taken_count, 2000);
    for (size_t i = 0; i < sim_event_count(w->sim, EVENT_MESSAGE_SENT); i++)
        deferred += !view_equal(sim_event_field(w->sim, EVENT_MESSAGE_SENT, (unsigned)i, "outcome"), VIEW("delivered"));
    EXPECT_NUMBER(deferred, 0);
    world_close(w);
}

/* ---- operators ---- */

struct asking { struct node *node; struct queue_filter filter; enum queue_order order; view target; uint64_t count; unsigned lines; };

static void give_order(void *argument)
{
    colour_pretend_coroutine();
    struct asking *a = argument;
    struct fault fault = {0};
    if (queue_order(a->node->queue, &a->filter, a->order, a->target, clock_in(PATIENCE_MS), &a->count, &fault) != OK) test_fail(__FILE__, __LINE__, "%s", fault.detail);
}

/* How many messages the order reached. */
static uint64_t order(struct world *w, unsigned node, struct asking what)
{
    what.node = &w->nodes[node];
    sim_call(what.node->sim, 0, give_order, &what);
    return what.count;
}

static bool count_line(void *argument, const struct queue_line *line)
{
    ((struct asking *)argument)->lines++;
    return true;
}

static void list_all(void *argument)
{
    colour_pretend_coroutine();
    struct asking *a = argument;
    struct fault fault = {0};
    a->lines = 0;
    if (queue_list(a->node->queue, &a->filter, clock_in(PATIENCE_MS), count_line, a, &fault) != OK) test_fail(__FILE__, __LINE__, "%s", fault.detail);
}

TEST(outbound_orders_and_lists_reach_all_shards_from_any_node)
{
    struct world *w = world_open(7, 2);
    w->rcpt_answer = "451 4.3.2 later";
    sim_run(w->sim, 30000);
    send(w, 0, "flood", "a@elsewhere.test", 1, 300);
    send(w, 1, "letter", "b@elsewhere.test", 2, 5);
    sim_run(w->sim, 5000);
    for (unsigned node = 0; node < 2; node++) {
        struct asking a = {.node = &w->nodes[node]};
        sim_call(w->nodes[node].sim, 0, list_all, &a);
        EXPECT_NUMBER(a.lines, 305);
        EXPECT_NUMBER(summary_of(w, node).messages, 305);
    }
    /* One account's mail is removed from the node that owns only some of the shards. */
    EXPECT_NUMBER(order(w, 1, (struct asking){.order = QUEUE_REMOVE, .filter = {.account = {{1}}}}), 300);
    sim_run(w->sim, 5000);
    for (unsigned node = 0; node < 2; node++) EXPECT_NUMBER(summary_of(w, node).messages, 5);
    /* What comes afterwards is not concerned. */
    w->rcpt_answer = NULL;
    send(w, 0, "later", "a@elsewhere.test", 1, 3);
    sim_run(w->sim, 600 * 1000);
    EXPECT(was_taken(w, "later0") && was_taken(w, "later2") && was_taken(w, "letter4"));
    EXPECT_NUMBER(summary_of(w, 0).messages, 0);
    for (size_t i = 0; i < w->taken_count; i++) EXPECT(strncmp(w->taken[i].subject, "flood", 5) != 0);
    world_close(w);
}

TEST(outbound_goes_where_an_operator_sends_it)
{
    struct world *w = world_open(8, 1);
    sim_dns_fail(w->sim, VIEW("away.test"), true);
    send(w, 0, "route", "a@away.test", 1, 3);
    send(w, 0, "address", "b@away.test", 2, 3);
    sim_run(w->sim, 10000);
    EXPECT_NUMBER(w->taken_count, 0);
    EXPECT_NUMBER(order(w, 0, (struct asking){.order = QUEUE_REDIRECT, .filter = {.account = {{1}}}, .target = VIEW("192.0.2.1:25")}), 3);
    EXPECT_NUMBER(order(w, 0, (struct asking){.order = QUEUE_REDIRECT, .filter = {.recipient = VIEW("b@")}, .target = VIEW("c@elsewhere.test")}), 3);
    sim_run(w->sim, 10000);
    EXPECT_NUMBER(w->taken_count, 6);
    EXPECT_NUMBER(summary_of(w, 0).messages, 0);
    world_close(w);
}

TEST(outbound_has_a_removed_message_gone_before_its_destination_is_back)
{
    struct world *w = world_open(9, 1);
    sim_dns_fail(w->sim, VIEW("elsewhere.test"), true);
    send(w, 0, "gone", "a@elsewhere.test", 1, 5);
    send(w, 0, "held", "b@elsewhere.test", 2, 5);
    sim_run(w->sim, 5000);
    EXPECT_NUMBER(order(w, 0, (struct asking){.order = QUEUE_REMOVE, .filter = {.account = {{1}}}}), 5);
    EXPECT_NUMBER(order(w, 0, (struct asking){.order = QUEUE_HOLD, .filter = {.account = {{2}}}}), 5);
    sim_dns_fail(w->sim, VIEW("elsewhere.test"), false);
    sim_run(w->sim, 600 * 1000);
    EXPECT_NUMBER(w->taken_count, 0);
    EXPECT_NUMBER(summary_of(w, 0).held, 5);
    world_close(w);
}

/* ---- limits ---- */

static void put_mx(struct world *w, const char *domain) { sim_dns_put(w->sim, view_of(domain), DNS_MX, VIEW("\0\12\11elsewhere\4test\0")); }

TEST(outbound_keeps_a_sites_limit_over_its_domains_and_all_nodes)
{
    static const struct { const char *rules; unsigned most, least; } limits[] = {
        {"limit mx=elsewhere.test : connections=20\n", 20, 10},   /* parts of shards */
        {"limit mx=elsewhere.test : connections=3\n", 3, 3},      /* leases */
    };
    for (size_t i = 0; i < array_size(limits); i++) {
        struct world *w = world_open_with(20 + i, 2, limits[i].rules);
        for (unsigned d = 0; d < 10; d++) {
            char domain[24];
            snprintf(domain, sizeof domain, "d%u.test", d);
            put_mx(w, domain);
        }
        sim_run(w->sim, 30000);
        w->pause_ms = 100;
        for (unsigned d = 0; d < 10; d++) {
            char to[32];
            snprintf(to, sizeof to, "a@d%u.test", d);
            send(w, d % 2, "m", to, d + 1, 100);
        }
        sim_run(w->sim, 600 * 1000);
        EXPECT_NUMBER(w->taken_count, 1000);
        if (w->open_max > limits[i].most || w->open_max < limits[i].least) test_fail(__FILE__, __LINE__, "%u connections at once", w->open_max);
        world_close(w);
    }
}

TEST(outbound_uses_an_open_connection_for_other_domains_of_its_site)
{
    struct world *w = world_open(24, 1);
    put_address(w->sim, VIEW("other.test"));
    for (unsigned i = 0; i < 20; i++) {
        char to[32];
        snprintf(to, sizeof to, "a@d%u.test", i);
        put_mx(w, to + 2);
        send(w, 0, "m", to, 1, 1);
        sim_run(w->sim, 100);
        EXPECT_NUMBER(w->taken_count, i + 1);        /* nobody waits until another's connection has lingered */
    }
    EXPECT_NUMBER(w->connections, 2);                /* one on each loop */
    /* Another site, though it is the same machine. */
    send(w, 0, "n", "a@other.test", 1, 1);
    sim_run(w->sim, 100);
    EXPECT_NUMBER(w->connections, 3);
    EXPECT_NUMBER(w->taken_count, 21);
    world_close(w);
}

TEST(outbound_sends_nothing_over_a_connection_that_was_made_for_less)
{
    struct world *w = world_open(25, 1);
    put_mx(w, "d.test");
    put_mx(w, "strict.test");
    send(w, 0, "plain", "a@d.test", 1, 20);
    sim_run(w->sim, 300);
    EXPECT_NUMBER(w->taken_count, 20);
    unsigned before = w->open;
    REQUIRE(before > 0);                             /* they linger */
    struct order o = {.node = &w->nodes[0], .subject = "strict", .to = "a@strict.test", .account = {{1}}, .count = 20, .flags = QUEUE_REQUIRES_TLS};
    sim_call(w->nodes[0].sim, 0, enqueue, &o);
    sim_run(w->sim, 30000);
    EXPECT_NUMBER(w->taken_count, 20);
    EXPECT_VIEW(sim_event_field(w->sim, EVENT_MESSAGE_SENT, 20, "outcome"), VIEW("failed"));
    world_close(w);
}

TEST(outbound_keeps_a_sites_rate)
{
    struct world *w = world_open_with(22, 2, "limit mx=elsewhere.test : rate=60\n");
    put_mx(w, "d.test");
    sim_run(w->sim, 30000);
    send(w, 0, "m", "a@d.test", 1, 300);
    sim_run(w->sim, 120 * 1000);
    if (w->taken_count < 80 || w->taken_count > 160) test_fail(__FILE__, __LINE__, "%zu in two minutes", w->taken_count);
    world_close(w);
}

TEST(outbound_does_what_a_rule_says_of_an_answer)
{
    struct world *w = world_open_with(23, 1, "answer code=550 \"later\" : greylisted defer retry=5m\nanswer code=451 \"rest\" : slow-down slow rest=20m\n");
    w->rcpt_answer = "550 come later";
    send(w, 0, "m", "a@elsewhere.test", 1, 1);
    sim_run(w->sim, 10000);
    EXPECT_VIEW(sim_event_field(w->sim, EVENT_MESSAGE_SENT, 0, "outcome"), VIEW("deferred"));
    EXPECT_VIEW(sim_event_field(w->sim, EVENT_MESSAGE_SENT, 0, "class"), VIEW("greylisted"));
    w->rcpt_answer = NULL;
    sim_run(w->sim, 400 * 1000);
    EXPECT_NUMBER(w->taken_count, 1);
    w->rcpt_answer = "451 rest now";
    send(w, 0, "n", "b@elsewhere.test", 1, 1);
    sim_run(w->sim, 10000);
    EXPECT_NUMBER(sim_event_count(w->sim, EVENT_DESTINATION_RESTS), 1);
    world_close(w);
}

TEST(egress_pools_are_for_whom_they_say)
{
    struct egress_address addresses[] = {{.hello = VIEW("a.test")}, {.hello = VIEW("b.test"), .warm_from = {86400000}, .warm_first = 100}};
    view tenants[] = {VIEW("acme")};
    struct egress_pool pools[] = {
        {.name = VIEW("acme"), .addresses = addresses, .address_count = 2, .tenants = tenants, .tenant_count = 1},
        {.name = VIEW("bulk"), .addresses = addresses, .address_count = 2, .standings = 1u << QUEUE_BULK | 1u << QUEUE_SUSPICIOUS},
        {.name = VIEW("notices"), .addresses = addresses, .address_count = 2, .classes = 1u << QUEUE_BOUNCE},
    };
    struct egress e = {pools, 3};
    EXPECT_NUMBER(egress_pool_of(&e, VIEW("acme"), QUEUE_SUBMITTED, QUEUE_BULK), 0);
    EXPECT_NUMBER(egress_pool_of(&e, VIEW("other"), QUEUE_SUBMITTED, QUEUE_BULK), 1);
    EXPECT_NUMBER(egress_pool_of(&e, VIEW("other"), QUEUE_BOUNCE, QUEUE_GOOD), 2);
    EXPECT_NUMBER(egress_pool_of(&e, VIEW("other"), QUEUE_SUBMITTED, QUEUE_GOOD), EGRESS_NONE);
    EXPECT(egress_day_limit(&addresses[0], (unix_ms){5}) == UINT64_MAX && egress_day_limit(&addresses[1], (unix_ms){5}) == 0);
    EXPECT(egress_day_limit(&addresses[1], (unix_ms){86400000}) == 100 && egress_day_limit(&addresses[1], (unix_ms){86400000ll * 4}) == 800);
}

TEST(outbound_forgets_destinations_that_nothing_waits_for)
{
    struct world *w = world_open(15, 1);
    char domains[40][24];
    for (unsigned i = 0; i < 40; i++) {
        snprintf(domains[i], sizeof domains[i], "d%u.test", i);
        put_address(w->sim, view_of(domains[i]));
    }
    for (unsigned i = 0; i < 40; i++) {
        char to[32];
        snprintf(to, sizeof to, "a@%s", domains[i]);
        send(w, 0, "m", to, 1, 1);
    }
    sim_run(w->sim, 20000);
    EXPECT_NUMBER(w->taken_count, 40);
    struct outbound *o = w->nodes[0].outbound;
    EXPECT(o->of_loop[0].destinations.count + o->of_loop[1].destinations.count >= 40);
    sim_run(w->sim, 15 * 60 * 1000);
    EXPECT_NUMBER(o->of_loop[0].destinations.count + o->of_loop[1].destinations.count, 0);
    EXPECT_NUMBER(o->of_loop[0].sites.count + o->of_loop[1].sites.count, 0);
    world_close(w);
}
