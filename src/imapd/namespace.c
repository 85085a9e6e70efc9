/* NAMESPACE: RFC 9051 §6.3.10, RFC 2342. One personal namespace; no other users', no shared ones yet. */
#include "imapd/session.h"

void imapd_namespace(struct session *s, const struct imap_command *c, struct reply *r)
{
    session_tellf(s, "NAMESPACE ((\"\" \"/\")) NIL NIL");
}
