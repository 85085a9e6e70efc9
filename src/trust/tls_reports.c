#include "trust/tls_reports.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/map.h"
#include "formats/date.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/loop.h"

enum {
    FLUSH_MS = 10 * 60 * 1000,
    DOMAINS_MAX = 500,                   /* of one loop before it writes; what comes while it does is not counted */
    WRITE_MS = 30000,
    TRIES = 5,                           /* the row changed under our hands: another loop of this node */
    NODES_MAX = 100,                     /* rows of one domain and day */
    DAY_LEN = 10, DAY_MS = 24 * 3600 * 1000,
};
static const view table = VIEW_INIT("tls_report");

struct gathered {
    struct arena *arena;
    struct tls_report *report;
    buf group;                           /* "2026-02-01/example.org" */
};

struct reports_loop {
    struct tls_reports *all;
    struct map gathered;
    struct scope scope;
    struct waitlist wake;
    bool is_open;
};

struct tls_reports {
    struct engine *engine;
    struct loops *loops;
    view node_name;
    unsigned count;
    struct reports_loop of_loop[];
};

/* ---- gathering ---- */

static void append_day(buf *into, unix_ms at)
{
    size_t before = into->len;
    date_rfc3339_append(into, at);
    into->len = before + DAY_LEN;
}

view tls_reports_day(unix_ms at, struct arena *arena)
{
    buf day CLEANUP(buf_done) = BUF_INIT;
    append_day(&day, at);
    return arena_keep(arena, buf_view(&day));
}

static void gathered_free(struct gathered *g)
{
    arena_free(g->arena);
    buf_done(&g->group);
    free(g);
}

static struct gathered *gathered_new(view group)
{
    struct gathered *g = calloc(1, sizeof *g);
    check(g);
    g->arena = arena_new(NULL, TLS_REPORT_ARENA_BYTES);
    g->report = arena_new_struct(g->arena, struct tls_report);
    buf_append(&g->group, group);
    return g;
}

static void keep_writing(void *argument);

static struct reports_loop *loop_here(struct tls_reports *r)
{
    struct reports_loop *l = &r->of_loop[loop_index(loop_self())];
    if (l->is_open) return l;
    l->all = r;
    l->is_open = true;
    scope_init(&l->scope, NULL);
    waitlist_init(&l->wake);
    coroutine_spawn(&l->scope, "tls reports", keep_writing, l);
    return l;
}

static void gather(struct reports_loop *l, view group, const struct tls_report_policy *policy)
{
    struct gathered *g = map_get(&l->gathered, group);
    if (!g && l->gathered.count >= DOMAINS_MAX) {
        waitlist_wake_all(&l->wake);
        return;
    }
    if (!g) {
        g = gathered_new(group);
        map_put(&l->gathered, buf_view(&g->group), g);
    }
    (void)!tls_report_add(g->report, policy, g->arena);
}

void tls_reports_add(struct tls_reports *r, const struct tls_report_policy *policy)
{
    buf group CLEANUP(buf_done) = BUF_INIT;
    append_day(&group, clock_wall());
    buf_append_byte(&group, '/');
    for (size_t i = 0; i < policy->domain.len; i++) buf_append_byte(&group, ascii_lower(policy->domain.at[i]));
    gather(loop_here(r), buf_view(&group), policy);
}

/* ---- rows ---- */

static void add_all(struct tls_report *into, const struct tls_report *from, struct arena *arena)
{
    for (size_t i = 0; i < from->policy_count; i++) (void)!tls_report_add(into, &from->policies[i], arena);
}

static void set_day(struct tls_report *r, view group)
{
    char text[32] = "";
    memcpy(text, group.at, DAY_LEN);
    memcpy(text + DAY_LEN, "T00:00:00Z", sizeof "T00:00:00Z");
    (void)!date_rfc3339_parse(view_of(text), &r->begin);
    r->end = (unix_ms){r->begin.ms + DAY_MS - 1000};
}

/* Its rows are beside one another, in the shard of the group. */
static uint32_t shard_of(struct engine *e, view group) { return table_shard_of(e, table, group); }

MAY_YIELD static result write_once(struct tls_reports *r, const struct gathered *g, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 2 * TLS_REPORT_ARENA_BYTES);
    struct tls_report *sum = arena_new_struct(arena, struct tls_report), *before = arena_new_struct(arena, struct tls_report);
    buf text CLEANUP(buf_done) = BUF_INIT;
    view group = buf_view(&g->group), row = VIEW_EMPTY;
    const char *reason;
    struct table_change change = {.key = arena_printf(arena, VIEW_FMT "/" VIEW_FMT, VIEW_ARG(group), VIEW_ARG(r->node_name)), .what = TABLE_PUT, .condition = TABLE_IF_ABSENT};
    result code = table_get(r->engine, table, shard_of(r->engine, group), change.key, clock_in(WRITE_MS), arena, &row, fault);
    if (code != OK && code != NOT_FOUND) return code;
    if (code == OK) {
        change.condition = TABLE_IF_VALUE;
        change.expected = row;
        if (tls_report_parse(row, arena, before, &reason)) add_all(sum, before, arena);
    }
    add_all(sum, g->report, arena);
    set_day(sum, group);
    tls_report_write(&text, sum);
    if (text.len > ENGINE_VALUE_MAX_BYTES) return OK;
    change.value = buf_view(&text);
    return table_batch(r->engine, table, shard_of(r->engine, group), &change, 1, clock_in(WRITE_MS), NULL, fault);
}

MAY_YIELD static result write_gathered(struct tls_reports *r, const struct gathered *g)
{
    result code = CONFLICT;
    for (int i = 0; code == CONFLICT && i < TRIES; i++) code = write_once(r, g, NULL);
    return code;
}

/* What could not be written is gathered on, unless its outcome is unknown: a count too few is better than one too many. */
MAY_YIELD static void flush(struct reports_loop *l)
{
    struct map taken = l->gathered;
    size_t position = 0;
    l->gathered = MAP_INIT;
    for (struct map_slot *slot; (slot = map_next(&taken, &position));) {
        struct gathered *g = slot->value;
        result code = write_gathered(l->all, g);
        for (size_t i = 0; code != OK && code != UNKNOWN_OUTCOME && i < g->report->policy_count; i++) gather(l, buf_view(&g->group), &g->report->policies[i]);
        gathered_free(g);
    }
    map_done(&taken);
}

static void keep_writing(void *argument)
{
    colour_pretend_coroutine();
    struct reports_loop *l = argument;
    while (waitlist_wait(&l->wake, clock_in(FLUSH_MS)) != CANCELLED) flush(l);
}

/* ---- life ---- */

struct tls_reports *tls_reports_new(struct engine *e, struct loops *all, view node_name)
{
    struct tls_reports *r = calloc(1, sizeof *r + loops_count(all) * sizeof r->of_loop[0]);
    check(r);
    r->engine = e;
    r->loops = all;
    r->node_name = node_name;
    r->count = loops_count(all);
    return r;
}

static void flush_loop(void *argument)
{
    colour_pretend_coroutine();
    struct reports_loop *l = argument;
    if (l->is_open) flush(l);
}

static void end_loop(void *argument)
{
    colour_pretend_coroutine();
    struct reports_loop *l = argument;
    size_t position = 0;
    if (!l->is_open) return;
    scope_done(&l->scope);
    flush(l);
    for (struct map_slot *slot; (slot = map_next(&l->gathered, &position));) gathered_free(slot->value);
    map_done(&l->gathered);
}

void tls_reports_flush(struct tls_reports *r)
{
    for (unsigned i = 0; i < r->count; i++) loop_run_on(loops_at(r->loops, i), "tls reports", flush_loop, &r->of_loop[i]);
}

void tls_reports_free(struct tls_reports *r)
{
    if (!r) return;
    for (unsigned i = 0; i < r->count; i++) loop_run_on(loops_at(r->loops, i), "tls reports end", end_loop, &r->of_loop[i]);
    free(r);
}

/* ---- reading ---- */

/* "2026-02-01/example.org/node": false when it is none. */
static bool split_key(view key, struct tls_reports_group *g, size_t *ret_group_len)
{
    size_t end = key.len > DAY_LEN ? view_find(view_from(key, DAY_LEN + 1), '/') : VIEW_NONE;
    if (end == VIEW_NONE || key.at[DAY_LEN] != '/') return false;
    g->day = view_slice(key, 0, DAY_LEN);
    g->domain = view_slice(key, DAY_LEN + 1, end);
    *ret_group_len = DAY_LEN + 1 + end;
    return true;
}

static void remember(struct tls_reports_place *place, view key)
{
    place->after_len = key.len < sizeof place->after ? key.len : sizeof place->after;
    memcpy(place->after, key.at, place->after_len);
}

MAY_YIELD static result read_group(struct engine *e, view group, struct tls_reports_group *g, millis deadline, struct arena *arena, struct fault *fault)
{
    struct table_row *rows;
    const char *reason;
    size_t count;
    result code = table_scan(e, table, g->shard, arena_printf(arena, VIEW_FMT "/", VIEW_ARG(group)), VIEW_EMPTY, NODES_MAX, deadline, arena, &rows, &count, fault);
    if (code != OK && code != NOT_FOUND) return code;
    g->keys = arena_array(arena, view, count + 1);
    g->report = arena_new_struct(arena, struct tls_report);
    set_day(g->report, group);
    for (size_t i = 0; i < count; i++) {
        struct arena *one CLEANUP(arena_freep) = arena_new(NULL, TLS_REPORT_ARENA_BYTES);
        struct tls_report *part = arena_new_struct(one, struct tls_report);
        g->keys[g->key_count++] = rows[i].key;
        if (tls_report_parse(rows[i].value, one, part, &reason)) add_all(g->report, part, arena);
    }
    return OK;
}

result tls_reports_next(struct engine *e, struct tls_reports_place *place, millis deadline, struct arena *arena, struct tls_reports_group *ret_group,
                        struct fault *fault)
{
    for (; place->shard < table_shards(e, table); place->shard++, place->after_len = 0) {
        struct tls_reports_group g = {.shard = place->shard};
        struct table_row *rows;
        size_t count = 0, group_len = 0;
        result code = table_scan(e, table, place->shard, VIEW_EMPTY, view_make(place->after, place->after_len), 1, deadline, arena, &rows, &count, fault);
        if (code != OK && code != NOT_FOUND) return code;
        if (count == 0) continue;
        remember(place, rows[0].key);
        if (!split_key(rows[0].key, &g, &group_len)) return fail(fault, CORRUPT, "a row of TLS reports without a day");
        code = read_group(e, view_slice(rows[0].key, 0, group_len), &g, deadline, arena, fault);
        if (code != OK) return code;
        if (g.key_count) remember(place, g.keys[g.key_count - 1]);
        *ret_group = g;
        return OK;
    }
    return END;
}

result tls_reports_remove(struct engine *e, const struct tls_reports_group *g, millis deadline, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 64 << 10);
    struct table_change *changes = arena_array(arena, struct table_change, NODES_MAX);
    for (size_t i = 0; i < g->key_count; i++) changes[i] = (struct table_change){.key = g->keys[i], .what = TABLE_REMOVE};
    return g->key_count ? table_batch(e, table, g->shard, changes, g->key_count, deadline, NULL, fault) : OK;
}
