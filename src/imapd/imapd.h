/*
 * imapd: serves mailboxes by IMAP4rev1 (RFC 3501) and IMAP4rev2 (RFC 9051).
 *
 * One struct imapd serves a node; each listener hands its connections to a service of it. A session begins on the
 * loop that accepted it and moves to its account's home loop when it has logged in. Between commands, and in
 * IDLE, it holds no coroutine and no buffers. What is supported, section by section: doc/rfc.md.
 */
#pragma once

#include "account/account.h"
#include "identity/identity.h"
#include "runtime/stream.h"

struct imapd;
struct tls_context;
struct feedback;

enum imapd_kind { IMAPD_PLAIN, IMAPD_TLS, IMAPD_KIND_COUNT };     /* STARTTLS on 143; TLS from the first byte on 993 (RFC 8314 §3.2) */

/* Start with imapd_default_options(). What points somewhere lives as long as the imapd. */
struct imapd_options {
    struct tls_context *tls;             /* NULL: STARTTLS is not offered */
    struct feedback *feedback;           /* NULL: nobody is told what users mark as junk */
    bool offers_scram;                   /* AUTHENTICATE SCRAM-SHA-256 and -PLUS beside PLAIN */
    bool allows_plain_login;             /* passwords without TLS from anywhere; from loopback and local sockets they always may */
    uint64_t message_bytes_max;          /* of APPEND: APPENDLIMIT (RFC 7889) */
    uint32_t message_limit, save_limit;  /* messages that one command may touch, or save (RFC 9738); 0: as many as there are */
    const char *server_comment, *server_admin;  /* /shared/comment and /shared/admin (RFC 5464 §3.2.1.1); NULL or empty: none */
    unsigned connections_per_address_max;  /* 0: no limit */
    unsigned connections_per_account_max;  /* logged in; 0: no limit */
    unsigned errors_max;                 /* BAD answers in a row; then BYE */
    unsigned login_failures_max;         /* then BYE */
    int64_t login_failure_delay_ms;      /* before each NO to a login */
    int64_t login_timeout_ms;            /* of a session that has not logged in */
    int64_t idle_timeout_ms;             /* without a command, IDLE included (RFC 9051 §5.4: at least 30 minutes) */
    int64_t progress_ms;                 /* a command that has said nothing for so long says how far it is (RFC 9585) */
    int64_t send_timeout_ms;             /* a client that takes nothing for so long is gone */
    int64_t store_timeout_ms;            /* until a change must be durable or a read done */
};
struct imapd_options imapd_default_options(void);

/* The options are copied. */
struct imapd *imapd_new(const struct imapd_options *options, struct identity *identity, struct accounts *accounts, struct loops *all);
/* After imapd_sessions() has fallen to 0. */
void imapd_free(struct imapd *d);

/*
 * For listener_options: accepted = imapd_accept, argument = imapd_service(d, kind). Runs on the loop that shall own
 * the stream, outside coroutines; takes the stream over.
 */
void imapd_accept(void *service, struct stream *s);
void *imapd_service(struct imapd *d, enum imapd_kind kind);

/* From any loop: BYE to new sessions from now on, and to those that are open after the command that they are in. */
void imapd_stop(struct imapd *d);
/* From any loop, before the stop: ends so many of a thousand sessions in the same way, the oldest first; new ones may come. */
void imapd_dismiss(struct imapd *d, unsigned permille);
/* Sessions on all loops; falls to 0 some time after imapd_stop(). */
unsigned imapd_sessions(const struct imapd *d);
