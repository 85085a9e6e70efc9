/*
 * background: a thread of its own, for what waits for work of one kind all the time. Real face only; most of what blocks belongs on
 * workers (workers.h).
 */
#pragma once

#include "runtime/colour.h"

struct background;

/* Starts run(argument), with all signals blocked. `name` is static, at most 15 bytes. */
struct background *background_start(const char *name, void (*run)(void *argument), void *argument);
/* Waits until it has returned, and frees. */
BLOCKS void background_join(struct background *b);
/* For any thread that may block. */
BLOCKS void background_pause(unsigned duration_ms);
