/*
 * dkim_keys: the keys that a domain signs its mail with (RFC 6376), one row for each domain in the table "dkim".
 *
 * A key is NEXT from when it is made until it is known to be published; then it is ACTIVE and signs, and the ones before it are OLD: they sign
 * no more, their private halves are gone, and their records stay in DNS until mail that they signed has arrived or expired. Private keys are
 * handed to who signs and to nobody else. Any loop.
 */
#pragma once

#include "identity/identity.h"

enum { DKIM_KEYS_MAX = 32, DKIM_SELECTOR_BYTES_MAX = 63 };

enum dkim_key_state { DKIM_KEY_NEXT, DKIM_KEY_ACTIVE, DKIM_KEY_OLD };
const char *dkim_key_state_name(enum dkim_key_state state);          /* "next", "active", "old"; static */

struct identity_dkim_key {
    view selector;
    bool is_ed25519;                     /* else RSA */
    enum dkim_key_state state;
    view public_bytes;                   /* what p= has, before base64 */
    view private_bytes;                  /* PKCS #8; empty when OLD */
    unix_ms created, changed;            /* changed: when it became what it is */
};
struct identity_dkim { view domain; struct identity_dkim_key *keys; size_t count; };

/* By the caches, for signing. NOT_FOUND: the domain has no keys, or is no domain's name. All in the arena. */
MAY_YIELD NODISCARD result identity_find_dkim(struct identity *i, view domain, millis deadline, struct arena *arena, struct identity_dkim *ret_dkim,
                                              struct fault *fault);

/* Past the caches. NOT_FOUND: the domain is not served here; without keys, it is OK and count 0. */
MAY_YIELD NODISCARD result directory_find_dkim(struct identity *i, view domain, millis deadline, struct arena *arena, struct identity_dkim *ret_dkim,
                                               struct fault *fault);
/* Adds keys that are NEXT; their state and times are set here. EXISTS: there are such already. */
MAY_YIELD NODISCARD result directory_add_dkim(struct identity *i, view domain, const struct identity_dkim_key *keys, size_t count, millis deadline,
                                              struct fault *fault);
/* NEXT becomes ACTIVE, ACTIVE becomes OLD, and OLD ones of before `forgotten` go. NOT_FOUND: there is nothing next. */
MAY_YIELD NODISCARD result directory_rotate_dkim(struct identity *i, view domain, unix_ms forgotten, millis deadline, struct fault *fault);
/* A key, or (empty selector) all of them. NOT_FOUND: no such key. */
MAY_YIELD NODISCARD result directory_remove_dkim(struct identity *i, view domain, view selector, millis deadline, struct fault *fault);
