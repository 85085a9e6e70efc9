/* ENABLE: RFC 9051 §6.3.1, RFC 5161. */
#include "imapd/session.h"

void imapd_enable(struct session *s, const struct imap_command *c, struct reply *r)
{
    buf *out = session_out(s);
    buf_append(out, VIEW("* ENABLED"));
    for (size_t i = 0; i < c->enable.count; i++) {
        view name = c->enable.names[i];
        bool *flag = view_equal_nocase(name, VIEW("IMAP4REV2"))     ? &s->is_rev2
                     : view_equal_nocase(name, VIEW("CONDSTORE"))   ? &s->has_condstore
                     : view_equal_nocase(name, VIEW("UTF8=ACCEPT")) ? &s->is_utf8
                                                                    : NULL;
        if (!flag) continue;
        if (!*flag) {
            buf_append_byte(out, ' ');
            buf_append(out, name);
        }
        *flag = true;
    }
    buf_append(out, VIEW("\r\n"));
}
