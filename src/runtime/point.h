/*
 * point: named places where a test makes something happen.
 *
 *     POINT("journal.append.before_sync");
 *
 * Nothing in a release build. In test builds (-DTAYORI_POINTS) a test may arm a point to crash the node, fail
 * with a result, delay, or hold the coroutine there. POINT_FAILS(name) is a result: OK unless armed.
 */
#pragma once

#include "base/result.h"

#ifdef TAYORI_POINTS
void point_hit(const char *name);
result point_fails(const char *name);
#define POINT(name) point_hit(name)
#define POINT_FAILS(name) point_fails(name)

enum point_action { POINT_NOTHING, POINT_FAIL, POINT_CRASH };
/* `name` NULL disarms all. Fires at the `nth` hit from now (1 = next). POINT_CRASH calls the handler, which does not return to the code. */
void point_arm(const char *name, enum point_action action, result code, unsigned nth);
void point_on_crash(void (*handler)(const char *name));
/* Told of every point that is passed, before what is armed there; may crash the node. NULL: nobody. */
void point_on_hit(void (*hit)(const char *name));
#else
#define POINT(name) ((void)0)
#define POINT_FAILS(name) OK
#endif
