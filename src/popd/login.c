/* USER and PASS (RFC 1939 §7), AUTH (RFC 5034) with the mechanisms of identity/sasl_login.h. */
#include <string.h>

#include "engine/pressure.h"
#include "formats/transfer.h"
#include "identity/sasl_login.h"
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

/* False, and answered, while the store is far behind. */
static bool check_pressure(struct pop_session *s)
{
    struct fault fault = {0};
    if (engine_pressure(accounts_engine(s->popd->accounts)) < PRESSURE_ON_LOGINS) return true;
    pop_session_fail(s, fail(&fault, UNAVAILABLE, "the store is slow"), &fault);
    return false;
}

/* The answer to OK is maildrop_enter()'s. */
MAY_YIELD static void judge(struct pop_session *s, result code, const struct identity_account *account, const struct fault *fault)
{
    if (code == DENIED) {
        deny(s, fault);
    } else if (code != OK) {
        pop_session_fail(s, code == NOT_FOUND ? UNAVAILABLE : code, fault);
    } else {
        s->account = account->id;
        s->is_entering = true;
    }
}

MAY_YIELD static void log_in(struct pop_session *s, view user, view password)
{
    struct fault fault = {0};
    struct identity_account account;
    struct login login = {.user = user, .password = password, .protocol = "pop3", .peer = &s->peer, .is_encrypted = pop_session_has_tls(s)};
    if (!check_pressure(s)) return;
    result code = identity_authenticate(s->popd->identity, &login, pop_session_store_deadline(s), s->scratch, &account, &fault);
    judge(s, code, &account, &fault);
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
    log_in(s, buf_view(&s->user), password);
    buf_done(&s->user);
    if (password.len) explicit_bzero((char *)password.at, password.len);
}

/* The client's answer to a challenge, "+ " and base64. False when it is none: an answer was written, or the connection is lost. */
MAY_YIELD static bool ask_for_response(struct pop_session *s, view challenge, view *ret_response)
{
    struct fault fault = {0};
    buf text CLEANUP(buf_done) = BUF_INIT;
    buf_append(&text, VIEW("+ "));
    base64_append(&text, challenge);
    buf_append(&text, VIEW("\r\n"));
    wire_put(&s->wire, buf_view(&text));
    if (pop_session_flush(s) != OK) return false;
    result code = wire_line(&s->wire, SASL_LINE_BYTES_MAX, clock_in(pop_session_options(s)->login_timeout_ms), ret_response, &fault);
    if (code == OK && !view_equal(*ret_response, VIEW("*"))) return true;
    if (code == OK) pop_session_error(s, POP3_NO_CODE, "Cancelled");
    else if (code == TOO_BIG) pop_session_error(s, POP3_NO_CODE, "Line too long");
    else pop_session_break(s, code == TIMEOUT ? "timeout" : "lost");
    return false;
}

static struct sasl_client client_of(const struct pop_session *s)
{
    return (struct sasl_client){.protocol = "pop3", .peer = &s->peer, .stream = s->wire.stream, .is_encrypted = pop_session_has_tls(s),
                                .has_scram = pop_session_options(s)->offers_scram};
}

void pop_append_mechanisms(const struct pop_session *s, buf *into, view before)
{
    struct sasl_client client = client_of(s);
    sasl_append_names(into, sasl_offered(&client), before);
}

/* Which mechanisms are there: older than CAPA, and still asked. */
static void list_mechanisms(struct pop_session *s)
{
    buf names CLEANUP(buf_done) = BUF_INIT;
    pop_session_ok(s, VIEW("Mechanisms follow"));
    if (pop_session_may_log_in(s)) {
        pop_append_mechanisms(s, &names, VIEW("\r\n"));
        buf_append(&names, VIEW("\r\n"));
    }
    /* Each name has its line end before it. */
    wire_put(&s->wire, view_from(buf_view(&names), 2));
    wire_put(&s->wire, VIEW(".\r\n"));
}

/* One response of the client, in base64. True: there is a challenge to be answered. */
MAY_YIELD static bool step(struct pop_session *s, struct sasl_login *login, view response, buf *challenge)
{
    struct fault fault = {0};
    struct identity_account account;
    buf message CLEANUP(buf_done) = BUF_INIT;
    bool is_done = false;
    result code = base64_decode(response, &message) ? OK : INVALID;
    if (code == OK) code = sasl_login_step(login, buf_view(&message), pop_session_store_deadline(s), s->scratch, challenge, &is_done, &account, &fault);
    if (message.at) explicit_bzero(message.at, message.len);
    if (code == INVALID) pop_session_error(s, POP3_NO_CODE, "That is no message of this mechanism");
    else if (code != OK || is_done) judge(s, code, &account, &fault);
    return code == OK && !is_done;
}

void pop_auth(struct pop_session *s, const struct pop3_command *command)
{
    if (command->text.len == 0) {
        list_mechanisms(s);
        return;
    }
    if (refuse_without_tls(s) || !check_pressure(s)) return;
    struct sasl_client client = client_of(s);
    struct sasl_login *login = sasl_login_new(s->popd->identity, &client, command->text);
    buf challenge CLEANUP(buf_done) = BUF_INIT;
    view response = command->initial;
    if (!login) pop_session_error(s, POP3_NO_CODE, "Unknown mechanism");
    else if (command->has_initial || ask_for_response(s, sasl_login_prompt(login), &response))
        while (step(s, login, response, &challenge) && ask_for_response(s, buf_view(&challenge), &response)) continue;
    sasl_login_free(login);
}
