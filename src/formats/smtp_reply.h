/*
 * smtp_reply: what an SMTP or LMTP server answers.
 *
 * A status is code, enhanced code (RFC 3463, RFC 5248) and standard text, set together in one table
 * (smtp_status.def) and named; code and text never travel in one string. Writing puts one reply with
 * as many lines as its text has; each line carries both codes. Pure; nothing here yields.
 */
#pragma once

#include "base/buf.h"
#include "base/fault.h"
#include "base/result.h"
#include "base/view.h"

enum smtp_status_name {
#define SMTP_STATUS(name, code, subject, detail, text) SMTP_##name,
#include "formats/smtp_status.def"
#undef SMTP_STATUS
    SMTP_STATUS_COUNT
};

/* subject 0 with detail 0 in a 2xx or 3xx that is a greeting or an intermediate reply: no enhanced code. */
enum { SMTP_NO_ENHANCED_CODE = 255 };

struct smtp_status {
    uint16_t code;              /* 220..555; its first digit is the enhanced code's class */
    uint8_t subject, detail;    /* of the enhanced code; SMTP_NO_ENHANCED_CODE: none is written */
    const char *text;
};

const struct smtp_status *smtp_status(enum smtp_status_name name);

enum {
    SMTP_REPLY_LINE_MAX = 512,  /* RFC 5321 §4.5.3.1.5, with CRLF; longer text goes on in a further line */
};

/*
 * Writes a reply. An empty `text` means the standard text. LF in `text` separates lines; other control
 * characters and octets above 127 become '?'.
 */
void smtp_reply_append(buf *out, enum smtp_status_name name, view text);
void smtp_reply_appendf(buf *out, enum smtp_status_name name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * The one table from a result to a status, for an operation on a mailbox or a message: temporary
 * (4xx) wherever trying again can help.
 */
enum smtp_status_name smtp_status_of_result(result code);
