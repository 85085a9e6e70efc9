/*
 * tls: contexts for TLS 1.2 and 1.3 servers and clients (OpenSSL 3).
 *
 * A server context holds certificates by name and picks by SNI; tls_context_reload() swaps them for new
 * connections while old ones go on. Buffers are released while a connection is idle.
 */
#pragma once

#include "base/fault.h"
#include "base/result.h"
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
/* Does not verify the peer (opportunistic); verification comes with the outbound queue. */
BLOCKS NODISCARD result tls_context_new_client(struct tls_context **ret_context, struct fault *fault);
void tls_context_free(struct tls_context *c);
/* Writes a self-made ECDSA P-256 certificate for `name` (and localhost, 127.0.0.1, ::1) as PEM files, key mode 0600. */
BLOCKS NODISCARD result tls_make_certificate(const char *name, const char *certificate_file, const char *key_file, struct fault *fault);
