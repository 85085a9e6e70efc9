/*
 * Two kinds of time that the compiler keeps apart.
 *
 * millis is monotonic and means nothing outside the process: deadlines and durations. unix_ms is wall
 * clock in milliseconds since 1970-01-01 UTC: what is written down. Only the runtime reads a clock
 * (runtime/clock.h); everything else is handed a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct millis { int64_t ms; } millis;
typedef struct unix_ms { int64_t ms; } unix_ms;

/* A deadline that never comes. */
#define MILLIS_NEVER ((millis){INT64_MAX})

static inline bool millis_is_never(millis t) { return t.ms == INT64_MAX; }
static inline bool millis_before(millis a, millis b) { return a.ms < b.ms; }
static inline millis millis_min(millis a, millis b) { return a.ms < b.ms ? a : b; }

/* `t` plus a duration; MILLIS_NEVER stays never. */
static inline millis millis_add(millis t, int64_t duration_ms)
{
    if (millis_is_never(t) || duration_ms == INT64_MAX) return MILLIS_NEVER;
    return (millis){t.ms + duration_ms};
}
