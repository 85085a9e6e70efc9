/* orders: what nodes agree on: the list of them, the feature level, who is to drain. */
#include <stdlib.h>

#include "cluster/private.h"
#include "runtime/clock.h"

/* ---- the list ---- */

static int by_name(const void *a, const void *b)
{
    return view_compare(((const struct cluster_node *)a)->name, ((const struct cluster_node *)b)->name);
}

result cluster_nodes(struct engine *e, millis deadline, struct arena *arena, struct cluster_node **ret_nodes, size_t *ret_count, struct fault *fault)
{
    enum { PAGE = 500 };
    struct cluster_node *nodes = arena_array(arena, struct cluster_node, CLUSTER_NODES_MAX);
    size_t count = 0;
    for (uint32_t shard = 0; shard < table_shards(e, TABLE_NODES); shard++) {
        view after = VIEW_EMPTY;
        for (size_t got = PAGE; got == PAGE;) {
            struct table_row *rows;
            result r = table_scan(e, TABLE_NODES, shard, VIEW_EMPTY, after, PAGE, deadline, arena, &rows, &got, fault);
            if (r != OK) return r;
            for (size_t i = 0; i < got && count < CLUSTER_NODES_MAX; i++)
                if (cluster_node_parse(rows[i].key, rows[i].value, arena, &nodes[count], fault) == OK) count++;
            if (got) after = rows[got - 1].key;
        }
    }
    qsort(nodes, count, sizeof *nodes, by_name);
    *ret_nodes = nodes;
    *ret_count = count;
    return OK;
}

/* ---- the feature level ---- */

static struct cluster_level level_of(const json_t *row)
{
    struct cluster_level l = {.level = (unsigned)cluster_json_number(row, "level"), .written_from = {(int64_t)cluster_json_number(row, "from")}};
    unsigned before = (unsigned)cluster_json_number(row, "before");
    if (l.level < FEATURE_LEVEL_FIRST) l.level = FEATURE_LEVEL_FIRST;
    if (before < FEATURE_LEVEL_FIRST) before = FEATURE_LEVEL_FIRST;
    l.written_level = clock_wall().ms >= l.written_from.ms ? l.level : before;
    return l;
}

static json_t *level_row(unsigned level, unsigned before, unix_ms from)
{
    return json_pack("{s:i, s:i, s:i, s:I}", "v", 1, "level", (int)level, "before", (int)before, "from", (json_int_t)from.ms);
}

result cluster_read_level(struct engine *e, millis deadline, struct cluster_level *ret_level, struct fault *fault)
{
    json_t *row CLEANUP(cluster_json_done) = NULL;
    result r = cluster_row_read(e, TABLE_CLUSTER, KEY_LEVEL, deadline, &row, fault);
    if (r != OK && r != NOT_FOUND) return r;
    *ret_level = level_of(row);
    return OK;
}

result cluster_open_level(struct engine *e, bool is_new, millis deadline, struct cluster_level *ret_level, struct fault *fault)
{
    static const view absent = {0};
    unsigned first = is_new ? FEATURE_LEVEL_MAX : FEATURE_LEVEL_FIRST;
    struct cluster_level level;
    json_t *row CLEANUP(cluster_json_done) = NULL;
    result r = cluster_row_read(e, TABLE_CLUSTER, KEY_LEVEL, deadline, &row, fault);
    if (r == NOT_FOUND) {
        row = level_row(first, first, (unix_ms){0});
        r = cluster_row_write(e, TABLE_CLUSTER, KEY_LEVEL, row, &absent, deadline, fault);
        if (r == CONFLICT) return cluster_open_level(e, is_new, deadline, ret_level, fault);     /* another node was faster; it is there now */
    }
    if (r != OK) return r;
    level = level_of(row);
    if (level.level > FEATURE_LEVEL_MAX)
        return fail(fault, INVALID, "the store's feature level is %u and this program understands up to %u: start a newer version of it", level.level, FEATURE_LEVEL_MAX);
    *ret_level = level;
    return OK;
}

static result check_nodes(const struct cluster_node *nodes, size_t count, unsigned level, struct fault *fault)
{
    for (size_t i = 0; i < count; i++) {
        const struct cluster_node *n = &nodes[i];
        if (n->level_max >= level) continue;
        return fail(fault, BUSY, "node " VIEW_FMT " (version " VIEW_FMT ", %s) understands up to level %u: upgrade it, or tayori cluster forget it when it is gone for good",
                    VIEW_ARG(n->name), VIEW_ARG(n->version), cluster_state_name(n), n->level_max);
    }
    return OK;
}

result cluster_raise_level(struct engine *e, unsigned level, millis deadline, unsigned *ret_level, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 64 << 20);
    struct cluster_node *nodes;
    size_t count;
    view text, key = KEY_LEVEL;
    if (level == 0) level = FEATURE_LEVEL_MAX;
    if (level > FEATURE_LEVEL_MAX) return fail(fault, INVALID, "this program understands up to level %u", FEATURE_LEVEL_MAX);
    result r = table_get(e, TABLE_CLUSTER, table_shard_of(e, TABLE_CLUSTER, key), key, deadline, arena, &text, fault);
    if (r == NOT_FOUND) text = VIEW_EMPTY;
    else if (r != OK) return r;
    json_t *old CLEANUP(cluster_json_done) = json_loadb(text.at, text.len, 0, NULL);
    struct cluster_level now = level_of(old);
    if (now.level == level) return fail(fault, EXISTS, "the feature level is %u already", level);
    if (now.level > level) return fail(fault, INVALID, "the feature level is %u: levels only rise", now.level);
    r = cluster_nodes(e, deadline, arena, &nodes, &count, fault);
    if (r == OK) r = check_nodes(nodes, count, level, fault);
    if (r != OK) return r;
    json_t *row CLEANUP(cluster_json_done) = level_row(level, now.written_level, (unix_ms){clock_wall().ms + CLUSTER_LEVEL_WAIT_MS});
    r = cluster_row_write(e, TABLE_CLUSTER, KEY_LEVEL, row, &text, deadline, fault);
    if (r == CONFLICT) return fail(fault, BUSY, "somebody else raises the feature level at this moment");
    if (r == OK) *ret_level = level;
    return r;
}

/* ---- orders to one node ---- */

static MAY_YIELD result find_node(struct engine *e, view name, millis deadline, struct arena *arena, struct cluster_node *ret_node, struct fault *fault)
{
    view text;
    if (name.len == 0 || name.len > CLUSTER_NAME_BYTES_MAX) return fail(fault, INVALID, "expected the name of a node");
    result r = table_get(e, TABLE_NODES, table_shard_of(e, TABLE_NODES, name), name, deadline, arena, &text, fault);
    if (r == NOT_FOUND) return fail(fault, NOT_FOUND, "no node " VIEW_FMT "; tayori cluster status lists all", VIEW_ARG(name));
    if (r != OK) return r;
    return cluster_node_parse(name, text, arena, ret_node, fault);
}

result cluster_drain(struct engine *e, view node, int64_t over_ms, millis deadline, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 4 * ENGINE_VALUE_MAX_BYTES);
    struct cluster_node found;
    result r = find_node(e, node, deadline, arena, &found, fault);
    if (r != OK) return r;
    json_t *row CLEANUP(cluster_json_done) = json_pack("{s:i, s:I, s:I}", "v", 1, "since", (json_int_t)clock_wall().ms, "over", (json_int_t)over_ms);
    return cluster_row_write(e, TABLE_CLUSTER, cluster_drain_key(node, arena), row, NULL, deadline, fault);
}

result cluster_undrain(struct engine *e, view node, millis deadline, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 4 * ENGINE_VALUE_MAX_BYTES);
    json_t *row CLEANUP(cluster_json_done) = NULL;
    if (node.len == 0 || node.len > CLUSTER_NAME_BYTES_MAX) return fail(fault, INVALID, "expected the name of a node");
    result r = cluster_row_read(e, TABLE_CLUSTER, cluster_drain_key(node, arena), deadline, &row, fault);
    if (r == NOT_FOUND) return fail(fault, NOT_FOUND, "node " VIEW_FMT " is not drained", VIEW_ARG(node));
    if (r != OK) return r;
    return cluster_row_write(e, TABLE_CLUSTER, cluster_drain_key(node, arena), NULL, NULL, deadline, fault);
}

result cluster_forget(struct engine *e, view node, millis deadline, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 4 * ENGINE_VALUE_MAX_BYTES);
    struct cluster_node found;
    result r = find_node(e, node, deadline, arena, &found, fault);
    if (r == OK && !found.is_gone) r = fail(fault, BUSY, "node " VIEW_FMT " is alive", VIEW_ARG(node));
    if (r != OK) return r;
    return cluster_row_write(e, TABLE_NODES, node, NULL, NULL, deadline, fault);
}
