/*
 * structure_cache: the MIME structure of large messages that were read lately, on one loop.
 *
 * Clients fetch a large part in many pieces, each a command; without this, each would read and parse the whole message. A tree holds
 * no bytes of its message (mime.h), and messages never change, so it can be kept as long as there is room.
 */
#pragma once

#include "base/arena.h"
#include "base/id.h"
#include "base/list.h"

struct mime_part;

enum {
    STRUCTURE_CACHE_ENTRIES_MAX = 32,
    STRUCTURE_CACHE_BYTES_MAX = 256 << 10,   /* of one tree; larger ones are not kept */
};

struct structure_cache {
    struct list entries;                     /* the one used last comes first */
    size_t count;
};

/* A tree in use: it stays until structure_release(), whether or not the cache still has it. */
struct structure {
    struct list node;
    struct id message;
    struct arena *arena;
    const struct mime_part *root;
    unsigned users;
    bool is_kept;
};

void structure_cache_init(struct structure_cache *c);
void structure_cache_done(struct structure_cache *c);
/* NULL when it is not there. */
struct structure *structure_find(struct structure_cache *c, struct id message);
/* Takes the arena, in which the tree lives; the caller uses the result as one that was found. */
struct structure *structure_add(struct structure_cache *c, struct id message, struct arena *arena, const struct mime_part *root);
void structure_release(struct structure *s);                 /* NULL is fine */
