#include "formats/smtp_trace.h"

#include "formats/date.h"
#include "formats/mail_address.h"

const char *smtp_protocol_name(unsigned protocol)
{
    static const char *const names[2][2][4] = {
        {{"ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA"}, {"LMTP", "LMTPS", "LMTPA", "LMTPSA"}},
        {{"UTF8SMTP", "UTF8SMTPS", "UTF8SMTPA", "UTF8SMTPSA"}, {"UTF8LMTP", "UTF8LMTPS", "UTF8LMTPA", "UTF8LMTPSA"}},
    };
    if (!(protocol & (SMTP_PROTOCOL_EXTENDED | SMTP_PROTOCOL_LMTP))) return "SMTP";
    unsigned security = ((protocol & SMTP_PROTOCOL_TLS) ? 1 : 0) + ((protocol & SMTP_PROTOCOL_AUTHENTICATED) ? 2 : 0);
    return names[(protocol & SMTP_PROTOCOL_UTF8) != 0][(protocol & SMTP_PROTOCOL_LMTP) != 0][security];
}

/* A name or literal of the peer's choice: what could end the clause, open a comment or be no text becomes '?'. */
static void append_harmless(buf *out, view name)
{
    char *to = buf_extend(out, name.len);
    for (size_t i = 0; i < name.len; i++) {
        char byte = name.at[i];
        bool is_harmless = byte > 32 && byte < 127 && byte != '(' && byte != ')' && byte != '\\' && byte != '"' &&
                           byte != ';' && byte != '<' && byte != '>';
        to[i] = is_harmless ? byte : '?';
    }
}

/* U-labels are allowed in an SMTPUTF8 trace only (RFC 6531 §3.7.3). */
static void append_hello(buf *out, const struct smtp_trace *trace)
{
    if (view_is_empty(trace->hello))
        buf_append(out, VIEW("unknown"));
    else if ((trace->protocol & SMTP_PROTOCOL_UTF8) && mail_domain_is_valid(trace->hello, MAIL_ADDRESS_UTF8))
        buf_append(out, trace->hello);
    else
        append_harmless(out, trace->hello);
}

/* "(" address-literal ")", or "(local)" for a socket of this machine. */
static void append_peer(buf *out, view address)
{
    if (view_is_empty(address)) {
        buf_append(out, VIEW(" (local)"));
        return;
    }
    buf_append(out, view_has_byte(address, ':') ? VIEW(" ([IPv6:") : VIEW(" (["));
    append_harmless(out, address);
    buf_append(out, VIEW("])"));
}

void smtp_trace_append_received(buf *out, const struct smtp_trace *trace)
{
    char id[ID_TEXT_LEN + 1];
    buf_append(out, VIEW("Received: from "));
    append_hello(out, trace);
    append_peer(out, trace->peer_address);
    if (trace->protocol & SMTP_PROTOCOL_TLS) {
        buf_append(out, VIEW("\r\n\t("));
        append_harmless(out, trace->tls_version);
        buf_append_byte(out, ' ');
        append_harmless(out, trace->tls_cipher);
        buf_append_byte(out, ')');
    }
    buf_append(out, VIEW("\r\n\tby "));
    append_harmless(out, trace->server_name);
    buf_append(out, VIEW(" (Tayori) with "));
    buf_append_cstr(out, smtp_protocol_name(trace->protocol));
    buf_append(out, VIEW("\r\n\tid "));
    buf_append(out, id_text(trace->id, id));
    if (trace->recipient) {
        buf_append(out, VIEW("\r\n\tfor "));
        smtp_path_append(out, trace->recipient);
    }
    buf_append(out, VIEW(";\r\n\t"));
    date_append(out, (struct date){trace->received_at, 0});
    buf_append(out, VIEW("\r\n"));
}

void smtp_trace_append_return_path(buf *out, const struct smtp_path *reverse_path)
{
    buf_append(out, VIEW("Return-Path: "));
    smtp_path_append(out, reverse_path);
    buf_append(out, VIEW("\r\n"));
}
