/* tls_private: contexts as the streams see them. */
#pragma once

#include <openssl/ssl.h>
#include <pthread.h>

#include "base/time.h"
#include "runtime/tls.h"

/* One generation of a context's certificates. Sessions hold a reference until they end, so a reload disturbs nobody. */
struct tls_generation;

struct tls_generation *tls_generation_ref(struct tls_context *c);
void tls_generation_unref(struct tls_generation *g);
/* The OpenSSL context that a session begins with. */
SSL_CTX *tls_generation_default(struct tls_generation *g);
bool tls_context_is_server(const struct tls_context *c);
/* tls_demand.c: what the certificate must be, before the handshake; and what was wrong with it, from SSL_get_verify_result(). */
NODISCARD result tls_demand_set(SSL *ssl, const struct tls_demand *demand, struct fault *fault);
enum tls_flaw tls_demand_flaw(long verdict);
/* The last error of OpenSSL on this thread as text; empties its queue. */
view tls_reason(char text[static 256]);

/* The keys of session tickets: the one that seals, and the one before it, which still opens. Any thread. */
struct tls_ticket_key {
    unsigned char name[16], cipher[32], mac[32];
    millis made;
};

struct tls_tickets {
    pthread_mutex_t lock;
    struct tls_ticket_key keys[2];
};

void tls_tickets_init(struct tls_tickets *t);
void tls_tickets_done(struct tls_tickets *t);
/* Happens by itself twice a day. */
void tls_tickets_rotate(struct tls_tickets *t);
void tls_tickets_use(struct tls_tickets *t, SSL_CTX *ssl);
struct tls_tickets *tls_context_tickets(struct tls_context *c);
