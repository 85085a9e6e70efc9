/* watchdog: tells of loops that do not come back for 50 ms (event watchdog_loop_stuck). */
#pragma once

struct loops;
struct watchdog;

struct watchdog *watchdog_start(struct loops *all);
void watchdog_stop(struct watchdog *w);
