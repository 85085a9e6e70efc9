/* AUTH: RFC 4954 with PLAIN (RFC 4616) and LOGIN, for submission alone, under TLS alone (or from this machine). */
#include <string.h>

#include "base/check.h"
#include "formats/sasl.h"
#include "formats/transfer.h"
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
    if (!view_equal_nocase(command->mechanism, VIEW("PLAIN")) && !view_equal_nocase(command->mechanism, VIEW("LOGIN"))) return SMTP_AUTH_UNKNOWN;
    return SMTP_DONE;
}

/* The client's answer to a challenge, decoded; false: the exchange is over and answered. */
MAY_YIELD static bool ask_client(struct smtp_session *s, view challenge, buf *into)
{
    struct fault fault = {0};
    view line;
    smtp_session_reply(s, SMTP_AUTH_CHALLENGE, challenge);
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

MAY_YIELD static void log_in(struct smtp_session *s, view user, view password, view authorization)
{
    struct fault fault = {0};
    struct identity_account account;
    struct login login = {.user = user, .password = password, .authorization = authorization, .protocol = "smtp", .peer = &s->peer,
                          .is_encrypted = smtp_session_has_tls(s)};
    result code = identity_authenticate(s->smtpd->intake.identity, &login, clock_in(DIRECTORY_TIMEOUT_MS), s->scratch, &account, &fault);
    if (code == DENIED) {
        deny(s, &fault);
    } else if (code != OK) {
        smtp_session_reply(s, SMTP_AUTH_UNAVAILABLE, VIEW_EMPTY);
    } else {
        s->is_authenticated = true;
        s->account = account.id;
        buf_clear(&s->account_address);
        buf_append(&s->account_address, account.address);
        buf_clear(&s->tenant);
        buf_append(&s->tenant, account.tenant);
        smtp_session_reply(s, SMTP_AUTH_OK, VIEW_EMPTY);
    }
}

MAY_YIELD static void auth_plain(struct smtp_session *s, const struct smtp_command *command, buf *message)
{
    struct sasl_plain plain;
    if (command->has_initial_response ? !base64_decode(command->initial_response, message) : !ask_client(s, VIEW(" "), message)) {
        if (command->has_initial_response) smtp_session_reply(s, SMTP_BAD_ARGUMENT, VIEW_EMPTY);
        return;
    }
    if (sasl_plain_parse(buf_view(message), &plain)) log_in(s, plain.user, plain.password, plain.authorization);
    else smtp_session_reply(s, SMTP_BAD_ARGUMENT, VIEW("Not a PLAIN message"));
}

/* What Outlook says: user and password, each asked for in base64. */
MAY_YIELD static void auth_login(struct smtp_session *s, const struct smtp_command *command, buf *password)
{
    buf user CLEANUP(buf_done) = BUF_INIT;
    if (command->has_initial_response) {
        if (!base64_decode(command->initial_response, &user)) {
            smtp_session_reply(s, SMTP_BAD_ARGUMENT, VIEW_EMPTY);
            return;
        }
    } else if (!ask_client(s, VIEW("VXNlcm5hbWU6"), &user)) {
        return;
    }
    if (!ask_client(s, VIEW("UGFzc3dvcmQ6"), password)) return;
    if (user.len == 0 || user.len > SASL_PLAIN_FIELD_BYTES_MAX || password->len > SASL_PLAIN_FIELD_BYTES_MAX) smtp_session_reply(s, SMTP_AUTH_FAILED, VIEW_EMPTY);
    else log_in(s, buf_view(&user), buf_view(password), VIEW_EMPTY);
}

void auth_proceed(struct smtp_session *s, const struct smtp_command *command)
{
    buf secret CLEANUP(buf_done) = BUF_INIT;
    if (view_equal_nocase(command->mechanism, VIEW("PLAIN"))) auth_plain(s, command, &secret);
    else auth_login(s, command, &secret);
    if (secret.len) explicit_bzero(secret.at, secret.len);
}
