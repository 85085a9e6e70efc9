/* AUTH: RFC 4954 with the mechanisms of identity/sasl_login.h, for submission alone, under TLS alone (or from this machine). */
#include <string.h>

#include "base/check.h"
#include "formats/transfer.h"
#include "identity/sasl_login.h"
#include "runtime/clock.h"
#include "runtime/event.h"
#include "smtpd/session.h"

enum { DIRECTORY_TIMEOUT_MS = 30000 };

bool smtp_session_may_log_in(const struct smtp_session *s)
{
    return smtp_session_has_tls(s) || smtp_session_options(s)->allows_plain_login || address_is_loopback(&s->peer);
}

enum smtp_status_name auth_check(const struct smtp_session *s, const struct smtp_command *command)
{
    if (!s->is_extended) return SMTP_HELLO_FIRST;
    if (s->is_authenticated || s->transaction.has_sender) return SMTP_AUTH_ACTIVE;
    if (!smtp_session_may_log_in(s)) return SMTP_AUTH_NEEDS_TLS;
    return SMTP_DONE;
}

/* The client's answer to a challenge, decoded; false: the exchange is over and answered. */
MAY_YIELD static bool ask_client(struct smtp_session *s, view challenge, buf *into)
{
    struct fault fault = {0};
    view line;
    /* RFC 4954 §4: a challenge of nothing is "334 " alone; a second blank would be no base64. */
    if (challenge.len) smtp_session_reply(s, SMTP_AUTH_CHALLENGE, challenge);
    else wire_put(&s->wire, VIEW("334 \r\n"));
    if (smtp_session_flush(s) != OK) return false;
    result code = wire_line(&s->wire, SMTP_AUTH_LINE_MAX, clock_in(smtp_session_options(s)->command_timeout_ms), &line, &fault);
    if (code == TOO_BIG) smtp_session_reply(s, SMTP_LINE_TOO_LONG, VIEW_EMPTY);
    else if (code != OK) smtp_session_break(s, code, &fault);
    else if (view_equal(line, VIEW("*"))) smtp_session_reply(s, SMTP_AUTH_CANCELLED, VIEW_EMPTY);
    else if (!base64_decode(line, into)) smtp_session_reply(s, SMTP_BAD_ARGUMENT, VIEW_EMPTY);
    else return true;
    return false;
}

/* Each wrong password is answered later than the one before it. */
MAY_YIELD static void deny(struct smtp_session *s, const struct fault *fault)
{
    s->failed_login_count++;
    if (coroutine_sleep(smtp_session_options(s)->failed_login_delay_ms * s->failed_login_count) != OK) return;
    smtp_session_reply(s, SMTP_AUTH_FAILED, view_of(fault->client_text));
    if (s->failed_login_count < smtp_session_options(s)->failed_logins_max || s->is_closing) return;
    smtp_session_reply(s, SMTP_TOO_MANY_ERRORS, VIEW_EMPTY);
}

static struct sasl_client client_of(const struct smtp_session *s)
{
    return (struct sasl_client){.protocol = "smtp", .peer = &s->peer, .stream = s->wire.stream, .is_encrypted = smtp_session_has_tls(s), .takes_login = true,
                                .has_scram = smtp_session_options(s)->offers_scram};
}

void auth_append_names(const struct smtp_session *s, buf *into)
{
    struct sasl_client client = client_of(s);
    sasl_append_names(into, sasl_offered(&client), VIEW(" "));
}

static void let_in(struct smtp_session *s, const struct identity_account *account)
{
    s->is_authenticated = true;
    s->account = account->id;
    buf_clear(&s->account_address);
    buf_append(&s->account_address, account->address);
    buf_clear(&s->tenant);
    buf_append(&s->tenant, account->tenant);
    smtp_session_reply(s, SMTP_AUTH_OK, VIEW_EMPTY);
}

/* "334 " and base64. */
MAY_YIELD static bool challenge_client(struct smtp_session *s, view challenge, buf *response)
{
    buf text CLEANUP(buf_done) = BUF_INIT;
    base64_append(&text, challenge);
    if (response->len) explicit_bzero(response->at, response->len);
    buf_clear(response);
    return ask_client(s, buf_view(&text), response);
}

/* Steps until somebody is logged in, or it is answered why not. */
MAY_YIELD static void converse(struct smtp_session *s, struct sasl_login *login, buf *response)
{
    struct fault fault = {0};
    struct identity_account account;
    buf challenge CLEANUP(buf_done) = BUF_INIT;
    for (bool is_done = false; !is_done;) {
        result code = sasl_login_step(login, buf_view(response), clock_in(DIRECTORY_TIMEOUT_MS), s->scratch, &challenge, &is_done, &account, &fault);
        if (code == DENIED) deny(s, &fault);
        else if (code == INVALID) smtp_session_reply(s, SMTP_BAD_ARGUMENT, VIEW("That is no message of this mechanism"));
        else if (code != OK) smtp_session_reply(s, SMTP_AUTH_UNAVAILABLE, VIEW_EMPTY);
        else if (is_done) let_in(s, &account);
        if (code != OK || (!is_done && !challenge_client(s, buf_view(&challenge), response))) return;
    }
}

void auth_proceed(struct smtp_session *s, const struct smtp_command *command)
{
    struct sasl_client client = client_of(s);
    struct sasl_login *login = sasl_login_new(s->smtpd->intake.identity, &client, command->mechanism);
    buf response CLEANUP(buf_done) = BUF_INIT;
    if (!login) smtp_session_reply(s, SMTP_AUTH_UNKNOWN, VIEW_EMPTY);
    else if (!command->has_initial_response) {
        if (challenge_client(s, sasl_login_prompt(login), &response)) converse(s, login, &response);
    } else if (base64_decode(command->initial_response, &response)) converse(s, login, &response);
    else smtp_session_reply(s, SMTP_BAD_ARGUMENT, VIEW_EMPTY);
    sasl_login_free(login);
    if (response.len) explicit_bzero(response.at, response.len);
}
