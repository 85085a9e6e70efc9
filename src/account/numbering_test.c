/* What a session is told while the mailbox goes on changing. */
#include "account/numbering.h"

#include "account/state_private.h"
#include "account/test_records.h"
#include "base/test.h"

enum { PIECES = 3, ROWS = PIECES * BLOCK_ROWS, INBOX = 1 };

struct telling {
    struct author author;
    struct numbering numbering;
    struct mailbox_changes changes;
    struct imap_set_builder numbers;
};

static struct telling *begin(void)
{
    struct telling *t = calloc(1, sizeof *t);
    REQUIRE(t);
    t->author = author_new();
    for (uint32_t i = 0; i < ROWS; i++) {
        REQUIRE(author_deliver(&t->author, INBOX, 0, 1) == OK);
        arena_reset(t->author.arena);
    }
    numbering_open(&t->numbering, state_mailbox(t->author.state, INBOX));
    return t;
}

static void end(struct telling *t)
{
    numbering_close(&t->numbering);
    mailbox_changes_done(&t->changes);
    imap_set_builder_done(&t->numbers);
    author_done(&t->author);
    free(t);
}

/* Every second message from `first` on. */
static struct imap_set scattered(struct telling *t, uint32_t first)
{
    struct imap_set set = {.ranges = arena_array(t->author.arena, struct imap_range, ROWS / 2)};
    for (uint32_t uid = first; uid <= ROWS; uid += 2) set.ranges[set.count++] = (struct imap_range){uid, uid};
    return set;
}

static void flag_scattered(struct telling *t, uint32_t first)
{
    struct record r = {.kind = RECORD_FLAGS,
                       .flags = {.mailbox = INBOX, .uids = scattered(t, first), .change = FLAGS_ADD, .flags.system = ROW_FLAGGED, .unchanged_since = UINT64_MAX}};
    REQUIRE(author_apply(&t->author, &r) == OK);
}

/* The next piece is of one block; it has the numbers of `count` messages, `step` UIDs apart, from this UID on. */
static void expect_piece(struct telling *t, uint32_t uid, uint32_t step, uint32_t count)
{
    uint32_t wrong = 0, got = 0;
    buf_clear(&t->numbers.ranges);
    REQUIRE(numbering_next_changed(&t->numbering, &t->changes, &t->numbers));
    struct imap_set set = imap_set_builder_set(&t->numbers);
    for (size_t i = 0; i < set.count; i++)
        for (uint32_t number = set.ranges[i].first; number <= set.ranges[i].last; number++) wrong += numbering_uid(&t->numbering, number) != uid + step * got++;
    EXPECT_NUMBER(got, count);
    EXPECT_NUMBER(wrong, 0);
}

TEST(numbering_tells_changes_block_by_block_while_others_change_more)
{
    struct telling *t = begin();
    flag_scattered(t, 1);
    numbering_sync(&t->numbering, true, &t->changes);
    expect_piece(t, 1, 2, BLOCK_ROWS / 2);
    /* Behind what was told, and before it. */
    REQUIRE(author_expunge(&t->author, INBOX, 1, 100, false) == OK);
    REQUIRE(author_expunge(&t->author, INBOX, BLOCK_ROWS + 1, BLOCK_ROWS + 200, false) == OK);
    REQUIRE(author_flag(&t->author, INBOX, 201, 210, FLAGS_ADD, ROW_SEEN) == OK);
    REQUIRE(author_deliver(&t->author, INBOX, 0, 1) == OK);
    expect_piece(t, BLOCK_ROWS + 201, 2, BLOCK_ROWS / 2 - 100);
    expect_piece(t, 2 * BLOCK_ROWS + 1, 2, BLOCK_ROWS / 2);
    EXPECT(!numbering_next_changed(&t->numbering, &t->changes, &t->numbers));
    EXPECT_NUMBER(t->numbering.count, ROWS);
    /* The next time: what came meanwhile. */
    EXPECT(numbering_is_behind(&t->numbering));
    numbering_sync(&t->numbering, true, &t->changes);
    REQUIRE(t->changes.expunged_count == 2);
    EXPECT_NUMBER(ghost_numbers(&t->changes.expunged[1]).last, BLOCK_ROWS + 200);
    EXPECT_NUMBER(t->changes.exists, ROWS - 300 + 1);
    expect_piece(t, 201, 1, 10);
    EXPECT(!numbering_next_changed(&t->numbering, &t->changes, &t->numbers));
    EXPECT(!numbering_is_behind(&t->numbering));
    end(t);
}

TEST(numbering_tells_again_what_could_not_be_told)
{
    struct telling *t = begin();
    flag_scattered(t, 1);
    numbering_knows(&t->numbering, 0, t->author.outcome.modseq);
    flag_scattered(t, 2);
    numbering_sync(&t->numbering, false, &t->changes);
    expect_piece(t, 2, 2, BLOCK_ROWS / 2);
    numbering_tell_again(&t->numbering, &t->changes);
    EXPECT(numbering_is_behind(&t->numbering));
    numbering_sync(&t->numbering, false, &t->changes);
    for (uint32_t i = 0; i < PIECES; i++) expect_piece(t, 2 + i * BLOCK_ROWS, 2, BLOCK_ROWS / 2);
    EXPECT(!numbering_next_changed(&t->numbering, &t->changes, &t->numbers));
    end(t);
}

TEST(numbering_keeps_ghosts_where_numbers_must_stay)
{
    struct telling *t = begin();
    REQUIRE(author_expunge(&t->author, INBOX, 11, 20, false) == OK);
    REQUIRE(author_expunge(&t->author, INBOX, BLOCK_ROWS - 9, BLOCK_ROWS + 10, false) == OK);
    REQUIRE(author_flag(&t->author, INBOX, 1, ROWS, FLAGS_ADD, ROW_SEEN) == OK);
    numbering_sync(&t->numbering, false, &t->changes);
    EXPECT(t->changes.expunged_count == 0 && t->numbering.count == ROWS);
    buf_clear(&t->numbers.ranges);
    while (numbering_next_changed(&t->numbering, &t->changes, &t->numbers)) continue;
    struct imap_set set = imap_set_builder_set(&t->numbers);
    const struct imap_range want[] = {{1, 10}, {21, BLOCK_ROWS - 10}, {BLOCK_ROWS + 11, ROWS}};
    REQUIRE(set.count == 3);
    for (unsigned i = 0; i < 3; i++) EXPECT(set.ranges[i].first == want[i].first && set.ranges[i].last == want[i].last);
    end(t);
}
