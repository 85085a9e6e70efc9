/*
 * pop3: commands and answers of POP3 (RFC 1939, 2449, 2595, 5034, 6856). Pure.
 *
 * A command is one line without its end. Keywords in any case; arguments are separated by one space, but
 * more of them, and trailing ones, are forgiven. The arguments of USER and PASS are the rest of the line,
 * spaces included. Views point into the line.
 */
#pragma once

#include "base/buf.h"
#include "base/result.h"
#include "base/view.h"
#include "formats/sasl.h"

enum {
    /* RFC 2449 §4 has 255 bytes; AUTH with its initial response (RFC 5034 §4) and long passwords need more. */
    POP3_COMMAND_BYTES_MAX = SASL_PLAIN_LINE_BYTES_MAX + 32,
};

enum pop3_verb {
    POP3_USER, POP3_PASS, POP3_AUTH, POP3_STLS, POP3_CAPA, POP3_UTF8, POP3_QUIT, POP3_NOOP,
    POP3_STAT, POP3_LIST, POP3_UIDL, POP3_RETR, POP3_TOP, POP3_DELE, POP3_RSET,
    POP3_VERB_COUNT
};

struct pop3_command {
    enum pop3_verb verb;
    bool has_number;             /* LIST, UIDL: may be without; RETR, DELE, TOP: always true */
    uint32_t number;             /* of a message, from 1 */
    uint32_t lines;              /* TOP */
    view text;                   /* USER: name. PASS: password. AUTH: mechanism, empty if none was given */
    bool has_initial;            /* AUTH: an initial response was given; "=" is the empty one */
    view initial;                /* in base64 */
};

/* NOT_FOUND: no such command (*ret_command is left alone). INVALID: its arguments are wrong (verb is set). */
NODISCARD result pop3_command_parse(view line, struct pop3_command *ret_command);
const char *pop3_verb_name(enum pop3_verb verb);

/* Response codes (RFC 2449 §8, RFC 3206). */
enum pop3_code { POP3_NO_CODE, POP3_IN_USE, POP3_SYS_TEMP, POP3_SYS_PERM, POP3_AUTH_FAILED };

/* "+OK" or "+OK text", and "-ERR [code] text". `text` has no line end. */
void pop3_append_ok(buf *b, view text);
void pop3_append_error(buf *b, enum pop3_code code, view text);

/*
 * The lines of a message behind "+OK" (RFC 1939 §3): dots at the start of a line are doubled, "." ends it.
 * A line starts after LF: clients that take a bare LF for a line end must not see the end in the middle.
 * Feed the message in pieces of any size; bytes are otherwise as they are.
 */
struct pop3_body {
    char last[2];                /* the last bytes that were written */
    bool is_limited, is_full;    /* TOP, and it has all it wants */
    bool in_header;              /* TOP: before the empty line */
    uint32_t lines_left;         /* TOP: of the body */
    uint64_t line_bytes;         /* TOP: of the line so far */
    char line_first;             /* TOP: its first byte */
};

struct pop3_body pop3_body_whole(void);
struct pop3_body pop3_body_top(uint32_t lines);
/* False when TOP has all it wants: the rest need not be fed. */
bool pop3_body_append(struct pop3_body *p, view piece, buf *into);
/* The last CRLF if it is missing, and the final dot. */
void pop3_body_end(struct pop3_body *p, buf *into);
