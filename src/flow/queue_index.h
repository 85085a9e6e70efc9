/* queue_index: messages of a shard by their ids, with a pointer for each and nothing else. */
#pragma once

#include <stddef.h>

#include "base/id.h"

struct queued;
struct queue_index { struct queued **slots; size_t capacity, count; };

void queue_index_done(struct queue_index *x);
struct queued *queue_index_find(const struct queue_index *x, struct id message);
/* Not there yet. */
void queue_index_add(struct queue_index *x, struct queued *m);
void queue_index_remove(struct queue_index *x, const struct queued *m);
