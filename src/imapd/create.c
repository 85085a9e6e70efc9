/* CREATE: RFC 9051 §6.3.4, RFC 6154 §3. */
#include "imapd/special_use.h"

void imapd_create(struct session *s, const struct imap_command *c, struct reply *r)
{
    struct fault fault = {0};
    struct outcome outcome;
    view name;
    if (session_mailbox_name(s, c->create.mailbox, r, &name) != OK) return;
    if (!special_use_is_possible(c->create.use)) {
        reply_set(r, REPLY_NO, "USEATTR", "No mailbox can be made for that use");
        return;
    }
    struct record record = {.kind = RECORD_CREATE, .create = {.name = name, .special_use = c->create.use}};
    result code = account_change(s->account, &record, s->arena, &outcome, session_store_deadline(s), &fault);
    if (code == OK) code = outcome.code;
    reply_result(s, r, code, &fault);
    if (code == OK) buf_appendf(&r->code, "MAILBOXID (F%u)", outcome.mailbox);       /* RFC 8474 §4.1 */
}
