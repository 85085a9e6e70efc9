/*
 * digests: what of a message goes into a signature: its body in one or more canonical forms, and chosen header fields.
 *
 * Bodies come in pieces; each distinct form is digested once, however many signatures want it.
 */
#pragma once

#include "formats/dkim.h"
#include "formats/header.h"

enum { DIGEST_BYTES_SHA256 = 32, BODY_DIGESTS_MAX = 24 };

struct digest;                           /* a SHA-256 under way */
struct digest *digest_new(void);
void digest_add(struct digest *d, view bytes);
void digest_end(struct digest *d, unsigned char into[static 32]);    /* frees */
struct digest *digest_copy(const struct digest *d);
void digest_free(struct digest *d);      /* NULL is fine */

/* ---- bodies ---- */

struct body_digest {
    struct dkim_body form;
    bool has_length;
    uint64_t length, left;               /* l=: so many bytes are digested */
    struct digest *digest;
    unsigned char value[32];             /* after body_digests_end() */
    uint64_t bytes;                      /* of the canonical form */
};
struct body_digests { struct body_digest list[BODY_DIGESTS_MAX]; size_t count; };

/* Before the first piece. The index of the form; BODY_DIGESTS_MAX: no more. */
size_t body_digests_want(struct body_digests *all, bool is_relaxed, bool cr_ends_lines, bool has_length, uint64_t length);
void body_digests_feed(struct body_digests *all, view piece);
void body_digests_end(struct body_digests *all);      /* more than once is fine */
void body_digests_done(struct body_digests *all);

/* ---- header fields ---- */

struct fields { struct header_field *list; unsigned char *used; size_t count; };

/* False: more than DKIM_HEADER_FIELDS_MAX. Views point into `header`. */
bool fields_read(view header, struct arena *arena, struct fields *ret_fields);
/* RFC 6376 §5.4.2: the fields of these names, from the bottom up, a name that is used up being nothing. */
void fields_digest(struct fields *f, const view *names, size_t name_count, bool is_relaxed, struct digest *into);
size_t fields_count(const struct fields *f, view name);
