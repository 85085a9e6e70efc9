/*
 * TLS contexts in the simulator: who starts TLS succeeds when the other end does too (stream.c). No certificate is
 * read and none is made.
 */
#include "runtime/tls.h"

#include <stdlib.h>

#include "base/check.h"

struct tls_context {
    size_t certificates;
};

static struct tls_context *context_new(size_t certificates)
{
    struct tls_context *c = calloc(1, sizeof *c);
    check(c);
    c->certificates = certificates;
    return c;
}

result tls_context_new_server(const struct tls_certificate *certificates, size_t count, struct tls_context **ret_context, struct fault *fault)
{
    if (count == 0) return fail(fault, INVALID, "no certificate");
    *ret_context = context_new(count);
    return OK;
}

result tls_context_reload(struct tls_context *c, const struct tls_certificate *certificates, size_t count, struct fault *fault)
{
    if (count == 0) return fail(fault, INVALID, "no certificate");
    c->certificates = count;
    return OK;
}

result tls_context_new_client(struct tls_context **ret_context, struct fault *fault)
{
    *ret_context = context_new(0);
    return OK;
}

result tls_context_trust(struct tls_context *c, const char *authorities_file, struct fault *fault) { return OK; }

void tls_context_free(struct tls_context *c) { free(c); }

result tls_make_certificate(const char *name, const char *certificate_file, const char *key_file, struct fault *fault)
{
    return fail(fault, INVALID, "the simulator makes no certificates");
}
