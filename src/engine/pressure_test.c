/* How far the store is behind, on the simulator: a store that hangs, one of which a part hangs, and one that is only busy. */
#include "engine/pressure.h"

#include "base/test.h"
#include "engine/memory.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/random.h"
#include "runtime/sim/sim.h"

enum { HANG_US = 120000000, APPENDS_MAX = 6000 };

static struct { struct memory_store *disks; struct engine *engine; unsigned under_way; } w;
static struct journal_append appends[APPENDS_MAX];

static void told(struct journal_append *a, void *unused) { w.under_way--; }

static void begin(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        appends[i] = (struct journal_append){.journal = random_id(), .meta = VIEW("m")};
        engine_append_start(w.engine, &appends[i], clock_in(100000), told, NULL);
    }
    w.under_way += count;
}

static void set_hang(bool hangs)
{
    memory_store_set_faults(w.disks, &(struct memory_faults){.delay_max_us = hangs ? HANG_US : 1000});
}

MAY_YIELD static enum pressure after(int64_t ms)
{
    (void)!coroutine_sleep(ms);
    return engine_pressure(w.engine);
}

static void run_body(void *body)
{
    colour_pretend_coroutine();
    w.disks = memory_store_new();
    w.engine = engine_open_memory(w.disks);
    ((void (*)(void))body)();
    while (w.under_way) (void)!coroutine_sleep(1000);
    EXPECT_NUMBER(after(1000), PRESSURE_NONE);
    EXPECT_NUMBER(engine_load(w.engine).under_way, 0);
    engine_close(w.engine);
    memory_store_free(w.disks);
}

#define PRESSURE_TEST(name)                                     \
    static void body_##name(void);                              \
    TEST(name)                                                  \
    {                                                           \
        struct sim *s = sim_open(sim_seed_from_environment(1)); \
        sim_call(sim_node_new(s, "a", 1), 0, run_body, (void *)body_##name); \
        sim_close(s);                                           \
    }                                                           \
    static void body_##name(void)

PRESSURE_TEST(pressure_rises_in_its_order_when_a_store_hangs)
{
    colour_pretend_coroutine();
    set_hang(true);
    begin(40);
    EXPECT_NUMBER(engine_pressure(w.engine), PRESSURE_NONE);         /* not known yet */
    EXPECT_NUMBER(after(3500), PRESSURE_ON_DELIVERIES);
    EXPECT(engine_load(w.engine).slow >= 32);
    begin(60);
    EXPECT_NUMBER(after(3500), PRESSURE_ON_CONNECTIONS);
    begin(100);
    EXPECT_NUMBER(after(3500), PRESSURE_ON_LOGINS);
    set_hang(false);
}

PRESSURE_TEST(pressure_stays_away_when_only_a_part_hangs)
{
    colour_pretend_coroutine();
    set_hang(true);
    begin(200);
    set_hang(false);
    for (unsigned at = 0; at < 40; at++) {
        for (unsigned i = 300; i < 500; i++) {
            appends[i] = (struct journal_append){.journal = random_id(), .meta = VIEW("m")};
            engine_append_start(w.engine, &appends[i], clock_in(100000), told, NULL);
        }
        w.under_way += 200;
        EXPECT_NUMBER(engine_pressure(w.engine), PRESSURE_NONE);
        (void)!coroutine_sleep(100);
    }
}

PRESSURE_TEST(pressure_is_also_too_much_at_once)
{
    colour_pretend_coroutine();
    set_hang(true);
    begin(PRESSURE_LIMIT_DEFAULT * 8 - 1);
    EXPECT_NUMBER(after(200), PRESSURE_NONE);
    begin(1);
    EXPECT_NUMBER(after(200), PRESSURE_ON_DELIVERIES);
    set_hang(false);
}
