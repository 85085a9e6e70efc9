/*
 * scram_keys: what is kept of a password for SCRAM-SHA-256 (RFC 5802 §3, RFC 7677), and the proofs made with it.
 *
 * Text: "{SCRAM-SHA-256}iterations:salt$StoredKey:ServerKey" in base64, as RFC 5803 §2 has it behind its scheme; commas in the place of : and $,
 * as Dovecot writes it, are read as well. Who reads such keys can try passwords against them, and pretend to be this server, but not log in.
 *
 * Passwords are prepared by SASLprep (RFC 4013), as clients prepare them; one that SASLprep forbids has no keys. Making keys takes as long as hashing:
 * it runs on workers. Checking a proof is two digests.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/fault.h"
#include "formats/scram.h"
#include "runtime/colour.h"

enum {
    /*
     * Sixteen times the least that RFC 7677 §4 allows. It is the client that pays at each log-in, and phones are clients: more would be felt. The
     * keys are thus easier to attack than the argon2id hash beside them; a tenant may do without (tayori tenant set --scram off).
     */
    SCRAM_ITERATIONS = 65536,
    SCRAM_ITERATIONS_MIN = 4096,
    SCRAM_ITERATIONS_MAX = 10000000,     /* of imported keys: a password against them is checked in seconds */
    SCRAM_SALT_BYTES = 16,
    SCRAM_SALT_BYTES_MAX = 64,
    SCRAM_KEY_BYTES = 32,
};
#define SCRAM_SCHEME VIEW("{SCRAM-SHA-256}")

struct scram_keys {
    uint32_t iterations;
    size_t salt_len;
    unsigned char salt[SCRAM_SALT_BYTES_MAX], stored[SCRAM_KEY_BYTES], server[SCRAM_KEY_BYTES];
};

/* From iterations and salt as they stand in *keys. INVALID: SASLprep forbids the password. */
BLOCKS NODISCARD result scram_keys_derive(view password, struct scram_keys *keys, struct fault *fault);
/* With a new salt. */
BLOCKS NODISCARD result scram_keys_make(view password, struct scram_keys *ret_keys, struct fault *fault);
bool scram_keys_parse(view text, struct scram_keys *ret_keys);
void scram_keys_append(buf *into, const struct scram_keys *keys);
/* OK, or DENIED. */
BLOCKS NODISCARD result scram_keys_match(const struct scram_keys *keys, view password);

/* Over AuthMessage (§3): whether the client has the password, and our proof that we know its keys. In constant time. */
bool scram_keys_prove(const struct scram_keys *keys, view auth_message, const unsigned char proof[static SCRAM_PROOF_BYTES], unsigned char ret_signature[static SCRAM_KEY_BYTES]);
