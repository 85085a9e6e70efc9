/*
 * workers: threads for what blocks.
 *
 * worker_run() runs job(argument) on a thread of the class's pool and returns when it has ended; it is
 * deaf to cancellation because the job uses the caller's memory. Queues are bounded: BUSY means that
 * the job did not run. A batcher is one thread that takes all that waits at once: group commit.
 * In the simulator jobs run on the one thread after a random virtual delay, in random order.
 */
#pragma once

#include <stddef.h>

#include "base/list.h"
#include "base/result.h"
#include "runtime/colour.h"
#include "runtime/loop.h"

enum worker_class {
    WORKER_READ,       /* reads from the store */
    WORKER_WRITE,      /* writes and syncs of objects, compaction's work */
    WORKER_UNPACK,     /* what was read is unpacked, beside a loop that waits for it */
    WORKER_SLOW,       /* password hashing, files named by the operator, name service, texts of large messages */
};

MAY_YIELD NODISCARD result worker_run(enum worker_class class, void (*job)(void *argument), void *argument);
/* While the queue is full it asks again, until the deadline: then BUSY. CANCELLED meanwhile: the job did not run. */
MAY_YIELD NODISCARD result worker_run_by(enum worker_class class, void (*job)(void *argument), void *argument, millis deadline);

/*
 * free() of so many bytes: on a worker some time soon if they are WORKER_FREE_BYTES or more, which the system takes back page by page (45 MB in 4 to 13 ms).
 * Elsewhere than on a loop at once. Does not yield.
 */
enum { WORKER_FREE_BYTES = 2 << 20 };
void worker_free(void *memory, size_t bytes);

struct batcher;

/*
 * One thing to be done in a batch. The submitter embeds it, fills `code` in run() of the batcher (on its
 * thread), and gets done(item) called on the loop that submitted it.
 */
struct batch_item {
    struct task task;            /* the runtime's */
    struct batch_item *next;     /* the runtime's; the order of submission */
    struct loop *origin;
    void (*done)(struct batch_item *item);
};

/* run() gets a chain of at least one item, linked by next, oldest first; on return all are done. BLOCKS. */
struct batcher *batcher_new(const char *name, void (*run)(void *context, struct batch_item *first), void *context);
/* From a loop. Never blocks and never fails; the submitter bounds how many it has under way. */
void batcher_submit(struct batcher *b, struct batch_item *item);
/* Returns after all that was submitted is done. Not from a loop that still has items under way. */
void batcher_free(struct batcher *b);
