#include "smtpd/session.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/check.h"
#include "runtime/clock.h"
#include "runtime/event.h"
#include "runtime/random.h"

enum {
    /* Recipients, their accounts and the deliveries of the widest message there can be. */
    TRANSACTION_BYTES_MAX = 8 << 20,
    SCRATCH_BYTES_MAX = INTAKE_SCRATCH_BYTES_MAX + 4 * SMTP_COMMAND_LINE_MAX,
};

/* ---- its life ---- */

static void session_run(void *argument);
static void session_greet(void *argument);
static void session_say_goodbye(void *argument);

static bool is_stopping(const struct smtp_session *s)
{
    return s->home->is_stopping || s->is_dismissed;
}

static void session_spawn(struct smtp_session *s, void (*run)(void *argument))
{
    s->is_resting = false;
    timer_disarm(&s->idle_timer);
    coroutine_spawn(loop_scope(s->home->loop), "smtp session", run, s);
}

static void input_is_here(void *argument)
{
    session_spawn(argument, session_run);
}

/* Takes it out of its rest: nothing else calls it from now on. */
static void interrupt_rest(struct smtp_session *s, const char *reason)
{
    s->close_reason = reason;
    wire_rest(&s->wire, NULL, NULL);
    session_spawn(s, session_say_goodbye);
}

static void idle_too_long(struct timer *t)
{
    struct smtp_session *s = container_of(t, struct smtp_session, idle_timer);
    if (s->is_resting) interrupt_rest(s, "timeout");
}

void smtp_session_stop(struct smtp_session *s)
{
    if (s->is_resting) interrupt_rest(s, "stopping");
}

static void session_rest(struct smtp_session *s)
{
    s->is_resting = true;
    timer_arm(&s->idle_timer, clock_in(smtp_session_options(s)->command_timeout_ms));
    wire_rest(&s->wire, input_is_here, s);
}

void smtp_session_start(struct smtpd_loop *home, enum smtpd_kind kind, struct stream *stream)
{
    char peer[ADDRESS_TEXT_MAX];
    struct smtp_session *s = calloc(1, sizeof *s);
    check(s);
    s->home = home;
    s->smtpd = home->smtpd;
    s->kind = kind;
    s->id = random_id();
    s->peer = *stream_peer(stream);
    s->arena = arena_new(NULL, TRANSACTION_BYTES_MAX);
    s->scratch = arena_new(NULL, SCRATCH_BYTES_MAX);
    wire_init(&s->wire, stream, WIRE_CRLF_ENDS_COMMAND);
    timer_init(&s->idle_timer, idle_too_long);
    list_append(&home->sessions, &s->node);
    atomic_fetch_add(&s->smtpd->session_count, 1);
    metric_add(METRIC_CONNECTIONS, 1);
    EVENT_EMIT(SMTP_CONNECTED, EVENT_ID("session", s->id), EVENT_TEXT("service", view_of(smtpd_kind_name(kind))),
               EVENT_TEXT("peer", address_text(&s->peer, peer)));
    session_spawn(s, session_greet);
}

MAY_YIELD static void session_end(struct smtp_session *s)
{
    transaction_reset(s);
    EVENT_EMIT(SMTP_CLOSED, EVENT_ID("session", s->id), EVENT_TEXT("reason", view_of(s->close_reason ? s->close_reason : "quit")),
               EVENT_NUMBER("messages", s->message_count), EVENT_NUMBER("errors", s->error_count),
               EVENT_NUMBER("bytes_in", s->wire.bytes_in), EVENT_NUMBER("bytes_out", s->wire.bytes_out));
    if (s->kind != SMTPD_LMTP) connection_limit_leave(&s->smtpd->connections, &s->peer);
    metric_add(METRIC_CONNECTIONS, -1);
    list_remove(&s->node);
    wire_done(&s->wire);
    buf_done(&s->hello);
    buf_done(&s->account_address);
    buf_done(&s->tenant);
    arena_free(s->scratch);
    arena_free(s->arena);
    atomic_fetch_sub(&s->smtpd->session_count, 1);
    free(s);
}

/* ---- its turn ---- */

/* After its commands: sends what was written, then rests or ends. */
MAY_YIELD static void session_end_turn(struct smtp_session *s)
{
    if (!s->is_closing && is_stopping(s)) {
        s->close_reason = "stopping";
        smtp_session_reply(s, SMTP_SHUTTING_DOWN, VIEW_EMPTY);
    }
    if (smtp_session_flush(s) != OK || s->is_closing)
        session_end(s);
    else
        session_rest(s);
}

MAY_YIELD static void session_next_command(struct smtp_session *s)
{
    struct fault fault = {0};
    view line;
    result code = wire_line(&s->wire, SMTP_COMMAND_LINE_MAX, clock_in(smtp_session_options(s)->command_timeout_ms), &line, &fault);
    if (code == TOO_BIG)
        smtp_session_reply(s, SMTP_LINE_TOO_LONG, VIEW_EMPTY);
    else if (code != OK)
        smtp_session_break(s, code, &fault);
    else
        smtp_session_command(s, line);
    arena_reset(s->scratch);
}

/* Everything that the client has sent so far is answered at once: RFC 2920 §3.2. */
static void session_run(void *argument)
{
    colour_pretend_coroutine();
    struct smtp_session *s = argument;
    do {
        session_next_command(s);
        if (wire_is_full(&s->wire) && smtp_session_flush(s) != OK) break;
        if (coroutine_is_overdue()) coroutine_pause();
    } while (!s->is_closing && !is_stopping(s) && wire_has_line(&s->wire));
    session_end_turn(s);
}

/* RFC 8314 §3.3: TLS before the greeting. */
MAY_YIELD static bool session_begin_tls(struct smtp_session *s)
{
    struct fault fault = {0};
    result code = stream_start_tls(s->wire.stream, smtp_session_options(s)->tls, clock_in(smtp_session_options(s)->data_timeout_ms), &fault);
    if (code == OK) return true;
    EVENT_EMIT(SMTP_TLS_FAILED, EVENT_ID("session", s->id), EVENT_FAULT(&fault));
    s->close_reason = "tls failed";
    return false;
}

static void session_greet(void *argument)
{
    colour_pretend_coroutine();
    struct smtp_session *s = argument;
    if (s->kind == SMTPD_SUBMISSIONS && !session_begin_tls(s)) {
        s->is_closing = true;
        session_end_turn(s);
        return;
    }
    smtp_reply_appendf(&s->wire.output, SMTP_GREETING, VIEW_FMT " %s Tayori", VIEW_ARG(smtp_session_options(s)->server_name),
                       smtp_session_is_lmtp(s) ? "LMTP" : "ESMTP");
    session_end_turn(s);
}

static void session_say_goodbye(void *argument)
{
    colour_pretend_coroutine();
    struct smtp_session *s = argument;
    smtp_session_reply(s, is_stopping(s) ? SMTP_SHUTTING_DOWN : SMTP_TIMED_OUT, VIEW_EMPTY);
    session_end_turn(s);
}

/* ---- its words ---- */

bool smtp_session_has_tls(const struct smtp_session *s)
{
    return stream_tls(s->wire.stream).is_on;
}

static void close_after_reply(struct smtp_session *s, const char *reason)
{
    s->is_closing = true;
    if (!s->close_reason) s->close_reason = reason;
}

static unsigned errors_max(const struct smtp_session *s)
{
    return smtp_session_is_lmtp(s) ? smtp_session_options(s)->lmtp_errors_max : smtp_session_options(s)->errors_max;
}

/* A client with more recipients than fit into one message has made no error: it sends another (RFC 5321 §4.5.3.1.10). */
static bool is_error(enum smtp_status_name status)
{
    return smtp_status(status)->code >= 400 && status != SMTP_TOO_MANY_RECIPIENTS;
}

void smtp_session_reply(struct smtp_session *s, enum smtp_status_name status, view text)
{
    smtp_reply_append(&s->wire.output, status, text);
    if (smtp_status(status)->code == 421) close_after_reply(s, "refused");
    if (is_error(status)) smtp_session_count_error(s);
}

void smtp_session_count_error(struct smtp_session *s)
{
    if (s->is_closing || ++s->error_count < errors_max(s)) return;
    smtp_reply_append(&s->wire.output, SMTP_TOO_MANY_ERRORS, VIEW_EMPTY);
    close_after_reply(s, "too many errors");
}

void smtp_session_refuse(struct smtp_session *s, const struct smtp_command *command, enum smtp_status_name status, const struct fault *fault)
{
    view text = VIEW_EMPTY, recipient = VIEW_EMPTY;
    if (command->verb == SMTP_VERB_RCPT && command->path.local_part.len > 0) {
        recipient = smtp_path_keep_text(s->scratch, &command->path);
        text = arena_printf(s->scratch, "<" VIEW_FMT "> %s", VIEW_ARG(recipient), smtp_status(status)->text);
    }
    EVENT_EMIT(SMTP_COMMAND_REFUSED, EVENT_ID("session", s->id), EVENT_ID("message", s->transaction.message),
               EVENT_TEXT("command", view_of(smtp_verb_name(command->verb))), EVENT_NUMBER("status", smtp_status(status)->code),
               EVENT_TEXT("recipient", recipient), EVENT_FAULT(fault));
    smtp_session_reply(s, status, text);
}

result smtp_session_flush(struct smtp_session *s)
{
    struct fault fault = {0};
    s->has_unsent_success = false;
    int64_t timeout_ms = s->is_closing ? SMTP_SESSION_CLOSE_TIMEOUT_MS : smtp_session_options(s)->command_timeout_ms;
    result code = wire_flush(&s->wire, clock_in(timeout_ms), &fault);
    if (code != OK) smtp_session_break(s, code, &fault);
    return code;
}

void smtp_session_break(struct smtp_session *s, result code, const struct fault *fault)
{
    if (s->is_closing) return;
    if (code == TIMEOUT) {
        smtp_session_reply(s, SMTP_TIMED_OUT, VIEW_EMPTY);
        s->close_reason = "timeout";
    } else if (code == CANCELLED) {
        smtp_session_reply(s, SMTP_SHUTTING_DOWN, VIEW_EMPTY);
        s->close_reason = "stopping";
    }
    close_after_reply(s, "lost");
}

/* ---- its transaction ---- */

void transaction_reset(struct smtp_session *s)
{
    if (s->transaction.draft) draft_free(s->transaction.draft);
    buf_done(&s->transaction.header);
    message_signing_free(s->transaction.signing);
    forward_message_free(s->transaction.forward);
    s->transaction = (struct transaction){0};
    arena_reset(s->arena);
}

static void copy_recipient(struct intake_recipient *into, const struct intake_recipient *from, struct arena *arena)
{
    *into = *from;
    into->path.local_part = arena_keep(arena, from->path.local_part);
    into->path.domain = arena_keep(arena, from->path.domain);
    into->alias = arena_keep(arena, from->alias);
    into->accounts = arena_array(arena, struct intake_account, from->account_count);
    into->forwards = arena_array(arena, view, from->forward_count);
    for (size_t i = 0; i < from->account_count; i++) into->accounts[i] = from->accounts[i];
    for (size_t i = 0; i < from->forward_count; i++) into->forwards[i] = arena_keep(arena, from->forwards[i]);
}

bool transaction_keep_recipient(struct smtp_session *s, const struct intake_recipient *recipient)
{
    struct transaction *t = &s->transaction;
    if (t->account_count + recipient->account_count > DELIVERY_ACCOUNTS_MAX || t->forward_count + recipient->forward_count > DELIVERY_ACCOUNTS_MAX) return false;
    if (t->recipient_count == t->recipient_capacity) {
        size_t capacity = t->recipient_capacity ? 2 * t->recipient_capacity : 1;
        struct intake_recipient *grown = arena_array(s->arena, struct intake_recipient, capacity);
        for (size_t i = 0; i < t->recipient_count; i++) grown[i] = t->recipients[i];
        t->recipients = grown;
        t->recipient_capacity = capacity;
    }
    copy_recipient(&t->recipients[t->recipient_count++], recipient, s->arena);
    t->account_count += recipient->account_count;
    t->forward_count += recipient->forward_count;
    return true;
}
