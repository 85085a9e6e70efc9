#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/event_hook.h"
#include "runtime/uv/net_test.h"
#include "runtime/uv/stream_private.h"

/* --- echo: whatever comes goes back, through buffers too small for it --- */

enum { MUCH_BYTES = 3 * 1024 * 1024 };

static struct tls_context *server_tls, *client_tls;

static void make_small(struct stream *s)
{
    int bytes = 20000;
    setsockopt(s->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    /* Not SO_RCVBUF too: a window smaller than loopback's segments leaves all to the kernel's persist timer, 12 s of it. */
}

static void serve_echo(struct stream *s)
{
    colour_pretend_coroutine();
    struct fault fault = {0};
    buf b = BUF_INIT;
    make_small(s);
    if (server_tls) EXPECT(stream_start_tls(s, server_tls, clock_in(5000), &fault) == OK);
    while (stream_read(s, &b, 50000, clock_in(10000), &fault) == OK) {
        view parts[3] = {view_slice(buf_view(&b), 0, 1), VIEW_EMPTY, view_from(buf_view(&b), 1)};
        EXPECT(stream_write(s, parts, 3, clock_in(10000), &fault) == OK);
        buf_clear(&b);
    }
    buf_done(&b);
    stream_close(s);
}

static char pattern_at(size_t i) { return (char)(i * 7 + i / 251); }

static void write_much(void *argument)
{
    colour_pretend_coroutine();
    struct stream *s = argument;
    buf b = BUF_INIT;
    for (size_t i = 0; i < MUCH_BYTES; i++) buf_append_byte(&b, pattern_at(i));
    view all = buf_view(&b);
    for (size_t at = 0, step = 1; at < all.len; at += step, step = step * 2 + 1) {
        view part = view_slice(all, at, step);
        EXPECT(stream_write(s, &part, 1, clock_in(10000), NULL) == OK);
    }
    buf_done(&b);
}

static void echo_much(void *argument)
{
    colour_pretend_coroutine();
    struct net n;
    struct scope scope;
    net_open(&n, serve_echo);
    struct stream *s = net_connect(&n);
    make_small(s);
    if (client_tls) REQUIRE(stream_start_tls(s, client_tls, clock_in(5000), NULL) == OK);
    scope_init(&scope, NULL);
    coroutine_spawn(&scope, "write much", write_much, s);
    buf b = BUF_INIT;
    size_t at = 0;
    bool same = true;
    while (at < MUCH_BYTES) {
        REQUIRE(stream_read(s, &b, 1 + at % 30000, clock_in(10000), NULL) == OK);
        for (size_t i = 0; i < b.len; i++) same = same && b.at[i] == pattern_at(at + i);
        at += b.len;
        buf_clear(&b);
    }
    EXPECT(same);
    EXPECT_NUMBER(at, MUCH_BYTES);
    scope_join(&scope);
    scope_unlink(&scope);
    buf_done(&b);
    stream_close(s);
    net_close(&n);
}

TEST(a_stream_carries_much_through_small_buffers) { net_run(1, echo_much); }
TEST(a_stream_carries_much_between_loops) { net_run(3, echo_much); }

static void echo_much_in_tls(void *argument)
{
    colour_pretend_coroutine();
    colour_pretend_worker();
    server_tls = net_tls("mail.example.test");
    REQUIRE(tls_context_new_client(&client_tls, NULL) == OK);
    echo_much(NULL);
    EXPECT(coroutine_sleep(20) == OK);       /* the server's side closes */
    tls_context_free(server_tls);
    tls_context_free(client_tls);
}

TEST(tls_carries_much_both_ways_at_once) { net_run(1, echo_much_in_tls); }
TEST(tls_carries_much_between_loops) { net_run(2, echo_much_in_tls); }

/* --- ends --- */

static struct { result first, second, aborted; int64_t waited_ms; } seen;

static void serve_ends(struct stream *s)
{
    colour_pretend_coroutine();
    buf b = BUF_INIT;
    int64_t begun = clock_now().ms;
    seen.first = stream_read(s, &b, 100, clock_in(30), NULL);
    seen.waited_ms = clock_now().ms - begun;
    view hello = VIEW("x");
    EXPECT(stream_write(s, &hello, 1, clock_in(1000), NULL) == OK);
    seen.second = stream_read(s, &b, 100, clock_in(5000), NULL);
    EXPECT(stream_read(s, &b, 100, clock_in(5000), NULL) == seen.second);
    buf_done(&b);
    stream_close(s);
}

static void meets_ends(void *argument)
{
    colour_pretend_coroutine();
    struct net n;
    net_open(&n, serve_ends);
    struct stream *s = net_connect(&n);
    buf b = BUF_INIT;
    REQUIRE(stream_read(s, &b, 10, clock_in(5000), NULL) == OK);
    shutdown(s->fd, SHUT_WR);
    EXPECT(stream_read(s, &b, 10, clock_in(5000), NULL) == END);
    EXPECT(seen.first == TIMEOUT && seen.waited_ms >= 30);
    EXPECT(seen.second == END);
    buf_done(&b);
    stream_close(s);
    net_close(&n);
}

TEST(a_read_times_out_and_sees_the_end) { net_run(1, meets_ends); }

static void serve_nothing(struct stream *s)
{
    colour_pretend_coroutine();
    buf b = BUF_INIT;
    seen.first = stream_read(s, &b, 100, MILLIS_NEVER, NULL);
    buf_done(&b);
    stream_close(s);
}

static void writes_until_stopped(void *argument)
{
    colour_pretend_coroutine();
    char bytes[1000];
    view v = view_make(bytes, sizeof bytes);
    memset(bytes, 'x', sizeof bytes);
    result r;
    while ((r = stream_write(argument, &v, 1, MILLIS_NEVER, NULL)) == OK) continue;
    seen.second = r;
}

static void reads_until_stopped(void *argument)
{
    colour_pretend_coroutine();
    buf b = BUF_INIT;
    seen.aborted = stream_read(argument, &b, 100, MILLIS_NEVER, NULL);
    buf_done(&b);
}

static void serve_deaf(struct stream *s)
{
    colour_pretend_coroutine();
    EXPECT(coroutine_sleep(100000) == CANCELLED);
    stream_close(s);
}

static void aborts(void *argument)
{
    colour_pretend_coroutine();
    struct net n;
    struct scope scope;
    net_open(&n, serve_deaf);
    struct stream *s = net_connect(&n);
    scope_init(&scope, NULL);
    coroutine_spawn(&scope, "writes", writes_until_stopped, s);
    coroutine_spawn(&scope, "reads", reads_until_stopped, s);
    EXPECT(coroutine_sleep(30) == OK);
    EXPECT(!scope_is_empty(&scope));
    stream_abort(s);
    scope_join(&scope);
    EXPECT(seen.second == IO && seen.aborted == IO);
    scope_unlink(&scope);
    stream_close(s);
    /* Cancelled: the same wait ends otherwise. */
    s = net_connect(&n);
    scope_init(&scope, NULL);
    coroutine_spawn(&scope, "writes", writes_until_stopped, s);
    coroutine_spawn(&scope, "reads", reads_until_stopped, s);
    EXPECT(coroutine_sleep(30) == OK);
    scope_done(&scope);
    EXPECT(seen.second == CANCELLED && seen.aborted == CANCELLED);
    stream_close(s);
    net_close(&n);
}

TEST(abort_and_cancel_end_waiting_reads_and_writes) { net_run(1, aborts); }

static void connects_to_nobody(void *argument)
{
    colour_pretend_coroutine();
    struct net n;
    struct stream *s;
    net_open(&n, serve_nothing);
    net_close(&n);
    EXPECT(stream_connect(&n.at, NULL, clock_in(1000), &s, NULL) == UNAVAILABLE);
    EXPECT(stream_connect_path("/nonexistent/socket", clock_in(1000), &s, NULL) == NOT_FOUND);
    EXPECT(stream_connect_path("/dev/null/socket", clock_in(1000), &s, NULL) == UNAVAILABLE);
}

TEST(connecting_to_nobody_fails) { net_run(1, connects_to_nobody); }

/* --- rest and move --- */

struct rester { struct stream *s; struct wire w; struct loop *first; int lines; };

static void rester_ready(void *argument);

static void rester_main(void *argument)
{
    colour_pretend_coroutine();
    struct rester *r = argument;
    view line;
    result code = wire_line(&r->w, 100, clock_in(1000), &line, NULL);
    if (code == END) {
        wire_done(&r->w);
        free(r);
        return;
    }
    EXPECT(code == OK);
    wire_putf(&r->w, "%d " VIEW_FMT " %u\r\n", ++r->lines, VIEW_ARG(line), loop_index(loop_self()));
    EXPECT(wire_flush(&r->w, clock_in(1000), NULL) == OK);
    wire_rest(&r->w, rester_ready, r);
    EXPECT(wire_has_input(&r->w) || r->w.input.capacity == 0);
}

static void rester_ready(void *argument)
{
    EXPECT(!coroutine_is_running());
    coroutine_spawn(loop_scope(loop_self()), "rester", rester_main, argument);
}

static void rester_moved(void *argument)
{
    struct rester *r = argument;
    EXPECT(loop_self() != r->first);
    rester_ready(r);
}

static void serve_resting(struct stream *s)
{
    struct rester *r = calloc(1, sizeof *r);
    r->s = s;
    r->first = loop_self();
    wire_init(&r->w, s, WIRE_CRLF_ENDS_COMMAND);
    struct loops *all = loop_family(loop_self());
    stream_move(s, loops_at(all, (loop_index(loop_self()) + 1) % loops_count(all)), rester_moved, r);
}

static void talks_to_resters(void *argument)
{
    colour_pretend_coroutine();
    struct net n;
    net_open(&n, serve_resting);
    for (unsigned i = 0; i < 6; i++) {
        struct wire w;
        view line;
        wire_init(&w, net_connect(&n), WIRE_CRLF_ENDS_COMMAND);
        wire_put(&w, VIEW("one\r\ntwo\r\nth"));
        REQUIRE(wire_flush(&w, clock_in(1000), NULL) == OK);
        char want[20];
        snprintf(want, sizeof want, "1 one %u", (i + 1) % 3);
        REQUIRE(wire_line(&w, 100, clock_in(1000), &line, NULL) == OK);
        EXPECT_VIEW(line, view_of(want));
        REQUIRE(wire_line(&w, 100, clock_in(1000), &line, NULL) == OK);
        EXPECT(view_starts(line, VIEW("2 two")));
        wire_put(&w, VIEW("ree\r\n"));
        REQUIRE(wire_flush(&w, clock_in(1000), NULL) == OK);
        REQUIRE(wire_line(&w, 100, clock_in(1000), &line, NULL) == OK);
        EXPECT(view_starts(line, VIEW("3 three")));
        wire_done(&w);
    }
    EXPECT(coroutine_sleep(50) == OK);
    net_close(&n);
}

TEST(a_resting_wire_holds_no_buffer_and_a_moved_stream_speaks_on) { net_run(3, talks_to_resters); }

/* --- local sockets, addresses, options --- */

static void serve_peer(struct stream *s)
{
    colour_pretend_coroutine();
    char text[ADDRESS_TEXT_MAX];
    struct wire w;
    int nodelay = 0;
    socklen_t len = sizeof nodelay;
    wire_init(&w, s, WIRE_CRLF_ENDS_COMMAND);
    view peer = address_text(stream_peer(s), text);
    wire_putf(&w, VIEW_FMT " ", VIEW_ARG(peer));
    view local = address_text(stream_local(s), text);
    if (getsockopt(s->fd, IPPROTO_TCP, 1, &nodelay, &len) != 0) nodelay = -1;
    wire_putf(&w, VIEW_FMT " %u %d\r\n", VIEW_ARG(local), stream_local(s)->port, nodelay);
    (void)!wire_flush(&w, clock_in(1000), NULL);     /* who only looks whether we listen is gone already */
    wire_done(&w);
}

static void expect_line(struct stream *s, const char *want)
{
    colour_pretend_coroutine();
    struct wire w;
    view line;
    wire_init(&w, s, WIRE_CRLF_ENDS_COMMAND);
    REQUIRE(wire_line(&w, 200, clock_in(1000), &line, NULL) == OK);
    EXPECT_VIEW(line, view_of(want));
    EXPECT(wire_line(&w, 200, clock_in(1000), &line, NULL) == END);
    wire_done(&w);
}

static void asks_who(void *argument)
{
    colour_pretend_coroutine();
    colour_pretend_worker();
    struct net n;
    char want[100];
    net_open(&n, serve_peer);
    snprintf(want, sizeof want, "127.0.0.1 127.0.0.1 %u 1", n.at.port);
    expect_line(net_connect(&n), want);
    struct address from;
    struct stream *s;
    REQUIRE(address_parse(VIEW("127.0.0.9"), &from));
    REQUIRE(stream_connect(&n.at, &from, clock_in(1000), &s, NULL) == OK);
    snprintf(want, sizeof want, "127.0.0.9 127.0.0.1 %u 1", n.at.port);
    expect_line(s, want);
    net_close(&n);
    char path[64];
    snprintf(path, sizeof path, "/tmp/tayori-test-%d.socket", (int)getpid());
    for (int i = 0; i < 2; i++) {
        net_open_with(&n, (struct listener_options){.path = path}, serve_peer);
        struct listener *second;
        struct listener_options again = {.name = "again", .path = path};
        EXPECT(listener_open(loop_family(loop_self()), &again, &second, NULL) == UNAVAILABLE);
        REQUIRE(stream_connect_path(path, clock_in(1000), &s, NULL) == OK);
        expect_line(s, "local local 0 -1");
        net_close(&n);
        EXPECT(access(path, F_OK) != 0);
        /* A stale file does not hinder the second round. */
        struct sockaddr_un { sa_family_t family; char path[108]; } un = {AF_UNIX, ""};
        memcpy(un.path, path, strlen(path));
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        EXPECT(bind(fd, (void *)&un, sizeof un) == 0);
        close(fd);
    }
    unlink(path);
}

TEST(streams_know_both_addresses_and_local_sockets_replace_stale_ones) { net_run(1, asks_who); }

/* --- PROXY protocol --- */

static void send_slowly(struct stream *s, view bytes)
{
    colour_pretend_coroutine();
    for (size_t i = 0; i < bytes.len; i += 5) {
        view part = view_slice(bytes, i, 5);
        EXPECT(stream_write(s, &part, 1, clock_in(1000), NULL) == OK);
        EXPECT(coroutine_sleep(1) == OK);
    }
}

static void serve_proxied(struct stream *s)
{
    colour_pretend_coroutine();
    struct wire w;
    view line;
    char text[ADDRESS_TEXT_MAX];
    wire_init(&w, s, WIRE_CRLF_ENDS_COMMAND);
    EXPECT(wire_line(&w, 100, clock_in(1000), &line, NULL) == OK);
    EXPECT_VIEW(line, VIEW("first"));
    view peer = address_text(stream_peer(s), text);
    wire_putf(&w, VIEW_FMT " %u %u\r\n", VIEW_ARG(peer), stream_peer(s)->port, stream_local(s)->port);
    EXPECT(wire_flush(&w, clock_in(1000), NULL) == OK);
    wire_done(&w);
}

static void comes_through_a_proxy(void *argument)
{
    colour_pretend_coroutine();
    struct net n;
    net_open_with(&n, (struct listener_options){.proxy_protocol = true}, serve_proxied);
    for (int slowly = 0; slowly < 2; slowly++) {
        view headers[] = {VIEW("PROXY TCP6 2001:db8::7 ::1 999 143\r\nfirst\r\n"),
                          VIEW("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f\xc0\0\2\1\xc6\x33\x64\x16\x8b\x3e\0\x8f\x04\0\0first\r\n")};
        const char *want[] = {"2001:db8::7 999 143", "192.0.2.1 35646 143"};
        for (int i = 0; i < 2; i++) {
            struct stream *s = net_connect(&n);
            if (slowly) send_slowly(s, headers[i]);
            else EXPECT(stream_write(s, &headers[i], 1, clock_in(1000), NULL) == OK);
            expect_line(s, want[i]);
        }
    }
    struct stream *s = net_connect(&n);
    view none = VIEW("first\r\n");
    buf b = BUF_INIT;
    EXPECT(stream_write(s, &none, 1, clock_in(1000), NULL) == OK);
    result r = stream_read(s, &b, 10, clock_in(1000), NULL);
    EXPECT(r == END || r == IO);
    buf_done(&b);
    stream_close(s);
    net_close(&n);
}

/* What has a line end of another kind is no header, and what waits behind it must not be asked for again and again. */
static void comes_through_no_proxy(void *argument)
{
    colour_pretend_coroutine();
    struct net n;
    buf answer CLEANUP(buf_done) = BUF_INIT;
    net_open_with(&n, (struct listener_options){.proxy_protocol = true}, serve_proxied);
    struct stream *s = net_connect(&n);
    EXPECT(stream_write(s, &(view){"PROXY \nand more", 15}, 1, clock_in(1000), NULL) == OK);
    EXPECT(stream_read(s, &answer, 100, clock_in(2000), NULL) != TIMEOUT);
    EXPECT_NUMBER(answer.len, 0);
    stream_close(s);
    net_close(&n);
}

TEST(the_proxy_header_ends_as_it_should) { net_run(2, comes_through_no_proxy); }

TEST(the_proxy_header_names_the_peer) { net_run(2, comes_through_a_proxy); }

/* --- notices --- */

static void serve_notices(struct stream *s)
{
    colour_pretend_coroutine();
    size_t total = 0, written;
    char bytes[3000];
    memset(bytes, 'n', sizeof bytes);
    if (server_tls) EXPECT(stream_start_tls(s, server_tls, clock_in(5000), NULL) == OK);
    do {
        EXPECT(stream_try_write(s, view_make(bytes, sizeof bytes), &written) == OK);
        total += written;
    } while (written == sizeof bytes);
    EXPECT(total > 0);
    char last[32];
    snprintf(last, sizeof last, "!%zu", total);
    view v = view_of(last);
    EXPECT(stream_write(s, &v, 1, clock_in(5000), NULL) == OK);
    stream_close(s);
}

static void reads_notices(void *argument)
{
    colour_pretend_coroutine();
    colour_pretend_worker();
    for (int tls = 0; tls < 2; tls++) {
        struct net n;
        net_open(&n, serve_notices);
        if (tls) {
            server_tls = net_tls("a.test");
            REQUIRE(tls_context_new_client(&client_tls, NULL) == OK);
        }
        struct stream *s = net_connect(&n);
        if (tls) REQUIRE(stream_start_tls(s, client_tls, clock_in(5000), NULL) == OK);
        EXPECT(coroutine_sleep(50) == OK);
        buf b = BUF_INIT;
        while (stream_read(s, &b, 65536, clock_in(5000), NULL) == OK) continue;
        size_t notices = view_find(buf_view(&b), '!');
        uint64_t said = 0;
        EXPECT(view_to_u64(view_from(buf_view(&b), notices + 1), &said));
        EXPECT_NUMBER(said, notices);
        buf_done(&b);
        stream_close(s);
        net_close(&n);
    }
    tls_context_free(server_tls);
    tls_context_free(client_tls);
}

TEST(try_write_says_how_much_went) { net_run(1, reads_notices); }

/* --- no descriptors left --- */

static _Atomic bool told_exhausted;

static void told(void *context, enum event e, const struct event_field *fields, size_t count)
{
    if (e == EVENT_LISTENER_EXHAUSTED) told_exhausted = true;
}

static void survives_exhaustion(void *argument)
{
    colour_pretend_coroutine();
    struct net n;
    struct rlimit before, limit;
    net_open(&n, serve_peer);
    int lowest = dup(0);
    close(lowest);
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0 && lowest > 0);
    limit = before;
    limit.rlim_cur = (rlim_t)lowest + 1;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    struct stream *s = net_connect(&n);        /* takes the last descriptor: none is left for the server's side */
    for (int i = 0; i < 100 && !told_exhausted; i++) EXPECT(coroutine_sleep(1) == OK);
    EXPECT(told_exhausted);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
    struct wire w;
    view line;
    wire_init(&w, s, WIRE_CRLF_ENDS_COMMAND);
    EXPECT(wire_line(&w, 200, clock_in(2000), &line, NULL) == OK);     /* it waited in the kernel's queue */
    wire_done(&w);
    net_close(&n);
}

TEST(a_listener_without_descriptors_takes_the_connection_later)
{
    event_hook(told, NULL);
    net_run(1, survives_exhaustion);
}
