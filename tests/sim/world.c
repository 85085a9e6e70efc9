#include "world.h"

#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/point.h"
#include "scenario.h"

enum { BOOT_WAIT_MS = 5, RUN_WAIT_MS = 2, CALL_LIMIT_MS = 12 * 3600 * 1000, SELDOM_TIMES = 10, SELDOM_FACTOR = 5 };

static struct world *present;              /* of this world: for the points, which have no argument */

static void node_died(void *argument, struct sim_node *n)
{
    struct world *c = argument;
    for (unsigned i = 0; i < c->count; i++) {
        struct world_node *node = &c->nodes[i];
        if (node->sim != n) continue;
        scenario_say("%" PRIu64 ": node %s dies", sim_steps(c->sim), sim_node_name(n));
        if (node->engine) engine_abandon_memory(node->engine);
        node->engine = NULL;
        node->accounts = NULL;
        node->is_ready = false;
        node->lives++;
        if (c->died) c->died(c->argument, i);
    }
}

#ifdef TAYORI_POINTS
/* Points that are passed seldom are as worthy of a death as those that are passed all the time. */
static unsigned chance_at(const char *name)
{
    for (unsigned i = 0; i < WORLD_POINTS_MAX; i++) {
        struct point_passes *p = &present->passes[i];
        if (p->name && strcmp(p->name, name) != 0) continue;
        p->name = name;
        return ++p->times <= SELDOM_TIMES ? present->point_ppm * SELDOM_FACTOR : present->point_ppm;
    }
    return present->point_ppm;
}

static void point_passed(const char *name)
{
    struct sim_node *n = sim_node_of_caller();
    bool may_die = n && n != present->keeper && !present->is_calm && present->point_ppm > 0;
    bool dies = may_die && sim_chance_ppm(present->sim, chance_at(name));
    scenario_count_point(name, dies);
    if (!dies) return;
    scenario_say("at point %s:", name);
    sim_node_crash(n);
}
#endif

static void store_changed(void *argument, const char *kind, struct id journal, view name, result code)
{
    struct sim_node *n = sim_node_of_caller();
    scenario_say("%" PRIu64 ": %s: %s " VIEW_FMT " %s", sim_steps(sim_current()), n ? sim_node_name(n) : "-", kind, VIEW_ARG(name), result_name(code));
}

void world_open(struct world *c, uint64_t seed, unsigned nodes)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    present = c;
    c->sim = sim_open(seed);
    sim_set_call_limit(c->sim, CALL_LIMIT_MS);
    c->store = memory_store_new();
    c->count = nodes;
    c->is_calm = true;
    memory_store_keep_history(c->store);
    if (scenario_is_verbose) memory_store_on_change(c->store, store_changed, c);
    c->keeper = sim_node_new(c->sim, "keeper", 1);
    for (unsigned i = 0; i < nodes; i++) {
        c->nodes[i] = (struct world_node){.loops = 1 + (unsigned)sim_choose(c->sim, 3)};
        c->nodes[i].sim = sim_node_new(c->sim, names[i], c->nodes[i].loops);
    }
    sim_on_crash(c->sim, node_died, c);
#ifdef TAYORI_POINTS
    point_on_hit(point_passed);
#endif
}

static void boot(void *argument)
{
    colour_pretend_coroutine();
    struct world_node *n = argument;
    n->engine = engine_open_memory(present->store);
    n->accounts = accounts_new(n->engine, loop_family(loop_self()), &present->options);
    if (present->up) present->up(present->argument, (unsigned)(n - present->nodes));
    n->is_ready = true;
}

void world_boot(struct world *c, unsigned node) { sim_spawn(c->nodes[node].sim, 0, "boot", boot, &c->nodes[node]); }

void world_raise(struct world *c)
{
    for (unsigned i = 0; i < c->count; i++) {
        if (sim_node_is_up(c->nodes[i].sim)) continue;
        sim_node_restart(c->nodes[i].sim);
        world_boot(c, i);
    }
}

static bool all_ready(const struct world *c)
{
    for (unsigned i = 0; i < c->count; i++)
        if (!c->nodes[i].is_ready) return false;
    return true;
}

void world_wait_ready(struct world *c)
{
    while (!all_ready(c)) MUST(coroutine_sleep(BOOT_WAIT_MS) == OK);
}

void world_calm(struct world *c)
{
    c->is_calm = true;
    for (unsigned i = 0; i < c->count; i++) sim_node_crash_after(c->nodes[i].sim, 0);
    memory_store_set_faults(c->store, NULL);
    memory_store_heal(c->store);
    memory_store_settle(c->store);
    for (unsigned i = 0; i < c->count; i++) sim_node_freeze(c->nodes[i].sim, 0);
    *sim_network(c->sim) = (struct sim_network){.window_bytes = 64 << 10};
}

void world_kill(struct world *c, unsigned node)
{
    if (sim_node_is_up(c->nodes[node].sim)) sim_node_crash(c->nodes[node].sim);
}

static void stop(void *argument)
{
    colour_pretend_coroutine();
    struct world_node *n = argument;
    n->is_ready = false;
    if (present->down) present->down(present->argument, (unsigned)(n - present->nodes));
    accounts_free(n->accounts);
    engine_close(n->engine);
    n->accounts = NULL;
    n->engine = NULL;
}

struct errand {
    void (*run)(void *argument);
    void *argument;
    bool is_done;
};

static void run_errand(void *argument)
{
    struct errand *e = argument;
    e->run(e->argument);
    e->is_done = true;
}

MAY_YIELD static void wait_errand(struct errand *e)
{
    while (!e->is_done) MUST(coroutine_sleep(RUN_WAIT_MS) == OK);
}

void world_stop(struct world *c, unsigned node)
{
    struct errand e = {.run = stop, .argument = &c->nodes[node]};
    sim_spawn(c->nodes[node].sim, 0, "stop", run_errand, &e);
    wait_errand(&e);
}

void world_spawn(struct world *c, unsigned node, struct id account, const char *name, void (*run)(void *argument), void *argument)
{
    struct world_node *n = &c->nodes[node];
    sim_spawn(n->sim, loop_index(accounts_home(n->accounts, account)), name, run, argument);
}

void world_run(struct world *c, unsigned node, struct id account, void (*run)(void *argument), void *argument)
{
    struct errand e = {.run = run, .argument = argument};
    world_spawn(c, node, account, "errand", run_errand, &e);
    wait_errand(&e);
}

void world_close(struct world *c)
{
    sim_close(c->sim);
    memory_store_free(c->store);
#ifdef TAYORI_POINTS
    point_on_hit(NULL);
#endif
}

int world_pick(struct world *c)
{
    unsigned first = (unsigned)sim_choose(c->sim, c->count);
    for (unsigned i = 0; i < c->count; i++)
        if (c->nodes[(first + i) % c->count].is_ready) return (int)((first + i) % c->count);
    return -1;
}

/* ---- troubles ------------------------------------------------------------------------------------------ */

static int64_t some_while(struct world *c)
{
    static const int64_t longest_ms[] = {100, 1000, 5000, 30000};
    return 1 + (int64_t)sim_choose(c->sim, (uint64_t)longest_ms[sim_choose(c->sim, 4)]);
}

static bool happens(struct world *c, unsigned *left)
{
    if (*left == 0 || sim_choose(c->sim, 40) > 0) return false;
    --*left;
    return true;
}

static void jump_clock(struct world *c, struct world_node *n)
{
    static const int64_t farthest_ms[] = {100, 5000, 600000, WORLD_CLOCK_JUMP_MAX_MS};
    int64_t farthest = farthest_ms[sim_choose(c->sim, 4)];
    int64_t skew_ms = (int64_t)sim_choose(c->sim, 2 * (uint64_t)farthest + 1) - farthest;
    scenario_say("%" PRIu64 ": the clock of %s is wrong by %" PRId64 " ms", sim_steps(c->sim), sim_node_name(n->sim), skew_ms);
    sim_node_set_wall_skew(n->sim, skew_ms);
}

void world_trouble(struct world *c, struct world_troubles *left)
{
    struct world_node *n = &c->nodes[sim_choose(c->sim, c->count)];
    const char *name = sim_node_name(n->sim);
    millis until = clock_in(some_while(c));
    long long for_ms = (long long)(until.ms - clock_now().ms);
    if (happens(c, &left->hangs)) {
        unsigned place = (unsigned)sim_choose(c->sim, MEMORY_PLACES);
        scenario_say("%" PRIu64 ": place %u of the store hangs for %lld ms", sim_steps(c->sim), place, for_ms);
        memory_store_hang(c->store, place, until);
    }
    if (n->engine && happens(c, &left->cut_offs)) {
        scenario_say("%" PRIu64 ": node %s is cut off for %lld ms", sim_steps(c->sim), name, for_ms);
        memory_store_cut_off(c->store, n->engine, until);
    }
    if (n->engine && happens(c, &left->fences)) {
        scenario_say("%" PRIu64 ": node %s is fenced for %lld ms", sim_steps(c->sim), name, for_ms);
        memory_store_fence(c->store, n->engine, until);
    }
    if (happens(c, &left->freezes)) {
        scenario_say("%" PRIu64 ": node %s is frozen for %lld ms", sim_steps(c->sim), name, for_ms);
        sim_node_freeze(n->sim, for_ms);
    }
    if (happens(c, &left->clock_jumps)) jump_clock(c, n);
    if (happens(c, &left->lease_losses)) {
        scenario_say("%" PRIu64 ": all leases end", sim_steps(c->sim));
        memory_store_expire_leases(c->store);
    }
}
