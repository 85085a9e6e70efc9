#include "imapd/imapd.h"

#include <stdlib.h>

#include "base/check.h"
#include "imapd/session.h"
#include "runtime/event.h"
#include "runtime/thinning.h"

struct imapd_options imapd_default_options(void)
{
    return (struct imapd_options){
        .message_bytes_max = 50 << 20,
        .errors_max = 20,
        .login_failures_max = 5,
        .login_failure_delay_ms = 1500,
        .login_timeout_ms = 180 * 1000,
        .idle_timeout_ms = 31 * 60 * 1000,
        .progress_ms = 10 * 1000,
        .send_timeout_ms = 300 * 1000,
        .store_timeout_ms = 60 * 1000,
    };
}

static void stop_loop(struct task *t);

struct imapd *imapd_new(const struct imapd_options *options, struct identity *identity, struct accounts *accounts, struct loops *all)
{
    struct imapd *d = calloc(1, sizeof *d);
    check(d);
    d->options = *options;
    d->identity = identity;
    d->accounts = accounts;
    d->loop_count = loops_count(all);
    connection_limit_init(&d->clients, options->connections_per_address_max);
    connection_limit_init(&d->account_sessions, options->connections_per_account_max);
    d->loops = calloc(d->loop_count, sizeof *d->loops);
    check(d->loops);
    for (unsigned i = 0; i < d->loop_count; i++) {
        d->loops[i] = (struct imapd_loop){.stop = {.run = stop_loop}, .loop = loops_at(all, i), .imapd = d};
        list_init(&d->loops[i].sessions);
        structure_cache_init(&d->loops[i].structures);
        digest_columns_init(&d->loops[i].digests);
        mutex_init(&d->loops[i].large_work);
        standing_watches_init(&d->loops[i].standings, identity, session_expel);
    }
    for (unsigned i = 0; i < IMAPD_KIND_COUNT; i++) d->services[i] = (struct imapd_service){d, (enum imapd_kind)i};
    return d;
}

void imapd_free(struct imapd *d)
{
    if (!d) return;
    check(imapd_sessions(d) == 0);
    for (unsigned i = 0; i < d->loop_count; i++) structure_cache_done(&d->loops[i].structures);
    connection_limit_done(&d->clients);
    connection_limit_done(&d->account_sessions);
    free(d->loops);
    free(d);
}

void *imapd_service(struct imapd *d, enum imapd_kind kind)
{
    return &d->services[kind];
}

unsigned imapd_sessions(const struct imapd *d)
{
    return atomic_load(&d->session_count);
}

struct imapd_loop *imapd_here(struct imapd *d)
{
    return &d->loops[loop_index(loop_self())];
}

/* Before a handshake nothing can be said. */
static void turn_away(const struct imapd_service *of, struct stream *s, view why)
{
    size_t written;
    if (of->kind == IMAPD_PLAIN) (void)!stream_try_write(s, why, &written);
    stream_close(s);
}

void imapd_accept(void *service, struct stream *s)
{
    struct imapd_service *of = service;
    struct imapd_loop *home = imapd_here(of->imapd);
    char peer[ADDRESS_TEXT_MAX];
    if (home->is_stopping) {
        turn_away(of, s, VIEW("* BYE [UNAVAILABLE] The service is stopping\r\n"));
    } else if (!connection_limit_enter(&of->imapd->clients, stream_peer(s))) {
        EVENT_EMIT(IMAP_REFUSED_CONNECTION, EVENT_TEXT("peer", address_text(stream_peer(s), peer)));
        turn_away(of, s, VIEW("* BYE [UNAVAILABLE] Too many connections from your address\r\n"));
    } else {
        session_start(home, of->kind, s);
    }
}

static void stop_loop(struct task *t)
{
    struct imapd_loop *home = container_of(t, struct imapd_loop, stop);
    home->is_stopping = true;
    digest_columns_stop(&home->digests);
    list_each(node, &home->sessions) session_stop(container_of(node, struct session, node));
    atomic_fetch_sub(&home->imapd->session_count, 1);
}

void imapd_stop(struct imapd *d)
{
    if (atomic_exchange(&d->is_stopping, true)) return;
    atomic_fetch_add(&d->session_count, d->loop_count);    /* until each loop knows */
    for (unsigned i = 0; i < d->loop_count; i++) loop_post(d->loops[i].loop, &d->loops[i].stop);
}

static void dismiss(struct list *node)
{
    struct session *s = container_of(node, struct session, node);
    s->is_dismissed = true;
    session_stop(s);
}

void imapd_dismiss(struct imapd *d, unsigned permille)
{
    for (unsigned i = 0; i < d->loop_count; i++) thin_list(d->loops[i].loop, &d->loops[i].sessions, permille, dismiss);
}
