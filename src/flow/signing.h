/*
 * signing: mail of our domains leaves with their signatures.
 *
 * The keys of a domain are looked up by the domain of From, loaded once on each loop and kept there for SIGNING_KEPT_MS, or until something in the
 * directory changes in this process: a delivery reads no table. A domain without active keys sends unsigned. Any loop.
 */
#pragma once

#include "identity/identity.h"
#include "trust/signer.h"

struct signing;

enum { SIGNING_KEPT_MS = 60000, SIGNING_DOMAINS_MAX = 10000 };       /* of one loop, with and without keys; about 8 KiB each */

struct signing *signing_new(struct identity *identity, struct loops *all);
void signing_free(struct signing *s);

/* Active keys of one domain, while somebody uses them. Of one loop. */
struct signing_keys {
    unsigned uses;
    char domain[256];
    size_t count;
    struct signer_key keys[SIGNER_KEYS_MAX];
};
/* NOT_FOUND: it has none. */
MAY_YIELD NODISCARD result signing_keys_open(struct signing *s, view domain, millis deadline, struct signing_keys **ret_keys, struct fault *fault);
void signing_keys_close(struct signing_keys *k);                      /* NULL is fine */

/* A message that is signed while it goes by, by the domain of its first author. */
struct message_signing;
/* NOT_FOUND: it goes unsigned. Other results: the keys cannot be looked up now. `header` is not kept. */
MAY_YIELD NODISCARD result message_signing_new(struct signing *s, view header, millis deadline, struct message_signing **ret_signing, struct fault *fault);
void message_signing_feed(struct message_signing *m, view body_piece);
/* Appends the fields that go before it. */
NODISCARD result message_signing_finish(struct message_signing *m, buf *into, struct fault *fault);
view message_signing_domain(const struct message_signing *m);
void message_signing_free(struct message_signing *m);                 /* NULL is fine */

/*
 * Appends the signatures of a whole message of our own, by the domain of its author or the nearest above it that has keys. Nothing when
 * none has, or when it cannot be done: a notice that is not signed is better than none.
 */
MAY_YIELD void signing_sign_own(struct signing *s, view message, millis deadline, buf *into);
