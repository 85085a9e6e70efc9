/* CREATE: RFC 9051 §6.3.4, RFC 6154 §3. */
#include "imapd/session.h"

_Static_assert((unsigned)IMAP_USE_IMPORTANT == (unsigned)MAILBOX_USE_IMPORTANT && (unsigned)IMAP_USE_ALL == (unsigned)MAILBOX_USE_ALL &&
                   (unsigned)IMAP_USE_SENT == (unsigned)MAILBOX_USE_SENT,
               "special uses are the same bits on the wire and in the store");

/* \All, \Flagged and \Important are views over other mailboxes: they are not created. */
static bool is_creatable(unsigned use)
{
    return !(use & ~(unsigned)(IMAP_USE_ARCHIVE | IMAP_USE_DRAFTS | IMAP_USE_JUNK | IMAP_USE_SENT | IMAP_USE_TRASH));
}

void imapd_create(struct session *s, const struct imap_command *c, struct reply *r)
{
    struct fault fault = {0};
    struct outcome outcome;
    view name;
    if (session_mailbox_name(s, c->create.mailbox, r, &name) != OK) return;
    if (!is_creatable(c->create.use)) {
        reply_set(r, REPLY_NO, "USEATTR", "No mailbox can be made for that use");
        return;
    }
    struct record record = {.kind = RECORD_CREATE, .create = {.name = name, .special_use = c->create.use}};
    result code = account_change(s->account, &record, s->arena, &outcome, session_store_deadline(s), &fault);
    if (code == OK) code = outcome.code;
    reply_result(s, r, code, &fault);
    if (code == OK) buf_appendf(&r->code, "MAILBOXID (F%u)", outcome.mailbox);       /* RFC 8474 §4.1 */
}
