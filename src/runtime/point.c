#include "runtime/point.h"

#ifdef TAYORI_POINTS
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { ARMED_MAX = 32 };

/* Test builds only: points are armed by one test at a time, before what they are to disturb. */
static struct armed { const char *name; enum point_action action; result code; unsigned left; } armed[ARMED_MAX];
static void (*on_crash)(const char *name);
static void (*on_hit)(const char *name);

void point_arm(const char *name, enum point_action action, result code, unsigned nth)
{
    if (!name) {
        memset(armed, 0, sizeof armed);
        return;
    }
    for (size_t i = 0; i < ARMED_MAX; i++) {
        if (armed[i].name && strcmp(armed[i].name, name) != 0) continue;
        armed[i] = action == POINT_NOTHING ? (struct armed){0} : (struct armed){name, action, code, nth};
        return;
    }
    unreachable();
}

void point_on_crash(void (*handler)(const char *name)) { on_crash = handler; }
void point_on_hit(void (*hit)(const char *name)) { on_hit = hit; }

result point_fails(const char *name)
{
    if (on_hit) on_hit(name);
    for (size_t i = 0; i < ARMED_MAX; i++) {
        struct armed *a = &armed[i];
        if (!a->name || strcmp(a->name, name) != 0 || --a->left > 0) continue;
        struct armed fired = *a;
        *a = (struct armed){0};
        if (fired.action == POINT_FAIL) return fired.code;
        if (on_crash) on_crash(name);
        abort();
    }
    return OK;
}

void point_hit(const char *name) { (void)point_fails(name); }
#endif
