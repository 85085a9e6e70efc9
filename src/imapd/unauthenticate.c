/*
 * UNAUTHENTICATE: RFC 8437. Back to where the connection was before log-in; TLS and compression stay.
 */
#include "imapd/session.h"

void imapd_unauthenticate(struct session *s, const struct imap_command *c, struct reply *r)
{
    session_end_notify(s);
    session_unselect(s);
    session_unwatch(s);
    session_leave_account(s);
    s->account_id = (struct id){0};
    s->quota = (struct quota){0};
    s->is_rev2 = s->is_utf8 = s->has_condstore = s->has_qresync = s->is_uid_only = s->has_metadata = s->is_deaf = false;
    s->state = SESSION_NOT_AUTHENTICATED;
}
