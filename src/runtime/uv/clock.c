#include "runtime/clock.h"

#include <time.h>

#include "runtime/uv/face.h"

/* 0: this thread runs no loop, or has not begun a turn. */
static _Thread_local int64_t turn_ms;

static int64_t read_us(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void clock_turn_begins(void) { turn_ms = read_us(CLOCK_MONOTONIC) / 1000; }

millis clock_now(void) { return (millis){turn_ms ? turn_ms : read_us(CLOCK_MONOTONIC) / 1000}; }

int64_t clock_now_us(void) { return read_us(CLOCK_MONOTONIC); }

unix_ms clock_wall(void) { return (unix_ms){read_us(CLOCK_REALTIME) / 1000}; }
