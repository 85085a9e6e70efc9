#include "engine/pressure.h"

#include "engine/private.h"
#include "runtime/clock.h"
#include "runtime/event.h"

enum {
    SLOTS_YOUNG = PRESSURE_SLOW_MS / PRESSURE_SLOT_MS,
    UNDER_WAY_FACTOR = 8,                /* so many times the limit under way is too much, slow or not */
    MOSTLY_SLOW_DIVISOR = 16,
    LIMIT_MIN = 16,
};

void pressure_init(struct pressure_gauge *g)
{
    atomic_init(&g->limit, PRESSURE_LIMIT_DEFAULT);
}

static unsigned slot_of(int64_t ms)
{
    return (unsigned)(ms / PRESSURE_SLOT_MS) % PRESSURE_SLOTS;
}

unsigned pressure_begin(struct pressure_gauge *g)
{
    unsigned slot = slot_of(clock_now().ms);
    atomic_fetch_add_explicit(&g->under_way, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&g->begun[slot], 1, memory_order_relaxed);
    return slot;
}

void pressure_end(struct pressure_gauge *g, unsigned slot)
{
    atomic_fetch_sub_explicit(&g->begun[slot], 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&g->under_way, 1, memory_order_relaxed);
}

/* What is under way but was not begun lately. */
static uint64_t count_slow(struct pressure_gauge *g, int64_t now_ms, uint64_t under_way)
{
    uint64_t young = 0;
    for (int i = 0; i <= SLOTS_YOUNG; i++)
        young += atomic_load_explicit(&g->begun[slot_of(now_ms - (int64_t)i * PRESSURE_SLOT_MS + (int64_t)PRESSURE_SLOTS * PRESSURE_SLOT_MS)], memory_order_relaxed);
    return under_way > young ? under_way - young : 0;
}

static bool is_over(uint64_t amount, uint64_t limit, bool is_there_already)
{
    return is_there_already ? amount * 2 >= limit : amount >= limit;       /* it is left at half of what it was reached at */
}

static enum pressure judge(uint64_t limit, uint64_t under_way, uint64_t slow, enum pressure now)
{
    uint64_t slow_limit = slow * 4 >= under_way * 3 ? limit / MOSTLY_SLOW_DIVISOR : limit;
    enum pressure worst = PRESSURE_NONE;
    for (enum pressure p = PRESSURE_ON_DELIVERIES; p <= PRESSURE_ON_LOGINS; p++) {
        unsigned times = 1u << (p - 1);
        if (is_over(slow, slow_limit * times, now >= p) || is_over(under_way, limit * UNDER_WAY_FACTOR * (p + 1) / 2, now >= p)) worst = p;
    }
    return worst;
}

static void tell(struct pressure_gauge *g, uint64_t under_way, uint64_t slow, enum pressure before, enum pressure now)
{
    metric_add(METRIC_STORE_UNDER_WAY, (int64_t)under_way - (int64_t)g->told_under_way);
    metric_add(METRIC_STORE_SLOW, (int64_t)slow - (int64_t)g->told_slow);
    metric_add(METRIC_STORE_PRESSURE, (int64_t)now - (int64_t)before);
    g->told_under_way = under_way;
    g->told_slow = slow;
    if (now > before) EVENT_EMIT(STORE_PRESSED, EVENT_NUMBER("pressure", now), EVENT_NUMBER("operations", under_way), EVENT_NUMBER("slow", slow));
    else if (now < before && now == PRESSURE_NONE) EVENT_EMIT(STORE_KEEPS_UP, EVENT_NUMBER("operations", under_way));
}

/* One caller looks, the others take what was seen last. */
static void look(struct pressure_gauge *g)
{
    int64_t now_ms = clock_now().ms, due = atomic_load_explicit(&g->look_at_ms, memory_order_acquire);
    if (now_ms < due || !atomic_compare_exchange_strong(&g->look_at_ms, &due, INT64_MAX)) return;
    uint64_t under_way = atomic_load_explicit(&g->under_way, memory_order_relaxed), slow = count_slow(g, now_ms, under_way);
    enum pressure before = atomic_load(&g->pressure), now = judge(atomic_load(&g->limit), under_way, slow, before);
    tell(g, under_way, slow, before, now);
    atomic_store(&g->slow, slow);
    atomic_store(&g->pressure, now);
    atomic_store_explicit(&g->look_at_ms, now_ms + PRESSURE_LOOK_MS, memory_order_release);
}

enum pressure engine_pressure(struct engine *e)
{
    look(&e->pressure);
    return atomic_load_explicit(&e->pressure.pressure, memory_order_relaxed);
}

struct engine_load engine_load(struct engine *e)
{
    enum pressure pressure = engine_pressure(e);
    return (struct engine_load){atomic_load(&e->pressure.under_way), atomic_load(&e->pressure.slow), pressure};
}

void engine_set_pressure_limit(struct engine *e, uint64_t slow_operations)
{
    atomic_store(&e->pressure.limit, slow_operations < LIMIT_MIN ? LIMIT_MIN : slow_operations);
}
