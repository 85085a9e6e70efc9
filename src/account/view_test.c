#include <string.h>

#include "account/test_world.h"
#include "base/check.h"
#include "base/test.h"
#include "runtime/clock.h"

enum { SOON_MS = 60000, SESSION_ROWS_MAX = 128 };

struct watching {
    struct world *world;
    struct account *account;             /* of node 0, as long as the view */
    struct mailbox_view *view;
    struct arena *arena;
    struct mailbox_changes changes;
    struct imap_set expunged, expunged_uids, changed;
};

MAY_YIELD static struct outcome change(struct account *a, struct record *r, struct arena *arena)
{
    struct outcome outcome = {0};
    EXPECT(account_change(a, r, arena, &outcome, clock_in(SOON_MS), NULL) == OK);
    return outcome;
}

MAY_YIELD static void expunge(struct account *a, struct arena *arena, uint32_t first, uint32_t last)
{
    struct imap_range range = {first, last};
    struct record r = {.kind = RECORD_EXPUNGE, .expunge = {.mailbox = INBOX, .uids = {&range, 1, false}}};
    EXPECT(change(a, &r, arena).code == OK);
}

MAY_YIELD static void flag(struct account *a, struct arena *arena, uint32_t first, uint32_t last, uint64_t flags)
{
    struct imap_range range = {first, last};
    struct record r = {.kind = RECORD_FLAGS, .flags = {.mailbox = INBOX, .uids = {&range, 1, false}, .flags.system = flags, .unchanged_since = UINT64_MAX}};
    EXPECT(change(a, &r, arena).code == OK);
}

MAY_YIELD static void hear_changed(struct watching *t)
{
    struct imap_set_builder all = IMAP_SET_BUILDER_INIT, some = IMAP_SET_BUILDER_INIT;
    result code;
    while ((code = mailbox_view_next_changed(t->view, &t->changes, &some, clock_in(SOON_MS), NULL)) == OK) {
        struct imap_set set = imap_set_builder_set(&some);
        for (size_t i = 0; i < set.count; i++) imap_set_builder_add_range(&all, set.ranges[i].first, set.ranges[i].last);
    }
    EXPECT(code == END);
    struct imap_set set = imap_set_builder_set(&all);
    t->changed = imap_set_resolve(&set, UINT32_MAX, t->arena);
    imap_set_builder_done(&all);
    imap_set_builder_done(&some);
}

MAY_YIELD static void sync_view(struct watching *t, bool may_expunge)
{
    EXPECT(account_refresh(t->account, clock_in(SOON_MS), NULL) == OK);
    mailbox_view_sync(t->view, may_expunge, &t->changes);
    size_t count = t->changes.expunged_count;
    t->expunged = (struct imap_set){.ranges = arena_array(t->arena, struct imap_range, count), .count = count};
    t->expunged_uids = (struct imap_set){.ranges = arena_array(t->arena, struct imap_range, count), .count = count};
    for (size_t i = 0; i < count; i++) {
        t->expunged.ranges[i] = ghost_numbers(&t->changes.expunged[i]);
        t->expunged_uids.ranges[i] = ghost_uids(&t->changes.expunged[i]);
    }
    mailbox_changes_done(&t->changes);
    hear_changed(t);
}

/* Rows first..last of the view have these UIDs on, and are or are not gone. */
MAY_YIELD static void expect_rows(struct watching *t, uint32_t first, uint32_t last, uint32_t uid, bool is_gone)
{
    struct row *rows = arena_array(t->arena, struct row, SESSION_ROWS_MAX);
    size_t count;
    REQUIRE(mailbox_view_rows(t->view, first, last - first + 1, rows, &count, clock_in(SOON_MS), NULL) == OK);
    REQUIRE(count == last - first + 1);
    for (uint32_t i = 0; i < count; i++)
        if (rows[i].uid != uid + i || row_is_gone(&rows[i]) != is_gone) test_fail(__FILE__, __LINE__, "number %u is UID %u", first + i, rows[i].uid);
}

static void expect_range(struct imap_set set, uint32_t first, uint32_t last)
{
    REQUIRE(set.count == 1);
    EXPECT_NUMBER(set.ranges[0].first, first);
    EXPECT_NUMBER(set.ranges[0].last, last);
}

static void begins_to_watch(void *argument)
{
    colour_pretend_coroutine();
    struct watching *t = argument;
    for (uint64_t i = 0; i < 50; i++) REQUIRE(deliver(t->world, i, 100) == OK);
    t->account = open_account(t->world);
    REQUIRE(account_refresh(t->account, clock_in(SOON_MS), NULL) == OK);
    REQUIRE(mailbox_view_open(t->account, INBOX, &t->view) == OK);
    EXPECT_NUMBER(mailbox_view_count(t->view), 50);
    EXPECT(!mailbox_view_is_behind(t->view));
}

static void changes_and_compacts(void *argument)
{
    colour_pretend_coroutine();
    struct watching *t = argument;
    struct arena *arena = arena_new(NULL, 1 << 20);
    struct account *a = open_account(t->world);
    REQUIRE(account_refresh(a, clock_in(SOON_MS), NULL) == OK);
    flag(a, arena, 3, 12, ROW_FLAGGED);
    expunge(a, arena, 5, 8);
    EXPECT(account_compact(a, clock_in(SOON_MS), NULL) == OK);
    for (uint64_t i = 0; i < 10; i++) REQUIRE(deliver(t->world, 100 + i, 100) == OK);
    REQUIRE(account_refresh(a, clock_in(SOON_MS), NULL) == OK);
    expunge(a, arena, 51, 52);
    EXPECT(account_compact(a, clock_in(SOON_MS), NULL) == OK);
    account_close(a);
    arena_free(arena);
}

static void learns_of_it(void *argument)
{
    colour_pretend_coroutine();
    struct watching *t = argument;
    uint32_t first, last;
    REQUIRE(account_refresh(t->account, clock_in(SOON_MS), NULL) == OK);
    EXPECT(mailbox_view_is_behind(t->view));
    EXPECT_NUMBER(mailbox_view_count(t->view), 50);
    expect_rows(t, 1, 4, 1, false);
    expect_rows(t, 5, 8, 5, true);
    expect_rows(t, 9, 50, 9, false);
    sync_view(t, false);
    EXPECT(t->expunged.count == 0 && t->changes.exists_changed && t->changes.exists == 58);
    REQUIRE(t->changed.count == 2);
    EXPECT(t->changed.ranges[0].first == 3 && t->changed.ranges[0].last == 4);
    EXPECT(t->changed.ranges[1].first == 9 && t->changed.ranges[1].last == 12);
    expect_rows(t, 51, 58, 53, false);
    sync_view(t, true);
    expect_range(t->expunged, 5, 8);
    expect_range(t->expunged_uids, 5, 8);
    EXPECT(t->changed.count == 0 && !t->changes.exists_changed && t->changes.exists == 54);
    expect_rows(t, 5, 46, 9, false);
    EXPECT(mailbox_view_range(t->view, 4, 10, &first, &last, clock_in(SOON_MS), NULL) == OK);
    EXPECT(first == 4 && last == 6);
    EXPECT_NUMBER(mailbox_view_highest_uid(t->view), 60);
    EXPECT(message_is(t->account, INBOX, 5, 8, 100));
}

static void ends_watching(void *argument)
{
    colour_pretend_coroutine();
    struct watching *t = argument;
    mailbox_view_close(t->view);
    account_close(t->account);
}

/* What a session sees in an account of its own. */
static void watch(uint64_t seed, void (*during)(void *argument))
{
    struct watching t = {.world = world_open(seed, 1, 1), .arena = arena_new(NULL, 1 << 20)};
    world_run(t.world, 0, begins_to_watch, &t);
    world_run(t.world, 0, during, &t);
    world_run(t.world, 0, ends_watching, &t);
    world_close(t.world);
    arena_free(t.arena);
}

TEST(view_keeps_its_numbers_while_another_node_changes_and_compacts)
{
    struct watching t = {.world = world_open(1, 2, 1), .arena = arena_new(NULL, 1 << 20)};
    world_run(t.world, 0, begins_to_watch, &t);
    world_run(t.world, 1, changes_and_compacts, &t);
    world_run(t.world, 0, learns_of_it, &t);
    world_run(t.world, 0, ends_watching, &t);
    world_close(t.world);
    arena_free(t.arena);
}

static void tells_of_its_own_changes(void *argument)
{
    colour_pretend_coroutine();
    struct watching *t = argument;
    struct imap_range range = {1, 3};
    struct record r = {.kind = RECORD_FLAGS, .flags = {.mailbox = INBOX, .uids = {&range, 1, false}, .flags.system = ROW_SEEN, .unchanged_since = UINT64_MAX}};
    struct outcome outcome = change(t->account, &r, t->arena);
    flag(t->account, t->arena, 9, 9, ROW_SEEN);
    mailbox_view_knows(t->view, outcome.follows, outcome.modseq);
    sync_view(t, false);
    expect_range(t->changed, 9, 9);
    EXPECT(!mailbox_view_is_behind(t->view));
    struct imap_range numbers[] = {{1, 2}, {49, 80}};
    struct imap_set uids, wanted = {numbers, 2, false};
    expunge(t->account, t->arena, 2, 2);
    EXPECT(mailbox_view_uids(t->view, &wanted, t->arena, &uids, clock_in(SOON_MS), NULL) == OK);
    REQUIRE(uids.count == 2);
    EXPECT(uids.ranges[0].first == 1 && uids.ranges[0].last == 2 && uids.ranges[1].first == 49 && uids.ranges[1].last == 50);
}

MAY_YIELD static void expect_touched(struct watching *t, uint64_t since, const struct imap_range *ranges, size_t count)
{
    struct imap_set touched;
    REQUIRE(mailbox_view_touched(t->view, since, t->arena, &touched, NULL) == OK);
    REQUIRE(touched.count == count);
    for (size_t i = 0; i < count; i++) EXPECT(touched.ranges[i].first == ranges[i].first && touched.ranges[i].last == ranges[i].last);
}

static void asks_what_was_touched(void *argument)
{
    colour_pretend_coroutine();
    struct watching *t = argument;
    struct imap_range all = {1, 50}, named[] = {{9, 12}, {40, 40}}, range = {9, 9};
    struct record r = {.kind = RECORD_FLAGS, .flags = {.mailbox = INBOX, .uids = {&range, 1, false}, .flags.system = ROW_SEEN, .unchanged_since = UINT64_MAX}};
    uint64_t before = change(t->account, &r, t->arena).modseq - 1;
    flag(t->account, t->arena, 11, 12, ROW_SEEN);
    flag(t->account, t->arena, 40, 40, ROW_SEEN);
    expect_touched(t, before, named, 2);
    expect_touched(t, 0, &all, 1);
    /* Not in memory: a block is named as a whole, if one of its messages was touched. */
    EXPECT(account_compact(t->account, clock_in(SOON_MS), NULL) == OK);
    REQUIRE(account_refresh(t->account, clock_in(SOON_MS), NULL) == OK);
    (void)state_evict(account_state(t->account), SIZE_MAX);
    expect_touched(t, before, &all, 1);
    expect_touched(t, before + 3, NULL, 0);
    expect_rows(t, 1, 50, 1, false);
    expect_touched(t, before, named, 2);
    /* What is gone is not named: VANISHED tells of it. */
    expunge(t->account, t->arena, 9, 9);
    expunge(t->account, t->arena, 40, 40);
    named[0].first = 11;
    expect_touched(t, before, named, 1);
    struct arena *small = arena_new(NULL, 4);
    struct imap_set touched = {.count = 4711};
    EXPECT(mailbox_view_touched(t->view, before, small, &touched, NULL) == TOO_BIG && touched.count == 4711);
    arena_free(small);
}

static void expect_dated(struct watching *t, int64_t from, int64_t until, bool expects_all)
{
    struct imap_set dated;
    REQUIRE(mailbox_view_dated(t->view, (unix_ms){from}, (unix_ms){until}, t->arena, &dated, NULL) == OK);
    REQUIRE(dated.count == (expects_all ? 1 : 0));
    if (expects_all) expect_range(dated, 1, 50);
}

static void asks_for_dates(void *argument)
{
    colour_pretend_coroutine();
    struct watching *t = argument;
    struct row *rows = arena_array(t->arena, struct row, SESSION_ROWS_MAX);
    size_t count;
    REQUIRE(mailbox_view_rows(t->view, 1, SESSION_ROWS_MAX, rows, &count, clock_in(SOON_MS), NULL) == OK);
    int64_t oldest = rows[0].internal_date.ms, newest = oldest;
    for (size_t i = 0; i < count; i++) {
        if (rows[i].internal_date.ms < oldest) oldest = rows[i].internal_date.ms;
        if (rows[i].internal_date.ms > newest) newest = rows[i].internal_date.ms;
    }
    for (int is_loaded = 0; is_loaded < 2; is_loaded++) {
        expect_dated(t, INT64_MIN, INT64_MAX, true);
        expect_dated(t, newest, INT64_MAX, true);
        expect_dated(t, INT64_MIN, oldest, true);
        expect_dated(t, newest + 1, INT64_MAX, false);
        expect_dated(t, INT64_MIN, oldest - 1, false);
        if (is_loaded) break;
        /* What is not in memory may have any. */
        EXPECT(account_compact(t->account, clock_in(SOON_MS), NULL) == OK);
        REQUIRE(account_refresh(t->account, clock_in(SOON_MS), NULL) == OK);
        (void)state_evict(account_state(t->account), SIZE_MAX);
        expect_dated(t, newest + 1, INT64_MAX, true);
        expect_rows(t, 1, 50, 1, false);
    }
}

TEST(view_names_blocks_by_the_dates_of_their_messages) { watch(6, asks_for_dates); }

static void expect_flagged(struct watching *t, uint64_t flag, bool is_set, bool expects_all)
{
    struct imap_set flagged;
    REQUIRE(mailbox_view_flagged(t->view, flag, is_set, t->arena, &flagged, NULL) == OK);
    REQUIRE(flagged.count == (expects_all ? 1 : 0));
    if (expects_all) expect_range(flagged, 1, 50);
}

static void asks_for_flags(void *argument)
{
    colour_pretend_coroutine();
    struct watching *t = argument;
    expect_flagged(t, ROW_SEEN, false, true);
    expect_flagged(t, ROW_SEEN, true, false);
    expect_flagged(t, ROW_DELETED, false, true);
    expect_flagged(t, ROW_DELETED, true, false);
    flag(t->account, t->arena, 7, 7, ROW_SEEN);
    flag(t->account, t->arena, 1, 50, ROW_DELETED);
    for (int is_loaded = 1; is_loaded >= 0; is_loaded--) {
        expect_flagged(t, ROW_SEEN, false, true);
        expect_flagged(t, ROW_SEEN, true, true);
        expect_flagged(t, ROW_DELETED, false, false);
        expect_flagged(t, ROW_DELETED, true, true);
        EXPECT(account_compact(t->account, clock_in(SOON_MS), NULL) == OK);
        REQUIRE(account_refresh(t->account, clock_in(SOON_MS), NULL) == OK);
        (void)state_evict(account_state(t->account), SIZE_MAX);
    }
}

enum { SCATTERED = 640 };

/* As of a saved result of very many messages, none beside another. */
static void asks_for_scattered_uids(void *argument)
{
    colour_pretend_coroutine();
    struct watching *t = argument;
    struct imap_set numbers = {.ranges = arena_array(t->arena, struct imap_range, SCATTERED), .count = SCATTERED}, uids;
    for (uint32_t i = 0; i < SCATTERED; i++) numbers.ranges[i] = (struct imap_range){i % 50 + 1, i % 50 + 1};
    sim_set_hasty(sim_current(), true);
    uint64_t steps = sim_steps(sim_current());
    REQUIRE(mailbox_view_uids(t->view, &numbers, t->arena, &uids, clock_in(SOON_MS), NULL) == OK);
    EXPECT(sim_steps(sim_current()) - steps >= SCATTERED / 64);
    sim_set_hasty(sim_current(), false);
    REQUIRE(uids.count == SCATTERED);
    for (uint32_t i = 0; i < SCATTERED; i++) EXPECT_NUMBER(uids.ranges[i].last, i % 50 + 1);
}

TEST(view_looks_up_very_many_numbers_in_turns) { watch(8, asks_for_scattered_uids); }

TEST(view_names_blocks_by_the_flags_of_their_messages) { watch(7, asks_for_flags); }

TEST(view_names_what_was_touched_and_little_else) { watch(5, asks_what_was_touched); }

TEST(view_is_not_told_what_its_session_knows) { watch(2, tells_of_its_own_changes); }

static void sees_its_mailbox_go(void *argument)
{
    colour_pretend_coroutine();
    struct watching *t = argument;
    struct record c = {.kind = RECORD_CREATE, .create.name = VIEW("short-lived")};
    uint32_t number = change(t->account, &c, t->arena).mailbox;
    struct imap_range all = {1, 20};
    struct record m = {.kind = RECORD_COPY, .copy = {.from = INBOX, .to = number, .uids = {&all, 1, false}}};
    change(t->account, &m, t->arena);
    mailbox_view_close(t->view);
    REQUIRE(mailbox_view_open(t->account, number, &t->view) == OK);
    struct record d = {.kind = RECORD_DELETE, .delete.mailbox = number};
    EXPECT(change(t->account, &d, t->arena).code == OK);
    EXPECT(!mailbox_view_exists(t->view) && mailbox_view_is_behind(t->view));
    EXPECT_NUMBER(mailbox_view_count(t->view), 20);
    expect_rows(t, 1, 20, 1, true);
    sync_view(t, true);
    expect_range(t->expunged, 1, 20);
    EXPECT_NUMBER(mailbox_view_count(t->view), 0);
    EXPECT_NUMBER(mailbox_view_highest_uid(t->view), 0);
    EXPECT(!mailbox_view_is_behind(t->view));
    struct mailbox_view *none;
    EXPECT(mailbox_view_open(t->account, number, &none) == NOT_FOUND);
}

TEST(view_of_a_deleted_mailbox_is_empty_once_told) { watch(3, sees_its_mailbox_go); }

static void asks_too_much(void *argument)
{
    colour_pretend_coroutine();
    struct watching *t = argument;
    char long_name[RECORD_NAME_BYTES_MAX + 1];
    memset(long_name, 'a', sizeof long_name);
    struct outcome outcome;
    struct record c = {.kind = RECORD_CREATE, .create.name = {long_name, sizeof long_name}};
    EXPECT(account_change(t->account, &c, t->arena, &outcome, clock_in(SOON_MS), NULL) == INVALID);
    view *many = arena_array(t->arena, view, RECORD_KEYWORDS_MAX + 1);
    for (int i = 0; i <= RECORD_KEYWORDS_MAX; i++) many[i] = arena_printf(t->arena, "keyword-%d", i);
    struct imap_range all = {1, 50};
    struct record f = {.kind = RECORD_FLAGS, .flags = {.mailbox = INBOX, .uids = {&all, 1, false}, .flags = {0, many, RECORD_KEYWORDS_MAX + 1}}};
    EXPECT(account_change(t->account, &f, t->arena, &outcome, clock_in(SOON_MS), NULL) == INVALID);
    f.flags.flags.keyword_count = RECORD_KEYWORDS_MAX;
    f.flags.unchanged_since = UINT64_MAX;
    EXPECT(change(t->account, &f, t->arena).code == OK);
    struct draft *d = make_draft(t->world, 7, 100);
    struct delivery one = {.account = t->world->account, .mailbox = {long_name, sizeof long_name}, .flags = {0, many, RECORD_KEYWORDS_MAX + 1}};
    accounts_deliver(world_here(t->world), d, &one, 1, clock_in(SOON_MS));
    EXPECT(one.code == OK);
    draft_free(d);
    sync_view(t, true);
    EXPECT_NUMBER(t->changes.exists, 51);
    expect_range(t->changed, 1, 50);
}

TEST(account_refuses_what_no_record_can_hold) { watch(4, asks_too_much); }
