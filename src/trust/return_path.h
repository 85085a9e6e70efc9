/*
 * return_path: return paths of mail that we forward, and the way back (formats/srs.h).
 *
 * A forwarded message comes from us, so SPF of its next stop wants an address of ours as its sender; what comes back to that address goes to
 * the sender that it was made for. The hash proves that we made it: nobody can send through us to an address of his choice. Secrets are tried
 * one after the other, the first makes new addresses. Any loop.
 */
#pragma once

#include "base/fault.h"
#include "formats/mail_address.h"
#include "formats/srs.h"

enum { RETURN_PATH_LOCAL_BYTES_MAX = MAIL_ADDRESS_LOCAL_BYTES_TOLERATED };    /* what we take in a RCPT of what comes back */
enum { RETURN_PATH_DAYS = 30, RETURN_PATH_SECRETS_MAX = 8, RETURN_PATH_SECRET_BYTES = 32 };

struct return_path_secrets { view list[RETURN_PATH_SECRETS_MAX]; size_t count; };

/* Appends the address at `domain` that stands for `sender`, a mailbox: both with quotes where SMTP wants them.
   INVALID: the sender cannot be written so (too long, no domain, an empty local part). */
NODISCARD result return_path_wrap(const struct return_path_secrets *secrets, unix_ms now, view sender, view domain, buf *into, struct fault *fault);
/* `local_part`: without quotes. NOT_FOUND: not such an address. DENIED: not one of ours, or too old. OK: appends the mailbox that it stands for. */
NODISCARD result return_path_unwrap(const struct return_path_secrets *secrets, unix_ms now, view local_part, buf *into, struct fault *fault);
