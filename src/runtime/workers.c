#include "runtime/workers.h"

#include <stdlib.h>

#include "runtime/clock.h"
#include "runtime/coroutine.h"

enum { ASKS_AGAIN_MS = 5, FREES_HERE_AFTER_MS = 1000 };

result worker_run_by(enum worker_class class, void (*job)(void *argument), void *argument, millis deadline)
{
    result code;
    while ((code = worker_run(class, job, argument)) == BUSY && millis_before(clock_now(), deadline)) {
        code = coroutine_sleep(ASKS_AGAIN_MS);
        if (code != OK) break;
    }
    return code;
}

static void free_on_worker(void *memory)
{
    free(memory);
}

MAY_YIELD static void free_beside(void *memory)
{
    if (worker_run_by(WORKER_SLOW, free_on_worker, memory, clock_in(FREES_HERE_AFTER_MS)) != OK) free(memory);
}

void worker_free(void *memory, size_t bytes)
{
    struct loop *l = loop_self();
    if (!l || bytes < WORKER_FREE_BYTES || scope_is_cancelled(loop_scope(l))) free(memory);
    else coroutine_spawn(loop_scope(l), "free memory", free_beside, memory);
}
