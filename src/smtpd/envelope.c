/* MAIL, RCPT, RSET: RFC 5321 §4.1.1.2, .3, .5. */
#include "base/check.h"
#include "engine/pressure.h"
#include "runtime/clock.h"
#include "runtime/random.h"
#include "smtpd/session.h"

enum {
    MAIL_PARAMETERS_OFFERED = SMTP_HAS_SIZE | SMTP_HAS_BODY | SMTP_HAS_SMTPUTF8,
    SUBMISSION_PARAMETERS_OFFERED = SMTP_HAS_SIZE | SMTP_HAS_BODY | SMTP_HAS_SMTPUTF8 | SMTP_HAS_RET | SMTP_HAS_ENVID | SMTP_HAS_AUTH,
    WISHES_OFFERED = SMTP_HAS_HOLDFOR | SMTP_HAS_HOLDUNTIL | SMTP_HAS_BY | SMTP_HAS_PRIORITY,
    DIRECTORY_TIMEOUT_MS = 30000,        /* below the five minutes that a client waits for RCPT (§4.5.3.2.3) */
};

/* A sender keeps its message and comes again: it is asked to before any part of it waits in memory here. */
static bool is_put_off(const struct smtp_session *s)
{
    return engine_pressure(accounts_engine(s->smtpd->intake.accounts)) >= PRESSURE_ON_DELIVERIES;
}

enum smtp_status_name mail_check(const struct smtp_session *s, const struct smtp_command *command)
{
    const struct smtp_parameters *p = &command->parameters;
    if (!s->has_hello) return SMTP_HELLO_FIRST;
    if (smtp_session_is_submission(s) && !s->is_authenticated) return SMTP_AUTH_REQUIRED;
    if (s->transaction.has_sender) return SMTP_NESTED_SENDER;
    if (s->message_count >= smtp_session_options(s)->messages_max) return SMTP_TOO_MANY_MESSAGES;
    unsigned offered = smtp_session_is_submission(s) ? SUBMISSION_PARAMETERS_OFFERED : MAIL_PARAMETERS_OFFERED;
    if (smtp_session_is_submission(s) && smtp_session_takes_wishes(s)) offered |= WISHES_OFFERED;
    if (smtp_session_takes_requiretls(s)) offered |= SMTP_HAS_REQUIRETLS;
    if (p->given & ~offered) return SMTP_UNKNOWN_PARAMETER;
    if (p->body == SMTP_BODY_BINARYMIME && smtp_session_is_submission(s)) return SMTP_UNKNOWN_PARAMETER;
    if (p->size_bytes > smtp_session_options(s)->message_bytes_max) return SMTP_MESSAGE_TOO_BIG;
    if (command->path.is_utf8 && !(p->given & SMTP_HAS_SMTPUTF8)) return SMTP_UTF8_NOT_ASKED;
    if (is_put_off(s)) return SMTP_STORE_UNAVAILABLE;
    return SMTP_DONE;
}

void mail_proceed(struct smtp_session *s, const struct smtp_command *command)
{
    struct transaction *t = &s->transaction;
    if (smtp_session_is_submission(s)) {
        enum smtp_status_name status = submission_check_account(s);
        if (status == SMTP_DONE && !command->path.is_null) status = submission_check_sender(s, smtp_path_keep_text(s->scratch, &command->path));
        if (status != SMTP_DONE) {
            smtp_session_refuse(s, command, status, &(struct fault){0});
            return;
        }
    }
    enum smtp_status_name wished = submission_keep_wishes(s, &command->parameters);
    if (wished != SMTP_DONE) {
        smtp_session_refuse(s, command, wished, &(struct fault){0});
        return;
    }
    t->has_sender = true;
    t->message = random_id();
    t->sender = command->path;
    t->sender.local_part = arena_keep(s->arena, command->path.local_part);
    t->sender.domain = arena_keep(s->arena, command->path.domain);
    t->body = command->parameters.body;
    t->is_utf8 = (command->parameters.given & SMTP_HAS_SMTPUTF8) != 0;
    t->requires_tls = (command->parameters.given & SMTP_HAS_REQUIRETLS) != 0;
    t->declared_bytes = command->parameters.size_bytes;
    t->envelope_id = arena_keep(s->arena, command->parameters.envelope_id);
    t->return_what = (uint8_t)command->parameters.return_what;
    smtp_session_reply(s, SMTP_SENDER_OK, VIEW_EMPTY);
}

enum smtp_status_name rcpt_check(const struct smtp_session *s, const struct smtp_command *command)
{
    const struct transaction *t = &s->transaction;
    if (!t->has_sender) return SMTP_NEED_SENDER;
    if (t->in_chunks) return SMTP_IN_CHUNKS;
    if (command->parameters.given && !smtp_session_is_submission(s)) return SMTP_UNKNOWN_PARAMETER;
    if (command->path.is_utf8 && !t->is_utf8) return SMTP_UTF8_NOT_ASKED;
    if (transaction_recipients(t) >= smtp_session_options(s)->recipients_max) return SMTP_TOO_MANY_RECIPIENTS;
    if (is_put_off(s)) return SMTP_STORE_UNAVAILABLE;
    return SMTP_DONE;
}

void rcpt_proceed(struct smtp_session *s, const struct smtp_command *command)
{
    struct fault fault = {0};
    struct intake_recipient recipient;
    enum smtp_status_name status = intake_decide(&s->smtpd->intake, &command->path, s->transaction.declared_bytes,
                                                 clock_in(DIRECTORY_TIMEOUT_MS), s->scratch, s->scratch, &recipient, &fault);
    bool is_for_queue = status == SMTP_RECIPIENT_OK && submission_is_for_queue(s, command);
    if ((status == SMTP_RELAY_DENIED && smtp_session_is_submission(s)) || is_for_queue) {
        s->transaction.has_local |= is_for_queue;
        status = submission_keep_recipient(s, command);
        if (status == SMTP_RECIPIENT_OK) {
            smtp_session_reply(s, status, VIEW_EMPTY);
            return;
        }
    }
    if (status == SMTP_RECIPIENT_OK && recipient.forward_count > 0 && s->transaction.body == SMTP_BODY_BINARYMIME) status = SMTP_BINARY_NOT_FORWARDED;
    if (status == SMTP_RECIPIENT_OK && !transaction_keep_recipient(s, &recipient)) status = SMTP_TOO_MANY_RECIPIENTS;
    if (status == SMTP_RECIPIENT_OK) {
        smtp_session_reply(s, status, VIEW_EMPTY);
        return;
    }
    s->transaction.refused_count++;
    view advice = status == SMTP_RELAY_DENIED ? legacy_refusal(s) : VIEW_EMPTY;
    if (advice.len) smtp_session_reply(s, SMTP_SUBMIT_ELSEWHERE, advice);
    else smtp_session_refuse(s, command, status, &fault);
}

void rset_proceed(struct smtp_session *s, const struct smtp_command *command)
{
    transaction_reset(s);
    smtp_session_reply(s, SMTP_DONE, VIEW_EMPTY);
}
