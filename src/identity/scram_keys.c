#include "identity/scram_keys.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <stringprep.h>

#include "base/check.h"
#include "base/utf8.h"
#include "formats/transfer.h"
#include "identity/identity.h"
#include "runtime/random.h"

/* ---- making ---- */

static void sign(const unsigned char *key, view text, unsigned char signature[static SCRAM_KEY_BYTES])
{
    unsigned length = SCRAM_KEY_BYTES;
    check(HMAC(EVP_sha256(), key, SCRAM_KEY_BYTES, (const unsigned char *)text.at, text.len, signature, &length) != NULL);
}

/* RFC 4013, code points that Unicode 3.2 does not know let through, as RFC 3454 §7 has it for what is typed in. The caller frees. */
BLOCKS static result prepare(view password, char **ret_prepared, struct fault *fault)
{
    char clear[IDENTITY_PASSWORD_BYTES_MAX + 1];
    if (password.len > IDENTITY_PASSWORD_BYTES_MAX || !utf8_is_valid(password) || view_has_byte(password, '\0')) return fail(fault, INVALID, "a password that is no text");
    memcpy(clear, password.at, password.len);
    clear[password.len] = '\0';
    int code = stringprep_profile(clear, ret_prepared, "SASLprep", 0);
    OPENSSL_cleanse(clear, sizeof clear);
    if (code != STRINGPREP_OK) return fail(fault, INVALID, "a password that SASLprep forbids");
    return OK;
}

result scram_keys_derive(view password, struct scram_keys *keys, struct fault *fault)
{
    unsigned char salted[SCRAM_KEY_BYTES], client[SCRAM_KEY_BYTES];
    char *prepared = NULL;
    result r = prepare(password, &prepared, fault);
    if (r != OK) return r;
    size_t len = strlen(prepared);
    int done = len == 0 ? 0 : PKCS5_PBKDF2_HMAC(prepared, (int)len, keys->salt, (int)keys->salt_len, (int)keys->iterations, EVP_sha256(), sizeof salted, salted);
    OPENSSL_cleanse(prepared, len);
    free(prepared);
    if (done != 1) return fail(fault, INVALID, "a password of which SASLprep leaves nothing");
    sign(salted, VIEW("Client Key"), client);
    SHA256(client, sizeof client, keys->stored);
    sign(salted, VIEW("Server Key"), keys->server);
    OPENSSL_cleanse(salted, sizeof salted);
    OPENSSL_cleanse(client, sizeof client);
    return OK;
}

result scram_keys_make(view password, struct scram_keys *ret_keys, struct fault *fault)
{
    struct scram_keys keys = {.iterations = SCRAM_ITERATIONS, .salt_len = SCRAM_SALT_BYTES};
    random_bytes(keys.salt, keys.salt_len);
    result r = scram_keys_derive(password, &keys, fault);
    if (r == OK) *ret_keys = keys;
    return r;
}

result scram_keys_match(const struct scram_keys *keys, view password)
{
    struct scram_keys made = *keys;
    if (scram_keys_derive(password, &made, NULL) != OK) return DENIED;
    return CRYPTO_memcmp(made.stored, keys->stored, SCRAM_KEY_BYTES) == 0 ? OK : DENIED;
}

/* ---- as text ---- */

/* What stands before one of two separators, or to the end for '\0'. */
static bool take_part(view *rest, char one, char other, view *ret_part)
{
    size_t end = 0;
    while (end < rest->len && rest->at[end] != one && rest->at[end] != other) end++;
    if (one != '\0' && end == rest->len) return false;
    *ret_part = view_slice(*rest, 0, end);
    *rest = view_from(*rest, end + 1);
    return true;
}

static bool decode(view text, size_t least, size_t most, unsigned char *into, size_t *ret_len)
{
    buf bytes CLEANUP(buf_done) = BUF_INIT;
    if (!base64_decode(text, &bytes) || bytes.len < least || bytes.len > most) return false;
    memcpy(into, bytes.at, bytes.len);
    *ret_len = bytes.len;
    return true;
}

bool scram_keys_parse(view text, struct scram_keys *ret_keys)
{
    struct scram_keys keys = {0};
    view iterations, salt, stored, server;
    size_t len;
    if (!view_starts_nocase(text, SCRAM_SCHEME)) return false;
    text = view_from(text, SCRAM_SCHEME.len);
    if (!take_part(&text, ':', ',', &iterations) || !take_part(&text, '$', ',', &salt) || !take_part(&text, ':', ',', &stored)) return false;
    if (!take_part(&text, '\0', '\0', &server)) return false;
    if (!view_to_u32(iterations, &keys.iterations) || keys.iterations < SCRAM_ITERATIONS_MIN || keys.iterations > SCRAM_ITERATIONS_MAX) return false;
    if (!decode(salt, 1, SCRAM_SALT_BYTES_MAX, keys.salt, &keys.salt_len)) return false;
    if (!decode(stored, SCRAM_KEY_BYTES, SCRAM_KEY_BYTES, keys.stored, &len) || !decode(server, SCRAM_KEY_BYTES, SCRAM_KEY_BYTES, keys.server, &len)) return false;
    *ret_keys = keys;
    return true;
}

void scram_keys_append(buf *into, const struct scram_keys *keys)
{
    buf_append(into, SCRAM_SCHEME);
    buf_append_u64(into, keys->iterations);
    buf_append_byte(into, ':');
    base64_append(into, view_make(keys->salt, keys->salt_len));
    buf_append_byte(into, '$');
    base64_append(into, view_make(keys->stored, SCRAM_KEY_BYTES));
    buf_append_byte(into, ':');
    base64_append(into, view_make(keys->server, SCRAM_KEY_BYTES));
}

/* ---- proofs ---- */

bool scram_keys_prove(const struct scram_keys *keys, view auth_message, const unsigned char proof[static SCRAM_PROOF_BYTES], unsigned char ret_signature[static SCRAM_KEY_BYTES])
{
    unsigned char client[SCRAM_KEY_BYTES], digest[SCRAM_KEY_BYTES];
    sign(keys->stored, auth_message, client);
    for (size_t i = 0; i < SCRAM_KEY_BYTES; i++) client[i] ^= proof[i];
    SHA256(client, sizeof client, digest);
    OPENSSL_cleanse(client, sizeof client);
    sign(keys->server, auth_message, ret_signature);
    return CRYPTO_memcmp(digest, keys->stored, SCRAM_KEY_BYTES) == 0;
}
