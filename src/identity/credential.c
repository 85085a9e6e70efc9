#include "identity/credential.h"

#include <argon2.h>
#include <crypt.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "identity/identity.h"
#include "identity/scram_keys.h"
#include "runtime/random.h"

enum { SALT_BYTES = 16, HASH_BYTES = 32, LANES = 1 };

static const view scheme_plain = VIEW_INIT("{PLAIN}");
static const view scheme_crypt = VIEW_INIT("{CRYPT}");
static const view scheme_argon2id = VIEW_INIT("{ARGON2ID}");

bool credential_has_scheme(view text)
{
    return view_starts_nocase(text, scheme_plain) || view_starts_nocase(text, scheme_crypt) ||
           view_starts_nocase(text, scheme_argon2id) || view_starts_nocase(text, SCRAM_SCHEME);
}

result credential_make(view password, struct arena *arena, view *ret_stored, struct fault *fault)
{
    unsigned char salt[SALT_BYTES];
    char encoded[256];
    if (password.len > IDENTITY_PASSWORD_BYTES_MAX) return fail(fault, TOO_BIG, "password over %d bytes", IDENTITY_PASSWORD_BYTES_MAX);
    random_bytes(salt, sizeof salt);
    int code = argon2id_hash_encoded(CREDENTIAL_PASSES, CREDENTIAL_MEMORY_KIB, LANES, password.at, password.len, salt, sizeof salt,
                                     HASH_BYTES, encoded, sizeof encoded);
    if (code != ARGON2_OK) return fail(fault, IO, "argon2id: %s", argon2_error_message(code));
    *ret_stored = arena_printf(arena, "{ARGON2ID}%s", encoded);
    return OK;
}

static bool equal_in_constant_time(view a, view b)
{
    return a.len == b.len && CRYPTO_memcmp(a.at, b.at, a.len) == 0;
}

static result crypt_matches(view hash, view password)
{
    char stored[CREDENTIAL_STORED_BYTES_MAX + 1] = {0}, clear[IDENTITY_PASSWORD_BYTES_MAX + 1] = {0};
    struct crypt_data *data = calloc(1, sizeof *data);     /* 32 KiB: too large for a stack */
    check(data != NULL);
    memcpy(stored, hash.at, hash.len);
    memcpy(clear, password.at, password.len);
    const char *made = memchr(clear, 0, password.len) ? NULL : crypt_rn(clear, stored, data, sizeof *data);
    result r = made && equal_in_constant_time(view_of(made), hash) ? OK : DENIED;
    OPENSSL_cleanse(clear, sizeof clear);
    OPENSSL_cleanse(data, sizeof *data);
    free(data);
    return r;
}

result credential_matches(view stored, view password)
{
    if (password.len > IDENTITY_PASSWORD_BYTES_MAX || stored.len > CREDENTIAL_STORED_BYTES_MAX) return DENIED;
    if (view_starts_nocase(stored, scheme_plain))
        return equal_in_constant_time(view_from(stored, scheme_plain.len), password) ? OK : DENIED;
    if (view_starts_nocase(stored, scheme_crypt)) return crypt_matches(view_from(stored, scheme_crypt.len), password);
    if (view_starts_nocase(stored, scheme_argon2id)) {
        char encoded[CREDENTIAL_STORED_BYTES_MAX + 1] = {0};
        view hash = view_from(stored, scheme_argon2id.len);
        memcpy(encoded, hash.at, hash.len);
        return argon2id_verify(encoded, password.at, password.len) == ARGON2_OK ? OK : DENIED;
    }
    struct scram_keys keys;
    if (scram_keys_parse(stored, &keys)) return scram_keys_match(&keys, password);
    return INVALID;
}

void credential_waste_time(view password)
{
    unsigned char hash[HASH_BYTES];
    static const unsigned char salt[SALT_BYTES];
    if (password.len > IDENTITY_PASSWORD_BYTES_MAX) password.len = 0;
    argon2id_hash_raw(CREDENTIAL_PASSES, CREDENTIAL_MEMORY_KIB, LANES, password.at, password.len, salt, sizeof salt, hash, sizeof hash);
}
