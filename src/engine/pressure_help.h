/* pressure_help: a store that hangs for some, for tests of what the front door does then. */
#pragma once

#include "engine/memory.h"
#include "runtime/sim/sim.h"

/* From outside the world: so many appends hang from now on for up to two minutes, and are slow when this returns. What others ask of the store is done at once. */
void pressure_press(struct sim_node *n, struct memory_store *disks, struct engine *e, unsigned appends);
/* Until none hangs any more. */
void pressure_relieve(struct sim_node *n);
