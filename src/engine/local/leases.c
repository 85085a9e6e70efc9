/* Leases of one process: a table under a lock. They end with it, and so do their owners. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/map.h"
#include "engine/local/local_private.h"
#include "runtime/clock.h"

struct lease {
    char name[ENGINE_NAME_MAX_BYTES], owner[ENGINE_NAME_MAX_BYTES];
    size_t name_bytes, owner_bytes;
    millis until;
};

struct leases {
    pthread_mutex_t lock;
    struct map by_name;
};

struct leases *leases_new(void)
{
    struct leases *l = calloc(1, sizeof *l);
    check(l);
    pthread_mutex_init(&l->lock, NULL);
    return l;
}

void leases_free(struct leases *l)
{
    size_t position = 0;
    for (struct map_slot *slot; (slot = map_next(&l->by_name, &position));) free(slot->value);
    map_done(&l->by_name);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static bool is_owned_by(const struct lease *one, view owner)
{
    return one && millis_before(clock_now(), one->until) && view_equal(view_make(one->owner, one->owner_bytes), owner);
}

static bool is_held(const struct lease *one) { return one && millis_before(clock_now(), one->until); }

static void take(struct leases *l, struct lease *one, view name, view owner, int64_t duration_ms)
{
    if (!one) {
        one = calloc(1, sizeof *one);
        check(one);
        memcpy(one->name, name.at, name.len);
        one->name_bytes = name.len;
        map_put(&l->by_name, view_make(one->name, one->name_bytes), one);
    }
    memcpy(one->owner, owner.at, owner.len);
    one->owner_bytes = owner.len;
    one->until = clock_in(duration_ms);
}

result local_lease_acquire(struct engine *base, view name, view owner, int64_t duration_ms, millis deadline, struct fault *fault)
{
    struct leases *l = local_of(base)->leases;
    pthread_mutex_lock(&l->lock);
    struct lease *one = map_get(&l->by_name, name);
    bool may = !is_held(one) || is_owned_by(one, owner);
    if (may) take(l, one, name, owner, duration_ms);
    pthread_mutex_unlock(&l->lock);
    return may ? OK : fail(fault, BUSY, "lease " VIEW_FMT " has another owner", VIEW_ARG(name));
}

result local_lease_renew(struct engine *base, view name, view owner, int64_t duration_ms, millis deadline, struct fault *fault)
{
    struct leases *l = local_of(base)->leases;
    pthread_mutex_lock(&l->lock);
    struct lease *one = map_get(&l->by_name, name);
    bool may = is_owned_by(one, owner);
    bool is_anothers = !may && is_held(one);
    if (may) take(l, one, name, owner, duration_ms);
    pthread_mutex_unlock(&l->lock);
    if (is_anothers) return fail(fault, BUSY, "lease " VIEW_FMT " has another owner", VIEW_ARG(name));
    return may ? OK : fail(fault, NOT_FOUND, "lease " VIEW_FMT " has expired", VIEW_ARG(name));
}

result local_lease_release(struct engine *base, view name, view owner, millis deadline, struct fault *fault)
{
    struct leases *l = local_of(base)->leases;
    pthread_mutex_lock(&l->lock);
    struct lease *one = map_get(&l->by_name, name);
    bool is_gone = one && (is_owned_by(one, owner) || !is_held(one));
    if (is_gone) map_remove(&l->by_name, name);
    pthread_mutex_unlock(&l->lock);
    if (is_gone) free(one);
    return OK;
}
