/*
 * run: starting and ending a node's loops. The program's main(); tests that need real threads.
 */
#pragma once

#include "base/fault.h"
#include "runtime/loop.h"

struct run_options {
    unsigned loops;                       /* 0: one per core */
    unsigned read_workers, write_workers, slow_workers;   /* 0: defaults */
};

/*
 * Starts all loops, runs main_coroutine(argument) as a coroutine on loop 0, and returns when it has returned, all scopes
 * are empty and the loops have ended. What still runs when it returns is cancelled. The calling thread becomes loop 0's.
 */
NODISCARD result run_loops(const struct run_options *options, void (*main_coroutine)(void *argument), void *argument, struct fault *fault);

/* Waits for SIGTERM, SIGINT, SIGHUP, SIGUSR1 or SIGUSR2; the number. On loop 0. -1 when cancelled. */
MAY_YIELD int run_wait_signal(void);
