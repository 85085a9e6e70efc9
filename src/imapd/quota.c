/*
 * GETQUOTA and GETQUOTAROOT: RFC 9208 §4.1. An account with limits is one quota root, whose name is empty; only the operator changes
 * them. Without limits there is none: a list of no resources is against the grammar (§7), and Thunderbird hangs up at it.
 */
#include "formats/imap_write.h"
#include "imapd/session.h"

enum { STORAGE_UNIT_BYTES = 1024 };      /* §5.1 */

static uint64_t units_of(uint64_t bytes) { return bytes / STORAGE_UNIT_BYTES + (bytes % STORAGE_UNIT_BYTES != 0); }

static void tell_quota(struct session *s)
{
    struct usage usage = state_usage(account_state(s->account));
    buf *out = session_out(s);
    buf_append(out, VIEW("* QUOTA \"\" ("));
    const char *space = "";
    if (s->quota.bytes) {
        buf_appendf(out, "STORAGE %llu %llu", (unsigned long long)units_of(usage.bytes), (unsigned long long)(s->quota.bytes / STORAGE_UNIT_BYTES));
        space = " ";
    }
    if (s->quota.messages) buf_appendf(out, "%sMESSAGE %llu %llu", space, (unsigned long long)usage.messages, (unsigned long long)s->quota.messages);
    buf_append(out, VIEW(")\r\n"));
}

static bool has_root(const struct session *s) { return s->quota.bytes || s->quota.messages; }

void imapd_getquota(struct session *s, const struct imap_command *c, struct reply *r)
{
    view name;
    if (c->verb == IMAP_GETQUOTA && (c->quota_root.len || !has_root(s))) {
        reply_set(r, REPLY_NO, "NONEXISTENT", "There is no such quota root");
        return;
    }
    if (c->verb == IMAP_GETQUOTAROOT) {
        buf *out = session_out(s);
        if (session_mailbox_name(s, c->mailbox, r, &name) != OK) return;         /* there need not be one of that name */
        buf_append(out, VIEW("* QUOTAROOT "));
        imap_write_mailbox(out, name, session_speaks_utf8(s));
        buf_append(out, has_root(s) ? VIEW(" \"\"\r\n") : VIEW("\r\n"));
    }
    if (has_root(s)) tell_quota(s);
}
