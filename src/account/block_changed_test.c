#include <stdlib.h>
#include <string.h>

#include "account/block.h"
#include "account/state.h"
#include "base/test.h"

enum { ROWS = 10 * BLOCK_GROUP_ROWS + 7, BEGIN = 1000, LATER = 5000 };

static uint64_t draw(uint64_t *random)
{
    uint64_t z = *random += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* UIDs with gaps, modseqs that rise from BEGIN. */
static struct row row_like(uint32_t i)
{
    return (struct row){.uid = 7 + i + i / 9, .size_bytes = i, .modseq = BEGIN + i, .internal_date.ms = 1600000000000 + i, .save_date.ms = 1700000000000, .entry = i};
}

static struct block *fill(struct block_pool *pool, uint32_t count)
{
    struct block *b = block_new(pool);
    for (uint32_t i = 0; i < count; i++) {
        struct row row = row_like(i);
        block_push(pool, b, &row, VIEW_EMPTY);
    }
    return b;
}

static void change(struct block_pool *pool, struct block *b, uint32_t index, uint64_t modseq)
{
    block_set_flags(pool, b, index, ROW_FLAGGED, modseq);
    if (modseq > b->highest_modseq) b->highest_modseq = modseq;
}

/* As whoever looks at each row. */
static void expect_found(const struct block *b, uint64_t since)
{
    uint32_t found = block_next_changed(b, 0, since);
    for (uint32_t i = 0; i < b->count; i++) {
        bool is_changed = block_modseq_at(b, i) > since;
        REQUIRE((found == i) == is_changed);
        if (is_changed) found = block_next_changed(b, i + 1, since);
    }
    REQUIRE(found == b->count);
}

static void expect_found_anyway(const struct block *b)
{
    expect_found(b, 0);
    expect_found(b, BEGIN + b->count / 2);
    expect_found(b, LATER - 1);
    expect_found(b, UINT64_MAX);
}

static bool is_drawn(void *argument, uint32_t index, const struct row *row) { return draw(argument) % 3 == 0; }

TEST(account_changed_rows_are_found_whatever_was_done_to_the_block)
{
    struct block_pool pool = {.block_rows = BLOCK_ROWS};
    for (uint64_t seed = 1; seed <= 300; seed++) {
        uint64_t random = seed, modseq = LATER;
        struct block *b = fill(&pool, 1 + (uint32_t)(draw(&random) % ROWS));
        for (unsigned step = 0; step < 12; step++) {
            struct row more = row_like(ROWS + step);
            struct block *copy;
            more.modseq = ++modseq;
            switch (draw(&random) % 5) {
            case 0: block_push(&pool, b, &more, VIEW_EMPTY); break;
            case 1: for (uint32_t i = (uint32_t)(draw(&random) % 4); i < b->count; i += 1 + (uint32_t)(draw(&random) % 90)) change(&pool, b, i, ++modseq); break;
            case 2: block_remove(&pool, b, is_drawn, &random); break;
            case 3: (void)block_slim(&pool, b); break;
            default:
                copy = block_copy(&pool, b);
                if (b->count) change(&pool, b, 0, ++modseq);
                expect_found_anyway(copy);
                block_free(&pool, b);
                b = copy;
            }
            expect_found_anyway(b);
        }
        block_free(&pool, b);
        REQUIRE(pool.memory_bytes == 0);
    }
}

TEST(account_changed_rows_of_a_block_that_was_forgotten_are_found_again)
{
    struct block_pool pool = {.block_rows = BLOCK_ROWS};
    struct block *b = fill(&pool, ROWS), *loaded = block_copy(&pool, b);
    change(&pool, b, 99, LATER);
    change(&pool, loaded, 99, LATER);
    b->place = (struct block_place){.object = 0};
    block_unload(&pool, b, false);
    EXPECT(!b->peaks);
    block_take_rows(&pool, b, loaded);
    block_free(&pool, loaded);
    expect_found_anyway(b);
    EXPECT_NUMBER(block_next_changed(b, 0, LATER - 1), 99);
    block_free(&pool, b);
    EXPECT(pool.memory_bytes == 0);
}

static void expect_ranges(const struct block *b, uint32_t from_uid, uint64_t since, const struct imap_range *ranges, size_t count)
{
    struct imap_set_builder uids = IMAP_SET_BUILDER_INIT;
    block_add_changed(b, from_uid, since, &uids);
    struct imap_set set = imap_set_builder_set(&uids);
    EXPECT_NUMBER(set.count, count);
    for (size_t i = 0; i < count && i < set.count; i++) EXPECT(set.ranges[i].first == ranges[i].first && set.ranges[i].last == ranges[i].last);
    imap_set_builder_done(&uids);
}

TEST(account_changed_rows_are_named_and_few_others)
{
    struct block_pool pool = {.block_rows = BLOCK_ROWS};
    struct block *b = fill(&pool, ROWS);
    uint32_t all_last = b->last_uid, near = 5 + BLOCK_CHANGED_GAP + 1, far = near + BLOCK_CHANGED_GAP + 2;
    uint32_t uid_of_5 = block_uid_at(b, 5), uid_of_near = block_uid_at(b, near), uid_of_far = block_uid_at(b, far), uid_of_300 = block_uid_at(b, 300);
    change(&pool, b, 5, LATER);
    change(&pool, b, near, LATER + 1);
    change(&pool, b, far, LATER + 2);
    change(&pool, b, 300, LATER + 3);
    change(&pool, b, 301, LATER + 3);
    struct imap_range named[] = {{uid_of_5, uid_of_near}, {uid_of_far, uid_of_far}, {uid_of_300, block_uid_at(b, 301)}}, all = {b->first_uid, all_last};
    for (int is_slim = 0; is_slim < 2; is_slim++) {
        EXPECT(!b->slim == !is_slim);
        expect_ranges(b, 1, LATER - 1, named, 3);
        expect_ranges(b, uid_of_near + 1, LATER - 1, named + 1, 2);
        expect_ranges(b, all_last + 1, LATER - 1, NULL, 0);
        expect_ranges(b, 1, LATER + 2, named + 2, 1);
        expect_ranges(b, 1, LATER + 3, NULL, 0);
        expect_ranges(b, 1, BEGIN - 1, &all, 1);
        (void)block_slim(&pool, b);
    }
    b->place = (struct block_place){.object = 0};
    block_unload(&pool, b, false);
    struct imap_range rest = {uid_of_near, all_last};
    expect_ranges(b, 1, LATER + 2, &all, 1);
    expect_ranges(b, uid_of_near, LATER + 2, &rest, 1);
    expect_ranges(b, 1, LATER + 3, NULL, 0);
    block_free(&pool, b);
}

TEST(account_changed_rows_are_named_by_blocks_once_there_are_too_many)
{
    struct block_pool pool = {.block_rows = BLOCK_ROWS};
    struct block *b = fill(&pool, ROWS);
    struct imap_set_builder uids = IMAP_SET_BUILDER_INIT;
    change(&pool, b, 5, LATER);
    change(&pool, b, 300, LATER);
    uint32_t uid = b->last_uid + 2;
    for (uint32_t i = 0; i < BLOCK_CHANGED_RANGES_MAX - 1; i++, uid += 2) imap_set_builder_add(&uids, uid);
    /* (The order of the ranges is of no matter here.) */
    block_add_changed(b, 1, LATER - 1, &uids);
    EXPECT_NUMBER(imap_set_builder_set(&uids).count, BLOCK_CHANGED_RANGES_MAX + 1);
    block_add_changed(b, 1, LATER - 1, &uids);
    struct imap_set set = imap_set_builder_set(&uids);
    EXPECT_NUMBER(set.count, BLOCK_CHANGED_RANGES_MAX + 2);
    EXPECT(set.ranges[set.count - 1].first == b->first_uid && set.ranges[set.count - 1].last == b->last_uid);
    imap_set_builder_done(&uids);
    block_free(&pool, b);
}
