/* event_hook: lets a test see events. Told on the thread that emits, before the line is written; NULL ends it. */
#pragma once

#include <stddef.h>

#include "runtime/event.h"

void event_hook(void (*told)(void *context, enum event e, const struct event_field *fields, size_t count), void *context);
/* How often the event was emitted in this process, on all threads. */
int64_t event_times(enum event e);
/* The sum of a counter or gauge, or the number of observations of a histogram. */
int64_t metric_value(enum metric m);
