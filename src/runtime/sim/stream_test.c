/* Streams, listeners and TLS of the simulator. */
#include <string.h>

#include "base/test.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/listener.h"
#include "runtime/sim/sim.h"
#include "runtime/tls.h"

enum { MANY_BYTES = 300000 };

struct pair {
    struct sim *sim;
    struct sim_node *a, *b;
    struct stream *near, *far;
};

static struct pair pair_open(uint64_t seed)
{
    struct pair p = {.sim = sim_open(seed)};
    p.a = sim_node_new(p.sim, "a", 1);
    p.b = sim_node_new(p.sim, "b", 2);
    sim_stream_pair(sim_node_loop(p.a, 0), sim_node_loop(p.b, 0), &p.near, &p.far);
    return p;
}

static char byte_at(size_t position) { return (char)(position * 7 + position / 251); }

static void writes_many(void *argument)
{
    colour_pretend_coroutine();
    struct stream *s = argument;
    buf bytes = BUF_INIT;
    for (size_t i = 0; i < MANY_BYTES; i++) buf_append_byte(&bytes, byte_at(i));
    view parts[] = {view_slice(buf_view(&bytes), 0, 1000), VIEW_EMPTY, view_from(buf_view(&bytes), 1000)};
    EXPECT(stream_write(s, parts, 3, MILLIS_NEVER, NULL) == OK);
    buf_done(&bytes);
    stream_close(s);
}

static void reads_many(void *argument)
{
    colour_pretend_coroutine();
    struct stream *s = argument;
    buf got = BUF_INIT;
    size_t reads = 0;
    result code;
    while ((code = stream_read(s, &got, 10000, MILLIS_NEVER, NULL)) == OK) reads++;
    EXPECT(code == END);
    EXPECT_NUMBER(got.len, MANY_BYTES);
    size_t right = 0;
    while (right < got.len && got.at[right] == byte_at(right)) right++;
    EXPECT_NUMBER(right, MANY_BYTES);
    EXPECT(reads > 30);
    buf_done(&got);
    stream_close(s);
}

TEST(sim_stream_carries_bytes_in_order)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct pair p = pair_open(seed);
        sim_spawn(p.a, 0, "write", writes_many, p.near);
        sim_call(p.b, 0, reads_many, p.far);
        sim_close(p.sim);
    }
}

/* ---- ends ---- */

static void reads_until_it_breaks(void *argument)
{
    colour_pretend_coroutine();
    struct stream *s = argument;
    struct fault fault = {0};
    buf got = BUF_INIT;
    result code;
    while ((code = stream_read(s, &got, 10, MILLIS_NEVER, &fault)) == OK) continue;
    EXPECT(code == IO);
    EXPECT(fault.detail[0] != '\0');
    EXPECT(stream_write(s, (view[]){VIEW("x")}, 1, MILLIS_NEVER, NULL) == IO);
    buf_done(&got);
    stream_close(s);
}

TEST(sim_stream_reset_is_seen_by_the_peer)
{
    struct pair p = pair_open(2);
    sim_spawn(p.b, 0, "read", reads_until_it_breaks, p.far);
    sim_run(p.sim, 10);
    sim_stream_reset(p.near);
    sim_call(p.a, 0, reads_until_it_breaks, p.near);
    sim_close(p.sim);
}

TEST(sim_node_crash_resets_its_streams)
{
    struct pair p = pair_open(3);
    sim_run(p.sim, 10);
    sim_node_crash(p.a);
    sim_call(p.b, 0, reads_until_it_breaks, p.far);
    sim_close(p.sim);
}

static void fills_the_window(void *argument)
{
    colour_pretend_coroutine();
    char *big = calloc(1, MANY_BYTES);
    EXPECT(stream_write(argument, (view[]){view_make(big, MANY_BYTES)}, 1, clock_in(100), NULL) == TIMEOUT);
    free(big);
    size_t written = 1;
    EXPECT(stream_try_write(argument, VIEW("x"), &written) == OK);
    EXPECT_NUMBER(written, 0);
    buf got = BUF_INIT;
    EXPECT(stream_read(argument, &got, 1, clock_in(100), NULL) == TIMEOUT);
    stream_close(argument);
}

TEST(sim_stream_write_waits_for_room_and_no_longer_than_its_deadline)
{
    struct pair p = pair_open(4);
    sim_call(p.a, 0, fills_the_window, p.near);
    sim_close(p.sim);
}

static void aborts_later(void *argument)
{
    colour_pretend_coroutine();
    EXPECT(coroutine_sleep(50) == OK);
    stream_abort(argument);
}

TEST(sim_stream_abort_ends_a_read)
{
    struct pair p = pair_open(5);
    sim_spawn(p.a, 0, "abort", aborts_later, p.near);
    sim_call(p.a, 0, reads_until_it_breaks, p.near);
    sim_close(p.sim);
}

/* ---- waiting without a coroutine, moving ---- */

static struct stream *arrived_with;
static unsigned calls;

static void is_readable(void *argument)
{
    EXPECT(!coroutine_is_running());
    EXPECT(loop_self() != NULL);
    calls++;
}

static void arrives(void *argument)
{
    struct pair *p = argument;
    EXPECT(loop_self() == sim_node_loop(p->b, 1));
    arrived_with = p->far;
    stream_when_readable(p->far, is_readable, NULL);
}

static void moves(void *argument)
{
    struct pair *p = argument;
    stream_when_readable(p->far, is_readable, NULL);
    stream_move(p->far, sim_node_loop(p->b, 1), arrives, p);
}

static void writes_one(void *argument)
{
    size_t written;
    EXPECT(stream_try_write(argument, VIEW("x"), &written) == OK);
    EXPECT_NUMBER(written, 1);
}

TEST(sim_stream_moves_to_another_loop_and_tells_there)
{
    struct pair p = pair_open(6);
    sim_call(p.b, 0, moves, &p);
    sim_call(p.a, 0, writes_one, p.near);
    sim_run(p.sim, 100);
    EXPECT(arrived_with == p.far);
    EXPECT_NUMBER(calls, 1);
    sim_run(p.sim, 100);
    EXPECT_NUMBER(calls, 1);
    sim_close(p.sim);
}

/* ---- listeners ---- */

static unsigned accepted_count;

static void accepts(void *argument, struct stream *s)
{
    EXPECT(stream_local(s)->port == 143);
    EXPECT(stream_peer(s)->family == 4);
    accepted_count++;
    stream_close(s);
}

static void listens(void *argument)
{
    colour_pretend_worker();
    struct listener *second;
    struct listener_options options = {.name = "test", .address = {.family = 4, .port = 143}, .accepted = accepts};
    EXPECT(listener_open(loop_family(loop_self()), &options, argument, NULL) == OK);
    EXPECT(listener_open(loop_family(loop_self()), &options, &second, NULL) == BUSY);
}

static void connects(void *argument)
{
    colour_pretend_coroutine();
    struct address to = {.family = 4, .bytes = {127, 0, 0, 1}, .port = 143};
    struct stream *s;
    buf got = BUF_INIT;
    EXPECT(stream_connect(&to, NULL, clock_in(1000), &s, NULL) == OK);
    EXPECT(stream_read(s, &got, 1, MILLIS_NEVER, NULL) == END);
    stream_close(s);
    to.port = 144;
    EXPECT(stream_connect(&to, NULL, clock_in(1000), &s, NULL) == IO);
}

static void stops_listening(void *argument) { listener_close(argument); }

TEST(sim_listener_takes_connections_from_other_nodes)
{
    struct sim *s = sim_open(7);
    struct sim_node *server = sim_node_new(s, "server", 2), *client = sim_node_new(s, "client", 1);
    struct listener *l;
    sim_call(server, 0, listens, &l);
    for (int i = 0; i < 10; i++) sim_call(client, 0, connects, NULL);
    EXPECT_NUMBER(accepted_count, 10);
    sim_call(server, 0, stops_listening, l);
    sim_close(s);
}

/* ---- TLS ---- */

struct tls_side {
    struct stream *stream;
    bool writes_first;
    result code;
};

static void starts_tls(void *argument)
{
    colour_pretend_coroutine();
    colour_pretend_worker();
    struct tls_side *side = argument;
    struct tls_context *context;
    EXPECT(tls_context_new_client(&context, NULL) == OK);
    if (side->writes_first) EXPECT(stream_write(side->stream, (view[]){VIEW("x")}, 1, MILLIS_NEVER, NULL) == OK);
    side->code = stream_start_tls(side->stream, context, clock_in(500), NULL);
    tls_context_free(context);
}

TEST(sim_tls_is_on_when_both_ends_want_it)
{
    for (uint64_t seed = 1; seed < 20; seed++) {
        struct pair p = pair_open(seed);
        struct tls_side near = {.stream = p.near}, far = {.stream = p.far};
        sim_stream_set_server_name(p.near, VIEW("mail.example.test"));
        sim_spawn(p.a, 0, "tls", starts_tls, &near);
        sim_call(p.b, 0, starts_tls, &far);
        sim_settle(p.sim, 50);
        EXPECT(near.code == OK);
        EXPECT(far.code == OK);
        EXPECT(stream_tls(p.near).is_on);
        EXPECT_VIEW(stream_tls(p.far).server_name, VIEW("mail.example.test"));
        unsigned char one[32], other[32];
        EXPECT(stream_channel_binding(p.near, one) == OK && stream_channel_binding(p.far, other) == OK);
        EXPECT(memcmp(one, other, sizeof one) == 0);
        sim_close(p.sim);
    }
}

TEST(sim_tls_fails_alone_after_plain_text_and_by_chance)
{
    struct pair p = pair_open(8);
    struct tls_side near = {.stream = p.near}, far = {.stream = p.far, .writes_first = true};
    sim_call(p.a, 0, starts_tls, &near);
    EXPECT(near.code == TIMEOUT);
    sim_close(p.sim);

    p = pair_open(8);
    near = (struct tls_side){.stream = p.near};
    far.stream = p.far;
    sim_spawn(p.a, 0, "tls", starts_tls, &near);
    sim_call(p.b, 0, starts_tls, &far);
    sim_settle(p.sim, 50);
    EXPECT(near.code == IO);
    EXPECT(far.code == IO);
    EXPECT(!stream_tls(p.near).is_on);
    sim_close(p.sim);
}
