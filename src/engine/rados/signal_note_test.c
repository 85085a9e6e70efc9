#include "base/test.h"
#include "engine/rados/signal_note.h"
#include "runtime/random.h"

static struct note note_of(struct id node, uint64_t sequence) { return (struct note){.node = node, .sequence = sequence}; }

TEST(note_is_read_as_it_was_written)
{
    struct id ids[3] = {random_id(), random_id(), random_id()}, node = random_id();
    struct note n = {.node = node, .sequence = 77, .ids = view_make(ids, sizeof ids)}, read;
    buf b = BUF_INIT;
    note_append(&b, &n);
    EXPECT_NUMBER(b.len, 32 + 3 * 16);
    REQUIRE(note_parse(buf_view(&b), &read));
    EXPECT_NUMBER(note_count(&read), 3);
    EXPECT_NUMBER(read.sequence, 77);
    EXPECT(id_equal(read.node, node) && id_equal(note_id(&read, 2), ids[2]) && !read.is_everything);
    for (size_t len = 0; len < b.len; len++) EXPECT(!note_parse(view_make(b.at, len), &read));
    b.at[0] = 2;
    EXPECT(!note_parse(buf_view(&b), &read));
    buf_done(&b);
}

TEST(peers_show_a_gap_and_no_gap_for_what_comes_twice)
{
    struct peers p = {0};
    struct id a = random_id(), b = random_id();
    millis now = {1000};
    EXPECT(peers_heard(&p, &(struct note){.node = a, .sequence = 9}, now));
    EXPECT(peers_heard(&p, &(struct note){.node = b, .sequence = 1}, now));
    struct note n = note_of(a, 10);
    EXPECT(peers_heard(&p, &n, now));
    EXPECT(peers_heard(&p, &n, now));
    n = note_of(a, 12);
    EXPECT(!peers_heard(&p, &n, now));
    n = note_of(a, 13);
    EXPECT(peers_heard(&p, &n, now));
    peers_expect_any(&p);
    n = note_of(a, 99);
    EXPECT(peers_heard(&p, &n, now));
    peers_done(&p);
}

TEST(peers_that_fall_silent_are_told_from_those_that_take_leave)
{
    struct peers p = {0};
    struct id a = random_id(), b = random_id(), c = random_id();
    EXPECT(peers_heard(&p, &(struct note){.node = a, .sequence = 1}, (millis){1000}));
    EXPECT(peers_heard(&p, &(struct note){.node = b, .sequence = 1}, (millis){1000}));
    EXPECT(peers_heard(&p, &(struct note){.node = c, .sequence = 1}, (millis){1000}));
    EXPECT(peers_heard(&p, &(struct note){.node = a, .sequence = 2}, (millis){5000}));
    EXPECT(peers_heard(&p, &(struct note){.node = b, .sequence = 2, .kind = NOTE_LEAVING}, (millis){1500}));
    EXPECT_NUMBER(peers_forget(&p, (millis){4000}), 1);
    EXPECT_NUMBER(p.count, 1);
    EXPECT_NUMBER(peers_forget(&p, (millis){4000}), 0);
    peers_done(&p);
}
