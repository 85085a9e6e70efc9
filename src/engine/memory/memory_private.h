/* memory_private: an engine on a memory store. memory.c has its life, its faults and its clock; the other files the slots. */
#pragma once

#include "engine/memory/store.h"
#include "runtime/coroutine.h"

struct memory_engine;

/* Tells all engines that they may have missed something, after a while. */
struct missed_timer {
    struct timer timer;
    struct memory_engine *engine;
};

struct memory_engine {
    struct engine base;                  /* first */
    struct memory_store *store;
    struct list node;                    /* in store->engines */
    struct list under_way;               /* changes in the order of their submission */
    struct loops *family;
    struct missed_timer *missed;         /* one for each loop */
    bool is_dead;                        /* its machine has lost power */
    uint64_t client;                     /* who it is to the store: another one after it was fenced */
    millis cut_off_until, fenced_until;
};

/* What is to become of a change. */
enum fate { FATE_DONE, FATE_REFUSED, FATE_UNKNOWN, FATE_UNKNOWN_LATER, FATE_UNKNOWN_NEVER };

/* A change on its way, driven by a timer of the loop that made it. */
struct operation {
    struct timer timer;
    struct memory_engine *engine;
    struct change *change;               /* NULL: the store has it now */
    enum fate fate;
    bool is_second_stage;
    millis finish, deadline;
    result code;
    struct fault *fault;
    void (*done)(struct operation *o);
    void *argument;                      /* of done() */
    struct journal_append *append;       /* of append_start */
    void (*append_done)(struct journal_append *a, void *argument);
};

static inline struct memory_engine *memory_of(struct engine *e) { return (struct memory_engine *)(void *)e; }

/* Takes over `c`. done(o) is called on this loop in a later turn; it frees `o` with operation_free(). */
void operation_start(struct memory_engine *e, struct change *c, millis deadline, struct fault *fault,
                     void (*done)(struct operation *o), struct operation *with);
void operation_free(struct operation *o);
/*
 * The same and waits, deaf to cancellation once begun. *ret_change (may be NULL) is set on OK and CONFLICT and has the outcome; the
 * caller frees it with change_free().
 */
MAY_YIELD result memory_change(struct memory_engine *e, struct change *c, millis deadline, struct change **ret_change, struct fault *fault);

/*
 * Around what is read: the first waits as long as a read of `name` (empty: of everything) takes, and leaves the store locked when it returns OK. The second
 * unlocks and may wait again, so that what was read is old when it is told.
 */
MAY_YIELD result memory_read_begin(struct memory_engine *e, enum memory_operation operation, view name, millis deadline, struct fault *fault);
MAY_YIELD result memory_read_end(struct memory_engine *e, result code, struct fault *fault);

/* journal_slots.c, object_slots.c, table_slots.c */
void memory_append_start(struct engine *e, struct journal_append *a, millis deadline,
                         void (*done)(struct journal_append *a, void *argument), void *argument);
result memory_read(struct engine *e, struct id journal, const struct journal_position *from, millis deadline, struct arena *arena,
                   struct journal_page *ret_page, struct fault *fault);
result memory_read_body(struct engine *e, struct id journal, const struct journal_record *record, uint32_t offset, uint32_t len,
                        millis deadline, buf *into, struct fault *fault);
result memory_read_bodies(struct engine *e, struct id journal, struct journal_body_wanted *wanted, size_t count, millis deadline,
                          struct fault *fault);
result memory_replace_head(struct engine *e, struct id journal, uint64_t epoch, const struct journal_position *folded, view head,
                           millis deadline, struct journal_position *ret_head_at, struct fault *fault);
result memory_remove_journal(struct engine *e, struct id journal, millis deadline, struct fault *fault);
result memory_list_journals(struct engine *e, const struct id *after, size_t max, millis deadline, struct id *journals,
                            size_t *ret_count, struct fault *fault);
bool memory_has_archive(const struct engine *e);
result memory_object_create(struct engine *e, view name, millis deadline, struct object_writer **ret_writer, struct fault *fault);
result memory_object_write(struct object_writer *w, view bytes, millis deadline, struct fault *fault);
result memory_object_commit(struct object_writer *w, millis deadline, struct fault *fault);
void memory_object_abort(struct object_writer *w);
result memory_object_copy(struct engine *e, view from, view to, millis deadline, struct fault *fault);
result memory_object_read(struct engine *e, view name, uint64_t offset, size_t len, millis deadline, buf *into, struct fault *fault);
result memory_object_size(struct engine *e, view name, millis deadline, uint64_t *ret_bytes, struct fault *fault);
result memory_object_remove(struct engine *e, view name, millis deadline, struct fault *fault);
result memory_object_list(struct engine *e, view prefix, view after, size_t max, millis deadline, struct arena *arena,
                          view **ret_names, size_t *ret_count, struct fault *fault);
uint32_t memory_table_shards(const struct engine *e, view table);
result memory_table_get(struct engine *e, view table, uint32_t shard, view key, millis deadline, struct arena *arena, view *ret_value,
                        struct fault *fault);
result memory_table_scan(struct engine *e, view table, uint32_t shard, view prefix, view after, size_t max, millis deadline,
                         struct arena *arena, struct table_row **ret_rows, size_t *ret_count, struct fault *fault);
result memory_table_batch(struct engine *e, view table, uint32_t shard, const struct table_change *changes, size_t count,
                          millis deadline, size_t *ret_failed, struct fault *fault);
result memory_lease_acquire(struct engine *e, view name, view owner, int64_t duration_ms, millis deadline, struct fault *fault);
result memory_lease_renew(struct engine *e, view name, view owner, int64_t duration_ms, millis deadline, struct fault *fault);
result memory_lease_release(struct engine *e, view name, view owner, millis deadline, struct fault *fault);
