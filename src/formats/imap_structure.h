/*
 * imap_structure: ENVELOPE, BODY and BODYSTRUCTURE (RFC 9051 §7.5.2) from what mime.h and envelope.h read.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

struct message_envelope;
struct mime_part;

/* Sender and Reply-To default to From. A mailbox without a domain has "" for it, because NIL would make it a group. */
void imap_write_envelope(buf *out, const struct message_envelope *envelope, bool is_utf8);

/*
 * `message` is the whole message that `part` was parsed from: the envelopes of embedded messages are read from it. `is_extended`: BODYSTRUCTURE,
 * with extension data; else BODY. The arena is for embedded envelopes.
 */
void imap_write_structure(buf *out, const struct mime_part *part, view message, bool is_extended, bool is_utf8, struct arena *arena);
