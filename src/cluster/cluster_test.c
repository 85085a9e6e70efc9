/* Nodes of a cluster on the simulator: who is there, who drains, which level is written. */
#include "cluster/cluster.h"

#include "base/test.h"
#include "engine/memory.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/sim/sim.h"

enum { NODES = 3 };

struct node {
    struct world *world;
    const char *name;
    unsigned char id;
    unsigned level_max;
    struct sim_node *sim;
    struct engine *engine;
    struct cluster *cluster;
    result joined;
    struct fault fault;
    unsigned level, outdated;
    bool drains;
    int64_t over_ms;
    struct cluster_load load;
};

struct world {
    struct sim *sim;
    struct memory_store *disks;
    struct node nodes[NODES];
};

static void tell_load(void *argument, struct cluster_load *ret_load) { *ret_load = ((struct node *)argument)->load; }
static void set_level(void *argument, unsigned level) { ((struct node *)argument)->level = level; }
static void set_outdated(void *argument, const struct fault *fault) { ((struct node *)argument)->outdated++; }

static void set_drain(void *argument, bool drains, int64_t over_ms)
{
    struct node *n = argument;
    n->drains = drains;
    n->over_ms = over_ms;
}

static void join(void *argument)
{
    colour_pretend_coroutine();
    struct node *n = argument;
    if (!n->engine) n->engine = engine_open_memory(n->world->disks);
    struct cluster_options o = {
        .name = view_of(n->name), .version = VIEW("1.2"), .roles = VIEW("smtp,imap"), .addresses = VIEW("10.0.0.1:25"), .level_max = n->level_max,
        .id = {{n->id}}, .load = tell_load, .level_changed = set_level, .drain_changed = set_drain, .outdated = set_outdated, .argument = n,
    };
    n->joined = cluster_join(n->engine, &o, clock_in(60000), &n->cluster, &n->fault);
}

static void leave(void *argument)
{
    colour_pretend_coroutine();
    struct node *n = argument;
    cluster_leave(n->cluster);
    n->cluster = NULL;
    if (n->engine) engine_close(n->engine);
    n->engine = NULL;
}

static struct world open_world(void)
{
    static const char *const names[NODES] = {"a", "b", "c"};
    struct world w = {.sim = sim_open(sim_seed_from_environment(1)), .disks = memory_store_new()};
    for (unsigned i = 0; i < NODES; i++) w.nodes[i] = (struct node){.name = names[i], .id = (unsigned char)(i + 1), .sim = sim_node_new(w.sim, names[i], 1)};
    return w;
}

static result come(struct world *w, unsigned i)
{
    w->nodes[i].world = w;
    sim_call(w->nodes[i].sim, 0, join, &w->nodes[i]);
    return w->nodes[i].joined;
}

static void go(struct world *w, unsigned i)
{
    if (sim_node_is_up(w->nodes[i].sim)) sim_call(w->nodes[i].sim, 0, leave, &w->nodes[i]);
}

static void die(struct world *w, unsigned i)
{
    sim_node_crash(w->nodes[i].sim);
    engine_abandon_memory(w->nodes[i].engine);
    w->nodes[i].engine = NULL;
    w->nodes[i].cluster = NULL;
    sim_node_restart(w->nodes[i].sim);
}

static void close_world(struct world *w)
{
    for (unsigned i = 0; i < NODES; i++) go(w, i);
    sim_close(w->sim);
    memory_store_free(w->disks);
}

/* ---- questions, asked on node a ---- */

static struct question {
    struct world *world;
    struct arena *arena;
    struct cluster_node *nodes;
    size_t count;
    result code;
    struct fault fault;
    unsigned level;
    view node;
    int64_t ms;
} q;

static void ask_nodes(void *unused)
{
    colour_pretend_coroutine();
    q.code = cluster_nodes(q.world->nodes[0].engine, clock_in(10000), q.arena, &q.nodes, &q.count, &q.fault);
}
static void ask_raise(void *unused)
{
    colour_pretend_coroutine();
    q.code = cluster_raise_level(q.world->nodes[0].engine, q.level, clock_in(10000), &q.level, &q.fault);
}
static void ask_drain(void *unused)
{
    colour_pretend_coroutine();
    q.code = cluster_drain(q.world->nodes[0].engine, q.node, q.ms, clock_in(10000), &q.fault);
}
static void ask_undrain(void *unused)
{
    colour_pretend_coroutine();
    q.code = cluster_undrain(q.world->nodes[0].engine, q.node, clock_in(10000), &q.fault);
}
static void ask_forget(void *unused)
{
    colour_pretend_coroutine();
    q.code = cluster_forget(q.world->nodes[0].engine, q.node, clock_in(10000), &q.fault);
}
static void ask_open(void *new)
{
    colour_pretend_coroutine();
    struct cluster_level level;
    q.code = cluster_open_level(q.world->nodes[0].engine, new != NULL, clock_in(10000), &level, &q.fault);
    if (q.code == OK) q.level = level.written_level;
}
static void rest(void *unused)
{
    colour_pretend_coroutine();
    (void)!coroutine_sleep(q.ms);
}

static void ask(struct world *w, void (*question)(void *argument))
{
    q.world = w;
    if (q.arena) arena_free(q.arena);
    q.arena = arena_new(NULL, 64 << 20);
    sim_call(w->nodes[0].sim, 0, question, NULL);
}

static void wait_ms(struct world *w, int64_t ms)
{
    q.ms = ms;
    sim_call(w->nodes[0].sim, 0, rest, NULL);
}

static const struct cluster_node *node_named(struct world *w, const char *name)
{
    ask(w, ask_nodes);
    REQUIRE(q.code == OK);
    for (size_t i = 0; i < q.count; i++)
        if (view_equal(q.nodes[i].name, view_of(name))) return &q.nodes[i];
    return NULL;
}

static void forget_answers(void)
{
    if (q.arena) arena_free(q.arena);
    q.arena = NULL;
}

/* ---- ---- */

TEST(cluster_nodes_see_each_other)
{
    struct world w = open_world();
    w.nodes[1].load = (struct cluster_load){.sessions = 7, .accounts = 5, .slow_operations = 2};
    for (unsigned i = 0; i < NODES; i++) EXPECT(come(&w, i) == OK);
    wait_ms(&w, 5000);
    const struct cluster_node *b = node_named(&w, "b");
    REQUIRE(b != NULL);
    EXPECT_NUMBER(q.count, 3);
    EXPECT_NUMBER(b->load.sessions, 7);
    EXPECT_NUMBER(b->load.slow_operations, 2);
    EXPECT_NUMBER(b->load.leases, 1);
    EXPECT(view_equal(b->roles, VIEW("smtp,imap")) && view_equal(b->version, VIEW("1.2")) && !b->is_gone);
    go(&w, 1);
    EXPECT(node_named(&w, "b") == NULL);
    EXPECT_NUMBER(q.count, 2);
    forget_answers();
    close_world(&w);
}

TEST(cluster_clocks_that_differ_are_told)
{
    struct world w = open_world();
    for (unsigned i = 0; i < NODES; i++) EXPECT(come(&w, i) == OK);
    wait_ms(&w, 25 * CLUSTER_REFRESH_MS);
    EXPECT_NUMBER(sim_event_count(w.sim, EVENT_NODE_CLOCKS_DIFFER), 0);
    sim_node_set_wall_skew(w.nodes[1].sim, 9000);
    wait_ms(&w, 25 * CLUSTER_REFRESH_MS);
    REQUIRE(sim_event_count(w.sim, EVENT_NODE_CLOCKS_DIFFER) >= 2);      /* by each of the others */
    EXPECT_VIEW(sim_event_field(w.sim, EVENT_NODE_CLOCKS_DIFFER, 0, "node"), VIEW("b"));
    forget_answers();
    close_world(&w);
}

TEST(cluster_a_dead_node_is_gone_and_later_forgotten)
{
    struct world w = open_world();
    for (unsigned i = 0; i < NODES; i++) EXPECT(come(&w, i) == OK);
    die(&w, 2);
    wait_ms(&w, CLUSTER_GONE_MS + 1000);
    const struct cluster_node *c = node_named(&w, "c");
    REQUIRE(c != NULL);
    EXPECT(c->is_gone && view_equal(view_of(cluster_state_name(c)), VIEW("gone")));
    q.node = VIEW("b");
    ask(&w, ask_forget);
    EXPECT(q.code == BUSY);
    wait_ms(&w, CLUSTER_FORGET_MS + 100000);
    EXPECT(node_named(&w, "c") == NULL);
    EXPECT(node_named(&w, "b") != NULL);
    /* It comes back as if nothing had been. */
    EXPECT(come(&w, 2) == OK);
    EXPECT(node_named(&w, "c") != NULL);
    forget_answers();
    close_world(&w);
}

TEST(cluster_a_name_belongs_to_one_node)
{
    struct world w = open_world();
    EXPECT(come(&w, 0) == OK);
    w.nodes[1].name = "a";
    EXPECT(come(&w, 1) == BUSY);
    EXPECT(view_find_view(view_of(w.nodes[1].fault.detail), VIEW("server.node")) != VIEW_NONE);
    EXPECT(node_named(&w, "a") != NULL);
    /* A node that died leaves its name to another when its lease is over, and to itself at once. */
    die(&w, 0);
    EXPECT(come(&w, 0) == OK);
    die(&w, 0);
    EXPECT(come(&w, 1) == OK);
    go(&w, 1);
    EXPECT(come(&w, 0) == OK);
    forget_answers();
    close_world(&w);
}

TEST(cluster_drain_reaches_its_node_and_outlives_it)
{
    struct world w = open_world();
    for (unsigned i = 0; i < 2; i++) EXPECT(come(&w, i) == OK);
    w.nodes[1].load.sessions = 3;
    q.node = VIEW("b");
    q.ms = 90000;
    ask(&w, ask_drain);
    EXPECT(q.code == OK);
    wait_ms(&w, 2 * CLUSTER_REFRESH_MS);
    EXPECT(w.nodes[1].drains && w.nodes[1].over_ms == 90000 && !w.nodes[0].drains);
    EXPECT_NUMBER(node_named(&w, "b")->state, NODE_DRAINING);
    w.nodes[1].load.sessions = 0;
    wait_ms(&w, 2 * CLUSTER_REFRESH_MS);
    EXPECT_NUMBER(node_named(&w, "b")->state, NODE_DRAINED);
    /* Upgraded and started again, it waits for the operator's word. */
    go(&w, 1);
    w.nodes[1].drains = false;
    EXPECT(come(&w, 1) == OK);
    EXPECT(w.nodes[1].drains);
    q.node = VIEW("b");
    ask(&w, ask_undrain);
    EXPECT(q.code == OK);
    wait_ms(&w, 2 * CLUSTER_REFRESH_MS);
    EXPECT(!w.nodes[1].drains);
    ask(&w, ask_undrain);
    EXPECT(q.code == NOT_FOUND);
    q.node = VIEW("nobody");
    ask(&w, ask_drain);
    EXPECT(q.code == NOT_FOUND);
    forget_answers();
    close_world(&w);
}

TEST(cluster_level_rises_when_all_nodes_know_it)
{
    struct world w = open_world();
    w.nodes[1].level_max = FEATURE_LEVEL_FIRST;
    for (unsigned i = 0; i < 2; i++) EXPECT(come(&w, i) == OK);
    ask(&w, ask_open);                       /* a store from before there were levels */
    EXPECT(q.code == OK && q.level == FEATURE_LEVEL_FIRST);
    EXPECT_NUMBER(sim_event_count(w.sim, EVENT_FEATURE_LEVEL_LOW), 1);      /* a knows more */
    q.level = FEATURE_LEVEL_MAX;
    ask(&w, ask_raise);
    EXPECT(q.code == BUSY);
    EXPECT(view_find_view(view_of(q.fault.detail), VIEW("node b")) != VIEW_NONE);
    /* b is upgraded. */
    go(&w, 1);
    w.nodes[1].level_max = FEATURE_LEVEL_MAX;
    EXPECT(come(&w, 1) == OK);
    q.level = 0;
    ask(&w, ask_raise);
    EXPECT(q.code == OK && q.level == FEATURE_LEVEL_MAX);
    wait_ms(&w, 2 * CLUSTER_REFRESH_MS);
    EXPECT_NUMBER(w.nodes[0].level, FEATURE_LEVEL_FIRST);        /* nobody writes it before all have heard of it */
    wait_ms(&w, CLUSTER_LEVEL_WAIT_MS + CLUSTER_REFRESH_MS);
    EXPECT_NUMBER(w.nodes[0].level, FEATURE_LEVEL_MAX);
    EXPECT_NUMBER(w.nodes[1].level, FEATURE_LEVEL_MAX);
    ask(&w, ask_raise);
    EXPECT(q.code == EXISTS);
    /* An old one cannot come any more, and says why. */
    w.nodes[2].level_max = FEATURE_LEVEL_FIRST;
    EXPECT(come(&w, 2) == INVALID);
    EXPECT(view_find_view(view_of(w.nodes[2].fault.detail), VIEW("newer version")) != VIEW_NONE);
    EXPECT(node_named(&w, "c") == NULL);
    forget_answers();
    close_world(&w);
}

static void remove_row_of_c(void *unused)
{
    colour_pretend_coroutine();
    struct engine *e = q.world->nodes[0].engine;
    struct table_change change = {.key = VIEW("c"), .what = TABLE_REMOVE};
    q.code = table_batch(e, VIEW("nodes"), table_shard_of(e, VIEW("nodes"), VIEW("c")), &change, 1, clock_in(10000), NULL, &q.fault);
}

TEST(cluster_an_old_node_that_slipped_in_stops_before_anything_new_is_written)
{
    struct world w = open_world();
    w.nodes[2].level_max = FEATURE_LEVEL_FIRST;
    EXPECT(come(&w, 0) == OK && come(&w, 2) == OK);
    ask(&w, remove_row_of_c);                /* as when it came between the look at the rows and the raise */
    q.level = FEATURE_LEVEL_MAX;
    ask(&w, ask_raise);
    EXPECT(q.code == OK);
    wait_ms(&w, 2 * CLUSTER_REFRESH_MS);
    EXPECT_NUMBER(w.nodes[2].outdated, 1);
    EXPECT_NUMBER(w.nodes[0].level, FEATURE_LEVEL_FIRST);
    forget_answers();
    close_world(&w);
}

TEST(cluster_a_new_store_begins_at_the_newest_level)
{
    struct world w = open_world();
    w.nodes[0].world = &w;
    EXPECT(come(&w, 0) == OK);
    q.world = &w;
    sim_call(w.nodes[0].sim, 0, ask_open, &w);
    EXPECT(q.code == OK && q.level == FEATURE_LEVEL_MAX);
    close_world(&w);
}

TEST(cluster_lives_through_a_store_that_fails)
{
    struct world w = open_world();
    for (unsigned i = 0; i < 2; i++) EXPECT(come(&w, i) == OK);
    memory_store_set_faults(w.disks, &(struct memory_faults){.unavailable_ppm = 1000000});
    wait_ms(&w, 60000);
    memory_store_set_faults(w.disks, &(struct memory_faults){0});
    wait_ms(&w, 3 * CLUSTER_REFRESH_MS);
    const struct cluster_node *b = node_named(&w, "b");
    REQUIRE(b != NULL);
    EXPECT(!b->is_gone);
    EXPECT_NUMBER(b->load.leases, 1);
    forget_answers();
    close_world(&w);
}
