/*
 * engine/private: what an engine implements. For src/engine/ alone.
 *
 * engine.c checks limits and the shape of what it is given, then calls the slot; a slot is called in a
 * coroutine unless it says otherwise and may yield. It keeps every promise that engine.h makes for the
 * public function of the same name; names, sizes and counts that reach it are within their limits.
 * ret_ parameters are never NULL here (ret_failed of a batch excepted), `fault` may be.
 *
 *     struct engine_thing { struct engine base; ... };
 *     engine_init(&thing->base, &thing_methods);       // in open
 *     engine_done(&thing->base);                       // in close, when no append can be told any more
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/map.h"
#include "engine/engine.h"
#include "engine/watches.h"

struct engine_methods {
    const char *kind;
    bool (*has_archive)(const struct engine *e);       /* NULL: never. Does not yield */
    /* Frees the engine. */
    void (*close)(struct engine *e);

    /*
     * Not in a coroutine necessarily, does not yield, keeps the order of the calls of one loop for one journal.
     * done() on the calling loop, outside coroutines, never from within this call. Also fills a->code and,
     * if it is not NULL, a->fault. The caller has reset the fields that are set on OK.
     */
    void (*append_start)(struct engine *e, struct journal_append *a, millis deadline,
                         void (*done)(struct journal_append *a, void *argument), void *argument);
    result (*read)(struct engine *e, struct id journal, const struct journal_position *from, millis deadline, struct arena *arena,
                   struct journal_page *ret_page, struct fault *fault);
    result (*read_body)(struct engine *e, struct id journal, const struct journal_record *record, uint32_t offset, uint32_t len,
                        millis deadline, buf *into, struct fault *fault);
    result (*read_bodies)(struct engine *e, struct id journal, struct journal_body_wanted *wanted, size_t count, millis deadline,
                          struct fault *fault);
    result (*replace_head)(struct engine *e, struct id journal, uint64_t epoch, const struct journal_position *folded, view head,
                           millis deadline, struct journal_position *ret_head_at, struct fault *fault);
    result (*remove_journal)(struct engine *e, struct id journal, millis deadline, struct fault *fault);
    result (*list_journals)(struct engine *e, const struct id *after, size_t max, millis deadline, struct id *journals,
                            size_t *ret_count, struct fault *fault);

    /* The writer that is returned begins with struct object_writer and has its engine set. */
    result (*object_create)(struct engine *e, view name, millis deadline, struct object_writer **ret_writer, struct fault *fault);
    result (*object_write)(struct object_writer *w, view bytes, millis deadline, struct fault *fault);
    result (*object_commit)(struct object_writer *w, millis deadline, struct fault *fault);
    void (*object_abort)(struct object_writer *w);
    /* NULL: create, write and commit are called. */
    result (*object_put)(struct engine *e, view name, view bytes, millis deadline, struct fault *fault);
    /* Never between the archive and the other place: engine.c does that. */
    result (*object_copy)(struct engine *e, view from, view to, millis deadline, struct fault *fault);
    result (*object_read)(struct engine *e, view name, uint64_t offset, size_t len, millis deadline, buf *into, struct fault *fault);
    result (*object_size)(struct engine *e, view name, millis deadline, uint64_t *ret_bytes, struct fault *fault);
    result (*object_remove)(struct engine *e, view name, millis deadline, struct fault *fault);
    result (*object_list)(struct engine *e, view prefix, view after, size_t max, millis deadline, struct arena *arena, view **ret_names,
                          size_t *ret_count, struct fault *fault);

    uint32_t (*table_shards)(const struct engine *e, view table);      /* not in a coroutine necessarily, does not yield */
    result (*table_get)(struct engine *e, view table, uint32_t shard, view key, millis deadline, struct arena *arena, view *ret_value,
                        struct fault *fault);
    result (*table_scan)(struct engine *e, view table, uint32_t shard, view prefix, view after, size_t max, millis deadline,
                         struct arena *arena, struct table_row **ret_rows, size_t *ret_count, struct fault *fault);
    result (*table_batch)(struct engine *e, view table, uint32_t shard, const struct table_change *changes, size_t count, millis deadline,
                          size_t *ret_failed, struct fault *fault);

    /* Not in a coroutine necessarily, does not yield. NULL: watches_tell(e->watches, journal). */
    void (*notify)(struct engine *e, struct id journal);
    result (*lease_acquire)(struct engine *e, view name, view owner, int64_t duration_ms, millis deadline, struct fault *fault);
    result (*lease_renew)(struct engine *e, view name, view owner, int64_t duration_ms, millis deadline, struct fault *fault);
    result (*lease_release)(struct engine *e, view name, view owner, millis deadline, struct fault *fault);

    /* NULL: INVALID, "not for this engine". */
    result (*backup)(struct engine *e, const char *folder, void (*progress)(void *argument, uint64_t done_bytes, uint64_t all_bytes),
                     void *argument, struct fault *fault);
    /* NULL: there is nothing to check. */
    result (*verify)(struct engine *e, void (*found)(void *argument, view what), void *argument, struct fault *fault);
    /* NULL: END. */
    result (*reclaim)(struct engine *e, uint64_t *place, uint64_t *count, struct fault *fault);
};

/* freeze.c: ids of journals and names of tables that may not be changed. */
struct freezer {
    atomic_size_t count;
    atomic_bool all_journals;
    pthread_mutex_t lock;
    struct map things;
};
void freezer_init(struct freezer *f);
void freezer_done(struct freezer *f);
void freezer_add(struct freezer *f, view key);
void freezer_add_all_journals(struct freezer *f);
void freezer_thaw_all(struct freezer *f);
NODISCARD result freezer_check_journal(struct freezer *f, struct id journal, struct fault *fault);
NODISCARD result freezer_check_table(struct freezer *f, view table, struct fault *fault);

/* pressure.c: what is under way, by when it began. Any loop. */
enum { PRESSURE_SLOTS = 512, PRESSURE_SLOT_MS = 500 };     /* nothing takes longer than the ring goes round: 256 s */
struct pressure_gauge {
    atomic_uint_fast64_t under_way, slow, limit;
    atomic_uint begun[PRESSURE_SLOTS];
    atomic_int pressure;
    atomic_int_fast64_t look_at_ms;
    uint64_t told_under_way, told_slow;                    /* of whoever looks */
};
void pressure_init(struct pressure_gauge *g);
unsigned pressure_begin(struct pressure_gauge *g);
void pressure_end(struct pressure_gauge *g, unsigned slot);

/* Embedded as the first member of every engine. */
struct engine {
    const struct engine_methods *methods;
    struct watches *watches;
    struct freezer freezer;
    struct pressure_gauge pressure;
};

/* Embedded as the first member of every engine's writer. */
struct object_writer {
    struct engine *engine;
};

/* On a loop of the node that the engine serves. */
void engine_init(struct engine *e, const struct engine_methods *methods);
/* Waits until no watch of this node can be called any more. */
MAY_YIELD void engine_done(struct engine *e);
