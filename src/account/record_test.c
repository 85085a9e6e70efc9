#include "account/record.h"

#include <string.h>

#include "base/test.h"

static struct id some_id(unsigned char first)
{
    struct id i = ID_NONE;
    for (size_t k = 0; k < sizeof i.bytes; k++) i.bytes[k] = (unsigned char)(first + k);
    return i;
}

/* What is decoded, encoded again, is the same bytes; every shortened form is corrupt. */
static struct record round_trip(const struct record *r, struct arena *arena)
{
    buf once = BUF_INIT, twice = BUF_INIT;
    struct record again = {0};
    record_encode(&once, r);
    view kept = arena_keep(arena, buf_view(&once));
    REQUIRE(record_decode(kept, arena, &again, NULL) == OK);
    record_encode(&twice, &again);
    EXPECT_VIEW(buf_view(&twice), kept);
    for (size_t len = 0; len < kept.len; len++) {
        struct record unused;
        EXPECT(record_decode(view_slice(kept, 0, len), arena, &unused, NULL) == CORRUPT);
    }
    buf_append_byte(&twice, 0);
    struct record unused;
    EXPECT(record_decode(buf_view(&twice), arena, &unused, NULL) == CORRUPT);
    EXPECT(again.kind == r->kind && id_equal(again.id, r->id) && again.written.ms == r->written.ms);
    buf_done(&once);
    buf_done(&twice);
    return again;
}

TEST(record_append_round_trip)
{
    struct arena *arena = arena_new(NULL, 1 << 20);
    view keywords[] = {VIEW_INIT("$Junk"), VIEW_INIT("work")};
    struct record r = {.kind = RECORD_APPEND, .id = some_id(1), .written = {1700000000123},
                       .append = {.name = VIEW("Archive/2026"), .creates = true, .falls_back = true, .message = some_id(7), .size_bytes = 123456,
                                  .internal_date = {-5000}, .save_date = {1700000000122}, .flags = {ROW_SEEN | ROW_DRAFT, keywords, 2},
                                  .uid = 4000000000u, .uidl = VIEW("UID1-2")}};
    struct record again = round_trip(&r, arena);
    EXPECT_VIEW(again.append.name, r.append.name);
    EXPECT(again.append.creates && again.append.falls_back && !again.append.is_alone);
    EXPECT(id_equal(again.append.message, r.append.message));
    EXPECT_NUMBER(again.append.size_bytes, 123456);
    EXPECT_NUMBER(again.append.internal_date.ms, -5000);
    EXPECT_NUMBER(again.append.save_date.ms, 1700000000122);
    EXPECT_NUMBER(again.append.flags.system, ROW_SEEN | ROW_DRAFT);
    REQUIRE(again.append.flags.keyword_count == 2);
    EXPECT_VIEW(again.append.flags.keywords[1], VIEW("work"));
    EXPECT_NUMBER(again.append.uid, 4000000000u);
    EXPECT_VIEW(again.append.uidl, VIEW("UID1-2"));
    arena_free(arena);
}

TEST(record_sets_round_trip)
{
    struct arena *arena = arena_new(NULL, 1 << 20);
    struct imap_range ranges[] = {{1, 1}, {3, 1000000}, {1000002, 1000002}, {UINT32_MAX, UINT32_MAX}};
    struct record r = {.kind = RECORD_FLAGS, .id = some_id(1), .flags = {.mailbox = 9, .uids = {ranges, 4, false}, .change = FLAGS_REPLACE,
                                                                         .flags = {ROW_FLAGGED, NULL, 0}, .unchanged_since = UINT64_MAX}};
    struct record again = round_trip(&r, arena);
    REQUIRE(again.flags.uids.count == 4);
    EXPECT(memcmp(again.flags.uids.ranges, ranges, sizeof ranges) == 0);
    EXPECT(again.flags.change == FLAGS_REPLACE && again.flags.unchanged_since == UINT64_MAX);
    arena_free(arena);
}

TEST(record_other_kinds_round_trip)
{
    struct arena *arena = arena_new(NULL, 1 << 20);
    struct imap_range ranges[] = {{5, 9}};
    struct imap_set set = {ranges, 1, false};
    struct record_entry entries[] = {
        {VIEW_INIT("/private/comment"), VIEW_INIT("x\0y"), false}, {VIEW_INIT("/shared/comment"), VIEW_INIT(""), false}, {.name = VIEW_INIT("/private/a"), .removes = true}};
    struct record records[] = {
        {.kind = RECORD_COPY, .copy = {1, 2, set, true}},
        {.kind = RECORD_EXPUNGE, .expunge = {3, set, true}},
        {.kind = RECORD_CREATE, .create = {VIEW("a/b"), 5, 77, true}},
        {.kind = RECORD_DELETE, .delete = {8}},
        {.kind = RECORD_RENAME, .rename = {8, VIEW("c")}},
        {.kind = RECORD_SUBSCRIBE, .subscribe = {VIEW("c"), false}},
        {.kind = RECORD_RESTORE, .restore = {0, {1}, {INT64_MAX}, set, VIEW("Restored")}},
        {.kind = RECORD_PURGE, .purge = {{1234}}},
        {.kind = RECORD_MAILBOX, .mailbox = {4, true, 16, 1, 2}},
        {.kind = RECORD_METADATA, .metadata = {4, entries, 3}},
        {.kind = RECORD_REVEAL, .restore = {7, {1}, {2}, set, VIEW_EMPTY}},
    };
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++) {
        records[i].id = some_id((unsigned char)i);
        round_trip(&records[i], arena);
    }
    arena_free(arena);
}

TEST(record_of_a_newer_version_says_so)
{
    struct arena *arena = arena_new(NULL, 1 << 20);
    struct record r = {.kind = RECORD_DELETE, .id = some_id(1), .delete = {2}}, unused;
    struct fault fault = {0};
    buf meta = BUF_INIT;
    record_encode(&meta, &r);
    meta.at[0]++;
    EXPECT(record_decode(buf_view(&meta), arena, &unused, &fault) == CORRUPT);
    EXPECT(view_find_view(view_of(fault.detail), VIEW("newer version")) != VIEW_NONE);
    meta.at[0]--;
    meta.at[1] = 99;
    EXPECT(record_decode(buf_view(&meta), arena, &unused, &fault) == CORRUPT);
    EXPECT(view_find_view(view_of(fault.detail), VIEW("newer version")) != VIEW_NONE);
    buf_done(&meta);
    arena_free(arena);
}

TEST(record_is_valid_knows_the_limits)
{
    char long_name[RECORD_NAME_BYTES_MAX + 1];
    memset(long_name, 'a', sizeof long_name);
    struct record r = {.kind = RECORD_CREATE, .create.name = {long_name, RECORD_NAME_BYTES_MAX}};
    EXPECT(record_is_valid(&r));
    r.create.name.len++;
    EXPECT(!record_is_valid(&r));
    struct imap_range touching[] = {{1, 2}, {3, 4}};
    struct record e = {.kind = RECORD_EXPUNGE, .expunge.uids = {touching, 2, false}};
    EXPECT(!record_is_valid(&e));
    view empty = VIEW_EMPTY;
    struct record f = {.kind = RECORD_FLAGS, .flags.flags = {0, &empty, 1}};
    EXPECT(!record_is_valid(&f));
    f.flags.flags = (struct record_flags){.system = 1 << 6};
    EXPECT(!record_is_valid(&f));
}

TEST(record_knows_the_limits_of_annotations)
{
    static char text[RECORD_ENTRY_VALUE_BYTES_MAX + 1];
    struct record_entry many[9] = {{.name = VIEW_INIT("/shared/comment"), .value = {text, RECORD_ENTRY_VALUE_BYTES_MAX}}};
    struct record r = {.kind = RECORD_METADATA, .metadata = {1, many, 1}};
    EXPECT(record_is_valid(&r));
    many[0].value.len++;
    EXPECT(!record_is_valid(&r));
    many[0].value.len--;
    for (size_t i = 1; i < 9; i++) many[i] = many[0];
    r.metadata.count = 9;
    EXPECT(!record_is_valid(&r));                     /* all together */
    many[0] = (struct record_entry){.value = VIEW_INIT("no name")};
    r.metadata.count = 1;
    EXPECT(!record_is_valid(&r));
    many[0] = (struct record_entry){.name = {text, RECORD_ENTRY_NAME_BYTES_MAX + 1}};
    EXPECT(!record_is_valid(&r));
}
