/* LOGOUT: RFC 9051 §6.1.3. */
#include "imapd/session.h"

void imapd_logout(struct session *s, const struct imap_command *c, struct reply *r)
{
    session_tellf(s, "BYE Logging out");
    s->state = SESSION_LOGGED_OUT;
    s->is_closing = true;
    s->close_reason = "logout";
}
