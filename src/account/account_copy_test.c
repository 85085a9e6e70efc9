#include <stdio.h>
#include <string.h>

#include "account/account_copy.h"
#include "account/test_world.h"
#include "base/check.h"
#include "base/test.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"

enum { SOON_MS = 60000, LARGE_BYTES = 200000 };

struct move {
    struct world *world;
    struct memory_store *store;          /* where to */
    struct engine *to;
    bool must_stop;
    unsigned delivered;
};

static struct account_copied copy(struct move *m, bool is_frozen)
{
    colour_pretend_coroutine();
    struct account_copied copied = {0};
    struct fault fault = {0};
    result code = account_copy(accounts_engine(world_here(m->world)), m->to, m->world->account, is_frozen, SOON_MS, &copied, &fault);
    if (code != OK) test_fail(__FILE__, __LINE__, "account_copy: %s: %s", result_name(code), fault.detail);
    return copied;
}

MAY_YIELD static void expect_same(struct move *m)
{
    unsigned char here[32], there[32];
    struct account *a = open_account(m->world);
    EXPECT(account_refresh(a, clock_in(SOON_MS), NULL) == OK);
    EXPECT(account_digest(a, here, clock_in(SOON_MS), NULL) == OK);
    account_close(a);
    struct accounts_options options = m->world->options;
    struct accounts *others = accounts_new(m->to, loop_family(loop_self()), &options);
    struct account_verify verify = {0};
    REQUIRE(account_open(others, m->world->account, clock_in(SOON_MS), &a, NULL) == OK);
    EXPECT(account_digest(a, there, clock_in(SOON_MS), NULL) == OK);
    EXPECT(memcmp(here, there, sizeof here) == 0);
    EXPECT(account_verify(a, &verify, clock_in(SOON_MS), NULL) == OK);
    EXPECT_NUMBER(verify.problems, 0);
    account_close(a);
    accounts_free(others);
}

MAY_YIELD static void compact(struct move *m)
{
    struct account *a = open_account(m->world);
    EXPECT(account_compact(a, clock_in(SOON_MS), NULL) == OK);
    account_close(a);
}

static void moves(void *argument)
{
    colour_pretend_coroutine();
    struct move *m = argument;
    struct world *w = m->world;
    m->to = engine_open_memory(m->store);
    for (unsigned i = 0; i < 100; i++) EXPECT(deliver(w, i, i % 10 ? 500 : LARGE_BYTES) == OK);
    EXPECT_NUMBER(copy(m, false).records, 100);
    expect_same(m);
    /* Only what is new. */
    EXPECT_NUMBER(copy(m, false).records + copy(m, false).objects, 0);
    EXPECT(deliver(w, 100, 500) == OK);
    EXPECT_NUMBER(copy(m, false).records, 1);
    /* A head in the place of the records, with and without some behind it; objects that were there are not copied again. */
    compact(m);
    struct account_copied copied = copy(m, false);
    EXPECT_NUMBER(copied.records, 0);
    EXPECT(copied.objects > 0 && copied.objects < 10);
    expect_same(m);
    for (unsigned i = 101; i < 110; i++) EXPECT(deliver(w, i, LARGE_BYTES) == OK);
    EXPECT_NUMBER(copy(m, false).records, 9);
    compact(m);
    for (unsigned i = 110; i < 120; i++) EXPECT(deliver(w, i, 500) == OK);
    EXPECT_NUMBER(copy(m, false).records, 10);
    /* Frozen: nothing is delivered, changed or compacted; what is there is read; the copy is exact, and says so. */
    engine_freeze_journal(accounts_engine(world_here(w)), w->account, clock_in(SOON_MS));
    EXPECT(deliver(w, 120, 500) == UNAVAILABLE);
    EXPECT(deliver(w, 120, LARGE_BYTES) == UNAVAILABLE);
    EXPECT(object_put(m->to, VIEW("other/kept"), VIEW("x"), clock_in(SOON_MS), NULL) == OK);
    (void)copy(m, true);
    expect_same(m);
    engine_thaw(accounts_engine(world_here(w)));
    EXPECT(deliver(w, 120, 500) == OK);
    (void)copy(m, true);
    expect_same(m);
    uint64_t bytes;
    EXPECT(object_size(m->to, VIEW("other/kept"), clock_in(SOON_MS), &bytes, NULL) == OK);
    engine_close(m->to);
}

static void run(void (*body)(void *argument))
{
    struct world *w = world_open(7, 1, 1);
    struct move m = {.world = w, .store = memory_store_new()};
    EXPECT(world_run(w, 0, body, &m));
    memory_store_free(m.store);
    world_close(w);
}

TEST(account_copy_brings_the_copy_up_to_date) { run(moves); }

/* What the other store has of another history goes. */
static void replaces(void *argument)
{
    colour_pretend_coroutine();
    struct move *m = argument;
    struct journal_append stray = {.journal = m->world->account, .meta = VIEW("stray")};
    char text[ID_TEXT_LEN + 1], name[80];
    uint64_t bytes;
    m->to = engine_open_memory(m->store);
    id_text(m->world->account, text);
    snprintf(name, sizeof name, "%s/p-stray", text);
    EXPECT(engine_append(m->to, &stray, clock_in(SOON_MS)) == OK);
    EXPECT(object_put(m->to, view_of(name), VIEW("x"), clock_in(SOON_MS), NULL) == OK);
    for (unsigned i = 0; i < 5; i++) EXPECT(deliver(m->world, i, 500) == OK);
    EXPECT_NUMBER(copy(m, false).records, 5);
    EXPECT(object_size(m->to, view_of(name), clock_in(SOON_MS), &bytes, NULL) == OK);
    (void)copy(m, true);
    EXPECT(object_size(m->to, view_of(name), clock_in(SOON_MS), &bytes, NULL) == NOT_FOUND);
    expect_same(m);
    /* An account that is gone is gone there, too. */
    EXPECT(accounts_destroy(world_here(m->world), m->world->account, clock_in(SOON_MS), NULL) == OK);
    (void)copy(m, true);
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 4 << 20);
    struct journal_page page;
    EXPECT(engine_read(m->to, m->world->account, NULL, clock_in(SOON_MS), arena, &page, NULL) == NOT_FOUND);
    engine_close(m->to);
}

TEST(account_copy_replaces_what_is_of_another_history) { run(replaces); }

/* ---- while mail comes and faults happen ------------------------------------------------------------------------ */

static void delivers(void *argument)
{
    colour_pretend_coroutine();
    struct move *m = argument;
    for (unsigned i = 0; !m->must_stop; i++) {
        result code = deliver(m->world, i, i % 17 ? 700 : LARGE_BYTES);
        EXPECT(code == OK || code == UNAVAILABLE || code == UNKNOWN_OUTCOME || code == TIMEOUT);
        m->delivered += code == OK;
        (void)!coroutine_sleep(20);
    }
}

static void moves_under_load(void *argument)
{
    colour_pretend_coroutine();
    struct move *m = argument;
    struct scope scope;
    struct account_copied copied = {0};
    struct engine *from = accounts_engine(world_here(m->world));
    struct memory_faults faults = {.unavailable_ppm = 20000, .unknown_ppm = 20000};
    m->to = engine_open_memory(m->store);
    scope_init(&scope, NULL);
    coroutine_spawn(&scope, "deliveries", delivers, m);
    memory_store_set_faults(m->store, &faults);
    for (unsigned i = 0; i < 10; i++) {
        (void)!account_copy(from, m->to, m->world->account, false, SOON_MS, &copied, NULL);
        (void)!coroutine_sleep(300);
        if (i % 4 == 3) compact(m);
    }
    engine_freeze_journal(from, m->world->account, clock_in(SOON_MS));
    result code = UNAVAILABLE;
    for (unsigned tries = 0; tries < 100 && code != OK; tries++) code = account_copy(from, m->to, m->world->account, true, SOON_MS, &copied, NULL);
    EXPECT(code == OK);
    memory_store_set_faults(m->store, &(struct memory_faults){0});
    memory_store_settle(m->store);
    (void)copy(m, true);
    unsigned before = m->delivered;
    EXPECT(before > 50);
    (void)!coroutine_sleep(1000);
    EXPECT_NUMBER(m->delivered, before);
    m->must_stop = true;
    scope_done(&scope);
    expect_same(m);
    struct account *a = open_account(m->world);
    EXPECT(count_of(a, INBOX) >= m->delivered);
    account_close(a);
    engine_close(m->to);
}

TEST(account_copy_under_load_and_faults_ends_the_same) { run(moves_under_load); }
