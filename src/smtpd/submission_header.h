/*
 * submission_header: what a submission server does to a message's header (RFC 6409 §8), and what it reads there.
 *
 * Bcc goes (RFC 5322 §3.6.3), Date and Message-ID come when they are missing. Everything else stays byte for byte. Pure.
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
};
/* `header`: whole fields, with the empty line that ends it, or without when the message has no body. */
void submission_header_complete(view header, const struct submission_facts *facts, buf *into);
enum { SUBMISSION_AUTHORS_MAX = 20 };     /* mailboxes of From and Sender that are looked up: more are refused */
/* The mailboxes of From and Sender, in the arena. False: more than SUBMISSION_AUTHORS_MAX. */
bool submission_header_authors(view header, struct arena *arena, view *ret_authors, size_t *ret_count);
