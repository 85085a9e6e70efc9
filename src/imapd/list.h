/* list: which names LIST and LSUB look at. */
#pragma once

#include "base/map.h"
#include "imapd/session.h"

/* Of all patterns of a LIST with its reference: matching takes pattern times name. */
enum { LIST_PATTERN_BYTES_MAX = 4000 };

/* A name that a client may be shown: a mailbox, a subscription without one, or a level above either. */
struct list_entry {
    view name;
    const struct mailbox_info *info;         /* NULL: no such mailbox */
    bool is_subscribed;
    bool has_subscribed_child;               /* some level below it, that no pattern matches */
};

struct list_names {
    struct list_entry *entries;
    size_t count;
    view patterns[IMAP_LIST_PATTERNS_MAX];   /* with the reference before them */
    size_t pattern_count;
};

/* All mailboxes, and with `with_subscriptions` also the subscribed names and the levels above them. In the session's arena. */
void list_names_read(struct session *s, bool with_subscriptions, struct list_names *ret_names);
/* False with a reply when a pattern is none. */
bool list_names_set_patterns(struct session *s, struct list_names *names, const struct imap_list *list, struct reply *r);
bool list_names_match(const struct list_names *names, view name);
/* Sets has_subscribed_child. Not OK: the client is gone. */
MAY_YIELD NODISCARD result list_names_mark_parents(struct session *s, struct list_names *names);
/* What stands between the parentheses of a LIST response. */
void list_write_attributes(struct session *s, const struct list_entry *entry, bool tells_subscribed);
