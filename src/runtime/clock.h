/* clock: the only source of time. In the simulator, virtual. */
#pragma once

#include "base/time.h"

/* Read once per turn of the loop: cheap, and the same throughout a turn. Any thread. */
millis clock_now(void);
/* Read afresh, for measuring within a turn. In the simulator it moves by a little at each call. */
int64_t clock_now_us(void);
unix_ms clock_wall(void);
static inline millis clock_in(int64_t duration_ms) { return millis_add(clock_now(), duration_ms); }
