/* ENABLE: RFC 9051 §6.3.1, RFC 5161, RFC 7162 §3.2.3, RFC 9586, RFC 5464 §4.1. */
#include "imapd/session.h"

void imapd_enable(struct session *s, const struct imap_command *c, struct reply *r)
{
    buf *out = session_out(s);
    buf_append(out, VIEW("* ENABLED"));
    for (size_t i = 0; i < c->enable.count; i++) {
        view name = c->enable.names[i];
        bool *flag = view_equal_nocase(name, VIEW("IMAP4REV2"))                                ? &s->is_rev2
                     : view_equal_nocase(name, VIEW("CONDSTORE"))                              ? &s->has_condstore
                     : view_equal_nocase(name, VIEW("UTF8=ACCEPT"))                            ? &s->is_utf8
                     : view_equal_nocase(name, VIEW("QRESYNC"))                                ? &s->has_qresync
                     : view_equal_nocase(name, VIEW("UIDONLY"))                                ? &s->is_uid_only
                     : view_equal_nocase(name, VIEW("METADATA")) && session_has_metadata(s)    ? &s->has_metadata
                                                                                               : NULL;
        if (!flag) continue;
        if (!*flag) {
            buf_append_byte(out, ' ');
            buf_append(out, name);
        }
        if (flag == &s->has_metadata && !*flag && !s->notify) session_follow_annotations(s);
        *flag = true;
        if (flag == &s->has_qresync) s->has_condstore = true;    /* RFC 7162 §3.2.3 */
    }
    buf_append(out, VIEW("\r\n"));
}
