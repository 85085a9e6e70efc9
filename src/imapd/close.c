/* CLOSE and UNSELECT: RFC 9051 §6.4.1, §6.4.2, RFC 3691. */
#include "imapd/session.h"

/* CLOSE expunges without telling, and ends the selection also when that fails. */
void imapd_close(struct session *s, const struct imap_command *c, struct reply *r)
{
    struct fault fault = {0};
    uint32_t highest = mailbox_view_highest_uid(s->view);
    struct mailbox *m = session_mailbox(s);
    if (!s->is_read_only && highest && m) {
        struct mailbox_info info;
        mailbox_read_info(m, s->arena, &info);
        struct imap_range all = {1, highest};
        uint64_t modseq;
        if (info.deleted) reply_result(s, r, session_expunge(s, info.number, &(struct imap_set){.ranges = &all, .count = 1}, &modseq, &fault), &fault);
    }
    session_unselect(s);
}

void imapd_unselect(struct session *s, const struct imap_command *c, struct reply *r)
{
    session_unselect(s);
}
