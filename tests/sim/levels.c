/*
 * Upgrades and downgrades of nodes one by one, and an operator who raises the feature level whenever that is allowed: nobody writes at a
 * level that a node at work does not understand. Nodes die, the store hangs and answers late, clocks differ by a second or two.
 */
#include <inttypes.h>
#include <string.h>

#include "cluster/cluster.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "scenario.h"
#include "world.h"

enum { NODES = 3, JOIN_MS = 30000, RAISE_MS = 5000, RETRY_MS = 500, HANG_MAX_MS = 5000, PLAY_MS = 120000, PATIENCE_MS = 3600 * 1000, SKEW_MAX_MS = 1000 };

struct program {
    unsigned node, level_max, written_level;
    bool is_at_work;                         /* joined, alive, and has not heard that it is outdated */
};

static struct levels {
    struct world world;
    struct program programs[NODES];
    unsigned raised, refused, joined;
} play;

static const char *const names[NODES] = {"a", "b", "c"};

static void check_levels(void)
{
    for (unsigned i = 0; i < NODES; i++)
        for (unsigned k = 0; k < NODES; k++)
            if (play.programs[i].is_at_work && play.programs[k].is_at_work && play.programs[i].written_level > play.programs[k].level_max)
                FAIL("node %s writes at level %u, and node %s understands %u", names[i], play.programs[i].written_level, names[k], play.programs[k].level_max);
}

static void level_changed(void *argument, unsigned written_level)
{
    struct program *p = argument;
    p->written_level = written_level;
    check_levels();
}

static void outdated(void *argument, const struct fault *fault) { ((struct program *)argument)->is_at_work = false; }

/* ---- nodes --------------------------------------------------------------------------------------------- */

static void node_up(void *argument, unsigned node)
{
    colour_pretend_coroutine();
    struct program *p = &play.programs[node];
    struct cluster *c;
    struct fault fault;
    struct cluster_options options = {.name = view_of(names[node]), .version = VIEW("1"), .roles = VIEW("all"), .addresses = VIEW("none"), .level_max = p->level_max,
                                      .id = {.bytes = {(unsigned char)(node + 1)}}, .level_changed = level_changed, .outdated = outdated, .argument = p};
    for (;;) {
        struct cluster_level level;
        p->written_level = 0;
        result code = cluster_open_level(play.world.nodes[node].engine, false, clock_in(JOIN_MS), &level, &fault);
        if (code == OK) code = cluster_join(play.world.nodes[node].engine, &options, clock_in(JOIN_MS), &c, &fault);
        if (code == OK) break;
        if (code == INVALID) return;         /* it refuses to serve; the operator will upgrade it */
        if (play.world.is_calm && code != BUSY && code != CONFLICT) FAIL("%s in a calm world: %s", result_name(code), fault.detail);
        if (coroutine_sleep(RETRY_MS) != OK) return;
    }
    p->is_at_work = true;
    play.joined++;
    check_levels();
}

static void node_died(void *argument, unsigned node) { play.programs[node].is_at_work = false; }

/* ---- the operator -------------------------------------------------------------------------------------- */

static void raise_level(void *argument)
{
    colour_pretend_coroutine();
    struct program *p = argument;
    struct fault fault;
    unsigned level;
    result code = cluster_raise_level(play.world.nodes[p->node].engine, FEATURE_LEVEL_MAX, clock_in(RAISE_MS), &level, &fault);
    if (code == OK) play.raised++;
    else if (code == BUSY) play.refused++;
}

static void change_program(unsigned node, unsigned level_max)
{
    world_kill(&play.world, node);
    play.programs[node].level_max = level_max;
}

MAY_YIELD static void operate(void)
{
    struct world *w = &play.world;
    unsigned node = (unsigned)sim_choose(w->sim, NODES);
    switch (sim_choose(w->sim, 12)) {
    case 0: change_program(node, FEATURE_LEVEL_FIRST); break;
    case 1: case 2: change_program(node, FEATURE_LEVEL_MAX); break;
    case 3: world_kill(w, node); break;
    case 4: case 5: if (w->nodes[node].is_ready) sim_spawn(w->nodes[node].sim, 0, "raise", raise_level, &play.programs[node]); break;
    case 6: memory_store_hang(w->store, (unsigned)sim_choose(w->sim, MEMORY_PLACES), clock_in((int64_t)sim_choose(w->sim, HANG_MAX_MS))); break;
    default: world_raise(w);
    }
    MUST(coroutine_sleep((int64_t)sim_choose(w->sim, sim_choose(w->sim, 4) ? 500 : 10000)) == OK);
}

static bool all_write_new(void)
{
    for (unsigned i = 0; i < NODES; i++)
        if (!play.programs[i].is_at_work || play.programs[i].written_level != FEATURE_LEVEL_MAX) return false;
    return true;
}

/* In the end all are new, and the level can be raised, if it was not before. */
MAY_YIELD static void come_to_an_end(void)
{
    struct world *w = &play.world;
    millis until = clock_in(PATIENCE_MS);
    world_calm(w);
    for (unsigned i = 0; i < NODES; i++)
        if (play.programs[i].level_max < FEATURE_LEVEL_MAX || !play.programs[i].is_at_work) change_program(i, FEATURE_LEVEL_MAX);
    world_raise(w);
    world_wait_ready(w);
    while (!all_write_new()) {
        if (!millis_before(clock_now(), until)) FAIL("the level does not rise");
        sim_spawn(w->nodes[0].sim, 0, "raise", raise_level, &play.programs[0]);
        MUST(coroutine_sleep(RAISE_MS) == OK);
    }
}

static void run_play(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = &play.world;
    w->is_calm = false;
    memory_store_set_faults(w->store, &w->faults);
    for (millis until = clock_in(PLAY_MS); millis_before(clock_now(), until);) operate();
    come_to_an_end();
    /* Members have no end but that of their node. */
    for (unsigned i = 0; i < NODES; i++) world_kill(w, i);
}

static uint64_t run_levels(uint64_t seed)
{
    struct world *w = &play.world;
    memset(&play, 0, sizeof play);
    world_open(w, seed, NODES);
    w->up = node_up;
    w->died = node_died;
    w->faults = (struct memory_faults){.delay_max_us = 50000, .unknown_ppm = 20000, .unavailable_ppm = 10000, .reorders_objects = true};
    for (unsigned i = 0; i < NODES; i++) {
        play.programs[i] = (struct program){.node = i, .level_max = sim_choose(w->sim, 2) ? FEATURE_LEVEL_FIRST : FEATURE_LEVEL_MAX};
        sim_node_set_wall_skew(w->nodes[i].sim, (int64_t)sim_choose(w->sim, 2 * SKEW_MAX_MS) - SKEW_MAX_MS);
        world_boot(w, i);
    }
    if (!sim_call(w->keeper, 0, run_play, w)) FAIL("the keeper died");
    scenario_say("%u joined, %u raised, %u refused, %u nodes died, %" PRIu64 " steps", play.joined, play.raised, play.refused, sim_crashes(w->sim), sim_steps(w->sim));
    uint64_t trace = sim_trace(w->sim);
    world_close(w);
    return trace;
}

const struct scenario scenario_levels = {"levels", "upgrades one by one, and a level that is raised", 1, run_levels};
