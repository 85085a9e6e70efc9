#include "formats/message_text.h"

#include "base/check.h"
#include "base/utf8.h"
#include "formats/charset.h"
#include "formats/encoded_word.h"
#include "formats/html_text.h"
#include "formats/mime.h"
#include "formats/text_fold.h"
#include "formats/transfer.h"

void message_text_done(struct message_text *t)
{
    arena_free(t->arena);
    buf_done(&t->line);
    buf_done(&t->decoded);
    buf_done(&t->utf8);
    buf_done(&t->shown);
    *t = MESSAGE_TEXT_INIT;
}

/* ---- fields ---- */

enum message_zone message_zone_of(view name)
{
    static const struct { view name; enum message_zone zone; } zones[] = {
        {VIEW_INIT("Subject"), ZONE_SUBJECT}, {VIEW_INIT("From"), ZONE_FROM}, {VIEW_INIT("To"), ZONE_TO}, {VIEW_INIT("Cc"), ZONE_CC}, {VIEW_INIT("Bcc"), ZONE_BCC}};
    for (size_t i = 0; i < array_size(zones); i++)
        if (view_equal_nocase(name, zones[i].name)) return zones[i].zone;
    return ZONE_OTHER;
}

static bool is_signature(view name)
{
    static const view names[] = {VIEW_INIT("DKIM-Signature"), VIEW_INIT("ARC-Seal"), VIEW_INIT("ARC-Message-Signature"),
                                 VIEW_INIT("X-Google-DKIM-Signature"), VIEW_INIT("DomainKey-Signature")};
    for (size_t i = 0; i < array_size(names); i++)
        if (view_equal_nocase(name, names[i])) return true;
    return false;
}

/* tag-list (RFC 6376 §3.2) without what "b" and "bh" say. */
static void append_without_signature(view value, buf *into)
{
    view tag, rest = value;
    while (view_cut(&rest, ';', &tag)) {
        view bare = view_trim(tag);
        if (view_starts(bare, VIEW("b=")) || view_starts(bare, VIEW("bh="))) continue;
        buf_append(into, tag);
        buf_append_byte(into, ';');
    }
}

static void append_value(struct message_text *t, const struct header_field *field, buf *into)
{
    view value = field->value;
    if (is_signature(field->name)) {
        buf_clear(&t->decoded);
        append_without_signature(value, &t->decoded);
        value = buf_view(&t->decoded);
    }
    if (!t->arena) t->arena = arena_new(NULL, MESSAGE_TEXT_FIELD_ARENA_BYTES);
    arena_reset(t->arena);
    text_fold(encoded_word_decode(value, t->arena), into);
}

view message_field_text(struct message_text *t, const struct header_field *field)
{
    buf_clear(&t->line);
    append_value(t, field, &t->line);
    return buf_view(&t->line);
}

/* `zone` ZONES: as the field's name says. */
static bool tell_fields(struct message_text *t, view header, enum message_zone zone, message_text_fn *each, void *argument)
{
    struct header_field field;
    while (header_next(&header, &field)) {
        struct message_piece piece = {.zone = zone == ZONES ? message_zone_of(field.name) : zone, .is_field = true};
        buf_clear(&t->line);
        text_fold(field.name, &t->line);
        buf_append(&t->line, VIEW(": "));
        piece.value_at = t->line.len;
        append_value(t, &field, &t->line);
        piece.text = buf_view(&t->line);
        if (!each(argument, &piece)) return false;
    }
    return true;
}

bool message_text_header(struct message_text *t, view header, message_text_fn *each, void *argument)
{
    return tell_fields(t, header, ZONES, each, argument);
}

/* ---- bodies ---- */

struct shown {
    buf *into;
    bool wants_space;
};

static bool show(void *argument, uint32_t c)
{
    struct shown *s = argument;
    if (c <= ' ' || c == 0xa0) {
        s->wants_space = true;
        return true;
    }
    if (s->wants_space) buf_append_byte(s->into, ' ');
    s->wants_space = false;
    if (c < 0x80) buf_append_byte(s->into, (char)c);
    else utf8_append(s->into, c);
    return true;
}

static bool tell_body(struct message_text *t, view message, const struct mime_part *part, message_text_fn *each, void *argument)
{
    view body = view_slice(mime_range_of(message, part->body), 0, MESSAGE_TEXT_PART_BYTES_MAX);
    enum transfer_encoding encoding = transfer_encoding_of(part->encoding);
    if (encoding == TRANSFER_BASE64 || encoding == TRANSFER_QUOTED_PRINTABLE) {
        buf_clear(&t->decoded);
        (void)transfer_decode(encoding, body, &t->decoded);
        body = buf_view(&t->decoded);
    }
    buf_clear(&t->utf8);
    (void)charset_append_utf8(mime_parameter(&part->parameters, VIEW("charset")), body, &t->utf8);
    view text = buf_view(&t->utf8);
    if (mime_is(part, "text", "html")) {
        struct shown s = {.into = &t->shown};
        buf_clear(&t->shown);
        html_text_each(text, show, &s);
        text = buf_view(&t->shown);
    }
    buf_clear(&t->line);
    text_fold(text, &t->line);
    struct message_piece piece = {.zone = ZONE_BODY, .text = buf_view(&t->line)};
    return each(argument, &piece);
}

struct telling {
    struct message_text *text;
    view message;
    bool with_fields;                        /* of parts, too */
    message_text_fn *each;
    void *argument;
};

/* Depth: MIME_DEPTH_MAX. An embedded message's header is part of the body it is in. */
static bool tell_part(const struct telling *g, const struct mime_part *part, bool is_embedded)
{
    bool tells_fields = part->parent && (is_embedded || g->with_fields);
    view header = mime_range_of(g->message, part->header);
    if (tells_fields && !tell_fields(g->text, header, is_embedded ? ZONE_BODY : ZONE_OTHER, g->each, g->argument)) return false;
    for (const struct mime_part *child = part->first; child; child = child->next)
        if (!tell_part(g, child, is_embedded || part->kind == MIME_MESSAGE)) return false;
    return part->kind != MIME_LEAF || !mime_is(part, "text", NULL) || tell_body(g->text, g->message, part, g->each, g->argument);
}

bool message_text_parts(struct message_text *t, view message, const struct mime_part *root, message_text_fn *each, void *argument)
{
    struct telling g = {t, message, true, each, argument};
    return tell_part(&g, root, false);
}

bool message_text_bodies(struct message_text *t, view message, const struct mime_part *root, message_text_fn *each, void *argument)
{
    struct telling g = {t, message, false, each, argument};
    return tell_part(&g, root, false);
}
