/* The memory engine's objects and leases. */
#include <stdlib.h>

#include "base/check.h"
#include "engine/memory/memory_private.h"
#include "runtime/random.h"

struct memory_writer {
    struct object_writer base;           /* first */
    buf name, bytes;
};

/* The archive may be away alone. */
static result refuse_if_away(struct engine *e, view name, struct fault *fault)
{
    struct memory_store *s = memory_of(e)->store;
    if (!engine_is_cold(name)) return OK;
    store_lock(s);
    bool is_away = s->faults.archive_away;
    store_unlock(s);
    return is_away ? fail(fault, UNAVAILABLE, "the archive is away") : OK;
}

bool memory_has_archive(const struct engine *e) { return true; }

static void free_writer(struct memory_writer *w)
{
    buf_done(&w->name);
    buf_done(&w->bytes);
    free(w);
}

/* An object that is there is noticed now or, as other engines do, at the end. */
result memory_object_create(struct engine *base, view name, millis deadline, struct object_writer **ret_writer, struct fault *fault)
{
    colour_pretend_coroutine();
    if (refuse_if_away(base, name, fault) != OK) return UNAVAILABLE;
    struct memory_engine *e = memory_of(base);
    result code = memory_read_begin(e, MEMORY_OBJECT_SIZE, name, deadline, fault);
    if (code != OK) return code == CORRUPT ? UNAVAILABLE : code;
    bool exists = map_get(&e->store->objects, name) != NULL;
    store_unlock(e->store);
    if (exists && random_below(2)) return fail(fault, EXISTS, "object " VIEW_FMT " exists", VIEW_ARG(name));
    struct memory_writer *w = calloc(1, sizeof *w);
    check(w);
    w->base.engine = base;
    buf_append(&w->name, name);
    *ret_writer = &w->base;
    return OK;
}

result memory_object_write(struct object_writer *base, view bytes, millis deadline, struct fault *fault)
{
    colour_pretend_coroutine();
    struct memory_writer *w = (struct memory_writer *)(void *)base;
    struct memory_engine *e = memory_of(base->engine);
    result code = memory_read_begin(e, MEMORY_OBJECT_SIZE, buf_view(&w->name), deadline, fault);
    if (code != OK) return code == CORRUPT ? UNAVAILABLE : code;
    bool is_full = e->store->faults.full;
    store_unlock(e->store);
    if (is_full) return fail(fault, UNAVAILABLE, "the store is full");
    buf_append(&w->bytes, bytes);
    return OK;
}

result memory_object_commit(struct object_writer *base, millis deadline, struct fault *fault)
{
    colour_pretend_coroutine();
    struct memory_writer *w = (struct memory_writer *)(void *)base;
    if (refuse_if_away(base->engine, buf_view(&w->name), fault) != OK) {
        free_writer(w);
        return UNAVAILABLE;
    }
    struct change *c = change_new(MEMORY_OBJECT_PUT);
    c->name = w->name;
    c->bytes = w->bytes;
    w->name = w->bytes = BUF_INIT;
    result code = memory_change(memory_of(base->engine), c, deadline, NULL, fault);
    free_writer(w);
    return code == EXISTS ? fail(fault, EXISTS, "the object exists") : code;
}

void memory_object_abort(struct object_writer *w) { free_writer((struct memory_writer *)(void *)w); }

result memory_object_copy(struct engine *e, view from, view to, millis deadline, struct fault *fault)
{
    colour_pretend_coroutine();
    if (refuse_if_away(e, from, fault) != OK) return UNAVAILABLE;
    struct change *c = change_new(MEMORY_OBJECT_COPY);
    buf_append(&c->name, to);
    buf_append(&c->other, from);
    result code = memory_change(memory_of(e), c, deadline, NULL, fault);
    return code == EXISTS || code == NOT_FOUND ? fail(fault, code, "copy of an object: %s", result_name(code)) : code;
}

result memory_object_read(struct engine *base, view name, uint64_t offset, size_t len, millis deadline, buf *into, struct fault *fault)
{
    colour_pretend_coroutine();
    if (refuse_if_away(base, name, fault) != OK) return UNAVAILABLE;
    struct memory_engine *e = memory_of(base);
    result code = memory_read_begin(e, MEMORY_OBJECT_READ, name, deadline, fault);
    if (code != OK) return code;
    const struct stored_object *o = map_get(&e->store->objects, name);
    if (o && offset < o->bytes.len) buf_append(into, view_slice(buf_view(&o->bytes), (size_t)offset, len));
    store_unlock(e->store);
    return o ? OK : fail(fault, NOT_FOUND, "no object " VIEW_FMT, VIEW_ARG(name));
}

result memory_object_size(struct engine *base, view name, millis deadline, uint64_t *ret_bytes, struct fault *fault)
{
    colour_pretend_coroutine();
    if (refuse_if_away(base, name, fault) != OK) return UNAVAILABLE;
    struct memory_engine *e = memory_of(base);
    result code = memory_read_begin(e, MEMORY_OBJECT_SIZE, name, deadline, fault);
    if (code != OK) return code;
    const struct stored_object *o = map_get(&e->store->objects, name);
    uint64_t bytes = o ? o->bytes.len : 0;
    store_unlock(e->store);
    if (!o) return fail(fault, NOT_FOUND, "no object " VIEW_FMT, VIEW_ARG(name));
    *ret_bytes = bytes;
    return OK;
}

result memory_object_remove(struct engine *e, view name, millis deadline, struct fault *fault)
{
    colour_pretend_coroutine();
    if (refuse_if_away(e, name, fault) != OK) return UNAVAILABLE;
    struct change *c = change_new(MEMORY_OBJECT_REMOVE);
    buf_append(&c->name, name);
    return memory_change(memory_of(e), c, deadline, NULL, fault);
}

static int compare_views(const void *a, const void *b) { return view_compare(*(const view *)a, *(const view *)b); }

result memory_object_list(struct engine *base, view prefix, view after, size_t max, millis deadline, struct arena *arena,
                          view **ret_names, size_t *ret_count, struct fault *fault)
{
    colour_pretend_coroutine();
    if (refuse_if_away(base, prefix, fault) != OK) return UNAVAILABLE;
    struct memory_engine *e = memory_of(base);
    result code = memory_read_begin(e, MEMORY_OBJECT_LIST, VIEW_EMPTY, deadline, fault);
    if (code != OK) return code;
    struct map_slot *slot;
    size_t count = 0;
    view *all = calloc(e->store->objects.count + 1, sizeof *all);
    check(all);
    for (size_t at = 0; (slot = map_next(&e->store->objects, &at));)
        if (view_starts(slot->key, prefix) && engine_is_cold(slot->key) == engine_is_cold(prefix) && (after.len == 0 || view_compare(slot->key, after) > 0))
            all[count++] = slot->key;
    qsort(all, count, sizeof *all, compare_views);
    if (count > max) count = max;
    view *names = arena_array(arena, view, count + 1);
    for (size_t i = 0; i < count; i++) names[i] = arena_keep(arena, all[i]);
    free(all);
    code = memory_read_end(e, OK, fault);
    if (code != OK) return code;
    *ret_names = names;
    *ret_count = count;
    return OK;
}

/* ---- leases -------------------------------------------------------------------------------------------- */

MAY_YIELD static result change_lease(struct engine *e, view name, view owner, struct change *c, millis deadline, struct fault *fault)
{
    buf_append(&c->name, name);
    buf_append(&c->bytes, owner);
    result code = memory_change(memory_of(e), c, deadline, NULL, fault);
    return code == BUSY || code == NOT_FOUND ? fail(fault, code, "lease " VIEW_FMT ": %s", VIEW_ARG(name), result_name(code)) : code;
}

result memory_lease_acquire(struct engine *e, view name, view owner, int64_t duration_ms, millis deadline, struct fault *fault)
{
    colour_pretend_coroutine();
    struct change *c = change_new(MEMORY_LEASE);
    c->duration_ms = duration_ms;
    return change_lease(e, name, owner, c, deadline, fault);
}

result memory_lease_renew(struct engine *e, view name, view owner, int64_t duration_ms, millis deadline, struct fault *fault)
{
    colour_pretend_coroutine();
    struct change *c = change_new(MEMORY_LEASE);
    c->duration_ms = duration_ms;
    c->renews = true;
    return change_lease(e, name, owner, c, deadline, fault);
}

result memory_lease_release(struct engine *e, view name, view owner, millis deadline, struct fault *fault)
{
    colour_pretend_coroutine();
    struct change *c = change_new(MEMORY_LEASE);
    c->releases = true;
    return change_lease(e, name, owner, c, deadline, fault);
}
