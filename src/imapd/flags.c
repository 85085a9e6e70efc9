/* Flags between rows and the wire: RFC 9051 §2.3.2. */
#include "base/check.h"
#include "formats/imap_write.h"
#include "imapd/session.h"

_Static_assert((int)IMAP_FLAGS_MAX >= (int)ROW_KEYWORDS_MAX, "a client can name all keywords that a mailbox can have");

static const struct { uint64_t row; unsigned imap; const char *name; } system_flags[] = {
    {ROW_ANSWERED, IMAP_FLAG_ANSWERED, "\\Answered"}, {ROW_FLAGGED, IMAP_FLAG_FLAGGED, "\\Flagged"},
    {ROW_DELETED, IMAP_FLAG_DELETED, "\\Deleted"},    {ROW_SEEN, IMAP_FLAG_SEEN, "\\Seen"},
    {ROW_DRAFT, IMAP_FLAG_DRAFT, "\\Draft"},
};

struct record_flags session_record_flags(const struct imap_flags *flags)
{
    struct record_flags of = {.keywords = flags->keywords, .keyword_count = flags->keyword_count};
    for (size_t i = 0; i < array_size(system_flags); i++)
        if (flags->system & system_flags[i].imap) of.system |= system_flags[i].row;
    return of;
}

bool session_is_recent(const struct session *s, uint32_t uid)
{
    return !s->is_rev2 && uid >= s->recent_from_uid;
}

void session_write_flags(struct session *s, const struct mailbox *m, const struct row *row)
{
    buf *out = session_out(s);
    const char *space = "";
    for (size_t i = 0; i < array_size(system_flags); i++) {
        if (!(row->flags & system_flags[i].row)) continue;
        buf_append_cstr(out, space);
        buf_append_cstr(out, system_flags[i].name);
        space = " ";
    }
    if (session_is_recent(s, row->uid)) {
        buf_append_cstr(out, space);
        buf_append(out, VIEW("\\Recent"));
        space = " ";
    }
    for (uint64_t keywords = m ? row->flags >> ROW_KEYWORD_BIT : 0; keywords; keywords &= keywords - 1) {
        view name = mailbox_keyword(m, ROW_KEYWORD_BIT + (unsigned)__builtin_ctzll(keywords));
        if (name.len == 0) continue;
        buf_append_cstr(out, space);
        buf_append(out, name);
        space = " ";
    }
}

void session_begin_fetch(struct session *s, uint32_t number, const struct row *row)
{
    buf *out = session_out(s);
    buf_reserve(out, 256);
    buf_append(out, VIEW("* "));
    buf_append_u64(out, s->is_uid_only ? row->uid : number);
    buf_append(out, s->is_uid_only ? VIEW(" UIDFETCH (") : VIEW(" FETCH ("));
}

void session_tell_flags(struct session *s, const struct mailbox *m, uint32_t number, const struct row *row, bool with_uid)
{
    buf *out = session_out(s);
    session_begin_fetch(s, number, row);
    if (with_uid && !s->is_uid_only) {
        buf_append(out, VIEW("UID "));
        buf_append_u64(out, row->uid);
        buf_append_byte(out, ' ');
    }
    if (s->has_condstore) {
        buf_append(out, VIEW("MODSEQ ("));
        buf_append_u64(out, row->modseq);
        buf_append(out, VIEW(") "));
    }
    buf_append(out, VIEW("FLAGS ("));
    session_write_flags(s, m, row);
    buf_append(out, VIEW("))\r\n"));
}

void session_tell_keywords(struct session *s, const struct mailbox *m)
{
    static const char system[] = "\\Answered \\Flagged \\Deleted \\Seen \\Draft";
    buf *out = session_out(s);
    view *keywords;
    size_t count = mailbox_keywords(m, s->arena, &keywords);
    s->keywords_told = (unsigned)count;
    for (int is_permanent = 0; is_permanent < 2; is_permanent++) {
        buf_append_cstr(out, is_permanent ? "* OK [PERMANENTFLAGS (" : "* FLAGS (");
        if (!is_permanent || !s->is_read_only) {
            buf_append_cstr(out, system);
            for (size_t i = 0; i < count; i++) {
                buf_append_byte(out, ' ');
                buf_append(out, keywords[i]);
            }
            if (is_permanent && count < ROW_KEYWORDS_MAX) buf_append_cstr(out, " \\*");
        }
        buf_append_cstr(out, is_permanent ? ")] Flags that stay\r\n" : ")\r\n");
    }
}

void session_tell_new_keywords(struct session *s, const struct mailbox *m)
{
    if (m && mailbox_keyword(m, ROW_KEYWORD_BIT + s->keywords_told).len) session_tell_keywords(s, m);
}

void session_knows_keywords(struct session *s, const struct mailbox *m)
{
    while (m && mailbox_keyword(m, ROW_KEYWORD_BIT + s->keywords_told).len) s->keywords_told++;
}
