/* The index of an account: made by compaction, right whatever happens to it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account/indexing.h"
#include "account/search.h"
#include "account/search_reader.h"
#include "account/test_world.h"
#include "base/check.h"
#include "base/test.h"
#include "runtime/clock.h"

struct counts { unsigned no, yes, maybe; };

MAY_YIELD static void deliver_text(struct world *w, unsigned number, size_t padding)
{
    struct fault fault;
    char text[200];
    struct draft *d = draft_new(world_here(w), (struct id){{0, 0, 1, (unsigned char)(w->messages++ & 0xff), (unsigned char)(w->messages >> 8), [15] = 9}}, 1 << 20);
    snprintf(text, sizeof text, "Subject: number%u\r\n\r\n%s message%u に東京都の%s\r\n", number, number % 3 ? "common" : "rare", number, number % 2 ? "会議" : "旅行");
    REQUIRE(draft_write(d, view_of(text), clock_in(60000), &fault) == OK);
    for (size_t i = 0; i < padding; i += 50) REQUIRE(draft_write(d, VIEW("paddingpadding paddingpaddingpadding paddingpaddi\r\n"), clock_in(60000), &fault) == OK);
    struct delivery to = {.account = w->account};
    accounts_deliver(world_here(w), d, &to, 1, clock_in(60000));
    REQUIRE(to.code == OK);
    draft_free(d);
}

MAY_YIELD static struct counts look_for(struct account *a, unsigned zones, const char *needle)
{
    struct search_hits *h;
    struct fault fault;
    struct counts n = {0};
    REQUIRE(account_refresh(a, clock_in(60000), &fault) == OK);
    REQUIRE(account_search(a, zones, view_of(needle), clock_in(60000), &h, &fault) == OK);
    for (uint32_t i = 1; i <= count_of(a, INBOX); i++) {
        struct row row;
        REQUIRE(read_row(a, INBOX, i, &row) == OK);
        enum search_verdict v = search_hits_verdict(h, &row);
        if (v == SEARCH_NO) n.no++;
        else if (v == SEARCH_YES) n.yes++;
        else n.maybe++;
    }
    search_hits_free(h);
    return n;
}

#define EXPECT_COUNTS(got, want_no, want_yes, want_maybe)                                                       \
    do {                                                                                                        \
        struct counts n_ = (got);                                                                               \
        EXPECT_NUMBER(n_.no, want_no);                                                                          \
        EXPECT_NUMBER(n_.yes, want_yes);                                                                        \
        EXPECT_NUMBER(n_.maybe, want_maybe);                                                                    \
    } while (0)

enum { ALL_ZONES = (1 << ZONES) - 1 };

MAY_YIELD static void compact_now(struct account *a)
{
    struct fault fault = {0};
    result code = account_compact(a, clock_in(600000), &fault);
    if (code != OK) test_fail(__FILE__, __LINE__, "compaction: %s", fault.detail);
}

MAY_YIELD static void follows_messages(void *argument)
{
    struct world *w = argument;
    for (unsigned i = 0; i < 30; i++) deliver_text(w, i, 0);
    struct account *a = open_account(w);
    EXPECT_COUNTS(look_for(a, ALL_ZONES, "rare"), 0, 0, 30);
    compact_now(a);
    EXPECT_COUNTS(look_for(a, ALL_ZONES, "rare"), 20, 10, 0);
    EXPECT_COUNTS(look_for(a, 1 << ZONE_SUBJECT, "number7"), 29, 1, 0);
    EXPECT_COUNTS(look_for(a, 1 << ZONE_BODY, "number7"), 30, 0, 0);
    EXPECT_COUNTS(look_for(a, ALL_ZONES, "会議"), 15, 15, 0);
    EXPECT_COUNTS(look_for(a, ALL_ZONES, "東京都"), 0, 30, 0);
    EXPECT_COUNTS(look_for(a, ALL_ZONES, "京都の旅"), 15, 0, 15);
    EXPECT_COUNTS(look_for(a, ALL_ZONES, "rare message"), 20, 0, 10);
    for (unsigned i = 0; i < 5; i++) deliver_text(w, 100 + i, 0);
    EXPECT_COUNTS(look_for(a, ALL_ZONES, "rare"), 20, 10, 5);
    deliver_text(w, 0, 100 << 10);
    deliver_text(w, 1, 100 << 10);
    EXPECT_COUNTS(look_for(a, ALL_ZONES, "rare"), 20, 10, 7);
    compact_now(a);
    EXPECT_COUNTS(look_for(a, ALL_ZONES, "rare"), 25, 12, 0);
    account_close(a);
}

static void on_one_node(uint64_t seed, void (*run)(void *argument))
{
    struct world *w = world_open(seed, 1, 1);
    REQUIRE(world_run(w, 0, run, w));
    world_close(w);
}

TEST(account_search_follows_messages) { on_one_node(3, follows_messages); }

/* Removes the object of each segment of the list. */
MAY_YIELD static void lose_segments(struct world *w, struct account *a)
{
    struct search_list list;
    char name[OBJECT_NAME_MAX];
    search_list_copy(&list, state_search(account_state(a)));
    REQUIRE(list.count > 0);
    for (size_t i = 0; i < list.count; i++)
        REQUIRE(object_remove(accounts_engine(world_here(w)), account_object_name(w->account, list.segments[i].object, name), clock_in(60000), NULL) == OK);
    search_list_done(&list);
}

MAY_YIELD static void fills(void *argument)
{
    struct world *w = argument;
    for (unsigned i = 0; i < 30; i++) deliver_text(w, i, i % 10 == 0 ? 100 << 10 : 0);
    struct account *a = open_account(w);
    compact_now(a);
    EXPECT_COUNTS(look_for(a, ALL_ZONES, "rare"), 20, 10, 0);
    account_close(a);
}

MAY_YIELD static void loses(void *argument)
{
    struct world *w = argument;
    struct account *a = open_account(w);
    EXPECT_COUNTS(look_for(a, ALL_ZONES, "rare"), 20, 10, 0);
    lose_segments(w, a);
    account_close(a);
}

MAY_YIELD static void finds_without_and_mends(void *argument)
{
    struct world *w = argument;
    struct account *a = open_account(w);
    EXPECT_COUNTS(look_for(a, ALL_ZONES, "rare"), 0, 0, 30);
    EXPECT(account_wants_indexing(a));
    struct account_verify v = {0}, after = {0};
    struct fault fault;
    REQUIRE(account_verify(a, &v, clock_in(600000), &fault) == OK);
    EXPECT(v.problems > 0);
    compact_now(a);
    REQUIRE(account_verify(a, &after, clock_in(600000), &fault) == OK);
    EXPECT_NUMBER(after.problems, 0);
    EXPECT_COUNTS(look_for(a, ALL_ZONES, "rare"), 20, 10, 0);
    EXPECT(!account_wants_indexing(a));
    account_close(a);
}

TEST(account_search_mends_what_was_lost)
{
    struct world *w = world_open(4, 1, 1);
    REQUIRE(world_run(w, 0, fills, w));
    REQUIRE(world_run(w, 0, loses, w));
    world_kill(w, 0);
    REQUIRE(world_run(w, 0, finds_without_and_mends, w));
    world_kill(w, 0);
    REQUIRE(world_run(w, 0, loses, w));
    world_close(w);
}

/* Each byte of a segment, one at a time, in steps: what is found is right or nothing is said. */
MAY_YIELD static void damages(void *argument)
{
    struct world *w = argument;
    struct account *a = open_account(w);
    struct engine *e = accounts_engine(world_here(w));
    char name[OBJECT_NAME_MAX];
    buf bytes CLEANUP(buf_done) = BUF_INIT;
    uint64_t size;
    view object = account_object_name(w->account, state_search(account_state(a))->segments[0].object, name);
    REQUIRE(object_size(e, object, clock_in(60000), &size, NULL) == OK);
    REQUIRE(object_read(e, object, 0, (size_t)size, clock_in(60000), &bytes, NULL) == OK);
    for (size_t at = 0; at < bytes.len; at += 97) {
        account_drop_search(a);
        bytes.at[at] ^= 0x21;
        REQUIRE(object_remove(e, object, clock_in(60000), NULL) == OK);
        REQUIRE(object_put(e, object, buf_view(&bytes), clock_in(60000), NULL) == OK);
        struct counts n = look_for(a, ALL_ZONES, "rare");
        EXPECT_NUMBER(n.no + n.yes + n.maybe, 30);
        EXPECT(n.maybe == 30 || (n.no == 20 && n.yes == 10));
        bytes.at[at] ^= 0x21;
    }
    account_close(a);
}

TEST(account_search_believes_no_damaged_segment)
{
    struct world *w = world_open(5, 1, 1);
    REQUIRE(world_run(w, 0, fills, w));
    REQUIRE(world_run(w, 0, damages, w));
    world_close(w);
}

MAY_YIELD static void merges(void *argument)
{
    struct world *w = argument;
    struct account *a = open_account(w);
    uint64_t documents, segments;
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 6; i++) deliver_text(w, round * 6 + i, i == 3 ? 70 << 10 : 0);
        compact_now(a);
    }
    account_search_size(a, &documents, &segments);
    EXPECT_NUMBER(documents, 120);
    EXPECT(segments < 10);
    EXPECT_COUNTS(look_for(a, ALL_ZONES, "rare"), 80, 40, 0);
    EXPECT_COUNTS(look_for(a, 1 << ZONE_SUBJECT, "number77"), 119, 1, 0);
    struct account_verify v = {0};
    struct fault fault;
    REQUIRE(account_verify(a, &v, clock_in(600000), &fault) == OK);
    EXPECT_NUMBER(v.problems, 0);
    account_close(a);
}

TEST(account_search_keeps_few_segments) { on_one_node(6, merges); }

/* A level that has no index yet: all is as before; when it rises, the index is made of what is there. */
MAY_YIELD static void is_behind(void *argument)
{
    struct world *w = argument;
    struct account *a = open_account(w);
    accounts_set_feature_level(world_here(w), FEATURE_SEARCH - 1);
    for (unsigned i = 0; i < 30; i++) deliver_text(w, i, i % 10 == 0 ? 100 << 10 : 0);
    compact_now(a);
    EXPECT_COUNTS(look_for(a, ALL_ZONES, "rare"), 0, 0, 30);
    accounts_set_feature_level(world_here(w), FEATURE_SEARCH);
    compact_now(a);
    EXPECT_COUNTS(look_for(a, ALL_ZONES, "rare"), 20, 10, 0);
    account_close(a);
}

TEST(account_search_catches_up_after_an_upgrade) { on_one_node(7, is_behind); }

/* Two nodes in turns: who compacts, who delivers, who dies; whatever the index says of a message is right. */
struct turn { struct world *w; unsigned round; };

MAY_YIELD static void expect_right(struct account *a, const char *needle, bool (*has)(unsigned number))
{
    struct search_hits *h;
    struct fault fault;
    REQUIRE(account_refresh(a, clock_in(60000), &fault) == OK);
    REQUIRE(account_search(a, ALL_ZONES, view_of(needle), clock_in(60000), &h, &fault) == OK);
    for (uint32_t i = 1; i <= count_of(a, INBOX); i++) {
        struct row row;
        REQUIRE(read_row(a, INBOX, i, &row) == OK);
        enum search_verdict v = search_hits_verdict(h, &row);
        EXPECT(v == SEARCH_MAYBE || (v == SEARCH_YES) == has(i - 1));
    }
    search_hits_free(h);
}

static bool is_rare(unsigned number) { return number % 3 == 0; }
static bool is_meeting(unsigned number) { return number % 2 == 1; }

MAY_YIELD static void takes_turn(void *argument)
{
    struct turn *t = argument;
    struct account *a = open_account(t->w);
    struct fault fault;
    for (unsigned i = 0; i < 5; i++) deliver_text(t->w, t->round * 5 + i, i == 2 ? 70 << 10 : 0);
    expect_right(a, "rare", is_rare);
    if (t->round % 3) compact_now(a);
    if (t->round % 7 == 6) lose_segments(t->w, a);
    expect_right(a, "会議", is_meeting);
    expect_right(a, "rare", is_rare);
    struct account_verify v = {0};
    if (t->round % 7 == 0) REQUIRE(account_verify(a, &v, clock_in(600000), &fault) == OK);
    account_close(a);
}

TEST(account_search_is_right_among_nodes)
{
    for (uint64_t seed = 20; seed < 23; seed++) {
        struct world *w = world_open(seed, 2, 1);
        for (unsigned round = 0; round < 24; round++) {
            struct turn t = {w, round};
            REQUIRE(world_run(w, (unsigned)(round * seed) % 5 % 2, takes_turn, &t));
            if (round % 5 == 4) world_kill(w, round % 2);
        }
        world_close(w);
    }
}
