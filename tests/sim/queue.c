/*
 * The queue on several nodes: messages are put into it on any node, owners of shards die at points and at any step, leases end under them, the store
 * hangs and answers late or not at all. The server on the other side takes mail, refuses it, puts it off, and breaks connections in every state. Operators
 * hold, release, redirect, hurry, expire and purge mail of some accounts on any node; journals are folded all the time; some mail is forwarded
 * (forward_send()): it has fields before it, a sender of ours that stands for its own, and leaves its first bytes behind.
 *
 * In the end every message that was acknowledged has been taken by that server, or its failure told; and one was taken twice only where its owner had
 * not been told, or had not recorded, that it was taken: where a connection broke after the end of data, or an owner died or lost its lease or the store.
 * What is expired or purged may be gone, and nothing else is.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "flow/forward.h"
#include "flow/outbound.h"
#include "flow/queue_private.h"
#include "identity/directory.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/listener.h"
#include "runtime/random.h"
#include "runtime/resolver.h"
#include "runtime/wire.h"
#include "scenario.h"
#include "world.h"

enum {
    NODES = 3, MESSAGES_MAX = 400, SINK_PORT = 25, STORE_MS = 10000, PLAY_MS = 120000, PATIENCE_MS = 6 * 3600 * 1000, LOOK_MS = 2000, ENQUEUE_MAX = 8,
    LARGE_BYTES = 70000,                 /* more than a record holds: an object of its own */
    COMPACT_BYTES = 1000,                /* so that journals are folded all the time */
    ARENA_BYTES = 4 << 20,
};

/* By the number of a message: what operators do to mail of an account concerns no other. */
enum { ACCOUNT_PLAIN, ACCOUNT_FORWARDED, ACCOUNT_HELD, ACCOUNT_REDIRECTED, ACCOUNT_PURGED, ACCOUNTS };

#define ALIAS "alias@example.test"

#define AUTHOR "author@elsewhere.test"
enum { SENDER_MAX = 120 };

struct message { bool is_acknowledged; unsigned taken; char sender[SENDER_MAX]; };

static struct play {
    struct world world;
    struct sim_node *other;
    struct queue_node { struct identity *identity; struct intake intake; struct resolver *resolver; struct queue *queue; struct outbound *outbound; } nodes[NODES];
    struct message messages[MESSAGES_MAX];
    unsigned count, unsure;              /* unsure: 250s that the client may not have seen */
    bool is_over;
} play;

/* ---- the other side ------------------------------------------------------------------------------------ */

struct sink { struct wire wire; unsigned recipients; char sender[SENDER_MAX]; };

MAY_YIELD static bool say(struct sink *s, const char *text)
{
    wire_putf(&s->wire, "%s\r\n", text);
    return wire_flush(&s->wire, clock_in(STORE_MS), NULL) == OK;
}

static bool has_mood(unsigned ppm) { return !play.is_over && sim_chance_ppm(play.world.sim, ppm); }

static void see_forwarded(const struct sink *s, view data, uint64_t number)
{
    size_t at = view_find_view(data, VIEW("Delivered-To: " ALIAS "\r\n"));
    if (at == VIEW_NONE || view_find_view(view_from(data, at + 1), VIEW("Delivered-To")) != VIEW_NONE) FAIL("message %" PRIu64 " does not say once where it has been", number);
    snprintf(play.messages[number].sender, SENDER_MAX, "%s", s->sender);
}

MAY_YIELD static bool take_data(struct sink *s)
{
    buf data CLEANUP(buf_done) = BUF_INIT;
    view piece;
    uint64_t number;
    result code;
    if (!say(s, "354 go on")) return false;
    wire_data_begin(&s->wire);
    while ((code = wire_data(&s->wire, clock_in(STORE_MS), &piece, NULL)) == OK) buf_append(&data, piece);
    if (code != END) return false;
    if (has_mood(50000)) return say(s, "451 4.3.2 later");
    size_t at = view_find_view(buf_view(&data), VIEW("Subject: "));
    view subject = view_from(buf_view(&data), at == VIEW_NONE ? data.len : at + 9);
    if (!view_to_u64(view_slice(subject, 0, view_find(subject, '\r')), &number) || number >= play.count) FAIL("a message that nobody sent");
    if (view_find_view(buf_view(&data), VIEW("the end\r\n")) == VIEW_NONE) FAIL("message %" PRIu64 " was cut off and taken", number);
    if (view_find_view(buf_view(&data), VIEW("Return-Path")) != VIEW_NONE) FAIL("message %" PRIu64 " took what stays here with it", number);
    if (number % ACCOUNTS == ACCOUNT_FORWARDED) see_forwarded(s, buf_view(&data), number);
    play.messages[number].taken++;
    /* Taken, and nobody hears of it. */
    if (has_mood(50000)) return play.unsure++, false;
    if (say(s, "250 taken")) return true;
    play.unsure++;
    return false;
}

MAY_YIELD static bool answer(struct sink *s, view line)
{
    if (has_mood(10000)) return false;
    if (has_mood(10000)) return say(s, "421 4.3.2 going down"), false;
    if (view_starts_nocase(line, VIEW("EHLO"))) return say(s, "250-other.test\r\n250 PIPELINING");
    if (view_starts_nocase(line, VIEW("MAIL"))) {
        s->recipients = 0;
        snprintf(s->sender, sizeof s->sender, VIEW_FMT, VIEW_ARG(view_slice(line, 11, view_find_last(line, '>') - 11)));
    }
    if (view_starts_nocase(line, VIEW("RCPT"))) {
        if (has_mood(100000)) return say(s, "450 4.2.1 not yet");
        s->recipients++;
    }
    if (view_starts_nocase(line, VIEW("DATA"))) return s->recipients ? take_data(s) : say(s, "554 no recipients");
    if (view_starts_nocase(line, VIEW("QUIT"))) return false;
    return say(s, "250 ok");
}

static void run_sink(void *argument)
{
    colour_pretend_coroutine();
    struct sink *s = argument;
    view line;
    bool goes_on = !has_mood(20000) && say(s, "220 other.test");
    while (goes_on && wire_line(&s->wire, 2000, clock_in(60 * STORE_MS), &line, NULL) == OK) goes_on = answer(s, line);
    wire_done(&s->wire);
    free(s);
}

static void accept_sink(void *argument, struct stream *stream)
{
    struct sink *s = calloc(1, sizeof *s);
    check(s);
    wire_init(&s->wire, stream, WIRE_CRLF_ENDS_COMMAND);
    coroutine_spawn(loop_scope(loop_self()), "sink", run_sink, s);
}

static void open_sink(void *argument)
{
    struct listener *l;
    struct listener_options o = {.name = "sink", .accepted = accept_sink};
    colour_pretend_worker();
    MUST(address_parse(VIEW("192.0.2.1"), &o.address));
    o.address.port = SINK_PORT;
    MUST(listener_open(loop_family(loop_self()), &o, &l, NULL) == OK);
}

/* ---- nodes --------------------------------------------------------------------------------------------- */

static void node_up(void *argument, unsigned node)
{
    colour_pretend_coroutine();
    struct queue_node *n = &play.nodes[node];
    struct world_node *w = &play.world.nodes[node];
    struct loops *all = loop_family(loop_self());
    struct outbound_options o = outbound_default_options();
    *n = (struct queue_node){.identity = identity_new(w->engine, all)};
    n->intake = (struct intake){.identity = n->identity, .accounts = w->accounts, .postmaster_domain = VIEW("example.test")};
    MUST(resolver_new(&(struct resolver_options){0}, all, &n->resolver, NULL) == OK);
    n->queue = queue_new(w->accounts, all);
    n->queue->compact_bytes = COMPACT_BYTES;
    o.server_name = VIEW("out.example.test");
    o.resolver = n->resolver;
    o.intake = &n->intake;
    o.retry_min_ms = 1000;
    o.retry_max_ms = 20000;
    n->outbound = outbound_new(&o, n->queue, all);
    queue_start(n->queue, n->outbound);
}

static void node_down(void *argument, unsigned node)
{
    colour_pretend_coroutine();
    struct queue_node *n = &play.nodes[node];
    queue_stop(n->queue, clock_in(PATIENCE_MS));
    outbound_free(n->outbound);
    colour_pretend_worker();
    resolver_free(n->resolver);
    queue_free(n->queue);
    identity_free(n->identity);
    *n = (struct queue_node){0};
}

static void node_died(void *argument, unsigned node) { play.nodes[node] = (struct queue_node){0}; }

/* ---- what happens -------------------------------------------------------------------------------------- */

static struct id id_of_account(unsigned account)
{
    return account == ACCOUNT_FORWARDED ? forward_account(VIEW(ALIAS)) : (struct id){{(unsigned char)(1 + account)}};
}

struct sending { unsigned node, number; bool is_large; };

/* As a client of this node submits it. */
MAY_YIELD static bool submit(struct sending s, struct draft *draft)
{
    struct queue_address to = {.address = VIEW("a@elsewhere.test")};
    struct queue_envelope e = {.message = draft_message(draft), .account = id_of_account(s.number % ACCOUNTS), .sender = VIEW(""), .received = clock_wall(),
                               .bytes = draft_bytes(draft), .recipients = &to, .recipient_count = 1};
    return queue_enqueue(play.nodes[s.node].queue, &e, draft, clock_in(STORE_MS), NULL) == OK;
}

/* As another server sends it to an alias that leads away. */
MAY_YIELD static bool forward(struct sending s, struct draft *draft, view text, uint32_t skip_bytes)
{
    struct queue_node *n = &play.nodes[s.node];
    struct forwarding f = {.identity = n->identity, .queue = n->queue, .resolver = n->resolver, .server_name = VIEW("out.example.test")};
    view target = VIEW("a@elsewhere.test");
    struct intake_recipient r = {.forwards = &target, .forward_count = 1, .alias = VIEW(ALIAS)};
    struct forward_order order = {.recipient = &r, .message = forward_message_new(), .sender = VIEW(AUTHOR), .draft = draft, .skip_bytes = skip_bytes};
    forward_message_feed(order.message, view_from(text, skip_bytes));
    forward_message_end(order.message, &f, clock_in(STORE_MS));
    bool is_saved = forward_send(&f, &order, clock_in(STORE_MS)) == SMTP_SAVED;
    forward_message_free(order.message);
    return is_saved;
}

static void send_one(void *argument)
{
    colour_pretend_coroutine();
    struct sending s = *(struct sending *)argument;
    struct draft *draft;
    buf text CLEANUP(buf_done) = BUF_INIT;
    free(argument);
    if (!play.nodes[s.node].queue) return;
    bool is_forwarded = s.number % ACCOUNTS == ACCOUNT_FORWARDED;
    if (is_forwarded) buf_append(&text, VIEW("Return-Path: <>\r\n"));
    uint32_t skip_bytes = (uint32_t)text.len;
    buf_appendf(&text, "Subject: %u\r\n\r\n", s.number);
    while (text.len < (s.is_large ? LARGE_BYTES : 100u)) buf_append(&text, VIEW("some text of some length\r\n"));
    buf_append(&text, VIEW("the end\r\n"));
    draft = draft_new(play.world.nodes[s.node].accounts, random_id(), text.len + 100);
    bool is_written = draft_write(draft, buf_view(&text), clock_in(STORE_MS), NULL) == OK;
    if (is_written && (is_forwarded ? forward(s, draft, buf_view(&text), skip_bytes) : submit(s, draft))) play.messages[s.number].is_acknowledged = true;
    draft_free(draft);
}

static void enqueue_some(void)
{
    struct world *w = &play.world;
    int node = world_pick(w);
    for (unsigned i = (unsigned)sim_choose(w->sim, ENQUEUE_MAX); node >= 0 && play.nodes[node].queue && i > 0 && play.count < MESSAGES_MAX; i--) {
        struct sending *s = calloc(1, sizeof *s);
        check(s);
        *s = (struct sending){(unsigned)node, play.count++, sim_choose(w->sim, 5) == 0};
        sim_spawn(w->nodes[node].sim, 0, "sender", send_one, s);
    }
}

struct ordering { unsigned node, account; enum queue_order order; };

static void give_order(void *argument)
{
    colour_pretend_coroutine();
    struct ordering o = *(struct ordering *)argument;
    struct queue *q = play.nodes[o.node].queue;
    struct queue_filter filter = {.account = id_of_account(o.account)};
    uint64_t count;
    free(argument);
    /* An order whose outcome is not known may come later. */
    if (q) (void)!queue_order(q, &filter, o.order, o.order == QUEUE_REDIRECT ? VIEW("b@elsewhere.test") : VIEW_EMPTY, clock_in(STORE_MS), &count, NULL);
}

static void order_something(void)
{
    static const struct { unsigned account; enum queue_order order; } choices[] = {
        {ACCOUNT_HELD, QUEUE_HOLD}, {ACCOUNT_HELD, QUEUE_RELEASE}, {ACCOUNT_REDIRECTED, QUEUE_REDIRECT}, {ACCOUNT_PLAIN, QUEUE_RETRY}, {ACCOUNT_PURGED, QUEUE_EXPIRE},
        {ACCOUNT_PURGED, QUEUE_REMOVE}};
    struct world *w = &play.world;
    size_t choice = (size_t)sim_choose(w->sim, array_size(choices));
    int node = world_pick(w);
    if (node < 0 || !play.nodes[node].queue) return;
    struct ordering *o = calloc(1, sizeof *o);
    check(o);
    *o = (struct ordering){(unsigned)node, choices[choice].account, choices[choice].order};
    sim_spawn(w->nodes[node].sim, 0, "operator", give_order, o);
}

MAY_YIELD static void happen(void)
{
    struct world *w = &play.world;
    unsigned node = (unsigned)sim_choose(w->sim, NODES);
    switch (sim_choose(w->sim, 22)) {
    case 0: world_kill(w, node); break;
    case 1: if (sim_node_is_up(w->nodes[node].sim)) sim_node_crash_after(w->nodes[node].sim, 1 + sim_choose(w->sim, 500)); break;
    case 2: memory_store_expire_leases(w->store); break;
    case 3: memory_store_hang(w->store, (unsigned)sim_choose(w->sim, MEMORY_PLACES), clock_in((int64_t)sim_choose(w->sim, 8000))); break;
    case 4: case 5: case 6: world_raise(w); break;
    case 7: case 8: order_something(); break;
    default: enqueue_some();
    }
    MUST(coroutine_sleep((int64_t)sim_choose(w->sim, 2000)) == OK);
}

struct looking { unsigned node; struct queue_summary found; result code; };

/* What is held goes, too. */
static void look(void *argument)
{
    colour_pretend_coroutine();
    struct looking *l = argument;
    struct queue_filter all = {0};
    uint64_t count;
    (void)!queue_order(play.nodes[l->node].queue, &all, QUEUE_RELEASE, VIEW_EMPTY, clock_in(STORE_MS), &count, NULL);
    l->code = queue_summarise(play.nodes[l->node].queue, clock_in(STORE_MS), &l->found, NULL);
}

/* With all faults over, the queue empties. */
MAY_YIELD static void come_to_an_end(void)
{
    struct world *w = &play.world;
    millis until = clock_in(PATIENCE_MS);
    struct looking l = {0};
    world_calm(w);
    world_raise(w);
    world_wait_ready(w);
    play.is_over = true;
    do {
        if (!millis_before(clock_now(), until)) FAIL("%" PRIu64 " messages stay in the queue", l.found.messages);
        MUST(coroutine_sleep(LOOK_MS) == OK);
        world_run(w, 0, ID_NONE, look, &l);
    } while (l.code != OK || l.found.messages > 0);
}

/* A notice about it that comes back to any node, whichever sent it, goes to its author. */
static void unwrap_all(void *argument)
{
    colour_pretend_coroutine();
    struct forwarding f = {.identity = play.nodes[0].identity};
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ARENA_BYTES);
    unsigned *forwarded = argument;
    for (unsigned i = ACCOUNT_FORWARDED; i < play.count; i += ACCOUNTS) {
        view sender = view_of(play.messages[i].sender), author = VIEW_EMPTY;
        if (play.messages[i].taken == 0) continue;
        size_t at = view_find_last(sender, '@');
        if (at == VIEW_NONE || !view_equal(view_from(sender, at), VIEW("@example.test"))) FAIL("message %u was forwarded as by " VIEW_FMT, i, VIEW_ARG(sender));
        arena_reset(arena);
        if (forward_unwrap(&f, view_slice(sender, 0, at), clock_in(STORE_MS), arena, &author, NULL) != OK || !view_equal(author, VIEW(AUTHOR)))
            FAIL("what comes back to " VIEW_FMT " does not reach the author of message %u", VIEW_ARG(sender), i);
        ++*forwarded;
    }
}

MAY_YIELD static void judge(void)
{
    unsigned twice = 0, forwarded = 0;
    for (unsigned i = 0; i < play.count; i++) {
        if (play.messages[i].is_acknowledged && play.messages[i].taken == 0 && i % ACCOUNTS != ACCOUNT_PURGED) FAIL("message %u was acknowledged and lost", i);
        twice += play.messages[i].taken > 1 ? play.messages[i].taken - 1 : 0;
    }
    bool was_calm = sim_crashes(play.world.sim) == 0 && sim_event_count(play.world.sim, EVENT_QUEUE_NOT_WRITTEN) == 0 && sim_event_count(play.world.sim, EVENT_QUEUE_SHARD_LEFT) == 0;
    if (was_calm && twice > play.unsure) FAIL("%u messages were sent twice, and only %u answers were cut off", twice, play.unsure);
    world_run(&play.world, 0, ID_NONE, unwrap_all, &forwarded);
    scenario_say("%u messages, %u forwarded, %u sent twice, %u answers cut off, %u nodes died, %" PRIu64 " steps", play.count, forwarded, twice, play.unsure,
                 sim_crashes(play.world.sim), sim_steps(play.world.sim));
}

static void run_play(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = &play.world;
    world_wait_ready(w);
    w->is_calm = sim_seed(w->sim) % 4 == 0;
    if (!w->is_calm) memory_store_set_faults(w->store, &w->faults);
    for (millis until = clock_in(PLAY_MS); millis_before(clock_now(), until);) {
        if (w->is_calm) {
            enqueue_some();
            MUST(coroutine_sleep((int64_t)sim_choose(w->sim, 2000)) == OK);
        } else {
            happen();
        }
    }
    come_to_an_end();
    judge();
    for (unsigned i = 0; i < NODES; i++) world_stop(w, i);
}

static uint64_t run_queue(uint64_t seed)
{
    struct world *w = &play.world;
    memset(&play, 0, sizeof play);
    world_open(w, seed, NODES);
    w->up = node_up;
    w->down = node_down;
    w->died = node_died;
    w->point_ppm = 2000;
    w->faults = (struct memory_faults){.delay_max_us = 20000, .unknown_ppm = 10000, .unavailable_ppm = 5000, .reorders_objects = true, .blind_appends_tell_nothing = seed % 2 == 0,
                                       .loses_notifications = true, .page_records_max = 50};
    sim_set_call_limit(w->sim, 2 * PATIENCE_MS);
    play.other = sim_node_new(w->sim, "other", 1);
    if (!sim_call(play.other, 0, open_sink, NULL)) FAIL("the other side died");
    sim_dns_put(w->sim, VIEW("elsewhere.test"), DNS_A, VIEW("\300\0\2\1"));
    for (unsigned i = 0; i < NODES; i++) world_boot(w, i);
    if (!sim_call(w->keeper, 0, run_play, w)) FAIL("the keeper died");
    uint64_t trace = sim_trace(w->sim);
    world_close(w);
    return trace;
}

const struct scenario scenario_queue = {"queue", "mail goes out while owners of the queue's shards die and lose their leases", 1, run_queue};
