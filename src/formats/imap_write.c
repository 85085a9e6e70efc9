#include "formats/imap_write.h"

#include <string.h>

#include "base/check.h"
#include "base/utf8.h"
#include "formats/imap_name.h"

enum { QUOTED_BYTES_MAX = 900 };   /* longer strings as literals: some clients read lines into 1,000 bytes */

static bool fits_quotes(view text, bool is_utf8)
{
    bool is_ascii = true;
    if (text.len > QUOTED_BYTES_MAX) return false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if (c == 0 || c == '\r' || c == '\n') return false;
        is_ascii &= c < 0x80;
    }
    return is_ascii || (is_utf8 && utf8_is_valid(text));
}

static void write_quoted(buf *out, view text)
{
    buf_reserve(out, 2 * text.len + 2);
    char *to = out->at + out->len;
    *to++ = '"';
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] == '"' || text.at[i] == '\\') *to++ = '\\';
        *to++ = text.at[i];
    }
    *to++ = '"';
    out->len = (size_t)(to - out->at);
}

void imap_write_literal_header(buf *out, uint64_t size_bytes, bool is_binary)
{
    if (is_binary) buf_append_byte(out, '~');
    buf_append_byte(out, '{');
    buf_append_u64(out, size_bytes);
    buf_append_cstr(out, "}\r\n");
}

void imap_write_string(buf *out, view text, bool is_utf8)
{
    if (fits_quotes(text, is_utf8)) {
        write_quoted(out, text);
        return;
    }
    imap_write_literal_header(out, text.len, false);
    size_t start = out->len;
    buf_append(out, text);
    for (char *nul; (nul = memchr(out->at + start, 0, out->len - start));) *nul = '?';
}

void imap_write_nstring(buf *out, view text, bool is_present, bool is_utf8)
{
    if (is_present) {
        imap_write_string(out, text, is_utf8);
    } else {
        buf_append_cstr(out, "NIL");
    }
}

static bool is_plain_astring(view text)
{
    if (text.len == 0 || text.len > QUOTED_BYTES_MAX || view_equal_nocase(text, VIEW("NIL"))) return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (c <= 0x20 || c >= 0x7f || strchr("(){%*\"\\]", c)) return false;
    }
    return true;
}

void imap_write_astring(buf *out, view text, bool is_utf8)
{
    if (is_plain_astring(text)) {
        buf_append(out, text);
    } else {
        imap_write_string(out, text, is_utf8);
    }
}

void imap_write_mailbox(buf *out, view name, bool is_utf8)
{
    if (is_utf8 || is_plain_astring(name)) {
        if (view_find(name, '&') == VIEW_NONE || is_utf8) {
            imap_write_astring(out, name, is_utf8);
            return;
        }
    }
    buf wire CLEANUP(buf_done) = BUF_INIT;
    imap_utf7_append(&wire, name);
    imap_write_astring(out, buf_view(&wire), false);
}

static const char *section_word(enum imap_section_kind kind)
{
    switch (kind) {
    case IMAP_SECTION_HEADER: return "HEADER";
    case IMAP_SECTION_HEADER_FIELDS: return "HEADER.FIELDS";
    case IMAP_SECTION_HEADER_FIELDS_NOT: return "HEADER.FIELDS.NOT";
    case IMAP_SECTION_TEXT: return "TEXT";
    case IMAP_SECTION_MIME: return "MIME";
    case IMAP_SECTION_ALL: break;
    }
    return "";
}

static void write_section(buf *out, const struct imap_section *section)
{
    buf_append_byte(out, '[');
    for (size_t i = 0; i < section->part_count; i++) {
        if (i) buf_append_byte(out, '.');
        buf_append_u64(out, section->parts[i]);
    }
    if (section->part_count && section->kind != IMAP_SECTION_ALL) buf_append_byte(out, '.');
    buf_append_cstr(out, section_word(section->kind));
    for (size_t i = 0; i < section->name_count; i++) {
        buf_append_cstr(out, i ? " " : " (");
        imap_write_astring(out, section->names[i], true);
    }
    buf_append_cstr(out, section->name_count ? ")]" : "]");
}

static const char *fetch_word(enum imap_fetch_kind kind)
{
    switch (kind) {
    case IMAP_FETCH_FLAGS: return "FLAGS";
    case IMAP_FETCH_UID: return "UID";
    case IMAP_FETCH_INTERNALDATE: return "INTERNALDATE";
    case IMAP_FETCH_RFC822_SIZE: return "RFC822.SIZE";
    case IMAP_FETCH_SAVEDATE: return "SAVEDATE";
    case IMAP_FETCH_EMAILID: return "EMAILID";
    case IMAP_FETCH_THREADID: return "THREADID";
    case IMAP_FETCH_MODSEQ: return "MODSEQ";
    case IMAP_FETCH_ENVELOPE: return "ENVELOPE";
    case IMAP_FETCH_BODY: return "BODY";
    case IMAP_FETCH_BODYSTRUCTURE: return "BODYSTRUCTURE";
    case IMAP_FETCH_PREVIEW: return "PREVIEW";
    case IMAP_FETCH_RFC822: return "RFC822";
    case IMAP_FETCH_RFC822_HEADER: return "RFC822.HEADER";
    case IMAP_FETCH_RFC822_TEXT: return "RFC822.TEXT";
    case IMAP_FETCH_SECTION: return "BODY";
    case IMAP_FETCH_BINARY: return "BINARY";
    case IMAP_FETCH_BINARY_SIZE: return "BINARY.SIZE";
    }
    return "";
}

static bool has_section(enum imap_fetch_kind kind)
{
    return kind == IMAP_FETCH_SECTION || kind == IMAP_FETCH_BINARY || kind == IMAP_FETCH_BINARY_SIZE;
}

void imap_write_section_label(buf *out, const struct imap_fetch_item *item)
{
    buf_append_cstr(out, fetch_word(item->kind));
    if (!has_section(item->kind)) return;
    write_section(out, &item->section);
    if (item->is_partial) buf_appendf(out, "<%u>", item->partial_from);
}

void imap_write_fetch_item(buf *out, const struct imap_fetch_item *item)
{
    buf_append_cstr(out, fetch_word(item->kind));
    if (item->is_lazy) buf_append_cstr(out, " (LAZY)");
    if (!has_section(item->kind)) return;
    if (item->is_peek) buf_append_cstr(out, ".PEEK");
    write_section(out, &item->section);
    if (item->is_partial) buf_appendf(out, "<%u.%u>", item->partial_from, item->partial_len);
}
