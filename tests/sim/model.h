/*
 * model: an account's mailboxes, computed from the whole history of records in the most naive way.
 *
 * Written from the words of account/record.h and state.h, with arrays and loops over everything, and remembering every
 * record id for ever: what src/account/ must come to by blocks, summaries, snapshots and packs.
 */
#pragma once

#include "account/record.h"
#include "account/state.h"

struct model_row {
    uint32_t uid, size_bytes;
    uint64_t flags;                      /* system flags; from bit 8 on the model's own keywords (model_keyword()) */
    uint64_t modseq;
    unix_ms internal_date;
    struct id message;
    unix_ms expunged;                    /* of a grave */
};

struct model_rows {
    struct model_row *at;
    size_t count, capacity;
};

struct model_mailbox {
    uint32_t number;
    char name[RECORD_NAME_BYTES_MAX + 1];
    unsigned special_use;
    bool is_selectable, is_gone;
    uint32_t uid_validity, uid_next;
    uint64_t highest_modseq;
    struct model_rows rows, graves;
};

/* What came of a record, for whoever was told. */
struct model_outcome {
    struct id record, message;
    enum record_kind kind;
    bool is_again;                       /* its id had been there */
    result code;
    uint64_t modseq;
    uint32_t mailbox, uid_validity;
    buf source_uids, result_uids, unchanged_uids;     /* uint32_t each */
};

/* Of a mailbox or (0) the account; text malloced. Of mailboxes that are gone too. */
struct model_annotation {
    uint32_t mailbox;
    char name[RECORD_NAME_BYTES_MAX + 1];
    char *value;
};

enum { MODEL_KEYWORDS_MAX = 40, MODEL_SUBSCRIPTIONS_MAX = 100 };

struct model {
    struct id account;
    uint64_t sequence;
    uint32_t next_number, last_uid_validity;
    struct model_mailbox **mailboxes;    /* in order of number, also such as are gone */
    size_t mailbox_count, mailbox_capacity;
    char keywords[MODEL_KEYWORDS_MAX][ROW_KEYWORD_BYTES_MAX + 1];
    size_t keyword_count;
    char subscriptions[MODEL_SUBSCRIPTIONS_MAX][RECORD_NAME_BYTES_MAX + 1];
    size_t subscription_count;
    struct model_annotation *annotations;
    size_t annotation_count, annotation_capacity;
    struct model_outcome *outcomes;      /* of each record, in order */
    size_t outcome_count, outcome_capacity;
};

struct model *model_new(struct id account);
void model_free(struct model *m);
void model_apply(struct model *m, const struct record *r);
/* NULL when there is none, or it is gone. */
struct model_mailbox *model_mailbox(const struct model *m, uint32_t number);
struct model_mailbox *model_find(const struct model *m, view name);
/* The first (and, if all is well, only) effective outcome of a record; NULL if it never came. */
const struct model_outcome *model_outcome_of(const struct model *m, struct id record);
/* Keywords of flags as text, in order, separated by blanks. */
void model_keywords(const struct model *m, uint64_t flags, buf *into);
