#include "engine/pressure_help.h"

#include <stdlib.h>

#include "base/check.h"
#include "engine/pressure.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/random.h"

enum { HANG_US = 120000000, HANG_MS = 130000 };

struct press {
    struct memory_store *disks;
    struct engine *engine;
    unsigned appends;
};

static void told(struct journal_append *a, void *unused) { free(a); }

static void press(void *argument)
{
    colour_pretend_coroutine();
    struct press *p = argument;
    memory_store_set_faults(p->disks, &(struct memory_faults){.delay_max_us = HANG_US});
    for (unsigned i = 0; i < p->appends; i++) {
        struct journal_append *a = calloc(1, sizeof *a);
        check(a);
        *a = (struct journal_append){.journal = random_id(), .meta = VIEW("m")};
        engine_append_start(p->engine, a, clock_in(HANG_MS), told, NULL);
    }
    memory_store_set_faults(p->disks, &(struct memory_faults){0});
    (void)!coroutine_sleep(PRESSURE_SLOW_MS + 1000);
}

void pressure_press(struct sim_node *n, struct memory_store *disks, struct engine *e, unsigned appends)
{
    struct press p = {disks, e, appends};
    sim_call(n, 0, press, &p);
}

static void relieve(void *unused)
{
    colour_pretend_coroutine();
    (void)!coroutine_sleep(HANG_MS + 1000);
}

void pressure_relieve(struct sim_node *n)
{
    sim_call(n, 0, relieve, NULL);
}
