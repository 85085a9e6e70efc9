#include <stdlib.h>
#include <string.h>

#include "account/snapshot_private.h"
#include "account/test_records.h"
#include "account/test_store.h"
#include "base/check.h"
#include "base/test.h"

static bool same_digest(struct state *a, struct state *b)
{
    unsigned char left[32], right[32];
    state_digest(a, left);
    state_digest(b, right);
    return memcmp(left, right, sizeof left) == 0;
}

static void fill(struct author *a, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        author_deliver(a, 1, i % 3 ? 0 : ROW_SEEN, 100 + i % 7);
        if (i % 1000 == 0) arena_reset(a->arena);
    }
}

static void found_none(void *argument, view what) { test_fail(__FILE__, __LINE__, "found " VIEW_FMT, VIEW_ARG(what)); }

static void expect_opens_as(struct test_store *store, struct state *s)
{
    struct state *again = test_store_open(store);
    test_store_load_all(store, again);
    EXPECT(same_digest(s, again));
    EXPECT_NUMBER(state_check(again, found_none, NULL), 0);
    state_free(again);
}

TEST(snapshot_opens_as_the_same_value)
{
    struct author a = author_new();
    struct test_store store = {0};
    fill(&a, 9000);
    author_create(&a, "x/y");
    struct record u = {.kind = RECORD_APPEND, .append = {.mailbox = author_number(&a, "x/y"), .message = author_id(&a), .uidl = VIEW("abc"),
                                                         .flags.keywords = &VIEW("$Forwarded"), .flags.keyword_count = 1}};
    author_apply(&a, &u);
    author_expunge(&a, 1, 100, 5000, false);
    author_flag(&a, 1, 6000, 6010, FLAGS_ADD, ROW_DELETED | ROW_FLAGGED);
    author_delete(&a, "x/y");
    test_store_snapshot(&store, a.state, false);
    struct state *again = test_store_open(&store);
    EXPECT_NUMBER(state_sequence(again), state_sequence(a.state));
    struct mailbox_info info;
    mailbox_read_info(state_mailbox(again, 1), a.arena, &info);
    EXPECT(info.exists == 9000 - 4901 && info.deleted == 11 && info.first_unseen == author_info(&a, "INBOX").first_unseen);
    EXPECT_NUMBER(store.loads, 0);
    state_free(again);
    expect_opens_as(&store, a.state);
    test_store_done(&store);
    author_done(&a);
}

TEST(snapshot_writes_what_changed_only)
{
    struct author a = author_new();
    struct test_store store = {0};
    fill(&a, 40000);
    size_t all = test_store_snapshot(&store, a.state, false);
    EXPECT(state_evict(a.state, SIZE_MAX) > 40000 * sizeof(struct row) / 2);
    struct imap_range one = {20000, 20000};
    struct record r = {.kind = RECORD_FLAGS, .flags = {.mailbox = 1, .uids = {&one, 1, false}, .flags.system = ROW_SEEN, .unchanged_since = UINT64_MAX}};
    test_store_prepare(&store, a.state, &r);
    EXPECT_NUMBER(store.loads, 1);
    author_apply(&a, &r);
    size_t some = test_store_snapshot(&store, a.state, false);
    EXPECT(some > 0 && some < all / 5);
    EXPECT_NUMBER(test_store_snapshot(&store, a.state, false), 0);
    state_evict(a.state, SIZE_MAX);
    test_store_load_all(&store, a.state);
    EXPECT_NUMBER(state_check(a.state, found_none, NULL), 0);
    test_store_done(&store);
    author_done(&a);
}

TEST(snapshot_many_small_ones_stay_few_objects)
{
    struct author a = author_new();
    struct test_store store = {0};
    for (uint32_t i = 0; i < 200; i++) {
        for (uint32_t k = 0; k < 100; k++) author_deliver(&a, 1, 0, 50);
        arena_reset(a.arena);
        test_store_snapshot(&store, a.state, false);
        state_evict(a.state, SIZE_MAX);
    }
    view *names;
    size_t objects = 0, count = state_objects(a.state, a.arena, &names);
    for (size_t i = 0; i < count; i++) objects += view_starts(names[i], VIEW("s-"));
    EXPECT(objects <= 12);
    EXPECT(store.written_bytes < (uint64_t)200 * 100 * 24 * 40);
    test_store_load_all(&store, a.state);
    EXPECT_NUMBER(state_check(a.state, found_none, NULL), 0);
    EXPECT_NUMBER(author_info(&a, "INBOX").exists, 20000);
    test_store_done(&store);
    author_done(&a);
}

TEST(snapshot_aborted_changes_nothing)
{
    struct author a = author_new();
    struct test_store store = {0};
    unsigned char before[32], after[32];
    fill(&a, 5000);
    state_digest(a.state, before);
    test_store_snapshot(&store, a.state, true);
    state_digest(a.state, after);
    EXPECT(memcmp(before, after, 32) == 0);
    EXPECT_NUMBER(state_evict(a.state, SIZE_MAX), 0);
    EXPECT_NUMBER(state_packs(a.state), 0);
    test_store_done(&store);
    author_done(&a);
}

TEST(snapshot_takes_records_between_its_end_and_commit)
{
    struct author a = author_new();
    fill(&a, 5000);
    struct packed_body *bodies = malloc(5000 * sizeof *bodies);
    REQUIRE(bodies != NULL);
    for (uint32_t i = 0; i < 5000; i++) bodies[i] = (struct packed_body){i + 1, 0, i};
    struct pack_slot pack = {VIEW("p"), 5000, 1};
    struct snapshot_options options = {.object = VIEW("s-0"), .packs = &pack, .pack_count = 1, .bodies = bodies, .body_count = 5000};
    struct test_store store = {0};
    buf *blocks = test_store_add(&store);
    struct block_key needs;
    state_snapshot_begin(a.state, &options);
    while (state_snapshot_step(a.state, blocks, &store.directory, &needs) != END) {}
    author_flag(&a, 1, 1, 1, FLAGS_ADD, ROW_FLAGGED);
    author_copy(&a, 1, 1, 4999, 5000, false);
    author_deliver(&a, 1, 0, 9);
    colour_pretend_coroutine();
    state_snapshot_commit(a.state, NULL);
    struct row row;
    REQUIRE(state_row(a.state, 1, 5002, &row, &needs) == OK);
    EXPECT(row.pack == 0 && row.entry == 4999);
    REQUIRE(state_row(a.state, 1, 5003, &row, &needs) == OK);
    struct body_place place;
    REQUIRE(state_body(a.state, &row, &place));
    EXPECT(place.kind == BODY_IN_JOURNAL && place.record.body_bytes == 9);
    struct row old = {.pack = ROW_IN_JOURNAL, .entry = 77};
    REQUIRE(state_body(a.state, &old, &place));
    EXPECT(place.kind == BODY_IN_PACK && place.entry == 76);
    struct state *again = test_store_open(&store);
    EXPECT_NUMBER(state_sequence(again), 5000);
    state_free(again);
    test_store_done(&store);
    author_done(&a);
}

/* Each byte of a stored form changed: refused, or (bits that mean nothing) taken; never worse. */
TEST(snapshot_damaged_is_corrupt)
{
    struct author a = author_new();
    struct test_store store = {0};
    fill(&a, 300);
    author_expunge(&a, 1, 3, 40, false);
    test_store_snapshot(&store, a.state, false);
    for (size_t i = 0; i < store.directory.len; i++) {
        struct state *s;
        struct fault fault = {0};
        store.directory.at[i] ^= 0x15;
        EXPECT(i == 6 || i == 7 || state_snapshot_open(buf_view(&store.directory), &s, &fault) == CORRUPT);
        store.directory.at[i] ^= 0x15;
    }
    struct state *s = test_store_open(&store);
    struct block_key keys[4];
    REQUIRE(state_needs_all(s, keys, 4) == 2);
    buf copy = BUF_INIT;
    buf_append(&copy, view_slice(buf_view(&store.objects[0]), keys[0].offset, keys[0].bytes));
    for (size_t i = 0; i < copy.len; i++) {
        copy.at[i] ^= 0x15;
        EXPECT(state_block_loaded(s, &keys[0], buf_view(&copy), NULL) == CORRUPT);
        copy.at[i] ^= 0x15;
    }
    EXPECT(state_block_loaded(s, &keys[0], view_slice(buf_view(&copy), 0, copy.len - 1), NULL) == CORRUPT);
    EXPECT(state_block_loaded(s, &keys[0], buf_view(&copy), NULL) == OK);
    buf_done(&copy);
    state_free(s);
    test_store_done(&store);
    author_done(&a);
}

/* Who writes waits while the state stands still: then only what was changed meanwhile is encoded. */
TEST(snapshot_takes_what_was_encoded_ahead)
{
    struct author a = author_new();
    struct test_store store = {0};
    fill(&a, 40000);
    (void)test_store_snapshot(&store, a.state, false);
    author_flag(&a, 1, 1, 40000, FLAGS_ADD, ROW_FLAGGED);
    test_store_ahead(&store, a.state);
    while (state_snapshot_ahead(a.state, store.ahead, &store.blocks_ahead)) {}
    size_t ahead = store.blocks_ahead.len;
    author_flag(&a, 1, 5000, 5000, FLAGS_REMOVE, ROW_FLAGGED);
    size_t all = test_store_snapshot(&store, a.state, false);
    EXPECT(ahead > 40000 && all > ahead && all - ahead < ahead / 5);
    expect_opens_as(&store, a.state);
    /* Nothing to encode ahead, and all of it changed since. */
    test_store_ahead(&store, a.state);
    EXPECT_NUMBER(store.blocks_ahead.len, 0);
    author_expunge(&a, 1, 1, 20000, false);
    test_store_ahead(&store, a.state);
    author_flag(&a, 1, 1, 40000, FLAGS_REMOVE, ROW_FLAGGED);
    (void)test_store_snapshot(&store, a.state, false);
    expect_opens_as(&store, a.state);
    test_store_done(&store);
    author_done(&a);
}
