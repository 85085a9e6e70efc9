/* STARTTLS: RFC 3207. */
#include "runtime/clock.h"
#include "runtime/event.h"
#include "smtpd/session.h"

enum smtp_status_name starttls_check(const struct smtp_session *s, const struct smtp_command *command)
{
    if (!smtp_session_options(s)->tls) return SMTP_NOT_IMPLEMENTED;
    return smtp_session_has_tls(s) ? SMTP_TLS_ACTIVE : SMTP_DONE;
}

/*
 * What the client sent in the clear behind STARTTLS must not be taken for what it says under TLS (§4.2,
 * CVE-2011-0411), and what it said before is forgotten.
 */
void starttls_proceed(struct smtp_session *s, const struct smtp_command *command)
{
    struct fault fault = {0};
    transaction_reset(s);
    s->has_hello = s->is_extended = s->is_authenticated = false;
    buf_clear(&s->hello);
    smtp_session_reply(s, SMTP_START_TLS, VIEW_EMPTY);
    wire_discard_input(&s->wire);
    if (smtp_session_flush(s) != OK) return;
    result code = stream_start_tls(s->wire.stream, smtp_session_options(s)->tls, clock_in(smtp_session_options(s)->data_timeout_ms), &fault);
    if (code != OK) {
        EVENT_EMIT(SMTP_TLS_FAILED, EVENT_ID("session", s->id), EVENT_FAULT(&fault));
        s->is_closing = true;
        s->close_reason = "tls failed";
        return;
    }
    struct tls_info tls = stream_tls(s->wire.stream);
    EVENT_EMIT(SMTP_TLS_STARTED, EVENT_ID("session", s->id), EVENT_TEXT("version", tls.version), EVENT_TEXT("cipher", tls.cipher));
}
