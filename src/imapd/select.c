/* SELECT, EXAMINE: RFC 9051 §6.3.2, §6.3.3, RFC 7162 §3.1.2, §3.2.5, RFC 8474 §4.2. */
#include "formats/imap_name.h"
#include "formats/imap_write.h"
#include "imapd/session.h"

void session_unselect(struct session *s)
{
    if (!s->view) return;
    session_unwatch(s);
    mailbox_view_close(s->view);
    s->view = NULL;
    s->is_read_only = false;
    imap_set_builder_done(&s->saved);
    s->saved = IMAP_SET_BUILDER_INIT;
    s->state = SESSION_AUTHENTICATED;
}

result session_mailbox_name(struct session *s, view wire, struct reply *reply, view *ret_name)
{
    result code = imap_name_from_wire(wire, session_speaks_utf8(s), s->arena, ret_name);
    if (code == INVALID) reply_set(reply, REPLY_NO, "CANNOT", "That is no mailbox name");
    if (code == TOO_BIG) reply_set(reply, REPLY_NO, "LIMIT", "The mailbox name is too long or too deep");
    return code;
}

static void tell_mailbox(struct session *s, const struct mailbox_info *info, uint32_t recent)
{
    buf *out = session_out(s);
    uint32_t exists = mailbox_view_count(s->view);
    session_tellf(s, "%u EXISTS", exists);
    if (!s->is_rev2) {
        session_tellf(s, "%u RECENT", recent);
        if (!s->is_uid_only && info->first_unseen && info->first_unseen <= exists) session_tellf(s, "OK [UNSEEN %u] First unseen", info->first_unseen);
    }
    session_tellf(s, "OK [UIDVALIDITY %u] UIDs are valid", info->uid_validity);
    session_tellf(s, "OK [UIDNEXT %u] Predicted next UID", info->uid_next);
    session_tellf(s, "OK [HIGHESTMODSEQ %llu] Highest", (unsigned long long)(info->highest_modseq ? info->highest_modseq : 1));
    session_tellf(s, "OK [MAILBOXID (F%u)] Id", info->number);
    if (!s->is_rev2) return;
    buf_append(out, VIEW("* LIST () \"/\" "));
    imap_write_mailbox(out, info->name, true);
    buf_append(out, VIEW("\r\n"));
}

MAY_YIELD static uint32_t count_recent(struct session *s)
{
    struct fault fault = {0};
    uint32_t first, last;
    result code = mailbox_view_range(s->view, s->recent_from_uid, UINT32_MAX, &first, &last, session_store_deadline(s), &fault);
    return code == OK && first <= last ? last - first + 1 : 0;
}

MAY_YIELD static result open_view(struct session *s, view name, struct mailbox_info *ret_info)
{
    struct mailbox *m = state_find(account_state(s->account), name);
    if (!m) return NOT_FOUND;
    mailbox_read_info(m, s->arena, ret_info);
    if (!ret_info->is_selectable) return NOT_FOUND;
    return mailbox_view_open(s->account, ret_info->number, &s->view);
}

/* The mailbox that was selected before is closed also when the new one cannot be opened (§6.3.2). */
void imapd_select(struct session *s, const struct imap_command *c, struct reply *r)
{
    if (c->select.has_match && s->is_uid_only) {              /* RFC 9586 §3.7 */
        reply_set(r, REPLY_BAD, "UIDREQUIRED", "Only UIDs are used in this session");
        return;
    }
    struct mailbox_info info;
    view name;
    if (c->select.wants_qresync && !s->has_qresync) {
        reply_set(r, REPLY_BAD, "", "ENABLE QRESYNC first");
        return;
    }
    if (s->view) session_tellf(s, "OK [CLOSED] The mailbox before is closed");
    session_unselect(s);
    if (session_mailbox_name(s, c->select.mailbox, r, &name) != OK) return;
    if (c->select.wants_condstore) s->has_condstore = true;
    result code = open_view(s, name, &info);
    if (code != OK) {
        s->view = NULL;
        reply_result(s, r, code, NULL);
        return;
    }
    s->state = SESSION_SELECTED;
    s->is_read_only = c->verb == IMAP_EXAMINE;
    struct mailbox *m = session_mailbox(s);
    s->recent_from_uid = s->is_read_only || !m ? info.recent_from_uid : mailbox_claim_recent(m);
    uint32_t recent = s->is_rev2 ? 0 : count_recent(s);
    m = session_mailbox(s);
    if (m) session_tell_keywords(s, m);
    tell_mailbox(s, &info, recent);
    if (c->select.wants_qresync && session_resynchronize(s, &c->select, r) != OK) return;
    reply_set(r, REPLY_OK, s->is_read_only ? "READ-ONLY" : "READ-WRITE", NULL);
}
