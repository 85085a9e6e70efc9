/* Nodes with the maintenance role, on simulated nodes that share a store where blind appends tell nothing. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account/test_world.h"
#include "base/check.h"
#include "base/test.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/event.h"
#include "runtime/random.h"
#include "upkeep/upkeep.h"

enum { SOON_MS = 60000, DAY_MS = 24 * 3600 * 1000 };

/* Each node may have an upkeep of its own. */
struct house {
    struct world *world;
    struct upkeep_options options;
    struct upkeep *upkeep[WORLD_NODES_MAX];
    struct id first;                     /* of the accounts, which differ in their first two bytes */
    unsigned accounts, deliveries;
    size_t bytes;
};

static struct id account_of(const struct house *h, unsigned number)
{
    struct id id = h->first;
    id.bytes[0] = (unsigned char)number;
    id.bytes[1] = (unsigned char)(number >> 8);
    return id;
}

static struct house *house_open(uint64_t seed, unsigned nodes, struct accounts_options options)
{
    struct house *h = calloc(1, sizeof *h);
    check(h);
    struct world *w = h->world = world_open(seed, nodes, 2);
    memory_store_set_faults(w->store, &(struct memory_faults){.delay_max_us = 2000, .blind_appends_tell_nothing = true});
    h->first = w->account;
    for (unsigned i = 0; i < nodes; i++) {
        world_down(w, i);
        /* The first delivers and has no other role. */
        w->options = options;
        w->options.leaves_upkeep = i == 0;
        world_up(w, i);
    }
    h->options = (struct upkeep_options){.look_ms = 1000};
    h->bytes = 3000;
    return h;
}

struct starting { struct house *house; unsigned node; };

static void starts(void *argument)
{
    struct starting *s = argument;
    s->house->upkeep[s->node] = upkeep_start(world_here(s->house->world), &s->house->options);
}

static void stops(void *argument)
{
    colour_pretend_coroutine();
    struct starting *s = argument;
    upkeep_stop(s->house->upkeep[s->node]);
    s->house->upkeep[s->node] = NULL;
}

static void start(struct house *h, unsigned node)
{
    sim_call(h->world->nodes[node].sim, 0, starts, &(struct starting){h, node});
}

static void stop(struct house *h, unsigned node)
{
    if (h->upkeep[node]) sim_call(h->world->nodes[node].sim, 0, stops, &(struct starting){h, node});
}

static void house_close(struct house *h)
{
    for (unsigned i = 0; i < h->world->count; i++) stop(h, i);
    world_close(h->world);
    free(h);
}

static void delivers(void *argument)
{
    colour_pretend_coroutine();
    struct house *h = argument;
    for (unsigned i = 0; i < h->deliveries; i++) {
        for (unsigned n = 0; n < h->accounts; n++) {
            h->world->account = account_of(h, n);
            EXPECT(deliver(h->world, i, h->bytes) == OK);
        }
    }
    h->world->account = h->first;
}

static void expect_number(uint64_t number, uint64_t least, uint64_t most, const char *what)
{
    if (number < least || number > most) test_fail(__FILE__, __LINE__, "%s: %" PRIu64 " instead of %" PRIu64 " to %" PRIu64, what, number, least, most);
}

/* ---- accounts that only receive ---- */

TEST(accounts_that_only_receive_are_compacted_by_others)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct house *h = house_open(seed, 3, (struct accounts_options){.compact_journal_bytes = 100000});
        start(h, 1);
        start(h, 2);
        h->accounts = 5;
        h->deliveries = 200;                             /* 600,000 bytes to each */
        uint64_t batches = memory_store_count(h->world->store, "table_batch");
        sim_call(h->world->nodes[0].sim, 0, delivers, h);
        sim_run(h->world->sim, 30000);
        EXPECT_NUMBER(memory_store_count(h->world->store, "append"), 1000);
        /* Each at least once, and none of them by two at once. */
        expect_number(sim_event_count(h->world->sim, EVENT_ACCOUNT_COMPACTED), 5, 30, "compactions");
        EXPECT_NUMBER(sim_event_count(h->world->sim, EVENT_ACCOUNT_NOT_COMPACTED), 0);
        expect_number(memory_store_count(h->world->store, "table_batch") - batches, 5, 400, "changes of rows beside 1000 deliveries");
        house_close(h);
    }
}

static void journal_is_short(void *argument)
{
    colour_pretend_coroutine();
    struct house *h = argument;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 16 << 20);
    struct journal_page page;
    for (unsigned n = 0; n < h->accounts; n++) {
        struct id id = account_of(h, n);
        REQUIRE(engine_read(accounts_engine(world_here(h->world)), id, NULL, clock_in(SOON_MS), arena, &page, NULL) == OK);
        if (page.count > 100) test_fail(__FILE__, __LINE__, "account %u has %zu records in its journal", n, page.count);
    }
}

TEST(a_note_outlives_the_node_that_wrote_it_and_the_one_that_followed_it)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct house *h = house_open(seed, 3, (struct accounts_options){.compact_journal_bytes = 40000});
        h->accounts = 3;
        h->deliveries = 100;
        sim_call(h->world->nodes[0].sim, 0, delivers, h);
        sim_run(h->world->sim, 100);
        world_kill(h->world, 0);
        start(h, 1);
        sim_node_crash_after(h->world->nodes[1].sim, 60 + seed * 25);
        sim_run(h->world->sim, 20000);
        h->upkeep[1] = NULL;
        start(h, 2);
        sim_run(h->world->sim, 17 * 60000);              /* claims of the dead have ended */
        sim_call(h->world->nodes[2].sim, 0, journal_is_short, h);
        house_close(h);
    }
}

/* ---- rounds ---- */

static struct upkeep_status status_of(struct house *h, unsigned node, enum upkeep_round kind);

struct asking { struct house *house; enum upkeep_round kind; enum upkeep_order order; result code; struct upkeep_status status; struct arena *arena; };

static void asks(void *argument)
{
    colour_pretend_coroutine();
    struct asking *a = argument;
    a->code = upkeep_read_status(accounts_engine(world_here(a->house->world)), a->kind, clock_in(SOON_MS), a->arena, &a->status, NULL);
}

static void orders(void *argument)
{
    colour_pretend_coroutine();
    struct asking *a = argument;
    a->code = upkeep_order_round(accounts_engine(world_here(a->house->world)), a->kind, a->order, clock_in(SOON_MS), NULL);
}

/* What it names is gone when it returns, but for numbers. */
static struct upkeep_status status_of(struct house *h, unsigned node, enum upkeep_round kind)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 8 << 20);
    struct asking a = {.house = h, .kind = kind, .arena = arena};
    sim_call(h->world->nodes[node].sim, 0, asks, &a);
    EXPECT(a.code == OK);
    if (a.code == OK && a.status.damaged_count > 0) h->world->account = a.status.damaged[0].account;
    return a.status;
}

static result order(struct house *h, unsigned node, enum upkeep_round kind, enum upkeep_order what)
{
    struct asking a = {.house = h, .kind = kind, .order = what};
    sim_call(h->world->nodes[node].sim, 0, orders, &a);
    return a.code;
}

static void compacts_and_expunges(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct imap_range range = {1, 15};
    struct record r = {.kind = RECORD_EXPUNGE, .expunge = {.mailbox = INBOX, .uids = {.ranges = &range, .count = 1}}};
    struct outcome o;
    for (unsigned i = 0; i < 20; i++) REQUIRE(deliver(w, i, 30000) == OK);
    struct account *a = open_account(w);
    EXPECT(account_compact(a, clock_in(SOON_MS), NULL) == OK);
    EXPECT(account_change(a, &r, arena, &o, clock_in(SOON_MS), NULL) == OK);
    EXPECT(account_compact(a, clock_in(SOON_MS), NULL) == OK);
    account_close(a);
}

struct place { struct world *world; uint64_t bytes; size_t expunged; };

static void measures(void *argument)
{
    colour_pretend_coroutine();
    struct place *p = argument;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 4 << 20);
    struct engine *e = accounts_engine(world_here(p->world));
    struct expunged_info *gone;
    char prefix[ID_TEXT_LEN + 1];
    view *names;
    size_t count = 0;
    uint64_t bytes;
    id_text(p->world->account, prefix);
    EXPECT(object_list(e, view_of(prefix), VIEW_EMPTY, 1000, clock_in(SOON_MS), arena, &names, &count, NULL) == OK);
    for (size_t i = 0; i < count; i++)
        if (object_size(e, names[i], clock_in(SOON_MS), &bytes, NULL) == OK) p->bytes += bytes;
    struct account *a = open_account(p->world);
    EXPECT(account_expunged(a, arena, 100, &gone, &p->expunged, clock_in(SOON_MS), NULL) == OK);
    account_close(a);
}

/* Nobody opens the account again: it is purged, its pack rewritten, and the old one removed after the grace period. */
TEST(what_was_expunged_long_ago_goes_from_accounts_that_nobody_opens)
{
    struct house *h = house_open(7, 2, (struct accounts_options){.retention_ms = (int64_t)2 * DAY_MS, .grace_ms = 3600000});
    h->options.tend_every_ms = DAY_MS / 2;
    h->options.look_ms = 600000;
    struct place before = {h->world}, after = {h->world};
    world_run(h->world, 0, compacts_and_expunges, h->world);
    world_run(h->world, 0, measures, &before);
    EXPECT_NUMBER(before.expunged, 15);
    world_kill(h->world, 0);                             /* nothing in memory anywhere */
    start(h, 1);
    for (unsigned i = 0; i < 6; i++) sim_run(h->world->sim, DAY_MS);
    EXPECT(status_of(h, 1, ROUND_TEND).round >= 5);
    world_run(h->world, 0, measures, &after);
    EXPECT_NUMBER(after.expunged, 0);
    if (after.bytes > before.bytes / 2) test_fail(__FILE__, __LINE__, "%" PRIu64 " bytes of objects, %" PRIu64 " before", after.bytes, before.bytes);
    house_close(h);
}

/* ---- scrub ---- */

static void compacts_all(void *argument)
{
    colour_pretend_coroutine();
    struct house *h = argument;
    for (unsigned n = 0; n < h->accounts; n += 3) {
        struct world *w = h->world;
        w->account = account_of(h, n);
        if (accounts_home(world_here(w), w->account) != loop_self()) continue;
        struct account *a = open_account(w);
        EXPECT(account_compact(a, clock_in(SOON_MS), NULL) == OK);
        account_close(a);
    }
    h->world->account = h->first;
}

static void fill(struct house *h, unsigned accounts, unsigned deliveries)
{
    h->accounts = accounts;
    h->deliveries = deliveries;
    sim_call(h->world->nodes[0].sim, 0, delivers, h);
    for (unsigned loop = 0; loop < 2; loop++) sim_call(h->world->nodes[0].sim, loop, compacts_all, h);
}

TEST(a_scrub_is_shared_by_nodes_and_goes_on_when_one_dies)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct house *h = house_open(seed, 3, (struct accounts_options){0});
        fill(h, 200, 3);
        h->options.scrub_bytes_per_second = 20000;       /* of 1,800,000 */
        start(h, 1);
        start(h, 2);
        sim_run(h->world->sim, 5000);
        EXPECT(order(h, 1, ROUND_SCRUB, UPKEEP_START) == OK);
        sim_run(h->world->sim, 20000);
        struct upkeep_status s = status_of(h, 0, ROUND_SCRUB);
        EXPECT(s.round == 1 && s.ended.ms == 0 && s.nodes == 2 && s.now.accounts < 200);
        EXPECT(order(h, 0, ROUND_SCRUB, UPKEEP_START) == BUSY);
        world_kill(h->world, 1);
        h->upkeep[1] = NULL;
        sim_run(h->world->sim, 400000);
        s = status_of(h, 0, ROUND_SCRUB);
        EXPECT(s.round == 1 && s.ended.ms != 0 && s.nodes == 0);
        EXPECT_NUMBER(s.now.accounts, 200);
        EXPECT_NUMBER(s.now.messages, 600);
        EXPECT_NUMBER(s.now.bytes, 1800000);
        EXPECT_NUMBER(s.now.problems, 0);
        EXPECT_NUMBER(sim_event_count(h->world->sim, EVENT_ROUND_ENDED), 1);
        house_close(h);
    }
}

TEST(a_scrub_pauses_stops_and_goes_on_where_it_was)
{
    struct house *h = house_open(5, 2, (struct accounts_options){0});
    fill(h, 150, 2);
    h->options.scrub_bytes_per_second = 20000;
    start(h, 1);
    sim_run(h->world->sim, 5000);
    EXPECT(order(h, 1, ROUND_SCRUB, UPKEEP_START) == OK);
    sim_run(h->world->sim, 8000);
    stop(h, 1);
    struct upkeep_status s = status_of(h, 0, ROUND_SCRUB);
    uint64_t done = s.now.accounts;
    EXPECT(s.ended.ms == 0 && s.nodes == 0);
    EXPECT(order(h, 0, ROUND_SCRUB, UPKEEP_PAUSE) == OK);
    start(h, 1);
    sim_run(h->world->sim, 120000);
    s = status_of(h, 0, ROUND_SCRUB);
    EXPECT(s.is_paused && s.now.accounts == done);
    EXPECT(order(h, 0, ROUND_SCRUB, UPKEEP_RESUME) == OK);
    sim_run(h->world->sim, 120000);
    s = status_of(h, 0, ROUND_SCRUB);
    EXPECT(!s.is_paused && s.round == 1 && s.ended.ms != 0);
    EXPECT_NUMBER(s.now.accounts, 150);
    EXPECT(order(h, 0, ROUND_SCRUB, UPKEEP_START) == OK);
    sim_run(h->world->sim, 120000);
    s = status_of(h, 0, ROUND_SCRUB);
    EXPECT(s.round == 2 && s.ended.ms != 0 && s.previous.accounts == 150);
    house_close(h);
}

/* A byte of a pack of one account; and objects that nodes left which died, in another. */
static void damages(void *argument)
{
    colour_pretend_coroutine();
    struct house *h = argument;
    struct engine *e = accounts_engine(world_here(h->world));
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    buf bytes CLEANUP(buf_done) = BUF_INIT;
    char prefix[ID_TEXT_LEN + 4], other[2 * ID_TEXT_LEN + 8], id[ID_TEXT_LEN + 1];
    view *names;
    size_t count;
    id_text(account_of(h, 3), id);
    snprintf(prefix, sizeof prefix, "%s/p-", id);
    REQUIRE(object_list(e, view_of(prefix), VIEW_EMPTY, 1, clock_in(SOON_MS), arena, &names, &count, NULL) == OK && count == 1);
    REQUIRE(object_read(e, names[0], 0, 1 << 20, clock_in(SOON_MS), &bytes, NULL) == OK);
    bytes.at[50] ^= 1;
    EXPECT(object_remove(e, names[0], clock_in(SOON_MS), NULL) == OK && object_put(e, names[0], buf_view(&bytes), clock_in(SOON_MS), NULL) == OK);
    id_text(account_of(h, 4), prefix);
    id_text(random_id(), id);
    for (unsigned i = 0; i < 2; i++) {
        snprintf(other, sizeof other, "%s/%c-%s", prefix, "ps"[i], id);
        EXPECT(object_put(e, view_of(other), VIEW("left over"), clock_in(SOON_MS), NULL) == OK);
    }
}

static void counts_left_over(void *argument)
{
    colour_pretend_coroutine();
    struct house *h = argument;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    char prefix[ID_TEXT_LEN + 1];
    view *names;
    buf bytes CLEANUP(buf_done) = BUF_INIT;
    size_t count = 0;
    id_text(account_of(h, 4), prefix);
    struct engine *e = accounts_engine(world_here(h->world));
    EXPECT(object_list(e, view_of(prefix), VIEW_EMPTY, 100, clock_in(SOON_MS), arena, &names, &count, NULL) == OK);
    for (size_t i = 0; i < count; i++) {
        buf_clear(&bytes);
        EXPECT(object_read(e, names[i], 0, 100, clock_in(SOON_MS), &bytes, NULL) == OK);
        h->deliveries += view_equal(buf_view(&bytes), VIEW("left over"));
    }
}

TEST(a_scrub_finds_damage_and_clears_away_what_nobody_refers_to)
{
    struct house *h = house_open(6, 2, (struct accounts_options){0});
    fill(h, 10, 5);
    sim_call(h->world->nodes[0].sim, 0, damages, h);
    sim_run(h->world->sim, 3 * 3600 * 1000);
    h->options.scrub_every_ms = 3600 * 1000;
    start(h, 1);
    sim_run(h->world->sim, 3700 * 1000);
    struct upkeep_status s = status_of(h, 0, ROUND_SCRUB);
    EXPECT(s.round == 1 && s.ended.ms != 0);
    EXPECT_NUMBER(s.now.accounts, 10);
    EXPECT_NUMBER(s.now.problems, 1);
    REQUIRE(s.damaged_count == 1);
    struct id damaged = account_of(h, 3);
    EXPECT(id_equal(h->world->account, damaged));
    EXPECT_NUMBER(sim_event_count(h->world->sim, EVENT_SCRUB_FOUND), 1);
    h->deliveries = 0;
    sim_call(h->world->nodes[0].sim, 0, counts_left_over, h);
    EXPECT_NUMBER(h->deliveries, 0);
    house_close(h);
}
