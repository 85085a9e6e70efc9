/*
 * smtp_client: the sending end of one SMTP connection (RFC 5321), several messages one after the other.
 *
 * Whatever the server says is data: answers are bounded, a server that breaks the grammar loses its connection. With PIPELINING the
 * envelope goes out in one piece (RFC 2920). Lines end in CRLF and lines of one dot are stuffed here: a bare CR or LF of the message becomes
 * CRLF, so no server can read two messages where we sent one (SMTP smuggling).
 */
#pragma once

#include "formats/smtp_answer.h"
#include "runtime/tls.h"
#include "runtime/wire.h"

enum { SMTP_CLIENT_RECIPIENTS_MAX = 100 };    /* of one transaction: RFC 5321 §4.5.3.1.8 */

struct smtp_client {
    struct wire wire;
    struct smtp_offer offer;
    struct smtp_answer answer;                /* the last one */
    bool is_lmtp, has_tls, is_broken;
    enum { SMTP_CLIENT_TLS_UNTRIED, SMTP_CLIENT_TLS_NOT_OFFERED, SMTP_CLIENT_TLS_REFUSED, SMTP_CLIENT_TLS_FAILED, SMTP_CLIENT_TLS_ON } tls;
    enum tls_flaw flaw;                       /* of the certificate, as far as options.demand looked at it */
    unsigned messages;
};

struct smtp_client_options {
    view hello;                               /* our name */
    struct tls_context *tls;                  /* for STARTTLS where it is offered; NULL: never */
    bool tls_is_required;                     /* UNAVAILABLE when it cannot be had */
    const struct tls_demand *demand;          /* of the server's certificate; NULL: nothing */
    bool is_lmtp;
};

/* What the sender wants to hear of one recipient (RFC 3461 §4). */
struct smtp_client_report { unsigned notify; view original; };   /* enum smtp_notify; "type;address", not encoded */

struct smtp_client_message {
    view sender;                              /* mailbox; empty: <> */
    const view *recipients;
    /* Each said to a server that offers the extension: */
    const struct smtp_client_report *reports; /* of each recipient; NULL: nothing is said. DSN */
    uint8_t return_what;                      /* enum smtp_return */
    view envelope_id;
    unsigned by_mode;                         /* enum smtp_by; 0: nothing. DELIVERBY: so many seconds are left */
    int64_t by_seconds;
    int priority;                             /* MT-PRIORITY; 0: nothing */
    size_t recipient_count;                   /* at most SMTP_CLIENT_RECIPIENTS_MAX */
    bool is_8bit, is_utf8;
    bool requires_tls;                        /* REQUIRETLS is said (RFC 8689) */
    uint64_t bytes;
    MAY_YIELD result (*read)(void *argument, uint64_t offset, size_t len, buf *into, struct fault *fault);
    void *argument;
};

/* What came of one recipient. */
struct smtp_client_outcome {
    enum { CLIENT_DELIVERED, CLIENT_REFUSED, CLIENT_DEFERRED } what;
    uint16_t code;                            /* 0: no answer came */
    uint8_t class;
    uint16_t subject, detail;
    buf text;                                 /* of the answer, or what went wrong; the caller's to free */
};

/*
 * Greeting, EHLO (HELO when it is refused), STARTTLS. Takes the stream in any case. OK; DENIED: the server said 5xx; BUSY: 4xx; UNAVAILABLE,
 * TIMEOUT: the connection broke; `answer` is what it said last. smtp_client_close() is due in any case.
 */
MAY_YIELD NODISCARD result smtp_client_open(struct smtp_client *c, struct stream *s, const struct smtp_client_options *options, struct fault *fault);
/*
 * One transaction. Sets an outcome for each recipient. Afterwards is_broken tells whether the connection can be used again. CLIENT_DELIVERED
 * only when the server has said 2xx to the end of data (LMTP: for this recipient).
 */
MAY_YIELD void smtp_client_send(struct smtp_client *c, const struct smtp_client_message *m, struct smtp_client_outcome *outcomes);
/* QUIT if the connection is whole, without waiting long; frees. */
MAY_YIELD void smtp_client_close(struct smtp_client *c);
