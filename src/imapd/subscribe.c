/* SUBSCRIBE and UNSUBSCRIBE: RFC 9051 §6.3.7, §6.3.8. Names are kept whether or not there is such a mailbox. */
#include "imapd/session.h"

void imapd_subscribe(struct session *s, const struct imap_command *c, struct reply *r)
{
    struct fault fault = {0};
    struct outcome outcome;
    view name;
    if (session_mailbox_name(s, c->mailbox, r, &name) != OK) return;
    struct record record = {.kind = RECORD_SUBSCRIBE, .subscribe = {.name = name, .subscribes = c->verb == IMAP_SUBSCRIBE}};
    result code = account_change(s->account, &record, s->arena, &outcome, session_store_deadline(s), &fault);
    reply_result(s, r, code != OK ? code : outcome.code, &fault);
}
