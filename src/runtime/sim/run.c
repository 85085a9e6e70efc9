/* run_loops() in the simulator: tests of what has no world of its own run in either face. */
#include "runtime/run.h"

#include "runtime/sim/sim_private.h"

enum { LOOPS_BY_DEFAULT = 2 };

result run_loops(const struct run_options *options, void (*main_coroutine)(void *argument), void *argument, struct fault *fault)
{
    struct sim *own = sim_world ? NULL : sim_open(sim_seed_from_environment(1));
    struct sim_node *n = sim_node_new(sim_world, "run", options && options->loops ? options->loops : LOOPS_BY_DEFAULT);
    bool ended = sim_call(n, 0, main_coroutine, argument);
    if (own) sim_close(own);
    return ended ? OK : fail(fault, CANCELLED, "the node died");
}
