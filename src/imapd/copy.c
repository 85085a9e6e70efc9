/* COPY, MOVE and their UID forms: RFC 9051 §6.4.7, §6.4.8; COPYUID: §7.1. */
#include "flow/feedback.h"
#include "imapd/session.h"

/* Into the answer's code. */
static void write_copyuid(buf *out, const struct outcome *outcome)
{
    buf_appendf(out, "COPYUID %u ", outcome->uid_validity);
    imap_set_write(out, &outcome->source_uids);
    buf_append_byte(out, ' ');
    imap_set_write(out, &outcome->result_uids);
}

/* MOVE tells its COPYUID before the EXPUNGEs (RFC 6851 §4.3), which sync.c tells. */
MAY_YIELD static void answer(struct session *s, const struct imap_command *c, const struct outcome *outcome, struct reply *r)
{
    if (outcome->source_uids.count == 0) return;
    if (c->verb == IMAP_COPY) {
        write_copyuid(&r->code, outcome);
        return;
    }
    buf *out = session_out(s);
    buf_appendf(out, "* OK [COPYUID %u ", outcome->uid_validity);
    result code = session_write_set(s, &outcome->source_uids);
    buf_append_byte(out, ' ');
    if (code == OK) (void)!session_write_set(s, &outcome->result_uids);      /* what ends the session does so in the next command too */
    buf_append(out, VIEW("] Moved\r\n"));
    reply_highest_modseq(s, r, outcome->modseq);
}

MAY_YIELD static result add_sizes(void *argument, uint32_t number, const struct row *rows, size_t count)
{
    struct quota *more = argument;
    for (size_t i = 0; i < count; i++) more->bytes += rows[i].size_bytes;
    more->messages += count;
    return OK;
}

/* Copies count like new messages; a move changes nothing in what the account holds. */
MAY_YIELD static result check_quota(struct session *s, const struct imap_command *c, const struct imap_set *named, struct reply *r)
{
    struct fault fault = {0};
    struct quota more = {0};
    if (c->verb == IMAP_MOVE || (s->quota.bytes == 0 && s->quota.messages == 0)) return OK;
    result code = session_walk(s, named, c->is_uid, add_sizes, &more);
    if (code == OK) code = session_check_quota(s, more, &fault);
    reply_result(s, r, code, &fault);
    return code;
}

/* What goes into the mailbox for junk is marked so. */
static void tell_junk(struct session *s, const struct mailbox_info *to, const struct outcome *outcome)
{
    struct feedback *f = session_options(s)->feedback;
    if (f && to->special_use & MAILBOX_USE_JUNK && outcome->result_uids.count) feedback_marked(f, s->account_id, to->number, &outcome->result_uids);
}

void imapd_copy(struct session *s, const struct imap_command *c, struct reply *r)
{
    struct fault fault = {0};
    struct outcome outcome = {0};
    struct mailbox_info to;
    struct imap_set named, uids;
    view name;
    if (session_mailbox_name(s, c->copy.mailbox, r, &name) != OK) return;
    if (session_resolve(s, &c->copy.set, c->is_uid, r, &named) != OK) return;
    if (session_uids_of(s, &named, c->is_uid, r, &uids) != OK || uids.count == 0) return;
    if (!session_find_destination(s, name, &to)) {
        reply_set(r, REPLY_NO, "TRYCREATE", "There is no such mailbox");
        return;
    }
    if (!session_check_copy_limit(s, &uids, r) || check_quota(s, c, &named, r) != OK) return;
    struct record record = {.kind = RECORD_COPY,
                            .copy = {.from = mailbox_view_mailbox(s->view), .to = to.number, .uids = uids, .moves = c->verb == IMAP_MOVE}};
    result code = account_change(s->account, &record, s->arena, &outcome, session_store_deadline(s), &fault);
    if (code == OK) code = outcome.code;
    reply_result(s, r, code, &fault);
    if (code == NOT_FOUND) reply_set(r, REPLY_NO, "TRYCREATE", "There is no such mailbox");
    if (code == OK) session_note_own(s, to.number, &outcome.result_uids);
    if (code == OK) tell_junk(s, &to, &outcome);
    if (code == OK) answer(s, c, &outcome, r);
}
