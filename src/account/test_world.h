/*
 * test_world: nodes with accounts on one memory store, for tests of this room.
 *
 *     struct world *w = world_open(seed, 2, 1);
 *     world_run(w, 0, delivers_one, w);            // as a coroutine of node 0, on the home loop of w->account
 *     world_close(w);
 */
#pragma once

#include "account/account.h"
#include "account/view.h"
#include "engine/memory.h"
#include "runtime/sim/sim.h"

enum { WORLD_NODES_MAX = 3 };

struct world {
    struct sim *sim;
    struct memory_store *store;
    struct id account;
    struct accounts_options options;             /* of nodes that come up later; set before world_up() */
    struct world_node {
        struct sim_node *sim;
        struct engine *engine;
        struct accounts *accounts;
        unsigned loops;
    } nodes[WORLD_NODES_MAX];
    unsigned count;
    struct memory_faults faults;
    uint64_t messages;                           /* made so far: gives each its text */
};

struct world *world_open(uint64_t seed, unsigned nodes, unsigned loops);
/* Opens engine and accounts of a node that is up. world_open() does it for all. */
void world_up(struct world *w, unsigned node);
void world_down(struct world *w, unsigned node);
void world_close(struct world *w);
/* Kills the node and restarts it, with all that it had in memory lost. The store goes on. */
void world_kill(struct world *w, unsigned node);
/* Runs it on the home loop of w->account in the node; false when the node died. Outside the world. */
bool world_run(struct world *w, unsigned node, void (*run)(void *argument), void *argument);
struct accounts *world_accounts(struct world *w, unsigned node);
/* The accounts of the node that runs the caller. */
struct accounts *world_here(struct world *w);

/* ---- inside the world: REQUIRE what must work ---- */
MAY_YIELD struct account *open_account(struct world *w);
/* A message of `bytes` bytes, its content made from `number`. */
MAY_YIELD struct draft *make_draft(struct world *w, uint64_t number, size_t bytes);
char message_byte(uint64_t number, size_t at);
/* Delivers to w->account's INBOX; its result. */
MAY_YIELD result deliver(struct world *w, uint64_t number, size_t bytes);
/* Appends to mailbox `mailbox`. */
MAY_YIELD result append(struct world *w, struct account *a, uint32_t mailbox, uint64_t number, size_t bytes, struct outcome *ret_outcome, struct arena *arena);
/* Reads the message in sequence number `at` of a mailbox and compares it with number and bytes. */
MAY_YIELD bool message_is(struct account *a, uint32_t mailbox, uint32_t at, uint64_t number, size_t bytes);
MAY_YIELD result read_row(struct account *a, uint32_t mailbox, uint32_t at, struct row *ret_row);
uint32_t count_of(struct account *a, uint32_t mailbox);
enum { INBOX = 1 };
