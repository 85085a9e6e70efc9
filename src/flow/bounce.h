/*
 * bounce: what a sender is told about mail that did not, or not yet, arrive (RFC 3464, RFC 6533, RFC 3461).
 *
 * A multipart/report with a text in Japanese and English, the machine-readable part, and the header of the original. A message from the
 * null sender gets none (RFC 5321 §6.1), and NOTIFY of each recipient is kept to. The notice comes from the null sender, so it never
 * makes another. A sender who is ours gets it delivered, another one by the queue.
 */
#pragma once

#include "flow/queue.h"

struct outbound;
struct queued;

enum bounce_kind { BOUNCE_FAILED, BOUNCE_DELAYED, BOUNCE_DELIVERED };

/* OK also when nobody wants to be told. Durable when OK. */
MAY_YIELD NODISCARD result bounce_send(struct outbound *o, struct queued *m, enum bounce_kind kind, const struct queue_result *results, size_t count,
                                       millis deadline, struct fault *fault);

/* The notice's text, for bounce_send() and its tests. */
struct bounce_recipient { view address, original, host, answer; uint16_t code; uint8_t class; uint16_t subject, detail; bool is_final; };
struct bounce {
    enum bounce_kind kind;
    view server_name, sender, envelope_id;
    struct id message, notice;
    unix_ms received, now, until;        /* until: when it is given up (BOUNCE_DELAYED) */
    unix_ms deliver_by;                  /* RFC 2852 §5; 0: whenever */
    const struct bounce_recipient *recipients;
    size_t recipient_count;
    view header;                         /* of the original, as far as it is returned */
    bool is_whole;                       /* it is all of the original (RET=FULL) */
    bool is_utf8;
};
void bounce_write(buf *into, const struct bounce *b);
