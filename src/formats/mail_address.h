/*
 * mail_address: mailboxes as headers and as SMTP write them.
 *
 * Two grammars, because they are two. A header (RFC 5322 §3.4 with §4.4) is read, never judged: groups,
 * comments, routes, quoted strings, raw ISO-2022-JP and every broken form yield the best reading there is.
 * A Mailbox as RFC 5321 §4.1.2 and RFC 6531 §3.3 have it is judged. (Paths of MAIL and RCPT: smtp_path.h.)
 *
 * Local parts that break RFC 5321 but were given out by mobile carriers ("a..b", ".a", "a.") are read as
 * they stand; in SMTP under MAIL_ADDRESS_TOLERANT. Their conforming form is the quoted one, and both are the
 * same mailbox: local parts are kept here without quoting, so comparing `local` compares mailboxes.
 *
 * Results live in the arena; nothing points into the input. Pure.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/cursor.h"
#include "base/view.h"

enum {
    MAIL_ADDRESS_COUNT_MAX = 1000,        /* of one header field; further ones are left out (an ENVELOPE repeats all of them) */
    MAIL_ADDRESS_LOCAL_BYTES_MAX = 64,    /* RFC 5321 §4.5.3.1.1 */
    MAIL_ADDRESS_LOCAL_BYTES_TOLERATED = 255, /* VERP and list software pass 64 */
    MAIL_ADDRESS_DOMAIN_BYTES_MAX = 255,  /* RFC 5321 §4.5.3.1.2 */
    MAIL_ADDRESS_BYTES_MAX = 254,         /* RFC 5321 §4.5.3.1.3 without the brackets */
};

enum mail_address_kind {
    MAIL_ADDRESS_MAILBOX,
    MAIL_ADDRESS_GROUP_START,             /* `name` is the group's name */
    MAIL_ADDRESS_GROUP_END,
};

/* One entry of an address list, in the order of the field, as IMAP's ENVELOPE lists them (RFC 9051 §7.5.2). */
struct mail_address {
    enum mail_address_kind kind;
    view name;       /* display name, else the last comment: unquoted, unfolded, encoded words left as they are; may be empty */
    view route;      /* obs-route without the colon ("@a,@b"), mostly empty */
    view local;      /* without quoting, comments and folds; empty when missing */
    view domain;     /* without comments and folds; with [] when a literal; empty when missing */
    struct mail_address *next;
};

/* `value`: a raw field body, folds and all. NULL when there is no address in it. */
struct mail_address *mail_address_list_parse(view value, struct arena *arena);

/* local@domain, the local part quoted where RFC 5321 wants it quoted. Without domain just the local part. */
void mail_address_append(buf *b, view local, view domain);
/* True when `local` is a Dot-string (RFC 5321 §4.1.2, bytes above 0x7f counted as atext) and needs no quotes. */
bool mail_address_local_is_plain(view local);

/* What take_mail_address() accepts beside strict RFC 5321. */
enum {
    /* dots anywhere in an unquoted local part, local parts above 64 bytes, addresses above 254, underscores in a domain */
    MAIL_ADDRESS_TOLERANT = 1,
    MAIL_ADDRESS_UTF8 = 2,       /* RFC 6531: UTF-8 in local part and domain */
    MAIL_ADDRESS_NO_LITERAL = 4, /* address literals ([192.0.2.1]) are refused */
};

struct smtp_address {
    view local;             /* without quoting */
    view domain;            /* as written; a literal with its brackets */
    bool is_literal;
};

/* Mailbox = Local-part "@" ( Domain / address-literal ), RFC 5321 §4.1.2. Does not move on failure. */
bool take_mail_address(struct cursor *c, unsigned flags, struct arena *arena, struct smtp_address *ret_address);
/* The same for a whole view. */
bool mail_address_parse(view text, unsigned flags, struct arena *arena, struct smtp_address *ret_address);

/* Domain of RFC 5321 §4.1.2 (letters, digits, inner hyphens; labels up to 63 bytes), UTF-8 labels with MAIL_ADDRESS_UTF8. */
bool mail_domain_is_valid(view domain, unsigned flags);
