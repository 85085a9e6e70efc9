/*
 * Answers from summaries (account/summary.h): what lists of messages ask for, without reading one message.
 *
 * Texts are those of a session without UTF-8. Where a message has such characters, one with UTF-8 reads the message.
 */
#include "formats/header.h"
#include "formats/imap_write.h"
#include "imapd/fetch.h"

static bool are_listed_fields(const struct imap_section *section)
{
    if (section->kind != IMAP_SECTION_HEADER_FIELDS || section->part_count) return false;
    for (size_t i = 0; i < section->name_count; i++)
        if (!summary_has_field(section->names[i])) return false;
    return true;
}

bool fetch_is_listed_item(const struct imap_fetch_item *item)
{
    switch (item->kind) {
    case IMAP_FETCH_ENVELOPE:
    case IMAP_FETCH_BODY:
    case IMAP_FETCH_BODYSTRUCTURE:
    case IMAP_FETCH_PREVIEW:
    case IMAP_FETCH_THREADID: return true;
    case IMAP_FETCH_SECTION: return !item->is_partial && are_listed_fields(&item->section);
    default: return false;
    }
}

static enum summary_column column_of(enum imap_fetch_kind kind)
{
    switch (kind) {
    case IMAP_FETCH_ENVELOPE: return SUMMARY_ENVELOPE;
    case IMAP_FETCH_BODY: return SUMMARY_BODY;
    case IMAP_FETCH_BODYSTRUCTURE: return SUMMARY_BODYSTRUCTURE;
    case IMAP_FETCH_PREVIEW: return SUMMARY_PREVIEW;
    default: return SUMMARY_HEADER;
    }
}

static bool is_named(const struct imap_section *section, view name)
{
    for (size_t i = 0; i < section->name_count; i++)
        if (view_equal_nocase(section->names[i], name)) return true;
    return false;
}

static void write_fields(struct session *s, const struct imap_fetch_item *item, view header)
{
    buf *out = session_out(s);
    struct header_field field;
    size_t bytes = 2;
    view rest = header;
    while (header_next(&rest, &field))
        if (is_named(&item->section, field.name)) bytes += field.whole.len;
    imap_write_section_label(out, item);
    buf_append_byte(out, ' ');
    imap_write_literal_header(out, bytes, false);
    while (header_next(&header, &field))
        if (is_named(&item->section, field.name)) buf_append(out, field.whole);
    buf_append(out, VIEW("\r\n"));
}

static void write_threadid(struct fetch *f, const struct row *row, view header)
{
    char text[THREAD_ID_BYTES];
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    buf_appendf(session_out(f->s), "THREADID (%s)", message_thread_id(header, row, arena, text));
}

static void write_text(struct fetch *f, const struct imap_fetch_item *item, const struct row *row, view text)
{
    buf *out = session_out(f->s);
    switch (item->kind) {
    case IMAP_FETCH_ENVELOPE: buf_append(out, VIEW("ENVELOPE ")); break;
    case IMAP_FETCH_BODY: buf_append(out, VIEW("BODY ")); break;
    case IMAP_FETCH_BODYSTRUCTURE: buf_append(out, VIEW("BODYSTRUCTURE ")); break;
    case IMAP_FETCH_PREVIEW:
        buf_append(out, VIEW("PREVIEW "));
        imap_write_nstring(out, text, true, session_speaks_utf8(f->s));
        return;
    case IMAP_FETCH_THREADID: write_threadid(f, row, text); return;
    default: write_fields(f->s, item, text); return;
    }
    buf_append(out, text);
}

/* Structures and envelopes are written texts; the others are what the message says, and are written for the session. */
static bool suits(const struct fetch *f, enum summary_column column, bool is_plain)
{
    return column == SUMMARY_PREVIEW || column == SUMMARY_HEADER || is_plain || !session_speaks_utf8(f->s);
}

result fetch_write_listed(struct fetch *f, uint32_t number, const struct row *row)
{
    struct session *s = f->s;
    size_t before = session_out(s)->len;
    fetch_begin_line(f, number, row);
    for (size_t i = 0; i < f->item_count; i++) {
        const struct imap_fetch_item *item = &f->items[i];
        if (i) buf_append_byte(session_out(s), ' ');
        if (fetch_is_row_item(item->kind)) {
            fetch_write_row_item(f, item->kind, row);
            continue;
        }
        view text;
        bool is_plain;
        enum summary_column column = column_of(item->kind);
        result code = message_summary(s->account, row, column, session_store_deadline(s), &text, &is_plain);
        if (code != OK || !suits(f, column, is_plain)) {
            session_out(s)->len = before;
            return NOT_FOUND;
        }
        write_text(f, item, row, text);
    }
    buf_append(session_out(s), VIEW(")\r\n"));
    return OK;
}
