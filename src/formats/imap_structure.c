#include "formats/imap_structure.h"

#include "formats/envelope.h"
#include "formats/imap_write.h"
#include "formats/mime.h"

enum { ENVELOPE_ARENA_BYTES_MAX = 1 << 20 };   /* of one embedded message: a thousand addresses with names */

static void write_optional(buf *out, view text, bool is_utf8)
{
    imap_write_nstring(out, text, text.len > 0, is_utf8);
}

/* address = "(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")" */
static void write_address(buf *out, const struct mail_address *a, bool is_utf8)
{
    if (a->kind == MAIL_ADDRESS_GROUP_END) {
        buf_append(out, VIEW("(NIL NIL NIL NIL)"));
        return;
    }
    if (a->kind == MAIL_ADDRESS_GROUP_START) {
        buf_append(out, VIEW("(NIL NIL "));
        imap_write_string(out, a->name, is_utf8);
        buf_append(out, VIEW(" NIL)"));
        return;
    }
    buf_append_byte(out, '(');
    write_optional(out, a->name, is_utf8);
    buf_append_byte(out, ' ');
    write_optional(out, a->route, is_utf8);
    buf_append_byte(out, ' ');
    imap_write_string(out, a->local, is_utf8);
    buf_append_byte(out, ' ');
    imap_write_string(out, a->domain, is_utf8);
    buf_append_byte(out, ')');
}

static void write_addresses(buf *out, const struct mail_address *first, bool is_utf8)
{
    buf_append_byte(out, ' ');
    if (!first) {
        buf_append(out, VIEW("NIL"));
        return;
    }
    buf_append_byte(out, '(');
    for (const struct mail_address *a = first; a; a = a->next) write_address(out, a, is_utf8);
    buf_append_byte(out, ')');
}

void imap_write_envelope(buf *out, const struct message_envelope *e, bool is_utf8)
{
    buf_append_byte(out, '(');
    imap_write_nstring(out, e->date, e->has_date, is_utf8);
    buf_append_byte(out, ' ');
    imap_write_nstring(out, e->subject, e->has_subject, is_utf8);
    write_addresses(out, e->from, is_utf8);
    write_addresses(out, e->sender ? e->sender : e->from, is_utf8);
    write_addresses(out, e->reply_to ? e->reply_to : e->from, is_utf8);
    write_addresses(out, e->to, is_utf8);
    write_addresses(out, e->cc, is_utf8);
    write_addresses(out, e->bcc, is_utf8);
    buf_append_byte(out, ' ');
    imap_write_nstring(out, e->in_reply_to, e->has_in_reply_to, is_utf8);
    buf_append_byte(out, ' ');
    imap_write_nstring(out, e->message_id, e->has_message_id, is_utf8);
    buf_append_byte(out, ')');
}

/* body-fld-param = "(" string SP string *(SP string SP string) ")" / nil */
static void write_parameters(buf *out, const struct mime_parameters *parameters, bool is_utf8)
{
    for (unsigned i = 0; i < parameters->count; i++) {
        buf_append_byte(out, i ? ' ' : '(');
        imap_write_string(out, parameters->at[i].name, is_utf8);
        buf_append_byte(out, ' ');
        imap_write_string(out, parameters->at[i].value, is_utf8);
    }
    buf_append_cstr(out, parameters->count ? ")" : "NIL");
}

/* body-fld-dsp [SP body-fld-lang [SP body-fld-loc]] */
static void write_extension(buf *out, const struct mime_part *part, bool is_utf8)
{
    if (part->disposition.len) {
        buf_append_byte(out, '(');
        imap_write_string(out, part->disposition, is_utf8);
        buf_append_byte(out, ' ');
        write_parameters(out, &part->disposition_parameters, is_utf8);
        buf_append_byte(out, ')');
    } else {
        buf_append(out, VIEW("NIL"));
    }
    buf_append_byte(out, ' ');
    for (unsigned i = 0; i < part->language_count; i++) {
        buf_append_byte(out, i ? ' ' : '(');
        imap_write_string(out, part->languages[i], is_utf8);
    }
    buf_append_cstr(out, part->language_count ? ") " : "NIL ");
    write_optional(out, part->location, is_utf8);
}

static void write_multipart(buf *out, const struct mime_part *part, view message, bool is_extended, bool is_utf8, struct arena *arena)
{
    for (const struct mime_part *child = part->first; child; child = child->next)
        imap_write_structure(out, child, message, is_extended, is_utf8, arena);
    buf_append_byte(out, ' ');
    imap_write_string(out, part->subtype, is_utf8);
    if (!is_extended) return;
    buf_append_byte(out, ' ');
    write_parameters(out, &part->parameters, is_utf8);
    buf_append_byte(out, ' ');
    write_extension(out, part, is_utf8);
}

/* What body-type-msg has beside body-fields: the embedded message's envelope and structure. */
static void write_embedded(buf *out, const struct mime_part *part, view message, bool is_extended, bool is_utf8, struct arena *arena)
{
    struct message_envelope envelope;
    struct arena *scratch = arena_new(arena, ENVELOPE_ARENA_BYTES_MAX);
    message_envelope_parse(mime_range_of(message, part->first->header), scratch, &envelope);
    buf_append_byte(out, ' ');
    imap_write_envelope(out, &envelope, is_utf8);
    arena_free(scratch);
    buf_append_byte(out, ' ');
    imap_write_structure(out, part->first, message, is_extended, is_utf8, arena);
}

/* body-fields = body-fld-param SP body-fld-id SP body-fld-desc SP body-fld-enc SP body-fld-octets */
static void write_single(buf *out, const struct mime_part *part, view message, bool is_extended, bool is_utf8, struct arena *arena)
{
    imap_write_string(out, part->type, is_utf8);
    buf_append_byte(out, ' ');
    imap_write_string(out, part->subtype, is_utf8);
    buf_append_byte(out, ' ');
    write_parameters(out, &part->parameters, is_utf8);
    buf_append_byte(out, ' ');
    write_optional(out, part->id, is_utf8);
    buf_append_byte(out, ' ');
    write_optional(out, part->description, is_utf8);
    buf_append_byte(out, ' ');
    imap_write_string(out, part->encoding.len ? part->encoding : VIEW("7bit"), is_utf8);
    buf_append_byte(out, ' ');
    buf_append_u64(out, part->body.len);
    if (part->kind == MIME_MESSAGE) write_embedded(out, part, message, is_extended, is_utf8, arena);
    if (part->kind == MIME_MESSAGE || mime_is(part, "text", NULL)) {
        buf_append_byte(out, ' ');
        buf_append_u64(out, part->body_lines);
    }
    if (!is_extended) return;
    buf_append_byte(out, ' ');
    write_optional(out, part->md5, is_utf8);
    buf_append_byte(out, ' ');
    write_extension(out, part, is_utf8);
}

/* Recursion is bounded by MIME_DEPTH_MAX. */
void imap_write_structure(buf *out, const struct mime_part *part, view message, bool is_extended, bool is_utf8, struct arena *arena)
{
    buf_append_byte(out, '(');
    if (part->kind == MIME_MULTIPART) {
        write_multipart(out, part, message, is_extended, is_utf8, arena);
    } else {
        write_single(out, part, message, is_extended, is_utf8, arena);
    }
    buf_append_byte(out, ')');
}
