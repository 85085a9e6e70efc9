/* DELETE: RFC 9051 §6.3.5. */
#include "imapd/session.h"

void imapd_delete(struct session *s, const struct imap_command *c, struct reply *r)
{
    struct fault fault = {0};
    struct outcome outcome;
    struct mailbox_info info;
    view name;
    if (session_mailbox_name(s, c->mailbox, r, &name) != OK) return;
    struct mailbox *m = state_find(account_state(s->account), name);
    if (!m) {
        reply_result(s, r, NOT_FOUND, NULL);
        return;
    }
    mailbox_read_info(m, s->arena, &info);
    if (view_equal(name, VIEW("INBOX"))) {
        reply_set(r, REPLY_NO, "CANNOT", "INBOX cannot be deleted");
        return;
    }
    if (s->view && mailbox_view_mailbox(s->view) == info.number) {
        reply_set(r, REPLY_NO, "INUSE", "The mailbox is selected here");
        return;
    }
    if (!info.is_selectable && info.has_children) {
        reply_set(r, REPLY_NO, "HASCHILDREN", "Delete what is below it first");
        return;
    }
    struct record record = {.kind = RECORD_DELETE, .delete = {.mailbox = info.number}};
    result code = account_change(s->account, &record, s->arena, &outcome, session_store_deadline(s), &fault);
    reply_result(s, r, code != OK ? code : outcome.code, &fault);
}
