/*
 * signing_key: the keys of DKIM and ARC: making, loading, signing, checking (RFC 6376 §3.3, RFC 8463, RFC 8301).
 *
 * RSA with 2,048 bits and Ed25519. What is signed is always a SHA-256 digest. A loaded key is used on one loop. Private keys are in no fault.
 * Signing takes 0.24 ms (RSA) or 0.04 ms, checking 0.02 or 0.1 ms: on the loop, like a TLS handshake.
 */
#pragma once

#include "formats/dkim.h"
#include "runtime/colour.h"

struct signing_key;

enum {
    SIGNING_KEY_RSA_BITS = 2048,
    SIGNING_KEY_RSA_BITS_MIN = 1024,     /* RFC 8301 §3.2: smaller ones must not be taken for valid */
    SIGNING_KEY_RSA_BITS_MAX = 8192,     /* checking one takes 0.3 ms: larger ones are somebody's joke */
    SIGNING_KEY_PRIVATE_BYTES_MAX = 8192,
};

/* A new pair: *ret_private is PKCS #8 in DER, *ret_public what p= of the record has. RSA takes a second now and then. */
BLOCKS NODISCARD result signing_key_make(enum dkim_algorithm algorithm, buf *ret_private, buf *ret_public, struct fault *fault);
/* INVALID: not a key of that kind. */
NODISCARD result signing_key_load(enum dkim_algorithm algorithm, view private_bytes, struct signing_key **ret_key, struct fault *fault);
void signing_key_free(struct signing_key *k);            /* NULL is fine */
enum dkim_algorithm signing_key_algorithm(const struct signing_key *k);
/* Appends the signature. */
NODISCARD result signing_key_sign(const struct signing_key *k, const unsigned char digest[static 32], buf *signature, struct fault *fault);

/* OK; DENIED: it is not this key's signature; INVALID: the key cannot be used. *ret_bits (may be NULL) is the key's size when it can. */
NODISCARD result signing_key_check(const struct dkim_key *key, enum dkim_algorithm algorithm, const unsigned char digest[static 32], view signature,
                                   unsigned *ret_bits, struct fault *fault);
