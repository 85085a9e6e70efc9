/*
 * complaint_token: by what a complaint is tied to the message of ours that it is about, and to its account.
 *
 * Reports hide addresses (RFC 6590) and often nothing else: so outgoing mail carries, in a field of its own and in a Message-ID that we make, the
 * ids of account and message, encrypted and authenticated in one (AES-SIV, RFC 5297: the same ids always give the same token, and it tells nobody
 * anything). Nobody can make one, so nobody can blame an account for what it has not sent. Secrets are tried one after the other, the first makes
 * new tokens. Any loop.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/id.h"

enum { COMPLAINT_SECRETS_MAX = 8, COMPLAINT_SECRET_BYTES = 32, COMPLAINT_TOKEN_CHARACTERS = 64 };
#define COMPLAINT_FIELD VIEW("X-Complaint-Id")

struct complaint_secrets { view list[COMPLAINT_SECRETS_MAX]; size_t count; };     /* COMPLAINT_SECRET_BYTES each */
struct complaint_subject { struct id account, message; };

/* Appends COMPLAINT_TOKEN_CHARACTERS of A-Z a-z 0-9 - _ . */
NODISCARD result complaint_token_append(const struct complaint_secrets *secrets, const struct complaint_subject *subject, buf *into, struct fault *fault);
/* NOT_FOUND: it is no token. DENIED: it was not made with one of these secrets. */
NODISCARD result complaint_token_read(const struct complaint_secrets *secrets, view token, struct complaint_subject *ret_subject, struct fault *fault);
/* The token of a message whose header this is: of the field, else of the Message-ID. The empty view when there is none. */
view complaint_token_find(view header, struct arena *arena);
