#include "httpd/httpd.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "formats/http_request.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/event.h"
#include "runtime/loop.h"
#include "runtime/wire.h"

enum {
    HTTPD_SESSIONS_MAX = 200,        /* monitoring programs are few */
    REQUEST_TIMEOUT_MS = 10000,      /* below the time that a stop waits for sessions */
    ANSWER_TIMEOUT_MS = 10000,
};

struct httpd {
    atomic_uint sessions;
    atomic_bool stops, is_draining;
};

struct session {
    struct httpd *httpd;
    struct wire wire;
};

struct httpd *httpd_new(struct loops *all)
{
    struct httpd *d = calloc(1, sizeof *d);
    check(d != NULL);
    return d;
}

void httpd_free(struct httpd *d)
{
    free(d);
}

void httpd_stop(struct httpd *d)
{
    atomic_store(&d->stops, true);
}

void httpd_set_ready(struct httpd *d, bool is_ready)
{
    atomic_store(&d->is_draining, !is_ready);
}

unsigned httpd_sessions(const struct httpd *d)
{
    return atomic_load(&d->sessions);
}

/* One answer to a connection: monitoring asks a few times a minute, and no idle connection has to be ended at a stop. */
static void put_answer(struct wire *w, const char *status, const char *type, view body, bool wants_body)
{
    wire_putf(w, "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n", status, type, body.len);
    if (wants_body) wire_put(w, body);
}

static void put_text(struct wire *w, const char *status, const char *text, bool wants_body)
{
    put_answer(w, status, "text/plain; charset=utf-8", view_of(text), wants_body);
}

static void put_metrics(struct wire *w, bool wants_body)
{
    buf metrics CLEANUP(buf_done) = BUF_INIT;
    event_metrics(&metrics);
    put_answer(w, "200 OK", "text/plain; version=0.0.4; charset=utf-8", buf_view(&metrics), wants_body);
}

static void put_readiness(struct session *s, bool wants_body)
{
    bool stops = atomic_load(&s->httpd->stops), drains = atomic_load(&s->httpd->is_draining);
    put_text(&s->wire, stops || drains ? "503 Service Unavailable" : "200 OK", stops ? "stopping\n" : drains ? "draining\n" : "ready\n", wants_body);
}

static void answer(struct session *s, const struct http_request *r)
{
    bool wants_body = !view_equal(r->method, VIEW("HEAD"));
    if (wants_body && !view_equal(r->method, VIEW("GET"))) put_text(&s->wire, "405 Method Not Allowed", "GET and HEAD only\n", true);
    else if (view_equal(r->path, VIEW("/metrics"))) put_metrics(&s->wire, wants_body);
    else if (view_equal(r->path, VIEW("/healthz"))) put_text(&s->wire, "200 OK", "ok\n", wants_body);
    else if (view_equal(r->path, VIEW("/readyz"))) put_readiness(s, wants_body);
    else put_text(&s->wire, "404 Not Found", "here are /metrics, /healthz and /readyz\n", wants_body);
}

/* Collects the head of a request, line by line through the one line reader. */
static MAY_YIELD result read_head(struct session *s, buf *head)
{
    millis deadline = clock_in(REQUEST_TIMEOUT_MS);
    for (;;) {
        view line;
        result r = wire_line(&s->wire, HTTP_HEADER_BYTES_MAX, deadline, &line, NULL);
        if (r != OK) return r;
        if (head->len + line.len + 2 > HTTP_HEADER_BYTES_MAX) return TOO_BIG;
        buf_append(head, line);
        buf_append_cstr(head, "\r\n");
        if (line.len == 0) return OK;
    }
}

static MAY_YIELD void serve_request(struct session *s)
{
    buf head CLEANUP(buf_done) = BUF_INIT;
    struct http_request request;
    result r = read_head(s, &head);
    if (r == TOO_BIG) put_text(&s->wire, "431 Request Header Fields Too Large", "header too large\n", true);
    else if (r != OK) return;
    else if (!http_request_parse(buf_view(&head), &request)) put_text(&s->wire, "400 Bad Request", "expected an HTTP/1.1 request\n", true);
    else answer(s, &request);
    result ignored = wire_flush(&s->wire, clock_in(ANSWER_TIMEOUT_MS), NULL);
    (void)ignored;
}

static MAY_YIELD void run_session(void *argument)
{
    struct session *s = argument;
    serve_request(s);
    atomic_fetch_sub(&s->httpd->sessions, 1);
    wire_done(&s->wire);
    free(s);
}

void httpd_accept(void *httpd, struct stream *stream)
{
    struct httpd *d = httpd;
    if (atomic_fetch_add(&d->sessions, 1) >= HTTPD_SESSIONS_MAX || atomic_load(&d->stops)) {
        atomic_fetch_sub(&d->sessions, 1);
        stream_close(stream);
        return;
    }
    struct session *s = calloc(1, sizeof *s);
    check(s != NULL);
    s->httpd = d;
    wire_init(&s->wire, stream, WIRE_CRLF_ENDS_COMMAND);
    coroutine_spawn(loop_scope(loop_self()), "httpd", run_session, s);
}
