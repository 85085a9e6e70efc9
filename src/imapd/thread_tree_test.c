/* A tree by itself: what takes very many messages to be seen from outside. */
#include "base/test.h"
#include "imapd/thread_tree.h"
#include "runtime/sim/sim.h"

enum { MESSAGES = 20000, EXPECTED = 100, ELSEWHERE = 3, THREAD = 100 };

struct growing {
    struct sim *sim;
    struct sim_node *node;
    unsigned steps_max;                  /* of one message */
    unsigned wrong;
};

/* Ids as hashes are: anywhere. */
static uint64_t id_of(uint64_t i) { return (i + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1; }

/* The first of its thread. */
static uint32_t first_of(uint32_t i) { return i - i % THREAD; }

/* Each answers the first of its thread, and names messages that are not here. */
MAY_YIELD static result add(struct thread_tree *t, uint32_t i)
{
    uint64_t references[ELSEWHERE + 1];
    struct row row = {.uid = i + 1, .internal_date.ms = i};
    struct sort_values v = {.message_id = id_of(i), .references = references, .reference_count = ELSEWHERE + (i % THREAD > 0)};
    for (unsigned k = 0; k < ELSEWHERE; k++) references[k] = id_of(MESSAGES + ELSEWHERE * i + k);
    references[ELSEWHERE] = id_of(first_of(i));
    return thread_tree_add(t, i + 1, &row, &v);
}

static void adds_very_many(void *argument)
{
    colour_pretend_coroutine();
    struct growing *g = argument;
    struct session s = {0};
    struct thread_tree t;
    thread_tree_init(&t, &s, IMAP_THREAD_REFERENCES, EXPECTED);
    for (uint32_t i = 0; i < MESSAGES; i++) {
        uint64_t before = sim_node_steps(g->node);
        REQUIRE(add(&t, i) == OK);
        unsigned steps = (unsigned)(sim_node_steps(g->node) - before);
        if (steps > g->steps_max) g->steps_max = steps;
    }
    /* All are found where they stand: the messages, and a dummy for each of the others. */
    EXPECT_NUMBER(t.count, MESSAGES + MESSAGES * ELSEWHERE);
    EXPECT_NUMBER(t.ids.count, t.count);
    for (uint32_t i = 0; i < t.count; i++) {
        uint32_t number = t.nodes[i].told, parent = t.nodes[i].parent;
        if (number && (number - 1) % THREAD > 0) g->wrong += t.nodes[parent].told != first_of(number - 1) + 1;
    }
    thread_tree_done(&t);
}

TEST(thread_tree_grows_in_turns)
{
    struct growing g = {.sim = sim_open(1)};
    g.node = sim_node_new(g.sim, "server", 1);
    sim_set_hasty(g.sim, true);
    REQUIRE(sim_call(g.node, 0, adds_very_many, &g));
    EXPECT_NUMBER(g.wrong, 0);
    /* The last time the table had 65,536 slots. */
    EXPECT(g.steps_max >= 65536 / 2048 - 1);
    sim_close(g.sim);
}
