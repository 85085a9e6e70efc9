#include "account/state.h"

#include "account/test_records.h"
#include "base/test.h"

static struct imap_range only_range(struct imap_set set)
{
    REQUIRE(set.count == 1);
    return set.ranges[0];
}

TEST(state_begins_with_an_empty_inbox)
{
    struct author a = author_new();
    struct mailbox_info info = author_info(&a, "INBOX");
    EXPECT_NUMBER(info.number, 1);
    EXPECT_NUMBER(info.uid_validity, AUTHOR_BEGINS_MS / 1000);
    EXPECT(info.is_selectable && info.exists == 0 && info.uid_next == 1);
    author_done(&a);
}

TEST(state_append_gives_uids_and_sums)
{
    struct author a = author_new();
    for (uint32_t i = 1; i <= 10000; i++) {
        REQUIRE(author_deliver(&a, 1, i % 2 ? ROW_SEEN : 0, i) == OK);
        struct imap_range uid = only_range(a.outcome.result_uids);
        EXPECT(uid.first == i && uid.last == i);
        arena_reset(a.arena);
    }
    struct mailbox_info info = author_info(&a, "INBOX");
    EXPECT_NUMBER(info.exists, 10000);
    EXPECT_NUMBER(info.unseen, 5000);
    EXPECT_NUMBER(info.first_unseen, 2);
    EXPECT_NUMBER(info.uid_next, 10001);
    EXPECT_NUMBER(info.size_bytes, 10000 * 10001 / 2);
    EXPECT_NUMBER(info.highest_modseq, 10000);
    EXPECT_NUMBER(state_usage(a.state).bytes, 10000 * 10001 / 2);
    author_done(&a);
}

/* A large account leaves memory in turns: each frees some rows and no more. */
TEST(state_is_freed_in_turns)
{
    struct author a = author_new();
    unsigned turns = 0;
    for (uint32_t i = 1; i <= 6 * BLOCK_ROWS; i++) {
        REQUIRE(author_deliver(&a, 1, 0, i) == OK);
        arena_reset(a.arena);
    }
    struct imap_range half = {1, 3 * BLOCK_ROWS};
    struct record r = {.kind = RECORD_EXPUNGE, .expunge = {.mailbox = 1, .uids = {&half, 1, false}}};
    REQUIRE(author_apply(&a, &r) == OK);
    struct state *s = a.state;
    state_set_turn_rows(s, BLOCK_ROWS);
    for (size_t had = state_memory_bytes(s); state_free_some(s); turns++, had = state_memory_bytes(s))
        EXPECT(had - state_memory_bytes(s) <= 2 * BLOCK_ROWS * sizeof(struct row));
    EXPECT_NUMBER(turns, 6);
    author_done(&a);
}

TEST(state_append_takes_a_uid_that_is_not_below_uidnext)
{
    struct author a = author_new();
    struct record r = {.kind = RECORD_APPEND, .append = {.mailbox = 1, .message = author_id(&a), .size_bytes = 5, .uid = 1000, .uidl = VIEW("old-1")}};
    REQUIRE(author_apply(&a, &r) == OK);
    EXPECT_NUMBER(only_range(a.outcome.result_uids).first, 1000);
    r.id = ID_NONE;
    REQUIRE(author_apply(&a, &r) == OK);
    EXPECT_NUMBER(only_range(a.outcome.result_uids).first, 1001);
    r.id = ID_NONE;
    r.append.uid = UINT32_MAX;
    REQUIRE(author_apply(&a, &r) == OK);
    EXPECT_NUMBER(only_range(a.outcome.result_uids).first, 1002);
    char text[RECORD_UIDL_BYTES_MAX + 1];
    struct row row = {.uid = 1000};
    EXPECT_VIEW(mailbox_uidl(state_mailbox(a.state, 1), &row, text), VIEW("old-1"));
    row.uid = 999;
    EXPECT_NUMBER(mailbox_uidl(state_mailbox(a.state, 1), &row, text).len, 16);
    author_done(&a);
}

TEST(state_delivery_into_a_name_creates_or_falls_back)
{
    struct author a = author_new();
    struct record r = {.kind = RECORD_APPEND, .append = {.name = VIEW("Lists/linux"), .creates = true, .falls_back = true, .message = author_id(&a)}};
    REQUIRE(author_apply(&a, &r) == OK);
    EXPECT_NUMBER(a.outcome.mailbox, author_number(&a, "Lists/linux"));
    EXPECT(author_number(&a, "Lists") != 0);
    r = (struct record){.kind = RECORD_APPEND, .append = {.mailbox = 99, .falls_back = true, .message = author_id(&a)}};
    REQUIRE(author_apply(&a, &r) == OK);
    EXPECT_NUMBER(a.outcome.mailbox, 1);
    r.id = ID_NONE;
    r.append.falls_back = false;
    EXPECT(author_apply(&a, &r) == NOT_FOUND);
    author_done(&a);
}

TEST(state_applies_a_record_once)
{
    struct author a = author_new();
    struct record r = {.kind = RECORD_APPEND, .id = author_id(&a), .append = {.mailbox = 1, .message = author_id(&a)}};
    EXPECT(author_apply(&a, &r) == OK);
    EXPECT(author_apply(&a, &r) == CONFLICT);
    EXPECT_NUMBER(state_sequence(a.state), 2);
    EXPECT_NUMBER(author_info(&a, "INBOX").exists, 1);
    author_done(&a);
}

TEST(state_flags_change_rows_and_counters)
{
    struct author a = author_new();
    for (uint32_t i = 0; i < 5000; i++) author_deliver(&a, 1, 0, 1);
    EXPECT(author_flag(&a, 1, 10, 4500, FLAGS_ADD, ROW_SEEN | ROW_DELETED) == OK);
    struct mailbox_info info = author_info(&a, "INBOX");
    EXPECT_NUMBER(info.unseen, 5000 - 4491);
    EXPECT_NUMBER(info.deleted, 4491);
    EXPECT_NUMBER(info.highest_modseq, 5001);
    EXPECT(author_flag(&a, 1, 10, 4500, FLAGS_ADD, ROW_SEEN) == OK);
    EXPECT_NUMBER(author_info(&a, "INBOX").highest_modseq, 5001);
    EXPECT(author_flag(&a, 1, 1, 20, FLAGS_REPLACE, ROW_FLAGGED) == OK);
    EXPECT_NUMBER(author_info(&a, "INBOX").deleted, 4491 - 11);
    EXPECT(author_flag(&a, 7, 1, 20, FLAGS_REPLACE, ROW_FLAGGED) == NOT_FOUND);
    author_done(&a);
}

TEST(state_flags_unchanged_since_leaves_newer_rows)
{
    struct author a = author_new();
    for (uint32_t i = 0; i < 10; i++) author_deliver(&a, 1, 0, 1);
    struct imap_range all = {1, 10};
    struct record r = {.kind = RECORD_FLAGS, .flags = {.mailbox = 1, .uids = {&all, 1, false}, .change = FLAGS_ADD, .flags.system = ROW_SEEN, .unchanged_since = 6}};
    REQUIRE(author_apply(&a, &r) == OK);
    struct imap_range left = only_range(a.outcome.unchanged_uids);
    EXPECT(left.first == 7 && left.last == 10);
    EXPECT_NUMBER(author_info(&a, "INBOX").unseen, 4);
    author_done(&a);
}

TEST(state_keywords_get_bits_per_mailbox)
{
    struct author a = author_new();
    author_create(&a, "Other");
    view keywords[] = {VIEW_INIT("$Junk"), VIEW_INIT("work")};
    struct record r = {.kind = RECORD_APPEND, .append = {.mailbox = 1, .message = author_id(&a), .flags = {0, keywords, 2}}};
    REQUIRE(author_apply(&a, &r) == OK);
    struct mailbox *inbox = state_mailbox(a.state, 1), *other = state_find(a.state, VIEW("Other"));
    EXPECT(mailbox_keyword_flag(inbox, VIEW("$junk")) == (uint64_t)1 << ROW_KEYWORD_BIT);
    EXPECT_VIEW(mailbox_keyword(inbox, ROW_KEYWORD_BIT + 1), VIEW("work"));
    EXPECT(mailbox_keyword_flag(other, VIEW("work")) == 0);
    struct imap_range one = {1, 1};
    struct record f = {.kind = RECORD_FLAGS, .flags = {.mailbox = 1, .uids = {&one, 1, false}, .change = FLAGS_REMOVE, .flags = {0, keywords, 1}, .unchanged_since = UINT64_MAX}};
    REQUIRE(author_apply(&a, &f) == OK);
    REQUIRE(author_copy(&a, 1, author_number(&a, "Other"), 1, 1, false) == OK);
    EXPECT(mailbox_keyword_flag(other, VIEW("work")) == (uint64_t)1 << ROW_KEYWORD_BIT);
    EXPECT(mailbox_keyword_flag(other, VIEW("$Junk")) == 0);
    author_done(&a);
}

TEST(state_copy_and_move)
{
    struct author a = author_new();
    author_create(&a, "A");
    uint32_t box = author_number(&a, "A");
    for (uint32_t i = 0; i < 9000; i++) author_deliver(&a, 1, 0, 3);
    REQUIRE(author_copy(&a, 1, box, 100, 8999, false) == OK);
    EXPECT(only_range(a.outcome.source_uids).first == 100 && only_range(a.outcome.result_uids).last == 8900);
    EXPECT_NUMBER(author_info(&a, "INBOX").exists, 9000);
    EXPECT_NUMBER(author_info(&a, "A").exists, 8900);
    REQUIRE(author_copy(&a, box, 1, 1, 8900, true) == OK);
    EXPECT_NUMBER(author_info(&a, "A").exists, 0);
    EXPECT_NUMBER(author_info(&a, "A").uid_next, 8901);
    EXPECT_NUMBER(author_info(&a, "INBOX").exists, 17900);
    EXPECT_NUMBER(only_range(a.outcome.result_uids).first, 9001);
    REQUIRE(author_copy(&a, 1, 1, 1, 17900, true) == OK);
    EXPECT_NUMBER(author_info(&a, "INBOX").exists, 17900);
    EXPECT_NUMBER(only_range(a.outcome.result_uids).first, 17901);
    EXPECT_NUMBER(state_usage(a.state).expunged_messages, 0);
    EXPECT(author_copy(&a, 1, 55, 1, 2, false) == NOT_FOUND);
    author_done(&a);
}

TEST(state_expunge_buries_and_restore_brings_back)
{
    struct author a = author_new();
    for (uint32_t i = 0; i < 6000; i++) author_deliver(&a, 1, 0, 2);
    author_flag(&a, 1, 5, 5500, FLAGS_ADD, ROW_DELETED);
    REQUIRE(author_expunge(&a, 1, 1, 5000, true) == OK);
    struct imap_range gone = only_range(a.outcome.source_uids);
    EXPECT(gone.first == 5 && gone.last == 5000);
    EXPECT_NUMBER(author_info(&a, "INBOX").exists, 6000 - 4996);
    EXPECT_NUMBER(state_usage(a.state).expunged_messages, 4996);
    EXPECT_NUMBER(state_usage(a.state).expunged_bytes, 2 * 4996);
    int64_t first_expunge_ms = a.now_ms;
    REQUIRE(author_expunge(&a, 1, 5501, 6000, false) == OK);
    struct record r = {.kind = RECORD_RESTORE, .restore = {.mailbox = 1, .since = {first_expunge_ms}, .until = {first_expunge_ms}}};
    REQUIRE(author_apply(&a, &r) == OK);
    EXPECT(only_range(a.outcome.result_uids).first == 6001 && only_range(a.outcome.result_uids).last == 6000 + 4996);
    struct mailbox_info info = author_info(&a, "INBOX");
    EXPECT_NUMBER(info.exists, 5500);
    EXPECT_NUMBER(info.deleted, 500);
    EXPECT_NUMBER(state_usage(a.state).expunged_messages, 500);
    struct record p = {.kind = RECORD_PURGE, .purge.before = {a.now_ms}};
    REQUIRE(author_apply(&a, &p) == OK);
    EXPECT_NUMBER(state_usage(a.state).expunged_messages, 0);
    author_done(&a);
}

TEST(state_deleted_mailbox_is_restored_into_inbox_or_a_name)
{
    struct author a = author_new();
    author_create(&a, "Work");
    uint32_t work = author_number(&a, "Work");
    for (uint32_t i = 0; i < 3; i++) author_deliver(&a, work, ROW_SEEN, 2);
    REQUIRE(author_delete(&a, "Work") == OK);
    EXPECT(state_mailbox(a.state, work) == NULL);
    struct imap_range one = {2, 2};
    struct record r = {.kind = RECORD_RESTORE, .restore = {.until = {INT64_MAX}, .uids = {&one, 1, false}, .into = VIEW("Back")}};
    REQUIRE(author_apply(&a, &r) == OK);
    EXPECT_NUMBER(author_info(&a, "Back").exists, 1);
    r.id = ID_NONE;
    r.restore.uids.count = 0;
    r.restore.into = VIEW_EMPTY;
    REQUIRE(author_apply(&a, &r) == OK);
    EXPECT_NUMBER(author_info(&a, "INBOX").exists, 2);
    EXPECT_NUMBER(state_usage(a.state).expunged_messages, 0);
    author_done(&a);
}

TEST(state_names_make_parents_and_keep_children)
{
    struct author a = author_new();
    EXPECT(author_create(&a, "a/b/c") == OK);
    EXPECT(author_create(&a, "a/b") == EXISTS);
    EXPECT(author_create(&a, "inbox/x") == OK);
    EXPECT(author_number(&a, "INBOX/x") != 0);
    static const char *const bad[] = {"", "/a", "a/", "a//b", "\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) EXPECT(author_create(&a, bad[i]) == INVALID);
    uint32_t validity = author_info(&a, "a/b").uid_validity;
    EXPECT(author_delete(&a, "a/b") == OK);
    EXPECT(!author_info(&a, "a/b").is_selectable && author_info(&a, "a/b").has_children);
    EXPECT(author_delete(&a, "a/b") == INVALID);
    EXPECT(author_create(&a, "a/b") == OK);
    EXPECT(author_info(&a, "a/b").uid_validity > validity);
    EXPECT(author_delete(&a, "a/b") == OK);
    EXPECT(author_delete(&a, "a/b/c") == OK);
    EXPECT_NUMBER(author_number(&a, "a/b"), 0);
    EXPECT(author_number(&a, "a") != 0);
    EXPECT(author_delete(&a, "INBOX") == INVALID);
    author_done(&a);
}

TEST(state_lists_in_order_of_levels)
{
    struct author a = author_new();
    static const char *const names[] = {"b", "a b", "a/x", "INBOX/z", "a-b", "A"};
    static const char *const order[] = {"INBOX", "INBOX/z", "A", "a", "a/x", "a b", "a-b", "b"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) author_create(&a, names[i]);
    struct mailbox_info *infos;
    REQUIRE(state_list(a.state, a.arena, &infos) == sizeof order / sizeof order[0]);
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) EXPECT_VIEW(infos[i].name, view_of(order[i]));
    author_done(&a);
}

TEST(state_rename_moves_inferiors)
{
    struct author a = author_new();
    author_create(&a, "a/b/c");
    author_create(&a, "ab");
    uint32_t c = author_number(&a, "a/b/c");
    EXPECT(author_rename(&a, "a", "a/z") == INVALID);
    EXPECT(author_rename(&a, "a", "ab") == EXISTS);
    EXPECT(author_rename(&a, "a", "n/m") == OK);
    EXPECT_NUMBER(author_number(&a, "n/m/b/c"), c);
    EXPECT(author_number(&a, "n") != 0 && author_number(&a, "a") == 0 && author_number(&a, "ab") != 0);
    author_done(&a);
}

TEST(state_rename_of_inbox_moves_its_messages)
{
    struct author a = author_new();
    author_create(&a, "INBOX/below");
    for (uint32_t i = 0; i < 7; i++) author_deliver(&a, 1, 0, 2);
    EXPECT(author_rename(&a, "INBOX", "Old") == OK);
    EXPECT_NUMBER(author_info(&a, "INBOX").exists, 0);
    EXPECT_NUMBER(author_info(&a, "INBOX").uid_next, 8);
    EXPECT_NUMBER(author_info(&a, "Old").exists, 7);
    EXPECT_NUMBER(author_info(&a, "Old").uid_next, 8);
    EXPECT(author_number(&a, "INBOX/below") != 0);
    EXPECT_NUMBER(state_usage(a.state).messages, 7);
    author_done(&a);
}

TEST(state_subscriptions_outlive_mailboxes)
{
    struct author a = author_new();
    struct record c = {.kind = RECORD_CREATE, .create = {.name = VIEW("Sent"), .special_use = MAILBOX_USE_SENT, .subscribes = true}};
    REQUIRE(author_apply(&a, &c) == OK);
    EXPECT(author_info(&a, "Sent").is_subscribed && author_info(&a, "Sent").special_use == MAILBOX_USE_SENT);
    author_delete(&a, "Sent");
    view *names;
    REQUIRE(state_subscriptions(a.state, a.arena, &names) == 1);
    EXPECT_VIEW(names[0], VIEW("Sent"));
    struct record u = {.kind = RECORD_SUBSCRIBE, .subscribe = {VIEW("Sent"), false}};
    REQUIRE(author_apply(&a, &u) == OK);
    EXPECT_NUMBER(state_subscriptions(a.state, a.arena, &names), 0);
    author_done(&a);
}

TEST(state_uid_validity_grows_and_is_set_by_migration)
{
    struct author a = author_new();
    author_create(&a, "a");
    author_create(&a, "b");
    EXPECT(author_info(&a, "b").uid_validity > author_info(&a, "a").uid_validity);
    struct record r = {.kind = RECORD_MAILBOX, .mailbox = {.mailbox = 1, .uid_validity = 1234, .uid_next = 500}};
    REQUIRE(author_apply(&a, &r) == OK);
    EXPECT_NUMBER(author_info(&a, "INBOX").uid_validity, 1234);
    EXPECT_NUMBER(author_info(&a, "INBOX").uid_next, 500);
    r.id = ID_NONE;
    r.mailbox.uid_validity = 1000;
    r.mailbox.uid_next = 400;
    REQUIRE(author_apply(&a, &r) == OK);
    EXPECT_NUMBER(author_info(&a, "INBOX").uid_validity, 1234);
    EXPECT_NUMBER(author_info(&a, "INBOX").uid_next, 500);
    author_done(&a);
}

TEST(state_bodies_are_found_by_rows)
{
    struct author a = author_new();
    for (uint32_t i = 0; i < 5; i++) author_deliver(&a, 1, 0, 10 + i);
    struct unpacked_body bodies[8];
    REQUIRE(state_unpacked(a.state, 2, bodies, 8) == 3);
    EXPECT_NUMBER(bodies[0].sequence, 3);
    EXPECT_NUMBER(bodies[0].place.body_bytes, 12);
    struct row row = {.pack = ROW_IN_JOURNAL, .entry = 4};
    struct body_place place;
    REQUIRE(state_body(a.state, &row, &place));
    EXPECT(place.kind == BODY_IN_JOURNAL && place.record.body_bytes == 13);
    row.entry = 6;
    EXPECT(!state_body(a.state, &row, &place));
    author_done(&a);
}
