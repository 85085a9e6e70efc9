/*
 * secrets: random bytes that all nodes of a store share, by name, one row for each in the table "secret".
 *
 * A new one is made every SECRET_FRESH_MS by whoever needs one then; it is used to make things only when every node knows it. Those of before
 * stay for what was made with them, for SECRET_KEPT_MS. They reach no log, event or fault. Any loop.
 */
#pragma once

#include "identity/identity.h"

enum { SECRET_BYTES = 32, SECRETS_MAX = 8, SECRET_KNOWN_MS = 60000 };
#define SECRET_FRESH_MS (30ll * 86400000)
#define SECRET_KEPT_MS (70ll * 86400000)

struct identity_secrets { view list[SECRETS_MAX]; size_t count; };      /* the one to make things with first; at least one */

/* One that stays as it is for ever, made by whoever needs it first: for what must look the same next year. A name is of one kind or the other. */
MAY_YIELD NODISCARD result identity_find_lasting_secret(struct identity *i, view name, millis deadline, struct arena *arena, view *ret_secret, struct fault *fault);
MAY_YIELD NODISCARD result identity_find_secrets(struct identity *i, view name, millis deadline, struct arena *arena, struct identity_secrets *ret_secrets,
                                                 struct fault *fault);
