#include "smtpd/submission_header.h"

#include "base/check.h"
#include "formats/date.h"
#include "formats/header.h"
#include "formats/lexical.h"
#include "formats/mail_address.h"
#include "trust/complaint_token.h"

static bool is_lone_cr(view v, size_t i) { return v.at[i] == '\r' && (i + 1 == v.len || v.at[i + 1] != '\n'); }

void submission_header_mend(buf *message)
{
    view header, body;
    buf mended = BUF_INIT;
    size_t from = 0;
    header_split(buf_view(message), &header, &body);
    for (size_t i = 0; i < header.len; i++) {
        if (!is_lone_cr(header, i)) continue;
        buf_append(&mended, view_slice(header, from, i - from));
        buf_append(&mended, VIEW("\r\n"));
        from = i + 1;
    }
    if (from == 0) return;
    buf_append(&mended, view_from(header, from));
    buf_append(&mended, body);
    buf_done(message);
    *message = mended;
}

static bool has_field(view header, view name)
{
    struct header_field field;
    return header_find(header, name, &field);
}

static void put_missing(view header, const struct submission_facts *facts, buf *into)
{
    if (!has_field(header, VIEW("Date"))) {
        buf_append(into, VIEW("Date: "));
        date_append(into, (struct date){facts->now, 0});
        buf_append(into, VIEW("\r\n"));
    }
    if (!has_field(header, VIEW("Message-ID"))) {
        char id[ID_TEXT_LEN + 1];
        buf_append(into, VIEW("Message-ID: <"));
        buf_append(into, facts->token.len ? facts->token : id_text(facts->message, id));
        buf_appendf(into, "@" VIEW_FMT ">\r\n", VIEW_ARG(facts->server_name));
    }
    if (facts->token.len) buf_appendf(into, VIEW_FMT ": " VIEW_FMT "\r\n", VIEW_ARG(COMPLAINT_FIELD), VIEW_ARG(facts->token));
}

void submission_header_complete(view header, const struct submission_facts *facts, buf *into)
{
    view rest = header;
    struct header_field field;
    put_missing(header, facts, into);
    while (header_next(&rest, &field))
        if (!view_equal_nocase(field.name, VIEW("Bcc")) && !view_equal_nocase(field.name, VIEW("Resent-Bcc")) && !view_equal_nocase(field.name, COMPLAINT_FIELD))
            buf_append(into, field.whole);
    /* header_next() moves past the empty line: what it was is what is left between. */
    view fields = view_slice(header, 0, header.len - rest.len);
    if (view_ends(fields, VIEW("\r\n\r\n")) || view_equal(fields, VIEW("\r\n"))) buf_append(into, VIEW("\r\n"));
    else if (view_ends(fields, VIEW("\n\n")) || view_equal(fields, VIEW("\n"))) buf_append(into, VIEW("\n"));
    else if (view_ends(fields, VIEW("\n\r\n"))) buf_append(into, VIEW("\r\n"));
    buf_append(into, rest);
}

/* "<a@x> <b@y>" in one element: some readers show the first of them and some the last. */
static bool has_two_angles(view value)
{
    struct lexer l = lexer_of(value, "<>,;[");
    unsigned angles = 0;
    bool in_angle = false;
    for (struct lexeme x = lexer_next(&l); x.kind != LEXEME_END; x = lexer_next(&l)) {
        if (x.kind != LEXEME_SPECIAL) continue;
        char byte = x.text.at[0];
        if (byte == '<' && ++angles == 2) return true;
        if (byte == '<' || byte == '>') in_angle = byte == '<';
        else if (!in_angle) angles = 0;
    }
    return false;
}

static bool keep_authors(view value, struct arena *arena, view *authors, size_t *count)
{
    unsigned parts = 0;
    for (const struct mail_address *a = mail_address_list_parse(value, arena); a; a = a->next) {
        /* The list may be cut there. */
        if (++parts == MAIL_ADDRESS_COUNT_MAX) return false;
        buf text CLEANUP(buf_done) = BUF_INIT;
        if (a->kind != MAIL_ADDRESS_MAILBOX) continue;
        if (*count == SUBMISSION_AUTHORS_MAX) return false;
        mail_address_append(&text, a->local, a->domain);
        authors[(*count)++] = arena_keep(arena, buf_view(&text));
    }
    return true;
}

bool submission_header_authors(view header, struct arena *arena, view *ret_authors, size_t *ret_count)
{
    view rest = header;
    struct header_field field;
    size_t count = 0, bytes = 0;
    while (header_next(&rest, &field)) {
        if (!view_equal_nocase(field.name, VIEW("From")) && !view_equal_nocase(field.name, VIEW("Sender"))) continue;
        bytes += field.value.len;
        if (bytes > SUBMISSION_AUTHORS_BYTES_MAX || has_two_angles(field.value) || !keep_authors(field.value, arena, ret_authors, &count)) return false;
    }
    *ret_count = count;
    return true;
}
