/* mail_check_private: what mail_check.c, mail_check_key.c and arc_check.c share. */
#pragma once

#include "trust/digests.h"
#include "trust/mail_check.h"

enum { MAIL_CHECK_KEYS_MAX = MAIL_CHECK_SIGNATURES_MAX + 2 * ARC_INSTANCES_MAX };

struct check_signature {
    const struct header_field *field;
    struct dkim_signature parsed;
    bool is_broken;
    size_t body;                         /* in body_digests */
    struct fault fault;                  /* why it is broken */
};

/* One instance of ARC: a field of each kind. */
struct arc_set {
    const struct header_field *results, *message, *seal;
    struct dkim_signature seal_parsed;
    unsigned char covered[DIGEST_BYTES_SHA256];    /* by the seal */
};

struct check_key {
    view name;
    enum check_result result;            /* PASS: `key` is there */
    struct dkim_key key;
    view reason;
};

struct mail_check {
    struct arena *arena;
    view header;
    bool is_too_big;
    struct fields fields;
    struct body_digests body;
    struct check_signature *signatures;  /* of DKIM */
    struct dkim_verdict *verdicts;
    size_t signature_count;
    struct arc_set *sets;                /* [0] is instance 1; NULL: no ARC */
    unsigned set_count;
    struct check_signature *arc_message; /* of the highest set */
    struct arc_verdict arc;
    struct check_key *keys;              /* asked for already */
    size_t key_count;
};

/* ---- mail_check_key.c ---- */
/* The key of a signature, asked for once for each name. */
MAY_YIELD const struct check_key *mail_check_key(struct mail_check *c, struct resolver *resolver, const struct dkim_signature *s, millis deadline);

/* ---- mail_check.c ---- */
void check_signature_read(struct mail_check *c, struct check_signature *s, enum dkim_kind kind, const struct header_field *field);
/* Whether a signature that was read holds, with its key. */
MAY_YIELD void check_signature_judge(struct mail_check *c, const struct check_signature *s, struct resolver *resolver, unix_ms now, millis deadline,
                                     struct dkim_verdict *verdict);

/* ---- arc_check.c ---- */
void arc_check_begin(struct mail_check *c);
MAY_YIELD void arc_check_end(struct mail_check *c, struct resolver *resolver, unix_ms now, millis deadline);
/* What seal `instance` covers but itself: appended. */
void arc_append_covered(const struct mail_check *c, unsigned instance, buf *into);
