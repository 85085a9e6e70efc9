/*
 * mail_check: which signatures of a message hold: DKIM (RFC 6376 §6) and the chain of ARC (RFC 8617 §5.2).
 *
 * The header is looked at when it is whole, bodies are digested as they come (each canonical form once), keys are asked for at the end. What
 * holds is told; what becomes of the message is not decided here. Any loop.
 */
#pragma once

#include "formats/dkim.h"
#include "runtime/resolver.h"

enum {
    MAIL_CHECK_SIGNATURES_MAX = 10,      /* DKIM-Signature fields that are looked at, from the top: RFC 6376 §6.1 allows a limit */
};

/* RFC 8601 §2.7.1. */
enum check_result { CHECK_NONE, CHECK_PASS, CHECK_FAIL, CHECK_TEMPERROR, CHECK_PERMERROR };
const char *check_result_name(enum check_result r);          /* "pass"; static */

struct dkim_verdict {
    enum check_result result;
    view domain, selector, identity, algorithm;              /* empty when the field cannot be read */
    view signature_start;                                    /* of b=: tells two signatures of one domain apart (RFC 6008) */
    view reason;                                             /* empty when it holds */
    unsigned key_bits;
    bool is_test;                                            /* t=y in the key record */
};

struct arc_verdict {
    enum arc_validation validation;
    unsigned instances;                                      /* of the highest set there is */
    bool is_temporary;                                       /* a key could not be asked for: nothing is known */
    bool was_failed;                                         /* an earlier hop has sealed cv=fail: the chain ends there */
    view reason;
};

struct mail_check;
/* `header` is copied. Never fails: what cannot be looked at is told at the end. */
struct mail_check *mail_check_new(view header);
void mail_check_free(struct mail_check *c);                  /* NULL is fine */
void mail_check_feed(struct mail_check *c, view body_piece);
/* After the last piece, once. Verdicts live as long as the check. */
MAY_YIELD void mail_check_end(struct mail_check *c, struct resolver *resolver, unix_ms now, millis deadline);

const struct dkim_verdict *mail_check_dkim(const struct mail_check *c, size_t *ret_count);
const struct arc_verdict *mail_check_arc(const struct mail_check *c);
/* The fields of ARC sets 1 to `instances` of a chain that holds, in canonical form, as a seal covers them: appended. */
void mail_check_append_chain(const struct mail_check *c, buf *into);
/* The methods of an Authentication-Results field: "; dkim=pass header.d=...; arc=none", folded: appended. RFC 8601 §2.2. */
void mail_check_append_results(const struct mail_check *c, buf *into);
