/* COMPRESS: RFC 4978. The order is compression, then TLS: STARTTLS is refused afterwards (starttls.c). */
#include "imapd/session.h"

void imapd_compress(struct session *s, const struct imap_command *c, struct reply *r)
{
    if (!view_equal_nocase(c->compression, VIEW("DEFLATE"))) {
        reply_set(r, REPLY_BAD, "", "DEFLATE is the one that is known here");
        return;
    }
    if (wire_is_compressed(&s->wire)) {
        reply_set(r, REPLY_NO, "COMPRESSIONACTIVE", "DEFLATE is active already");
        return;
    }
    wire_putf(&s->wire, VIEW_FMT " OK DEFLATE active\r\n", VIEW_ARG(c->tag));
    r->kind = REPLY_NONE;
    if (session_flush(s) == OK) wire_compress(&s->wire);
}
