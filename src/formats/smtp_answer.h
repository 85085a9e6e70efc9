/*
 * smtp_answer: what an SMTP or LMTP server answers, read by a client (RFC 5321 §4.2, RFC 2034).
 *
 * Lines come one by one from the wire; an answer of several lines is gathered. Whatever a server says is data: texts are
 * bounded and control characters become '?', because they end in logs and bounces. Pure; nothing here yields.
 */
#pragma once

#include "base/buf.h"
#include "base/view.h"

enum {
    SMTP_ANSWER_LINE_MAX = 4096,       /* eight times RFC 5321 §4.5.3.1.5: servers with long texts exist */
    SMTP_ANSWER_LINES_MAX = 128,       /* of one answer: EHLO of the widest servers has some 30 */
    SMTP_ANSWER_TEXT_MAX = 2048,       /* what is kept of all lines */
};

struct smtp_answer {
    uint16_t code;                     /* 200..599 */
    /* Enhanced code, RFC 3463; 0.0.0 when there was none. Its class is that of the code. */
    uint8_t class;
    uint16_t subject, detail;
    bool is_whole;
    unsigned lines;
    buf text;                          /* LF between lines, without codes */
};

void smtp_answer_init(struct smtp_answer *a);
void smtp_answer_done(struct smtp_answer *a);
void smtp_answer_clear(struct smtp_answer *a);
/*
 * One more line, without its end. False when the server breaks the grammar: no code, another code than before, too many lines; what it
 * says then is not to be trusted and the connection ends.
 */
bool smtp_answer_line(struct smtp_answer *a, view line);
static inline bool smtp_answer_is_ok(const struct smtp_answer *a) { return a->code / 100 == 2; }
static inline bool smtp_answer_is_permanent(const struct smtp_answer *a) { return a->code / 100 == 5; }
/* "550 5.1.1 No such user": one line, for logs and bounces. */
void smtp_answer_append(buf *out, const struct smtp_answer *a);

/* What a server said in EHLO or LHLO. */
struct smtp_offer {
    bool pipelining, eight_bit, utf8, chunking, binary, starttls, dsn, enhanced, requiretls, size, deliver_by, priority;
    uint64_t size_bytes_max;           /* 0: no limit told */
    uint64_t deliver_by_min_s;         /* RFC 2852 §2: the least time that it can keep to; 0: any */
};
/* From the answer's text: its first line is the greeting. */
void smtp_offer_parse(view text, struct smtp_offer *ret_offer);
