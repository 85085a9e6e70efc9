/* USER and PASS (RFC 1939 §7), AUTH PLAIN (RFC 5034, RFC 4616). */
#include <string.h>

#include "engine/pressure.h"
#include "formats/transfer.h"
#include "popd/session.h"
#include "runtime/clock.h"

static bool refuse_without_tls(struct pop_session *s)
{
    if (pop_session_may_log_in(s)) return false;
    pop_session_error(s, POP3_NO_CODE, "Use STLS first");
    return true;
}

/* Answers a wrong password, later each time, as guessing must be slow. */
MAY_YIELD static void deny(struct pop_session *s, const struct fault *fault)
{
    s->failed_login_count++;
    if (coroutine_sleep(pop_session_options(s)->failed_login_delay_ms * s->failed_login_count) != OK) {
        pop_session_break(s, "stopping");
        return;
    }
    pop_session_error(s, POP3_AUTH_FAILED, fault->client_text[0] ? fault->client_text : "Wrong user name or password");
    if (s->failed_login_count >= pop_session_options(s)->failed_logins_max) pop_session_break(s, "too many failed logins");
}

/* OK and DENIED come from the directory; the answer to OK is maildrop_enter()'s. */
MAY_YIELD static void log_in(struct pop_session *s, view user, view password, view authorization)
{
    struct fault fault = {0};
    struct identity_account account;
    struct login login = {
        .user = user, .password = password, .authorization = authorization,
        .protocol = "pop3", .peer = &s->peer, .is_encrypted = pop_session_has_tls(s),
    };
    if (engine_pressure(accounts_engine(s->popd->accounts)) >= PRESSURE_ON_LOGINS) {
        pop_session_fail(s, fail(&fault, UNAVAILABLE, "the store is slow"), &fault);
        return;
    }
    result code = identity_authenticate(s->popd->identity, &login, pop_session_store_deadline(s), s->scratch, &account, &fault);
    if (code == DENIED) {
        deny(s, &fault);
    } else if (code != OK) {
        pop_session_fail(s, code == NOT_FOUND ? UNAVAILABLE : code, &fault);
    } else {
        s->account = account.id;
        s->is_entering = true;
    }
}

void pop_user(struct pop_session *s, const struct pop3_command *command)
{
    if (refuse_without_tls(s)) return;
    buf_clear(&s->user);
    buf_append(&s->user, command->text);
    pop_session_ok(s, VIEW("Password, please"));
}

void pop_pass(struct pop_session *s, const struct pop3_command *command)
{
    if (refuse_without_tls(s)) return;
    if (s->user.len == 0) {
        pop_session_error(s, POP3_NO_CODE, "USER first");
        return;
    }
    /* The line that `command` points into is good until the next read only: copies are made before anything yields. */
    view password = arena_keep(s->scratch, command->text);
    log_in(s, buf_view(&s->user), password, VIEW_EMPTY);
    buf_done(&s->user);
    if (password.len) explicit_bzero((char *)password.at, password.len);
}

/* The client's answer to the challenge "+ ". False when it is none: an answer was written, or the connection is lost. */
MAY_YIELD static bool ask_for_response(struct pop_session *s, view *ret_response)
{
    struct fault fault = {0};
    wire_put(&s->wire, VIEW("+ \r\n"));
    if (pop_session_flush(s) != OK) return false;
    result code = wire_line(&s->wire, SASL_PLAIN_LINE_BYTES_MAX, clock_in(pop_session_options(s)->login_timeout_ms), ret_response, &fault);
    if (code == OK && !view_equal(*ret_response, VIEW("*"))) return true;
    if (code == OK) pop_session_error(s, POP3_NO_CODE, "Cancelled");
    else if (code == TOO_BIG) pop_session_error(s, POP3_NO_CODE, "Line too long");
    else pop_session_break(s, code == TIMEOUT ? "timeout" : "lost");
    return false;
}

void pop_auth(struct pop_session *s, const struct pop3_command *command)
{
    struct sasl_plain plain;
    if (command->text.len == 0) {                /* which mechanisms are there: older than CAPA, and still asked */
        pop_session_ok(s, VIEW("Mechanisms follow"));
        wire_put(&s->wire, pop_session_may_log_in(s) ? VIEW("PLAIN\r\n.\r\n") : VIEW(".\r\n"));
        return;
    }
    if (refuse_without_tls(s)) return;
    if (!view_equal_nocase(command->text, VIEW("PLAIN"))) {
        pop_session_error(s, POP3_NO_CODE, "Unknown mechanism");
        return;
    }
    view response = command->initial;
    if (!command->has_initial && !ask_for_response(s, &response)) return;
    buf message CLEANUP(buf_done) = BUF_INIT;
    if (base64_decode(response, &message) && sasl_plain_parse(buf_view(&message), &plain))
        log_in(s, plain.user, plain.password, plain.authorization);
    else
        pop_session_error(s, POP3_NO_CODE, "Not a PLAIN message");
    if (message.len) explicit_bzero(message.at, message.len);
}
