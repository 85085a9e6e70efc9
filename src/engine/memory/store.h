/*
 * memory/store: the disks behind memory engines: what is stored, and the changes that are made to it.
 *
 * A change owns copies of all it needs, so it can be applied when its author no longer waits, or no longer lives.
 * All functions here are called with the store locked, except those of memory.h. Applying a change is atomic and durable:
 * what can be read is never lost.
 */
#pragma once

#include <stdatomic.h>

#include "base/map.h"
#include "engine/memory.h"
#include "engine/private.h"

enum { MEMORY_SHARDS = 8 };

/* ---- what is stored ---- */

struct stored_record {
    uint64_t serial;                     /* unique in the store: a position's tail */
    buf meta, body;
};

struct stored_journal {
    struct id id;
    uint64_t epoch;
    buf head;
    uint64_t head_serial;
    uint64_t first;                      /* offset of records[0]: how many came before it */
    struct stored_record *records;
    size_t count, capacity;
    uint64_t bytes;                      /* meta and body of records[] */
};

struct stored_object {
    buf name, bytes;
};

struct stored_row {
    buf key, value;
};

struct stored_shard {
    char name[ENGINE_TABLE_NAME_MAX_BYTES + 16];     /* "table/shard" */
    struct stored_row *rows;             /* in order of key */
    size_t count, capacity;
};

struct stored_lease {
    buf name, owner;
    millis expires;
    uint64_t client;                     /* memory_engine.client of who took it */
};

enum memory_operation {
    MEMORY_APPEND, MEMORY_READ, MEMORY_READ_BODY, MEMORY_HEAD, MEMORY_REMOVE_JOURNAL, MEMORY_LIST_JOURNALS, MEMORY_OBJECT_PUT,
    MEMORY_OBJECT_COPY, MEMORY_OBJECT_READ, MEMORY_OBJECT_SIZE, MEMORY_OBJECT_REMOVE, MEMORY_OBJECT_LIST, MEMORY_TABLE_GET,
    MEMORY_TABLE_SCAN, MEMORY_TABLE_BATCH, MEMORY_LEASE, MEMORY_NOTIFY, MEMORY_OPERATIONS
};

struct memory_store {
    atomic_flag lock;
    struct memory_faults faults;
    struct map journals;                 /* of struct stored_journal, by id */
    struct map objects;                  /* of struct stored_object, by name */
    struct map shards;                   /* of struct stored_shard, by name */
    struct map leases;                   /* of struct stored_lease, by name */
    struct list pending;                 /* changes that nobody waits for */
    struct list engines;                 /* memory_engine.node */
    uint64_t next_serial;
    uint64_t counts[MEMORY_OPERATIONS];
    millis missed_since;                 /* notifications were lost then; MILLIS_NEVER: none */
    millis hung_until[MEMORY_PLACES];
    uint64_t clients;                    /* so many there have been */
    void (*told)(void *argument, const char *kind, struct id journal, view name, result code);
    void *told_argument;
    bool keeps_history;
    struct memory_history *history;      /* metas are its own */
    size_t history_count, history_capacity;
};

/* ---- changes ---- */

struct change_row {
    buf key, value, expected;
    struct table_change what;            /* its views are not used */
};

struct change {
    struct list node;                    /* in the engine's changes under way, or in the store's pending */
    enum memory_operation operation;
    bool releases;                       /* MEMORY_LEASE: gives back; else acquires or, if renews, renews */
    bool renews;
    struct id journal;
    buf name;                            /* object, lease, "table/shard" */
    buf bytes;                           /* body, object, head, owner */
    buf other;                           /* meta, source of a copy */
    bool is_conditional;
    struct journal_position condition;   /* or where the head folds up to */
    uint64_t epoch;
    struct change_row *rows;
    size_t row_count;
    int64_t duration_ms;
    uint64_t client;                     /* memory_engine.client of its author then */
    millis due;                          /* when pending */
    uint64_t due_records;                /* the same, of an append: when the journal has had so many records; 0: no matter */
    bool is_ordered;                     /* nobody applies later changes of the same journal before it */

    bool is_applied;
    result code;
    struct journal_position at, before;
    uint64_t journal_bytes, journal_records;
    size_t failed_row;
};

struct change *change_new(enum memory_operation operation);
void change_free(struct change *c);
void memory_store_apply(struct memory_store *s, struct change *c);
/* Applies what is due of the pending changes; with `all`, everything, or drops it. */
void store_catch_up(struct memory_store *s, bool all);

void store_lock(struct memory_store *s);
void store_unlock(struct memory_store *s);

/* journals.c */
struct stored_journal *store_journal(struct memory_store *s, struct id journal);       /* NULL */
uint64_t store_journal_records(struct memory_store *s, struct id journal);             /* that it has had, trimmed ones too */
struct journal_position stored_position(const struct stored_journal *j, size_t records);  /* after so many of records[] */
/* Index into records[] of what follows `from`; false when that place is gone. */
bool stored_find(const struct stored_journal *j, const struct journal_position *from, size_t *ret_index);
void store_apply_append(struct memory_store *s, struct change *c);
void store_apply_head(struct memory_store *s, struct change *c);
void store_apply_remove_journal(struct memory_store *s, struct change *c);
void stored_journal_free(struct stored_journal *j);

/* tables.c */
void store_apply_batch(struct memory_store *s, struct change *c);
struct stored_shard *store_shard(struct memory_store *s, view table, uint32_t shard);  /* NULL when empty */
view stored_shard_name(char *name, size_t size, view table, uint32_t shard);
/* Index of the first row whose key is not below (or, with `after`, above) `key`. */
size_t stored_shard_find(const struct stored_shard *shard, view key, bool after);
void stored_shard_free(struct stored_shard *shard);

/* store.c */
void stored_object_free(struct stored_object *o);
