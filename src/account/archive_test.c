/* Old messages go to the archive, and nobody sees anything of it. */
#include <stdio.h>
#include <string.h>

#include "account/home.h"
#include "account/test_world.h"
#include "base/test.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/point.h"

enum { SOON_MS = 60000, OLD = 60, YOUNG = 20, LARGE_EACH = 10, LARGE_BYTES = 100000, SMALL_BYTES = 3000, COMPACTIONS = 6 };
static const int64_t DAY_MS = 60000;         /* a short one: a simulated call ends within an hour */

static size_t bytes_of(uint64_t number) { return number % LARGE_EACH == 3 ? LARGE_BYTES : SMALL_BYTES; }

struct archive_test {
    struct world *world;
    unsigned char digest[32];
    uint64_t modseq;
    uint32_t count;                          /* messages, numbered from 0 */
    uint32_t first;                          /* of those that are left */
};

/* Compacts as often as a round would. */
MAY_YIELD static void archive(struct account *a, int64_t after_ms)
{
    a->archive_after_ms = after_ms;
    for (unsigned i = 0; i < COMPACTIONS; i++) {
        struct fault fault = {0};
        result code = account_compact(a, clock_in(SOON_MS), &fault);
        if (code != OK) test_fail(__FILE__, __LINE__, "account_compact: %s: %s", result_name(code), fault.detail);
    }
}

static void tell_found(void *argument, view what) { test_fail(__FILE__, __LINE__, "verify: " VIEW_FMT, VIEW_ARG(what)); }

MAY_YIELD static void verify_is_clean(struct account *a)
{
    struct account_verify v = {.found = tell_found};
    EXPECT(account_verify(a, &v, clock_in(SOON_MS), NULL) == OK);
    EXPECT_NUMBER(v.problems, 0);
}

MAY_YIELD static size_t count_objects(struct world *w, const char *place, const char *kind)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    char id[ID_TEXT_LEN + 1], prefix[80];
    view *names;
    size_t count = 0;
    id_text(w->account, id);
    snprintf(prefix, sizeof prefix, "%s%s/%s", place, id, kind);
    EXPECT(object_list(accounts_engine(world_here(w)), view_of(prefix), VIEW_EMPTY, 1000, clock_in(SOON_MS), arena, &names, &count, NULL) == OK);
    return count;
}

MAY_YIELD static void reads_all(struct archive_test *t, struct account *a)
{
    for (uint32_t i = t->first; i < t->count; i++)
        if (!message_is(a, INBOX, i - t->first + 1, i, bytes_of(i))) test_fail(__FILE__, __LINE__, "message %u", i);
}

MAY_YIELD static void deliver_some(struct archive_test *t, uint32_t count)
{
    for (uint32_t end = t->count + count; t->count < end; t->count++) REQUIRE(deliver(t->world, t->count, bytes_of(t->count)) == OK);
}

MAY_YIELD static void fills(struct archive_test *t, struct account *a)
{
    deliver_some(t, OLD / 2);
    archive(a, 0);
    deliver_some(t, OLD - OLD / 2);
    archive(a, 0);
    (void)!coroutine_sleep(10 * DAY_MS);
    deliver_some(t, YOUNG / 2);
    archive(a, 0);
    deliver_some(t, YOUNG - YOUNG / 2);
    EXPECT(account_refresh(a, clock_in(SOON_MS), NULL) == OK);
    EXPECT(account_digest(a, t->digest, clock_in(SOON_MS), NULL) == OK);
    t->modseq = state_sequence(account_state(a));
}

MAY_YIELD static void is_unchanged(struct archive_test *t, struct account *a)
{
    unsigned char digest[32];
    EXPECT(account_digest(a, digest, clock_in(SOON_MS), NULL) == OK);
    EXPECT(memcmp(digest, t->digest, sizeof digest) == 0);
    EXPECT_NUMBER(state_sequence(account_state(a)), t->modseq);
}

static void run_world(struct archive_test *t, uint64_t seed, unsigned nodes, void (*run)(void *argument), void (*second)(void *argument))
{
    struct world *w = t->world = world_open(seed, nodes, 1);
    w->options = (struct accounts_options){.grace_ms = 100000, .retention_ms = 20 * DAY_MS};
    for (unsigned i = 0; i < nodes; i++) {
        world_down(w, i);
        world_up(w, i);
    }
    EXPECT(world_run(w, 0, run, t));
    if (second) EXPECT(world_run(w, nodes - 1, second, t));
    world_close(w);
}

/* ---- moving ---- */

static void told(struct account_watch *w) { test_fail(__FILE__, __LINE__, "a session was told of the move"); }

static void moves(void *argument)
{
    colour_pretend_coroutine();
    struct archive_test *t = argument;
    struct world *w = t->world;
    struct account *a = open_account(w);
    fills(t, a);
    archive(a, 0);
    EXPECT_NUMBER(count_objects(w, "cold/", ""), 0);
    /* Longer ago than any message came: nothing goes. */
    archive(a, 30 * DAY_MS);
    EXPECT_NUMBER(count_objects(w, "cold/", ""), 0);
    uint64_t warm = count_objects(w, "", "m-");
    EXPECT_NUMBER(warm, (OLD + YOUNG) / LARGE_EACH);
    struct account_watch watch = {0};
    account_watch(a, &watch, told);
    archive(a, 5 * DAY_MS);
    EXPECT_NUMBER(count_objects(w, "cold/", "m-"), OLD / LARGE_EACH);
    EXPECT_NUMBER(count_objects(w, "", "m-"), YOUNG / LARGE_EACH);
    EXPECT(count_objects(w, "cold/", "c-") > 0);
    const struct archive_list *l = state_archive(account_state(a));
    EXPECT_NUMBER(l->packed_messages, OLD - OLD / LARGE_EACH);
    EXPECT_NUMBER(l->alone_messages, OLD / LARGE_EACH);
    EXPECT_NUMBER(l->alone_bytes, OLD / LARGE_EACH * LARGE_BYTES);
    is_unchanged(t, a);
    reads_all(t, a);
    verify_is_clean(a);
    /* It is done: the next rounds write nothing. */
    uint64_t puts = memory_store_count(w->store, "object_put");
    archive(a, 5 * DAY_MS);
    EXPECT_NUMBER(memory_store_count(w->store, "object_put"), puts);
    account_unwatch(a, &watch);
    account_close(a);
}

static void reads_anew(void *argument)
{
    colour_pretend_coroutine();
    struct archive_test *t = argument;
    struct account *a = open_account(t->world);
    is_unchanged(t, a);
    reads_all(t, a);
    verify_is_clean(a);
    account_close(a);
}

TEST_SLOW(archive_takes_old_messages_and_nothing_else_changes, 60)
{
    struct archive_test t = {0};
    run_world(&t, 1, 2, moves, reads_anew);
}

/* ---- the archive is away ---- */

static void set_away(struct world *w, bool is_away)
{
    w->faults.archive_away = is_away;
    memory_store_set_faults(w->store, &w->faults);
}

MAY_YIELD static result open_one(struct account *a, uint32_t at)
{
    struct row row;
    struct message *m;
    view bytes;
    REQUIRE(read_row(a, INBOX, at, &row) == OK);
    result code = message_open(a, INBOX, &row, clock_in(SOON_MS), &m, NULL);
    if (code != OK) return code;
    code = message_whole(m, clock_in(SOON_MS), &bytes, NULL);
    message_close(m);
    return code;
}

static void is_away(void *argument)
{
    colour_pretend_coroutine();
    struct archive_test *t = argument;
    struct world *w = t->world;
    struct account *a = open_account(w);
    struct row row;
    view text;
    bool is_plain;
    fills(t, a);
    /* Nothing can be moved: compactions do the rest of their work. */
    set_away(w, true);
    archive(a, 5 * DAY_MS);
    EXPECT(id_equal(a->head.snapshot, ID_NONE) == false && a->head.sequence == state_sequence(account_state(a)));
    set_away(w, false);
    is_unchanged(t, a);
    reads_all(t, a);
    verify_is_clean(a);
    a->archive_again = (millis){0};
    archive(a, 5 * DAY_MS);
    EXPECT_NUMBER(count_objects(w, "cold/", "m-"), OLD / LARGE_EACH);
    set_away(w, true);
    account_drop_reading(a);
    EXPECT(open_one(a, 1) == UNAVAILABLE);
    EXPECT(open_one(a, 4) == UNAVAILABLE);
    EXPECT(open_one(a, OLD + 1) == OK);
    EXPECT(open_one(a, OLD + 4) == OK);
    REQUIRE(read_row(a, INBOX, 1, &row) == OK);
    EXPECT(message_summary(a, &row, SUMMARY_ENVELOPE, clock_in(SOON_MS), &text, &is_plain) == OK);
    REQUIRE(read_row(a, INBOX, 4, &row) == OK && row.size_bytes == LARGE_BYTES);
    EXPECT(message_summary(a, &row, SUMMARY_ENVELOPE, clock_in(SOON_MS), &text, &is_plain) == OK);
    EXPECT(message_summary(a, &row, SUMMARY_HEADER, clock_in(SOON_MS), &text, &is_plain) == OK);
    REQUIRE(read_row(a, INBOX, OLD + 4, &row) == OK && row.size_bytes == LARGE_BYTES);
    EXPECT(message_summary(a, &row, SUMMARY_ENVELOPE, clock_in(SOON_MS), &text, &is_plain) == NOT_FOUND);
    deliver_some(t, 1);
    archive(a, 5 * DAY_MS);
    struct account_verify v = {0};
    EXPECT(account_verify(a, &v, clock_in(SOON_MS), NULL) == OK);
    EXPECT_NUMBER(v.problems, 1);
    set_away(w, false);
    reads_all(t, a);
    verify_is_clean(a);
    account_close(a);
}

TEST_SLOW(archive_that_is_away_concerns_its_messages_alone, 60)
{
    struct archive_test t = {0};
    run_world(&t, 2, 1, is_away, NULL);
}

/* ---- what dies in it ---- */

MAY_YIELD static void expunge(struct account *a, uint32_t first, uint32_t last)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct imap_range range = {first, last};
    struct record r = {.kind = RECORD_EXPUNGE, .expunge = {.mailbox = INBOX, .uids = {.ranges = &range, .count = 1}}};
    struct outcome o;
    REQUIRE(account_change(a, &r, arena, &o, clock_in(SOON_MS), NULL) == OK && o.code == OK);
}

MAY_YIELD static void restore_all(struct account *a)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct record r = {.kind = RECORD_RESTORE, .restore = {.until = clock_wall()}};
    struct outcome o;
    REQUIRE(account_change(a, &r, arena, &o, clock_in(SOON_MS), NULL) == OK && o.code == OK);
}

static void dies(void *argument)
{
    colour_pretend_coroutine();
    struct archive_test *t = argument;
    struct world *w = t->world;
    struct account *a = open_account(w);
    fills(t, a);
    /* Expunged messages go along, and come back from there. */
    expunge(a, 1, OLD);
    archive(a, 5 * DAY_MS);
    EXPECT_NUMBER(count_objects(w, "cold/", "m-"), OLD / LARGE_EACH);
    verify_is_clean(a);
    restore_all(a);
    EXPECT_NUMBER(count_of(a, INBOX), OLD + YOUNG);
    for (uint32_t i = 0; i < OLD; i++) EXPECT(message_is(a, INBOX, YOUNG + i + 1, i, bytes_of(i)));
    /* All but the last three of the old, for good. */
    expunge(a, OLD + YOUNG + 1, OLD + YOUNG + OLD - 3);
    archive(a, 5 * DAY_MS);
    uint64_t packs = archive_list_bytes(state_archive(account_state(a)));
    (void)!coroutine_sleep(30 * DAY_MS);
    for (unsigned i = 0; i < 3; i++) {
        deliver_some(t, 1);
        archive(a, 365 * DAY_MS);
        (void)!coroutine_sleep(2 * DAY_MS);
    }
    verify_is_clean(a);
    archive(a, 5 * DAY_MS);
    (void)!coroutine_sleep(2 * DAY_MS);
    deliver_some(t, 1);
    archive(a, 5 * DAY_MS);
    EXPECT(archive_list_bytes(state_archive(account_state(a))) < packs);
    for (uint32_t i = OLD - 3; i < OLD; i++) EXPECT(message_is(a, INBOX, YOUNG + i - (OLD - 3) + 1, i, bytes_of(i)));
    verify_is_clean(a);
    account_close(a);
}

TEST_SLOW(archive_gives_back_what_died, 60)
{
    struct archive_test t = {0};
    run_world(&t, 3, 1, dies, NULL);
}

/* ---- two nodes ---- */

struct both { struct archive_test test; struct account *reader; };

static void opens(void *argument)
{
    colour_pretend_coroutine();
    struct archive_test *t = argument;
    struct account *a = open_account(t->world);
    fills(t, a);
    reads_all(t, a);
    ((struct both *)(void *)t)->reader = a;          /* stays open: it knows nothing of what the other one does */
}

static void archives(void *argument)
{
    colour_pretend_coroutine();
    struct archive_test *t = argument;
    struct account *a = open_account(t->world);
    archive(a, 5 * DAY_MS);
    (void)!coroutine_sleep(3 * DAY_MS);
    deliver_some(t, 1);
    archive(a, 5 * DAY_MS);                          /* what fell out of use is gone now */
    account_close(a);
}

static void reads_behind(void *argument)
{
    colour_pretend_coroutine();
    struct archive_test *t = argument;
    struct account *a = ((struct both *)(void *)t)->reader;
    account_drop_reading(a);
    for (uint32_t i = 0; i < t->count - 1; i++) EXPECT(message_is(a, INBOX, i + 1, i, bytes_of(i)));
    EXPECT(account_refresh(a, clock_in(SOON_MS), NULL) == OK);
    reads_all(t, a);
    verify_is_clean(a);
    account_close(a);
}

TEST_SLOW(archive_is_read_by_a_node_that_is_behind, 60)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct both b = {0};
        struct world *w = b.test.world = world_open(seed, 2, 1);
        w->options = (struct accounts_options){.grace_ms = 100000, .retention_ms = 20 * DAY_MS};
        for (unsigned i = 0; i < 2; i++) {
            world_down(w, i);
            world_up(w, i);
        }
        EXPECT(world_run(w, 0, opens, &b));
        EXPECT(world_run(w, 1, archives, &b));
        EXPECT(world_run(w, 0, reads_behind, &b));
        world_close(w);
    }
}

/* ---- dying in the middle ---- */

static void fills_only(void *argument)
{
    colour_pretend_coroutine();
    struct archive_test *t = argument;
    struct account *a = open_account(t->world);
    fills(t, a);
    account_close(a);
}

static void goes_on(void *argument)
{
    colour_pretend_coroutine();
    struct archive_test *t = argument;
    struct world *w = t->world;
    struct account *a = open_account(w);
    is_unchanged(t, a);
    reads_all(t, a);
    a->archive_again = (millis){0};
    archive(a, 5 * DAY_MS);
    EXPECT_NUMBER(count_objects(w, "cold/", "m-"), OLD / LARGE_EACH);
    EXPECT_NUMBER(count_objects(w, "", "m-"), YOUNG / LARGE_EACH);
    is_unchanged(t, a);
    reads_all(t, a);
    verify_is_clean(a);
    account_close(a);
}

#ifdef TAYORI_POINTS
static void archives_only(void *argument)
{
    colour_pretend_coroutine();
    struct archive_test *t = argument;
    struct account *a = open_account(t->world);
    archive(a, 5 * DAY_MS);
    account_close(a);
}

static void crash_here(const char *name) { sim_node_crash(sim_node_of_caller()); }

TEST_SLOW(archiving_may_die_at_every_step, 120)
{
    static const char *const points[] = {"account.archive.before_commit", "account.archive.committed", "account.archive.alone_copied", "account.archive.alone_removed",
                                         "account.collect.pack_rewritten", "account.compact.before_head", "account.compact.head_replaced"};
    for (unsigned i = 0; i < array_size(points); i++) {
        for (unsigned nth = 1; nth <= 2; nth++) {
            struct archive_test t = {0};
            struct world *w = t.world = world_open(i + 1, 2, 1);
            EXPECT(world_run(w, 0, fills_only, &t));
            point_on_crash(crash_here);
            point_arm(points[i], POINT_CRASH, OK, nth);
            bool survived = world_run(w, 0, archives_only, &t);
            point_arm(NULL, POINT_NOTHING, OK, 0);
            EXPECT(!survived || nth > 1);
            EXPECT(world_run(w, 1, goes_on, &t));
            if (!survived) world_kill(w, 0);
            EXPECT(world_run(w, 0, reads_anew, &t));
            world_close(w);
        }
    }
}
#endif

/* ---- a store that fails now and then ---- */

static void archives_under_faults(void *argument)
{
    colour_pretend_coroutine();
    struct archive_test *t = argument;
    struct account *a;
    if (account_open(world_here(t->world), t->world->account, clock_in(SOON_MS), &a, NULL) != OK) return;
    a->archive_after_ms = 5 * DAY_MS;
    a->archive_again = (millis){0};
    for (unsigned i = 0; i < COMPACTIONS; i++) (void)!account_compact(a, clock_in(SOON_MS), NULL);
    account_close(a);
}

TEST_SLOW(archive_loses_nothing_on_a_store_that_fails, 120)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct archive_test t = {0};
        struct world *w = t.world = world_open(seed, 2, 1);
        EXPECT(world_run(w, 0, fills_only, &t));
        memory_store_set_faults(w->store, &(struct memory_faults){.delay_max_us = 2000, .unknown_ppm = 30000, .unavailable_ppm = 20000, .reorders_objects = true});
        for (unsigned i = 0; i < 4; i++) {
            world_run(w, i % 2, archives_under_faults, &t);
        }
        memory_store_set_faults(w->store, &(struct memory_faults){0});
        memory_store_settle(w->store);
        EXPECT(world_run(w, 1, goes_on, &t));
        EXPECT(world_run(w, 0, reads_anew, &t));
        world_close(w);
    }
}
