#include <stdlib.h>
#include <string.h>

#include "account/test_world.h"
#include "base/check.h"
#include "base/test.h"
#include "engine/pressure.h"
#include "engine/pressure_help.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/event_hook.h"
#include "runtime/point.h"
#include "runtime/random.h"

enum { SOON_MS = 60000, LARGE = 70000 };

/* Message number n has so many bytes. Every 16th is an object of its own. */
static size_t size_of(uint64_t number)
{
    return number % 16 == 15 ? LARGE + number : number % 7 * 700;
}

MAY_YIELD static void deliver_range(struct world *w, uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count; i++) {
        result code = deliver(w, i, size_of(i));
        REQUIRE(code == OK);
    }
}

/* Sequence numbers 1.. are messages first.. */
MAY_YIELD static void expect_range(struct account *a, uint64_t first, uint32_t count)
{
    EXPECT_NUMBER(count_of(a, INBOX), count);
    for (uint32_t i = 0; i < count; i++)
        if (!message_is(a, INBOX, i + 1, first + i, size_of(first + i))) test_fail(__FILE__, __LINE__, "message %u is not right", i + 1);
}

static void note_problem(void *argument, view what)
{
    test_fail(__FILE__, __LINE__, "verify: " VIEW_FMT, VIEW_ARG(what));
}

MAY_YIELD static struct account_verify verify(struct account *a)
{
    struct account_verify v = {.found = note_problem};
    struct fault fault = {0};
    result code = account_verify(a, &v, clock_in(SOON_MS), &fault);
    if (code != OK) test_fail(__FILE__, __LINE__, "account_verify: %s: %s", result_name(code), fault.detail);
    EXPECT_NUMBER(v.problems, 0);
    return v;
}

MAY_YIELD static void compact(struct account *a)
{
    struct fault fault = {0};
    result code = account_compact(a, clock_in(SOON_MS), &fault);
    if (code != OK) test_fail(__FILE__, __LINE__, "account_compact: %s: %s", result_name(code), fault.detail);
}

/* ---- one node ---- */

static void compacts_many_bodies(void *argument)
{
    enum { BODIES = 300, BODY_BYTES = 60000 };           /* more than a few batches of BATCH_BYTES in compact.c */
    colour_pretend_coroutine();
    struct world *w = argument;
    for (uint64_t i = 0; i < BODIES; i++) REQUIRE(deliver(w, i, BODY_BYTES) == OK);
    struct account *a = open_account(w);
    compact(a);
    EXPECT(message_is(a, INBOX, 1, 0, BODY_BYTES) && message_is(a, INBOX, BODIES, BODIES - 1, BODY_BYTES));
    verify(a);
    account_close(a);
}

TEST_SLOW(compact_packs_all_bodies_however_many_batches_they_are, 60)
{
    struct world *w = world_open(3, 1, 1);
    world_run(w, 0, compacts_many_bodies, w);
    world_close(w);
}

struct checked { struct world *world; unsigned char digest[32]; uint32_t count; };

static void fills_and_compacts(void *argument)
{
    colour_pretend_coroutine();
    struct checked *c = argument;
    unsigned char before[32];
    struct world *w = c->world;
    deliver_range(w, 0, 100);
    struct account *a = open_account(w);
    EXPECT(account_digest(a, before, clock_in(SOON_MS), NULL) == OK);
    compact(a);
    EXPECT(account_digest(a, c->digest, clock_in(SOON_MS), NULL) == OK);
    EXPECT(memcmp(before, c->digest, 32) == 0);
    expect_range(a, 0, 100);
    deliver_range(w, 100, 20);
    EXPECT(account_refresh(a, clock_in(SOON_MS), NULL) == OK);
    expect_range(a, 0, 120);
    compact(a);
    expect_range(a, 0, 120);
    compact(a);
    struct account_verify v = verify(a);
    EXPECT_NUMBER(v.messages, 120);
    EXPECT(account_digest(a, c->digest, clock_in(SOON_MS), NULL) == OK);
    account_close(a);
}

static void reads_after(void *argument)
{
    colour_pretend_coroutine();
    struct checked *c = argument;
    unsigned char digest[32];
    uint64_t puts = memory_store_count(c->world->store, "append");
    struct account *a = open_account(c->world);
    expect_range(a, 0, 120);
    EXPECT(account_digest(a, digest, clock_in(SOON_MS), NULL) == OK);
    EXPECT(memcmp(digest, c->digest, 32) == 0);
    verify(a);
    EXPECT_NUMBER(memory_store_count(c->world->store, "append"), puts);
    account_close(a);
}

TEST(compaction_changes_nothing_that_can_be_seen)
{
    struct world *w = world_open(1, 2, 1);
    struct checked c = {.world = w};
    world_run(w, 0, fills_and_compacts, &c);
    world_run(w, 1, reads_after, &c);
    world_kill(w, 0);
    world_run(w, 0, reads_after, &c);
    world_close(w);
}

static void only_delivers(void *argument)
{
    colour_pretend_coroutine();
    deliver_range(argument, 0, 100);
}

TEST(compaction_comes_by_itself_to_accounts_that_only_receive)
{
    for (unsigned tells_nothing = 0; tells_nothing < 2; tells_nothing++) {
        struct world *w = world_open(2, 1, 2);
        w->options = (struct accounts_options){.compact_journal_records = 30};
        w->faults.blind_appends_tell_nothing = tells_nothing;
        memory_store_set_faults(w->store, &w->faults);
        world_kill(w, 0);
        world_run(w, 0, only_delivers, w);
        sim_settle(w->sim, 5000);
        EXPECT(sim_event_count(w->sim, EVENT_ACCOUNT_COMPACTED) >= 1);
        EXPECT(sim_event_count(w->sim, EVENT_ACCOUNT_COMPACTED) <= 4);
        EXPECT(memory_store_count(w->store, "head") >= 1);
        world_close(w);
    }
}

static void compacts_many(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    enum { MANY = 2400, BYTES = 8000 };
    for (uint64_t i = 0; i < MANY; i++) REQUIRE(deliver(w, i, BYTES) == OK);
    struct account *a = open_account(w);
    compact(a);
    for (uint64_t i = 0; i < MANY; i += 97) EXPECT(message_is(a, INBOX, (uint32_t)i + 1, i, BYTES));
    account_close(a);
}

TEST_SLOW(compaction_of_a_long_journal_fills_several_packs, 120)
{
    struct world *w = world_open(3, 1, 1);
    w->options = (struct accounts_options){.compact_journal_records = 1000000, .compact_journal_bytes = 1 << 30};
    world_kill(w, 0);
    world_run(w, 0, compacts_many, w);
    EXPECT_NUMBER(sim_event_count(w->sim, EVENT_ACCOUNT_COMPACTED), 1);
    world_close(w);
}

/* Packs of which most is dead are rewritten by the compaction that also packs what came since. */
static void rewrites_and_packs(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    enum { BYTES = 3000 };
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct imap_range most = {1, 30};
    struct record r = {.kind = RECORD_EXPUNGE, .expunge = {.mailbox = INBOX, .uids = {.ranges = &most, .count = 1}}};
    struct outcome o;
    struct account *a = open_account(w);
    for (uint64_t i = 0; i < 40; i++) REQUIRE(deliver(w, i, BYTES) == OK);
    compact(a);
    REQUIRE(account_change(a, &r, arena, &o, clock_in(SOON_MS), NULL) == OK);
    REQUIRE(coroutine_sleep(10000) == OK);
    for (uint64_t i = 40; i < 50; i++) REQUIRE(deliver(w, i, BYTES) == OK);
    compact(a);
    EXPECT(state_usage(account_state(a)).expunged_messages == 0);
    REQUIRE(count_of(a, INBOX) == 20);
    for (uint32_t i = 0; i < 20; i++) EXPECT(message_is(a, INBOX, i + 1, 30 + i, BYTES));
    for (uint32_t i = 0; i < 20; i++) {
        struct row row;
        view text;
        bool is_plain;
        REQUIRE(read_row(a, INBOX, i + 1, &row) == OK);
        EXPECT(message_summary(a, &row, SUMMARY_BODY, clock_in(SOON_MS), &text, &is_plain) == OK);
    }
    EXPECT_NUMBER(verify(a).problems, 0);
    account_close(a);
}

TEST(compaction_rewrites_packs_and_fills_new_ones_at_once)
{
    struct world *w = world_open(4, 1, 1);
    w->options = (struct accounts_options){.retention_ms = 1000};
    world_kill(w, 0);
    world_run(w, 0, rewrites_and_packs, w);
    world_close(w);
}

/* ---- space comes back at a pace ---- */

enum { PACED_BYTES = 3000, PACED_PACKS = 3, PACED_MESSAGES = 20, PACED_EXPUNGED = 15, PACED_RETENTION_MS = 20000, PACED_GROWTH = 300 };

/* Packs of which a quarter lives, when the retention has passed. */
static void leaves_dead_packs(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct account *a = open_account(w);
    for (unsigned i = 0; i < PACED_PACKS; i++) {
        for (uint64_t k = 0; k < PACED_MESSAGES; k++) REQUIRE(deliver(w, i * PACED_MESSAGES + k, PACED_BYTES) == OK);
        compact(a);
    }
    for (uint32_t i = 0; i < PACED_PACKS; i++) {
        struct imap_range most = {i * PACED_MESSAGES + 1, i * PACED_MESSAGES + PACED_EXPUNGED};
        struct record r = {.kind = RECORD_EXPUNGE, .expunge = {.mailbox = INBOX, .uids = {.ranges = &most, .count = 1}}};
        struct outcome o;
        REQUIRE(account_change(a, &r, arena, &o, clock_in(SOON_MS), NULL) == OK);
    }
    account_close(a);
}

struct paced { struct world *world; int64_t took_ms, reclaimed_bytes; };

MAY_YIELD static void reclaim(struct paced *p, struct account *a)
{
    int64_t reclaimed = metric_value(METRIC_RECLAIMED_BYTES);
    millis before = clock_now();
    compact(a);
    p->took_ms = clock_now().ms - before.ms;
    p->reclaimed_bytes = metric_value(METRIC_RECLAIMED_BYTES) - reclaimed;
}

static void compacts_dead_packs(void *argument)
{
    colour_pretend_coroutine();
    struct paced *p = argument;
    struct account *a = open_account(p->world);
    reclaim(p, a);
    for (uint32_t i = 0; i < count_of(a, INBOX); i++)
        EXPECT(message_is(a, INBOX, i + 1, i / 5 * PACED_MESSAGES + PACED_EXPUNGED + i % 5, PACED_BYTES));
    EXPECT_NUMBER(count_of(a, INBOX), PACED_PACKS * (PACED_MESSAGES - PACED_EXPUNGED));
    EXPECT_NUMBER(verify(a).problems, 0);
    account_close(a);
}

static void waits_for_retention(void *unused)
{
    colour_pretend_coroutine();
    REQUIRE(coroutine_sleep(2 * PACED_RETENTION_MS) == OK);
}

static struct world *world_with_dead_packs(uint64_t seed, uint64_t bytes_per_second)
{
    struct world *w = world_open(seed, 1, 1);
    w->options = (struct accounts_options){.retention_ms = PACED_RETENTION_MS, .reclaim_bytes_per_second = bytes_per_second};
    world_kill(w, 0);
    world_run(w, 0, leaves_dead_packs, w);
    return w;
}

TEST(space_comes_back_at_the_pace_that_is_set)
{
    for (int paces = 0; paces < 2; paces++) {
        struct world *w = world_with_dead_packs(5, paces ? 100 : 0);
        struct paced p = {w};
        world_run(w, 0, waits_for_retention, NULL);
        world_run(w, 0, compacts_dead_packs, &p);
        EXPECT(p.reclaimed_bytes > 0);
        EXPECT(p.took_ms < (paces ? 60000 : 1000));
        EXPECT(!paces || p.took_ms > 2000);
        world_close(w);
    }
}

/* So many messages that what is dead is a small part of it. */
static void grows_and_compacts(void *argument)
{
    colour_pretend_coroutine();
    struct paced *p = argument;
    struct account *a = open_account(p->world);
    for (uint64_t i = 0; i < PACED_GROWTH; i++) REQUIRE(deliver(p->world, PACED_PACKS * PACED_MESSAGES + i, PACED_BYTES) == OK);
    reclaim(p, a);
    account_close(a);
}

static void expect_to_reclaim_later(uint64_t seed, void (*later)(void *argument))
{
    struct world *w = world_with_dead_packs(seed, 0);
    struct paced p = {w};
    engine_set_pressure_limit(w->nodes[0].engine, 16);
    pressure_press(w->nodes[0].sim, w->store, w->nodes[0].engine, 64);
    world_run(w, 0, waits_for_retention, NULL);
    world_run(w, 0, compacts_dead_packs, &p);
    EXPECT_NUMBER(p.reclaimed_bytes, 0);
    pressure_relieve(w->nodes[0].sim);
    world_run(w, 0, later, &p);
    EXPECT(p.reclaimed_bytes > 0);
    world_close(w);
}

TEST(space_comes_back_when_the_store_is_no_longer_slow) { expect_to_reclaim_later(6, compacts_dead_packs); }
TEST(space_that_was_left_comes_back_though_it_is_not_due_any_more) { expect_to_reclaim_later(7, grows_and_compacts); }

/* ---- several nodes ---- */

struct busy { struct world *world; unsigned node; uint64_t first, count; bool compacts; };

static void delivers_some(void *argument)
{
    colour_pretend_coroutine();
    struct busy *b = argument;
    struct account *a = open_account(b->world);
    for (uint64_t i = 0; i < b->count; i++) {
        EXPECT(deliver(b->world, b->first + i, size_of(b->first + i)) == OK);
        if (b->compacts && i % 10 == 9) compact(a);
        if (i % 8 == 0) EXPECT(account_refresh(a, clock_in(SOON_MS), NULL) == OK);
    }
    account_close(a);
}

/* Everything delivered is there once; order is the journal's. */
static void reads_all(void *argument)
{
    colour_pretend_coroutine();
    struct checked *c = argument;
    struct account *a = open_account(c->world);
    unsigned char digest[32];
    EXPECT_NUMBER(count_of(a, INBOX), c->count);
    struct account_verify v = verify(a);
    EXPECT_NUMBER(v.messages, c->count);
    EXPECT(account_digest(a, digest, clock_in(SOON_MS), NULL) == OK);
    if (c->digest[0] || c->digest[1]) EXPECT(memcmp(digest, c->digest, 32) == 0);
    memcpy(c->digest, digest, 32);
    account_close(a);
}

static void run_together(struct world *w, struct busy *busy, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        sim_spawn(w->nodes[busy[i].node].sim, loop_index(accounts_home(w->nodes[busy[i].node].accounts, w->account)), "busy", delivers_some, &busy[i]);
    sim_settle(w->sim, 20000);
}

TEST_SLOW(compaction_by_several_nodes_at_once_loses_nothing, 120)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct world *w = world_open(seed, 3, 1);
        w->faults = (struct memory_faults){.delay_max_us = 5000, .reorders_objects = true, .blind_appends_tell_nothing = seed % 2 == 0};
        memory_store_set_faults(w->store, &w->faults);
        struct busy busy[] = {{w, 0, 0, 60, true}, {w, 1, 100, 60, true}, {w, 2, 200, 40, false}, {w, 0, 300, 40, true}};
        run_together(w, busy, 4);
        struct checked c = {.world = w, .count = 200};
        for (unsigned i = 0; i < 3; i++) world_run(w, i, reads_all, &c);
        world_kill(w, 1);
        world_run(w, 1, reads_all, &c);
        world_close(w);
    }
}

static void tries_to_deliver(void *argument)
{
    colour_pretend_coroutine();
    struct busy *b = argument;
    struct account *a;
    for (uint64_t i = 0; i < b->count; i++) {
        if (deliver(b->world, b->first + i, size_of(b->first + i)) == OK) b->world->messages++;
        if (!b->compacts || i % 10 != 9 || account_open(world_here(b->world), b->world->account, clock_in(SOON_MS), &a, NULL) != OK) continue;
        (void)!account_compact(a, clock_in(SOON_MS), NULL);
        account_close(a);
    }
}

/* At least what was acknowledged; more when the outcome was unknown and the message refused. Each once. */
static void reads_what_was_acknowledged(void *argument)
{
    colour_pretend_coroutine();
    struct checked *c = argument;
    struct account *a = open_account(c->world);
    uint32_t count = count_of(a, INBOX);
    if (count < c->world->messages || count > c->count) test_fail(__FILE__, __LINE__, "%u messages, %u acknowledged of %u", count, (unsigned)c->world->messages, c->count);
    struct row *rows = calloc(count + 1, sizeof *rows);
    for (uint32_t i = 0; i < count; i++) {
        EXPECT(read_row(a, INBOX, i + 1, &rows[i]) == OK);
        for (uint32_t k = 0; k < i; k++) EXPECT(!id_equal(rows[i].message, rows[k].message));
    }
    free(rows);
    verify(a);
    account_close(a);
}

TEST_SLOW(compaction_and_delivery_under_unknown_outcomes_keep_each_message_once, 240)
{
    for (uint64_t seed = 1; seed <= 25; seed++) {
        struct world *w = world_open(seed, 2, 1);
        w->faults = (struct memory_faults){.delay_max_us = 2000, .unknown_ppm = 60000, .unavailable_ppm = 20000, .blind_appends_tell_nothing = seed % 2 == 0};
        memory_store_set_faults(w->store, &w->faults);
        struct busy busy[] = {{w, 0, 0, 40, true}, {w, 1, 100, 40, true}};
        for (unsigned i = 0; i < 2; i++) sim_spawn(w->nodes[i].sim, 0, "busy", tries_to_deliver, &busy[i]);
        sim_settle(w->sim, 120000);
        w->faults = (struct memory_faults){0};
        memory_store_set_faults(w->store, &w->faults);
        memory_store_settle(w->store);
        struct checked c = {.world = w, .count = 80};
        for (unsigned i = 0; i < 2; i++) world_run(w, i, reads_what_was_acknowledged, &c);
        world_kill(w, 0);
        world_run(w, 0, reads_what_was_acknowledged, &c);
        world_close(w);
    }
}

/* ---- crashes ---- */

#ifdef TAYORI_POINTS

static void crash_here(const char *name)
{
    sim_node_crash(sim_node_of_caller());
}

static void compacts(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    struct account *a = open_account(w);
    compact(a);
    account_close(a);
}

static void delivers_large_and_appends(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    struct account *a = open_account(w);
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct outcome o;
    if (deliver(w, 100, LARGE) == OK) w->messages++;
    if (append(w, a, INBOX, 101, LARGE, &o, arena) == OK) w->messages++;
    if (append(w, a, INBOX, 102, 100, &o, arena) == OK) w->messages++;
    if (deliver(w, 103, 100) == OK) w->messages++;
    account_close(a);
}

static void crash_at(const char *point, unsigned nth, void (*run)(void *argument), uint64_t seed)
{
    struct world *w = world_open(seed, 2, 1);
    w->options.draft_memory_bytes = 1;                   /* large messages go through staging objects */
    world_down(w, 0);
    world_up(w, 0);
    world_run(w, 1, only_delivers, w);
    w->messages = 100;
    point_on_crash(crash_here);
    point_arm(point, POINT_CRASH, OK, nth);
    bool survived = world_run(w, 0, run, w);
    point_arm(NULL, POINT_NOTHING, OK, 0);
    EXPECT(!survived || nth > 1);
    struct checked c = {.world = w, .count = 104};
    world_run(w, 1, reads_what_was_acknowledged, &c);
    world_run(w, 1, compacts, w);
    world_run(w, 1, reads_what_was_acknowledged, &c);
    if (!survived) world_kill(w, 0);
    world_run(w, 0, reads_what_was_acknowledged, &c);
    world_run(w, 0, compacts, w);
    world_run(w, 1, reads_what_was_acknowledged, &c);
    world_close(w);
}

TEST_SLOW(compaction_may_die_at_every_step, 120)
{
    static const char *const points[] = {"account.compact.pack_before_commit", "account.compact.pack_committed", "account.compact.snapshot_before_put",
                                         "account.compact.snapshot_put", "account.compact.before_head", "account.compact.head_replaced"};
    for (unsigned i = 0; i < array_size(points); i++) crash_at(points[i], 1, compacts, i + 1);
}

TEST_SLOW(delivery_and_append_may_die_at_every_step, 120)
{
    static const char *const points[] = {"account.draft.before_commit", "account.draft.committed", "account.draft.placed", "account.deliver.before_append",
                                         "account.deliver.appended", "account.append.before", "account.append.stored"};
    for (unsigned i = 0; i < array_size(points); i++)
        for (unsigned nth = 1; nth <= 2; nth++) crash_at(points[i], nth, delivers_large_and_appends, i + 1);
}

#endif
