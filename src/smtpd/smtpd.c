#include "smtpd/smtpd.h"

#include <stdlib.h>

#include "base/check.h"
#include "engine/pressure.h"
#include "formats/smtp_reply.h"
#include "runtime/event.h"
#include "runtime/thinning.h"
#include "smtpd/service.h"
#include "smtpd/session.h"

struct smtpd_options smtpd_default_options(void)
{
    return (struct smtpd_options){
        .server_name = VIEW("localhost"),
        .message_bytes_max = 50 << 20,
        .recipients_max = 1000,
        .messages_max = SMTPD_MESSAGES_MAX,
        .errors_max = 20,
        .lmtp_errors_max = 2000,
        .idle_commands_max = 100,
        .hops_max = 50,
        .header_bytes_max = 1 << 20,
        .line_bytes_max = 8 << 20,
        .connections_per_address_max = 100,
        .failed_logins_max = 5,
        .failed_login_delay_ms = 1000,
        .command_timeout_ms = 300 * 1000,
        .data_timeout_ms = 180 * 1000,
        .message_timeout_ms = 3600 * 1000,
        .delivery_timeout_ms = 60 * 1000,
    };
}

/* RFC 5321 §4.1.1.1: the lines after the first. RFC 9422: LIMITS. */
static void write_extensions(buf *into, const struct smtpd_options *options, unsigned offers)
{
    bool is_submission = offers & EXTENSIONS_SUBMISSION;
    /* What is taken for others must be sendable: BINARYMIME is not, to most servers. */
    buf_appendf(into, "\nPIPELINING\nSIZE %llu\n8BITMIME\nSMTPUTF8\nCHUNKING\n%sENHANCEDSTATUSCODES", (unsigned long long)options->message_bytes_max,
                is_submission ? "DSN\n" : "BINARYMIME\n");
    if (offers & EXTENSIONS_TLS) buf_append(into, VIEW("\nSTARTTLS"));
    buf_appendf(into, "\nLIMITS MAILMAX=%u RCPTMAX=%u\nHELP", options->messages_max, options->recipients_max);
}

static void stop_loop(struct task *t);

struct smtpd *smtpd_new(const struct smtpd_options *options, const struct intake *intake, struct loops *all)
{
    struct smtpd *d = calloc(1, sizeof *d);
    check(d);
    check(options->recipients_max >= 1 && options->recipients_max <= SMTPD_RECIPIENTS_MAX);
    check(options->messages_max >= 1 && options->messages_max <= SMTPD_MESSAGES_MAX);
    d->options = *options;
    d->intake = *intake;
    d->loop_count = loops_count(all);
    atomic_init(&d->loops_serving, d->loop_count);
    d->loops = calloc(d->loop_count, sizeof *d->loops);
    check(d->loops);
    for (unsigned i = 0; i < d->loop_count; i++) {
        d->loops[i] = (struct smtpd_loop){.stop = {.run = stop_loop}, .loop = loops_at(all, i), .smtpd = d};
        list_init(&d->loops[i].sessions);
    }
    for (unsigned i = 0; i < SMTPD_KIND_COUNT; i++) d->services[i] = (struct smtpd_service){d, (enum smtpd_kind)i};
    connection_limit_init(&d->connections, options->connections_per_address_max);
    for (unsigned i = 0; i < EXTENSIONS_COUNT; i++)
        write_extensions(&d->extensions[i], options, i);
    return d;
}

void smtpd_free(struct smtpd *d)
{
    if (!d) return;
    check(smtpd_sessions(d) == 0);
    connection_limit_done(&d->connections);
    for (unsigned i = 0; i < EXTENSIONS_COUNT; i++) buf_done(&d->extensions[i]);
    free(d->loops);
    free(d);
}

void *smtpd_service(struct smtpd *d, enum smtpd_kind kind)
{
    return &d->services[kind];
}

unsigned smtpd_sessions(const struct smtpd *d)
{
    return atomic_load(&d->session_count) + (atomic_load(&d->is_stopping) ? atomic_load(&d->loops_serving) : 0);
}

/* Says no in one reply, as far as the socket takes it at once. */
static void turn_away(struct stream *s, enum smtp_status_name status)
{
    buf reply CLEANUP(buf_done) = BUF_INIT;
    size_t written;
    smtp_reply_append(&reply, status, VIEW_EMPTY);
    (void)!stream_try_write(s, buf_view(&reply), &written);
    stream_close(s);
}

const char *smtpd_kind_name(enum smtpd_kind kind)
{
    static const char *const names[] = {[SMTPD_MX] = "smtp", [SMTPD_LMTP] = "lmtp", [SMTPD_SUBMISSION] = "submission", [SMTPD_SUBMISSIONS] = "submissions"};
    return names[kind];
}

void smtpd_accept(void *service, struct stream *s)
{
    struct smtpd_service *of = service;
    struct smtpd *d = of->smtpd;
    struct smtpd_loop *home = &d->loops[loop_index(loop_self())];
    char peer[ADDRESS_TEXT_MAX];
    if (home->is_stopping) {
        turn_away(s, SMTP_SHUTTING_DOWN);
    } else if (engine_pressure(accounts_engine(d->intake.accounts)) >= PRESSURE_ON_CONNECTIONS) {
        turn_away(s, SMTP_STORE_SLOW);
    } else if (of->kind != SMTPD_LMTP && !connection_limit_enter(&d->connections, stream_peer(s))) {
        EVENT_EMIT(SMTP_REFUSED_CONNECTION, EVENT_TEXT("service", view_of(smtpd_kind_name(of->kind))),
                   EVENT_TEXT("peer", address_text(stream_peer(s), peer)));
        turn_away(s, SMTP_TOO_MANY_CONNECTIONS);
    } else {
        smtp_session_start(home, of->kind, s);
    }
}

static void stop_loop(struct task *t)
{
    struct smtpd_loop *home = container_of(t, struct smtpd_loop, stop);
    home->is_stopping = true;
    list_each(node, &home->sessions) smtp_session_stop(container_of(node, struct smtp_session, node));
    atomic_fetch_sub(&home->smtpd->loops_serving, 1);
}

void smtpd_stop(struct smtpd *d)
{
    if (atomic_exchange(&d->is_stopping, true)) return;
    for (unsigned i = 0; i < d->loop_count; i++) loop_post(d->loops[i].loop, &d->loops[i].stop);
}

static void dismiss(struct list *node)
{
    struct smtp_session *s = container_of(node, struct smtp_session, node);
    s->is_dismissed = true;
    smtp_session_stop(s);
}

void smtpd_dismiss(struct smtpd *d, unsigned permille)
{
    for (unsigned i = 0; i < d->loop_count; i++) thin_list(d->loops[i].loop, &d->loops[i].sessions, permille, dismiss);
}
