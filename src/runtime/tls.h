/*
 * tls: contexts for TLS 1.2 and 1.3 servers and clients (OpenSSL 3).
 *
 * A server context holds certificates by name and picks by SNI; tls_context_reload() swaps them for new
 * connections while old ones go on. Buffers are released while a connection is idle.
 */
#pragma once

#include "base/fault.h"
#include "base/result.h"
#include "base/time.h"
#include "base/view.h"
#include "runtime/colour.h"

struct tls_context;

struct tls_certificate {
    const char *certificate_file;     /* PEM, leaf first, chain after */
    const char *key_file;             /* PEM */
};

/* `certificates[0]` is the default. INVALID with file and reason in the fault. Reads files: at start or on a worker. */
BLOCKS NODISCARD result tls_context_new_server(const struct tls_certificate *certificates, size_t count,
                                               struct tls_context **ret_context, struct fault *fault);
BLOCKS NODISCARD result tls_context_reload(struct tls_context *c, const struct tls_certificate *certificates, size_t count,
                                           struct fault *fault);
/* Believes no certificate until tls_context_trust(); what a client demands of a server is said with each handshake. */
BLOCKS NODISCARD result tls_context_new_client(struct tls_context **ret_context, struct fault *fault);
/*
 * Of a client's context, before its first use: the authorities whose certificates are believed. `authorities_file` is PEM; NULL: those of the
 * system. INVALID with the reason.
 */
BLOCKS NODISCARD result tls_context_trust(struct tls_context *c, const char *authorities_file, struct fault *fault);
void tls_context_free(struct tls_context *c);
/* Writes a self-made ECDSA P-256 certificate for `name` (and localhost, 127.0.0.1, ::1) as PEM files, key mode 0600. */
BLOCKS NODISCARD result tls_make_certificate(const char *name, const char *certificate_file, const char *key_file, struct fault *fault);

/* ---- what a client demands of a server -------------------------------------------------------------------- */

enum tls_check {
    TLS_CHECK_NOTHING,                   /* encryption alone */
    TLS_CHECK_NAME,                      /* a trusted chain, valid now, for one of the names (RFC 6125) */
    TLS_CHECK_DANE,                      /* one of the associations fits (RFC 7671, as RFC 7672 has it for SMTP) */
};

/* A TLSA record (RFC 6698 §2.1). */
struct tls_association { uint8_t usage, selector, matching; view data; };

enum { TLS_NAMES_MAX = 4 };              /* RFC 7672 §3.2.2: the TLSA base domain, the next hop, what it is an alias of, and the host */

struct tls_demand {
    enum tls_check check;
    bool is_reported_only;               /* the handshake goes on whatever the certificate; the flaw is told */
    view server_name;                    /* SNI; empty: none */
    view names[TLS_NAMES_MAX];           /* as they stand in certificates; not looked at for DANE-EE(3) */
    size_t name_count;
    const struct tls_association *associations;   /* of usages 2 and 3; those that OpenSSL cannot use are passed over */
    size_t association_count;
};

enum tls_flaw {
    TLS_FLAW_NONE,
    TLS_FLAW_EXPIRED,
    TLS_FLAW_NAME,                       /* none of its names is among those demanded */
    TLS_FLAW_UNTRUSTED,                  /* the chain leads to no authority that is believed */
    TLS_FLAW_UNMATCHED,                  /* no association fits */
    TLS_FLAW_OTHER,
};

struct stream;
/*
 * A client's handshake that looks at the server's certificate as `demand` says. *reterr_flaw is set in any case: what is wrong with
 * the certificate. DENIED: it does not do and the demand is enforced, so the server was told so and nothing was sent to it. The demand is
 * borrowed until the call returns.
 */
MAY_YIELD NODISCARD result stream_start_tls_to(struct stream *s, struct tls_context *context, const struct tls_demand *demand, millis deadline,
                                               enum tls_flaw *reterr_flaw, struct fault *fault);
