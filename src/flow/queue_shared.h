/*
 * queue_shared: texts that many messages of a shard have in common: who sent them, what was answered. Each is kept once, as long as somebody
 * uses it.
 */
#pragma once

#include "base/map.h"

struct shared_text { uint32_t uses, len; char bytes[]; };

/* NULL: empty. */
static inline view shared_view(const struct shared_text *t) { return t ? view_make(t->bytes, t->len) : VIEW_EMPTY; }
/* One use more; NULL for an empty text. */
struct shared_text *shared_keep(struct map *all, view text);
/* NULL is fine. */
void shared_drop(struct map *all, struct shared_text *t);
