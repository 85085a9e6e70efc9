/*
 * cluster: nodes with accounts on one memory store, which die and come up again while scenarios use them.
 *
 * A keeper node that never dies runs the scenario's own coroutines. When a node dies, by cluster_kill(), after a number of
 * steps or at a point, its engine is abandoned; the keeper restarts it after a while.
 */
#pragma once

#include "account/account.h"
#include "engine/memory.h"
#include "runtime/sim/sim.h"

enum { CLUSTER_NODES_MAX = 4, CLUSTER_POINTS_MAX = 64, CLUSTER_CLOCK_JUMP_MAX_MS = 3 * 24 * 3600 * 1000 };

struct cluster_node {
    struct sim_node *sim;
    struct engine *engine;
    struct accounts *accounts;
    unsigned loops, lives;
    bool is_ready;
};

struct cluster {
    struct sim *sim;
    struct sim_node *keeper;
    struct memory_store *store;
    struct memory_faults faults;         /* in force unless is_calm */
    struct accounts_options options;
    struct cluster_node nodes[CLUSTER_NODES_MAX];
    unsigned count;
    bool is_calm;                        /* no faults, nobody dies any more */
    unsigned point_ppm;                  /* of points passed, the node dies there */
    struct point_passes { const char *name; unsigned times; } passes[CLUSTER_POINTS_MAX];
    void (*died)(void *argument, unsigned node);
    /* What stands on engine and accounts; in coroutines of the node's first loop. */
    void (*up)(void *argument, unsigned node);
    void (*down)(void *argument, unsigned node);
    void *argument;
};

void cluster_open(struct cluster *c, uint64_t seed, unsigned nodes);
/* Opens engine and accounts of a node, from outside the world or from the keeper; ready some time later. */
void cluster_boot(struct cluster *c, unsigned node);
/* Waits until all nodes are up and ready. From the keeper. */
MAY_YIELD void cluster_wait_ready(struct cluster *c);
/* No faults from now on; what was of unknown outcome is settled. */
void cluster_calm(struct cluster *c);
void cluster_kill(struct cluster *c, unsigned node);

/* What befalls clusters: how often, in all. */
struct cluster_troubles {
    unsigned hangs;                      /* a place of the store answers nothing for a while */
    unsigned cut_offs, fences;           /* of nodes */
    unsigned freezes;                    /* of nodes: they do nothing for a while and know nothing of it */
    unsigned clock_jumps;                /* of nodes */
    unsigned lease_losses;               /* all leases end under their owners' feet */
};
/* Makes one of those that are left happen, now and then. From the keeper. */
void cluster_trouble(struct cluster *c, struct cluster_troubles *left);
/* Restarts what is down. From the keeper. */
void cluster_raise(struct cluster *c);
/* Closes accounts and engine of a node, in peace. From the keeper. */
MAY_YIELD void cluster_stop(struct cluster *c, unsigned node);
/* Runs run(argument) as a coroutine of the node, on the home loop of the account. */
void cluster_spawn(struct cluster *c, unsigned node, struct id account, const char *name, void (*run)(void *argument), void *argument);
/* The same and waits for its end, from the keeper. The node must not die meanwhile. */
MAY_YIELD void cluster_run(struct cluster *c, unsigned node, struct id account, void (*run)(void *argument), void *argument);
/* All engines closed; frees the store and the world. */
void cluster_close(struct cluster *c);
/* A ready node, at random; -1 if there is none. */
int cluster_pick(struct cluster *c);
