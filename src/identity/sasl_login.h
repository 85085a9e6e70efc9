/*
 * sasl_login: one log-in by a SASL mechanism (RFC 4422), the same for every protocol: which mechanisms a connection is offered, and what is said
 * in each. A protocol wraps the messages (base64, "+ ", 334) and makes failures slow.
 *
 *     PLAIN                 RFC 4616
 *     LOGIN                 what Outlook says: user and password, each asked for; where a protocol wants it
 *     SCRAM-SHA-256         RFC 5802, RFC 7677
 *     SCRAM-SHA-256-PLUS    bound to the TLS connection: tls-exporter (RFC 9266) or tls-server-end-point (RFC 5929 §4)
 *
 * All only where a password may be sent: what is said after a log-in is worth protecting, too. A client that says that it could bind, but believes
 * that we cannot, while we have offered it, has been lied to: its log-in fails (RFC 5802 §6). An account that does not exist, or has no keys, gets
 * a salt made of its name and as many steps as any other. OAUTHBEARER is not offered: there is nobody who would issue tokens.
 */
#pragma once

#include "identity/identity.h"

enum sasl_mechanism { SASL_SCRAM_SHA_256_PLUS, SASL_SCRAM_SHA_256, SASL_PLAIN, SASL_LOGIN, SASL_MECHANISMS };      /* the best first */
enum {
    SASL_RESPONSE_BYTES_MAX = 4096,      /* of any response: SCRAM_MESSAGE_BYTES_MAX, and PLAIN's fields */
    SASL_LINE_BYTES_MAX = (SASL_RESPONSE_BYTES_MAX + 2) / 3 * 4 + 4,
};

/* A client as its protocol knows it. Lives as long as the log-in. */
struct sasl_client {
    const char *protocol;                /* "imap", "pop3", "smtp": static */
    const struct address *peer;
    struct stream *stream;               /* whose TLS is bound to */
    bool is_encrypted;
    bool takes_login;                    /* LOGIN too */
    bool has_scram;                      /* the operator lets it be offered */
};

/* A bit for each mechanism that works on this connection, if passwords may be sent on it at all. */
unsigned sasl_offered(const struct sasl_client *client);
/* " AUTH=PLAIN AUTH=..." with `before` " AUTH=". */
void sasl_append_names(buf *into, unsigned offered, view before);

struct sasl_login;
/* NULL: it is none of those offered. */
struct sasl_login *sasl_login_new(struct identity *i, const struct sasl_client *client, view mechanism);
/* Forgets secrets. NULL is fine. */
void sasl_login_free(struct sasl_login *s);
/* What a client is asked that has sent no initial response. */
view sasl_login_prompt(const struct sasl_login *s);
/*
 * The client's next response, out of its base64. OK with *ret_is_done false: `challenge` is to be answered; with true: *ret_account is who has logged
 * in (views in the arena). INVALID: it breaks the mechanism's grammar. DENIED, and others: as of identity_authenticate(). After anything but a
 * challenge there are no further steps.
 */
MAY_YIELD NODISCARD result sasl_login_step(struct sasl_login *s, view response, millis deadline, struct arena *arena, buf *challenge, bool *ret_is_done,
                                           struct identity_account *ret_account, struct fault *fault);
