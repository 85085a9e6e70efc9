/* HTTPS of a world: documents that a test has put there, after a random delay; what is posted is told to the test. */
#include "runtime/http.h"

#include <stdlib.h>

#include "runtime/coroutine.h"
#include "runtime/sim/sim_private.h"

enum { DELAY_MAX_MS = 200 };

struct http { struct sim *world; };

struct sim_document {
    struct list node;
    buf url, body;
    unsigned status;
};

static void document_free(struct sim_document *d)
{
    list_remove(&d->node);
    buf_done(&d->url);
    buf_done(&d->body);
    free(d);
}

void sim_http_put(struct sim *s, view url, unsigned status, view body)
{
    struct sim_document *d = calloc(1, sizeof *d);
    check(d);
    list_each(node, &s->documents)
        if (view_equal(buf_view(&container_of(node, struct sim_document, node)->url), url)) document_free(container_of(node, struct sim_document, node));
    buf_append(&d->url, url);
    buf_append(&d->body, body);
    d->status = status;
    list_append(&s->documents, &d->node);
}

unsigned sim_http_asked(const struct sim *s) { return s->http_asked; }

void sim_http_clear(struct sim *s)
{
    list_each(node, &s->documents) document_free(container_of(node, struct sim_document, node));
}

result http_new(const struct http_options *options, struct http **ret_http, struct fault *fault)
{
    struct http *h = calloc(1, sizeof *h);
    check(h);
    h->world = sim_current();
    *ret_http = h;
    return OK;
}

void http_free(struct http *h) { free(h); }

result http_ask(struct http *h, const struct http_request *request, millis deadline, struct arena *arena, struct http_answer *ret_answer,
                bool *reterr_is_certificate, struct fault *fault)
{
    *reterr_is_certificate = false;
    h->world->http_asked++;
    result code = coroutine_sleep((int64_t)sim_choose(h->world, DELAY_MAX_MS));
    if (code != OK) return fail(fault, code, "HTTPS");
    list_each(node, &h->world->documents) {
        struct sim_document *d = container_of(node, struct sim_document, node);
        if (!view_equal(buf_view(&d->url), request->url)) continue;
        *reterr_is_certificate = d->status == 0;
        if (d->status == 0) return fail(fault, UNAVAILABLE, "HTTPS: the certificate is not good enough");
        if (d->body.len > request->bytes_max) return fail(fault, TOO_BIG, "HTTPS: too much");
        *ret_answer = (struct http_answer){.status = d->status, .content_type = VIEW("text/plain"), .body = arena_keep(arena, buf_view(&d->body))};
        return OK;
    }
    return fail(fault, UNAVAILABLE, "HTTPS: nobody is there");
}
