/*
 * test_records: records for tests, with an author's clock that ticks a second a record.
 */
#pragma once

#include "account/state.h"

struct author {
    struct state *state;
    struct arena *arena;
    int64_t now_ms;
    uint64_t ids;
    struct outcome outcome;              /* of the last record */
    const struct state_turns *turns;     /* for who applies records in turns; else NULL */
};

/* Wednesday, 2026-07-01. */
#define AUTHOR_BEGINS_MS INT64_C(1782864000000)

struct author author_new(void);
void author_done(struct author *a);
struct id author_id(struct author *a);
/* Encodes, decodes and applies it; the code of its outcome. */
result author_apply(struct author *a, struct record *r);

/* Each with the code of the outcome. */
result author_deliver(struct author *a, uint32_t mailbox, uint64_t flags, uint32_t size_bytes);
result author_flag(struct author *a, uint32_t mailbox, uint32_t first, uint32_t last, enum flags_change change, uint64_t flags);
result author_copy(struct author *a, uint32_t from, uint32_t to, uint32_t first, uint32_t last, bool moves);
result author_expunge(struct author *a, uint32_t mailbox, uint32_t first, uint32_t last, bool only_deleted);
result author_create(struct author *a, const char *name);
result author_delete(struct author *a, const char *name);
result author_rename(struct author *a, const char *name, const char *to);
/* value NULL: it goes. */
result author_annotate(struct author *a, uint32_t mailbox, const char *name, const char *value);
/* Hidden; its UID in a->outcome.result_uids. */
result author_deliver_hidden(struct author *a, uint32_t mailbox, uint64_t flags, uint32_t size_bytes);
result author_reveal(struct author *a, uint32_t mailbox, uint32_t first, uint32_t last);
uint32_t author_number(struct author *a, const char *name);       /* 0: no such name */
struct mailbox_info author_info(struct author *a, const char *name);
