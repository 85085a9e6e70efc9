/*
 * submission_header: what a submission server does to a message's header (RFC 6409 §8), and what it reads there.
 *
 * A CR alone ends a line, as it does for many readers and at the sending end (flow/smtp_client.h). Bcc and Resent-Bcc go (RFC 5322 §3.6.3, §3.6.6),
 * Date and Message-ID come when they are missing; the id that complaints are known by (trust/complaint_token.h) comes, and one that is there already
 * goes: it is somebody else's. Everything else stays byte for byte. Pure.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/id.h"
#include "base/time.h"

struct submission_facts {
    unix_ms now;
    struct id message;
    view server_name;
    view token;                          /* by which a complaint is known; empty: none */
};
/* Every CR without LF in the header of a message becomes CRLF. The header may then end sooner than it did. */
void submission_header_mend(buf *message);
/* `header`: whole fields, with the empty line that ends it, or without when the message has no body. */
void submission_header_complete(view header, const struct submission_facts *facts, buf *into);
enum {
    SUBMISSION_AUTHORS_MAX = 20,              /* mailboxes of From and Sender that are looked up: more are refused */
    SUBMISSION_AUTHORS_BYTES_MAX = 32 << 10,  /* of those fields: what is longer than addresses and names could not be looked at to its end */
    SUBMISSION_AUTHORS_ARENA_BYTES = 4 << 20, /* what is made of them in the arena, with room to spare */
};
/* The mailboxes of From and Sender, in the arena. False: there are more of them, or more beside them, than the limits, or two in
   angle brackets with no comma between them. */
bool submission_header_authors(view header, struct arena *arena, view *ret_authors, size_t *ret_count);
