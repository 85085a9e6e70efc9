/* STATUS: RFC 9051 §6.3.11, RFC 7162 §3.1.7, RFC 8438, RFC 7889, RFC 8474 §4.3, RFC 9208 §4.1.4. */
#include "formats/imap_write.h"
#include "imapd/status.h"

static void write_item(buf *out, const char **space, const char *name, uint64_t value)
{
    buf_append_cstr(out, *space);
    buf_append_cstr(out, name);
    buf_append_byte(out, ' ');
    buf_append_u64(out, value);
    *space = " ";
}

static uint32_t recent_of(const struct mailbox_info *info)
{
    uint32_t recent = info->uid_next > info->recent_from_uid ? info->uid_next - info->recent_from_uid : 0;
    return recent < info->exists ? recent : info->exists;
}

/* What an EXPUNGE would free. Only a mailbox that has deleted messages is walked. */
MAY_YIELD static uint64_t deleted_bytes_of(struct session *s, const struct mailbox_info *info)
{
    enum { ROWS_AT_ONCE = 256 };
    struct fault fault = {0};
    struct mailbox_view *other;
    uint64_t bytes = 0;
    size_t count = 1;
    if (info->deleted == 0 || mailbox_view_open(s->account, info->number, &other) != OK) return 0;
    struct row *rows = arena_array(s->arena, struct row, ROWS_AT_ONCE);
    for (uint32_t number = 1; count > 0; number += (uint32_t)count) {
        if (mailbox_view_rows(other, number, ROWS_AT_ONCE, rows, &count, session_store_deadline(s), &fault) != OK) break;
        for (size_t i = 0; i < count; i++)
            if (!row_is_gone(&rows[i]) && (rows[i].flags & ROW_DELETED)) bytes += rows[i].size_bytes;
        if (session_breathe(s) != OK) break;
    }
    mailbox_view_close(other);
    return bytes;
}

void session_tell_status(struct session *s, const struct mailbox_info *info, unsigned items)
{
    uint64_t deleted_bytes = items & IMAP_STATUS_DELETED_STORAGE ? deleted_bytes_of(s, info) : 0;
    buf *out = session_out(s);
    const char *space = "";
    buf_append(out, VIEW("* STATUS "));
    imap_write_mailbox(out, info->name, session_speaks_utf8(s));
    buf_append(out, VIEW(" ("));
    if (items & IMAP_STATUS_MESSAGES) write_item(out, &space, "MESSAGES", info->exists);
    if (items & IMAP_STATUS_RECENT) write_item(out, &space, "RECENT", recent_of(info));
    if (items & IMAP_STATUS_UIDNEXT) write_item(out, &space, "UIDNEXT", info->uid_next);
    if (items & IMAP_STATUS_UIDVALIDITY) write_item(out, &space, "UIDVALIDITY", info->uid_validity);
    if (items & IMAP_STATUS_UNSEEN) write_item(out, &space, "UNSEEN", info->unseen);
    if (items & IMAP_STATUS_DELETED) write_item(out, &space, "DELETED", info->deleted);
    if (items & IMAP_STATUS_SIZE) write_item(out, &space, "SIZE", info->size_bytes);
    if (items & IMAP_STATUS_HIGHESTMODSEQ) write_item(out, &space, "HIGHESTMODSEQ", info->highest_modseq ? info->highest_modseq : 1);
    if (items & IMAP_STATUS_APPENDLIMIT) write_item(out, &space, "APPENDLIMIT", session_options(s)->message_bytes_max);
    if (items & IMAP_STATUS_MAILBOXID) buf_appendf(out, "%sMAILBOXID (F%u)", space, info->number);
    if (items & (IMAP_STATUS_MAILBOXID)) space = " ";
    if (items & IMAP_STATUS_DELETED_STORAGE) write_item(out, &space, "DELETED-STORAGE", deleted_bytes);
    buf_append(out, VIEW(")\r\n"));
}

void imapd_status(struct session *s, const struct imap_command *c, struct reply *r)
{
    struct mailbox_info info;
    view name;
    if (session_mailbox_name(s, c->status.mailbox, r, &name) != OK) return;
    struct mailbox *m = state_find(account_state(s->account), name);
    if (m) mailbox_read_info(m, s->arena, &info);
    if (!m || !info.is_selectable) {
        reply_result(s, r, NOT_FOUND, NULL);
        return;
    }
    if (c->status.items & IMAP_STATUS_HIGHESTMODSEQ) s->has_condstore = true;
    session_tell_status(s, &info, c->status.items);
}
