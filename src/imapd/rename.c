/* RENAME: RFC 9051 §6.3.6. What is below the mailbox moves along; of INBOX the messages move and INBOX stays. */
#include "imapd/session.h"

void imapd_rename(struct session *s, const struct imap_command *c, struct reply *r)
{
    struct fault fault = {0};
    struct outcome outcome;
    struct mailbox_info info;
    view from, to;
    if (session_mailbox_name(s, c->rename.from, r, &from) != OK || session_mailbox_name(s, c->rename.to, r, &to) != OK) return;
    struct state *state = account_state(s->account);
    struct mailbox *m = state_find(state, from);
    if (!m) {
        reply_result(s, r, NOT_FOUND, NULL);
        return;
    }
    if (state_find(state, to)) {
        reply_result(s, r, EXISTS, NULL);
        return;
    }
    mailbox_read_info(m, s->arena, &info);
    struct record record = {.kind = RECORD_RENAME, .rename = {.mailbox = info.number, .name = to}};
    result code = account_change(s->account, &record, s->arena, &outcome, session_store_deadline(s), &fault);
    reply_result(s, r, code != OK ? code : outcome.code, &fault);
}
