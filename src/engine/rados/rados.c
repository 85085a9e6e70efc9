#include "engine/rados.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "engine/rados/journal_private.h"
#include "engine/rados/objects_private.h"
#include "engine/rados/signals.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"

#define BACKGROUND_CLOSING (1u << 31)
enum { OPEN_MS = 15000 };                /* to read how the store is laid out, once connected */

static const struct engine_methods methods;

/* The first to open a store makes it. */
result engine_open_rados(const struct engine_rados_options *options, struct engine **ret_engine, struct fault *fault)
{
    struct rados *e = calloc(1, sizeof *e);
    check(e);
    result code = client_open(options, &e->client, fault);
    if (code == OK) code = rados_layout_take(e->client, &e->layout, clock_in(OPEN_MS), fault);
    if (code != OK) {
        if (e->client) client_close(e->client);
        free(e);
        return code;
    }
    e->bases = bases_new();
    e->lanes = calloc(loops_count(loop_family(loop_self())), sizeof *e->lanes);
    check(e->lanes);
    e->object_cache = object_cache_new();
    engine_init(&e->base, &methods);
    e->signals = signals_start(e->client, e->base.watches);
    *ret_engine = &e->base;
    return OK;
}

bool rados_background_begin(struct rados *e)
{
    if (!(atomic_fetch_add(&e->background, 1) & BACKGROUND_CLOSING)) return true;
    rados_background_ended(e);
    return false;
}

void rados_background_ended(struct rados *e) { atomic_fetch_sub(&e->background, 1); }

MAY_YIELD static void rados_close(struct engine *base)
{
    struct rados *e = rados_of(base);
    atomic_fetch_or(&e->background, BACKGROUND_CLOSING);
    while (atomic_load(&e->background) != BACKGROUND_CLOSING) coroutine_pause();
    signals_stop(e->signals);
    client_close(e->client);
    engine_done(&e->base);
    bases_free(e->bases);
    for (unsigned i = 0; i < loops_count(loop_family(loop_self())); i++) map_done(&e->lanes[i]);
    free(e->lanes);
    object_cache_free(e->object_cache);
    free(e);
}

void cluster_notify(struct engine *base, struct id journal) { signals_notify(rados_of(base)->signals, journal); }

/* The cluster checks the bytes that it keeps against their checksums itself. */
MAY_YIELD static result rados_verify(struct engine *base, void (*found)(void *argument, view what), void *argument, struct fault *fault)
{
    return objects_verify(rados_of(base), OBJECT_GRACE_MS, found, argument, fault);
}

MAY_YIELD static result rados_reclaim(struct engine *base, uint64_t *place, uint64_t *count, struct fault *fault)
{
    return objects_reclaim(rados_of(base), OBJECT_GRACE_MS, place, count, fault);
}

static bool rados_has_archive(const struct engine *base) { return client_has_archive(rados_of(base)->client); }

static const struct engine_methods methods = {
    .kind = "rados",
    .has_archive = rados_has_archive,
    .close = rados_close,
    .append_start = cluster_append_start,
    .read = cluster_read,
    .read_body = cluster_read_body,
    .read_bodies = cluster_read_bodies,
    .replace_head = cluster_replace_head,
    .remove_journal = cluster_remove_journal,
    .list_journals = cluster_list_journals,
    .object_create = cluster_object_create,
    .object_write = cluster_object_write,
    .object_commit = cluster_object_commit,
    .object_abort = cluster_object_abort,
    .object_copy = cluster_object_copy,
    .object_read = cluster_object_read,
    .object_size = cluster_object_size,
    .object_remove = cluster_object_remove,
    .object_list = cluster_object_list,
    .verify = rados_verify,
    .reclaim = rados_reclaim,
    .table_shards = cluster_table_shards,
    .table_get = cluster_table_get,
    .table_scan = cluster_table_scan,
    .table_batch = cluster_table_batch,
    .notify = cluster_notify,
    .lease_acquire = cluster_lease_acquire,
    .lease_renew = cluster_lease_renew,
    .lease_release = cluster_lease_release,
};
