#include "imapd/session.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/check.h"
#include "runtime/event.h"
#include "runtime/random.h"
#include "runtime/tls.h"
#include "runtime/workers.h"

/* ---- its life ---- */

static void session_run(void *argument);

static void session_spawn(struct session *s)
{
    s->is_resting = false;
    timer_disarm(&s->idle_timer);
    coroutine_spawn(loop_scope(s->home->loop), "imap session", session_run, s);
}

static void input_is_here(void *argument)
{
    struct session *s = argument;
    s->has_input = true;
    session_spawn(s);
}

static bool must_end(const struct session *s)
{
    return s->home->is_stopping || s->is_dismissed || s->is_expelled || s->is_timed_out;
}

/* Takes it out of its rest: nothing else calls it from now on. */
static void interrupt_rest(struct session *s)
{
    wire_rest(&s->wire, NULL, NULL);
    session_spawn(s);
}

static void idle_too_long(struct timer *t)
{
    struct session *s = container_of(t, struct session, idle_timer);
    s->is_timed_out = true;
    if (s->is_resting) interrupt_rest(s);
}

void session_stop(struct session *s)
{
    if (s->is_resting) interrupt_rest(s);
}

#define EXPELLED "account suspended or removed"

void session_expel(struct standing_watch *w)
{
    struct session *s = container_of(w, struct session, standing);
    bool is_warned = s->is_expelled;
    s->is_expelled = true;
    session_stop(s);
    if (!is_warned) return;
    if (!s->close_reason) s->close_reason = EXPELLED;
    s->is_closing = s->is_broken = true;
    stream_abort(s->wire.stream);
}

static void account_changed(struct account_watch *w)
{
    struct session *s = container_of(w, struct session, watch);
    s->is_poked = true;
    if (s->is_resting) interrupt_rest(s);
}

void session_watch(struct session *s)
{
    if (!s->is_watching) account_watch(s->account, &s->watch, account_changed);
    s->is_watching = true;
}

void session_unwatch(struct session *s)
{
    if (s->notify) return;
    if (s->is_watching) account_unwatch(s->account, &s->watch);
    s->is_watching = false;
}

static int64_t patience_ms(const struct session *s)
{
    const struct imapd_options *options = session_options(s);
    return s->state == SESSION_NOT_AUTHENTICATED ? options->login_timeout_ms : options->idle_timeout_ms;
}

static void session_rest(struct session *s)
{
    arena_freep(&s->arena);
    buf_done(&s->text);
    s->is_resting = true;
    timer_arm(&s->idle_timer, clock_in(patience_ms(s)));
    wire_rest(&s->wire, input_is_here, s);
}

void session_start(struct imapd_loop *home, enum imapd_kind kind, struct stream *stream)
{
    char peer[ADDRESS_TEXT_MAX];
    struct session *s = calloc(1, sizeof *s);
    check(s);
    s->home = home;
    s->imapd = home->imapd;
    s->kind = kind;
    s->state = SESSION_NOT_AUTHENTICATED;
    s->id = random_id();
    wire_init(&s->wire, stream, WIRE_LF_ENDS_COMMAND);
    timer_init(&s->idle_timer, idle_too_long);
    list_init(&s->appends);
    waitlist_init(&s->append_done);
    list_append(&home->sessions, &s->node);
    atomic_fetch_add(&s->imapd->session_count, 1);
    metric_add(METRIC_CONNECTIONS, 1);
    EVENT_EMIT(IMAP_CONNECTED, EVENT_ID("session", s->id), EVENT_TEXT("peer", address_text(stream_peer(stream), peer)));
    session_spawn(s);
}

/* Only an answered client is told goodbye; a broken connection is just closed. */
MAY_YIELD static void session_end(struct session *s)
{
    struct fault fault = {0};
    session_finish_appends(s);
    if (!s->is_broken) (void)!wire_flush(&s->wire, clock_in(SESSION_CLOSE_TIMEOUT_MS), &fault);
    EVENT_EMIT(IMAP_CLOSED, EVENT_ID("session", s->id), EVENT_TEXT("reason", view_of(s->close_reason ? s->close_reason : "logout")),
               EVENT_NUMBER("bytes_in", s->wire.bytes_in), EVENT_NUMBER("bytes_out", s->wire.bytes_out));
    session_end_notify(s);
    session_unselect(s);
    session_unwatch(s);
    session_leave_account(s);
    list_remove(&s->node);
    timer_disarm(&s->idle_timer);
    connection_limit_leave(&s->imapd->clients, stream_peer(s->wire.stream));
    wire_done(&s->wire);
    buf_done(&s->text);
    arena_free(s->arena);
    atomic_fetch_sub(&s->imapd->session_count, 1);
    metric_add(METRIC_CONNECTIONS, -1);
    free(s);
}

/* ---- its way to the account's loop ---- */

static void session_arrived(void *argument)
{
    struct session *s = argument;
    s->home = imapd_here(s->imapd);
    list_append(&s->home->sessions, &s->node);
    session_spawn(s);
}

/* True when the session has left: it is another loop's from now on. */
MAY_YIELD static bool session_go_home(struct session *s)
{
    struct loop *target = accounts_home(s->imapd->accounts, s->account_id);
    if (target == s->home->loop) return false;
    list_remove(&s->node);
    stream_move(s->wire.stream, target, session_arrived, s);
    return true;
}

/* ---- its turn ---- */

MAY_YIELD static void session_greet(struct session *s)
{
    struct fault fault = {0};
    s->is_greeted = true;
    if (s->kind == IMAPD_TLS) {
        result code = stream_start_tls(s->wire.stream, session_options(s)->tls, clock_in(session_options(s)->login_timeout_ms), &fault);
        if (code != OK) {
            EVENT_EMIT(IMAP_TLS_FAILED, EVENT_ID("session", s->id), EVENT_FAULT(&fault));
            session_break(s, code, &fault);
            return;
        }
    }
    wire_put(&s->wire, VIEW("* OK [CAPABILITY "));
    session_write_capabilities(s, session_out(s));
    wire_put(&s->wire, VIEW("] Tayori is ready\r\n"));
}

MAY_YIELD static void session_next_command(struct session *s)
{
    view text;
    bool is_append;
    if (s->is_idling) {
        imapd_idle_line(s);
    } else if (session_read_command(s, &text, &is_append) == OK && !s->is_expelled) {
        session_run_command(s, text, is_append);
    }
    arena_reset(s->arena);
    buf_shrink(&s->text, 4096);
}

/* What ends a session beside its client's own wish. */
static void session_look_around(struct session *s)
{
    if (s->is_closing) return;
    if (s->is_expelled) {
        session_bye(s, EXPELLED, "[CONTACTADMIN] This account was suspended or removed; ask your provider");
    } else if (s->home->is_stopping || s->is_dismissed) {
        session_bye(s, "stopping", "[UNAVAILABLE] The service is stopping, come back soon");
    } else if (s->is_timed_out) {
        session_bye(s, "timeout", "Autologout: idle for too long");
    }
}

/* True when there is nothing to do but to wait for input: everything is answered and sent. */
MAY_YIELD static bool session_is_done(struct session *s)
{
    if (s->has_input || s->is_poked || wire_has_line(&s->wire)) return false;
    session_finish_appends(s);
    if (session_flush(s) != OK) return false;
    return !s->has_input && !s->is_poked && !must_end(s);
}

static void session_run(void *argument)
{
    colour_pretend_coroutine();
    struct session *s = argument;
    if (!s->arena) s->arena = arena_new(NULL, SESSION_ARENA_BYTES_MAX);
    if (!s->is_greeted) session_greet(s);
    for (;;) {
        if (s->is_logging_in && !s->is_closing) {
            if (session_go_home(s)) return;
            session_finish_login(s);
        }
        session_look_around(s);
        if (s->is_closing) break;
        if (s->is_poked) {
            s->is_poked = false;
            if (s->is_idling) {
                imapd_idle_tell(s);
            } else if (s->notify) {
                session_notify(s);
            }
            arena_reset(s->arena);
        } else if (session_is_done(s)) {
            session_rest(s);
            return;
        } else if (!s->is_closing && (s->has_input || wire_has_line(&s->wire))) {
            s->has_input = false;
            session_next_command(s);
            (void)!session_breathe(s);
        }
    }
    session_end(s);
}

/* ---- its words ---- */

bool session_has_tls(const struct session *s)
{
    return stream_tls(s->wire.stream).is_on;
}

bool session_may_log_in(const struct session *s)
{
    return session_has_tls(s) || session_options(s)->allows_plain_login || address_is_loopback(stream_peer(s->wire.stream));
}

void session_tellf(struct session *s, const char *format, ...)
{
    va_list arguments;
    buf *out = session_out(s);
    buf_append(out, VIEW("* "));
    va_start(arguments, format);
    buf_appendv(out, format, arguments);
    va_end(arguments);
    buf_append(out, VIEW("\r\n"));
}

result session_flush(struct session *s)
{
    struct fault fault = {0};
    if (s->is_broken) return IO;
    result code = wire_flush(&s->wire, clock_in(session_options(s)->send_timeout_ms), &fault);
    if (code != OK) session_break(s, code, &fault);
    return code;
}

result session_breathe(struct session *s)
{
    if (wire_is_full(&s->wire)) {
        result code = session_flush(s);
        if (code != OK) return code;
    }
    if (coroutine_is_overdue()) coroutine_pause();
    return s->is_broken ? IO : coroutine_check();
}

result session_on_worker(struct session *s, void (*job)(void *argument), void *argument, struct fault *fault)
{
    struct mutex *turn = &s->home->large_work;
    result code = mutex_lock(turn, MILLIS_NEVER);
    if (code != OK) return fail(fault, code, "waiting for those who compute");
    code = worker_run_by(WORKER_SLOW, job, argument, session_store_deadline(s));
    mutex_unlock(turn);
    return code == OK ? OK : fail(fault, code, "no worker to compute");
}

result session_write_set(struct session *s, const struct imap_set *set)
{
    buf *out = session_out(s);
    result code = OK;
    for (size_t i = 0; i < set->count && code == OK; i += SESSION_NUMBERS_PER_TURN) {
        size_t left = set->count - i;
        struct imap_set part = {.ranges = set->ranges + i, .count = left < SESSION_NUMBERS_PER_TURN ? left : SESSION_NUMBERS_PER_TURN};
        if (i) buf_append_byte(out, ',');
        imap_set_write(out, &part);
        code = session_breathe(s);
    }
    return code;
}

void session_break(struct session *s, result code, const struct fault *fault)
{
    s->is_closing = s->is_broken = true;
    if (s->close_reason) return;
    s->close_reason = code == END       ? "client closed"
                      : code == TIMEOUT ? "timeout"
                      : code == IO      ? "connection broke"
                                        : "cancelled";
}

void session_bye(struct session *s, const char *reason, const char *text)
{
    if (s->is_closing) return;
    session_tellf(s, "BYE %s", text);
    s->is_closing = true;
    s->close_reason = reason;
}
