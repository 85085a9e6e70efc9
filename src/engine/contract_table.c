/* The contract of tables. */
#include <stdio.h>
#include <string.h>

#include "base/test.h"
#include "engine/contract.h"

enum { ARENA_BYTES = 64 << 20 };

#define WITH_ARENA struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ARENA_BYTES)

MAY_YIELD static result change(struct contract *c, uint32_t shard, struct table_change change)
{
    return table_batch(c->engine, VIEW("things"), shard, &change, 1, contract_soon(), NULL, NULL);
}

MAY_YIELD static result put(struct contract *c, uint32_t shard, view key, view value)
{
    return change(c, shard, (struct table_change){.key = key, .value = value});
}

MAY_YIELD static bool has(struct contract *c, uint32_t shard, view key, view value)
{
    WITH_ARENA;
    view got;
    return table_get(c->engine, VIEW("things"), shard, key, contract_soon(), arena, &got, NULL) == OK && view_equal(got, value);
}

MAY_YIELD static bool lacks(struct contract *c, uint32_t shard, view key)
{
    WITH_ARENA;
    view got;
    return table_get(c->engine, VIEW("things"), shard, key, contract_soon(), arena, &got, NULL) == NOT_FOUND;
}

void contract_table_rows_are_put_got_and_removed(struct contract *c)
{
    EXPECT(lacks(c, 0, VIEW("key")));
    EXPECT(put(c, 0, VIEW("key"), VIEW("value")) == OK);
    EXPECT(has(c, 0, VIEW("key"), VIEW("value")));
    EXPECT(put(c, 0, VIEW("key"), VIEW("v\0lue")) == OK);
    EXPECT(has(c, 0, VIEW("key"), VIEW("v\0lue")));
    EXPECT(put(c, 0, VIEW("k\0y"), VIEW_EMPTY) == OK);
    EXPECT(has(c, 0, VIEW("k\0y"), VIEW_EMPTY));
    EXPECT(lacks(c, 0, VIEW("k")));
    EXPECT(lacks(c, 0, VIEW("keys")));
    EXPECT(change(c, 0, (struct table_change){.key = VIEW("key"), .what = TABLE_REMOVE}) == OK);
    EXPECT(lacks(c, 0, VIEW("key")));
    EXPECT(change(c, 0, (struct table_change){.key = VIEW("key"), .what = TABLE_REMOVE}) == OK);
    WITH_ARENA;
    view got;
    EXPECT(table_get(c->engine, VIEW("others"), 0, VIEW("k\0y"), contract_soon(), arena, &got, NULL) == NOT_FOUND);
}

void contract_table_conditions_hold_or_nothing_is_done(struct contract *c)
{
    view a = VIEW("a"), b = VIEW("b"), one = VIEW("1"), two = VIEW("2");
    EXPECT(change(c, 1, (struct table_change){.key = a, .value = one, .condition = TABLE_IF_PRESENT}) == CONFLICT);
    EXPECT(change(c, 1, (struct table_change){.key = a, .value = one, .condition = TABLE_IF_VALUE, .expected = VIEW_EMPTY}) == CONFLICT);
    EXPECT(change(c, 1, (struct table_change){.key = a, .value = one, .condition = TABLE_IF_ABSENT}) == OK);
    EXPECT(change(c, 1, (struct table_change){.key = a, .value = two, .condition = TABLE_IF_ABSENT}) == CONFLICT);
    EXPECT(change(c, 1, (struct table_change){.key = a, .value = two, .condition = TABLE_IF_VALUE, .expected = two}) == CONFLICT);
    EXPECT(has(c, 1, a, one));
    EXPECT(change(c, 1, (struct table_change){.key = a, .value = two, .condition = TABLE_IF_VALUE, .expected = one}) == OK);
    EXPECT(has(c, 1, a, two));
    EXPECT(change(c, 1, (struct table_change){.key = a, .what = TABLE_REMOVE, .condition = TABLE_IF_VALUE, .expected = one}) == CONFLICT);

    struct table_change batch[] = {
        {.key = b, .value = one},
        {.key = a, .what = TABLE_REMOVE},
        {.key = a, .what = TABLE_CHECK_ONLY, .condition = TABLE_IF_VALUE, .expected = one},
    };
    size_t failed = 99;
    EXPECT(table_batch(c->engine, VIEW("things"), 1, batch, 3, contract_soon(), &failed, NULL) == CONFLICT);
    EXPECT_NUMBER(failed, 2);
    EXPECT(lacks(c, 1, b));
    EXPECT(has(c, 1, a, two));
    batch[2].expected = two;
    EXPECT(table_batch(c->engine, VIEW("things"), 1, batch, 3, contract_soon(), &failed, NULL) == OK);
    EXPECT(has(c, 1, b, one));
    EXPECT(lacks(c, 1, a));
    EXPECT(table_batch(c->engine, VIEW("things"), 1, NULL, 0, contract_soon(), &failed, NULL) == OK);
    EXPECT(change(c, 1, (struct table_change){.key = b, .what = TABLE_CHECK_ONLY, .condition = TABLE_IF_PRESENT}) == OK);
    EXPECT(has(c, 1, b, one));
}

void contract_table_scan_is_in_order_of_bytes(struct contract *c)
{
    WITH_ARENA;
    static const view keys[] = {VIEW_INIT("a"), VIEW_INIT("a\0"), VIEW_INIT("a\0b"), VIEW_INIT("aa"), VIEW_INIT("ab"), VIEW_INIT("a\x80"),
                                VIEW_INIT("a\xff"), VIEW_INIT("a\xff\xff"), VIEW_INIT("b")};
    enum { KEYS = sizeof keys / sizeof keys[0] };
    struct table_row *rows;
    size_t count;
    for (size_t i = 0; i < KEYS; i++) EXPECT(put(c, 2, keys[(i * 4) % KEYS], keys[(i * 4) % KEYS]) == OK);
    REQUIRE(table_scan(c->engine, VIEW("things"), 2, VIEW_EMPTY, VIEW_EMPTY, 100, contract_soon(), arena, &rows, &count, NULL) == OK);
    REQUIRE(count == KEYS);
    for (size_t i = 0; i < KEYS; i++) {
        EXPECT(view_equal(rows[i].key, keys[i]));
        EXPECT(view_equal(rows[i].value, keys[i]));
    }
    view after = VIEW_EMPTY;
    size_t total = 0;
    do {
        REQUIRE(table_scan(c->engine, VIEW("things"), 2, VIEW("a"), after, 3, contract_soon(), arena, &rows, &count, NULL) == OK);
        REQUIRE(count <= 3 && total + count <= KEYS - 1);
        for (size_t i = 0; i < count; i++) EXPECT(view_equal(rows[i].key, keys[total + i]));
        total += count;
        if (count) after = rows[count - 1].key;
    } while (count > 0);
    EXPECT_NUMBER(total, KEYS - 1);
    EXPECT(table_scan(c->engine, VIEW("things"), 2, VIEW("a\xff"), VIEW_EMPTY, 100, contract_soon(), arena, &rows, &count, NULL) == OK);
    EXPECT_NUMBER(count, 2);
    EXPECT(table_scan(c->engine, VIEW("things"), 2, VIEW("zz"), VIEW_EMPTY, 100, contract_soon(), arena, &rows, &count, NULL) == OK);
    EXPECT_NUMBER(count, 0);
    EXPECT(table_scan(c->engine, VIEW("nothing"), 2, VIEW_EMPTY, VIEW_EMPTY, 100, contract_soon(), arena, &rows, &count, NULL) == OK);
    EXPECT_NUMBER(count, 0);
}

void contract_table_shards_are_apart(struct contract *c)
{
    uint32_t shards = table_shards(c->engine, VIEW("things"));
    REQUIRE(shards >= 4);
    EXPECT(put(c, 0, VIEW("key"), VIEW("zero")) == OK);
    EXPECT(put(c, shards - 1, VIEW("key"), VIEW("last")) == OK);
    EXPECT(has(c, 0, VIEW("key"), VIEW("zero")));
    EXPECT(has(c, shards - 1, VIEW("key"), VIEW("last")));
    EXPECT(lacks(c, 1, VIEW("key")));
    EXPECT(put(c, shards, VIEW("key"), VIEW("x")) == INVALID);
    bool seen[4] = {false};
    char key[32];
    for (unsigned i = 0; i < 200; i++) {
        view text = view_make(key, (size_t)snprintf(key, sizeof key, "key %u", i));
        uint32_t shard = table_shard_of(c->engine, VIEW("things"), text);
        REQUIRE(shard < shards);
        EXPECT(shard == table_shard_of(c->engine, VIEW("things"), text));
        if (shard < 4) seen[shard] = true;
    }
    /* Spread: two hundred keys reach the first shards, unless there are very many. */
    if (shards <= 16)
        for (int i = 0; i < 4; i++) EXPECT(seen[i]);
}

void contract_table_sizes_are_limited(struct contract *c)
{
    WITH_ARENA;
    char *bytes = arena_array(arena, char, ENGINE_VALUE_MAX_BYTES + 1);
    memset(bytes, 'v', ENGINE_VALUE_MAX_BYTES + 1);
    view key = view_make(bytes, ENGINE_KEY_MAX_BYTES), value = view_make(bytes, ENGINE_VALUE_MAX_BYTES);
    EXPECT(put(c, 0, key, value) == OK);
    EXPECT(has(c, 0, key, value));
    EXPECT(put(c, 0, view_make(bytes, ENGINE_KEY_MAX_BYTES + 1), value) == TOO_BIG);
    EXPECT(put(c, 0, key, view_make(bytes, ENGINE_VALUE_MAX_BYTES + 1)) == TOO_BIG);
    EXPECT(put(c, 0, VIEW_EMPTY, value) == INVALID);
    struct table_change *changes = arena_array(arena, struct table_change, TABLE_BATCH_MAX + 1);
    for (size_t i = 0; i <= TABLE_BATCH_MAX; i++) changes[i] = (struct table_change){.key = arena_printf(arena, "many %04zu", i), .value = VIEW("x")};
    EXPECT(table_batch(c->engine, VIEW("things"), 3, changes, TABLE_BATCH_MAX + 1, contract_soon(), NULL, NULL) == TOO_BIG);
    EXPECT(table_batch(c->engine, VIEW("things"), 3, changes, TABLE_BATCH_MAX, contract_soon(), NULL, NULL) == OK);
    struct table_row *rows;
    size_t count;
    EXPECT(table_scan(c->engine, VIEW("things"), 3, VIEW("many "), VIEW_EMPTY, 5000, contract_soon(), arena, &rows, &count, NULL) == OK);
    EXPECT_NUMBER(count, TABLE_BATCH_MAX);
    EXPECT(table_batch(c->engine, VIEW("Bad name"), 0, changes, 1, contract_soon(), NULL, NULL) == INVALID);
}

/* Read, add one, write if unchanged: none is lost. */
static void counts(void *argument)
{
    colour_pretend_coroutine();
    struct contract *c = argument;
    WITH_ARENA;
    for (unsigned mine = 0; mine < 10;) {
        view old = VIEW_EMPTY;
        uint64_t number = 0;
        result code = table_get(c->engine, VIEW("things"), 0, VIEW("counter"), contract_soon(), arena, &old, NULL);
        REQUIRE(code == OK || code == NOT_FOUND);
        if (code == OK) EXPECT(view_to_u64(old, &number));
        struct table_change up = {.key = VIEW("counter"), .value = arena_printf(arena, "%u", (unsigned)number + 1), .condition = TABLE_IF_ABSENT};
        if (code == OK) up.condition = TABLE_IF_VALUE, up.expected = old;
        code = change(c, 0, up);
        EXPECT(code == OK || code == CONFLICT);
        mine += code == OK;
        arena_reset(arena);
    }
}

void contract_table_counts_right_from_several_loops(struct contract *c)
{
    contract_run_many(6, counts, c);
    EXPECT(has(c, 0, VIEW("counter"), VIEW("60")));
}

void contract_table_outlives_its_engine(struct contract *c)
{
    EXPECT(put(c, 0, VIEW("kept"), VIEW("value")) == OK);
    EXPECT(put(c, 3, VIEW("gone"), VIEW("value")) == OK);
    EXPECT(change(c, 3, (struct table_change){.key = VIEW("gone"), .what = TABLE_REMOVE}) == OK);
    uint32_t shard = table_shard_of(c->engine, VIEW("things"), VIEW("some key"));
    c->reopen(c);
    EXPECT(has(c, 0, VIEW("kept"), VIEW("value")));
    EXPECT(lacks(c, 3, VIEW("gone")));
    EXPECT_NUMBER(table_shard_of(c->engine, VIEW("things"), VIEW("some key")), shard);
}
