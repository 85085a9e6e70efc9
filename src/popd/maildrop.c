/* The account's INBOX as a maildrop: its messages, what was marked, and the update at the end. */
#include <stdlib.h>

#include "base/check.h"
#include "popd/session.h"
#include "runtime/event.h"

enum {
    ROWS_AT_ONCE = 32,                   /* on a coroutine's stack: 2 KiB */
    RANGES_OF_RECORD_MAX = 10000,        /* of one expunge: below ENGINE_META_MAX_BYTES, and a turn of replay */
};

/* ---- entering and leaving ---- */

void maildrop_leave(struct pop_session *s)
{
    struct maildrop *m = &s->maildrop;
    if (m->view) mailbox_view_close(m->view);
    if (m->account) {
        standing_end(&s->home->standings, &s->standing);
        account_close(m->account);
    }
    free(m->deleted);
    *m = (struct maildrop){0};
    maildrop_unlock(s);
}

MAY_YIELD static result open_inbox(struct pop_session *s, struct fault *fault)
{
    struct maildrop *m = &s->maildrop;
    millis deadline = pop_session_store_deadline(s);
    result code = account_open(s->popd->accounts, s->account, deadline, &m->account, fault);
    if (code != OK) return code;
    standing_begin(&s->home->standings, &s->standing, s->account);
    struct mailbox_info info;
    const struct mailbox *inbox = state_find(account_state(m->account), VIEW("INBOX"));
    if (!inbox) return fail(fault, CORRUPT, "an account without INBOX");
    mailbox_read_info(inbox, s->scratch, &info);
    code = mailbox_view_open(m->account, info.number, &m->view);
    if (code != OK) return fail(fault, code, "view of INBOX");
    m->mailbox = info.number;
    m->count = mailbox_view_count(m->view);
    m->bytes = info.size_bytes;
    return OK;
}

void maildrop_enter(struct pop_session *s)
{
    struct fault fault = {0};
    s->is_entering = false;
    result code = maildrop_lock(s, &fault);
    if (code == BUSY) {
        pop_session_error(s, POP3_IN_USE, "Another POP3 session has this mailbox");
        return;
    }
    if (code == OK) code = open_inbox(s, &fault);
    if (code != OK) {
        maildrop_leave(s);
        pop_session_fail(s, code == NOT_FOUND ? UNAVAILABLE : code, &fault);
        return;
    }
    s->state = POP_TRANSACTION;
    EVENT_EMIT(POP3_MAILDROP_OPENED, EVENT_ID("session", s->id), EVENT_ID("account", s->account), EVENT_NUMBER("messages", s->maildrop.count));
    pop_session_okf(s, "%u messages (%llu octets)", s->maildrop.count, (unsigned long long)s->maildrop.bytes);
}

/* ---- marks ---- */

bool maildrop_is_deleted(const struct maildrop *m, uint32_t number)
{
    return m->deleted && (m->deleted[(number - 1) / 64] >> (number - 1) % 64 & 1);
}

void maildrop_delete(struct maildrop *m, uint32_t number, uint64_t bytes)
{
    if (!m->deleted) {
        m->deleted = calloc(m->count / 64 + 1, sizeof *m->deleted);
        check(m->deleted);
    }
    m->deleted[(number - 1) / 64] |= (uint64_t)1 << (number - 1) % 64;
    m->deleted_count++;
    m->deleted_bytes += bytes;
}

void maildrop_reset(struct maildrop *m)
{
    free(m->deleted);
    m->deleted = NULL;
    m->deleted_count = 0;
    m->deleted_bytes = 0;
}

/* ---- messages ---- */

bool maildrop_row(struct pop_session *s, uint32_t number, struct row *ret_row)
{
    struct fault fault = {0};
    struct maildrop *m = &s->maildrop;
    size_t count;
    if (number > m->count || maildrop_is_deleted(m, number)) {
        pop_session_error(s, POP3_NO_CODE, number > m->count ? "No such message" : "The message is deleted");
        return false;
    }
    result code = mailbox_view_rows(m->view, number, 1, ret_row, &count, pop_session_store_deadline(s), &fault);
    if (code == OK && (count == 0 || row_is_gone(ret_row))) code = NOT_FOUND;
    if (code == OK) return true;
    pop_session_fail(s, code, &fault);
    return false;
}

void pop_stat(struct pop_session *s, const struct pop3_command *command)
{
    const struct maildrop *m = &s->maildrop;
    pop_session_okf(s, "%u %llu", m->count - m->deleted_count, (unsigned long long)(m->bytes - m->deleted_bytes));
}

void pop_dele(struct pop_session *s, const struct pop3_command *command)
{
    struct row row;
    if (!maildrop_row(s, command->number, &row)) return;
    maildrop_delete(&s->maildrop, command->number, row.size_bytes);
    pop_session_ok(s, VIEW("Marked for deletion"));
}

void pop_rset(struct pop_session *s, const struct pop3_command *command)
{
    maildrop_reset(&s->maildrop);
    pop_session_ok(s, VIEW_EMPTY);
}

/* ---- listings ---- */

static void write_listing_line(struct pop_session *s, bool is_uidl, uint32_t number, const struct row *row)
{
    char text[RECORD_UIDL_BYTES_MAX + 1];
    buf *out = &s->wire.output;
    const struct mailbox *inbox = is_uidl ? state_mailbox(account_state(s->maildrop.account), s->maildrop.mailbox) : NULL;
    buf_append_u64(out, number);
    buf_append_byte(out, ' ');
    if (inbox) buf_append(out, mailbox_uidl(inbox, row, text));
    else buf_append_u64(out, row->size_bytes);
    buf_append(out, VIEW("\r\n"));
}

/* All that are neither deleted nor gone. The connection ends when rows cannot be read half-way: the client must not take a part for all. */
MAY_YIELD static void list_all(struct pop_session *s, bool is_uidl)
{
    struct maildrop *m = &s->maildrop;
    struct row rows[ROWS_AT_ONCE];
    struct fault fault = {0};
    size_t count = 0;
    for (uint32_t first = 1; first <= m->count; first += (uint32_t)count) {
        result code = mailbox_view_rows(m->view, first, ROWS_AT_ONCE, rows, &count, pop_session_store_deadline(s), &fault);
        if (code != OK || count == 0) {
            if (first == 1) pop_session_fail(s, code == OK ? CORRUPT : code, &fault);
            else pop_session_break(s, "listing failed");
            return;
        }
        if (first == 1) pop_session_okf(s, "%u messages", m->count - m->deleted_count);
        for (uint32_t i = 0; i < count; i++)
            if (!row_is_gone(&rows[i]) && !maildrop_is_deleted(m, first + i)) write_listing_line(s, is_uidl, first + i, &rows[i]);
        if (wire_is_full(&s->wire) && pop_session_flush(s) != OK) return;
        if (coroutine_is_overdue()) coroutine_pause();
    }
    if (m->count == 0) pop_session_ok(s, VIEW("0 messages"));
    wire_put(&s->wire, VIEW(".\r\n"));
}

MAY_YIELD static void list_messages(struct pop_session *s, const struct pop3_command *command, bool is_uidl)
{
    struct row row;
    if (!command->has_number) {
        list_all(s, is_uidl);
    } else if (maildrop_row(s, command->number, &row)) {
        s->error_count = 0;
        wire_put(&s->wire, VIEW("+OK "));
        write_listing_line(s, is_uidl, command->number, &row);
    }
}

void pop_list(struct pop_session *s, const struct pop3_command *command)
{
    list_messages(s, command, false);
}

void pop_uidl(struct pop_session *s, const struct pop3_command *command)
{
    list_messages(s, command, true);
}

/* ---- update ---- */

MAY_YIELD static result expunge(struct pop_session *s, struct imap_set uids, struct fault *fault)
{
    struct outcome outcome;
    struct record record = {.kind = RECORD_EXPUNGE, .expunge = {.mailbox = s->maildrop.mailbox, .uids = uids}};
    if (uids.count == 0) return OK;
    return account_change(s->maildrop.account, &record, s->scratch, &outcome, pop_session_store_deadline(s), fault);
}

/*
 * Adds the UIDs of the marked among messages first to first + count - 1. Between two neighbours of the view there is no message: neighbours
 * that are both marked make one range, and a whole maildrop is one.
 */
static void add_marked(const struct maildrop *m, uint32_t first, const struct row *rows, size_t count, uint32_t *last_uid, struct imap_set_builder *builder)
{
    for (uint32_t i = 0; i < count; i++) {
        if (maildrop_is_deleted(m, first + i)) {
            imap_set_builder_add_range(builder, *last_uid ? *last_uid + 1 : rows[i].uid, rows[i].uid);
            *last_uid = rows[i].uid;
        } else {
            *last_uid = 0;
        }
    }
}

MAY_YIELD static result expunge_marked(struct pop_session *s, struct imap_set_builder *builder, struct fault *fault)
{
    struct maildrop *m = &s->maildrop;
    struct row rows[ROWS_AT_ONCE];
    size_t count = 0;
    uint32_t last_uid = 0;
    for (uint32_t first = 1; first <= m->count; first += (uint32_t)count) {
        result code = mailbox_view_rows(m->view, first, ROWS_AT_ONCE, rows, &count, pop_session_store_deadline(s), fault);
        if (code == OK && count == 0) code = fail(fault, CORRUPT, "fewer rows than messages");
        if (code != OK) return code;
        add_marked(m, first, rows, count, &last_uid, builder);
        if (imap_set_builder_set(builder).count < RANGES_OF_RECORD_MAX) continue;
        code = expunge(s, imap_set_builder_set(builder), fault);
        if (code != OK) return code;
        imap_set_builder_done(builder);
        *builder = IMAP_SET_BUILDER_INIT;
    }
    return expunge(s, imap_set_builder_set(builder), fault);
}

result maildrop_update(struct pop_session *s, struct fault *fault)
{
    if (s->maildrop.deleted_count == 0) return OK;
    result code = maildrop_lock_check(s, fault);
    if (code != OK) return code;
    struct imap_set_builder builder = IMAP_SET_BUILDER_INIT;
    code = expunge_marked(s, &builder, fault);
    imap_set_builder_done(&builder);
    if (code == OK) s->removed_count = s->maildrop.deleted_count;
    return code;
}
