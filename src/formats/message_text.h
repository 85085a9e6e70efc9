/*
 * message_text: all text of a message that is searched, folded (text_fold.h).
 *
 * The one place that says what SEARCH looks into, for who reads messages and for who makes an index of them:
 *   header fields of the message, of its parts and of embedded messages, decoded (RFC 2047), as "name: value" on one line;
 *   bodies of all text parts in their charset, HTML as its reader sees it, white space of HTML as one space.
 * Left out: the bytes of signatures ("b=" and "bh=" of DKIM and ARC), which nobody looks for and an index would be full of.
 * Pure.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "formats/header.h"

struct mime_part;

/* Where a piece of text stands. A needle for TEXT is looked for in all, one for BODY in ZONE_BODY, others by the name of the field. */
enum message_zone {
    ZONE_OTHER,                              /* names of fields, values of other fields, fields of parts */
    ZONE_BODY,                               /* bodies, and fields of embedded messages, which are part of one */
    ZONE_SUBJECT, ZONE_FROM, ZONE_TO, ZONE_CC, ZONE_BCC,   /* values in the message's own header */
    ZONES
};

enum {
    MESSAGE_TEXT_PART_BYTES_MAX = 16 << 20,  /* of a part that is looked at, as it stands in the message; longer ones are logs and data */
    MESSAGE_TEXT_FIELD_ARENA_BYTES = 4 << 20,
};

/* `text` is folded UTF-8. Of a header field it is the whole line, whose value begins at `value_at`; elsewhere value_at is 0. */
struct message_piece {
    enum message_zone zone;                  /* of the value */
    bool is_field;
    size_t value_at;
    view text;
};
/* False: enough. The piece is good until it returns. */
typedef bool message_text_fn(void *argument, const struct message_piece *piece);

/* Scratch memory; MESSAGE_TEXT_INIT, and message_text_done() at the end. */
struct message_text {
    struct arena *arena;
    buf line, decoded, utf8, shown;
};
#define MESSAGE_TEXT_INIT ((struct message_text){0})
void message_text_done(struct message_text *t);

/* The zone of a field of a message's own header. */
enum message_zone message_zone_of(view name);
/* The value of a field, folded; good until the next call. */
view message_field_text(struct message_text *t, const struct header_field *field);
/* The fields of a message's own header. False: each() said so. */
bool message_text_header(struct message_text *t, view header, message_text_fn *each, void *argument);
/* Everything below: fields of parts, bodies. `root` as mime_parse() made it of `message`. False: each() said so. */
bool message_text_parts(struct message_text *t, view message, const struct mime_part *root, message_text_fn *each, void *argument);
/* ZONE_BODY only. */
bool message_text_bodies(struct message_text *t, view message, const struct mime_part *root, message_text_fn *each, void *argument);
