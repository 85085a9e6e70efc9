/* CAPA, STLS, UTF8, NOOP, QUIT: what is not about messages. */
#include "popd/session.h"
#include "runtime/clock.h"
#include "runtime/event.h"

static bool may_start_tls(const struct pop_session *s)
{
    return s->state == POP_AUTHORIZATION && pop_session_options(s)->tls && !pop_session_has_tls(s);
}

/* RFC 2449 §5 and §6. What may be said before log-in only is not listed after it. */
void pop_capa(struct pop_session *s, const struct pop3_command *command)
{
    pop_session_ok(s, VIEW("Capability list follows"));
    wire_put(&s->wire, VIEW("TOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nUTF8 USER\r\n"));
    if (may_start_tls(s)) wire_put(&s->wire, VIEW("STLS\r\n"));
    if (pop_session_may_log_in(s)) {
        buf names CLEANUP(buf_done) = BUF_INIT;
        pop_append_mechanisms(s, &names, VIEW(" "));
        wire_put(&s->wire, VIEW("USER\r\nSASL"));
        wire_put(&s->wire, buf_view(&names));
        wire_put(&s->wire, VIEW("\r\n"));
    }
    wire_put(&s->wire, VIEW("IMPLEMENTATION Tayori\r\n.\r\n"));
}

/*
 * RFC 2595 §4. What the client sent in the clear behind STLS must not be taken for what it says under TLS
 * (CVE-2011-0411), and what it said before is forgotten.
 */
void pop_stls(struct pop_session *s, const struct pop3_command *command)
{
    struct fault fault = {0};
    if (!may_start_tls(s)) {
        pop_session_error(s, POP3_NO_CODE, pop_session_has_tls(s) ? "TLS is on already" : "TLS is not offered");
        return;
    }
    buf_clear(&s->user);
    pop_session_ok(s, VIEW("Begin TLS"));
    wire_discard_input(&s->wire);
    if (pop_session_flush(s) != OK) return;
    result code = stream_start_tls(s->wire.stream, pop_session_options(s)->tls, clock_in(POP_HANDSHAKE_TIMEOUT_MS), &fault);
    if (code == OK) return;
    EVENT_EMIT(POP3_TLS_FAILED, EVENT_ID("session", s->id), EVENT_FAULT(&fault));
    pop_session_break(s, "tls failed");
}

/* RFC 6856 §2. Messages are given byte for byte in either mode; user names and passwords are UTF-8 in both. */
void pop_utf8(struct pop_session *s, const struct pop3_command *command)
{
    pop_session_ok(s, VIEW("UTF8 enabled"));
}

void pop_noop(struct pop_session *s, const struct pop3_command *command)
{
    pop_session_ok(s, VIEW_EMPTY);
}

/* RFC 1939 §6: after log-in this is the UPDATE state. */
void pop_quit(struct pop_session *s, const struct pop3_command *command)
{
    struct fault fault = {0};
    result code = s->state == POP_TRANSACTION ? maildrop_update(s, &fault) : OK;
    /* Who has read the answer may log in again at once, at any node. */
    maildrop_leave(s);
    if (code == OK) {
        pop_session_ok(s, VIEW("Bye"));
    } else {
        EVENT_EMIT(POP3_COMMAND_FAILED, EVENT_ID("session", s->id), EVENT_ID("account", s->account),
                   EVENT_TEXT("result", view_of(result_name(code))), EVENT_FAULT(&fault));
        pop_session_error(s, POP3_SYS_TEMP, "Some deleted messages were not removed");
    }
    pop_session_break(s, "quit");
}
