#include "runtime/point.h"

#ifdef TAYORI_POINTS
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { ARMED_MAX = 32 };

/* Test builds only: points are armed by one test at a time; threads may hit them at once. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct armed { const char *name; enum point_action action; result code; unsigned left; } armed[ARMED_MAX];
static void (*on_crash)(const char *name);
static void (*on_hit)(const char *name);

void point_arm(const char *name, enum point_action action, result code, unsigned nth)
{
    size_t i = 0;
    pthread_mutex_lock(&lock);
    if (!name) memset(armed, 0, sizeof armed);
    while (name && i < ARMED_MAX && armed[i].name && strcmp(armed[i].name, name) != 0) i++;
    check(i < ARMED_MAX);
    if (name) armed[i] = action == POINT_NOTHING ? (struct armed){0} : (struct armed){name, action, code, nth};
    pthread_mutex_unlock(&lock);
}

void point_on_crash(void (*handler)(const char *name)) { on_crash = handler; }
void point_on_hit(void (*hit)(const char *name)) { on_hit = hit; }

static struct armed fire(const char *name)
{
    struct armed fired = {0};
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < ARMED_MAX && !fired.name; i++) {
        struct armed *a = &armed[i];
        if (!a->name || strcmp(a->name, name) != 0 || --a->left > 0) continue;
        fired = *a;
        *a = (struct armed){0};
    }
    pthread_mutex_unlock(&lock);
    return fired;
}

result point_fails(const char *name)
{
    if (on_hit) on_hit(name);
    struct armed fired = fire(name);
    if (!fired.name) return OK;
    if (fired.action == POINT_FAIL) return fired.code;
    if (on_crash) on_crash(name);
    abort();
}

void point_hit(const char *name) { (void)point_fails(name); }
#endif
