/*
 * credential: stored passwords and checking against them.
 *
 * A stored credential is "{SCHEME}value": PLAIN, CRYPT (whatever crypt(3) knows), ARGON2ID (RFC 9106 encoded
 * string) or SCRAM-SHA-256 (scram_keys.h). New passwords are hashed with argon2id at the parameters below. Hashing costs tens of
 * milliseconds and CREDENTIAL_MEMORY_KIB of memory: it runs on workers.
 */
#pragma once

#include "base/arena.h"
#include "base/fault.h"
#include "runtime/colour.h"

enum {
    /* RFC 9106 §4 leaves parameters to the application; these are OWASP's for argon2id at 19 MiB. */
    CREDENTIAL_MEMORY_KIB = 19 * 1024,
    CREDENTIAL_PASSES = 2,
    CREDENTIAL_STORED_BYTES_MAX = 1024,
};

/* "{SCHEME}..." with a scheme that credential_matches() knows. */
bool credential_has_scheme(view text);
/* Hashes a password. IO when there is no memory for it. */
BLOCKS NODISCARD result credential_make(view password, struct arena *arena, view *ret_stored, struct fault *fault);
/* OK, DENIED, or INVALID for a stored text of an unknown scheme. Takes the same time for a right and a wrong password of one scheme. */
BLOCKS NODISCARD result credential_matches(view stored, view password);
/* The work of a check without a credential: so that an unknown user costs what a known one costs. */
BLOCKS void credential_waste_time(view password);
