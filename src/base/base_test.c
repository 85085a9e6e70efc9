#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/cursor.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/id.h"
#include "base/list.h"
#include "base/map.h"
#include "base/test.h"
#include "base/utf8.h"

TEST(view_cut_splits_at_the_first_separator)
{
    view rest = VIEW("a:b:c"), head;
    EXPECT(view_cut(&rest, ':', &head));
    EXPECT_VIEW(head, VIEW("a"));
    EXPECT_VIEW(rest, VIEW("b:c"));
    EXPECT(view_cut(&rest, ':', &head) && view_cut(&rest, ':', &head));
    EXPECT_VIEW(head, VIEW("c"));
    EXPECT(!view_cut(&rest, ':', &head));
}

TEST(view_numbers_refuse_what_is_not_wholly_a_number)
{
    uint64_t number;
    EXPECT(view_to_u64(VIEW("18446744073709551615"), &number) && number == UINT64_MAX);
    EXPECT(!view_to_u64(VIEW("18446744073709551616"), &number));
    EXPECT(!view_to_u64(VIEW(""), &number) && !view_to_u64(VIEW("1a"), &number) && !view_to_u64(VIEW("-1"), &number));
    EXPECT(view_to_size(VIEW("5G"), &number) && number == 5ull << 30);
    EXPECT(!view_to_size(VIEW("99999999999T"), &number) && !view_to_size(VIEW("G"), &number));
}

TEST(view_find_ignores_ascii_case_only)
{
    EXPECT_NUMBER(view_find_nocase(VIEW("xxSubJect: y"), VIEW("subject")), 2);
    EXPECT(view_find_nocase(VIEW("sub"), VIEW("subject")) == VIEW_NONE);
    EXPECT(view_equal_nocase(VIEW("AbC"), VIEW("aBc")) && !view_equal_nocase(VIEW("abc"), VIEW("ab")));
}

TEST(buf_numbers_read_back_as_written)
{
    static const uint64_t numbers[] = {0, 1, 127, 128, 300, UINT32_MAX, UINT64_MAX};
    buf b CLEANUP(buf_done) = BUF_INIT;
    for (size_t i = 0; i < array_size(numbers); i++) {
        buf_append_varint(&b, numbers[i]);
        buf_append_le64(&b, numbers[i]);
    }
    struct cursor c = cursor_of(buf_view(&b));
    for (size_t i = 0; i < array_size(numbers); i++) {
        uint64_t varint, fixed;
        REQUIRE(take_varint(&c, &varint) && take_le64(&c, &fixed));
        EXPECT(varint == numbers[i] && fixed == numbers[i]);
    }
    EXPECT(cursor_at_end(&c));
}

TEST(cursor_take_does_not_move_on_failure)
{
    struct cursor c = cursor_of(VIEW("4294967296 rest"));
    uint32_t number;
    EXPECT(!take_number32(&c, &number) && cursor_position(&c) == 0);
    uint64_t wide;
    EXPECT(take_number(&c, UINT64_MAX, &wide) && wide == 4294967296u && take_byte(&c, ' '));
    struct cursor broken = cursor_of(VIEW("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"));
    EXPECT(!take_varint(&broken, &wide) && cursor_position(&broken) == 0);
}

/* What is not freed, the sanitizer tells of. */
TEST(arena_ends_its_children)
{
    struct arena *parent = arena_new(NULL, 1 << 20);
    EXPECT(strcmp(arena_cstr(arena_new(parent, 1000), VIEW("abc")), "abc") == 0);
    EXPECT(strcmp(arena_cstr(arena_new(parent, 1000), VIEW("def")), "def") == 0);
    arena_free(parent);
}

TEST(arena_refuses_more_than_its_budget)
{
    struct arena *a = arena_new(NULL, 4096);
    EXPECT(arena_try_alloc(a, 4096) != NULL);
    EXPECT(arena_try_alloc(a, 1) == NULL);
    arena_reset(a);
    EXPECT(arena_try_alloc(a, 1) != NULL);
    arena_free(a);
}

TEST_ABORTS(arena_alloc_over_budget_is_a_missing_limit)
{
    arena_alloc(arena_new(NULL, 10), 11);
}

TEST(map_keeps_what_was_put_through_growth_and_removal)
{
    enum { COUNT = 5000 };
    static char keys[COUNT][8];
    struct map m = MAP_INIT;
    for (int i = 0; i < COUNT; i++) {
        int len = snprintf(keys[i], sizeof keys[i], "k%d", i);
        EXPECT(map_put(&m, view_make(keys[i], (size_t)len), keys[i]) == NULL);
    }
    for (int i = 0; i < COUNT; i += 2) EXPECT(map_remove(&m, view_of(keys[i])) == keys[i]);
    for (int i = 0; i < COUNT; i++) EXPECT(map_get(&m, view_of(keys[i])) == (i % 2 ? keys[i] : NULL));
    size_t seen = 0, position = 0;
    while (map_next(&m, &position)) seen++;
    EXPECT_NUMBER(seen, COUNT / 2);
    map_done(&m);
}

TEST(crc32c_matches_the_published_value)
{
    /* RFC 3720 appendix B.4 */
    char zeros[32] = {0};
    EXPECT_NUMBER(crc32c(0, view_make(zeros, 32)), 0x8a9136aau);
    EXPECT_NUMBER(crc32c(0, VIEW("123456789")), 0xe3069283u);
    EXPECT_NUMBER(crc32c(crc32c(0, VIEW("1234")), VIEW("56789")), 0xe3069283u);
}

TEST(id_text_reads_back)
{
    struct id i = {{1, 2, 0xab, 0xff}}, back;
    char text[ID_TEXT_LEN + 1];
    EXPECT_VIEW(id_text(i, text), VIEW("0102abff000000000000000000000000"));
    EXPECT(id_parse(view_of(text), &back) && id_equal(i, back));
    EXPECT(!id_parse(VIEW("0102abff00000000000000000000000g"), &back));
}

TEST(utf8_refuses_surrogates_and_overlong_forms)
{
    EXPECT(utf8_is_valid(VIEW("便り \xf0\x9f\x93\xae")));
    EXPECT(!utf8_is_valid(VIEW("\xed\xa0\x80")) && !utf8_is_valid(VIEW("\xc0\x80")) && !utf8_is_valid(VIEW("\xf5\x80\x80\x80")));
    buf b CLEANUP(buf_done) = BUF_INIT;
    utf8_append_repaired(&b, VIEW("a\xff" "b"));
    EXPECT_VIEW(buf_view(&b), VIEW("a\xef\xbf\xbd" "b"));
}

TEST(fault_keeps_the_client_text_on_one_line)
{
    struct fault f = {0};
    EXPECT_NUMBER(fail(&f, IO, "disk %d", 3), IO);
    fault_tell(&f, "no\r\nroom");
    fault_context(&f, "append");
    EXPECT_VIEW(view_of(f.client_text), VIEW("no  room"));
    EXPECT_VIEW(view_of(f.detail), VIEW("append: disk 3"));
}

TEST(list_splice_moves_all)
{
    struct list a, b, one, two;
    list_init(&a);
    list_init(&b);
    list_append(&b, &one);
    list_append(&b, &two);
    list_splice(&a, &b);
    EXPECT(list_is_empty(&b) && list_pop(&a) == &one && list_pop(&a) == &two && list_pop(&a) == NULL);
}
