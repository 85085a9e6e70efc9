#include <stdlib.h>
#include <string.h>

#include "account/block.h"
#include "account/state.h"
#include "base/test.h"

enum { ROWS = 500 };

/* Rows as mail brings them, and as nothing good brings them. */
static struct row row_like(uint64_t seed, uint32_t i, bool is_wild)
{
    uint64_t wild = (seed + i) * 0x9e3779b97f4a7c15;
    struct row row = {.uid = 7 + i + i / 9, .size_bytes = (uint32_t)(wild >> 50), .flags = wild >> 60 & ROW_SYSTEM_FLAGS, .modseq = 1000 + i * 3,
                      .internal_date.ms = 1600000000000 + (int64_t)(wild >> 32), .save_date.ms = 1700000000000 + i, .pack = i / 300, .entry = i % 300};
    memset(row.message.bytes, (int)(i & 0xff), sizeof row.message.bytes);
    if (!is_wild) return row;
    row.flags = wild;
    row.size_bytes = i % 2 ? UINT32_MAX : 0;
    row.internal_date.ms = i % 3 ? INT64_MIN / 4 : INT64_MAX / 4;
    row.save_date.ms = -(int64_t)i;
    row.pack = i % 5 ? ROW_ALONE : ROW_IN_JOURNAL;
    row.entry = (uint32_t)wild;
    return row;
}

static struct block *fill(struct block_pool *pool, struct row *rows, uint32_t count, bool is_wild)
{
    struct block *b = block_new(pool);
    for (uint32_t i = 0; i < count; i++) {
        rows[i] = row_like(count, i, is_wild);
        block_push(pool, b, &rows[i], i % 50 == 0 ? VIEW("uidl") : VIEW_EMPTY);
    }
    return b;
}

static void expect_rows(const struct block *b, const struct row *rows, uint32_t count)
{
    REQUIRE(b->count == count);
    for (uint32_t i = 0; i < count; i++) {
        struct row row = block_row(b, i);
        REQUIRE(memcmp(&row, &rows[i], sizeof row) == 0);
        REQUIRE(block_uid_at(b, i) == rows[i].uid && block_modseq_at(b, i) == rows[i].modseq && block_rank(b, rows[i].uid) == i);
    }
}

TEST(account_slim_rows_are_the_rows_and_take_half)
{
    struct block_pool pool = {.block_rows = BLOCK_ROWS};
    struct row *rows = calloc(ROWS, sizeof *rows);
    struct block *b = fill(&pool, rows, ROWS, false);
    size_t before = pool.memory_bytes, gained = block_slim(&pool, b);
    EXPECT(gained > 0 && before - pool.memory_bytes == gained && b->slim && !b->wide);
    EXPECT(slim_rows_bytes(b->slim) < ROWS * sizeof(struct row) * 6 / 10);
    expect_rows(b, rows, ROWS);
    struct row some[7];
    block_read_rows(b, ROWS - 7, 7, some);
    EXPECT(memcmp(some, &rows[ROWS - 7], sizeof some) == 0);
    block_rows(&pool, b)[3].flags = ROW_SEEN;
    rows[3].flags = ROW_SEEN;
    expect_rows(b, rows, ROWS);
    EXPECT(b->wide && !b->slim);
    (void)block_slim(&pool, b);
    struct row more = row_like(ROWS, ROWS, false);
    block_push(&pool, b, &more, VIEW_EMPTY);
    EXPECT(block_row(b, ROWS).uid == more.uid && b->count == ROWS + 1);
    block_free(&pool, b);
    EXPECT(pool.memory_bytes == 0);
    free(rows);
}

TEST(account_rows_that_are_not_alike_are_kept_as_they_are)
{
    struct block_pool pool = {.block_rows = BLOCK_ROWS};
    struct row *rows = calloc(ROWS, sizeof *rows);
    for (uint32_t count = 1; count < ROWS; count += 61) {
        struct block *b = fill(&pool, rows, count, true);
        b->has_journal_rows = false;
        size_t gained = block_slim(&pool, b);
        EXPECT(!gained == !b->slim);
        expect_rows(b, rows, count);
        struct slim_rows *s = slim_rows_new(rows, count);
        for (uint32_t i = 0; s && i < count; i++) {
            struct row row;
            slim_rows_read(s, i, 1, &row);
            REQUIRE(memcmp(&row, &rows[i], sizeof row) == 0);
        }
        slim_rows_free(s);
        block_free(&pool, b);
    }
    EXPECT(pool.memory_bytes == 0);
    free(rows);
}

/* ---- any rows at all, beside wide ones ---- */

static uint64_t draw(uint64_t *random)
{
    uint64_t z = *random += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* Of at most so many bits, which may be none. */
static uint64_t bits(uint64_t number, unsigned most) { return most >= 64 ? number : number & (((uint64_t)1 << most) - 1); }

enum { NUMBERS = 9 };
struct drawn { uint64_t base[NUMBERS]; unsigned width[NUMBERS]; };

static uint64_t number(const struct drawn *d, unsigned n, uint64_t *random) { return d->base[n] + bits(draw(random), d->width[n]); }

static struct row drawn_row(const struct drawn *d, uint64_t *random)
{
    struct row row = {.uid = (uint32_t)number(d, 0, random), .size_bytes = (uint32_t)number(d, 1, random), .flags = number(d, 2, random),
                      .modseq = number(d, 3, random), .internal_date.ms = (int64_t)number(d, 4, random), .save_date.ms = (int64_t)number(d, 5, random),
                      .pack = (uint32_t)number(d, 6, random), .entry = (uint32_t)number(d, 7, random)};
    uint64_t made = number(d, 8, random), rest[2] = {draw(random), draw(random)};
    for (unsigned i = 0; i < 6; i++) row.message.bytes[i] = (unsigned char)(made >> (40 - 8 * i));
    memcpy(row.message.bytes + 6, rest, sizeof row.message.bytes - 6);
    return row;
}

static void change_flags(struct slim_rows *s, struct row *rows, uint32_t count, uint64_t *random)
{
    for (unsigned i = 0; i < 50; i++) {
        uint32_t at = (uint32_t)(draw(random) % count);
        uint64_t flags = bits(draw(random), (unsigned)(draw(random) % 65)), modseq = rows[at].modseq + bits(draw(random), (unsigned)(draw(random) % 40));
        if (!slim_row_set_flags(s, at, flags, modseq)) continue;
        rows[at].flags = flags;
        rows[at].modseq = modseq;
    }
}

static bool are_same(const struct slim_rows *s, const struct row *rows, uint32_t count, uint32_t first)
{
    struct row *read = calloc(count, sizeof *read);
    bool same = true;
    slim_rows_read(s, first, count - first, read);
    for (uint32_t i = first; i < count; i++) {
        struct slim_numbers n = slim_row_numbers(s, i);
        same = same && memcmp(&read[i - first], &rows[i], sizeof *rows) == 0 && slim_row_uid(s, i) == rows[i].uid && slim_row_flags(s, i) == rows[i].flags &&
               slim_row_modseq(s, i) == rows[i].modseq && n.size_bytes == rows[i].size_bytes && n.flags == rows[i].flags && n.modseq == rows[i].modseq;
    }
    free(read);
    return same;
}

/* Copies of copies, of parts: flags that are changed in one are those of no other. */
TEST(account_slim_rows_that_share_memory_change_alone)
{
    struct row *rows = calloc(ROWS, sizeof *rows), *copied[3];
    for (uint64_t seed = 1; seed <= 200; seed++) {
        uint64_t random = seed;
        struct slim_rows *made[3];
        uint32_t counts[3] = {ROWS};
        for (uint32_t i = 0; i < ROWS; i++) rows[i] = row_like(seed, i, false);
        copied[0] = rows;
        made[0] = slim_rows_new(rows, ROWS);
        REQUIRE(made[0]);
        for (unsigned k = 1; k < 3; k++) {
            uint32_t first = (uint32_t)(draw(&random) % counts[k - 1]);
            struct row like = {.uid = (uint32_t)draw(&random) >> 1, .modseq = draw(&random) >> 20, .save_date.ms = (int64_t)(draw(&random) >> 20)};
            counts[k] = 1 + (uint32_t)(draw(&random) % (counts[k - 1] - first));
            made[k] = slim_rows_copy_as(made[k - 1], first, counts[k], &like);
            copied[k] = block_copy_array(copied[k - 1] + first, counts[k] * sizeof *rows);
            for (uint32_t i = 0; i < counts[k]; i++) {
                copied[k][i].uid = like.uid + i;
                copied[k][i].modseq = like.modseq;
                copied[k][i].save_date = like.save_date;
            }
            REQUIRE(are_same(made[k], copied[k], counts[k], 0));
        }
        for (unsigned k = 0; k < 3; k++) {
            unsigned which = (unsigned)((k + seed) % 3);
            change_flags(made[which], copied[which], counts[which], &random);
            for (unsigned i = 0; i < 3; i++) REQUIRE(are_same(made[i], copied[i], counts[i], 0));
        }
        for (unsigned k = 0; k < 3; k++) slim_rows_free(made[(k + seed) % 3]);
        free(copied[1]);
        free(copied[2]);
    }
    free(rows);
}

TEST(account_slim_rows_agree_with_wide_ones_whatever_they_hold)
{
    unsigned made = 0;
    struct row *rows = calloc(ROWS, sizeof *rows);
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        uint64_t random = seed;
        struct drawn d;
        uint32_t count = 1 + (uint32_t)(draw(&random) % ROWS);
        unsigned widest = seed % 3 == 0 ? 64 : 24;
        for (unsigned n = 0; n < NUMBERS; n++) {
            d.base[n] = bits(draw(&random), (unsigned)(draw(&random) % 65)) * (draw(&random) % 2 ? 1 : UINT64_MAX);
            d.width[n] = (unsigned)(draw(&random) % (widest + 1));
        }
        for (uint32_t i = 0; i < count; i++) rows[i] = drawn_row(&d, &random);
        struct slim_rows *s = slim_rows_new(rows, count);
        if (!s) continue;
        made++;
        REQUIRE(are_same(s, rows, count, 0));
        change_flags(s, rows, count, &random);
        struct slim_rows *copy = slim_rows_copy(s);
        slim_rows_free(s);
        REQUIRE(are_same(copy, rows, count, (uint32_t)(draw(&random) % count)));
        slim_rows_free(copy);
    }
    EXPECT(made > 800);
    free(rows);
}

/* ---- places of UIDs ---- */

TEST(account_uids_of_a_block_are_found_however_they_rise)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct block_pool pool = {.block_rows = BLOCK_ROWS};
        struct block *b = block_new(&pool);
        uint64_t random = seed;
        uint32_t count = 1 + (uint32_t)(draw(&random) % ROWS), uids[ROWS], uid = (uint32_t)(draw(&random) % 1000);
        for (uint32_t i = 0; i < count; i++) {
            uint64_t gap = draw(&random);
            uid += 1 + (gap % 7 || seed % 3 == 0 ? 0 : (uint32_t)(gap >> 8 & (seed % 2 ? 0xff : 0xfffff)));
            uids[i] = uid;
            struct row row = row_like(seed, i, false);
            row.uid = uid;
            block_push(&pool, b, &row, VIEW_EMPTY);
        }
        for (uint32_t i = 0, below = 0; i < 2 * count + 20; i++) {
            uint32_t wanted = i < count ? uids[i] : i < 2 * count ? uids[i - count] + 1 : (uint32_t)(draw(&random) % (uid + 2));
            for (below = 0; below < count && uids[below] < wanted;) below++;
            REQUIRE(block_rank(b, wanted) == below);
        }
        block_free(&pool, b);
    }
}
