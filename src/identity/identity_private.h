/* identity_private: what the files of this room share. */
#pragma once

#include <stdatomic.h>

#include "base/map.h"
#include "identity/directory.h"

enum {
    IDENTITY_CACHE_ROWS_MAX = 100000,      /* of one loop; about 500 bytes each; emptied when full */
    IDENTITY_LOGINS_MAX = 20000,           /* remembered successful logins of one loop */
    IDENTITY_LOGIN_REMEMBERED_MS = 300000,
};

struct row_cache;

struct identity {
    struct engine *engine;
    struct loops *loops;
    atomic_uint_fast64_t generation;       /* raised by each change in this process: caches of older ones are empty */
    unsigned char login_key[32];           /* of the digests under which successful logins are remembered */
    struct row_cache **caches;             /* one to a loop */
};

/* A row through this loop's cache; *ret_json is in the arena. NOT_FOUND is cached too. */
MAY_YIELD NODISCARD result identity_row(struct identity *i, view table, view key, millis deadline, struct arena *arena, view *ret_json, struct fault *fault);
/* The row as the store has it. */
MAY_YIELD NODISCARD result identity_row_fresh(struct identity *i, view table, view key, millis deadline, struct arena *arena, view *ret_json, struct fault *fault);
void identity_changed(struct identity *i);
/*
 * The account that a user name leads to, and what is kept of its password: `ret_password` as it stands in its row, `ret_keys` SCRAM keys that hold for
 * it, or empty. NOT_FOUND: none, or an alias.
 */
MAY_YIELD NODISCARD result identity_find_scram(struct identity *i, view user, millis deadline, struct arena *arena, struct identity_account *ret_account,
                                               view *ret_password, view *ret_keys, struct fault *fault);
/* The end of a log-in, whatever proved it: tells of it, and whether it is one. `holds`: the proof was right. */
NODISCARD result identity_judge(const struct login *login, const struct identity_account *account, bool holds, struct fault *fault);
/* Whether SCRAM keys are kept of a tenant's passwords. False also when it cannot be asked. */
MAY_YIELD bool identity_tenant_has_scram(struct identity *i, view tenant, millis deadline, struct arena *arena);
/* Makes SCRAM keys of a password that was just found to be right and has none, if its tenant lets it. Failures do not matter: it will be seen again. */
MAY_YIELD void identity_capture_scram(struct identity *i, const struct identity_account *account, view stored, view password, struct arena *arena);

struct row_cache *row_cache_new(void);
void row_cache_free(struct row_cache *c);
/* What is known of a row: OK, NOT_FOUND, or END for "not cached". */
result row_cache_get(struct row_cache *c, uint64_t generation, view table, view key, struct arena *arena, view *ret_json);
/* `json` NULL: the row does not exist. `asked`: when the store was asked for it, and not when the answer came. */
void row_cache_put(struct row_cache *c, uint64_t generation, view table, view key, const view *json, millis asked);
bool row_cache_knows_login(struct row_cache *c, uint64_t generation, const unsigned char digest[static 32]);
void row_cache_put_login(struct row_cache *c, uint64_t generation, const unsigned char digest[static 32]);
