#include "popd/session.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/check.h"
#include "runtime/clock.h"
#include "runtime/event.h"
#include "runtime/random.h"
#include "runtime/tls.h"

/* ---- its life ---- */

static void session_run(void *argument);
static void session_begin(void *argument);
static void session_entered(void *argument);
static void session_say_goodbye(void *argument);

static void session_spawn(struct pop_session *s, void (*run)(void *argument))
{
    s->is_resting = false;
    timer_disarm(&s->idle_timer);
    coroutine_spawn(loop_scope(s->home->loop), "pop3 session", run, s);
}

static void input_is_here(void *argument)
{
    session_spawn(argument, session_run);
}

static bool must_end(const struct pop_session *s)
{
    return s->home->is_stopping || s->is_dismissed || s->is_expelled;
}

/* Takes it out of its rest: nothing else calls it from now on. */
static void interrupt_rest(struct pop_session *s, const char *reason)
{
    s->close_reason = reason;
    wire_rest(&s->wire, NULL, NULL);
    session_spawn(s, session_say_goodbye);
}

static void idle_too_long(struct timer *t)
{
    struct pop_session *s = container_of(t, struct pop_session, idle_timer);
    if (s->is_resting) interrupt_rest(s, "timeout");
}

void pop_session_stop(struct pop_session *s)
{
    if (s->is_resting) interrupt_rest(s, "stopping");
}

#define EXPELLED "account suspended or removed"

void pop_session_expel(struct standing_watch *w)
{
    struct pop_session *s = container_of(w, struct pop_session, standing);
    bool is_warned = s->is_expelled;
    s->is_expelled = true;
    if (s->is_resting) interrupt_rest(s, EXPELLED);
    if (!is_warned) return;
    pop_session_break(s, EXPELLED);
    stream_abort(s->wire.stream);
}

static int64_t command_timeout_ms(const struct pop_session *s)
{
    const struct popd_options *o = pop_session_options(s);
    return s->state == POP_TRANSACTION ? o->command_timeout_ms : o->login_timeout_ms;
}

static void session_rest(struct pop_session *s)
{
    s->is_resting = true;
    timer_arm(&s->idle_timer, clock_in(command_timeout_ms(s)));
    wire_rest(&s->wire, input_is_here, s);
}

void pop_session_start(struct popd_loop *home, enum popd_kind kind, struct stream *stream)
{
    char peer[ADDRESS_TEXT_MAX];
    struct pop_session *s = calloc(1, sizeof *s);
    check(s);
    s->home = home;
    s->popd = home->popd;
    s->kind = kind;
    s->id = random_id();
    s->peer = *stream_peer(stream);
    s->scratch = arena_new(NULL, POP_SCRATCH_BYTES_MAX);
    wire_init(&s->wire, stream, WIRE_LF_ENDS_COMMAND);
    timer_init(&s->idle_timer, idle_too_long);
    list_append(&home->sessions, &s->node);
    atomic_fetch_add(&s->popd->session_count, 1);
    metric_add(METRIC_CONNECTIONS, 1);
    EVENT_EMIT(POP3_CONNECTED, EVENT_ID("session", s->id), EVENT_TEXT("service", kind == POPD_TLS ? VIEW("pop3s") : VIEW("pop3")),
               EVENT_TEXT("peer", address_text(&s->peer, peer)));
    session_spawn(s, session_begin);
}

MAY_YIELD static void session_end(struct pop_session *s)
{
    maildrop_leave(s);
    EVENT_EMIT(POP3_CLOSED, EVENT_ID("session", s->id), EVENT_TEXT("reason", view_of(s->close_reason ? s->close_reason : "quit")),
               EVENT_NUMBER("retrieved", s->retrieved_count), EVENT_NUMBER("removed", s->removed_count),
               EVENT_NUMBER("bytes_in", s->wire.bytes_in), EVENT_NUMBER("bytes_out", s->wire.bytes_out));
    list_remove(&s->node);
    connection_limit_leave(&s->popd->clients, &s->peer);
    wire_done(&s->wire);
    buf_done(&s->user);
    arena_free(s->scratch);
    metric_add(METRIC_CONNECTIONS, -1);
    atomic_fetch_sub(&s->popd->session_count, 1);
    free(s);
}

/* ---- its turn ---- */

/* After its commands: sends what was written, then rests or ends. */
MAY_YIELD static void session_end_turn(struct pop_session *s)
{
    if (s->is_expelled && !s->is_closing) {
        pop_session_error(s, POP3_SYS_PERM, "This account was suspended or removed; ask your provider");
        pop_session_break(s, EXPELLED);
    } else if (must_end(s) && !s->is_closing) {
        pop_session_error(s, POP3_SYS_TEMP, "The server is restarting, try again");
        pop_session_break(s, "stopping");
    }
    if (pop_session_flush(s) != OK || s->is_closing) session_end(s);
    else session_rest(s);
}

MAY_YIELD static void session_next_command(struct pop_session *s)
{
    struct fault fault = {0};
    view line;
    result code = wire_line(&s->wire, POP3_COMMAND_BYTES_MAX, clock_in(command_timeout_ms(s)), &line, &fault);
    if (code == OK && s->is_expelled) return;
    if (code == OK) pop_session_command(s, line);
    else if (code == TOO_BIG) pop_session_error(s, POP3_NO_CODE, "Line too long");
    else pop_session_break(s, code == TIMEOUT ? "timeout" : code == CANCELLED ? "stopping" : "lost");
    arena_reset(s->scratch);
}

static void session_arrived(void *argument)
{
    struct pop_session *s = argument;
    s->home = &s->popd->loops[loop_index(loop_self())];
    list_append(&s->home->sessions, &s->node);
    session_spawn(s, session_entered);
}

/* Logged in: goes home. False when it is there already; else the session is not this loop's any more. */
static bool session_go_home(struct pop_session *s)
{
    struct loop *target = accounts_home(s->popd->accounts, s->account);
    if (target == s->home->loop) return false;
    list_remove(&s->node);
    stream_move(s->wire.stream, target, session_arrived, s);
    return true;
}

/* All that the client has sent so far is answered at once. */
MAY_YIELD static void session_go_on(struct pop_session *s)
{
    while (!s->is_closing && !must_end(s) && wire_has_line(&s->wire)) {
        session_next_command(s);
        if (s->is_entering) {
            if (session_go_home(s)) return;
            maildrop_enter(s);
        }
        if (wire_is_full(&s->wire) && pop_session_flush(s) != OK) break;
        if (coroutine_is_overdue()) coroutine_pause();
    }
    session_end_turn(s);
}

static void session_run(void *argument)
{
    colour_pretend_coroutine();
    struct pop_session *s = argument;
    session_next_command(s);
    if (s->is_entering) {
        if (session_go_home(s)) return;
        maildrop_enter(s);
    }
    session_go_on(s);
}

static void session_entered(void *argument)
{
    colour_pretend_coroutine();
    struct pop_session *s = argument;
    maildrop_enter(s);
    session_go_on(s);
}

static void session_begin(void *argument)
{
    colour_pretend_coroutine();
    struct pop_session *s = argument;
    struct fault fault = {0};
    if (s->kind == POPD_TLS && stream_start_tls(s->wire.stream, pop_session_options(s)->tls, clock_in(POP_HANDSHAKE_TIMEOUT_MS), &fault) != OK) {
        EVENT_EMIT(POP3_TLS_FAILED, EVENT_ID("session", s->id), EVENT_FAULT(&fault));
        s->close_reason = "tls failed";
        session_end(s);
        return;
    }
    pop_session_ok(s, VIEW("Tayori ready"));
    session_end_turn(s);
}

static void session_say_goodbye(void *argument)
{
    colour_pretend_coroutine();
    struct pop_session *s = argument;
    if (!must_end(s)) {
        pop_session_error(s, POP3_NO_CODE, "Too long without a command");
        pop_session_break(s, "timeout");
    }
    session_end_turn(s);
}

/* ---- its words ---- */

bool pop_session_has_tls(const struct pop_session *s)
{
    return stream_tls(s->wire.stream).is_on;
}

bool pop_session_may_log_in(const struct pop_session *s)
{
    return pop_session_has_tls(s) || pop_session_options(s)->allows_plain_login || address_is_loopback(&s->peer);
}

millis pop_session_store_deadline(const struct pop_session *s)
{
    return clock_in(pop_session_options(s)->store_timeout_ms);
}

void pop_session_ok(struct pop_session *s, view text)
{
    s->error_count = 0;
    pop3_append_ok(&s->wire.output, text);
}

void pop_session_okf(struct pop_session *s, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    s->error_count = 0;
    buf_append(&s->wire.output, VIEW("+OK "));
    buf_appendv(&s->wire.output, format, arguments);
    buf_append(&s->wire.output, VIEW("\r\n"));
    va_end(arguments);
}

void pop_session_error(struct pop_session *s, enum pop3_code code, const char *text)
{
    pop3_append_error(&s->wire.output, code, view_of(text));
    if (++s->error_count >= pop_session_options(s)->errors_max) pop_session_break(s, "too many errors");
}

void pop_session_fail(struct pop_session *s, result code, const struct fault *fault)
{
    EVENT_EMIT(POP3_COMMAND_FAILED, EVENT_ID("session", s->id), EVENT_ID("account", s->account), EVENT_TEXT("result", view_of(result_name(code))),
               EVENT_FAULT(fault));
    if (code == NOT_FOUND) pop_session_error(s, POP3_NO_CODE, "No such message any more");
    else if (code == CORRUPT) pop_session_error(s, POP3_SYS_PERM, "The message is damaged");
    else pop_session_error(s, POP3_SYS_TEMP, fault->client_text[0] ? fault->client_text : "Not available now, try again later");
}

result pop_session_flush(struct pop_session *s)
{
    struct fault fault = {0};
    int64_t timeout_ms = s->is_closing ? POP_CLOSE_TIMEOUT_MS : command_timeout_ms(s);
    result code = wire_flush(&s->wire, clock_in(timeout_ms), &fault);
    if (code != OK) pop_session_break(s, "lost");
    return code;
}

void pop_session_break(struct pop_session *s, const char *reason)
{
    s->is_closing = true;
    if (!s->close_reason) s->close_reason = reason;
}
