/*
 * Session tickets (RFC 5077, RFC 8446 §4.6.1) under keys that change: OpenSSL alone would keep one for the life of the process, and whoever
 * got hold of it could read all that was said before. They belong to the context and outlive its reloads.
 */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/check.h"
#include "runtime/clock.h"
#include "runtime/random.h"
#include "runtime/uv/tls_private.h"

enum { ROTATE_MS = 12 * 3600 * 1000 };   /* so a ticket is good for 12 to 24 hours */

static void key_make(struct tls_ticket_key *k)
{
    random_bytes(k->name, sizeof k->name);
    random_bytes(k->cipher, sizeof k->cipher);
    random_bytes(k->mac, sizeof k->mac);
    k->made = clock_now();
}

void tls_tickets_init(struct tls_tickets *t)
{
    pthread_mutex_init(&t->lock, NULL);
    key_make(&t->keys[0]);
    key_make(&t->keys[1]);
}

void tls_tickets_done(struct tls_tickets *t)
{
    pthread_mutex_destroy(&t->lock);
    OPENSSL_cleanse(t->keys, sizeof t->keys);
}

void tls_tickets_rotate(struct tls_tickets *t)
{
    pthread_mutex_lock(&t->lock);
    t->keys[1] = t->keys[0];
    key_make(&t->keys[0]);
    pthread_mutex_unlock(&t->lock);
}

/* The key to seal with (`name` NULL), or to open with: its age in keys, 0 or 1; -1: unknown. A copy, because others may rotate. */
static int key_take(struct tls_tickets *t, const unsigned char *name, struct tls_ticket_key *ret_key)
{
    int age = -1;
    pthread_mutex_lock(&t->lock);
    bool is_old = clock_now().ms - t->keys[0].made.ms > ROTATE_MS;
    pthread_mutex_unlock(&t->lock);
    if (is_old) tls_tickets_rotate(t);
    pthread_mutex_lock(&t->lock);
    for (int i = 0; i < 2 && age < 0; i++)
        if (!name || memcmp(name, t->keys[i].name, sizeof t->keys[i].name) == 0) age = i;
    if (age >= 0) *ret_key = t->keys[age];
    pthread_mutex_unlock(&t->lock);
    return age;
}

static bool key_use(const struct tls_ticket_key *k, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seals)
{
    char digest[] = "SHA256";
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)k->mac, sizeof k->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, parameters) == 1 &&
           EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, k->cipher, iv, seals) == 1;
}

/* OpenSSL's callback: 1 good, 2 good but send a new ticket, 0 no such key, -1 broken. */
static int ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seals)
{
    struct tls_tickets *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    struct tls_ticket_key k;
    int age = key_take(t, seals ? NULL : name, &k);
    if (age < 0) return 0;
    if (seals) {
        memcpy(name, k.name, sizeof k.name);
        random_bytes(iv, EVP_MAX_IV_LENGTH);
    }
    bool good = key_use(&k, iv, cipher, mac, seals);
    OPENSSL_cleanse(&k, sizeof k);
    if (!good) return -1;
    /* RFC 8446 §C.4: a ticket is for one use. */
    bool renews = !seals && (age > 0 || SSL_version(ssl) >= TLS1_3_VERSION);
    return renews ? 2 : 1;
}

void tls_tickets_use(struct tls_tickets *t, SSL_CTX *ssl)
{
    SSL_CTX_set_app_data(ssl, t);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, ticket_key);
}
