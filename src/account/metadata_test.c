/* Annotations, and messages that are appended hidden: replay, and what snapshots keep. */
#include <stdio.h>
#include <string.h>

#include "account/snapshot_private.h"
#include "account/test_records.h"
#include "account/test_store.h"
#include "base/test.h"

static view value_of(struct author *a, uint32_t mailbox, const char *name)
{
    const struct metadata_entry *e = state_metadata_find(a->state, mailbox, view_of(name));
    return e ? e->value : VIEW("none");
}

static bool same_digest(struct state *a, struct state *b)
{
    unsigned char left[32], right[32];
    state_digest(a, left);
    state_digest(b, right);
    return memcmp(left, right, sizeof left) == 0;
}

TEST(state_annotations_are_set_changed_and_taken_away)
{
    struct author a = author_new();
    const struct metadata_entry *entries;
    EXPECT(author_annotate(&a, 1, "/private/comment", "mine") == OK);
    EXPECT(author_annotate(&a, 1, "/Private/Color", "red") == OK);
    EXPECT(author_annotate(&a, 0, "/shared/comment", "") == OK);
    EXPECT_VIEW(value_of(&a, 1, "/PRIVATE/COMMENT"), VIEW("mine"));
    EXPECT_VIEW(value_of(&a, 0, "/shared/comment"), VIEW(""));
    EXPECT_VIEW(value_of(&a, 0, "/private/comment"), VIEW("none"));
    REQUIRE(state_metadata(a.state, 1, &entries) == 2);
    EXPECT_VIEW(entries[0].name, VIEW("/Private/Color"));
    EXPECT(author_annotate(&a, 1, "/private/color", "blue") == OK);
    EXPECT_VIEW(value_of(&a, 1, "/private/color"), VIEW("blue"));
    EXPECT(author_annotate(&a, 1, "/private/color", NULL) == OK);
    EXPECT(author_annotate(&a, 1, "/private/color", NULL) == OK);
    EXPECT_NUMBER(state_metadata(a.state, 1, &entries), 1);
    EXPECT(author_annotate(&a, 77, "/private/color", "x") == NOT_FOUND);
    author_done(&a);
}

TEST(state_remembers_which_annotations_changed)
{
    struct author a = author_new();
    const struct metadata_change *changes;
    author_annotate(&a, 1, "/private/comment", "mine");
    uint64_t since = state_sequence(a.state);
    EXPECT_NUMBER(state_metadata_changes(a.state, since, &changes), 0);
    author_annotate(&a, 0, "/private/color", "red");
    author_annotate(&a, 1, "/private/comment", NULL);
    REQUIRE(state_metadata_changes(a.state, since, &changes) == 2);
    EXPECT(changes[0].mailbox == 0 && changes[0].sequence == since + 1);
    EXPECT(changes[1].mailbox == 1 && view_equal(changes[1].name, VIEW("/private/comment")));
    EXPECT_NUMBER(state_metadata_changes(a.state, 0, &changes), 3);
    for (int i = 0; i < 2 * METADATA_CHANGES_MAX; i++) author_annotate(&a, 1, "/private/comment", i % 2 ? "x" : "y");
    size_t count = state_metadata_changes(a.state, 0, &changes);
    EXPECT(count <= METADATA_CHANGES_MAX && count >= METADATA_CHANGES_MAX / 2 && changes[count - 1].sequence == state_sequence(a.state));
    author_done(&a);
}

/* Another node folded the journal: what it changed is found by comparing. */
TEST(state_adopted_knows_which_annotations_differ)
{
    struct author a = author_new(), b = author_new();
    const struct metadata_change *changes;
    author_annotate(&a, 1, "/private/a", "1");
    author_annotate(&a, 1, "/private/b", "2");
    author_annotate(&a, 1, "/private/d", "4");
    author_annotate(&b, 1, "/private/a", "1");
    author_annotate(&b, 1, "/private/b", "other");
    author_annotate(&b, 1, "/private/c", "3");
    author_annotate(&b, 0, "/private/server", "x");
    uint64_t since = state_sequence(a.state);
    state_adopt(b.state, a.state);
    REQUIRE(state_metadata_changes(b.state, since, &changes) == 4);
    EXPECT_VIEW(changes[0].name, VIEW("/private/server"));
    EXPECT_VIEW(changes[1].name, VIEW("/private/b"));
    EXPECT_VIEW(changes[2].name, VIEW("/private/c"));
    EXPECT_VIEW(changes[3].name, VIEW("/private/d"));
    author_done(&a);
    author_done(&b);
}

TEST(state_annotations_are_limited)
{
    struct author a = author_new();
    char name[40];
    for (int i = 0; i < METADATA_ENTRIES_MAX; i++) {
        snprintf(name, sizeof name, "/private/%d", i);
        REQUIRE(author_annotate(&a, 1, name, "v") == OK);
    }
    EXPECT(author_annotate(&a, 1, "/private/one-more", "v") == TOO_BIG);
    EXPECT(author_annotate(&a, 1, "/private/7", "w") == OK);
    static char text[60000];
    memset(text, 'x', sizeof text - 1);
    size_t taken = 0;
    for (int i = 0; i < 30; i++) {
        snprintf(name, sizeof name, "/shared/%d", i);
        taken += author_annotate(&a, 0, name, text) == OK;
        arena_reset(a.arena);
    }
    EXPECT_NUMBER(taken, METADATA_BYTES_MAX / sizeof text);
    author_done(&a);
}

TEST(state_annotations_follow_their_mailbox)
{
    struct author a = author_new();
    author_create(&a, "a/b");
    uint32_t number = author_number(&a, "a/b");
    author_annotate(&a, number, "/private/comment", "mine");
    author_rename(&a, "a/b", "c");
    EXPECT_VIEW(value_of(&a, author_number(&a, "c"), "/private/comment"), VIEW("mine"));
    author_deliver(&a, number, 0, 10);
    author_delete(&a, "c");
    author_create(&a, "c");
    EXPECT_VIEW(value_of(&a, author_number(&a, "c"), "/private/comment"), VIEW("none"));
    EXPECT_VIEW(value_of(&a, number, "/private/comment"), VIEW("none"));
    author_done(&a);
}

TEST(snapshot_keeps_annotations_and_hidden_messages)
{
    struct author a = author_new();
    struct test_store store = {0};
    struct fault fault = {0};
    struct state *again;
    author_create(&a, "x");
    author_deliver(&a, 1, 0, 10);
    test_store_snapshot(&store, a.state, false);
    EXPECT_NUMBER((unsigned char)store.directory.at[4], DIRECTORY_VERSION_FIRST);
    author_annotate(&a, 0, "/shared/admin", "mailto:a@example.test");
    author_annotate(&a, author_number(&a, "x"), "/private/comment", "mine");
    author_deliver_hidden(&a, 1, ROW_DELETED, 20);
    author_deliver_hidden(&a, 1, 0, 30);
    test_store_snapshot(&store, a.state, false);
    EXPECT_NUMBER((unsigned char)store.directory.at[4], DIRECTORY_VERSION_SECTIONS);
    REQUIRE(state_snapshot_open(buf_view(&store.directory), &again, &fault) == OK);
    test_store_load_all(&store, again);
    EXPECT(same_digest(a.state, again));
    state_adopt(again, a.state);
    const struct metadata_change *changes;
    EXPECT_NUMBER(state_metadata_changes(again, 0, &changes), 2);
    state_free(a.state);
    a.state = again;
    EXPECT(author_reveal(&a, 1, 2, 3) == OK);
    EXPECT(a.outcome.result_uids.count == 1 && a.outcome.result_uids.ranges[0].first == 4 && a.outcome.result_uids.ranges[0].last == 5);
    EXPECT_NUMBER(author_info(&a, "INBOX").deleted, 1);
    test_store_done(&store);
    author_done(&a);
}

TEST(state_hidden_messages_come_into_sight_together)
{
    struct author a = author_new();
    author_deliver(&a, 1, 0, 10);
    EXPECT(author_deliver_hidden(&a, 1, ROW_SEEN, 20) == OK);
    EXPECT(author_deliver_hidden(&a, 1, 0, 30) == OK);
    struct mailbox_info info = author_info(&a, "INBOX");
    EXPECT(info.exists == 1 && info.size_bytes == 10 && info.uid_next == 4);
    author_deliver(&a, 1, 0, 40);
    EXPECT(author_reveal(&a, 1, 2, 4) == INVALID);                   /* UID 4 is not hidden */
    EXPECT_NUMBER(author_info(&a, "INBOX").exists, 2);
    EXPECT(author_reveal(&a, 1, 2, 3) == OK);
    info = author_info(&a, "INBOX");
    EXPECT(info.exists == 4 && info.uid_next == 7 && info.size_bytes == 100 && info.unseen == 3);
    EXPECT(author_reveal(&a, 1, 2, 3) == INVALID);                   /* once */
    EXPECT(state_usage(a.state).expunged_messages == 0 && state_usage(a.state).messages == 4);
    author_done(&a);
}

TEST(state_hidden_messages_that_stay_hidden_are_purged)
{
    struct author a = author_new();
    author_create(&a, "x");
    uint32_t number = author_number(&a, "x");
    author_deliver_hidden(&a, number, 0, 20);
    author_delete(&a, "x");
    EXPECT(author_reveal(&a, number, 1, 1) == NOT_FOUND);
    struct record purge = {.kind = RECORD_PURGE, .purge.before = {a.now_ms + 1}};
    author_apply(&a, &purge);
    EXPECT_NUMBER(state_usage(a.state).expunged_bytes, 0);
    EXPECT(author_reveal(&a, number, 1, 1) == NOT_FOUND);
    author_done(&a);
}
