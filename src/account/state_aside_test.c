/* RESTORE in turns: the same comes of it as of RESTORE in one piece, and nobody sees a part. Other records: state_property_test.c. */
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
