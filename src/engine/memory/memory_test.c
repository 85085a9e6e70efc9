/* The memory engine: the contract under its mild faults, and the faults themselves. */
#include "engine/memory.h"

#include "base/test.h"
#include "engine/contract.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/random.h"
#include "runtime/sim/sim.h"

enum { SEEDS = 5 };

/* ---- the contract -------------------------------------------------------------------------------------- */

struct contract_run {
    struct contract contract;            /* first */
    struct memory_store *store;
    void (*run)(struct contract *c);
};

static void reopen(struct contract *c)
{
    colour_pretend_coroutine();
    struct contract_run *r = (struct contract_run *)(void *)c;
    engine_close(c->engine);
    memory_store_crash(r->store);
    c->engine = engine_open_memory(r->store);
}

static void run_contract(void *argument)
{
    colour_pretend_coroutine();
    struct contract_run *r = argument;
    r->contract.engine = engine_open_memory(r->store);
    EXPECT_VIEW(view_of(engine_kind(r->contract.engine)), VIEW("memory"));
    r->run(&r->contract);
    engine_close(r->contract.engine);
}

/* Delays, order and silence are no errors: all of the contract holds under them. */
static void run_case(void (*run)(struct contract *c))
{
    static const struct memory_faults faults[] = {
        {0},
        {.delay_max_us = 20000},
        {.delay_max_us = 20000, .reorders_objects = true},
        {.delay_max_us = 3000, .blind_appends_tell_nothing = true, .reorders_objects = true, .page_records_max = 7},
        {.delay_max_us = 100, .loses_notifications = true},
    };
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim *s = sim_open(sim_seed_from_environment(0) + seed);
        struct contract_run r = {.store = memory_store_new(), .run = run, .contract.reopen = reopen};
        memory_store_set_faults(r.store, &faults[seed]);
        sim_call(sim_node_new(s, "a", 3), 0, run_contract, &r);
        sim_close(s);
        memory_store_free(r.store);
    }
}

#define CASE(name) TEST_SLOW(memory_##name, 60) { run_case(contract_##name); }
ENGINE_CONTRACT(CASE)

/* ---- faults -------------------------------------------------------------------------------------------- */

struct world {
    struct sim *sim;
    struct sim_node *a, *b;
    struct memory_store *store;
    struct engine *engine_a, *engine_b;
    struct id journal;
    unsigned counts[IO + 1];             /* of results */
};

static void open_a(void *argument) { ((struct world *)argument)->engine_a = engine_open_memory(((struct world *)argument)->store); }
static void open_b(void *argument) { ((struct world *)argument)->engine_b = engine_open_memory(((struct world *)argument)->store); }

static void close_a(void *argument)
{
    colour_pretend_coroutine();
    engine_close(((struct world *)argument)->engine_a);
}

static void close_b(void *argument)
{
    colour_pretend_coroutine();
    engine_close(((struct world *)argument)->engine_b);
}

static struct world world_open(uint64_t seed, const struct memory_faults *faults)
{
    struct world w = {.sim = sim_open(seed), .store = memory_store_new(), .journal = {{1}}};
    memory_store_set_faults(w.store, faults);
    w.a = sim_node_new(w.sim, "a", 1);
    w.b = sim_node_new(w.sim, "b", 1);
    sim_call(w.a, 0, open_a, &w);
    sim_call(w.b, 0, open_b, &w);
    return w;
}

static void world_close(struct world *w)
{
    if (sim_node_is_up(w->a)) sim_call(w->a, 0, close_a, w);
    sim_call(w->b, 0, close_b, w);
    sim_close(w->sim);
    memory_store_free(w->store);
}

/* A record says how often it was appended. */
static unsigned count_records(struct world *w, struct engine *e, view meta)
{
    colour_pretend_coroutine();
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 10 << 20);
    struct journal_page page;
    unsigned found = 0;
    result code = engine_read(e, w->journal, NULL, MILLIS_NEVER, arena, &page, NULL);
    if (code == NOT_FOUND) return 0;
    REQUIRE(code == OK && !page.more);
    for (size_t i = 0; i < page.count; i++) found += view_equal(page.records[i].meta, meta);
    return found;
}

enum { APPENDS = 200 };
static unsigned found_for[APPENDS];
static result result_for[APPENDS];

static void appends_all(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    for (uint32_t i = 0; i < APPENDS; i++) {
        struct journal_append a = {.journal = w->journal, .meta = view_make(&i, sizeof i)};
        result_for[i] = engine_append(w->engine_a, &a, clock_in(1000));
        w->counts[result_for[i]]++;
    }
}

static void counts_all(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    for (uint32_t i = 0; i < APPENDS; i++) found_for[i] = count_records(w, w->engine_b, view_make(&i, sizeof i));
}

TEST(memory_faults_are_what_they_say)
{
    struct memory_faults faults = {.delay_max_us = 5000, .unavailable_ppm = 200000, .unknown_ppm = 300000};
    struct world w = world_open(1, &faults);
    sim_call(w.a, 0, appends_all, &w);
    memory_store_set_faults(w.store, NULL);
    sim_run(w.sim, 60000);
    sim_call(w.b, 0, counts_all, &w);
    unsigned unknown_done = 0;
    for (size_t i = 0; i < APPENDS; i++) {
        if (result_for[i] == OK) EXPECT_NUMBER(found_for[i], 1);
        else if (result_for[i] == UNAVAILABLE) EXPECT_NUMBER(found_for[i], 0);
        else EXPECT(result_for[i] == UNKNOWN_OUTCOME && found_for[i] <= 1);
        if (result_for[i] == UNKNOWN_OUTCOME) unknown_done += found_for[i];
    }
    EXPECT(w.counts[OK] > 50 && w.counts[UNAVAILABLE] > 10 && w.counts[UNKNOWN_OUTCOME] > 10);
    EXPECT(unknown_done > 5 && unknown_done < w.counts[UNKNOWN_OUTCOME]);
    EXPECT_NUMBER(memory_store_count(w.store, "append"), APPENDS);
    world_close(&w);
}

TEST(memory_full_store_refuses_what_adds_bytes)
{
    struct memory_faults faults = {.full = true};
    struct world w = world_open(2, &faults);
    sim_call(w.a, 0, appends_all, &w);
    EXPECT_NUMBER(w.counts[UNAVAILABLE], APPENDS);
    world_close(&w);
}

TEST(memory_deadline_makes_an_append_uncertain)
{
    struct memory_faults faults = {.delay_max_us = 5000000};
    struct world w = world_open(3, &faults);
    sim_call(w.a, 0, appends_all, &w);
    memory_store_set_faults(w.store, NULL);
    sim_run(w.sim, 60000);
    sim_call(w.b, 0, counts_all, &w);
    EXPECT(w.counts[OK] > 0 && w.counts[UNKNOWN_OUTCOME] > 0);
    EXPECT_NUMBER(w.counts[OK] + w.counts[UNKNOWN_OUTCOME], APPENDS);
    for (size_t i = 0; i < APPENDS; i++)
        if (result_for[i] == OK) EXPECT_NUMBER(found_for[i], 1);
    world_close(&w);
}

/* ---- death --------------------------------------------------------------------------------------------- */

TEST(memory_acknowledged_appends_survive_the_node)
{
    unsigned done_unacknowledged = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct memory_faults faults = {.delay_max_us = 5000};
        struct world w = world_open(seed, &faults);
        for (size_t i = 0; i < APPENDS; i++) result_for[i] = IO;
        sim_spawn(w.a, 0, "append", appends_all, &w);
        sim_run(w.sim, 1 + (int64_t)seed * 5);
        sim_node_crash(w.a);
        engine_abandon_memory(w.engine_a);
        sim_run(w.sim, 60000);
        sim_call(w.b, 0, counts_all, &w);
        for (size_t i = 0; i < APPENDS; i++) {
            if (result_for[i] == OK) EXPECT_NUMBER(found_for[i], 1);
            else done_unacknowledged += found_for[i];
        }
        world_close(&w);
    }
    EXPECT(done_unacknowledged > 5 && done_unacknowledged < 40);
}

TEST(memory_crash_of_the_store_keeps_what_was_acknowledged)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct memory_faults faults = {.delay_max_us = 5000};
        struct world w = world_open(seed, &faults);
        for (size_t i = 0; i < APPENDS; i++) result_for[i] = IO;
        sim_spawn(w.a, 0, "append", appends_all, &w);
        sim_run(w.sim, 1 + (int64_t)seed * 5);
        memory_store_crash(w.store);
        sim_run(w.sim, 60000);
        EXPECT_NUMBER(w.counts[OK] + w.counts[UNAVAILABLE] + w.counts[UNKNOWN_OUTCOME], APPENDS);
        EXPECT(w.counts[UNKNOWN_OUTCOME] <= 1);
        sim_call(w.b, 0, close_b, &w);
        sim_call(w.b, 0, open_b, &w);
        sim_call(w.b, 0, counts_all, &w);
        for (size_t i = 0; i < APPENDS; i++) {
            if (result_for[i] == OK) EXPECT_NUMBER(found_for[i], 1);
            if (result_for[i] == UNAVAILABLE) EXPECT_NUMBER(found_for[i], 0);
        }
        world_close(&w);
    }
}

/* ---- leases and notifications -------------------------------------------------------------------------- */

static void loses_lease(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    EXPECT(lease_acquire(w->engine_a, VIEW("x"), VIEW("a"), 60000, MILLIS_NEVER, NULL) == OK);
    memory_store_expire_leases(w->store);
    EXPECT(lease_renew(w->engine_a, VIEW("x"), VIEW("a"), 60000, MILLIS_NEVER, NULL) == NOT_FOUND);
    EXPECT(lease_acquire(w->engine_a, VIEW("x"), VIEW("b"), 60000, MILLIS_NEVER, NULL) == OK);
}

TEST(memory_lease_may_be_taken_away)
{
    struct world w = world_open(4, NULL);
    sim_call(w.a, 0, loses_lease, &w);
    world_close(&w);
}

static unsigned told;
static void is_told(struct journal_watch *w) { told++; }

static struct journal_watch watch_b;
static void watches(void *argument)
{
    struct world *w = argument;
    engine_watch(w->engine_b, w->journal, &watch_b, is_told);
}
static void unwatches(void *argument) { engine_unwatch(((struct world *)argument)->engine_b, &watch_b); }

static void appends_one(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    struct journal_append a = {.journal = w->journal, .meta = VIEW("x")};
    EXPECT(engine_append(w->engine_a, &a, MILLIS_NEVER) == OK);
}

TEST(memory_notifications_get_lost_but_not_for_ever)
{
    struct memory_faults faults = {.loses_notifications = true};
    struct world w = world_open(5, &faults);
    sim_call(w.b, 0, watches, &w);
    unsigned at_once = 0;
    for (int i = 0; i < 100; i++) {
        told = 0;
        sim_call(w.a, 0, appends_one, &w);
        sim_run(w.sim, 500);
        at_once += told > 0;
        sim_run(w.sim, 5000);
        EXPECT(told > 0);
    }
    EXPECT(at_once > 50 && at_once < 100);
    sim_call(w.b, 0, unwatches, &w);
    world_close(&w);
}
