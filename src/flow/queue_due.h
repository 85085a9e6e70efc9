/* queue_due: when messages of a shard are to be looked at again: a heap, and one timer of the loop for all of them. */
#pragma once

#include "runtime/loop.h"

struct queued;
struct queue_due {
    struct due_slot { int64_t due_ms; struct queued *message; } *slots;
    size_t count, capacity;
    struct timer timer;
};

/* queued_consider() is called for each when its time has come, a bounded number in a turn of the loop. */
void queue_due_init(struct queue_due *d);
void queue_due_done(struct queue_due *d);
/* In place of the time that it had. On the shard's loop. */
void queue_due_set(struct queue_due *d, struct queued *m, millis due);
void queue_due_clear(struct queue_due *d, struct queued *m);
