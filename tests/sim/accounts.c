/* Scenarios of nodes that serve the same accounts. */
#include <inttypes.h>
#include <stdlib.h>

#include "runtime/event.h"
#include "scenario.h"
#include "workload.h"

static void play(void *argument)
{
    colour_pretend_coroutine();
    struct workload *w = argument;
    workload_play(w);
    judge_upkeep(w);
    judge(w);
}

static void free_notes(struct workload *w)
{
    for (struct op *o = w->ops, *next; o; o = next) {
        next = o->next;
        buf_done(&o->source_uids);
        buf_done(&o->result_uids);
        buf_done(&o->unchanged_uids);
        free(o);
    }
    for (struct made *m = w->made, *next; m; m = next) {
        next = m->next;
        free(m);
    }
}

static uint64_t run(uint64_t seed, const struct workload_options *options, const struct memory_faults *faults, unsigned point_ppm)
{
    static struct workload w;
    workload_open(&w, seed, options, faults, point_ppm);
    if (!sim_call(w.world.keeper, 0, play, &w)) FAIL("the keeper died");
    size_t records;
    memory_store_history(w.world.store, &records);
    scenario_say("%zu records, %u acknowledged, %u unknown, %u failed, %u nodes died, %u views synced, %u times archived, %" PRIu64 " steps", records, w.told_ok,
                 w.told_unknown, w.told_failed, sim_crashes(w.world.sim), w.checked_views, sim_event_count(w.world.sim, EVENT_ACCOUNT_ARCHIVED),
                 sim_steps(w.world.sim));
    uint64_t trace = sim_trace(w.world.sim);
    world_close(&w.world);
    free_notes(&w);
    return trace;
}

/* Everything at once, each to a moderate degree. */
static uint64_t run_accounts(uint64_t seed)
{
    struct workload_options options = {.accounts = 2, .nodes = 2 + (unsigned)(seed % 2), .sessions = 12, .actions_max = 20, .together = 5, .idlers = 2,
                                       .deliveries_percent = 30, .large_ppm = 30000, .names_percent = 10, .pause_max_ms = 10, .compact_records_max = 60, .kills = 3, .stops = 1, .power_cuts = seed % 7 == 0, .fills = seed % 3 == 0,
                                       .short_deadlines_percent = seed % 2 ? 5 : 0, .memory_bytes = seed % 5 == 1,
                                       .retention_ms = seed % 4 == 0 ? 200 : 0, .archive_after_ms = seed % 3 == 1 ? 100 : 0};
    struct memory_faults faults = {.delay_max_us = 5000, .unavailable_ppm = 5000, .unknown_ppm = 10000, .corrupt_read_ppm = seed % 6 == 0 ? 3000 : 0,
                                   .blind_appends_tell_nothing = seed % 3 == 0, .reorders_objects = seed % 2 == 0, .loses_notifications = seed % 5 == 0,
                                   .page_records_max = seed % 4 == 0 ? 5 : 0};
    return run(seed, &options, &faults, 5000);
}

/* No faults, nobody dies: what fails here is wrong in plain sight. */
static uint64_t run_calm(uint64_t seed)
{
    struct workload_options options = {.accounts = 1, .nodes = 1 + (unsigned)(seed % 3), .sessions = 8, .actions_max = 20, .together = 4, .idlers = 2,
                                       .deliveries_percent = 25, .large_ppm = 30000, .names_percent = 10, .pause_max_ms = 10, .compact_records_max = 40, .stops = 2, .memory_bytes = seed % 3 == 1,
                                       .retention_ms = seed % 4 == 0 ? 300 : 0, .archive_after_ms = seed % 5 < 2 ? 100 : 0};
    struct memory_faults faults = {.delay_max_us = 3000, .blind_appends_tell_nothing = seed % 2 == 0, .reorders_objects = true};
    return run(seed, &options, &faults, 0);
}

/* Nodes die often, at points and between any two steps; the store is well. */
static uint64_t run_crashes(uint64_t seed)
{
    struct workload_options options = {.accounts = 1, .nodes = 2, .sessions = 20, .actions_max = 20, .together = 4, .idlers = 1,
                                       .deliveries_percent = 30, .large_ppm = 100000, .names_percent = 10, .pause_max_ms = 5, .compact_records_max = 30, .kills = 12, .power_cuts = 3, .stops = 2, .memory_bytes = seed % 3 == 1,
                                       .archive_after_ms = seed % 5 < 2 ? 50 : 0};
    struct memory_faults faults = {.delay_max_us = 4000, .blind_appends_tell_nothing = seed % 2 == 0, .reorders_objects = true};
    return run(seed, &options, &faults, 20000);
}

/* The store answers late, not at all, or not for sure. */
static uint64_t run_uncertain(uint64_t seed)
{
    struct workload_options options = {.accounts = 1, .nodes = 2, .sessions = 10, .actions_max = 15, .together = 4, .idlers = 1,
                                       .deliveries_percent = 30, .large_ppm = 50000, .names_percent = 10, .pause_max_ms = 10, .compact_records_max = 40, .fills = 2, .short_deadlines_percent = 10,
                                       .archive_after_ms = seed % 3 == 1 ? 100 : 0};
    struct memory_faults faults = {.delay_max_us = 20000, .unavailable_ppm = 30000, .unknown_ppm = 100000, .corrupt_read_ppm = seed % 2 ? 10000 : 0,
                                   .blind_appends_tell_nothing = seed % 2 == 0, .reorders_objects = true, .loses_notifications = true};
    return run(seed, &options, &faults, 0);
}

/* Almost only deliveries, to several accounts at once. */
static uint64_t run_deliveries(uint64_t seed)
{
    struct workload_options options = {.accounts = 3, .nodes = 3, .sessions = 20, .actions_max = 15, .together = 8, .idlers = 3,
                                       .deliveries_percent = 80, .large_ppm = 100000, .names_percent = 5, .pause_max_ms = 5, .compact_records_max = 100, .kills = 4,
                                       .archive_after_ms = seed % 3 == 1 ? 50 : 0};
    struct memory_faults faults = {.delay_max_us = 10000, .unavailable_ppm = 10000, .unknown_ppm = 30000, .blind_appends_tell_nothing = seed % 2 == 0, .reorders_objects = true};
    return run(seed, &options, &faults, 20000);
}

/* Mailboxes come, go and change their names while others use them. */
static uint64_t run_names(uint64_t seed)
{
    struct workload_options options = {.accounts = 1, .nodes = 2, .sessions = 10, .actions_max = 25, .together = 5, .idlers = 1,
                                       .deliveries_percent = 20, .large_ppm = 0, .names_percent = 60, .pause_max_ms = 5, .compact_records_max = 50, .kills = 2};
    struct memory_faults faults = {.delay_max_us = 5000, .unknown_ppm = 5000, .blind_appends_tell_nothing = seed % 2 == 0, .reorders_objects = true};
    return run(seed, &options, &faults, 2000);
}

/* What befalls a cluster: nodes are killed, cut off, fenced and frozen, parts of the store hang or are full, clocks jump. */
static uint64_t run_cluster(uint64_t seed)
{
    struct workload_options options = {.accounts = 2, .nodes = 3, .sessions = 16, .actions_max = 15, .together = 6, .idlers = 2, .deliveries_percent = 40,
                                       .large_ppm = 50000, .names_percent = 5, .pause_max_ms = 50, .compact_records_max = 40, .kills = 2, .fills = 1,
                                       .short_deadlines_percent = seed % 2 ? 3 : 0, .retention_ms = seed % 4 == 0 ? 300 : 0, .archive_after_ms = seed % 5 < 2 ? 200 : 0, .has_upkeep = seed / 2 % 3 == 0,
                                       .troubles = {.hangs = 4, .cut_offs = 2, .fences = 2, .freezes = 2, .clock_jumps = seed % 2 ? 3 : 0, .lease_losses = 1}};
    struct memory_faults faults = {.delay_max_us = 5000, .unknown_ppm = seed % 3 ? 0 : 10000, .blind_appends_tell_nothing = true, .reorders_objects = true,
                                   .loses_notifications = seed % 2 == 0, .page_records_max = seed % 4 == 0 ? 5 : 0};
    return run(seed, &options, &faults, 3000);
}

/* A mailbox of many blocks of rows. */
static uint64_t run_large(uint64_t seed)
{
    struct workload_options options = {.accounts = 1, .nodes = 2, .sessions = 8, .actions_max = 10, .together = 3, .idlers = 1, .deliveries_percent = 20,
                                       .names_percent = 10, .pause_max_ms = 5, .compact_records_max = 30, .kills = 2, .doublings = 13, .memory_bytes = seed % 2,
                                       .archive_after_ms = seed % 3 == 1 ? 50 : 0};
    struct memory_faults faults = {.delay_max_us = 3000, .unknown_ppm = 5000, .blind_appends_tell_nothing = seed % 2 == 0, .reorders_objects = true};
    return run(seed, &options, &faults, 5000);
}

const struct scenario scenario_cluster = {"cluster", "hangs, fences, cuts, freezes, clocks that jump", 5, run_cluster};
const struct scenario scenario_large = {"large", "a mailbox of many blocks", 1, run_large};
const struct scenario scenario_accounts = {"accounts", "everything at once", 4, run_accounts};
const struct scenario scenario_calm = {"calm", "no faults, nobody dies", 2, run_calm};
const struct scenario scenario_crashes = {"crashes", "nodes die at points and between any two steps", 3, run_crashes};
const struct scenario scenario_uncertain = {"uncertain", "late, lost and uncertain answers", 2, run_uncertain};
const struct scenario scenario_deliveries = {"deliveries", "messages to many accounts", 2, run_deliveries};
const struct scenario scenario_names = {"names", "mailboxes made, renamed and deleted", 2, run_names};
