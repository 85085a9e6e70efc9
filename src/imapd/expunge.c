/*
 * EXPUNGE and UID EXPUNGE: RFC 9051 §6.4.3, §6.4.9, RFC 4315 §2.1, RFC 7162 §3.2.7.
 *
 * One small record whatever the number, or several if what goes is scattered over very many messages that stay (state_cut_expunge()); sync.c tells the
 * client as for everybody else's expunges.
 */
#include "imapd/session.h"

result session_expunge(struct session *s, uint32_t mailbox, const struct imap_set *uids, uint64_t *ret_modseq, struct fault *fault)
{
    struct imap_set_builder room CLEANUP(imap_set_builder_done) = IMAP_SET_BUILDER_INIT;
    struct imap_set part;
    struct outcome outcome;
    result code = OK;
    *ret_modseq = 0;
    for (uint64_t from_uid = 0; state_cut_expunge(account_state(s->account), mailbox, uids, &from_uid, &room, &part);) {
        struct record record = {.kind = RECORD_EXPUNGE, .expunge = {.mailbox = mailbox, .uids = part, .only_deleted = true}};
        code = account_change(s->account, &record, s->arena, &outcome, session_store_deadline(s), fault);
        if (code == OK) code = outcome.code;
        if (code != OK) break;
        if (outcome.source_uids.count) *ret_modseq = outcome.modseq;
        if (from_uid <= uids->ranges[uids->count - 1].last) code = session_breathe(s);
        if (code != OK) break;
    }
    return code;
}

void imapd_expunge(struct session *s, const struct imap_command *c, struct reply *r)
{
    struct fault fault = {0};
    uint32_t highest = mailbox_view_highest_uid(s->view);
    struct imap_range all = {1, highest};
    struct imap_set uids = {.ranges = &all, .count = highest ? 1 : 0};
    uint64_t modseq;
    if (c->is_uid && session_resolve(s, &c->expunge, true, r, &uids) != OK) return;
    if (uids.count == 0) return;
    result code = session_expunge(s, mailbox_view_mailbox(s->view), &uids, &modseq, &fault);
    reply_result(s, r, code, &fault);
    if (code == OK && modseq) reply_highest_modseq(s, r, modseq);
}
