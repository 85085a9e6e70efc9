/* What tables in a cluster promise beyond the contract, and the layout. */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "engine/rados/rados_private.h"
#include "engine/rados/rados_test.h"

struct tables_test {
    struct engine_rados_options options;
    struct engine *engine;
    void (*run)(struct tables_test *t);
};

static millis soon(void) { return clock_in(30000); }

static void run_one(void *argument)
{
    colour_pretend_coroutine();
    struct tables_test *t = argument;
    t->engine = test_open(&t->options);
    t->run(t);
    engine_close(t->engine);
}

static void run_test(void (*run)(struct tables_test *t))
{
    char name[RADOS_TEST_NAME_BYTES];
    struct tables_test t = {.options = test_store(name), .run = run};
    test_run(run_one, &t);
}

/* ---- conditions --------------------------------------------------------------------------------------------------- */

MAY_YIELD static result batch(struct tables_test *t, uint32_t shard, const struct table_change *changes, size_t count, size_t *ret_failed)
{
    return table_batch(t->engine, VIEW("things"), shard, changes, count, soon(), ret_failed, NULL);
}

static void judges(struct tables_test *t)
{
    colour_pretend_coroutine();
    view empty = VIEW_EMPTY, a = VIEW("\0a\1"), b = VIEW("b");
    size_t failed = 99;
    /* On a shard that has never had a row, with and without changes. */
    struct table_change changes[] = {
        {.key = b, .what = TABLE_CHECK_ONLY, .condition = TABLE_IF_ABSENT},
        {.key = a, .value = b, .condition = TABLE_IF_VALUE, .expected = empty},
    };
    EXPECT(batch(t, 0, changes, 2, &failed) == CONFLICT);
    EXPECT_NUMBER(failed, 1);
    EXPECT(batch(t, 0, changes, 1, NULL) == OK);
    changes[1].condition = TABLE_IF_PRESENT;
    EXPECT(batch(t, 0, changes, 2, NULL) == CONFLICT);
    EXPECT(batch(t, 0, &(struct table_change){.key = a, .what = TABLE_REMOVE}, 1, NULL) == OK);
    /* A row with an empty value is present; none is not, also when it has just gone, and whatever was before it. */
    EXPECT(batch(t, 0, &(struct table_change){.key = a, .value = empty, .condition = TABLE_IF_ABSENT}, 1, NULL) == OK);
    EXPECT(batch(t, 0, &(struct table_change){.key = a, .value = empty, .condition = TABLE_IF_ABSENT}, 1, NULL) == CONFLICT);
    EXPECT(batch(t, 0, &(struct table_change){.key = a, .value = empty, .condition = TABLE_IF_VALUE, .expected = VIEW("\0")}, 1, NULL) == CONFLICT);
    EXPECT(batch(t, 0, &(struct table_change){.key = a, .value = empty, .condition = TABLE_IF_VALUE, .expected = empty}, 1, NULL) == OK);
    EXPECT(batch(t, 0, &(struct table_change){.key = a, .what = TABLE_CHECK_ONLY, .condition = TABLE_IF_PRESENT}, 1, NULL) == OK);
    EXPECT(batch(t, 0, &(struct table_change){.key = a, .what = TABLE_REMOVE, .condition = TABLE_IF_PRESENT}, 1, NULL) == OK);
    EXPECT(batch(t, 0, &(struct table_change){.key = a, .what = TABLE_CHECK_ONLY, .condition = TABLE_IF_PRESENT}, 1, NULL) == CONFLICT);
    EXPECT(batch(t, 0, &(struct table_change){.key = a, .what = TABLE_REMOVE, .condition = TABLE_IF_PRESENT}, 1, NULL) == CONFLICT);
    /* Conditions see what was before the batch, changes happen in their order. */
    struct table_change both[] = {{.key = b, .value = VIEW("1")}, {.key = b, .value = VIEW("2"), .condition = TABLE_IF_ABSENT}, {.key = a, .value = VIEW("3")},
                                  {.key = a, .what = TABLE_REMOVE}};
    EXPECT(batch(t, 0, both, 4, NULL) == OK);
    CLEANUP(arena_freep) struct arena *arena = arena_new(NULL, 1 << 20);
    view got;
    EXPECT(table_get(t->engine, VIEW("things"), 0, b, soon(), arena, &got, NULL) == OK && view_equal(got, VIEW("2")));
    EXPECT(table_get(t->engine, VIEW("things"), 0, a, soon(), arena, &got, NULL) == NOT_FOUND);
}

TEST(rados_tables_judge_conditions_right) { run_test(judges); }

/* ---- long scans, large rows --------------------------------------------------------------------------------------- */

MAY_YIELD static void put_many(struct tables_test *t, struct arena *arena, unsigned first, unsigned count)
{
    struct table_change *changes = arena_array(arena, struct table_change, count);
    for (unsigned i = 0; i < count; i++) {
        char *key = arena_alloc(arena, 16);
        snprintf(key, 16, "k %c %05u", 0, first + i);
        changes[i] = (struct table_change){.key = view_make(key, 9), .value = view_make(key, 9)};
    }
    EXPECT(batch(t, 2, changes, count, NULL) == OK);
}

static void scans(struct tables_test *t)
{
    colour_pretend_coroutine();
    enum { ROWS = 2500 };
    CLEANUP(arena_freep) struct arena *arena = arena_new(NULL, 64 << 20);
    struct table_row *rows;
    size_t count;
    for (unsigned first = 0; first < ROWS; first += 500) put_many(t, arena, first, 500);
    EXPECT(batch(t, 2, &(struct table_change){.key = VIEW("j"), .value = VIEW("before")}, 1, NULL) == OK);
    EXPECT(batch(t, 2, &(struct table_change){.key = VIEW("l"), .value = VIEW("behind")}, 1, NULL) == OK);
    REQUIRE(table_scan(t->engine, VIEW("things"), 2, VIEW("k \0"), VIEW_EMPTY, 10000, soon(), arena, &rows, &count, NULL) == OK);
    REQUIRE(count == ROWS);
    for (size_t i = 1; i < count; i++) EXPECT(view_compare(rows[i - 1].key, rows[i].key) < 0);
    /* `after` below, within and above the prefix. */
    view nine = rows[9].key;
    EXPECT(table_scan(t->engine, VIEW("things"), 2, VIEW("k"), VIEW("a\0"), 10, soon(), arena, &rows, &count, NULL) == OK && count == 10);
    EXPECT(view_equal(rows[9].key, nine));
    EXPECT(table_scan(t->engine, VIEW("things"), 2, VIEW("k"), nine, 10000, soon(), arena, &rows, &count, NULL) == OK);
    EXPECT_NUMBER(count, ROWS - 10);
    EXPECT(table_scan(t->engine, VIEW("things"), 2, VIEW("k"), VIEW("kz"), 10, soon(), arena, &rows, &count, NULL) == OK);
    EXPECT_NUMBER(count, 0);
    EXPECT(table_scan(t->engine, VIEW("things"), 2, VIEW_EMPTY, VIEW("kz"), 10, soon(), arena, &rows, &count, NULL) == OK);
    EXPECT_NUMBER(count, 1);
    EXPECT(table_scan(t->engine, VIEW("things"), 2, VIEW_EMPTY, VIEW_EMPTY, 0, soon(), arena, &rows, &count, NULL) == OK);
    EXPECT_NUMBER(count, 0);
}

TEST_SLOW(rados_tables_are_scanned_over_many_pages, 60) { run_test(scans); }

static void keeps_large_rows(struct tables_test *t)
{
    colour_pretend_coroutine();
    enum { ROWS = 30 };
    CLEANUP(arena_freep) struct arena *arena = arena_new(NULL, 128 << 20);
    char *value = arena_alloc(arena, ENGINE_VALUE_MAX_BYTES);
    struct table_change changes[ROWS];
    struct table_row *rows;
    size_t count;
    memset(value, 'v', ENGINE_VALUE_MAX_BYTES);
    for (unsigned i = 0; i < ROWS; i++)
        changes[i] = (struct table_change){.key = arena_printf(arena, "row %02u", i), .value = view_make(value, ENGINE_VALUE_MAX_BYTES)};
    EXPECT(batch(t, 1, changes, ROWS, NULL) == OK);
    EXPECT(table_scan(t->engine, VIEW("things"), 1, VIEW_EMPTY, VIEW_EMPTY, 1000, soon(), arena, &rows, &count, NULL) == OK);
    EXPECT_NUMBER(count, ROWS);
    CLEANUP(arena_freep) struct arena *small = arena_new(NULL, 4 << 20);
    EXPECT(table_scan(t->engine, VIEW("things"), 1, VIEW_EMPTY, VIEW_EMPTY, 1000, soon(), small, &rows, &count, NULL) == TOO_BIG);
}

TEST_SLOW(rados_tables_keep_large_rows, 60) { run_test(keeps_large_rows); }

/* ---- the layout ----------------------------------------------------------------------------------------------------- */

static void has_a_layout(struct tables_test *t)
{
    colour_pretend_coroutine();
    struct client *c = rados_of(t->engine)->client;
    struct rados_layout layout;
    EXPECT(rados_layout_read(c, &layout, soon(), NULL) == OK);
    EXPECT_NUMBER(layout.table_shards, RADOS_DEFAULT_TABLE_SHARDS);
    EXPECT_NUMBER(table_shards(t->engine, VIEW("things")), RADOS_DEFAULT_TABLE_SHARDS);
    EXPECT(rados_layout_write(c, &(struct rados_layout){8, 8}, soon(), NULL) == EXISTS);
    EXPECT(rados_layout_write(c, &(struct rados_layout){1, 8}, soon(), NULL) == INVALID);
    struct engine_rados_options options = t->options;
    char other[RADOS_TEST_NAME_BYTES + 8];
    snprintf(other, sizeof other, "%s-other", options.name_space);
    options.name_space = other;
    REQUIRE(client_open(&options, &c, NULL) == OK);
    EXPECT(rados_layout_read(c, &layout, soon(), NULL) == NOT_FOUND);
    EXPECT(rados_layout_write(c, &(struct rados_layout){8, 16}, soon(), NULL) == OK);
    client_close(c);
    struct engine *e = test_open(&options);
    EXPECT_NUMBER(table_shards(e, VIEW("things")), 8);
    EXPECT_NUMBER(rados_of(e)->layout.index_shards, 16);
    engine_close(e);
}

TEST(rados_layout_is_of_whoever_made_the_store) { run_test(has_a_layout); }

TEST(rados_layout_of_another_version_is_refused)
{
    struct rados_layout layout;
    struct fault fault = {0};
    EXPECT(rados_layout_parse(VIEW("tayori rados engine 1\ntable-shards 5\nlater-thing x\nindex-shards 7\n"), &layout, NULL) == OK);
    EXPECT(layout.table_shards == 5 && layout.index_shards == 7);
    static const char *const bad[] = {"", "tayori rados engine 2\ntable-shards 5\nindex-shards 7\n", "tayori rados engine 1\ntable-shards 5\n",
                                      "tayori rados engine 1\ntable-shards 0\nindex-shards 7\n", "tayori rados engine 1\ntable-shards 99999\nindex-shards 7\n",
                                      "tayori rados engine 1\ntable-shards x\nindex-shards 7\n"};
    for (size_t i = 0; i < array_size(bad); i++) EXPECT(rados_layout_parse(view_of(bad[i]), &layout, &fault) == INVALID);
}
