/*
 * smtp_trace: the header fields that a server puts before a message (RFC 5321 §4.4).
 *
 * Received: is written by every server, Return-Path: by the one that delivers. Both are folded below 78
 * columns where their parts allow it, end with CRLF, and contain nothing of the peer's that could end
 * a field or a comment. Pure; nothing here yields.
 */
#pragma once

#include "base/buf.h"
#include "base/id.h"
#include "base/time.h"
#include "formats/smtp_path.h"

/* How the message came: makes the keyword after "with" (RFC 3848, RFC 6531 §4.3). */
enum smtp_protocol_bit {
    SMTP_PROTOCOL_EXTENDED = 1,      /* EHLO or LHLO */
    SMTP_PROTOCOL_LMTP = 2,
    SMTP_PROTOCOL_TLS = 4,
    SMTP_PROTOCOL_AUTHENTICATED = 8,
    SMTP_PROTOCOL_UTF8 = 16,         /* MAIL had SMTPUTF8 */
};

struct smtp_trace {
    unsigned protocol;               /* smtp_protocol_bit */
    view hello;                      /* what the client called itself */
    view peer_address;               /* "192.0.2.1" or "2001:db8::1"; empty: a local socket */
    view server_name;
    view tls_version, tls_cipher;    /* empty without TLS */
    struct id id;                    /* of the message */
    const struct smtp_path *recipient; /* the only one; NULL when there are several, which must not learn of each other */
    unix_ms received_at;
};

/* No trace is longer than this: both names, both paths with all octets quoted, and what stands between. */
enum { SMTP_TRACE_BYTES_MAX = 4096 };

void smtp_trace_append_received(buf *out, const struct smtp_trace *trace);
void smtp_trace_append_return_path(buf *out, const struct smtp_path *reverse_path);

/* "ESMTPS", "LMTP", "UTF8SMTPSA". Static. */
const char *smtp_protocol_name(unsigned protocol);
