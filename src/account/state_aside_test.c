/* RESTORE in turns: the same comes of it as of RESTORE in one piece, and nobody sees a part. Other records: state_property_test.c. And what needs none. */
#include <string.h>

#include "account/state_private.h"
#include "account/test_records.h"
#include "base/check.h"
#include "base/test.h"

enum { ROWS = 40 };

struct look { struct state *state; uint64_t sequence; struct usage usage; size_t names; unsigned count; };

static void look(void *argument)
{
    struct look *l = argument;
    l->count++;
    if (l->state->sequence != l->sequence) return;           /* it has taken effect */
    EXPECT(l->state->usage.messages == l->usage.messages && l->state->usage.expunged_messages == l->usage.expunged_messages);
    EXPECT_NUMBER(l->state->name_count, l->names);
    const struct mailbox *inbox = state_mailbox(l->state, INBOX_NUMBER);
    EXPECT(inbox->highest_modseq <= l->sequence && inbox->unseen <= inbox->exists);
}

static void deliver(struct author *a, uint32_t mailbox, view keyword)
{
    struct record r = {.kind = RECORD_APPEND, .append = {.mailbox = mailbox, .message = author_id(a), .size_bytes = 7, .uidl = keyword,
                                                         .flags = {.keywords = &keyword, .keyword_count = 1, .system = ROW_DELETED}}};
    REQUIRE(author_apply(a, &r) == OK);
}

/* Expunged: the odd ones of INBOX, all of Work by two records, all of a mailbox that is gone; Old is a name that cannot be selected. */
static struct author author_with_graves(uint32_t block_rows)
{
    struct author a = author_new();
    a.state->pool.block_rows = block_rows;
    author_create(&a, "Work");
    author_create(&a, "Old/x");
    for (uint32_t i = 0; i < ROWS; i++) {
        deliver(&a, INBOX_NUMBER, VIEW("inbox"));
        deliver(&a, author_number(&a, "Work"), i % 2 ? VIEW("work") : VIEW("other"));
        deliver(&a, author_number(&a, "Old"), VIEW("old"));
    }
    for (uint32_t i = 1; i <= ROWS; i += 2) author_expunge(&a, INBOX_NUMBER, i, i, false);
    author_expunge(&a, author_number(&a, "Work"), 1, ROWS / 2, false);
    author_expunge(&a, author_number(&a, "Work"), ROWS / 2 + 1, ROWS, false);
    author_delete(&a, "Old");
    return a;
}

static void found_none(void *argument, view what) { test_fail(__FILE__, __LINE__, "found " VIEW_FMT, VIEW_ARG(what)); }

static void restore_both(struct author *plain, struct author *turned, struct record r, bool expects_turns)
{
    unsigned char left[32], right[32];
    struct record again = r;
    struct look l = {turned->state, turned->state->sequence, turned->state->usage, turned->state->name_count, 0};
    const struct state_turns turns = {look, &l};
    EXPECT(state_wants_turns(turned->state, &r) == expects_turns);
    turned->turns = &turns;
    result code = author_apply(plain, &r);
    EXPECT(author_apply(turned, &again) == code);
    turned->turns = NULL;
    const struct outcome *a = &plain->outcome, *b = &turned->outcome;
    EXPECT(a->mailbox == b->mailbox && a->uid_validity == b->uid_validity && a->modseq == b->modseq && a->result_uids.count == b->result_uids.count);
    for (size_t i = 0; i < a->result_uids.count && i < b->result_uids.count; i++)
        EXPECT(a->result_uids.ranges[i].first == b->result_uids.ranges[i].first && a->result_uids.ranges[i].last == b->result_uids.ranges[i].last);
    state_digest(plain->state, left);
    state_digest(turned->state, right);
    EXPECT(memcmp(left, right, sizeof left) == 0);
    EXPECT_NUMBER(state_check(turned->state, found_none, NULL), 0);
    EXPECT((l.count > 0) == expects_turns);
}

static void both(struct record r, bool expects_turns)
{
    for (uint32_t block_rows = 8; block_rows <= 64; block_rows *= 2) {
        struct author plain = author_with_graves(block_rows), turned = author_with_graves(block_rows);
        state_set_turn_rows(turned.state, 1);
        restore_both(&plain, &turned, r, expects_turns);
        /* What is left, into where it was. */
        struct record rest = {.kind = RECORD_RESTORE, .restore.until = {INT64_MAX}};
        restore_both(&plain, &turned, rest, state_usage(turned.state).expunged_messages > 1);
        EXPECT_NUMBER(state_usage(turned.state).expunged_messages, 0);
        author_done(&plain);
        author_done(&turned);
    }
}

static struct record restore(uint32_t mailbox, view into)
{
    return (struct record){.kind = RECORD_RESTORE, .restore = {.mailbox = mailbox, .until = {INT64_MAX}, .into = into}};
}

TEST(state_restore_in_turns_comes_to_the_same)
{
    struct author a = author_with_graves(8);
    uint32_t work = author_number(&a, "Work"), gone = author_number(&a, "Old/x") - 1;
    author_done(&a);
    both(restore(0, VIEW_EMPTY), true);
    both(restore(work, VIEW_EMPTY), true);
    both(restore(gone, VIEW_EMPTY), true);
    both(restore(INBOX_NUMBER, VIEW("Work")), true);
    both(restore(0, VIEW("Work")), true);
    both(restore(0, VIEW("inbox")), true);
    both(restore(work, VIEW("Made/below/it")), true);
    both(restore(0, VIEW("Old")), true);
    both(restore(0, VIEW("not//a name")), false);
    both(restore(4711, VIEW_EMPTY), false);
    struct imap_range some[] = {{2, 5}, {7, 7}, {30, 500}};
    struct record r = restore(0, VIEW("Old/y"));
    r.restore.uids = (struct imap_set){.ranges = some, .count = array_size(some)};
    both(r, true);
    r.restore.mailbox = INBOX_NUMBER;
    r.restore.until.ms = AUTHOR_BEGINS_MS + 1000 * (2 + 3 * ROWS + 10);
    both(r, true);
}

/* ---- FLAGS in parts ---- */

/* Every fourth UID is gone, and 101 to 180. */
static struct author author_with_gaps(void)
{
    struct author a = author_new();
    a.state->pool.block_rows = 16;
    for (uint32_t i = 1; i <= 300; i++) REQUIRE(author_deliver(&a, INBOX_NUMBER, 0, 1) == OK);
    for (uint32_t i = 4; i <= 300; i += 4) REQUIRE(author_expunge(&a, INBOX_NUMBER, i, i, false) == OK);
    REQUIRE(author_expunge(&a, INBOX_NUMBER, 101, 180, false) == OK);
    state_set_turn_rows(a.state, 2);
    return a;
}

/* Parts rise and are all of it; each is applied without turns, and but for the last none is small for its rows. */
static unsigned cut(struct author *a, const struct imap_range *ranges, size_t count)
{
    struct imap_set uids = {.ranges = (struct imap_range *)ranges, .count = count}, part;
    struct imap_set_builder room CLEANUP(imap_set_builder_done) = IMAP_SET_BUILDER_INIT, all CLEANUP(imap_set_builder_done) = IMAP_SET_BUILDER_INIT;
    uint64_t from = 0, before = 0;
    unsigned parts = 0;
    while (state_cut_flags(a->state, INBOX_NUMBER, &uids, &from, &room, &part)) {
        REQUIRE(part.count > 0 && part.ranges[0].first >= before && part.ranges[part.count - 1].last < from);
        struct record r = {.kind = RECORD_FLAGS, .flags = {.mailbox = INBOX_NUMBER, .uids = part, .flags.system = ROW_SEEN, .unchanged_since = UINT64_MAX}};
        EXPECT(!state_wants_turns(a->state, &r));
        for (size_t i = 0; i < part.count; i++) imap_set_builder_add_range(&all, part.ranges[i].first, part.ranges[i].last);
        before = from;
        parts++;
    }
    struct imap_set together = imap_set_builder_set(&all);
    REQUIRE(together.count == count);
    EXPECT(count == 0 || memcmp(together.ranges, ranges, count * sizeof *ranges) == 0);
    return parts;
}

TEST(state_flags_of_many_are_cut_into_records_without_turns)
{
    struct author a = author_with_gaps();
    struct imap_range all = {1, 300}, beyond = {1, UINT32_MAX}, few = {290, 4000000000}, scattered[] = {{1, 3}, {5, 30}, {40, 40}, {90, 182}, {185, 400}, {500, 600}};
    struct imap_range none[] = {{101, 180}, {400, 500}}, singles[100];
    EXPECT_NUMBER(author_info(&a, "INBOX").exists, 165);
    EXPECT_NUMBER(cut(&a, &all, 1), (165 + 7) / 8);          /* eight of sixteen that need no turns */
    EXPECT_NUMBER(cut(&a, &beyond, 1), (165 + 7) / 8);
    EXPECT_NUMBER(cut(&a, &few, 1), 1);
    EXPECT_NUMBER(cut(&a, none, array_size(none)), 1);
    EXPECT(cut(&a, scattered, array_size(scattered)) >= (3 + 20 + 8 + 1 + 86 + 7) / 8);
    for (uint32_t i = 0; i < array_size(singles); i++) singles[i] = (struct imap_range){1 + 2 * i, 1 + 2 * i};
    EXPECT_NUMBER(cut(&a, singles, 100), 13);
    EXPECT_NUMBER(cut(&a, singles, 8), 1);
    EXPECT_NUMBER(cut(&a, singles, 0), 0);
    /* What is no record of many is as it was given: nothing is copied. */
    struct imap_set uids = {.ranges = &few, .count = 1}, part;
    struct imap_set_builder room = IMAP_SET_BUILDER_INIT;
    uint64_t from = 0;
    REQUIRE(state_cut_flags(a.state, INBOX_NUMBER, &uids, &from, &room, &part));
    EXPECT(part.ranges == &few && part.count == 1 && room.ranges.len == 0);
    EXPECT(!state_cut_flags(a.state, INBOX_NUMBER, &uids, &from, &room, &part));
    /* A mailbox that is gone: the record says so. */
    uids.ranges = &all;
    from = 0;
    REQUIRE(state_cut_flags(a.state, 4711, &uids, &from, &room, &part));
    EXPECT(part.count == 1 && !state_cut_flags(a.state, 4711, &uids, &from, &room, &part));
    author_done(&a);
}

/* ---- EXPUNGE in parts ---- */

/* The parts are expunged as they are cut; each touches the rows of two blocks at most that stay in part. */
static unsigned expunge_in_parts(struct author *a, struct imap_set uids, uint64_t *ret_expunged)
{
    struct imap_set_builder room CLEANUP(imap_set_builder_done) = IMAP_SET_BUILDER_INIT;
    struct imap_set part;
    uint64_t from = 0, before = 0;
    unsigned parts = 0;
    *ret_expunged = 0;
    while (state_cut_expunge(a->state, INBOX_NUMBER, &uids, &from, &room, &part)) {
        REQUIRE(part.count > 0 && part.ranges[0].first >= before && part.ranges[part.count - 1].last < from);
        struct record r = {.kind = RECORD_EXPUNGE, .expunge = {.mailbox = INBOX_NUMBER, .uids = part, .only_deleted = true}};
        REQUIRE(author_apply(a, &r) == OK);
        uint64_t went = imap_set_size(&a->outcome.source_uids);
        EXPECT(went > 0);
        *ret_expunged += went;
        before = from;
        parts++;
    }
    return parts;
}

TEST(state_expunge_of_scattered_messages_is_cut_between_blocks)
{
    struct author a = author_with_gaps();
    struct imap_range all = {1, 300}, some[] = {{1, 60}, {190, 230}};
    struct imap_set everything = {.ranges = &all, .count = 1};
    uint64_t went;
    state_set_turn_rows(a.state, 32);
    for (uint32_t i = 1; i <= 300; i += 6) REQUIRE(author_flag(&a, INBOX_NUMBER, i, i, FLAGS_ADD, ROW_DELETED) == OK);
    uint32_t deleted = author_info(&a, "INBOX").deleted;
    unsigned parts = expunge_in_parts(&a, (struct imap_set){.ranges = some, .count = 2}, &went);
    EXPECT_NUMBER(went, deleted - author_info(&a, "INBOX").deleted);
    EXPECT(parts > 1);
    deleted -= (uint32_t)went;
    parts = expunge_in_parts(&a, everything, &went);
    EXPECT(parts > 2 && went == deleted && author_info(&a, "INBOX").deleted == 0);
    /* Nothing to take out, and all of it: one record. */
    struct imap_set_builder room CLEANUP(imap_set_builder_done) = IMAP_SET_BUILDER_INIT;
    struct imap_set part;
    uint64_t from = 0;
    REQUIRE(state_cut_expunge(a.state, INBOX_NUMBER, &everything, &from, &room, &part));
    EXPECT(part.ranges == everything.ranges && !state_cut_expunge(a.state, INBOX_NUMBER, &everything, &from, &room, &part));
    REQUIRE(author_flag(&a, INBOX_NUMBER, 1, 300, FLAGS_ADD, ROW_DELETED) == OK);
    EXPECT_NUMBER(expunge_in_parts(&a, everything, &went), 1);
    EXPECT_NUMBER(author_info(&a, "INBOX").exists, 0);
    author_done(&a);
}
