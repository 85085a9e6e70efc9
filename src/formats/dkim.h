/*
 * dkim: what DKIM (RFC 6376, RFC 8463, RFC 8301) and ARC (RFC 8617) write into headers and into DNS, and the two forms in
 * which they look at a message.
 *
 * Tag lists are read by their grammar: one that breaks it is no signature and no key (RFC 6376 §3.2). The canonical forms are made in
 * pieces of any size and need no memory for a message. Pure; views point into what was given or into the arena.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/fault.h"

/* ---- tag lists: RFC 6376 §3.2 ---- */

enum {
    DKIM_TAGS_MAX = 40,                  /* of one list; fourteen are defined */
    DKIM_NAMES_MAX = 200,                /* header fields that one signature covers */
    DKIM_SIGNATURE_BYTES_MAX = 16 << 10, /* of a field that is read as a signature; RSA of 8,192 bits takes 1,400 */
    DKIM_HEADER_FIELDS_MAX = 2000,       /* of a message whose signatures are looked at */
};

struct dkim_tag {
    view name, value;                    /* without white space around them; folds within stay */
    view raw;                            /* all between "=" and ";" */
};
struct dkim_tags { struct dkim_tag list[DKIM_TAGS_MAX]; size_t count; };

/* False: broken, a name twice, or too many. `text` is the field's body, folds and all. */
bool dkim_tags_parse(view text, struct dkim_tags *ret_tags);
const struct dkim_tag *dkim_tags_find(const struct dkim_tags *tags, view name);        /* NULL: absent */

/* ---- signatures ---- */

/* What a signature field is: they share their grammar but for a few tags. */
enum dkim_kind {
    DKIM_SIGNATURE,                      /* DKIM-Signature: RFC 6376 §3.5 */
    DKIM_ARC_MESSAGE,                    /* ARC-Message-Signature: RFC 8617 §4.1.2: i= is the instance, no v= */
    DKIM_ARC_SEAL,                       /* ARC-Seal: RFC 8617 §4.1.3: covers header fields of ARC alone; cv=, no h=, no bh= */
};
enum dkim_algorithm { DKIM_RSA_SHA256, DKIM_ED25519_SHA256, DKIM_RSA_SHA1 };
enum arc_validation { ARC_NONE, ARC_FAIL, ARC_PASS };

struct dkim_signature {
    enum dkim_kind kind;
    enum dkim_algorithm algorithm;
    bool header_is_relaxed, body_is_relaxed;
    view domain, selector;
    view identity;                       /* i=; empty: "@" and the domain. DKIM_SIGNATURE */
    view signature;                      /* bytes */
    view body_hash;                      /* bytes */
    view names[DKIM_NAMES_MAX];          /* h=, in its order */
    size_t name_count;
    bool has_length;
    uint64_t length;                     /* l= */
    int64_t signed_s, expires_s;         /* t=, x=; 0: absent */
    unsigned instance;                   /* ARC: i= */
    enum arc_validation validation;      /* ARC_SEAL: cv= */
};
/* INVALID: it is no signature, the fault says why. `value` is the field's body. *ret_signature is large: not for a coroutine's stack. */
NODISCARD result dkim_signature_parse(enum dkim_kind kind, view value, struct arena *arena, struct dkim_signature *ret_signature, struct fault *fault);

/* i= of an ARC-Authentication-Results field (RFC 8617 §4.1.1), 1 to 50; *ret_rest (may be NULL) is what follows it. False: broken. */
bool arc_results_parse(view value, unsigned *ret_instance, view *ret_rest);
enum { ARC_INSTANCES_MAX = 50 };         /* RFC 8617 §4.2.1 */

/* What a signer writes. */
struct dkim_draft {
    enum dkim_kind kind;
    enum dkim_algorithm algorithm;
    view domain, selector;
    view names;                          /* h=: "from:to:subject" */
    view body_hash;                      /* bytes */
    int64_t signed_s;                    /* 0: no t= */
    unsigned instance;
    enum arc_validation validation;
};
/* The whole field with an empty b= and without a line end: relaxed/relaxed. */
void dkim_draft_append(buf *into, const struct dkim_draft *draft);
/* The value of b=, folded, and the line end. */
void dkim_draft_finish(buf *into, view signature);

/* ---- key records: RFC 6376 §3.6.1 ---- */

struct dkim_key {
    enum { DKIM_KEY_RSA, DKIM_KEY_ED25519 } type;
    view key;                            /* bytes; empty: revoked */
    bool takes_sha256;                   /* h= allows it */
    bool is_for_mail;                    /* s= allows email */
    bool is_test;                        /* t=y */
    bool is_strict;                      /* t=s: i= must have the very domain of d= */
};
/* INVALID: it is no key that is understood. */
NODISCARD result dkim_key_parse(view text, struct arena *arena, struct dkim_key *ret_key, struct fault *fault);
/* "v=DKIM1; k=rsa; p=...". */
void dkim_key_append(buf *into, bool is_ed25519, view key);

/* ---- canonical forms: RFC 6376 §3.4 ---- */

/* A header field, with CRLF at its end. A bare LF in it counts as CRLF. */
void dkim_append_field(buf *into, view whole, bool is_relaxed);
/* The signature's own field: without the value of its b= and without the line end. INVALID: it has no b=. */
NODISCARD result dkim_append_own_field(buf *into, view whole, bool is_relaxed);

/*
 * A body in pieces. What ends a line is LF with or without CR before it; with `cr_ends_lines` a CR alone too, which is what the sending
 * end of SMTP makes of it (flow/smtp_client.h).
 */
struct dkim_body {
    bool is_relaxed, cr_ends_lines;
    bool has_cr, has_blank, in_line;     /* a CR that waits; white space that may be the line's last; the line has had something */
    uint64_t empty_lines;                /* that may be the last */
    uint64_t bytes;                      /* put out so far */
    void (*put)(void *argument, view bytes);
    void *argument;
};
void dkim_body_feed(struct dkim_body *b, view piece);
void dkim_body_end(struct dkim_body *b);
