/*
 * popd: mailboxes by POP3 (RFC 1939 with RFC 2449, 2595, 5034, 6856).
 *
 * One struct popd serves a node; each listener hands its connections to a service of it. A session begins
 * on the loop that accepted it and moves to its account's home loop when it has logged in. Between commands
 * it holds no coroutine and no buffers.
 */
#pragma once

#include "account/account.h"
#include "identity/identity.h"
#include "runtime/stream.h"

struct popd;
struct tls_context;

enum popd_kind { POPD_PLAIN, POPD_TLS, POPD_KIND_COUNT };    /* POPD_TLS: the connection begins with a handshake */

/* Start with popd_default_options(). What points somewhere lives as long as the popd. */
struct popd_options {
    struct tls_context *tls;             /* NULL: STLS is not offered, and POPD_TLS turns connections away */
    bool offers_scram;                   /* AUTH SCRAM-SHA-256 and -PLUS beside PLAIN */
    bool allows_plain_login;             /* log-in without TLS from anywhere; from loopback it always may be */
    unsigned connections_per_address_max;  /* 0: no limit */
    unsigned errors_max;                 /* -ERR in a row; then the connection ends */
    unsigned failed_logins_max;          /* of one connection */
    int64_t failed_login_delay_ms;       /* before the answer to a wrong password, times the number of them */
    int64_t command_timeout_ms;          /* RFC 1939 §3: at least 10 minutes */
    int64_t login_timeout_ms;            /* the same before log-in */
    int64_t store_timeout_ms;            /* until the store must have answered a command */
};
struct popd_options popd_default_options(void);

/* The options are copied; `identity`, `accounts` and `all` must live longer. */
struct popd *popd_new(const struct popd_options *options, struct identity *identity, struct accounts *accounts, struct loops *all);
/* After popd_stop(), when popd_sessions() is 0. */
void popd_free(struct popd *d);

/* For listener_options: accepted = popd_accept, argument = popd_service(d, kind). On the loop that shall own the stream, outside coroutines. */
void popd_accept(void *service, struct stream *s);
void *popd_service(struct popd *d, enum popd_kind kind);

/* From any loop: no new sessions from now on; each that is open ends after the command that it is in, without deleting what DELE marked. */
void popd_stop(struct popd *d);
/* From any loop, before the stop: ends so many of a thousand sessions in the same way, the oldest first; new ones may come. */
void popd_dismiss(struct popd *d, unsigned permille);
/* Sessions open on all loops, and loops that have not heard of popd_stop() yet: 0 some time after it. */
unsigned popd_sessions(const struct popd *d);
