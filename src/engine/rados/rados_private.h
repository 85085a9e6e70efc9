/* rados_private: the rados engine from within. One file to each family of the contract. The slots are called cluster_*: rados_* is librados. */
#pragma once

#include "base/map.h"
#include "engine/private.h"
#include "engine/rados.h"
#include "engine/rados/client.h"
#include "engine/rados/layout.h"

struct object_cache;
struct signals;

struct rados {
    struct engine base;                  /* first */
    struct client *client;
    struct rados_layout layout;
    struct bases *bases;                 /* journal_private.h */
    struct map *lanes;                   /* journal_append.c: to each loop its own */
    _Atomic unsigned background;         /* coroutines of its own that use it; the highest bit: it closes, none may begin */
    struct object_cache *object_cache;   /* objects_private.h */
    struct signals *signals;             /* signals.h */
    /* Each part adds what is its own. */
};

static inline struct rados *rados_of(const struct engine *e) { return (struct rados *)(uintptr_t)e; }

/* Around what a coroutine of the engine's own does, that closing waits for. False: it closes, do not begin. */
bool rados_background_begin(struct rados *e);
void rados_background_ended(struct rados *e);

/* ---- journal_*.c ------------------------------------------------------------------------------------------ */

void cluster_append_start(struct engine *base, struct journal_append *a, millis deadline, void (*done)(struct journal_append *a, void *argument),
                        void *argument);
MAY_YIELD result cluster_read(struct engine *base, struct id journal, const struct journal_position *from, millis deadline, struct arena *arena,
                            struct journal_page *ret_page, struct fault *fault);
MAY_YIELD result cluster_read_body(struct engine *base, struct id journal, const struct journal_record *record, uint32_t offset, uint32_t len,
                                 millis deadline, buf *into, struct fault *fault);
MAY_YIELD result cluster_read_bodies(struct engine *base, struct id journal, struct journal_body_wanted *wanted, size_t count, millis deadline,
                                   struct fault *fault);
MAY_YIELD result cluster_replace_head(struct engine *base, struct id journal, uint64_t epoch, const struct journal_position *folded, view head,
                                    millis deadline, struct journal_position *ret_head_at, struct fault *fault);
MAY_YIELD result cluster_remove_journal(struct engine *base, struct id journal, millis deadline, struct fault *fault);
MAY_YIELD result cluster_list_journals(struct engine *base, const struct id *after, size_t max, millis deadline, struct id *journals,
                                     size_t *ret_count, struct fault *fault);

/* ---- objects.c, object_*.c ---------------------------------------------------------------------------------- */

MAY_YIELD result cluster_object_create(struct engine *base, view name, millis deadline, struct object_writer **ret_writer, struct fault *fault);
MAY_YIELD result cluster_object_write(struct object_writer *w, view bytes, millis deadline, struct fault *fault);
MAY_YIELD result cluster_object_commit(struct object_writer *w, millis deadline, struct fault *fault);
MAY_YIELD void cluster_object_abort(struct object_writer *w);
MAY_YIELD result cluster_object_copy(struct engine *base, view from, view to, millis deadline, struct fault *fault);
MAY_YIELD result cluster_object_read(struct engine *base, view name, uint64_t offset, size_t len, millis deadline, buf *into, struct fault *fault);
MAY_YIELD result cluster_object_size(struct engine *base, view name, millis deadline, uint64_t *ret_bytes, struct fault *fault);
MAY_YIELD result cluster_object_remove(struct engine *base, view name, millis deadline, struct fault *fault);
MAY_YIELD result cluster_object_list(struct engine *base, view prefix, view after, size_t max, millis deadline, struct arena *arena,
                                   view **ret_names, size_t *ret_count, struct fault *fault);

/* ---- tables.c --------------------------------------------------------------------------------------------- */

uint32_t cluster_table_shards(const struct engine *base, view table);
MAY_YIELD result cluster_table_get(struct engine *base, view table, uint32_t shard, view key, millis deadline, struct arena *arena,
                                 view *ret_value, struct fault *fault);
MAY_YIELD result cluster_table_scan(struct engine *base, view table, uint32_t shard, view prefix, view after, size_t max, millis deadline,
                                  struct arena *arena, struct table_row **ret_rows, size_t *ret_count, struct fault *fault);
MAY_YIELD result cluster_table_batch(struct engine *base, view table, uint32_t shard, const struct table_change *changes, size_t count,
                                   millis deadline, size_t *ret_failed, struct fault *fault);

/* ---- signals.c, leases.c ---------------------------------------------------------------------------------- */

void cluster_notify(struct engine *base, struct id journal);
MAY_YIELD result cluster_lease_acquire(struct engine *base, view name, view owner, int64_t duration_ms, millis deadline, struct fault *fault);
MAY_YIELD result cluster_lease_renew(struct engine *base, view name, view owner, int64_t duration_ms, millis deadline, struct fault *fault);
MAY_YIELD result cluster_lease_release(struct engine *base, view name, view owner, millis deadline, struct fault *fault);
