/*
 * EXPUNGE and UID EXPUNGE: RFC 9051 §6.4.3, §6.4.9, RFC 4315 §2.1, RFC 7162 §3.2.7.
 *
 * One small record whatever the number; sync.c tells the client as for everybody else's expunges.
 */
#include "imapd/session.h"

void imapd_expunge(struct session *s, const struct imap_command *c, struct reply *r)
{
    struct fault fault = {0};
    struct outcome outcome;
    uint32_t highest = mailbox_view_highest_uid(s->view);
    struct imap_range all = {1, highest};
    struct imap_set uids = {.ranges = &all, .count = highest ? 1 : 0};
    if (c->is_uid && session_resolve(s, &c->expunge, true, r, &uids) != OK) return;
    if (uids.count == 0) return;
    struct record record = {.kind = RECORD_EXPUNGE,
                            .expunge = {.mailbox = mailbox_view_mailbox(s->view), .uids = uids, .only_deleted = true}};
    result code = account_change(s->account, &record, s->arena, &outcome, session_store_deadline(s), &fault);
    reply_result(s, r, code != OK ? code : outcome.code, &fault);
    if (code == OK && outcome.source_uids.count) reply_highest_modseq(s, r, outcome.modseq);
}
