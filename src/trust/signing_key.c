#include "trust/signing_key.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "base/check.h"

enum { DIGEST_BYTES = 32, ED25519_BYTES = 32, SIGNATURE_BYTES_MAX = SIGNING_KEY_RSA_BITS_MAX / 8 };

struct signing_key {
    enum dkim_algorithm algorithm;
    EVP_PKEY *pair;
};

static void pair_freep(EVP_PKEY **pair) { EVP_PKEY_free(*pair); }
static void use_freep(EVP_PKEY_CTX **use) { EVP_PKEY_CTX_free(*use); }
static void digest_freep(EVP_MD_CTX **digest) { EVP_MD_CTX_free(*digest); }

/* ---- making ---- */

static bool append_private(EVP_PKEY *pair, buf *into)
{
    unsigned char *der = NULL;
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pair);
    int len = info ? i2d_PKCS8_PRIV_KEY_INFO(info, &der) : -1;
    if (len > 0) buf_append(into, view_make(der, (size_t)len));
    if (der) OPENSSL_clear_free(der, len > 0 ? (size_t)len : 0);
    PKCS8_PRIV_KEY_INFO_free(info);
    return len > 0;
}

/* RFC 6376 §3.6.1: SubjectPublicKeyInfo for RSA; RFC 8463 §4: the 32 bytes themselves. */
static bool append_public(EVP_PKEY *pair, enum dkim_algorithm algorithm, buf *into)
{
    unsigned char raw[ED25519_BYTES], *der = NULL;
    size_t raw_len = sizeof raw;
    if (algorithm == DKIM_ED25519_SHA256) {
        if (EVP_PKEY_get_raw_public_key(pair, raw, &raw_len) != 1) return false;
        buf_append(into, view_make(raw, raw_len));
        return true;
    }
    int len = i2d_PUBKEY(pair, &der);
    if (len > 0) buf_append(into, view_make(der, (size_t)len));
    OPENSSL_free(der);
    return len > 0;
}

result signing_key_make(enum dkim_algorithm algorithm, buf *ret_private, buf *ret_public, struct fault *fault)
{
    EVP_PKEY *pair CLEANUP(pair_freep) = algorithm == DKIM_ED25519_SHA256 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                                                                           : EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)SIGNING_KEY_RSA_BITS);
    ERR_clear_error();
    if (!pair || !append_private(pair, ret_private) || !append_public(pair, algorithm, ret_public)) return fail(fault, IO, "a key could not be made");
    return OK;
}

/* ---- signing ---- */

result signing_key_load(enum dkim_algorithm algorithm, view private_bytes, struct signing_key **ret_key, struct fault *fault)
{
    const unsigned char *at = (const unsigned char *)private_bytes.at;
    if (private_bytes.len == 0 || private_bytes.len > SIGNING_KEY_PRIVATE_BYTES_MAX) return fail(fault, INVALID, "a private key of %zu bytes", private_bytes.len);
    EVP_PKEY *pair = d2i_AutoPrivateKey(NULL, &at, (long)private_bytes.len);
    ERR_clear_error();
    int wanted = algorithm == DKIM_ED25519_SHA256 ? EVP_PKEY_ED25519 : EVP_PKEY_RSA;
    if (!pair || EVP_PKEY_get_base_id(pair) != wanted) {
        EVP_PKEY_free(pair);
        return fail(fault, INVALID, "a private key that is none of its kind");
    }
    struct signing_key *k = calloc(1, sizeof *k);
    check(k);
    *k = (struct signing_key){algorithm, pair};
    *ret_key = k;
    return OK;
}

void signing_key_free(struct signing_key *k)
{
    if (!k) return;
    EVP_PKEY_free(k->pair);
    free(k);
}

enum dkim_algorithm signing_key_algorithm(const struct signing_key *k) { return k->algorithm; }

static bool sign_rsa(EVP_PKEY *pair, const unsigned char *digest, unsigned char *signature, size_t *len)
{
    EVP_PKEY_CTX *use CLEANUP(use_freep) = EVP_PKEY_CTX_new(pair, NULL);
    return use && EVP_PKEY_sign_init(use) == 1 && EVP_PKEY_CTX_set_rsa_padding(use, RSA_PKCS1_PADDING) == 1 &&
           EVP_PKEY_CTX_set_signature_md(use, EVP_sha256()) == 1 && EVP_PKEY_sign(use, signature, len, digest, DIGEST_BYTES) == 1;
}

/* RFC 8463 §3: the SHA-256 digest is what PureEdDSA signs. */
static bool sign_ed25519(EVP_PKEY *pair, const unsigned char *digest, unsigned char *signature, size_t *len)
{
    EVP_MD_CTX *use CLEANUP(digest_freep) = EVP_MD_CTX_new();
    return use && EVP_DigestSignInit(use, NULL, NULL, NULL, pair) == 1 && EVP_DigestSign(use, signature, len, digest, DIGEST_BYTES) == 1;
}

result signing_key_sign(const struct signing_key *k, const unsigned char digest[static 32], buf *signature, struct fault *fault)
{
    unsigned char bytes[SIGNATURE_BYTES_MAX];
    size_t len = sizeof bytes;
    bool signed_it = k->algorithm == DKIM_ED25519_SHA256 ? sign_ed25519(k->pair, digest, bytes, &len) : sign_rsa(k->pair, digest, bytes, &len);
    ERR_clear_error();
    if (!signed_it) return fail(fault, IO, "a message could not be signed");
    buf_append(signature, view_make(bytes, len));
    return OK;
}

/* ---- checking ---- */

/* RFC 6376 has RSAPublicKey in its text and SubjectPublicKeyInfo in its examples: both are published. */
static EVP_PKEY *load_public(const struct dkim_key *key)
{
    const unsigned char *at = (const unsigned char *)key->key.at;
    if (key->type == DKIM_KEY_ED25519)
        return key->key.len == ED25519_BYTES ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, at, key->key.len) : NULL;
    EVP_PKEY *pair = d2i_PUBKEY(NULL, &at, (long)key->key.len);
    if (pair) return pair;
    at = (const unsigned char *)key->key.at;
    return d2i_PublicKey(EVP_PKEY_RSA, NULL, &at, (long)key->key.len);
}

static bool check_rsa(EVP_PKEY *pair, const unsigned char *digest, view signature)
{
    EVP_PKEY_CTX *use CLEANUP(use_freep) = EVP_PKEY_CTX_new(pair, NULL);
    return use && EVP_PKEY_verify_init(use) == 1 && EVP_PKEY_CTX_set_rsa_padding(use, RSA_PKCS1_PADDING) == 1 &&
           EVP_PKEY_CTX_set_signature_md(use, EVP_sha256()) == 1 &&
           EVP_PKEY_verify(use, (const unsigned char *)signature.at, signature.len, digest, DIGEST_BYTES) == 1;
}

static bool check_ed25519(EVP_PKEY *pair, const unsigned char *digest, view signature)
{
    EVP_MD_CTX *use CLEANUP(digest_freep) = EVP_MD_CTX_new();
    return use && EVP_DigestVerifyInit(use, NULL, NULL, NULL, pair) == 1 &&
           EVP_DigestVerify(use, (const unsigned char *)signature.at, signature.len, digest, DIGEST_BYTES) == 1;
}

result signing_key_check(const struct dkim_key *key, enum dkim_algorithm algorithm, const unsigned char digest[static 32], view signature,
                         unsigned *ret_bits, struct fault *fault)
{
    if (key->key.len == 0) return fail(fault, INVALID, "key revoked");
    if ((key->type == DKIM_KEY_ED25519) != (algorithm == DKIM_ED25519_SHA256)) return fail(fault, INVALID, "key is of another kind");
    EVP_PKEY *pair CLEANUP(pair_freep) = load_public(key);
    int wanted = key->type == DKIM_KEY_ED25519 ? EVP_PKEY_ED25519 : EVP_PKEY_RSA;
    ERR_clear_error();
    if (!pair || EVP_PKEY_get_base_id(pair) != wanted) return fail(fault, INVALID, "key is broken");
    int bits = EVP_PKEY_get_bits(pair);
    if (wanted == EVP_PKEY_RSA && (bits < SIGNING_KEY_RSA_BITS_MIN || bits > SIGNING_KEY_RSA_BITS_MAX)) return fail(fault, INVALID, "key has %d bits", bits);
    if (ret_bits) *ret_bits = (unsigned)bits;
    bool holds = wanted == EVP_PKEY_RSA ? check_rsa(pair, digest, signature) : check_ed25519(pair, digest, signature);
    ERR_clear_error();
    return holds ? OK : fail(fault, DENIED, "signature does not match");
}
