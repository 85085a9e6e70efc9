/*
 * FETCH and UID FETCH: RFC 9051 §6.4.5, §7.5.2, RFC 7162 §3.1.4, §3.2.6, RFC 8474 §5, RFC 8514 §4.2, RFC 9394 §3.3.
 *
 * Flags, UIDs, dates, sizes and mod-sequences come from the rows; the rest is fetch_message.c's. \Seen is set for all
 * messages of the command in one record before the first answer.
 */
#include "imapd/fetch.h"

#include "base/check.h"
#include "formats/date.h"
#include "formats/imap_write.h"

bool fetch_is_row_item(enum imap_fetch_kind kind)
{
    return kind <= IMAP_FETCH_MODSEQ;
}

bool fetch_needs_bytes(const struct imap_fetch_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!fetch_is_row_item(items[i].kind) && !fetch_is_listed_item(&items[i])) return true;
    return false;
}

_Static_assert(IMAP_FETCH_FLAGS == 0 && IMAP_FETCH_MODSEQ == 6, "the kinds that a row answers come first");

/* Reading it marks it as seen (RFC 9051 §6.4.5). */
static bool marks_seen(const struct imap_fetch_item *item)
{
    if (item->kind == IMAP_FETCH_RFC822 || item->kind == IMAP_FETCH_RFC822_TEXT) return true;
    return (item->kind == IMAP_FETCH_SECTION || item->kind == IMAP_FETCH_BINARY) && !item->is_peek;
}

static bool has_section(const struct imap_fetch_item *item)
{
    return item->kind == IMAP_FETCH_SECTION || item->kind == IMAP_FETCH_BINARY || item->kind == IMAP_FETCH_BINARY_SIZE;
}

static bool needs_header(const struct imap_fetch_item *item)
{
    if (has_section(item)) return item->section.part_count == 0 && item->section.kind != IMAP_SECTION_ALL;
    return item->kind == IMAP_FETCH_ENVELOPE || item->kind == IMAP_FETCH_THREADID || item->kind == IMAP_FETCH_RFC822_HEADER || item->kind == IMAP_FETCH_RFC822_TEXT;
}

static bool plan(struct fetch *f)
{
    bool sets_seen = false;
    f->is_listing = true;
    for (size_t i = 0; i < f->item_count; i++) {
        const struct imap_fetch_item *item = &f->items[i];
        f->tells_uid |= item->kind == IMAP_FETCH_UID;
        f->tells_flags |= item->kind == IMAP_FETCH_FLAGS;
        f->tells_modseq |= item->kind == IMAP_FETCH_MODSEQ;
        f->needs_message |= !fetch_is_row_item(item->kind);
        f->is_listing &= fetch_is_row_item(item->kind) || fetch_is_listed_item(item);
        f->needs_header |= needs_header(item);
        f->needs_structure |= has_section(item) && item->section.part_count > 0;
        f->tells_structure |= item->kind == IMAP_FETCH_BODY || item->kind == IMAP_FETCH_BODYSTRUCTURE;
        f->tells_preview |= item->kind == IMAP_FETCH_PREVIEW && !item->is_lazy;
        f->tells_lazy_preview |= item->kind == IMAP_FETCH_PREVIEW && item->is_lazy;
        sets_seen |= marks_seen(item);
    }
    if (f->tells_modseq || f->has_changed_since) f->s->has_condstore = true;
    return sets_seen && !f->s->is_read_only;
}

/* ---- \Seen ---- */

MAY_YIELD static result gather_unseen(void *argument, uint32_t number, const struct row *rows, size_t count)
{
    struct imap_set_builder *unseen = argument;
    for (size_t i = 0; i < count; i++)
        if (!row_is_gone(&rows[i]) && !(rows[i].flags & ROW_SEEN)) imap_set_builder_add(unseen, rows[i].uid);
    return OK;
}

/* A message can be read though its flag cannot be set: the failure goes into the log alone. */
MAY_YIELD static result mark_seen(struct fetch *f, const struct imap_set *set, struct imap_set_builder *unseen)
{
    struct session *s = f->s;
    struct fault fault = {0};
    struct outcome outcome;
    struct reply unused = {0};
    result code = session_walk(s, set, f->by_uid, gather_unseen, unseen);
    struct imap_set uids = imap_set_builder_set(unseen);
    if (code != OK || uids.count == 0) return code;
    struct record record = {.kind = RECORD_FLAGS,
                            .flags = {.mailbox = mailbox_view_mailbox(s->view), .uids = uids, .change = FLAGS_ADD,
                                      .flags = {.system = ROW_SEEN}, .unchanged_since = UINT64_MAX}};
    code = account_change(s->account, &record, s->arena, &outcome, session_store_deadline(s), &fault);
    if (code == OK && outcome.code == OK) {
        f->made_seen = uids;
        f->seen_modseq = outcome.modseq;
    }
    reply_result(s, &unused, code, &fault);
    reply_done(&unused);
    return OK;
}

/* ---- answers from rows ---- */

static void write_number_item(buf *out, const char *name, uint64_t number)
{
    buf_append_cstr(out, name);
    buf_append_u64(out, number);
}

static void write_date_item(buf *out, const char *name, unix_ms at)
{
    buf_append_cstr(out, name);
    date_imap_append(out, (struct date){.at = at});
    buf_append_byte(out, '"');
}

/* RFC 8474 §5.1: the message's id, which copies share. */
static void write_emailid(buf *out, const struct row *row)
{
    char text[ID_TEXT_LEN + 1];
    id_text(row->message, text);
    buf_appendf(out, "EMAILID (M%s)", text);
}

void fetch_write_row_item(struct fetch *f, enum imap_fetch_kind kind, const struct row *row)
{
    buf *out = session_out(f->s);
    switch (kind) {
    case IMAP_FETCH_FLAGS:
        buf_append(out, VIEW("FLAGS ("));
        session_write_flags(f->s, session_mailbox(f->s), row);
        buf_append_byte(out, ')');
        break;
    case IMAP_FETCH_UID: write_number_item(out, "UID ", row->uid); break;
    case IMAP_FETCH_RFC822_SIZE: write_number_item(out, "RFC822.SIZE ", row->size_bytes); break;
    case IMAP_FETCH_MODSEQ:
        write_number_item(out, "MODSEQ (", row->modseq);
        buf_append_byte(out, ')');
        break;
    case IMAP_FETCH_INTERNALDATE: write_date_item(out, "INTERNALDATE \"", row->internal_date); break;
    case IMAP_FETCH_SAVEDATE: write_date_item(out, "SAVEDATE \"", row->save_date); break;
    case IMAP_FETCH_EMAILID: write_emailid(out, row); break;
    default: unreachable();
    }
}

void fetch_begin_line(struct fetch *f, uint32_t number, const struct row *row)
{
    buf *out = session_out(f->s);
    session_begin_fetch(f->s, number, row);
    bool space = f->by_uid && !f->tells_uid && !f->s->is_uid_only;
    if (space) write_number_item(out, "UID ", row->uid);
    if (f->has_changed_since && !f->tells_modseq) {
        if (space) buf_append_byte(out, ' ');
        fetch_write_row_item(f, IMAP_FETCH_MODSEQ, row);
        space = true;
    }
    if (f->made_seen.count && !f->tells_flags && imap_set_has(&f->made_seen, row->uid)) {
        if (space) buf_append_byte(out, ' ');
        fetch_write_row_item(f, IMAP_FETCH_FLAGS, row);
        space = true;
    }
    if (space) buf_append_byte(out, ' ');
}

static void write_row(struct fetch *f, uint32_t number, const struct row *row)
{
    buf *out = session_out(f->s);
    fetch_begin_line(f, number, row);
    for (size_t i = 0; i < f->item_count; i++) {
        if (i) buf_append_byte(out, ' ');
        fetch_write_row_item(f, f->items[i].kind, row);
    }
    buf_append(out, VIEW(")\r\n"));
}

MAY_YIELD static result fetch_rows(void *argument, uint32_t number, const struct row *rows, size_t count)
{
    struct fetch *f = argument;
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &rows[i];
        if (row_is_gone(row)) {
            f->met_gone = true;
            continue;
        }
        if (f->has_changed_since && row->modseq <= f->changed_since) continue;
        if (!f->needs_message) {
            write_row(f, number + (uint32_t)i, row);
            continue;
        }
        result code = f->is_listing ? fetch_write_listed(f, number + (uint32_t)i, row) : NOT_FOUND;
        bool is_cheap = code == OK;                     /* the walk breathes now and then */
        if (code == NOT_FOUND) code = fetch_write_message(f, number + (uint32_t)i, row);
        if (code == OK && (!is_cheap || wire_is_full(&f->s->wire))) code = session_breathe(f->s);
        if (code != OK) return code;
    }
    return OK;
}

static void answer(struct fetch *f, struct reply *r)
{
    reply_result(f->s, r, f->code, &f->fault);
    if (r->kind != REPLY_OK) return;
    if (f->met_unknown_encoding) {
        reply_set(r, REPLY_NO, "UNKNOWN-CTE", "Some parts have an encoding that is not known here");
    } else if (f->met_gone) {
        reply_set(r, REPLY_OK, "EXPUNGEISSUED", "Some of the messages have been expunged");
    }
}

/* RFC 7162 §3.2.6, RFC 9394 §3.3: of UID FETCH alone. */
static bool check_modifiers(struct session *s, const struct imap_command *c, struct reply *r)
{
    bool is_bad = c->fetch.wants_vanished && (!c->is_uid || !s->has_qresync);
    if (is_bad) reply_set(r, REPLY_BAD, "", "VANISHED is for UID FETCH after ENABLE QRESYNC");
    if (!is_bad && c->fetch.has_partial && !c->is_uid) {
        is_bad = true;
        reply_set(r, REPLY_BAD, "", "PARTIAL is for UID FETCH");
    }
    return !is_bad;
}

void imapd_fetch(struct session *s, const struct imap_command *c, struct reply *r)
{
    struct fetch *f = arena_new_struct(s->arena, struct fetch);
    struct imap_set_builder unseen = IMAP_SET_BUILDER_INIT;
    struct imap_set set;
    uint32_t lowest_uid;
    *f = (struct fetch){.s = s, .items = c->fetch.items, .item_count = c->fetch.item_count, .by_uid = c->is_uid,
                        .has_changed_since = c->fetch.has_changed_since, .changed_since = c->fetch.changed_since};
    bool sets_seen = plan(f);
    uint32_t from = c->fetch.partial.first, to = c->fetch.partial.last;
    if (c->fetch.has_partial && !session_check_limit(s, (from > to ? from - to : to - from) + 1ull, r)) return;     /* RFC 9738 §3.1 */
    if (!check_modifiers(s, c, r) || session_resolve(s, &c->fetch.set, c->is_uid, r, &set) != OK) return;
    result code = c->fetch.wants_vanished ? session_tell_vanished(s, &set, c->fetch.changed_since) : OK;
    if (c->fetch.has_partial && session_cut_partial(s, &set, &c->fetch.partial, &set) != OK) return;
    if (!session_cut_limit(s, &set, c->is_uid, &lowest_uid)) return;
    if (code == OK && f->has_changed_since) code = session_cut_unchanged(s, &set, c->is_uid, f->changed_since, &set);
    if (code == OK && sets_seen) code =  mark_seen(f, &set, &unseen);
    if (!f->is_listing) fetch_look_ahead(s);
    if (code == OK) code = session_walk(s, &set, c->is_uid, fetch_rows, f);
    /* Of a message that could not be read the flags were not told: sync.c does. */
    if (code == OK && f->code == OK && !f->met_gone && f->made_seen.count) mailbox_view_knows(s->view, 0, f->seen_modseq);
    reply_result(s, r, code, NULL);
    answer(f, r);
    session_tell_limit(s, lowest_uid, r);
    imap_set_builder_done(&unseen);
}
