/*
 * identity: tenants, domains, addresses, accounts and their credentials: the directory.
 *
 * Rows are versioned JSON in the engine's tables and keep keys that the reader does not know. Lookups are cached
 * per loop for a short time (IDENTITY_CACHE_MS) and at once forgotten on a change in this process. Addresses are compared with the
 * domain in lower-case A-label form and the local part in lower case; local parts that break RFC 5321 are keys like any other.
 * Any loop. Passwords never reach a log, a fault or an event.
 */
#pragma once

#include "base/arena.h"
#include "engine/engine.h"
#include "runtime/stream.h"

struct identity;

enum {
    IDENTITY_CACHE_MS = 4000,            /* a row is used for no longer than this after the store was asked for it */
    IDENTITY_ABSENT_MS = 1000,           /* the same for one that is not there: its address may just be added by another node */
    IDENTITY_ADDRESS_BYTES_MAX = 320,
    IDENTITY_PASSWORD_BYTES_MAX = 1024,
    IDENTITY_ALIAS_TARGETS_MAX = 1000,
    IDENTITY_ALIAS_DEPTH_MAX = 10,
    /* Rows at a log-in: the name may be that of the widest alias, and an account's row may have whatever is kept there one day. */
    IDENTITY_LOGIN_ARENA_BYTES = 8 * ENGINE_VALUE_MAX_BYTES,
};

struct identity *identity_new(struct engine *e, struct loops *all);
void identity_free(struct identity *i);
/* Changes whenever something in the directory is changed in this process: for caches of what was made from it. Any thread. */
uint64_t identity_generation(const struct identity *i);

enum account_standing { STANDING_ACTIVE, STANDING_SUSPENDED };

struct identity_account {
    struct id id;
    view address;                    /* its name: the primary address */
    view tenant;
    view display_name;
    enum account_standing standing;
    view sending;                    /* how mail that it sends is judged, as an operator has set it: "good", "new", "suspicious", "bulk"; empty: by its age */
    uint64_t quota_bytes;            /* 0: none */
    uint64_t quota_messages;         /* 0: none */
    int64_t archive_after_ms;        /* how old messages become before they go to the archive; 0: they never do; IDENTITY_ARCHIVE_AS_TENANT */
    unix_ms created;
};
enum { IDENTITY_ARCHIVE_AS_TENANT = -1 };

/* What an address leads to. */
struct identity_address {
    enum { ADDRESS_ACCOUNT, ADDRESS_ALIAS } kind;
    struct id account;               /* ADDRESS_ACCOUNT */
    view *targets;                   /* ADDRESS_ALIAS: addresses, here or elsewhere */
    size_t target_count;
    bool is_catch_all;               /* reached by the domain's catch-all */
};

/* NOT_FOUND: the domain is ours, the address does not exist. DENIED: the domain is not ours. INVALID: not an address. Follows the catch-all. */
MAY_YIELD NODISCARD result identity_find_address(struct identity *i, view address, millis deadline, struct arena *arena,
                                                 struct identity_address *ret_address, struct fault *fault);
MAY_YIELD NODISCARD result identity_find_account(struct identity *i, struct id account, millis deadline, struct arena *arena,
                                                 struct identity_account *ret_account, struct fault *fault);
MAY_YIELD NODISCARD result identity_find_account_by_address(struct identity *i, view address, millis deadline, struct arena *arena,
                                                            struct identity_account *ret_account, struct fault *fault);

/* The age limit of an account: its own, or its tenant's; 0: none. 0 also of accounts that are not in the directory. */
MAY_YIELD NODISCARD result identity_archive_after(struct identity *i, struct id account, millis deadline, int64_t *ret_after_ms, struct fault *fault);

struct login {
    view user, password;
    view authorization;              /* SASL authzid; empty or the same as user */
    const char *protocol;            /* "imap", "pop3": static */
    const struct address *peer;
    bool is_encrypted;
};
/*
 * Checks a password: DENIED for wrong password and unknown user alike, after the same work. A suspended account is DENIED with
 * a client text only when the password was right. Hashing runs on a worker; successful ones are remembered for a short time under a keyed digest,
 * so that clients that log in every second do not cost a hash each. The arena has room for IDENTITY_LOGIN_ARENA_BYTES at least.
 */
MAY_YIELD NODISCARD result identity_authenticate(struct identity *i, const struct login *login, millis deadline, struct arena *arena,
                                                 struct identity_account *ret_account, struct fault *fault);
