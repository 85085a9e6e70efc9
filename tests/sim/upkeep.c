/* Maintenance beside the sessions: notes and rounds, on some of the nodes. */
#include "upkeep/upkeep.h"

#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "scenario.h"
#include "workload.h"

enum { ROUND_PATIENCE_MS = 3600 * 1000, LOOK_MS = 2000, STORE_MS = 60000, ARENA_BYTES = 1 << 20 };

static bool has_role(const struct workload *w, unsigned node) { return w->options.has_upkeep && (node == 0 || sim_seed(w->world.sim) >> node & 1); }

void begin_upkeep(struct workload *w, unsigned node)
{
    struct upkeep_options options = {.tend_every_ms = 5000, .scrub_every_ms = 20000, .look_ms = LOOK_MS};
    if (has_role(w, node)) w->upkeep[node] = upkeep_start(w->world.nodes[node].accounts, &options);
}

void end_upkeep(struct workload *w, unsigned node)
{
    if (has_role(w, node)) upkeep_stop(w->upkeep[node]);
}

/* ---- the judgement ------------------------------------------------------------------------------------- */

struct question {
    struct engine *engine;
    enum upkeep_round kind;
    struct upkeep_status status;
    bool orders;
    result code;
};

static void ask(void *argument)
{
    colour_pretend_coroutine();
    struct question *q = argument;
    struct fault fault = {0};
    struct arena *arena = arena_new(NULL, ARENA_BYTES);
    q->code = q->orders ? upkeep_order_round(q->engine, q->kind, UPKEEP_START, clock_in(STORE_MS), &fault)
                        : upkeep_read_status(q->engine, q->kind, clock_in(STORE_MS), arena, &q->status, &fault);
    if (q->code != OK && q->code != NOT_FOUND && q->code != BUSY) FAIL("a round of maintenance: %s: %s", result_name(q->code), fault.detail);
    arena_free(arena);
}

MAY_YIELD static result put(struct workload *w, struct question *q, bool orders)
{
    q->engine = w->world.nodes[0].engine;
    q->orders = orders;
    world_run(&w->world, 0, w->accounts[0], ask, q);
    return q->code;
}

/* A round that began after everything was over: the one after the next, for the next may have begun before. */
MAY_YIELD static void see_a_round(struct workload *w, enum upkeep_round kind)
{
    struct question q = {.kind = kind};
    millis until = clock_in(ROUND_PATIENCE_MS);
    uint64_t before = put(w, &q, false) == OK ? q.status.round : 0;
    while (q.code != OK || q.status.round < before + 2 || q.status.ended.ms == 0) {
        if (!millis_before(clock_now(), until)) FAIL("rounds of maintenance do not come to their end");
        MUST(coroutine_sleep(LOOK_MS) == OK);
        (void)put(w, &q, true);
        (void)put(w, &q, false);
    }
    if (q.status.now.problems) FAIL("a round of maintenance found %llu problems", (unsigned long long)q.status.now.problems);
    if (q.status.now.accounts > w->options.accounts) FAIL("a round of maintenance saw %llu accounts", (unsigned long long)q.status.now.accounts);
}

struct stopping { struct workload *workload; unsigned node; };

static void stop_on_loop(void *argument)
{
    colour_pretend_coroutine();
    struct stopping *s = argument;
    end_upkeep(s->workload, s->node);
}

static void stop_here(void *argument)
{
    colour_pretend_coroutine();
    struct stopping *s = argument;
    loop_run_on(sim_node_loop(s->workload->world.nodes[s->node].sim, 0), "stop upkeep", stop_on_loop, s);
}

void judge_upkeep(struct workload *w)
{
    if (!w->options.has_upkeep) return;
    see_a_round(w, ROUND_TEND);
    see_a_round(w, ROUND_SCRUB);
    /* What follows takes hours. */
    for (unsigned i = 0; i < w->world.count; i++) world_run(&w->world, i, w->accounts[0], stop_here, &(struct stopping){w, i});
    w->options.has_upkeep = false;
}
