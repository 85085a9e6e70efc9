/* HELO, EHLO, LHLO: RFC 5321 §4.1.1.1, RFC 2033 §4.1. Also ends a transaction, as RSET does (§4.1.4). */
#include "formats/date.h"
#include "runtime/clock.h"
#include "smtpd/session.h"

enum smtp_status_name hello_check(const struct smtp_session *s, const struct smtp_command *command)
{
    return SMTP_DONE;
}

/* What the queue keeps for the sender: FUTURERELEASE tells how long at most and until when (RFC 4865 §3), which changes by the second. */
static view wishes_now(const struct smtp_session *s)
{
    buf until CLEANUP(buf_done) = BUF_INIT;
    if (!smtp_session_is_submission(s) || !smtp_session_takes_wishes(s)) return VIEW_EMPTY;
    date_rfc3339_append(&until, (unix_ms){clock_wall().ms + SMTPD_HOLD_SECONDS_MAX * 1000ll});
    return arena_printf(s->scratch, "\nDELIVERBY\nMT-PRIORITY\nFUTURERELEASE %d " VIEW_FMT, SMTPD_HOLD_SECONDS_MAX, VIEW_ARG(buf_view(&until)));
}

static view extensions_now(const struct smtp_session *s)
{
    unsigned offers = smtp_session_is_submission(s) ? EXTENSIONS_SUBMISSION : 0;
    if (smtp_session_options(s)->tls && !smtp_session_has_tls(s)) offers |= EXTENSIONS_TLS;
    return buf_view(&s->smtpd->extensions[offers]);
}

/* What can be bound to TLS depends on the connection. */
static view auth_now(const struct smtp_session *s)
{
    buf names CLEANUP(buf_done) = BUF_INIT;
    if (!smtp_session_is_submission(s) || !smtp_session_may_log_in(s)) return VIEW_EMPTY;
    auth_append_names(s, &names);
    return arena_printf(s->scratch, "\nAUTH" VIEW_FMT, VIEW_ARG(buf_view(&names)));
}

/* RFC 8689 §2: only where the client's own connection is encrypted. */
static view requiretls_now(const struct smtp_session *s) { return smtp_session_takes_requiretls(s) ? VIEW("\nREQUIRETLS") : VIEW_EMPTY; }

void hello_proceed(struct smtp_session *s, const struct smtp_command *command)
{
    transaction_reset(s);
    s->has_hello = true;
    s->is_extended = command->verb != SMTP_VERB_HELO;
    buf_clear(&s->hello);
    buf_append(&s->hello, command->text);
    view extensions = s->is_extended ? extensions_now(s) : VIEW_EMPTY, wishes = s->is_extended ? wishes_now(s) : VIEW_EMPTY;
    smtp_session_reply(s, SMTP_HELLO,
                  arena_printf(s->scratch, VIEW_FMT VIEW_FMT VIEW_FMT VIEW_FMT VIEW_FMT, VIEW_ARG(smtp_session_options(s)->server_name), VIEW_ARG(wishes),
                               VIEW_ARG(s->is_extended ? requiretls_now(s) : VIEW_EMPTY), VIEW_ARG(s->is_extended ? auth_now(s) : VIEW_EMPTY), VIEW_ARG(extensions)));
}
