/*
 * signer: signs a message while it goes by (RFC 6376 §5; RFC 8617 §5.1 for the message signature of ARC).
 *
 * The header is looked at when it is whole, the body is digested as it comes, and at the end the new header fields are written: they go before
 * the message, and no byte of it is read twice. From and what else readers trust is signed once more than it is there (RFC 6376 §8.15), so a
 * field that is added breaks the signature. Any loop; does not yield.
 */
#pragma once

#include "trust/signing_key.h"

struct signer;

/* INVALID: a header that cannot be signed (too many fields). `header` is not kept. */
NODISCARD result signer_new(enum dkim_kind kind, view header, struct signer **ret_signer, struct fault *fault);
void signer_free(struct signer *s);      /* NULL is fine */
void signer_feed(struct signer *s, view body_piece);

enum { SIGNER_KEYS_MAX = 4 };
struct signer_key { const struct signing_key *key; view selector; };
struct signer_order {
    view domain;
    const struct signer_key *keys;       /* one signature each */
    size_t key_count;
    int64_t now_s;
    unsigned instance;                   /* of ARC */
};
/* Appends a field for each key. After the last piece; again for another domain. */
NODISCARD result signer_finish(struct signer *s, const struct signer_order *order, buf *into, struct fault *fault);
/* A whole message in memory: appends its DKIM-Signature fields to `into`. */
NODISCARD result signer_sign_message(view message, const struct signer_order *order, buf *into, struct fault *fault);

/* A field whose text is `draft` and whose digest has taken in everything that comes before it: signs, and appends it. */
struct digest;
NODISCARD result signer_append_field(const struct dkim_draft *draft, const struct signing_key *key, const struct digest *before, buf *into, struct fault *fault);
