/*
 * AUTHENTICATE and LOGIN: RFC 9051 §6.2.2, §6.2.3, RFC 4959; the mechanisms are those of identity/sasl_login.h.
 *
 * After a good password the session goes to its account's home loop (session.c) and answers there, when the
 * account is open: a store that is down is a NO and not a session that can do nothing.
 */
#include <string.h>

#include "base/check.h"
#include "engine/pressure.h"
#include "formats/transfer.h"
#include "identity/sasl_login.h"
#include "imapd/session.h"
#include "runtime/event.h"

static void keep_tag(struct session *s, view tag)
{
    check(tag.len < sizeof s->tag);
    memcpy(s->tag, tag.at, tag.len);
    s->tag[tag.len] = 0;
}

/* Each failure costs the client some time, and after a few the connection. */
MAY_YIELD static void refuse(struct session *s, struct reply *r, result code, const struct fault *fault)
{
    if (code != DENIED) {
        reply_result(s, r, code, fault);
        return;
    }
    (void)!coroutine_sleep(session_options(s)->login_failure_delay_ms);
    bool is_told = fault->client_text[0] != 0;
    reply_set(r, REPLY_NO, is_told ? "CONTACTADMIN" : "AUTHENTICATIONFAILED",
              is_told ? arena_cstr(s->arena, view_of(fault->client_text)) : "Wrong user name or password");
    if (++s->login_failure_count < session_options(s)->login_failures_max) return;
    session_bye(s, "too many failed log-ins", "Too many failed log-ins");
}

/* False, and answered, while the store is far behind. */
MAY_YIELD static bool check_pressure(struct session *s, struct reply *r)
{
    struct fault fault = {0};
    if (engine_pressure(accounts_engine(s->imapd->accounts)) < PRESSURE_ON_LOGINS) return true;
    refuse(s, r, fail(&fault, UNAVAILABLE, "the store is slow"), &fault);
    return false;
}

static void let_in(struct session *s, view tag, const struct identity_account *account, struct reply *r)
{
    s->account_id = account->id;
    s->quota = (struct quota){account->quota_bytes, account->quota_messages};
    s->is_logging_in = true;
    keep_tag(s, tag);
    r->kind = REPLY_NONE;
}

/* RFC 5530 §3: LIMIT is no reason to ask for another password. */
static bool is_over_limit(struct session *s, struct reply *r)
{
    if (connection_limit_enter_account(&s->imapd->account_sessions, s->account_id)) return false;
    EVENT_EMIT(IMAP_REFUSED_LOGIN, EVENT_ID("session", s->id), EVENT_ID("account", s->account_id));
    reply_set(r, REPLY_NO, "LIMIT", "Too many connections of this account are open");
    return true;
}

MAY_YIELD static void open_account(struct session *s, struct reply *r)
{
    struct fault fault = {0};
    result code = account_open(s->imapd->accounts, s->account_id, session_store_deadline(s), &s->account, &fault);
    if (code == OK) {
        standing_begin(&s->home->standings, &s->standing, s->account_id);
        s->state = SESSION_AUTHENTICATED;
        buf_append(&r->code, VIEW("CAPABILITY "));
        session_write_capabilities(s, &r->code);
        r->text = "Logged in";
        return;
    }
    s->account = NULL;
    connection_limit_leave_account(&s->imapd->account_sessions, s->account_id);
    reply_result(s, r, code, &fault);
}

void session_leave_account(struct session *s)
{
    if (!s->account) return;
    standing_end(&s->home->standings, &s->standing);
    account_close(s->account);
    s->account = NULL;
    connection_limit_leave_account(&s->imapd->account_sessions, s->account_id);
}

void session_finish_login(struct session *s)
{
    struct reply r = {0};
    s->is_logging_in = false;
    if (!is_over_limit(s, &r)) open_account(s, &r);
    reply_write(s, view_of(s->tag), "Log-in", &r);
    reply_done(&r);
}

static bool check_privacy(struct session *s, struct reply *r)
{
    if (session_may_log_in(s)) return true;
    reply_set(r, REPLY_NO, "PRIVACYREQUIRED", "Start TLS first");
    return false;
}

void imapd_login(struct session *s, const struct imap_command *c, struct reply *r)
{
    if (!check_privacy(s, r)) return;
    if (!check_pressure(s, r)) return;
    struct fault fault = {0};
    struct identity_account account;
    struct login login = {.user = c->login.user, .password = c->login.password, .protocol = "imap",
                          .peer = stream_peer(s->wire.stream), .is_encrypted = session_has_tls(s)};
    result code = identity_authenticate(s->imapd->identity, &login, session_store_deadline(s), s->arena, &account, &fault);
    if (code == OK) let_in(s, c->tag, &account, r);
    else refuse(s, r, code, &fault);
}

/* The client's line after "+". False with a reply when it gave up or is gone. */
MAY_YIELD static bool read_response(struct session *s, view challenge, struct reply *r, view *ret_response)
{
    struct fault fault = {0};
    buf text CLEANUP(buf_done) = BUF_INIT;
    buf_append(&text, VIEW("+ "));
    base64_append(&text, challenge);
    buf_append(&text, VIEW("\r\n"));
    wire_put(&s->wire, buf_view(&text));
    if (session_flush(s) != OK) return false;
    result code = wire_line(&s->wire, SASL_LINE_BYTES_MAX, clock_in(session_options(s)->login_timeout_ms), ret_response, &fault);
    if (code == TOO_BIG) {
        reply_set(r, REPLY_BAD, "TOOBIG", "The response is too long");
    } else if (code != OK) {
        session_break(s, code, &fault);
    } else if (view_equal(*ret_response, VIEW("*"))) {
        reply_set(r, REPLY_BAD, "", "Given up");
    } else {
        return true;
    }
    return false;
}

static struct sasl_client client_of(const struct session *s)
{
    return (struct sasl_client){.protocol = "imap", .peer = stream_peer(s->wire.stream), .stream = s->wire.stream, .is_encrypted = session_has_tls(s),
                                .has_scram = session_options(s)->offers_scram};
}

void session_write_mechanisms(const struct session *s, buf *out)
{
    struct sasl_client client = client_of(s);
    sasl_append_names(out, sasl_offered(&client), VIEW(" AUTH="));
}

/* One response of the client, in base64. True: there is a challenge to be answered. */
MAY_YIELD static bool step(struct session *s, struct sasl_login *login, const struct imap_command *c, view response, struct reply *r, buf *challenge)
{
    struct fault fault = {0};
    struct identity_account account;
    buf message CLEANUP(buf_done) = BUF_INIT;
    bool is_done = false;
    result code = base64_decode(response, &message) ? OK : INVALID;
    if (code == OK) code = sasl_login_step(login, buf_view(&message), session_store_deadline(s), s->arena, challenge, &is_done, &account, &fault);
    if (message.at) explicit_bzero(message.at, message.len);
    if (code == INVALID) reply_set(r, REPLY_BAD, "", "That is no response of this mechanism");
    else if (code != OK) refuse(s, r, code, &fault);
    else if (is_done) let_in(s, c->tag, &account, r);
    return code == OK && !is_done;
}

void imapd_authenticate(struct session *s, const struct imap_command *c, struct reply *r)
{
    struct sasl_client client = client_of(s);
    struct sasl_login *login = sasl_login_new(s->imapd->identity, &client, c->authenticate.mechanism);
    buf challenge CLEANUP(buf_done) = BUF_INIT;
    view response = c->authenticate.initial;
    if (!login) reply_set(r, REPLY_NO, "CANNOT", "That mechanism is not supported");
    else if (check_privacy(s, r) && check_pressure(s, r) && (c->authenticate.has_initial || read_response(s, sasl_login_prompt(login), r, &response)))
        while (step(s, login, c, response, r, &challenge) && read_response(s, buf_view(&challenge), r, &response)) continue;
    sasl_login_free(login);
}
