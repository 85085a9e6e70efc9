/* tls_private: contexts as the streams see them. */
#pragma once

#include <openssl/ssl.h>

#include "runtime/tls.h"

/* One generation of a context's certificates. Sessions hold a reference until they end, so a reload disturbs nobody. */
struct tls_generation;

struct tls_generation *tls_generation_ref(struct tls_context *c);
void tls_generation_unref(struct tls_generation *g);
/* The OpenSSL context that a session begins with. */
SSL_CTX *tls_generation_default(struct tls_generation *g);
bool tls_context_is_server(const struct tls_context *c);
/* The last error of OpenSSL on this thread as text; empties its queue. */
view tls_reason(char text[static 256]);
