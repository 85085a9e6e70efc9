/* The commit log on real files: what a crash, a torn write and a bad block leave behind. */
#include "engine/local/commit_log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "engine/local/local_test.h"

enum { SEGMENT_BYTES = LOG_SEGMENT_MIN_BYTES, BIG_BYTES = 1 << 20 };

struct fixture {
    char folder[LOCAL_TEST_FOLDER_BYTES];
    struct commit_log log;
    struct log_block block;
    struct log_damage damage;
    unsigned next;                   /* number of the next block that put() writes */
    unsigned seen[4096], seen_count; /* numbers that a replay found */
    bool has_flushed_all;
};

static result note(void *context, view payload, struct fault *fault)
{
    struct fixture *f = context;
    struct cursor c = cursor_of(payload);
    struct log_entry e;
    while (take_log_entry(&c, &e)) {
        uint64_t number;
        REQUIRE(view_to_u64(e.key, &number) && f->seen_count < 4096);
        f->seen[f->seen_count++] = (unsigned)number;
    }
    EXPECT(cursor_at_end(&c));
    return OK;
}

static void open_log(struct fixture *f)
{
    struct fault fault = {0};
    colour_pretend_worker();
    f->seen_count = 0;
    f->damage = (struct log_damage){0};
    REQUIRE(commit_log_open(&f->log, f->folder, SEGMENT_BYTES, true, &fault) == OK);
    REQUIRE(commit_log_replay(&f->log, note, f, &f->damage, &fault) == OK);
}

static void close_log(struct fixture *f)
{
    colour_pretend_worker();
    commit_log_close(&f->log);
}

static void begin(struct fixture *f)
{
    colour_pretend_worker();
    *f = (struct fixture){.block = {.at = aligned_alloc(LOG_ALIGN, LOG_BLOCK_MAX_BYTES), .capacity = LOG_BLOCK_MAX_BYTES}};
    test_make_folder(f->folder);
    open_log(f);
    EXPECT_NUMBER(f->seen_count, 0);
    REQUIRE(commit_log_make_spare(&f->log, NULL) == OK);
}

static void end(struct fixture *f)
{
    close_log(f);
    test_remove_folder(f->folder);
    free(f->block.at);
}

static void advance(struct fixture *f)
{
    uint64_t full;
    colour_pretend_worker();
    REQUIRE(commit_log_make_spare(&f->log, NULL) == OK);
    REQUIRE(commit_log_advance(&f->log, &full, NULL) == OK);
}

/* One block with one entry that names its number, and `bytes` of value. */
static void put(struct fixture *f, size_t bytes)
{
    char key[16];
    colour_pretend_worker();
    log_block_begin(&f->block);
    int len = snprintf(key, sizeof key, "%u", f->next++);
    memset(log_block_put(&f->block, 1, view_make(key, (size_t)len), bytes), 'v', bytes);
    if (!commit_log_fits(&f->log, &f->block)) advance(f);
    REQUIRE(commit_log_write(&f->log, &f->block, f->next, NULL) == OK);
}

static void put_many(struct fixture *f, unsigned count, size_t bytes)
{
    for (unsigned i = 0; i < count; i++) put(f, bytes);
}

static void expect_seen(struct fixture *f, unsigned from, unsigned before)
{
    EXPECT_NUMBER(f->seen_count, before - from);
    for (unsigned i = 0; i < f->seen_count && from + i < before; i++) EXPECT_NUMBER(f->seen[i], from + i);
}

static void reopen(struct fixture *f)
{
    close_log(f);
    open_log(f);
}

/* Overwrites bytes of a segment file. */
static void spoil(struct fixture *f, unsigned segment, uint64_t at, const void *bytes, size_t len)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%u.log", f->folder, segment);
    int fd = open(path, O_WRONLY);
    REQUIRE(fd >= 0);
    REQUIRE(pwrite(fd, bytes, len, (off_t)at) == (ssize_t)len);
    close(fd);
}

TEST(commit_log_replays_what_was_written_in_order)
{
    static struct fixture f;
    begin(&f);
    put_many(&f, 100, 3000);
    put_many(&f, 30, BIG_BYTES);
    put_many(&f, 100, 10);
    EXPECT(f.log.count > 3);
    reopen(&f);
    expect_seen(&f, 0, 230);
    EXPECT_NUMBER(f.log.next_sequence, 230);
    EXPECT(!f.damage.is_torn && f.damage.lost_blocks == 0);
    end(&f);
}

TEST(commit_log_goes_on_after_a_replay_in_another_segment)
{
    static struct fixture f;
    begin(&f);
    for (unsigned round = 0; round < 12; round++) {
        put_many(&f, 5, 1000);
        reopen(&f);
        /* Nothing was settled: all is there still, until the next block says that it is not needed. */
        EXPECT(f.seen_count >= 5);
        EXPECT_NUMBER(f.seen[f.seen_count - 1], f.next - 1);
        EXPECT_NUMBER(f.log.next_sequence, f.next);
    }
    end(&f);
}

TEST(commit_log_does_not_replay_what_was_settled)
{
    static struct fixture f;
    colour_pretend_worker();
    begin(&f);
    put_many(&f, 10, 1000);
    commit_log_release(&f.log, f.log.generation);
    REQUIRE(commit_log_settle(&f.log, NULL) == OK);
    reopen(&f);
    EXPECT_NUMBER(f.seen_count, 0);
    EXPECT_NUMBER(f.log.next_sequence, 10);
    put_many(&f, 3, 1000);
    reopen(&f);
    expect_seen(&f, 10, 13);
    end(&f);
}

TEST(commit_log_writes_over_released_segments_only)
{
    static struct fixture f;
    colour_pretend_worker();
    begin(&f);
    for (unsigned i = 0; i < 60; i++) {
        put(&f, BIG_BYTES);
        if (f.log.generation > 2) commit_log_release(&f.log, f.log.generation - 2);
    }
    EXPECT(f.log.generation > 6);
    EXPECT(f.log.count <= 4);
    reopen(&f);
    REQUIRE(f.seen_count > 7);
    EXPECT_NUMBER(f.seen[f.seen_count - 1], 59);
    for (unsigned i = 1; i < f.seen_count; i++) EXPECT_NUMBER(f.seen[i], f.seen[i - 1] + 1);
    EXPECT(!f.damage.lost_blocks);
    end(&f);
}

/* The first write into a segment that is used again is cut off: its former content is gone, and nobody misses it. */
TEST(commit_log_survives_a_torn_first_block_of_a_reused_segment)
{
    static struct fixture f;
    static char garbage[2 * LOG_ALIGN];
    colour_pretend_worker();
    begin(&f);
    put_many(&f, 3, 1000);
    advance(&f);
    put_many(&f, 3, 1000);
    commit_log_release(&f.log, 1);
    uint64_t reused = f.log.generation + 1;
    advance(&f);
    REQUIRE(f.log.segments[0].generation == reused);
    memset(garbage, 0xaa, sizeof garbage);
    spoil(&f, 0, 0, garbage, sizeof garbage);
    reopen(&f);
    expect_seen(&f, 3, 6);
    EXPECT(f.damage.lost_blocks == 0);
    end(&f);
}

/* The last write is cut off after any of its pages. */
TEST(commit_log_ends_before_a_torn_block)
{
    static struct fixture f;
    static char zeros[LOG_ALIGN];
    begin(&f);
    put_many(&f, 5, 1000);
    uint64_t at = f.log.at;
    put(&f, 6 * LOG_ALIGN);
    for (unsigned page = 6; page > 0; page--) {
        spoil(&f, 0, at + page * LOG_ALIGN, zeros, sizeof zeros);
        reopen(&f);
        expect_seen(&f, 0, 5);
        EXPECT(f.damage.is_torn && f.damage.lost_blocks == 0);
        EXPECT_NUMBER(f.damage.at, at);
    }
    spoil(&f, 0, at, zeros, sizeof zeros);
    reopen(&f);
    expect_seen(&f, 0, 5);
    EXPECT(!f.damage.is_torn && f.damage.lost_blocks == 0);
    end(&f);
}

TEST(commit_log_tells_of_a_block_that_was_acknowledged_and_cannot_be_read)
{
    static struct fixture f;
    begin(&f);
    put_many(&f, 5, 1000);
    uint64_t at = f.log.at;
    put_many(&f, 5, 1000);
    spoil(&f, 0, at + 500, "damage", 6);
    reopen(&f);
    REQUIRE(f.seen_count == 9);
    EXPECT_NUMBER(f.seen[4], 4);
    EXPECT_NUMBER(f.seen[5], 6);
    EXPECT_NUMBER(f.damage.lost_blocks, 1);
    EXPECT_NUMBER(f.damage.at, at);
    EXPECT_NUMBER(f.damage.generation, 1);
    end(&f);
}

TEST(commit_log_finds_a_segment_whose_first_block_is_damaged)
{
    static struct fixture f;
    begin(&f);
    put_many(&f, 5, 1000);
    advance(&f);
    put_many(&f, 5, 1000);
    spoil(&f, 1, 100, "damage", 6);
    reopen(&f);
    REQUIRE(f.seen_count == 9);
    EXPECT_NUMBER(f.seen[5], 6);
    EXPECT_NUMBER(f.damage.lost_blocks, 1);
    end(&f);
}

TEST(commit_log_finds_an_only_segment_whose_first_block_is_damaged)
{
    static struct fixture f;
    begin(&f);
    put_many(&f, 5, 1000);
    spoil(&f, 0, 100, "damage", 6);
    reopen(&f);
    REQUIRE(f.seen_count == 4);
    EXPECT_NUMBER(f.seen[0], 1);
    end(&f);
}

TEST(commit_log_forgets_what_was_given_up)
{
    static struct fixture f;
    colour_pretend_worker();
    begin(&f);
    put_many(&f, 5, 1000);
    commit_log_abandon(&f.log);
    advance(&f);
    put_many(&f, 2, 1000);
    reopen(&f);
    expect_seen(&f, 5, 7);
    EXPECT(!f.damage.lost_blocks);
    end(&f);
}

/* Mail whose content is a block of the log, as its sender made it up, at the place in a block where another block might begin. */
static void put_false_block(struct fixture *f, struct log_header h)
{
    static char memory[LOG_ALIGN] __attribute__((aligned(4096)));
    struct log_block b = {.at = memory, .capacity = sizeof memory};
    log_block_begin(&b);
    log_block_put(&b, 1, VIEW("777"), 0);
    view made_up = log_block_finish(&b, &h);
    size_t before = LOG_ALIGN - LOG_HEADER_BYTES - LOG_ENTRY_BYTES - 1;
    log_block_begin(&f->block);
    char *value = log_block_put(&f->block, 1, VIEW("5"), before + made_up.len);
    memset(value, 'v', before);
    memcpy(value + before, made_up.at, made_up.len);
    colour_pretend_worker();
    REQUIRE(commit_log_write(&f->log, &f->block, 6, NULL) == OK);
}

static void expect_no_false_block(bool has_salt, bool spoils_first)
{
    static struct fixture f;
    colour_pretend_worker();
    begin(&f);
    if (!has_salt) f.log.salt = 0;
    put_many(&f, 5, 1000);
    f.next++;
    put_false_block(&f, (struct log_header){.generation = 3, .number = 1000, .replay_from = 1, .next_sequence = 1});
    advance(&f);
    put_many(&f, 3, 1000);
    commit_log_release(&f.log, 1);
    if (!has_salt) f.log.salt = 99;
    advance(&f);
    REQUIRE(f.log.segments[0].generation == 3);
    put_many(&f, 2, 2 * LOG_ALIGN);
    REQUIRE(f.log.at == 6 * LOG_ALIGN);
    if (spoils_first) spoil(&f, 0, 100, "damage", 6);
    reopen(&f);
    EXPECT_NUMBER(f.log.next_sequence, f.next);
    if (!spoils_first) expect_seen(&f, 6, 11);
    for (unsigned i = 0; i < f.seen_count; i++) EXPECT(f.seen[i] != 777);
    put(&f, 100);
    reopen(&f);
    EXPECT_NUMBER(f.seen[f.seen_count - 1], f.next - 1);
    end(&f);
}

TEST(commit_log_takes_no_content_for_a_block) { expect_no_false_block(true, false); }
TEST(commit_log_takes_no_content_for_a_block_where_the_first_is_damaged) { expect_no_false_block(true, true); }
TEST(commit_log_reads_what_was_written_before_there_was_a_salt) { expect_no_false_block(false, false); }

/* A write fails when all segments are in use: nobody will say that they are not needed, but they are not. */
TEST(commit_log_goes_on_after_it_was_given_up_with_all_segments_in_use)
{
    static struct fixture f;
    uint64_t full;
    colour_pretend_worker();
    begin(&f);
    while (f.log.count < LOG_SEGMENTS_MAX || f.log.generation < LOG_SEGMENTS_MAX) advance(&f);
    put(&f, 1000);
    commit_log_abandon(&f.log);
    commit_log_set_flush_failed(&f.log, true);               /* else it would wait for ever */
    EXPECT(commit_log_advance(&f.log, &full, NULL) == OK);
    f.next = 5;
    put(&f, 1000);
    reopen(&f);
    expect_seen(&f, 5, 6);
    end(&f);
}

TEST(commit_log_says_when_no_segment_will_be_free)
{
    static struct fixture f;
    uint64_t full;
    colour_pretend_worker();
    begin(&f);
    while (f.log.count < LOG_SEGMENTS_MAX || f.log.generation < LOG_SEGMENTS_MAX) advance(&f);
    put(&f, 1000);
    commit_log_set_flush_failed(&f.log, true);
    EXPECT(commit_log_advance(&f.log, &full, NULL) == UNAVAILABLE);
    commit_log_release(&f.log, 1);
    EXPECT(commit_log_advance(&f.log, &full, NULL) == OK);
    end(&f);
}
