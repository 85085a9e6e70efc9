/* command_cluster: the nodes of the cluster, and what they are told. */
#include <string.h>

#include "base/check.h"
#include "cluster/cluster.h"
#include "engine/rados_cluster.h"
#include "main/command.h"
#include "main/node.h"
#include "runtime/workers.h"

/* ---- status ---- */

static MAY_YIELD result show_node(struct command_call *call, const struct cluster_node *n)
{
    json_t *row = json_pack("{s:s, s:s%, s:s, s:s%, s:i, s:s%, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s%}", "kind", "node", "node", n->name.at, n->name.len, "state",
                            cluster_state_name(n), "version", n->version.at, n->version.len, "level", (int)n->level_max, "roles", n->roles.at, n->roles.len,
                            "sessions", (json_int_t)n->load.sessions, "accounts", (json_int_t)n->load.accounts, "operations", (json_int_t)n->load.operations,
                            "slow", (json_int_t)n->load.slow_operations, "pressure", (json_int_t)n->load.pressure, "leases", (json_int_t)n->load.leases, "started",
                            (json_int_t)n->started.ms, "seen", (json_int_t)n->seen.ms, "note", n->addresses.len ? n->addresses.at : "", n->addresses.len);
    check(row != NULL);
    return command_row(call, row);
}

struct health_job {
    struct engine_rados_options options;
    struct arena *arena;
    struct rados_health health;
    result code;
    struct fault fault;
};

BLOCKS static void run_health(void *argument)
{
    struct health_job *job = argument;
    job->code = rados_cluster_health(&job->options, job->arena, &job->health, &job->fault);
}

static view describe_health(const struct health_job *job, const struct cluster_level *level, struct arena *arena)
{
    const struct rados_health *h = &job->health;
    view text = arena_printf(arena, "%u of %u OSDs up", h->osds_up, h->osds);
    if (h->total_bytes)
        text = arena_printf(arena, VIEW_FMT ", %u %% full (writes end at %u %%)", VIEW_ARG(text), (unsigned)(h->used_bytes * 100 / h->total_bytes), h->full_percent);
    for (size_t i = 0; i < h->check_count; i++) text = arena_printf(arena, VIEW_FMT "; %s", VIEW_ARG(text), h->checks[i]);
    return text;
}

/* The cluster beneath, as one row. What cannot be asked is said, and the nodes are shown all the same. */
static MAY_YIELD result show_cluster(struct command_call *call, const struct cluster_level *level)
{
    struct health_job job = {.arena = call->arena};
    service_rados_options(call->service->config, &job.options);
    bool has_cluster = strcmp(engine_kind(call->service->engine), "rados") == 0;
    result r = has_cluster ? worker_run(WORKER_SLOW, run_health, &job) : OK;
    if (r == OK) r = job.code;
    const char *state = !has_cluster ? "one machine" : r == OK ? job.health.status : "unknown";
    view note = !has_cluster ? VIEW_EMPTY : r == OK ? describe_health(&job, level, call->arena) : view_of(job.fault.detail);
    if (level->written_level != level->level) note = arena_printf(call->arena, "written at level %u for some seconds yet; " VIEW_FMT, level->written_level, VIEW_ARG(note));
    json_t *row = json_pack("{s:s, s:s, s:s, s:i, s:s%}", "kind", "cluster", "node", "(cluster)", "state", state, "level", (int)level->level, "note",
                            note.len ? note.at : "", note.len);
    check(row != NULL);
    json_object_set_new(row, "written_level", json_integer(level->written_level));
    if (has_cluster && r == OK) {
        json_object_set_new(row, "osds", json_integer(job.health.osds));
        json_object_set_new(row, "osds_up", json_integer(job.health.osds_up));
        json_object_set_new(row, "used_bytes", json_integer((json_int_t)job.health.used_bytes));
        json_object_set_new(row, "total_bytes", json_integer((json_int_t)job.health.total_bytes));
        json_t *checks = json_array();
        for (size_t i = 0; i < job.health.check_count; i++) json_array_append_new(checks, json_string(job.health.checks[i]));
        json_object_set_new(row, "health", checks);
    }
    return command_row(call, row);
}

result command_cluster_status(struct command_call *call, struct fault *fault)
{
    struct cluster_node *nodes;
    size_t count;
    struct cluster_level level;
    result r = cluster_read_level(call->service->engine, command_deadline(), &level, fault);
    if (r == OK) r = cluster_nodes(call->service->engine, command_deadline(), call->arena, &nodes, &count, fault);
    if (r == OK) r = show_cluster(call, &level);
    for (size_t i = 0; r == OK && i < count; i++) r = show_node(call, &nodes[i]);
    return r;
}

/* ---- orders ---- */

/* This node, if it is the one, hears of it at once; others within their refresh. */
static result ordered(struct command_call *call, result r)
{
    if (r == OK) node_look(call->service->node);
    return r;
}

result command_cluster_drain(struct command_call *call, struct fault *fault)
{
    int64_t over_ms = command_has(call, "over") ? (int64_t)command_number(call, "over") * 1000 : -1;
    return ordered(call, cluster_drain(call->service->engine, command_text(call, "node"), over_ms, command_deadline(), fault));
}

result command_cluster_undrain(struct command_call *call, struct fault *fault)
{
    return ordered(call, cluster_undrain(call->service->engine, command_text(call, "node"), command_deadline(), fault));
}

result command_cluster_forget(struct command_call *call, struct fault *fault)
{
    return cluster_forget(call->service->engine, command_text(call, "node"), command_deadline(), fault);
}

result command_cluster_level(struct command_call *call, struct fault *fault)
{
    struct cluster_level level;
    unsigned raised;
    view action = command_text(call, "action");
    if (action.len && !view_equal(action, VIEW("raise"))) return fail(fault, INVALID, "\"" VIEW_FMT "\": expected raise, or nothing to show the level", VIEW_ARG(action));
    result r = OK;
    if (action.len) r = ordered(call, cluster_raise_level(call->service->engine, (unsigned)command_number(call, "to"), command_deadline(), &raised, fault));
    if (r == OK) r = cluster_read_level(call->service->engine, command_deadline(), &level, fault);
    if (r != OK) return r;
    json_t *row = json_pack("{s:i, s:i, s:i}", "level", (int)level.level, "written", (int)level.written_level, "program", (int)FEATURE_LEVEL_MAX);
    if (level.written_level != level.level) json_object_set_new(row, "written_from", json_integer((json_int_t)level.written_from.ms));
    return command_row(call, row);
}
