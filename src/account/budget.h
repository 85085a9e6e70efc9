/*
 * budget: bytes that several coroutines of a loop may hold at once, first come, first served.
 *
 * Who asks for more than there is waits until it fits, or until nobody holds anything: a request over the limit is served alone. Nobody
 * overtakes, so that a large request is not kept waiting by small ones for ever.
 */
#pragma once

#include <stddef.h>

#include "base/list.h"
#include "runtime/coroutine.h"

struct budget {
    size_t limit, used;
    struct list waiting;          /* struct budget_request, in order */
};

void budget_init(struct budget *b, size_t limit);
/* OK: budget_give() is due. TIMEOUT or CANCELLED otherwise. */
MAY_YIELD NODISCARD result budget_take(struct budget *b, size_t bytes, millis deadline);
void budget_give(struct budget *b, size_t bytes);
