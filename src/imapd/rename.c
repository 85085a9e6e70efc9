/* RENAME: RFC 9051 §6.3.6. What is below the mailbox moves along; of INBOX the messages move and INBOX stays. */
#include "imapd/session.h"

/* RFC 5464 §4.1: INBOX keeps its annotations, and what it was renamed to has them too. That they do not fit is no failure. */
MAY_YIELD static void copy_annotations(struct session *s, uint32_t from, view to)
{
    struct fault fault = {0};
    struct outcome outcome;
    const struct metadata_entry *all;
    struct mailbox_info info;
    size_t count = state_metadata(account_state(s->account), from, &all);
    struct mailbox *m = state_find(account_state(s->account), to);
    if (count == 0 || !m) return;
    mailbox_read_info(m, s->arena, &info);
    struct record_entry *entries = arena_array(s->arena, struct record_entry, count);
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct record_entry){.name = arena_keep(s->arena, all[i].name), .value = arena_keep(s->arena, all[i].value)};
    struct record record = {.kind = RECORD_METADATA, .metadata = {.mailbox = info.number, .entries = entries, .count = count}};
    if (account_change(s->account, &record, s->arena, &outcome, session_store_deadline(s), &fault) == OK) session_tell_annotations(s, outcome.modseq);
}

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
    if (code == OK) code = outcome.code;
    reply_result(s, r, code, &fault);
    if (code == OK && view_equal(from, VIEW("INBOX"))) copy_annotations(s, info.number, to);
}
