/*
 * What may not be changed for now. Few things are ever frozen and for a short time, so a journal that is not costs one read of a counter.
 * A set of its own lock: appends come from any loop.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "engine/private.h"

struct frozen {
    size_t len;
    char key[];
};

static struct frozen *frozen_new(view key)
{
    struct frozen *f = malloc(sizeof *f + key.len);
    check(f);
    f->len = key.len;
    memcpy(f->key, key.at, key.len);
    return f;
}

void freezer_init(struct freezer *f)
{
    *f = (struct freezer){0};
    pthread_mutex_init(&f->lock, NULL);
}

void freezer_thaw_all(struct freezer *f)
{
    size_t at = 0;
    pthread_mutex_lock(&f->lock);
    for (struct map_slot *slot; (slot = map_next(&f->things, &at));) free(slot->value);
    map_done(&f->things);
    f->things = MAP_INIT;
    atomic_store(&f->all_journals, false);
    atomic_store(&f->count, 0);
    pthread_mutex_unlock(&f->lock);
}

void freezer_done(struct freezer *f)
{
    freezer_thaw_all(f);
    pthread_mutex_destroy(&f->lock);
}

void freezer_add(struct freezer *f, view key)
{
    pthread_mutex_lock(&f->lock);
    if (!map_get(&f->things, key)) {
        struct frozen *thing = frozen_new(key);
        map_put(&f->things, view_make(thing->key, thing->len), thing);
        atomic_fetch_add(&f->count, 1);
    }
    pthread_mutex_unlock(&f->lock);
}

void freezer_add_all_journals(struct freezer *f)
{
    pthread_mutex_lock(&f->lock);
    if (!atomic_exchange(&f->all_journals, true)) atomic_fetch_add(&f->count, 1);
    pthread_mutex_unlock(&f->lock);
}

static result refuse(struct fault *fault, const char *what)
{
    result code = fail(fault, UNAVAILABLE, "%s is being moved to another store", what);
    fault_tell(fault, "The mailbox is being moved, try again later");
    return code;
}

static bool has(struct freezer *f, view key)
{
    pthread_mutex_lock(&f->lock);
    bool is_there = map_get(&f->things, key) != NULL;
    pthread_mutex_unlock(&f->lock);
    return is_there;
}

result freezer_check_journal(struct freezer *f, struct id journal, struct fault *fault)
{
    if (atomic_load_explicit(&f->count, memory_order_relaxed) == 0) return OK;
    if (!atomic_load(&f->all_journals) && !has(f, id_view(&journal))) return OK;
    char text[ID_TEXT_LEN + 1];
    id_text(journal, text);
    return refuse(fault, text);
}

result freezer_check_table(struct freezer *f, view table, struct fault *fault)
{
    if (atomic_load_explicit(&f->count, memory_order_relaxed) == 0 || !has(f, table)) return OK;
    return refuse(fault, "the directory");
}
