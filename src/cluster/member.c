/*
 * member: a node as long as it serves: its row, its lease, and what it hears of others.
 *
 * One coroutine does it all, one thing after the other. What fails is done at the next refresh: nobody waits for it, and a store that
 * does not answer must not stop the node, only let it look gone.
 */
#include <stdlib.h>

#include "base/check.h"
#include "cluster/private.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/event.h"

enum { TURN_TIMEOUT_MS = 10000, LEAVE_TIMEOUT_MS = 3000, JOIN_RETRY_MS = 500, LOOK_AROUND_EVERY_TURNS = 20, TEXTS_BYTES_MAX = 64 << 10 };

struct cluster {
    struct engine *engine;
    struct cluster_options options;
    struct arena *texts;
    struct cluster_node self;
    struct scope scope;
    struct waitlist looks;
    bool wants_look, has_lease, was_unseen, is_outdated, drains;
    unsigned written_level, turns;
    view lease;
    char owner[ID_TEXT_LEN + 1];
};

static void read_load(struct cluster *c)
{
    struct cluster_load load = {0};
    if (c->options.load) c->options.load(c->options.argument, &load);
    load.leases += c->has_lease;
    c->self.load = load;
    c->self.state = !c->drains ? NODE_SERVING : load.sessions ? NODE_DRAINING : NODE_DRAINED;
}

static MAY_YIELD result write_row(struct cluster *c, millis deadline, struct fault *fault)
{
    read_load(c);
    c->self.seen = clock_wall();
    json_t *row CLEANUP(cluster_json_done) = cluster_node_row(&c->self);
    return cluster_row_write(c->engine, TABLE_NODES, c->self.name, row, NULL, deadline, fault);
}

static MAY_YIELD result hear_level(struct cluster *c, millis deadline, struct fault *fault)
{
    struct cluster_level level;
    result r = cluster_read_level(c->engine, deadline, &level, fault);
    if (r != OK) return r;
    if (level.level > c->self.level_max) {
        fail(fault, INVALID, "the cluster's feature level is %u and this node (version " VIEW_FMT ") understands up to %u: start a newer version", level.level,
             VIEW_ARG(c->self.version), c->self.level_max);
        if (!c->is_outdated) {
            c->is_outdated = true;
            EVENT_EMIT(NODE_OUTDATED, EVENT_TEXT("node", c->self.name), EVENT_FAULT(fault));
            if (c->options.outdated) c->options.outdated(c->options.argument, fault);
        }
        return INVALID;
    }
    if (level.written_level != c->written_level) {
        /* At a start: after an upgrade somebody has to remember the last step of it. */
        if (!c->written_level && level.level < c->self.level_max) EVENT_EMIT(FEATURE_LEVEL_LOW, EVENT_NUMBER("level", level.level), EVENT_NUMBER("known", c->self.level_max));
        if (c->written_level) EVENT_EMIT(FEATURE_LEVEL_RAISED, EVENT_NUMBER("level", level.written_level));
        c->written_level = level.written_level;
        if (c->options.level_changed) c->options.level_changed(c->options.argument, level.written_level);
    }
    return OK;
}

static MAY_YIELD result hear_drain(struct cluster *c, millis deadline, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 4096);
    json_t *row CLEANUP(cluster_json_done) = NULL;
    result r = cluster_row_read(c->engine, TABLE_CLUSTER, cluster_drain_key(c->self.name, arena), deadline, &row, fault);
    if (r != OK && r != NOT_FOUND) return r;
    bool drains = r == OK;
    if (drains == c->drains) return OK;
    c->drains = drains;
    EVENT_EMIT(NODE_DRAIN_CHANGED, EVENT_TEXT("node", c->self.name), EVENT_NUMBER("drains", drains));
    if (c->options.drain_changed) c->options.drain_changed(c->options.argument, drains, drains ? json_integer_value(json_object_get(row, "over")) : -1);
    return OK;
}

/* Losing the name to another node harms nobody but the operator who asks for it: it is said, and taken back when it is free. */
static MAY_YIELD void keep_lease(struct cluster *c, millis deadline)
{
    struct fault fault = {0};
    view owner = view_of(c->owner);
    result r = c->has_lease ? lease_renew(c->engine, c->lease, owner, CLUSTER_LEASE_MS, deadline, &fault) : NOT_FOUND;
    if (r == NOT_FOUND) r = lease_acquire(c->engine, c->lease, owner, CLUSTER_LEASE_MS, deadline, &fault);
    if (r == BUSY) EVENT_EMIT(NODE_NAME_TAKEN, EVENT_TEXT("node", c->self.name));
    if (r == OK || r == BUSY) c->has_lease = r == OK;
}

/* A row from the future: of two nodes whose clocks differ, the one that is behind sees it. */
static void compare_clocks(const struct cluster_node *n)
{
    int64_t ahead_ms = n->seen.ms - clock_wall().ms;
    if (ahead_ms > CLUSTER_CLOCKS_DIFFER_MS) EVENT_EMIT(NODE_CLOCKS_DIFFER, EVENT_TEXT("node", n->name), EVENT_NUMBER("ahead_ms", ahead_ms));
}

/* Rows of nodes that died long ago: any node takes them away. */
static MAY_YIELD void forget(struct cluster *c, const struct cluster_node *n, millis deadline)
{
    if (clock_wall().ms - n->seen.ms < CLUSTER_FORGET_MS) return;
    if (cluster_row_write(c->engine, TABLE_NODES, n->name, NULL, NULL, deadline, NULL) == OK) EVENT_EMIT(NODE_FORGOTTEN, EVENT_TEXT("node", n->name));
}

static MAY_YIELD void look_around(struct cluster *c, millis deadline)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 64 << 20);
    struct cluster_node *nodes;
    size_t count;
    if (cluster_nodes(c->engine, deadline, arena, &nodes, &count, NULL) != OK) return;
    for (size_t i = 0; i < count; i++) {
        if (view_equal(nodes[i].name, c->self.name)) continue;
        compare_clocks(&nodes[i]);
        forget(c, &nodes[i], deadline);
    }
}

static MAY_YIELD void take_turn(struct cluster *c)
{
    struct fault fault = {0};
    millis deadline = clock_in(TURN_TIMEOUT_MS);
    keep_lease(c, deadline);
    result r = hear_level(c, deadline, &fault);
    if (r == OK) r = hear_drain(c, deadline, &fault);
    if (r == OK) r = write_row(c, deadline, &fault);
    if (r == OK && ++c->turns % LOOK_AROUND_EVERY_TURNS == 1) look_around(c, deadline);
    bool is_unseen = r != OK && r != INVALID;
    if (is_unseen && !c->was_unseen) EVENT_EMIT(NODE_UNSEEN, EVENT_TEXT("node", c->self.name), EVENT_FAULT(&fault));
    c->was_unseen = is_unseen;
}

static void run_member(void *argument)
{
    colour_pretend_coroutine();
    struct cluster *c = argument;
    while (!scope_is_cancelled(&c->scope)) {
        if (!c->wants_look && waitlist_wait(&c->looks, clock_in(CLUSTER_REFRESH_MS)) == CANCELLED) return;
        c->wants_look = false;
        take_turn(c);
    }
}

void cluster_look(struct cluster *c)
{
    c->wants_look = true;
    waitlist_wake_all(&c->looks);
}

/* A node that was killed comes back before its lease is over: engines that know owners by name give it back, others let it wait. */
static MAY_YIELD result take_name(struct cluster *c, millis deadline, struct fault *fault)
{
    millis until = clock_in(CLUSTER_LEASE_MS + JOIN_RETRY_MS);
    for (;;) {
        result r = lease_acquire(c->engine, c->lease, view_of(c->owner), CLUSTER_LEASE_MS, deadline, fault);
        if (r == OK) c->has_lease = true;
        if (r != BUSY) return r;
        if (!millis_before(clock_now(), until))
            return fail(fault, BUSY, "a node " VIEW_FMT " is alive in this cluster: give each a name of its own (server.node)", VIEW_ARG(c->self.name));
        r = coroutine_sleep(JOIN_RETRY_MS);
        if (r != OK) return r;
    }
}

static MAY_YIELD result begin(struct cluster *c, millis deadline, struct fault *fault)
{
    result r = take_name(c, deadline, fault);
    if (r == OK) r = write_row(c, deadline, fault);
    if (r == OK) r = hear_level(c, deadline, fault);
    if (r == OK) r = hear_drain(c, deadline, fault);
    return r == OK && c->drains ? write_row(c, deadline, fault) : r;
}

static MAY_YIELD void end(struct cluster *c)
{
    millis deadline = clock_in(LEAVE_TIMEOUT_MS);
    struct fault fault;
    if (c->has_lease) {
        (void)!cluster_row_write(c->engine, TABLE_NODES, c->self.name, NULL, NULL, deadline, &fault);
        (void)!lease_release(c->engine, c->lease, view_of(c->owner), deadline, &fault);
    }
    arena_free(c->texts);
    free(c);
}

result cluster_join(struct engine *e, const struct cluster_options *o, millis deadline, struct cluster **ret_cluster, struct fault *fault)
{
    if (o->name.len == 0 || o->name.len > CLUSTER_NAME_BYTES_MAX) return fail(fault, INVALID, "node name of %zu bytes", o->name.len);
    struct cluster *c = calloc(1, sizeof *c);
    check(c != NULL);
    *c = (struct cluster){.engine = e, .options = *o, .texts = arena_new(NULL, TEXTS_BYTES_MAX)};
    waitlist_init(&c->looks);
    id_text(o->id, c->owner);
    c->lease = arena_printf(c->texts, "node/" VIEW_FMT, VIEW_ARG(o->name));
    c->self = (struct cluster_node){
        .name = arena_keep(c->texts, o->name),
        .version = arena_keep(c->texts, o->version),
        .roles = arena_keep(c->texts, o->roles),
        .addresses = arena_keep(c->texts, o->addresses),
        .id = o->id,
        .level_max = o->level_max ? o->level_max : FEATURE_LEVEL_MAX,
        .started = clock_wall(),
    };
    result r = begin(c, deadline, fault);
    if (r != OK) {
        end(c);
        return r;
    }
    scope_init(&c->scope, NULL);
    coroutine_spawn(&c->scope, "cluster member", run_member, c);
    *ret_cluster = c;
    return OK;
}

void cluster_leave(struct cluster *c)
{
    if (!c) return;
    scope_done(&c->scope);
    end(c);
}
