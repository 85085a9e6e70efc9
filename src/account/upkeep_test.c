#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account/test_world.h"
#include "base/check.h"
#include "base/test.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/point.h"
#include "runtime/random.h"

enum { SOON_MS = 60000, DAY_MS = 24 * 3600 * 1000 };

MAY_YIELD static void change(struct account *a, struct record *r)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct outcome o;
    REQUIRE(account_change(a, r, arena, &o, clock_in(SOON_MS), NULL) == OK);
    EXPECT(o.code == OK);
}

MAY_YIELD static void expunge(struct account *a, uint32_t first, uint32_t last)
{
    struct imap_range range = {first, last};
    struct record r = {.kind = RECORD_EXPUNGE, .expunge = {.mailbox = INBOX, .uids = {.ranges = &range, .count = 1}}};
    change(a, &r);
}

MAY_YIELD static void compact(struct account *a)
{
    struct fault fault = {0};
    result code = account_compact(a, clock_in(SOON_MS), &fault);
    if (code != OK) test_fail(__FILE__, __LINE__, "account_compact: %s: %s", result_name(code), fault.detail);
}

struct found { struct account_verify verify; char last[400]; };

static void note_found(void *argument, view what)
{
    struct found *f = argument;
    snprintf(f->last, sizeof f->last, VIEW_FMT, VIEW_ARG(what));
}

MAY_YIELD static struct found verify(struct account *a)
{
    struct found f = {.verify.found = note_found};
    f.verify.argument = &f;
    EXPECT(account_verify(a, &f.verify, clock_in(SOON_MS), NULL) == OK);
    return f;
}

MAY_YIELD static void verify_is_clean(struct account *a)
{
    struct found f = verify(a);
    if (f.verify.problems > 0) test_fail(__FILE__, __LINE__, "verify: %s", f.last);
}

MAY_YIELD static size_t list_objects(struct world *w, struct arena *arena, view **ret_names)
{
    char prefix[ID_TEXT_LEN + 1];
    size_t count = 0;
    id_text(w->account, prefix);
    EXPECT(object_list(accounts_engine(world_here(w)), view_of(prefix), VIEW_EMPTY, 1000, clock_in(SOON_MS), arena, ret_names, &count, NULL) == OK);
    return count;
}

MAY_YIELD static size_t count_objects(struct world *w)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    view *names;
    return list_objects(w, arena, &names);
}

static struct world *world_with(uint64_t seed, unsigned nodes, struct accounts_options options)
{
    struct world *w = world_open(seed, nodes, 1);
    w->options = options;
    for (unsigned i = 0; i < nodes; i++) {
        world_down(w, i);
        world_up(w, i);
    }
    return w;
}

/* ---- read-ahead ---- */

MAY_YIELD static void read_in_order(struct world *w, struct account *a, uint32_t count, uint64_t reads_max)
{
    uint64_t before = memory_store_count(w->store, "object_read") + memory_store_count(w->store, "read_body");
    for (uint32_t i = 0; i < count; i++) EXPECT(message_is(a, INBOX, i + 1, i, 5000));
    uint64_t reads = memory_store_count(w->store, "object_read") + memory_store_count(w->store, "read_body") - before;
    if (reads > reads_max) test_fail(__FILE__, __LINE__, "%u messages cost %" PRIu64 " reads", count, reads);
}

static void reads_a_mailbox_in_order(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    enum { MANY = 400 };
    for (uint64_t i = 0; i < MANY; i++) REQUIRE(deliver(w, i, 5000) == OK);
    struct account *a = open_account(w);
    read_in_order(w, a, MANY, 20);       /* from the journal */
    compact(a);
    read_in_order(w, a, MANY, 20);       /* from a pack */
    EXPECT(message_is(a, INBOX, 300, 299, 5000));
    EXPECT(message_is(a, INBOX, 3, 2, 5000));
    account_close(a);
}

TEST(message_reads_of_a_mailbox_in_order_are_few)
{
    struct world *w = world_open(1, 1, 1);
    world_run(w, 0, reads_a_mailbox_in_order, w);
    world_close(w);
}

/* ---- quota ---- */

static void fills_a_quota(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    struct fault fault;
    struct accounts *all = world_here(w);
    enum { QUOTA = 10000 };
    EXPECT(accounts_check_quota(all, w->account, (struct quota){0, 1}, UINT64_MAX, clock_in(SOON_MS), &fault) == OK);
    EXPECT(accounts_check_quota(all, w->account, (struct quota){0, 0}, UINT64_MAX, clock_in(SOON_MS), &fault) == OK);
    EXPECT(accounts_check_quota(all, w->account, (struct quota){QUOTA, 0}, QUOTA, clock_in(SOON_MS), &fault) == OK);
    EXPECT(accounts_check_quota(all, w->account, (struct quota){QUOTA, 0}, QUOTA + 1, clock_in(SOON_MS), &fault) == OVER_QUOTA);
    EXPECT(deliver(w, 1, 9000) == OK);
    EXPECT(accounts_check_quota(all, w->account, (struct quota){QUOTA, 0}, 1000, clock_in(SOON_MS), &fault) == OK);
    EXPECT(accounts_check_quota(all, w->account, (struct quota){QUOTA, 0}, 1001, clock_in(SOON_MS), &fault) == OVER_QUOTA);
    EXPECT(accounts_check_quota(all, w->account, (struct quota){QUOTA, 0}, UINT64_MAX, clock_in(SOON_MS), &fault) == OVER_QUOTA);
    struct account *a = open_account(w);
    expunge(a, 1, 1);
    account_close(a);
    EXPECT(accounts_check_quota(all, w->account, (struct quota){QUOTA, 0}, 9000, clock_in(SOON_MS), &fault) == OK);
    uint64_t reads = memory_store_count(w->store, "read");
    for (unsigned i = 0; i < 100; i++) EXPECT(accounts_check_quota(all, w->account, (struct quota){QUOTA, 0}, 1000, clock_in(SOON_MS), &fault) == OK);
    EXPECT_NUMBER(memory_store_count(w->store, "read"), reads);
}

TEST(quota_is_exact_when_it_says_no_and_cheap_when_there_is_room)
{
    struct world *w = world_open(2, 1, 3);
    world_run(w, 0, fills_a_quota, w);
    world_close(w);
}

/* ---- memory ---- */

static void opens_many(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    uint64_t reads[2];
    enum { MANY = 60 };
    for (unsigned i = 0; i < MANY; i++) {
        w->account.bytes[0] = (unsigned char)i;
        for (unsigned n = 0; n < 20; n++) REQUIRE(deliver(w, n, 10) == OK);
    }
    for (unsigned round = 0; round < 2; round++) {
        uint64_t before = memory_store_count(w->store, "read");
        for (unsigned i = 0; i < MANY; i++) {
            w->account.bytes[0] = (unsigned char)i;
            struct account *a = open_account(w);
            EXPECT_NUMBER(count_of(a, INBOX), 20);
            account_close(a);
        }
        reads[round] = memory_store_count(w->store, "read") - before;
    }
    EXPECT(reads[0] >= MANY && reads[1] >= MANY);
}

TEST(account_memory_without_sessions_keeps_to_the_budget)
{
    struct world *w = world_with(3, 1, (struct accounts_options){.memory_bytes = 50000});
    world_run(w, 0, opens_many, w);
    world_close(w);
}

/* ---- retention, restoring ---- */

static void expunges_restores_and_purges(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct expunged_info *gone;
    size_t count;
    for (uint64_t i = 0; i < 20; i++) REQUIRE(deliver(w, i, i == 7 ? 100000 : 1000) == OK);
    struct account *a = open_account(w);
    compact(a);
    expunge(a, 3, 10);
    EXPECT_NUMBER(count_of(a, INBOX), 12);
    EXPECT(account_expunged(a, arena, 100, &gone, &count, clock_in(SOON_MS), NULL) == OK);
    REQUIRE(count == 8);
    EXPECT(gone[0].row.uid == 10 && gone[7].row.uid == 3);
    EXPECT_VIEW(gone[0].mailbox_name, VIEW("INBOX"));
    struct imap_range range = {8, 8};
    struct record back = {.kind = RECORD_RESTORE, .restore = {.mailbox = INBOX, .until = {INT64_MAX}, .uids = {.ranges = &range, .count = 1}}};
    change(a, &back);
    EXPECT_NUMBER(count_of(a, INBOX), 13);
    EXPECT(message_is(a, INBOX, 13, 7, 100000));
    compact(a);
    verify_is_clean(a);
    EXPECT(coroutine_sleep(100000) == OK);
    REQUIRE(deliver(w, 20, 10) == OK);
    compact(a);
    EXPECT(account_expunged(a, arena, 100, &gone, &count, clock_in(SOON_MS), NULL) == OK);
    EXPECT_NUMBER(count, 0);
    EXPECT(message_is(a, INBOX, 13, 7, 100000));
    verify_is_clean(a);
    account_close(a);
}

TEST(account_expunged_messages_come_back_until_the_retention_period_ends)
{
    struct world *w = world_with(4, 1, (struct accounts_options){.retention_ms = 60000});
    world_run(w, 0, expunges_restores_and_purges, w);
    world_close(w);
}

/* ---- garbage ---- */

static void makes_garbage(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    struct engine *e = accounts_engine(world_here(w));
    struct account *a = open_account(w);
    for (uint64_t i = 0; i < 40; i++) REQUIRE(deliver(w, i, i % 10 == 0 ? 70000 : 3000) == OK);
    compact(a);
    char text[ID_TEXT_LEN + 1], name[200];
    id_text(w->account, text);
    /* What nodes that died left: a pack, a snapshot, a message, and a staging object. */
    char id[ID_TEXT_LEN + 1];
    const char *const kinds[] = {"p", "s", "m"}, *const ends[] = {"", "", "-00000001"};
    for (unsigned i = 0; i < 3; i++) {
        id_text(random_id(), id);
        snprintf(name, sizeof name, "%s/%s-%s%s", text, kinds[i], id, ends[i]);
        EXPECT(object_put(e, view_of(name), VIEW("left over"), clock_in(SOON_MS), NULL) == OK);
    }
    snprintf(name, sizeof name, "staging/%s", id);
    EXPECT(object_put(e, view_of(name), VIEW("left over"), clock_in(SOON_MS), NULL) == OK);
    struct found f = verify(a);
    EXPECT_NUMBER(f.verify.problems, 0);
    EXPECT(f.verify.garbage_objects >= 3);
    REQUIRE(deliver(w, 40, 10) == OK);
    compact(a);
    EXPECT(verify(a).verify.garbage_objects >= 3);       /* too young to tell from what is under way */
    account_close(a);
}

static void finds_garbage_a_day_later(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    struct account *a = open_account(w);
    for (unsigned i = 0; i < 3; i++) {
        REQUIRE(deliver(w, 41 + i, 10) == OK);
        compact(a);
        EXPECT(coroutine_sleep(300000) == OK);
    }
    REQUIRE(deliver(w, 44, 10) == OK);
    compact(a);
    struct found f = verify(a);
    EXPECT_NUMBER(f.verify.problems, 0);
    EXPECT(f.verify.garbage_objects <= 2);               /* what the last compactions put out of use */
    for (uint64_t i = 0; i < 40; i++) EXPECT(message_is(a, INBOX, (uint32_t)i + 1, i, i % 10 == 0 ? 70000 : 3000));
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    view *names;
    size_t count = 9;
    EXPECT(object_list(accounts_engine(world_here(w)), VIEW("staging/"), VIEW_EMPTY, 10, clock_in(SOON_MS), arena, &names, &count, NULL) == OK);
    EXPECT_NUMBER(count, 0);
    account_close(a);
}

TEST(collection_removes_what_dead_nodes_left_and_what_fell_out_of_use)
{
    struct world *w = world_with(5, 1, (struct accounts_options){.grace_ms = 200000});
    world_run(w, 0, makes_garbage, w);
    sim_node_set_wall_skew(w->nodes[0].sim, (int64_t)2 * DAY_MS);
    sim_run(w->sim, 120000);
    world_run(w, 0, finds_garbage_a_day_later, w);
    EXPECT(sim_event_count(w->sim, EVENT_ACCOUNT_SWEPT) > 0);
    world_close(w);
}

MAY_YIELD static uint64_t pack_bytes_of(struct world *w)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    view *names;
    size_t count = list_objects(w, arena, &names);
    uint64_t bytes, sum = 0;
    for (size_t i = 0; i < count; i++)
        if (names[i].at[ID_TEXT_LEN + 1] == 'p' && object_size(accounts_engine(world_here(w)), names[i], clock_in(SOON_MS), &bytes, NULL) == OK) sum += bytes;
    return sum;
}

static void expunges_most(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    struct account *a = open_account(w);
    for (uint64_t i = 0; i < 100; i++) REQUIRE(deliver(w, i, 3000) == OK);
    compact(a);
    uint64_t before = pack_bytes_of(w);
    struct row kept;
    REQUIRE(read_row(a, INBOX, 95, &kept) == OK);
    expunge(a, 1, 90);
    EXPECT(coroutine_sleep(200000) == OK);
    compact(a);                                          /* purges, rewrites */
    EXPECT(coroutine_sleep(200000) == OK);
    REQUIRE(deliver(w, 100, 10) == OK);
    compact(a);                                          /* removes the old pack */
    uint64_t after = pack_bytes_of(w);
    if (after > before / 4) test_fail(__FILE__, __LINE__, "packs of %" PRIu64 " bytes, %" PRIu64 " before", after, before);
    for (uint32_t i = 0; i < 10; i++) EXPECT(message_is(a, INBOX, i + 1, 90 + i, 3000));
    struct message *m;
    REQUIRE(message_open(a, INBOX, &kept, clock_in(SOON_MS), &m, NULL) == OK);     /* a row copied before the pack was rewritten */
    message_close(m);
    verify_is_clean(a);
    account_close(a);
}

static void reads_the_last(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    struct account *a = open_account(w);
    for (uint32_t i = 0; i < 10; i++) EXPECT(message_is(a, INBOX, i + 1, 90 + i, 3000));
    verify_is_clean(a);
    account_close(a);
}

TEST(collection_rewrites_packs_that_are_mostly_dead)
{
    struct world *w = world_with(6, 2, (struct accounts_options){.grace_ms = 100000, .retention_ms = 100000});
    world_run(w, 0, expunges_most, w);
    world_run(w, 1, reads_the_last, w);
    world_close(w);
}

#ifdef TAYORI_POINTS
static void crash_here(const char *name)
{
    sim_node_crash(sim_node_of_caller());
}

/* Whatever of it came to its end: what is referred to is there. */
static void reads_what_is_left(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    struct account *a = open_account(w);
    EXPECT(count_of(a, INBOX) >= 10);
    EXPECT(account_refresh(a, clock_in(SOON_MS), NULL) == OK);
    verify_is_clean(a);
    EXPECT(deliver(w, 1, 10) == OK);
    compact(a);
    verify_is_clean(a);
    account_close(a);
}

TEST_SLOW(collection_may_die_at_every_step, 120)
{
    static const char *const points[] = {"account.collect.pack_rewritten", "account.collect.removed", "account.compact.pack_committed", "account.compact.before_head",
                                         "account.compact.head_replaced"};
    for (unsigned i = 0; i < array_size(points); i++) {
        for (unsigned nth = 1; nth <= 3; nth++) {
            struct world *w = world_with(6 + i, 2, (struct accounts_options){.grace_ms = 100000, .retention_ms = 100000});
            point_on_crash(crash_here);
            point_arm(points[i], POINT_CRASH, OK, nth);
            bool survived = world_run(w, 0, expunges_most, w);
            point_arm(NULL, POINT_NOTHING, OK, 0);
            world_run(w, 1, reads_what_is_left, w);
            if (!survived) world_kill(w, 0);
            world_run(w, 0, reads_what_is_left, w);
            world_close(w);
        }
    }
}
#endif

/* ---- damage ---- */

/* Replaces an object of the account by one with a byte changed. */
MAY_YIELD static void damage(struct world *w, char kind, size_t at)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    buf bytes CLEANUP(buf_done) = BUF_INIT;
    struct engine *e = accounts_engine(world_here(w));
    view *names;
    size_t count = list_objects(w, arena, &names);
    for (size_t i = 0; i < count; i++) {
        if (names[i].at[ID_TEXT_LEN + 1] != kind) continue;
        buf_clear(&bytes);
        REQUIRE(object_read(e, names[i], 0, 64 << 20, clock_in(SOON_MS), &bytes, NULL) == OK);
        bytes.at[at % bytes.len] = (char)(bytes.at[at % bytes.len] ^ 16);
        EXPECT(object_remove(e, names[i], clock_in(SOON_MS), NULL) == OK);
        EXPECT(object_put(e, names[i], buf_view(&bytes), clock_in(SOON_MS), NULL) == OK);
    }
}

static void fills_and_damages(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    for (uint64_t i = 0; i < 50; i++) REQUIRE(deliver(w, i, 3000) == OK);
    struct account *a = open_account(w);
    compact(a);
    account_close(a);
    damage(w, 'p', 40);
    struct id other = w->account;
    w->account.bytes[3] ^= 1;
    REQUIRE(deliver(w, 1, 3000) == OK);
    w->account = other;
}

static void reads_around_damage(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    struct account *a = open_account(w);
    struct row row;
    struct message *m;
    EXPECT_NUMBER(count_of(a, INBOX), 50);
    REQUIRE(read_row(a, INBOX, 1, &row) == OK);
    EXPECT(message_open(a, INBOX, &row, clock_in(SOON_MS), &m, NULL) == CORRUPT);
    for (uint32_t i = 1; i < 50; i++) EXPECT(message_is(a, INBOX, i + 1, i, 3000));
    struct found f = verify(a);
    EXPECT_NUMBER(f.verify.problems, 1);
    EXPECT(view_find_view(view_of(f.last), VIEW("UID 1")) != VIEW_NONE);
    account_close(a);
}

TEST(damage_to_a_packed_message_concerns_it_alone)
{
    struct world *w = world_open(7, 2, 1);
    world_run(w, 0, fills_and_damages, w);
    world_run(w, 1, reads_around_damage, w);
    EXPECT(sim_event_count(w->sim, EVENT_ACCOUNT_CORRUPT) == 1);
    world_close(w);
}

static void damages_snapshot(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    fills_and_damages(w);
    damage(w, 's', 100);
}

static void others_go_on(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    struct account *a;
    struct row row;
    if (account_open(world_here(w), w->account, clock_in(SOON_MS), &a, NULL) == OK) {
        EXPECT(read_row(a, INBOX, 1, &row) == CORRUPT);
        EXPECT(verify(a).verify.problems > 0);
        account_close(a);
    }
    EXPECT(deliver(w, 1, 3000) == OK);                   /* not lost: it is in the journal */
    w->account.bytes[3] ^= 1;
    a = open_account(w);
    EXPECT(message_is(a, INBOX, 1, 1, 3000));
    verify_is_clean(a);
    account_close(a);
    w->account.bytes[3] ^= 1;
}

TEST(damage_to_a_snapshot_concerns_its_account_alone)
{
    struct world *w = world_open(8, 2, 1);
    world_run(w, 0, damages_snapshot, w);
    world_run(w, 1, others_go_on, w);
    EXPECT(sim_event_count(w->sim, EVENT_ACCOUNT_CORRUPT) >= 1);
    world_close(w);
}

/* ---- the end ---- */

static void destroys(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    for (uint64_t i = 0; i < 30; i++) REQUIRE(deliver(w, i, i % 10 == 0 ? 70000 : 3000) == OK);
    struct account *a = open_account(w);
    compact(a);
    EXPECT(count_objects(w) >= 4);
    EXPECT(accounts_destroy(world_here(w), w->account, clock_in(SOON_MS), NULL) == OK);
    EXPECT_NUMBER(count_objects(w), 0);
    EXPECT(account_refresh(a, clock_in(SOON_MS), NULL) == NOT_FOUND);
    account_close(a);
    a = open_account(w);
    EXPECT_NUMBER(count_of(a, INBOX), 0);
    account_close(a);
    EXPECT(accounts_destroy(world_here(w), w->account, clock_in(SOON_MS), NULL) == OK);
    EXPECT(deliver(w, 5, 3000) == OK);
    a = open_account(w);
    EXPECT(message_is(a, INBOX, 1, 5, 3000));
    account_close(a);
}

/* A node that had looked up the address before delivers afterwards. */
static void delivers_late(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    REQUIRE(deliver(w, 1, 3000) == OK);
    EXPECT(accounts_destroy(world_here(w), w->account, clock_in(SOON_MS), NULL) == OK);
    REQUIRE(deliver(w, 2, 70000) == OK);
    EXPECT(count_objects(w) > 0);
}

static void sleeps(void *argument)
{
    colour_pretend_coroutine();
    (void)argument;
    REQUIRE(coroutine_sleep(50 * 60 * 1000) == OK);
}

static void finds_nothing(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    EXPECT_NUMBER(count_objects(w), 0);
    struct account *a = open_account(w);
    EXPECT_NUMBER(count_of(a, INBOX), 0);
    account_close(a);
}

TEST(account_destroyed_is_cleared_of_what_comes_late)
{
    struct world *w = world_open(10, 1, 1);
    world_run(w, 0, delivers_late, w);
    for (unsigned i = 0; i < 10; i++) world_run(w, 0, sleeps, w);
    world_run(w, 0, finds_nothing, w);
    world_close(w);
}

TEST(account_destroyed_leaves_nothing)
{
    struct world *w = world_open(9, 1, 1);
    world_run(w, 0, destroys, w);
    world_close(w);
}
