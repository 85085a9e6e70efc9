/* Conversations over HTTP, on the simulator. */
#include "httpd/httpd.h"

#include "base/test.h"
#include "runtime/event.h"
#include "runtime/sim/transcript.h"

enum { SEEDS = 8 };

struct world {
    struct sim *sim;
    struct sim_node *node;
    struct httpd *httpd;
};

static void start(void *argument) { ((struct world *)argument)->httpd = httpd_new(loop_family(loop_self())); }

/* Plays `script`, to the empty line behind the answer's head; then the body has `text` in it, and the server closes. */
static void play(const char *script, const char *text)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world w = {.sim = sim_open(seed)};
        w.node = sim_node_new(w.sim, "server", 1);
        sim_call(w.node, 0, start, &w);
        struct transcript *t = transcript_open(w.node, 0, httpd_accept, w.httpd);
        TRANSCRIPT(t, script);
        uint64_t bytes = 0;
        TRANSCRIPT(t, "S: Content-Length: *\n");
        REQUIRE(view_to_u64(view_from(transcript_line(t), 16), &bytes));
        TRANSCRIPT(t, "S: Cache-Control: no-store\nS: Connection: close\nS: \n");
        if (text) EXPECT(view_find_view(transcript_read(t, bytes), view_of(text)) != VIEW_NONE);
        TRANSCRIPT(t, "E:\n");
        transcript_close(t);
        EXPECT_NUMBER(httpd_sessions(w.httpd), 0);
        httpd_free(w.httpd);
        sim_close(w.sim);
    }
}

#define TEXT "S: Content-Type: text/plain; charset=utf-8\n"

TEST(httpd_answers_health)
{
    play("C: GET /healthz HTTP/1.1\nC: Host: localhost\nC: \nS: HTTP/1.1 200 OK\n" TEXT, "ok\n");
    play("C: GET /readyz HTTP/1.1\nC: Host: localhost\nC: \nS: HTTP/1.1 200 OK\n" TEXT, "ready\n");
    play("C: HEAD /readyz HTTP/1.0\nC: \nS: HTTP/1.1 200 OK\n" TEXT, NULL);
}

TEST(httpd_shows_metrics)
{
    metric_add(METRIC_CONNECTIONS, 41);
    play("C: GET /metrics HTTP/1.1\nC: Host: localhost\nC: \nS: HTTP/1.1 200 OK\nS: Content-Type: text/plain; version=0.0.4; charset=utf-8\n",
         "\n# TYPE tayori_connections gauge\ntayori_connections 41\n");
}

TEST(httpd_refuses_the_rest)
{
    play("C: GET / HTTP/1.1\nC: Host: localhost\nC: \nS: HTTP/1.1 404 *\n" TEXT, "here are ");
    play("C: POST /metrics HTTP/1.1\nC: Host: localhost\nC: \nS: HTTP/1.1 405 *\n" TEXT, "GET and HEAD");
    play("C: nonsense\nC: \nS: HTTP/1.1 400 *\n" TEXT, "expected");
    play("C@ 20000 x\nC: \nS: HTTP/1.1 431 *\n" TEXT, "header too large");
}

static void converse(const char *first, bool stops, const char *then)
{
    struct world w = {.sim = sim_open(1)};
    w.node = sim_node_new(w.sim, "server", 1);
    sim_call(w.node, 0, start, &w);
    struct transcript *t = transcript_open(w.node, 0, httpd_accept, w.httpd);
    TRANSCRIPT(t, first);
    if (stops) httpd_stop(w.httpd);
    TRANSCRIPT(t, then);
    transcript_close(t);
    EXPECT_NUMBER(httpd_sessions(w.httpd), 0);
    httpd_free(w.httpd);
    sim_close(w.sim);
}

TEST(httpd_says_when_it_stops)
{
    converse("Q: 100\n", true, "C: GET /readyz HTTP/1.1\nC: Host: localhost\nC: \nS: HTTP/1.1 503 *\nS~ Connection: close\n");
}

TEST(httpd_ends_a_request_that_does_not_come)
{
    converse("C: GET /metrics HTTP/1.1\n", false, "W: 11000\nE:\n");
    converse("C: GET /metrics HTTP/1.1\n", false, "R:\n");
}
