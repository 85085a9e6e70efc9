/*
 * sort_values: what SORT and THREAD compare of a message's header (RFC 5256, RFC 5957).
 */
#pragma once

#include "base/arena.h"
#include "base/time.h"
#include "base/view.h"

enum {
    SORT_REFERENCES_MAX = 64,               /* of a message; the last ones, which say the most, are kept */
    SORT_TEXT_BYTES_MAX = 1000,             /* of a text that is compared; what differs only behind it counts as equal */
    SORT_HASH_BITS = 48,                    /* of ids and subjects: of a million, two are taken for one once in five hundred mailboxes */
};

/* What is wanted of a header: the other fields of it are not looked at. */
enum sort_need {
    SORT_NEEDS_DATE = 1 << 0,
    SORT_NEEDS_SUBJECT = 1 << 1,
    SORT_NEEDS_FROM = 1 << 2,
    SORT_NEEDS_TO = 1 << 3,
    SORT_NEEDS_CC = 1 << 4,
    SORT_NEEDS_DISPLAY_FROM = 1 << 5,
    SORT_NEEDS_DISPLAY_TO = 1 << 6,
    SORT_NEEDS_THREAD = 1 << 7,             /* ids, references, hash of the subject and is_reply */
    SORT_NEEDS_ALL = (1 << 8) - 1,
};

/* Texts are collated (collate.h). Message ids are hashes of their normal form, 0: none. What is not wanted is zero. */
struct sort_values {
    bool has_date;
    unix_ms sent;                           /* §2.2: in UTC */
    view subject;                           /* base subject, §2.1 */
    uint64_t subject_hash;                  /* 0: it is empty; else odd, and more than 1 */
    bool is_reply;                          /* the subject was that of a reply or forward */
    view from, to, cc;                      /* mailbox of the first address */
    view display_from, display_to;          /* RFC 5957 §3 */
    uint64_t message_id;
    const uint64_t *references;             /* ancestors, the parent last: of References, else the first of In-Reply-To */
    size_t reference_count;
};

/* `needs`: of enum sort_need. Pure. */
void sort_values_read(view header, unsigned needs, struct arena *arena, struct sort_values *ret_values);

/*
 * What ties a message to its thread (RFC 8474 §5.2), from the header alone, so that it never changes: a stable hash of the id at the root,
 * that is, the first of References, else of In-Reply-To, else of Message-ID. 0: it has none of these.
 */
uint64_t sort_thread_root(view header, struct arena *arena);

/* The base subject of a decoded one (§2.1). `ret_is_reply` as above. */
view sort_base_subject(view subject, struct arena *arena, bool *ret_is_reply);
