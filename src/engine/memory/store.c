#include "engine/memory/store.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "runtime/clock.h"
#include "runtime/random.h"

static const char *const operation_names[MEMORY_OPERATIONS] = {
    "append", "read", "read_body", "head", "remove_journal", "list_journals", "object_put", "object_copy", "object_read",
    "object_size", "object_remove", "object_list", "table_get", "table_scan", "table_batch", "lease", "notify",
};

/* Loops of several threads may share a store; nothing that takes long or waits is done under the lock. */
void store_lock(struct memory_store *s)
{
    while (atomic_flag_test_and_set_explicit(&s->lock, memory_order_acquire)) continue;
}

void store_unlock(struct memory_store *s) { atomic_flag_clear_explicit(&s->lock, memory_order_release); }

struct memory_store *memory_store_new(void)
{
    struct memory_store *s = calloc(1, sizeof *s);
    check(s);
    s->lock = (atomic_flag)ATOMIC_FLAG_INIT;
    s->missed_since = MILLIS_NEVER;
    list_init(&s->pending);
    list_init(&s->engines);
    return s;
}

void stored_object_free(struct stored_object *o)
{
    buf_done(&o->name);
    buf_done(&o->bytes);
    free(o);
}

static void free_lease(struct stored_lease *l)
{
    buf_done(&l->name);
    buf_done(&l->owner);
    free(l);
}

void memory_store_free(struct memory_store *s)
{
    struct map_slot *slot;
    check(list_is_empty(&s->engines));
    while (!list_is_empty(&s->pending)) {
        struct change *c = container_of(s->pending.next, struct change, node);
        list_remove(&c->node);
        change_free(c);
    }
    for (size_t at = 0; (slot = map_next(&s->journals, &at));) stored_journal_free(slot->value);
    for (size_t at = 0; (slot = map_next(&s->objects, &at));) stored_object_free(slot->value);
    for (size_t at = 0; (slot = map_next(&s->shards, &at));) stored_shard_free(slot->value);
    for (size_t at = 0; (slot = map_next(&s->leases, &at));) free_lease(slot->value);
    for (size_t i = 0; i < s->history_count; i++) free((char *)s->history[i].meta.at);
    free(s->history);
    map_done(&s->journals);
    map_done(&s->objects);
    map_done(&s->shards);
    map_done(&s->leases);
    free(s);
}

void memory_store_set_faults(struct memory_store *s, const struct memory_faults *faults)
{
    store_lock(s);
    s->faults = faults ? *faults : (struct memory_faults){0};
    store_unlock(s);
}

uint64_t memory_store_count(const struct memory_store *s, const char *kind)
{
    for (int i = 0; i < MEMORY_OPERATIONS; i++)
        if (strcmp(operation_names[i], kind) == 0) return s->counts[i];
    check_failed("a kind of operation that there is", __FILE__, __LINE__, kind);
}

void memory_store_keep_history(struct memory_store *s) { s->keeps_history = true; }

const struct memory_history *memory_store_history(const struct memory_store *s, size_t *ret_count)
{
    *ret_count = s->history_count;
    return s->history;
}

void memory_store_expire_leases(struct memory_store *s)
{
    struct map_slot *slot;
    store_lock(s);
    for (size_t at = 0; (slot = map_next(&s->leases, &at));) ((struct stored_lease *)slot->value)->expires = (millis){0};
    store_unlock(s);
}

/* ---- objects and leases -------------------------------------------------------------------------------- */

static void put_object(struct memory_store *s, buf *name, buf *bytes)
{
    struct stored_object *o = calloc(1, sizeof *o);
    check(o);
    o->name = *name;
    o->bytes = *bytes;
    *name = *bytes = BUF_INIT;
    map_put(&s->objects, buf_view(&o->name), o);
}

static void apply_object_put(struct memory_store *s, struct change *c)
{
    if (map_get(&s->objects, buf_view(&c->name))) c->code = EXISTS;
    else put_object(s, &c->name, &c->bytes);
}

static void apply_object_copy(struct memory_store *s, struct change *c)
{
    struct stored_object *from = map_get(&s->objects, buf_view(&c->other));
    if (!from) {
        c->code = NOT_FOUND;
    } else if (map_get(&s->objects, buf_view(&c->name))) {
        c->code = EXISTS;
    } else {
        buf_append(&c->bytes, buf_view(&from->bytes));
        put_object(s, &c->name, &c->bytes);
    }
}

static void apply_object_remove(struct memory_store *s, struct change *c)
{
    struct stored_object *o = map_remove(&s->objects, buf_view(&c->name));
    if (o) stored_object_free(o);
}

static void apply_lease(struct memory_store *s, struct change *c)
{
    millis now = clock_now();
    struct stored_lease *l = map_get(&s->leases, buf_view(&c->name));
    bool is_held = l && millis_before(now, l->expires), is_ours = is_held && view_equal(buf_view(&l->owner), buf_view(&c->bytes));
    if (c->releases) {
        if (is_ours) l->expires = (millis){0};
        return;
    }
    if (is_held && !is_ours) c->code = BUSY;
    else if (c->renews && !is_ours) c->code = NOT_FOUND;
    if (c->code != OK) return;
    if (!l) {
        l = calloc(1, sizeof *l);
        check(l);
        buf_append(&l->name, buf_view(&c->name));
        map_put(&s->leases, buf_view(&l->name), l);
    }
    buf_clear(&l->owner);
    buf_append(&l->owner, buf_view(&c->bytes));
    l->expires = millis_add(now, c->duration_ms);
    l->client = c->client;
}

/* ---- changes ------------------------------------------------------------------------------------------- */

struct change *change_new(enum memory_operation operation)
{
    struct change *c = calloc(1, sizeof *c);
    check(c);
    c->operation = operation;
    list_init(&c->node);
    return c;
}

void change_free(struct change *c)
{
    list_remove(&c->node);
    for (size_t i = 0; i < c->row_count; i++) {
        buf_done(&c->rows[i].key);
        buf_done(&c->rows[i].value);
        buf_done(&c->rows[i].expected);
    }
    free(c->rows);
    buf_done(&c->name);
    buf_done(&c->bytes);
    buf_done(&c->other);
    free(c);
}

void memory_store_on_change(struct memory_store *s, void (*told)(void *argument, const char *kind, struct id journal, view name, result code), void *argument)
{
    s->told = told;
    s->told_argument = argument;
}

void memory_store_apply(struct memory_store *s, struct change *c)
{
    check(!c->is_applied);
    c->is_applied = true;
    c->code = OK;
    buf name = BUF_INIT;
    if (s->told) buf_append(&name, buf_view(&c->name));
    switch (c->operation) {
    case MEMORY_APPEND: store_apply_append(s, c); break;
    case MEMORY_HEAD: store_apply_head(s, c); break;
    case MEMORY_REMOVE_JOURNAL: store_apply_remove_journal(s, c); break;
    case MEMORY_OBJECT_PUT: apply_object_put(s, c); break;
    case MEMORY_OBJECT_COPY: apply_object_copy(s, c); break;
    case MEMORY_OBJECT_REMOVE: apply_object_remove(s, c); break;
    case MEMORY_TABLE_BATCH: store_apply_batch(s, c); break;
    case MEMORY_LEASE: apply_lease(s, c); break;
    default: unreachable();
    }
    if (s->told) s->told(s->told_argument, operation_names[c->operation], c->journal, buf_view(&name), c->code);
    buf_done(&name);
}

static bool is_due(struct memory_store *s, const struct change *c)
{
    return !millis_before(clock_now(), c->due) || (c->due_records && store_journal_records(s, c->journal) >= c->due_records);
}

void store_catch_up(struct memory_store *s, bool all)
{
    list_each (node, &s->pending) {
        struct change *c = container_of(node, struct change, node);
        if (!all && !is_due(s, c)) continue;
        if (!all || random_below(2)) memory_store_apply(s, c);
        change_free(c);
    }
}

void memory_store_settle(struct memory_store *s)
{
    store_lock(s);
    store_catch_up(s, true);
    store_unlock(s);
}
