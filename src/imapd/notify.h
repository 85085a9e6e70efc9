/* notify: what a session with NOTIFY SET remembers (RFC 5465). */
#pragma once

#include "imapd/session.h"

/* What the client knows of a mailbox. */
struct known_mailbox {
    uint32_t number, exists, uid_next, unseen;
    uint64_t modseq;
    bool is_subscribed;
    buf name;
};

struct notify {
    buf text;                                /* the command */
    unsigned selected_events;                /* enum imap_event, of the selected mailbox */
    bool is_delayed, has_fetch;              /* SELECTED-DELAYED; MessageNew came with FETCH items */
    struct imap_set_builder own;             /* UIDs that came by the session's own doing, and of which it was not told yet */
    struct known_mailbox *known;             /* in order of number */
    size_t count;
};

/* NULL: it was not there. */
const struct known_mailbox *notify_find_known(const struct notify *n, uint32_t number);
/* Mailboxes that were made, renamed, deleted or subscribed to since they were remembered, by LIST (§5.4, §5.5). */
void notify_tell_names(struct session *s, const struct imap_notify *asked, const struct mailbox_info *infos, size_t count);
