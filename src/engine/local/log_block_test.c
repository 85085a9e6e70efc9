#include "engine/local/log_block.h"

#include <string.h>

#include "base/check.h"
#include "base/test.h"

static char memory[3 * LOG_ALIGN] __attribute__((aligned(4096)));

static view make_block(struct log_header *h)
{
    struct log_block b = {.at = memory, .capacity = sizeof memory};
    memset(memory, 0xee, sizeof memory);
    log_block_begin(&b);
    memcpy(log_block_put(&b, 1, VIEW("key"), 5), "value", 5);
    log_block_remove(&b, 2, VIEW("gone"));
    log_block_remove_range(&b, 3, VIEW("a"), VIEW("b"));
    return log_block_finish(&b, h);
}

TEST(log_block_reads_back_what_was_written)
{
    struct log_header h = {.generation = 7, .number = 99, .replay_from = 6, .next_sequence = UINT64_C(1) << 40, .salt = UINT64_MAX - 1}, got;
    view block = make_block(&h), payload;
    EXPECT_NUMBER(block.len, LOG_ALIGN);
    REQUIRE(log_header_read(block, &got) == OK);
    EXPECT(memcmp(&got, &h, sizeof h) == 0);
    REQUIRE(log_payload_check(block, &got, &payload) == OK);
    struct cursor c = cursor_of(payload);
    struct log_entry e;
    REQUIRE(take_log_entry(&c, &e) && e.op == LOG_PUT && e.family == 1);
    EXPECT_VIEW(e.key, VIEW("key"));
    EXPECT_VIEW(e.value, VIEW("value"));
    REQUIRE(take_log_entry(&c, &e) && e.op == LOG_REMOVE && e.family == 2);
    EXPECT_VIEW(e.key, VIEW("gone"));
    REQUIRE(take_log_entry(&c, &e) && e.op == LOG_REMOVE_RANGE && e.family == 3);
    EXPECT_VIEW(e.value, VIEW("b"));
    EXPECT(cursor_at_end(&c));
}

TEST(log_block_tells_any_flipped_bit)
{
    struct log_header h = {.generation = 7, .number = 99}, got;
    view block = make_block(&h), payload;
    size_t used = LOG_HEADER_BYTES + h.payload_bytes;
    for (size_t bit = 0; bit < used * 8; bit++) {
        memory[bit / 8] ^= (char)(1 << bit % 8);
        EXPECT(log_header_read(block, &got) == CORRUPT || log_payload_check(block, &got, &payload) == CORRUPT);
        memory[bit / 8] ^= (char)(1 << bit % 8);
    }
    EXPECT(log_header_read(block, &got) == OK);
}

TEST(log_block_cut_short_is_corrupt)
{
    struct log_header h = {.generation = 7}, got;
    view block = make_block(&h), payload;
    for (size_t len = 0; len < LOG_HEADER_BYTES + h.payload_bytes; len++) {
        view cut = view_slice(block, 0, len);
        EXPECT(log_header_read(cut, &got) == CORRUPT || log_payload_check(cut, &got, &payload) == CORRUPT);
    }
}

TEST(log_block_room_counts_the_header_of_each_entry)
{
    struct log_block b = {.at = memory, .capacity = LOG_ALIGN};
    log_block_begin(&b);
    size_t room = LOG_ALIGN - LOG_HEADER_BYTES;
    EXPECT(log_block_has_room(&b, 1, room - LOG_ENTRY_BYTES));
    EXPECT(!log_block_has_room(&b, 1, room - LOG_ENTRY_BYTES + 1));
    EXPECT(!log_block_has_room(&b, 2, room - LOG_ENTRY_BYTES));
    log_block_put(&b, 0, VIEW("k"), room - LOG_ENTRY_BYTES - 1);
    struct log_header h = {0};
    EXPECT_NUMBER(log_block_finish(&b, &h).len, LOG_ALIGN);
}
