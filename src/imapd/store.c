/*
 * STORE and UID STORE: RFC 9051 §6.4.6, RFC 7162 §3.1.3.
 *
 * A record with the UIDs; of very many several, one after another, so that other sessions of the account that write need not wait until all are
 * applied (state_cut_flags()): STORE need not be done at once, but message by message (RFC 7162 §3.1.3). Then the rows as they are now are told,
 * unless .SILENT.
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

/* A record of this STORE, as its outcome tells. */
struct part {
    struct part *next;
    uint64_t follows, modseq;
};

struct storing {
    struct session *s;
    const struct imap_command *c;
    struct imap_set uids;
    uint64_t done_to;                        /* UIDs below it */
    struct part *first, *last;
    struct imap_set_builder left_alone;      /* because of UNCHANGEDSINCE */
};

static void note_part(struct storing *t, const struct outcome *o)
{
    struct part *part = arena_new_struct(t->s->arena, struct part);
    *part = (struct part){NULL, o->follows, o->modseq};
    if (t->last) t->last->next = part;
    else t->first = part;
    t->last = part;
    for (size_t i = 0; i < o->unchanged_uids.count; i++) imap_set_builder_add_range(&t->left_alone, o->unchanged_uids.ranges[i].first, o->unchanged_uids.ranges[i].last);
}

/* Of the mailbox, before a record. */
static bool knew_all_before(const struct session *s, uint64_t follows)
{
    return follows && mailbox_view_has_told(s->view, follows);
}

MAY_YIELD static result change_part(struct storing *t, struct imap_set uids, struct fault *fault)
{
    struct session *s = t->s;
    const struct imap_store *store = &t->c->store;
    struct outcome outcome;
    struct record record = {
        .kind = RECORD_FLAGS,
        .flags = {.mailbox = mailbox_view_mailbox(s->view), .uids = uids, .change = change_of(store->kind), .flags = session_record_flags(&store->flags),
                  .unchanged_since = store->has_unchanged_since ? store->unchanged_since : UINT64_MAX}};
    result code = account_change(s->account, &record, s->arena, &outcome, session_store_deadline(s), fault);
    if (code == OK) code = outcome.code;
    if (code != OK) return code;
    bool is_newest = state_sequence(account_state(s->account)) == outcome.modseq;
    if (!t->first && is_newest && knew_all_before(s, outcome.follows)) session_knows_keywords(s, session_mailbox(s));
    note_part(t, &outcome);
    return OK;
}

/* The view stays as it is from part to part. What was done before one fails stays done: sync.c tells it. */
MAY_YIELD static result change(struct storing *t, struct reply *r)
{
    struct session *s = t->s;
    struct fault fault = {0};
    struct imap_set_builder room CLEANUP(imap_set_builder_done) = IMAP_SET_BUILDER_INIT;
    struct imap_set part;
    result code = OK;
    for (uint64_t from_uid = 0; state_cut_flags(account_state(s->account), mailbox_view_mailbox(s->view), &t->uids, &from_uid, &room, &part);) {
        if (t->first) code = session_breathe(s);
        if (code == OK) code = change_part(t, part, &fault);
        if (code == OK) t->done_to = from_uid;
        if (code == OK && from_uid <= t->uids.ranges[t->uids.count - 1].last) code = session_note_progress(s, imap_set_size(&part));
        if (code != OK) break;
    }
    reply_result(s, r, code, &fault);
    return code;
}

/* So they need not be told again. */
static void know_parts(const struct storing *t)
{
    for (const struct part *part = t->first; part; part = part->next) mailbox_view_knows(t->s->view, part->follows, part->modseq);
}

/* A silent one tells no rows: when others changed them too and that is not told yet, sync.c must not take them for known. */
static void know_silent_parts(const struct storing *t)
{
    for (const struct part *part = t->first; part; part = part->next)
        if (knew_all_before(t->s, part->follows)) mailbox_view_knows(t->s->view, part->follows, part->modseq);
}

/* The keyword of RFC 5788's registry. */
static void tell_junk(const struct storing *t)
{
    struct feedback *f = session_options(t->s)->feedback;
    struct record_flags flags = session_record_flags(&t->c->store.flags);
    if (!f || t->c->store.kind == IMAP_STORE_REMOVE || t->done_to == 0) return;
    for (size_t i = 0; i < flags.keyword_count; i++) {
        if (!view_equal_nocase(flags.keywords[i], VIEW("$Junk"))) continue;
        struct imap_range range = {1, (uint32_t)(t->done_to - 1)};
        struct imap_set done = {.ranges = &range, .count = 1};
        struct imap_set_builder marked CLEANUP(imap_set_builder_done) = IMAP_SET_BUILDER_INIT;
        imap_set_builder_add_common(&marked, &t->uids, &done);
        done = imap_set_builder_set(&marked);
        feedback_marked(f, t->s->account_id, mailbox_view_mailbox(t->s->view), &done);
        return;
    }
}

MAY_YIELD static void answer(const struct storing *t, const struct imap_set *named, struct reply *r)
{
    struct session *s = t->s;
    const struct imap_command *c = t->c;
    struct imap_set left_alone = imap_set_builder_set(&t->left_alone);
    struct telling told = {.s = s, .with_uid = c->is_uid || s->has_condstore, .left_alone = &left_alone};
    result code = OK;
    if (!c->store.is_silent) {
        code = session_walk(s, named, c->is_uid, tell_rows, &told);
        if (code == OK) know_parts(t);     /* else sync.c tells */
    } else {
        know_silent_parts(t);
        if (s->has_condstore) code = session_walk(s, named, c->is_uid, tell_modseqs, &told);
    }
    if (code == OK) code = write_modified(s, &left_alone, c->is_uid, r);
    reply_result(s, r, code, NULL);
}

void imapd_store(struct session *s, const struct imap_command *c, struct reply *r)
{
    struct imap_set named;
    struct storing t = {.s = s, .c = c, .left_alone = IMAP_SET_BUILDER_INIT};
    uint32_t lowest_uid;
    if (c->store.has_unchanged_since) s->has_condstore = true;
    if (session_resolve(s, &c->store.set, c->is_uid, r, &named) != OK || !session_cut_limit(s, &named, c->is_uid, &lowest_uid)) return;
    if (session_uids_of(s, &named, c->is_uid, r, &t.uids) != OK || t.uids.count == 0) return;
    result code = change(&t, r);
    tell_junk(&t);
    if (code == OK) {
        answer(&t, &named, r);
        session_tell_limit(s, lowest_uid, r);
    }
    imap_set_builder_done(&t.left_alone);
}
