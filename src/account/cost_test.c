/* What actions cost in operations of the store, where each is a journey over the network and blind appends tell nothing. */
#include <inttypes.h>
#include <stdlib.h>

#include "account/test_world.h"
#include "base/check.h"
#include "base/test.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"

enum { SOON_MS = 60000 };

struct costs { uint64_t appends, reads, objects; };

static struct costs costs_of(struct world *w)
{
    return (struct costs){.appends = memory_store_count(w->store, "append"),
                          .reads = memory_store_count(w->store, "read") + memory_store_count(w->store, "read_body"),
                          .objects = memory_store_count(w->store, "object_read")};
}

/* Since `before`: exactly so many appends, and no more reads than these. */
static void expect_costs(struct world *w, struct costs before, uint64_t appends, uint64_t reads_max, uint64_t objects_max, const char *what)
{
    struct costs now = costs_of(w);
    uint64_t a = now.appends - before.appends, r = now.reads - before.reads, o = now.objects - before.objects;
    if (a != appends || r > reads_max || o > objects_max)
        test_fail(__FILE__, __LINE__, "%s: %" PRIu64 " appends, %" PRIu64 " reads of the journal, %" PRIu64 " of objects", what, a, r, o);
}

MAY_YIELD static void store(struct account *a, uint32_t uid)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct imap_range range = {uid, uid};
    struct outcome o;
    struct record r = {.kind = RECORD_FLAGS,
                       .flags = {.mailbox = INBOX, .uids = {.ranges = &range, .count = 1}, .change = FLAGS_ADD, .flags.system = ROW_SEEN, .unchanged_since = UINT64_MAX}};
    EXPECT(account_change(a, &r, arena, &o, clock_in(SOON_MS), NULL) == OK);
    EXPECT(o.code == OK);
}

static struct world *cluster_open(uint64_t seed)
{
    struct world *w = world_open(seed, 2, 1);
    memory_store_set_faults(w->store, &(struct memory_faults){.delay_max_us = 2000, .blind_appends_tell_nothing = true});
    return w;
}

static void delivers_one(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    EXPECT(deliver(w, w->messages++, 1000) == OK);
}

/* ---- a delivery ---- */

static void delivers_many(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    struct costs before = costs_of(w);
    for (unsigned i = 0; i < 50; i++) EXPECT(deliver(w, i, 30000) == OK);
    expect_costs(w, before, 50, 4, 0, "50 deliveries");       /* now and then somebody looks how long the journal is */
}

TEST(a_delivery_costs_one_write)
{
    struct world *w = cluster_open(1);
    world_run(w, 0, delivers_many, w);
    world_close(w);
}

static void delivers_large(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    static const char *const kinds[] = {"append", "object_put", "object_copy", "object_remove"};
    static const uint64_t held[] = {1, 1, 0, 0}, staged[] = {1, 1, 1, 1};
    uint64_t before[4];
    for (unsigned large = 0; large < 2; large++) {
        const uint64_t *costs = large ? staged : held;
        for (unsigned i = 0; i < 4; i++) before[i] = memory_store_count(w->store, kinds[i]);
        EXPECT(deliver(w, 5, large ? 3000000 : 900000) == OK);
        for (unsigned i = 0; i < 4; i++) {
            uint64_t done = memory_store_count(w->store, kinds[i]) - before[i];
            if (done != costs[i]) test_fail(__FILE__, __LINE__, "%s: %" PRIu64 " instead of %" PRIu64, kinds[i], done, costs[i]);
        }
    }
    struct account *a = open_account(w);
    EXPECT(message_is(a, INBOX, 1, 5, 900000));
    EXPECT(message_is(a, INBOX, 2, 5, 3000000));
    account_close(a);
}

TEST(a_delivery_of_up_to_a_mebibyte_costs_one_object)
{
    struct world *w = cluster_open(1);
    world_run(w, 0, delivers_large, w);
    world_close(w);
}

static void holds_many(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    enum { DRAFTS = 100 };
    struct draft *drafts[DRAFTS];
    uint64_t before = memory_store_count(w->store, "object_put");
    for (unsigned i = 0; i < DRAFTS; i++) drafts[i] = make_draft(w, i, 800000);
    for (unsigned i = 0; i < DRAFTS; i++) {
        struct delivery one = {.account = w->account};
        accounts_deliver(world_here(w), drafts[i], &one, 1, clock_in(SOON_MS));
        EXPECT(one.code == OK);
        draft_free(drafts[i]);
    }
    /* 80 MB do not stay in memory: what did not fit was staged, and is another object then. */
    uint64_t objects = memory_store_count(w->store, "object_put") - before + memory_store_count(w->store, "object_copy");
    EXPECT(objects > DRAFTS + DRAFTS / 3 && objects < 2 * DRAFTS);
    EXPECT(memory_store_count(w->store, "object_copy") > DRAFTS / 3);
    struct account *a = open_account(w);
    for (unsigned i = 0; i < DRAFTS; i += 9) EXPECT(message_is(a, INBOX, i + 1, i, 800000));
    account_close(a);
}

TEST(drafts_in_memory_keep_to_their_share)
{
    struct world *w = cluster_open(1);
    world_run(w, 0, holds_many, w);
    world_close(w);
}

/* ---- own changes ---- */

static void changes_flags(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    for (unsigned i = 0; i < 20; i++) REQUIRE(deliver(w, i, 100) == OK);
    struct account *a = open_account(w);
    struct costs before = costs_of(w);
    store(a, 1);                                         /* teaches that blind appends tell nothing here */
    expect_costs(w, before, 1, 1, 0, "the first STORE");
    before = costs_of(w);
    for (uint32_t i = 2; i <= 20; i++) store(a, i);
    expect_costs(w, before, 19, 0, 0, "19 STOREs of an account where nobody else is");
    account_close(a);
}

TEST(own_changes_of_a_quiet_account_cost_one_write_and_no_read)
{
    struct world *w = cluster_open(2);
    world_run(w, 0, changes_flags, w);
    world_close(w);
}

struct busy { struct world *world; bool is_over; };

static void delivers_meanwhile(void *argument)
{
    colour_pretend_coroutine();
    struct busy *b = argument;
    while (!b->is_over) {
        EXPECT(deliver(b->world, 7, 100) == OK);
        if (coroutine_sleep(3) != OK) break;
    }
}

static void changes_flags_of_a_busy_one(void *argument)
{
    colour_pretend_coroutine();
    struct busy *b = argument;
    struct world *w = b->world;
    struct account *a = open_account(w);
    EXPECT(coroutine_sleep(100) == OK);
    store(a, 1);
    store(a, 1);
    uint64_t own = 0, reads = memory_store_count(w->store, "read"), seen = state_sequence(account_state(a)), appends = memory_store_count(w->store, "append");
    for (; own < 50; own++) store(a, 1);
    uint64_t read = memory_store_count(w->store, "read") - reads, others = state_sequence(account_state(a)) - seen - own;
    uint64_t appended = memory_store_count(w->store, "append") - appends;
    b->is_over = true;
    EXPECT(others > 10);
    /* Lost tries are appends that left no record: others' deliveries may be on their way. */
    if (read > own + 2) test_fail(__FILE__, __LINE__, "%" PRIu64 " reads for %" PRIu64 " STOREs", read, own);
    if (appended > own + others + 3) test_fail(__FILE__, __LINE__, "%" PRIu64 " appends for %" PRIu64 " STOREs beside %" PRIu64 " deliveries", appended, own, others);
    account_close(a);
}

TEST(own_changes_of_a_busy_account_cost_one_write_and_one_read)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct world *w = cluster_open(seed);
        struct busy b = {.world = w};
        world_run(w, 1, delivers_one, w);
        sim_spawn(w->nodes[1].sim, 0, "deliveries", delivers_meanwhile, &b);
        world_run(w, 0, changes_flags_of_a_busy_one, &b);
        sim_run(w->sim, 1000);
        world_close(w);
    }
}

/* ---- a lost guarded append ---- */

static void opens_and_stays(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    struct account *a = open_account(w);
    store(a, 1);
    w->messages = 1;
    while (w->messages == 1) REQUIRE(coroutine_sleep(1) == OK);
    struct costs before = costs_of(w);
    store(a, 2);                                         /* what another node delivered is not known yet */
    expect_costs(w, before, 2, 1, 0, "a STORE that another node came before");
    EXPECT_NUMBER(count_of(a, INBOX), 2);
    account_close(a);
}

TEST(a_change_that_another_node_came_before_is_made_nevertheless)
{
    struct world *w = cluster_open(3);
    world_run(w, 1, delivers_one, w);
    sim_spawn(w->nodes[0].sim, 0, "session", opens_and_stays, w);
    sim_run(w->sim, 100);
    EXPECT_NUMBER(w->messages, 1);
    world_run(w, 1, delivers_one, w);
    sim_run(w->sim, 1000);
    world_close(w);
}

/* ---- pipelined appends ---- */

enum { PIPELINED = 60 };

struct pipeline {
    struct world *world;
    struct append_pending pending[PIPELINED];
    unsigned done;
};

static void append_is_done(struct append_pending *p)
{
    struct pipeline *l = p->argument;
    EXPECT(p->code == OK && p->outcome.code == OK);
    EXPECT(p == &l->pending[l->done]);                   /* in the order in which they were started */
    EXPECT(p->outcome.result_uids.count == 1 && p->outcome.result_uids.ranges[0].first == l->done + 2);
    l->done++;
}

static void appends_many(void *argument)
{
    colour_pretend_coroutine();
    struct pipeline *l = argument;
    struct world *w = l->world;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct account *a = open_account(w);
    struct outcome first;
    EXPECT(append(w, a, INBOX, 1, 1000, &first, arena) == OK);
    struct costs before = costs_of(w);
    for (unsigned i = 0; i < PIPELINED; i++) {
        struct append_pending *p = &l->pending[i];
        *p = (struct append_pending){.draft = make_draft(w, i, 1000), .options.mailbox = INBOX, .arena = arena, .done = append_is_done, .argument = l};
        account_append_start(a, p, clock_in(SOON_MS));
    }
    while (l->done < PIPELINED) REQUIRE(coroutine_sleep(1) == OK);
    expect_costs(w, before, PIPELINED, PIPELINED / 4, 0, "60 APPENDs in a pipeline");
    for (unsigned i = 0; i < PIPELINED; i++) draft_free(l->pending[i].draft);
    account_close(a);
}

TEST(appends_in_a_pipeline_share_the_reading_of_the_tail)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct world *w = cluster_open(seed);
        struct pipeline *l = calloc(1, sizeof *l);
        check(l);
        l->world = w;
        world_run(w, 0, appends_many, l);
        free(l);
        world_close(w);
    }
}

/* ---- reading ---- */

enum { MANY = 300 };

static void fills(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    for (unsigned i = 0; i < MANY; i++) REQUIRE(deliver(w, i, 5000) == OK);
    struct account *a = open_account(w);
    EXPECT(account_compact(a, clock_in(SOON_MS), NULL) == OK);
    account_close(a);
    for (unsigned i = 0; i < MANY; i++) REQUIRE(deliver(w, MANY + i, 5000) == OK);
}

static void reads_as_a_client(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    struct costs before = costs_of(w);
    struct account *a = open_account(w);
    struct mailbox_view *v;
    REQUIRE(mailbox_view_open(a, INBOX, &v) == OK);
    expect_costs(w, before, 0, 1, 0, "log-in and SELECT of an account that is not in memory");
    before = costs_of(w);
    for (unsigned i = 0; i < 2 * MANY; i++) EXPECT(message_is(a, INBOX, i + 1, i, 5000));
    expect_costs(w, before, 0, MANY * 5000 / (1 << 20) + 8, MANY * 5000 / (1 << 20) + 8, "FETCH 1:600 BODY[]");
    before = costs_of(w);
    EXPECT(account_refresh(a, clock_in(SOON_MS), NULL) == OK);
    expect_costs(w, before, 0, 1, 0, "SELECT of an account in memory");
    mailbox_view_close(v);
    account_close(a);
}

TEST(reading_an_account_costs_few_large_reads)
{
    struct world *w = cluster_open(4);
    world_run(w, 0, fills, w);
    world_run(w, 1, reads_as_a_client, w);
    world_close(w);
}

MAY_YIELD static uint64_t objects_read_here_and_there(struct world *w, struct account *a)
{
    uint64_t before = costs_of(w).objects;
    for (unsigned i = 0; i < 20; i++) {
        unsigned at = (unsigned)(MANY - 1 - i * 37 % MANY);
        EXPECT(message_is(a, INBOX, at + 1, at, 5000));
    }
    return costs_of(w).objects - before;
}

static void reads_here_and_there(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    struct account *a = open_account(w);
    struct row row;
    REQUIRE(read_row(a, INBOX, 1, &row) == OK);
    EXPECT_NUMBER(objects_read_here_and_there(w, a), w->options.pack_indexes_bytes ? 20 + 11 : 20 + 1);
    EXPECT_NUMBER(objects_read_here_and_there(w, a), 20);
    account_close(a);
}

/* Where the indexes of an account do not fit, a message costs a piece of one for it and its neighbours, once, not a whole one. */
TEST(reading_here_and_there_costs_what_is_read)
{
    for (unsigned fits = 0; fits < 2; fits++) {
        struct world *w = cluster_open(5);
        world_run(w, 0, fills, w);
        w->options.pack_indexes_bytes = !fits;
        world_down(w, 1);
        world_up(w, 1);
        world_run(w, 1, reads_here_and_there, w);
        world_close(w);
    }
}
