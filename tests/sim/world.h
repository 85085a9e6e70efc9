/*
 * world: nodes with accounts on one memory store, which die and come up again while scenarios use them.
 *
 * A keeper node that never dies runs the scenario's own coroutines. When a node dies, by world_kill(), after a number of
 * steps or at a point, its engine is abandoned; the keeper restarts it after a while.
 */
#pragma once

#include "account/account.h"
#include "engine/memory.h"
#include "runtime/sim/sim.h"

enum { WORLD_NODES_MAX = 4, WORLD_POINTS_MAX = 64, WORLD_CLOCK_JUMP_MAX_MS = 3 * 24 * 3600 * 1000 };

struct world_node {
    struct sim_node *sim;
    struct engine *engine;
    struct accounts *accounts;
    unsigned loops, lives;
    bool is_ready;
};

struct world {
    struct sim *sim;
    struct sim_node *keeper;
    struct memory_store *store;
    struct memory_faults faults;         /* in force unless is_calm */
    struct accounts_options options;
    struct world_node nodes[WORLD_NODES_MAX];
    unsigned count;
    bool is_calm;                        /* no faults, nobody dies any more */
    unsigned point_ppm;                  /* of points passed, the node dies there */
    struct point_passes { const char *name; unsigned times; } passes[WORLD_POINTS_MAX];
    void (*died)(void *argument, unsigned node);
    /* What stands on engine and accounts; in coroutines of the node's first loop. */
    void (*up)(void *argument, unsigned node);
    void (*down)(void *argument, unsigned node);
    void *argument;
};

void world_open(struct world *c, uint64_t seed, unsigned nodes);
/* Opens engine and accounts of a node, from outside the world or from the keeper; ready some time later. */
void world_boot(struct world *c, unsigned node);
/* Waits until all nodes are up and ready. From the keeper. */
MAY_YIELD void world_wait_ready(struct world *c);
/* No faults from now on; what was of unknown outcome is settled. */
void world_calm(struct world *c);
void world_kill(struct world *c, unsigned node);

/* What befalls clusters: how often, in all. */
struct world_troubles {
    unsigned hangs;                      /* a place of the store answers nothing for a while */
    unsigned cut_offs, fences;           /* of nodes */
    unsigned freezes;                    /* of nodes: they do nothing for a while and know nothing of it */
    unsigned clock_jumps;                /* of nodes */
    unsigned lease_losses;               /* all leases end under their owners' feet */
};
/* Makes one of those that are left happen, now and then. From the keeper. */
void world_trouble(struct world *c, struct world_troubles *left);
/* Restarts what is down. From the keeper. */
void world_raise(struct world *c);
/* Closes accounts and engine of a node, in peace. From the keeper. */
MAY_YIELD void world_stop(struct world *c, unsigned node);
/* Runs run(argument) as a coroutine of the node, on the home loop of the account. */
void world_spawn(struct world *c, unsigned node, struct id account, const char *name, void (*run)(void *argument), void *argument);
/* The same and waits for its end, from the keeper. The node must not die meanwhile. */
MAY_YIELD void world_run(struct world *c, unsigned node, struct id account, void (*run)(void *argument), void *argument);
/* All engines closed; frees the store and the world. */
void world_close(struct world *c);
/* A ready node, at random; -1 if there is none. */
int world_pick(struct world *c);
