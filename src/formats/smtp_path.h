/*
 * smtp_path: reverse-path and forward-path of MAIL and RCPT (RFC 5321 §4.1.2, RFC 6531 §3.3).
 *
 * A path becomes local part and domain. A quoted local part is kept without its quotes, so that
 * "a..b"@x and a..b@x name the same mailbox. Local parts that carriers issued against the RFC (a..b,
 * .a, a.) are taken as they stand; whether they exist is the directory's business. A source route is
 * dropped, as §4.1.1.3 allows. Views point into the line or into the arena. Nothing here yields.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/cursor.h"
#include "base/result.h"

enum {
    /* RFC 5321 §4.5.3.1.1 asks for 64 at least; senders rewritten by SRS and VERP are longer. */
    SMTP_LOCAL_PART_MAX = 256,
    SMTP_DOMAIN_MAX = 255,            /* RFC 5321 §4.5.3.1.2 */
    SMTP_DOMAIN_LABEL_MAX = 63,       /* RFC 1035 §2.3.4, in the ASCII form */
    SMTP_SOURCE_ROUTE_MAX = 1024,     /* octets; dropped anyway */
};

enum smtp_domain_kind {
    SMTP_DOMAIN_NONE,                 /* the null path, or <postmaster> alone */
    SMTP_DOMAIN_NAME,
    SMTP_DOMAIN_LITERAL,              /* [192.0.2.1], [IPv6:2001:db8::1] or [tag:...], brackets kept */
};

struct smtp_path {
    bool is_null;                     /* <>: all else is empty */
    bool is_utf8;                     /* has octets above 127: needs SMTPUTF8 */
    enum smtp_domain_kind domain_kind;
    view local_part;                  /* without quotes and backslashes */
    view domain;                      /* as it came, without a final dot */
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

/* An address literal with its brackets: an IPv4 or IPv6 address, or a tagged one (RFC 5321 §4.1.3). */
bool smtp_address_literal_is_valid(view literal);
/* A domain name of letters, digits, '-', '_' and UTF-8 in labels of allowed length; no final dot. */
bool smtp_domain_is_valid(view domain);
/* The same as smtp_path_append_mailbox() writes, kept in the arena; empty for the null path. */
view smtp_path_keep_text(struct arena *arena, const struct smtp_path *path);
