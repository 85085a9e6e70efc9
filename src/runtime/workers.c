#include "runtime/workers.h"

#include "runtime/clock.h"
#include "runtime/coroutine.h"

enum { ASKS_AGAIN_MS = 5 };

result worker_run_by(enum worker_class class, void (*job)(void *argument), void *argument, millis deadline)
{
    result code;
    while ((code = worker_run(class, job, argument)) == BUSY && millis_before(clock_now(), deadline)) {
        code = coroutine_sleep(ASKS_AGAIN_MS);
        if (code != OK) break;
    }
    return code;
}
