#include "runtime/clock.h"

#include <time.h>

#include "runtime/uv/face.h"

/* libuv reads the clock when its poll returns. NULL: this thread runs no loop. */
static _Thread_local uv_loop_t *followed;

static int64_t read_us(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void clock_follow(uv_loop_t *uv)
{
    followed = uv;
    if (uv) uv_update_time(uv);
}

millis clock_now(void) { return (millis){followed ? (int64_t)uv_now(followed) : read_us(CLOCK_MONOTONIC) / 1000}; }

int64_t clock_now_us(void) { return read_us(CLOCK_MONOTONIC); }

unix_ms clock_wall(void) { return (unix_ms){read_us(CLOCK_REALTIME) / 1000}; }
