/* row: the rows of the tables `nodes` and `cluster`, as JSON. Keys that a reader does not know are those of a newer node. */
#include <stdlib.h>

#include "base/check.h"
#include "cluster/private.h"
#include "runtime/clock.h"

void cluster_json_done(json_t **object)
{
    json_decref(*object);
    *object = NULL;
}

result cluster_row_read(struct engine *e, view table, view key, millis deadline, json_t **ret_row, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 4 * ENGINE_VALUE_MAX_BYTES);
    view text;
    result r = table_get(e, table, table_shard_of(e, table, key), key, deadline, arena, &text, fault);
    if (r != OK) return r;
    json_t *row = json_loadb(text.at, text.len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(row)) {
        json_decref(row);
        return fail(fault, CORRUPT, "table " VIEW_FMT ", row " VIEW_FMT " is not an object", VIEW_ARG(table), VIEW_ARG(key));
    }
    *ret_row = row;
    return OK;
}

result cluster_row_write(struct engine *e, view table, view key, const json_t *row, const view *expected, millis deadline, struct fault *fault)
{
    char *text = row ? json_dumps(row, JSON_COMPACT) : NULL;
    check(text || !row);
    struct table_change change = {.key = key, .what = row ? TABLE_PUT : TABLE_REMOVE, .value = row ? view_of(text) : VIEW_EMPTY};
    if (expected) {
        change.condition = expected->len ? TABLE_IF_VALUE : TABLE_IF_ABSENT;
        change.expected = *expected;
    }
    result r = table_batch(e, table, table_shard_of(e, table, key), &change, 1, deadline, NULL, fault);
    free(text);
    return r;
}

view cluster_json_text(const json_t *row, const char *key, struct arena *arena)
{
    const json_t *value = json_object_get(row, key);
    return json_is_string(value) ? arena_keep(arena, view_make(json_string_value(value), json_string_length(value))) : VIEW_EMPTY;
}

uint64_t cluster_json_number(const json_t *row, const char *key)
{
    json_int_t number = json_integer_value(json_object_get(row, key));
    return number > 0 ? (uint64_t)number : 0;
}

json_t *cluster_json_of(view text)
{
    json_t *value = json_stringn(text.len ? text.at : "", text.len);
    check(value != NULL);
    return value;
}

view cluster_drain_key(view node, struct arena *arena)
{
    return arena_printf(arena, "drain/" VIEW_FMT, VIEW_ARG(node));
}

static const char *const states[] = {[NODE_SERVING] = "serving", [NODE_DRAINING] = "draining", [NODE_DRAINED] = "drained"};

const char *cluster_state_name(const struct cluster_node *n)
{
    return n->is_gone ? "gone" : states[n->state];
}

result cluster_node_parse(view name, view json, struct arena *arena, struct cluster_node *ret_node, struct fault *fault)
{
    json_t *row CLEANUP(cluster_json_done) = json_loadb(json.at, json.len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *load = json_object_get(row, "load");
    struct cluster_node n = {
        .name = arena_keep(arena, name),
        .version = cluster_json_text(row, "version", arena),
        .roles = cluster_json_text(row, "roles", arena),
        .addresses = cluster_json_text(row, "addresses", arena),
        .level_max = (unsigned)cluster_json_number(row, "level"),
        .started = {(int64_t)cluster_json_number(row, "started")},
        .seen = {(int64_t)cluster_json_number(row, "seen")},
        .load = {cluster_json_number(load, "sessions"), cluster_json_number(load, "accounts"), cluster_json_number(load, "operations"),
                 cluster_json_number(load, "slow"), cluster_json_number(load, "pressure"), cluster_json_number(load, "leases")},
    };
    if (!json_is_object(row) || !id_parse(cluster_json_text(row, "id", arena), &n.id))
        return fail(fault, CORRUPT, "table nodes, row " VIEW_FMT " is not a node", VIEW_ARG(name));
    view state = cluster_json_text(row, "state", arena);
    for (unsigned i = 0; i < sizeof states / sizeof states[0]; i++)
        if (view_equal(state, view_of(states[i]))) n.state = i;
    n.is_gone = clock_wall().ms - n.seen.ms > CLUSTER_GONE_MS;
    *ret_node = n;
    return OK;
}

json_t *cluster_node_row(const struct cluster_node *n)
{
    char id[ID_TEXT_LEN + 1];
    json_t *row = json_pack("{s:i, s:o, s:o, s:i, s:o, s:o, s:I, s:I, s:s, s:{s:I, s:I, s:I, s:I, s:I, s:I}}", "v", 1, "id", cluster_json_of(id_text(n->id, id)),
                            "version", cluster_json_of(n->version), "level", (int)n->level_max, "roles", cluster_json_of(n->roles), "addresses",
                            cluster_json_of(n->addresses), "started", (json_int_t)n->started.ms, "seen", (json_int_t)n->seen.ms, "state", states[n->state],
                            "load", "sessions", (json_int_t)n->load.sessions, "accounts", (json_int_t)n->load.accounts, "operations",
                            (json_int_t)n->load.operations, "slow", (json_int_t)n->load.slow_operations, "pressure", (json_int_t)n->load.pressure, "leases",
                            (json_int_t)n->load.leases);
    check(row != NULL);
    return row;
}
