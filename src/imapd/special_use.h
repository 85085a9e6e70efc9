/* special_use: what mailboxes are for (RFC 6154), and that as an annotation (§4). */
#pragma once

#include "imapd/session.h"

#define SPECIAL_USE_ENTRY VIEW("/private/specialuse")

/* \All, \Flagged and \Important are views over other mailboxes: no mailbox is made for them. */
static inline bool special_use_is_possible(unsigned use)
{
    return !(use & ~(unsigned)(IMAP_USE_ARCHIVE | IMAP_USE_DRAFTS | IMAP_USE_JUNK | IMAP_USE_SENT | IMAP_USE_TRASH));
}

/* As LIST tells them; empty: none. In the arena. */
view special_use_text(struct session *s, uint32_t mailbox);
/* From such a text; an empty one takes them away. A use that is not known, or of which there can be no mailbox, is NO [USEATTR]. */
MAY_YIELD void special_use_set(struct session *s, uint32_t mailbox, view text, struct reply *r);
