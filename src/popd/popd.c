#include "popd/popd.h"

#include <stdlib.h>

#include "base/check.h"
#include "popd/service.h"
#include "popd/session.h"
#include "runtime/event.h"
#include "runtime/thinning.h"

struct popd_options popd_default_options(void)
{
    return (struct popd_options){
        .errors_max = 20,
        .failed_logins_max = 3,
        .failed_login_delay_ms = 1000,
        .command_timeout_ms = 10 * 60 * 1000,
        .login_timeout_ms = 2 * 60 * 1000,
        .store_timeout_ms = 60 * 1000,
    };
}

static void stop_loop(struct task *t);

struct popd *popd_new(const struct popd_options *options, struct identity *identity, struct accounts *accounts, struct loops *all)
{
    struct popd *d = calloc(1, sizeof *d);
    check(d);
    d->options = *options;
    d->identity = identity;
    d->accounts = accounts;
    d->loop_count = loops_count(all);
    d->loops_serving = d->loop_count;
    connection_limit_init(&d->clients, options->connections_per_address_max);
    d->loops = calloc(d->loop_count, sizeof *d->loops);
    check(d->loops);
    for (unsigned i = 0; i < d->loop_count; i++) {
        d->loops[i] = (struct popd_loop){.stop = {.run = stop_loop}, .loop = loops_at(all, i), .popd = d, .maildrops = MAP_INIT};
        list_init(&d->loops[i].sessions);
        standing_watches_init(&d->loops[i].standings, identity, pop_session_expel);
    }
    for (unsigned i = 0; i < POPD_KIND_COUNT; i++) d->services[i] = (struct popd_service){d, (enum popd_kind)i};
    return d;
}

void popd_free(struct popd *d)
{
    if (!d) return;
    check(popd_sessions(d) == 0);
    for (unsigned i = 0; i < d->loop_count; i++) map_done(&d->loops[i].maildrops);
    connection_limit_done(&d->clients);
    free(d->loops);
    free(d);
}

void *popd_service(struct popd *d, enum popd_kind kind)
{
    return &d->services[kind];
}

unsigned popd_sessions(const struct popd *d)
{
    return atomic_load(&d->session_count) + (atomic_load(&d->is_stopping) ? atomic_load(&d->loops_serving) : 0);
}

void popd_accept(void *service, struct stream *s)
{
    struct popd_service *of = service;
    struct popd_loop *home = &of->popd->loops[loop_index(loop_self())];
    char peer[ADDRESS_TEXT_MAX];
    size_t written;
    if (home->is_stopping || (of->kind == POPD_TLS && !of->popd->options.tls)) {
        stream_close(s);
    } else if (!connection_limit_enter(&of->popd->clients, stream_peer(s))) {
        EVENT_EMIT(POP3_REFUSED_CONNECTION, EVENT_TEXT("peer", address_text(stream_peer(s), peer)));
        if (of->kind == POPD_PLAIN) (void)!stream_try_write(s, VIEW("-ERR [SYS/TEMP] Too many connections from your address\r\n"), &written);
        stream_close(s);
    } else {
        pop_session_start(home, of->kind, s);
    }
}

static void stop_loop(struct task *t)
{
    struct popd_loop *home = container_of(t, struct popd_loop, stop);
    home->is_stopping = true;
    list_each(node, &home->sessions) pop_session_stop(container_of(node, struct pop_session, node));
    atomic_fetch_sub(&home->popd->loops_serving, 1);
}

void popd_stop(struct popd *d)
{
    if (atomic_exchange(&d->is_stopping, true)) return;
    for (unsigned i = 0; i < d->loop_count; i++) loop_post(d->loops[i].loop, &d->loops[i].stop);
}

static void dismiss(struct list *node)
{
    struct pop_session *s = container_of(node, struct pop_session, node);
    s->is_dismissed = true;
    pop_session_stop(s);
}

void popd_dismiss(struct popd *d, unsigned permille)
{
    for (unsigned i = 0; i < d->loop_count; i++) thin_list(d->loops[i].loop, &d->loops[i].sessions, permille, dismiss);
}
