/* NOOP and CHECK: RFC 9051 §6.1.2, RFC 3501 §6.4.1. Everything is durable already; dispatch.c tells what changed. */
#include "imapd/session.h"

void imapd_noop(struct session *s, const struct imap_command *c, struct reply *r)
{
}

void imapd_check(struct session *s, const struct imap_command *c, struct reply *r)
{
}
