/* STARTTLS: RFC 9051 §6.2.1. */
#include "imapd/session.h"
#include "runtime/event.h"

/*
 * What the client sent in the clear behind STARTTLS must not be taken for what it says under TLS
 * (CVE-2011-0411), so it is dropped.
 */
void imapd_starttls(struct session *s, const struct imap_command *c, struct reply *r)
{
    struct fault fault = {0};
    if (wire_is_compressed(&s->wire)) {
        reply_set(r, REPLY_BAD, "", "Not after COMPRESS");
        return;
    }
    if (!session_options(s)->tls || session_has_tls(s)) {
        reply_set(r, REPLY_BAD, "", session_has_tls(s) ? "TLS is on already" : "TLS is not configured");
        return;
    }
    wire_putf(&s->wire, VIEW_FMT " OK Begin TLS now\r\n", VIEW_ARG(c->tag));
    r->kind = REPLY_NONE;
    wire_discard_input(&s->wire);
    if (session_flush(s) != OK) return;
    result code = stream_start_tls(s->wire.stream, session_options(s)->tls, clock_in(session_options(s)->login_timeout_ms), &fault);
    if (code == OK) return;
    EVENT_EMIT(IMAP_TLS_FAILED, EVENT_ID("session", s->id), EVENT_FAULT(&fault));
    session_break(s, code, &fault);
}
