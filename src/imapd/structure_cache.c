#include "imapd/structure_cache.h"

#include <stdlib.h>

#include "base/check.h"

void structure_cache_init(struct structure_cache *c)
{
    list_init(&c->entries);
    c->count = 0;
}

static void structure_free_unused(struct structure *s)
{
    if (s->users > 0 || s->is_kept) return;
    arena_free(s->arena);
    free(s);
}

static void forget(struct structure_cache *c, struct structure *s)
{
    list_remove(&s->node);
    c->count--;
    s->is_kept = false;
    structure_free_unused(s);
}

void structure_cache_done(struct structure_cache *c)
{
    while (!list_is_empty(&c->entries)) forget(c, container_of(c->entries.next, struct structure, node));
}

struct structure *structure_find(struct structure_cache *c, struct id message)
{
    list_each(node, &c->entries) {
        struct structure *s = container_of(node, struct structure, node);
        if (!id_equal(s->message, message)) continue;
        list_remove(node);
        list_prepend(&c->entries, node);
        s->users++;
        return s;
    }
    return NULL;
}

struct structure *structure_add(struct structure_cache *c, struct id message, struct arena *arena, const struct mime_part *root)
{
    struct structure *s = calloc(1, sizeof *s);
    check(s);
    *s = (struct structure){.message = message, .arena = arena, .root = root, .users = 1};
    list_init(&s->node);
    if (arena_used(arena) > STRUCTURE_CACHE_BYTES_MAX) return s;
    s->is_kept = true;
    list_prepend(&c->entries, &s->node);
    if (++c->count > STRUCTURE_CACHE_ENTRIES_MAX) forget(c, container_of(c->entries.previous, struct structure, node));
    return s;
}

void structure_release(struct structure *s)
{
    if (!s) return;
    s->users--;
    structure_free_unused(s);
}
