/*
 * smtp_path: reverse-path and forward-path of MAIL and RCPT (RFC 5321 §4.1.2, RFC 6531 §3.3).
 *
 * The mailbox in it is mail_address.h's, taken tolerantly: local parts that carriers issued against the
 * RFC (a..b, .a, a.) stand as they are; whether they exist is the directory's business. A source route is
 * dropped, as §4.1.1.3 allows. Views live in the arena. Nothing here yields.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/cursor.h"

enum { SMTP_SOURCE_ROUTE_HOPS_MAX = 100 };   /* dropped anyway */

enum smtp_domain_kind {
    SMTP_DOMAIN_NONE,                 /* the null path, or <postmaster> alone */
    SMTP_DOMAIN_NAME,
    SMTP_DOMAIN_LITERAL,              /* [192.0.2.1] or [IPv6:2001:db8::1], brackets kept */
};

struct smtp_path {
    bool is_null;                     /* <>: all else is empty */
    bool is_utf8;                     /* has octets above 127: needs SMTPUTF8 */
    enum smtp_domain_kind domain_kind;
    view local_part;                  /* without quotes and backslashes */
    view domain;                      /* as it came */
};

/* Which paths are allowed where. */
enum smtp_path_kind { SMTP_REVERSE_PATH, SMTP_FORWARD_PATH };

/*
 * Takes a path from the front: <...>, or a mailbox without brackets, which some programs send. The
 * null path is for SMTP_REVERSE_PATH only, <postmaster> without a domain for SMTP_FORWARD_PATH only.
 * False, and the cursor unmoved, when it breaks the grammar or a limit.
 */
bool take_smtp_path(struct cursor *c, enum smtp_path_kind kind, struct arena *arena, struct smtp_path *ret_path);

/* The mailbox as RFC 5321 wants it written, without <>: the local part is quoted where it must be. */
void smtp_path_append_mailbox(buf *out, const struct smtp_path *path);
/* "<" mailbox ">". */
void smtp_path_append(buf *out, const struct smtp_path *path);
/* What smtp_path_append_mailbox() writes, kept in the arena; empty for the null path. */
view smtp_path_keep_text(struct arena *arena, const struct smtp_path *path);
