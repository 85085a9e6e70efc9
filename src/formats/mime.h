/*
 * mime: the structure of a message (RFC 2045, RFC 2046) as IMAP wants it.
 *
 * mime_parse() reads a whole message in one pass over its lines and returns a tree of parts. It cannot
 * fail: what is broken or over a limit becomes a leaf, so that every byte can still be fetched.
 *
 * Invariants:
 * 1. Time is linear in the size of the message, whatever the boundaries look like.
 * 2. Every range lies within the message; header and body of a part touch; a child lies within its parent's body.
 * 3. A multipart has at least one child, a MIME_MESSAGE exactly one (the embedded message), a leaf none.
 * 4. Nothing in the tree points into the message: it may be kept when the bytes have gone.
 *
 * How broken structure degrades:
 *   no Content-Type, or none that can be read            text/plain (RFC 2045 §5.2); message/rfc822 in a digest
 *   multipart without boundary, or without any part      leaf text/plain
 *   multipart or message below MIME_DEPTH_MAX            leaf application/octet-stream
 *   message/rfc822 in base64 or quoted-printable         leaf application/octet-stream (RFC 2046 §5.2.1 forbids it)
 *   more parts than MIME_PARTS_MAX, or the arena's       the last part takes the rest of its multipart
 *   budget is spent
 *   no end boundary                                      the multipart ends with what it is in
 *   a boundary in the header of a part                   the header ends there, the body is empty
 */
#pragma once

#include "base/arena.h"
#include "base/view.h"

enum {
    MIME_PARTS_MAX = 10000,            /* of one message; digests and reports seen in practice have hundreds */
    MIME_DEPTH_MAX = 100,              /* of multiparts and embedded messages; bounds recursion over the tree */
    MIME_PARAMETERS_MAX = 100,         /* of one field; continuations of RFC 2231 count each */
    MIME_FIELD_BYTES_MAX = 16 * 1024,  /* of a Content- field that is read */
    MIME_BOUNDARY_BYTES_MAX = 200,     /* RFC 2046 §5.1.1 says 70; of a longer one the beginning is compared */
    MIME_SECTION_NUMBERS_MAX = MIME_DEPTH_MAX + 1,
    MIME_ARENA_BYTES_ENOUGH = 8 << 20, /* a budget with which MIME_PARTS_MAX ordinary parts are reached */
};

enum mime_kind { MIME_LEAF, MIME_MULTIPART, MIME_MESSAGE };

/* Quoting removed, otherwise as written: "filename*0*" is a name of its own. mime_parameter_text() joins and decodes. */
struct mime_parameter {
    view name, value;
};

struct mime_parameters {
    struct mime_parameter *at;
    unsigned count;
};

struct mime_range {
    size_t from, len;                  /* bytes of the message */
};

struct mime_part {
    enum mime_kind kind;
    unsigned number;                   /* position among its siblings, from 1; 1 for a root */
    unsigned depth;                    /* 0 for the root */
    struct mime_part *parent;          /* of a MIME_MESSAGE's root: that MIME_MESSAGE; of the root NULL */
    struct mime_part *first;           /* first child of a multipart; the embedded message's root of a MIME_MESSAGE */
    struct mime_part *next;            /* next sibling */

    view type, subtype;                /* as written; never empty */
    struct mime_parameters parameters; /* of Content-Type */
    view id, description, md5, location; /* unfolded; empty when missing */
    view encoding;                     /* Content-Transfer-Encoding as written; empty when missing (that is 7bit) */
    view disposition;                  /* empty when there is none */
    struct mime_parameters disposition_parameters;
    view *languages;                   /* of Content-Language */
    unsigned language_count;

    struct mime_range header;          /* with its empty line */
    struct mime_range body;            /* without the line end that belongs to the boundary */
    uint32_t body_lines;               /* a last line without line end counts */
    bool is_degraded;                  /* type and subtype are not what the header says */
};

/* The root part of `message`. `depth`, `number` as above. Never NULL unless not even one part fits into the arena's budget. */
struct mime_part *mime_parse(view message, struct arena *arena);

/* ASCII case ignored; a NULL or empty subtype matches all. */
bool mime_is(const struct mime_part *part, const char *type, const char *subtype);
/* The value of a parameter as written (no RFC 2231, no RFC 2047); empty when missing. */
view mime_parameter(const struct mime_parameters *parameters, view name);
/*
 * The value of a parameter as UTF-8 text: RFC 2231 continuations, charset and language, RFC 2047 words
 * (which do not belong here and are everywhere), raw ISO-2022-JP, Shift_JIS and UTF-8. False when missing.
 */
bool mime_parameter_text(const struct mime_parameters *parameters, view name, struct arena *arena, view *ret_text);
/* filename of the disposition, else name of the type, as text. False when there is neither. */
bool mime_filename(const struct mime_part *part, struct arena *arena, view *ret_name);

/*
 * The part that an IMAP section number names (RFC 9051 §6.4.5.1): {2, 1} is "2.1". No numbers: the root.
 * NULL when there is none. For a leaf or message root, 1 is the root itself.
 */
const struct mime_part *mime_find(const struct mime_part *root, const uint32_t *numbers, size_t count);

/* What of it: BODY[n], BODY[n.MIME], BODY[n.HEADER], BODY[n.TEXT]. Without numbers WHOLE is the whole message. */
enum mime_what { MIME_WHOLE, MIME_MIME, MIME_HEADER, MIME_TEXT };

/* The bytes of a section. False when there is no such section (no such part, HEADER or TEXT of what is no message). */
bool mime_section(const struct mime_part *root, const uint32_t *numbers, size_t count, enum mime_what what,
                  struct mime_range *ret_range);

static inline view mime_range_of(view message, struct mime_range range) { return view_slice(message, range.from, range.len); }
