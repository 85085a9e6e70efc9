/* Keys of a domain: what signs, what is only published, what is forgotten. */
#include "identity/dkim_keys.h"

#include "base/check.h"
#include "base/test.h"
#include "engine/memory.h"
#include "identity/directory.h"
#include "identity/secrets.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/loop.h"
#include "runtime/sim/sim.h"

#define DOMAIN VIEW("example.test")

static millis soon(void) { return clock_in(10000); }

static size_t count_in(const struct identity_dkim *dkim, enum dkim_key_state state, bool has_private)
{
    size_t count = 0;
    for (size_t i = 0; i < dkim->count; i++) count += dkim->keys[i].state == state && (dkim->keys[i].private_bytes.len > 0) == has_private;
    return count;
}

static MAY_YIELD void expect_keys(struct identity *i, size_t next, size_t active, size_t old)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 16 << 20);
    struct identity_dkim dkim;
    REQUIRE(directory_find_dkim(i, DOMAIN, soon(), arena, &dkim, NULL) == OK);
    EXPECT_NUMBER(count_in(&dkim, DKIM_KEY_NEXT, true), next);
    EXPECT_NUMBER(count_in(&dkim, DKIM_KEY_ACTIVE, true), active);
    EXPECT_NUMBER(count_in(&dkim, DKIM_KEY_OLD, false), old);
    EXPECT_NUMBER(dkim.count, next + active + old);
}

static void run(void *unused)
{
    colour_pretend_coroutine();
    struct memory_store *disks = memory_store_new();
    struct engine *engine = engine_open_memory(disks);
    struct identity *i = identity_new(engine, loop_family(loop_self()));
    struct arena *arena = arena_new(NULL, 16 << 20);
    struct identity_dkim dkim;
    struct identity_dkim_key first[] = {{.selector = VIEW("r1"), .public_bytes = VIEW("p"), .private_bytes = VIEW("s")},
                                        {.selector = VIEW("e1"), .is_ed25519 = true, .public_bytes = VIEW("p"), .private_bytes = VIEW("s")}};
    struct identity_dkim_key second[] = {{.selector = VIEW("r2"), .public_bytes = VIEW("p"), .private_bytes = VIEW("s")}};
    REQUIRE(directory_prepare(i, soon(), NULL) == OK);
    EXPECT(directory_add_dkim(i, DOMAIN, first, 2, soon(), NULL) == NOT_FOUND);
    REQUIRE(directory_add_domain(i, DOMAIN, VIEW("default"), soon(), NULL) == OK);
    expect_keys(i, 0, 0, 0);
    EXPECT(identity_find_dkim(i, DOMAIN, soon(), arena, &dkim, NULL) == NOT_FOUND);
    REQUIRE(directory_add_dkim(i, DOMAIN, first, 2, soon(), NULL) == OK);
    EXPECT(directory_add_dkim(i, DOMAIN, second, 1, soon(), NULL) == EXISTS);
    expect_keys(i, 2, 0, 0);
    REQUIRE(directory_rotate_dkim(i, DOMAIN, (unix_ms){0}, soon(), NULL) == OK);
    EXPECT(directory_rotate_dkim(i, DOMAIN, (unix_ms){0}, soon(), NULL) == NOT_FOUND);
    REQUIRE(directory_add_dkim(i, DOMAIN, second, 1, soon(), NULL) == OK);
    expect_keys(i, 1, 2, 0);
    REQUIRE(directory_rotate_dkim(i, DOMAIN, (unix_ms){0}, soon(), NULL) == OK);
    expect_keys(i, 0, 1, 2);
    REQUIRE(identity_find_dkim(i, VIEW("EXAMPLE.test"), soon(), arena, &dkim, NULL) == OK);
    EXPECT_NUMBER(dkim.count, 3);
    /* What has been old for long enough goes with the next rotation. */
    first[0].selector = VIEW("r3");
    REQUIRE(directory_add_dkim(i, DOMAIN, first, 1, soon(), NULL) == OK);
    REQUIRE(directory_rotate_dkim(i, DOMAIN, (unix_ms){clock_wall().ms + 1}, soon(), NULL) == OK);
    expect_keys(i, 0, 1, 1);
    EXPECT(directory_remove_dkim(i, DOMAIN, VIEW("nothing"), soon(), NULL) == NOT_FOUND);
    REQUIRE(directory_remove_dkim(i, DOMAIN, VIEW("r2"), soon(), NULL) == OK);
    expect_keys(i, 0, 1, 0);
    REQUIRE(directory_remove_dkim(i, DOMAIN, VIEW_EMPTY, soon(), NULL) == OK);
    expect_keys(i, 0, 0, 0);
    /* A domain that comes again has nothing of the one that went. */
    REQUIRE(directory_add_dkim(i, DOMAIN, first, 2, soon(), NULL) == OK);
    REQUIRE(directory_remove_domain(i, DOMAIN, soon(), NULL) == OK);
    REQUIRE(directory_add_domain(i, DOMAIN, VIEW("default"), soon(), NULL) == OK);
    expect_keys(i, 0, 0, 0);
    arena_free(arena);
    identity_free(i);
    engine_close(engine);
    memory_store_free(disks);
}

TEST(dkim_keys_live_and_go)
{
    struct sim *s = sim_open(sim_seed_from_environment(1));
    sim_call(sim_node_new(s, "a", 1), 0, run, NULL);
    sim_close(s);
}

/* ---- secrets that nodes share ---- */

static MAY_YIELD void expect_secrets(struct identity *i, size_t count, view newest, bool is_first)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 16 << 20);
    struct identity_secrets found;
    REQUIRE(identity_find_secrets(i, VIEW("test"), soon(), arena, &found, NULL) == OK);
    EXPECT_NUMBER(found.count, count);
    EXPECT(view_equal(found.list[0], newest) == is_first);
}

static void run_secrets(void *unused)
{
    colour_pretend_coroutine();
    struct memory_store *disks = memory_store_new();
    struct engine *engine = engine_open_memory(disks);
    struct identity *i = identity_new(engine, loop_family(loop_self())), *other = identity_new(engine, loop_family(loop_self()));
    struct arena *arena = arena_new(NULL, 16 << 20);
    struct identity_secrets first;
    REQUIRE(identity_find_secrets(i, VIEW("test"), soon(), arena, &first, NULL) == OK);
    EXPECT(first.count == 1 && first.list[0].len == SECRET_BYTES);
    expect_secrets(other, 1, first.list[0], true);
    /* A new one comes when the first is old, and makes things only when all know it. */
    REQUIRE(coroutine_sleep(SECRET_FRESH_MS + 1000) == OK);
    expect_secrets(i, 2, first.list[0], true);
    REQUIRE(coroutine_sleep(SECRET_KNOWN_MS + 1000) == OK);
    expect_secrets(other, 2, first.list[0], false);
    /* Those that are of no use any more go. */
    for (int n = 0; n < 4; n++) {
        REQUIRE(coroutine_sleep(SECRET_FRESH_MS + 1000) == OK);
        expect_secrets(i, 3, first.list[0], false);
    }
    arena_free(arena);
    identity_free(i);
    identity_free(other);
    engine_close(engine);
    memory_store_free(disks);
}

TEST(secrets_come_and_go)
{
    struct sim *s = sim_open(sim_seed_from_environment(1));
    sim_set_call_limit(s, 365ll * 86400000);
    sim_call(sim_node_new(s, "a", 1), 0, run_secrets, NULL);
    sim_close(s);
}
