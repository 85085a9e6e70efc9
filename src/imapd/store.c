/*
 * STORE and UID STORE: RFC 9051 §6.4.6, RFC 7162 §3.1.3.
 *
 * One record with the UIDs, however many; then the rows as they are now are told, unless .SILENT.
 */
#include "flow/feedback.h"
#include "imapd/session.h"

struct telling {
    struct session *s;
    bool with_uid;
    const struct imap_set *left_alone;       /* UIDs; because of UNCHANGEDSINCE */
};

MAY_YIELD static result tell_rows(void *argument, uint32_t number, const struct row *rows, size_t count)
{
    struct telling *t = argument;
    struct mailbox *m = session_mailbox(t->s);
    for (size_t i = 0; i < count; i++) {
        if (row_is_gone(&rows[i]) || imap_set_has(t->left_alone, rows[i].uid)) continue;
        session_tell_flags(t->s, m, number + (uint32_t)i, &rows[i], t->with_uid);
    }
    return OK;
}

/* .SILENT with CONDSTORE in force still tells the MODSEQ of what was changed (RFC 7162 §3.1.3, example 8). */
MAY_YIELD static result tell_modseqs(void *argument, uint32_t number, const struct row *rows, size_t count)
{
    struct telling *t = argument;
    for (size_t i = 0; i < count; i++) {
        if (row_is_gone(&rows[i]) || imap_set_has(t->left_alone, rows[i].uid)) continue;
        session_begin_fetch(t->s, number + (uint32_t)i, &rows[i]);
        if (!t->s->is_uid_only) buf_appendf(session_out(t->s), "UID %u ", rows[i].uid);
        buf_appendf(session_out(t->s), "MODSEQ (%llu))\r\n", (unsigned long long)rows[i].modseq);
    }
    return OK;
}

/* "MODIFIED 7,9": in the numbers that the client used. */
MAY_YIELD static result write_modified(struct session *s, const struct imap_set *unchanged, bool by_uid, struct reply *r)
{
    struct fault fault = {0};
    struct imap_set_builder numbers = IMAP_SET_BUILDER_INIT;
    result code = OK;
    if (unchanged->count == 0) return OK;
    for (size_t i = 0; i < unchanged->count && code == OK && !by_uid; i++) {
        uint32_t first, last;
        code = mailbox_view_range(s->view, unchanged->ranges[i].first, unchanged->ranges[i].last, &first, &last,
                                  session_store_deadline(s), &fault);
        if (code == OK && first <= last) imap_set_builder_add_range(&numbers, first, last);
    }
    struct imap_set set = by_uid ? *unchanged : imap_set_builder_set(&numbers);
    reply_set(r, REPLY_OK, "MODIFIED ", "Some messages were changed meanwhile and left alone");
    imap_set_write(&r->code, &set);
    imap_set_builder_done(&numbers);
    return code;
}

static enum flags_change change_of(enum imap_store_kind kind)
{
    return kind == IMAP_STORE_ADD ? FLAGS_ADD : kind == IMAP_STORE_REMOVE ? FLAGS_REMOVE : FLAGS_REPLACE;
}

MAY_YIELD static result change(struct session *s, const struct imap_command *c, struct imap_set uids, struct reply *r, struct outcome *ret_outcome)
{
    struct fault fault = {0};
    struct record record = {
        .kind = RECORD_FLAGS,
        .flags = {.mailbox = mailbox_view_mailbox(s->view), .uids = uids, .change = change_of(c->store.kind),
                  .flags = session_record_flags(&c->store.flags),
                  .unchanged_since = c->store.has_unchanged_since ? c->store.unchanged_since : UINT64_MAX}};
    result code = account_change(s->account, &record, s->arena, ret_outcome, session_store_deadline(s), &fault);
    if (code == OK) code = ret_outcome->code;
    reply_result(s, r, code, &fault);
    return code;
}

/* The keyword of RFC 5788's registry. */
static void tell_junk(struct session *s, const struct imap_command *c, const struct imap_set *uids)
{
    struct feedback *f = session_options(s)->feedback;
    struct record_flags flags = session_record_flags(&c->store.flags);
    if (!f || c->store.kind == IMAP_STORE_REMOVE) return;
    for (size_t i = 0; i < flags.keyword_count; i++) {
        if (!view_equal_nocase(flags.keywords[i], VIEW("$Junk"))) continue;
        feedback_marked(f, s->account_id, mailbox_view_mailbox(s->view), uids);
        return;
    }
}

void imapd_store(struct session *s, const struct imap_command *c, struct reply *r)
{
    struct imap_set named, uids;
    struct outcome outcome = {0};
    uint32_t lowest_uid;
    if (c->store.has_unchanged_since) s->has_condstore = true;
    if (session_resolve(s, &c->store.set, c->is_uid, r, &named) != OK || !session_cut_limit(s, &named, c->is_uid, &lowest_uid)) return;
    if (session_uids_of(s, &named, c->is_uid, r, &uids) != OK || uids.count == 0) return;
    bool was_behind = mailbox_view_is_behind(s->view);
    uint64_t before = state_sequence(account_state(s->account));
    if (change(s, c, uids, r, &outcome) != OK) return;
    tell_junk(s, c, &uids);
    /* A silent one tells no rows: when others changed them too and that is not told yet, sync.c must not take them for known. */
    bool is_alone = !was_behind && outcome.modseq == before + 1;
    if (is_alone) session_knows_keywords(s, session_mailbox(s));
    if (c->store.is_silent && is_alone) mailbox_view_knows(s->view, outcome.follows, outcome.modseq);
    struct telling t = {.s = s, .with_uid = c->is_uid || s->has_condstore, .left_alone = &outcome.unchanged_uids};
    result code = OK;
    if (!c->store.is_silent) {
        code = session_walk(s, &named, c->is_uid, tell_rows, &t);
        if (code == OK) mailbox_view_knows(s->view, outcome.follows, outcome.modseq);     /* else sync.c tells */
    } else if (s->has_condstore) {
        code = session_walk(s, &named, c->is_uid, tell_modseqs, &t);
    }
    if (code == OK) code = write_modified(s, &outcome.unchanged_uids, c->is_uid, r);
    reply_result(s, r, code, NULL);
    session_tell_limit(s, lowest_uid, r);
}
