#include <stdlib.h>

#include "account/test_world.h"
#include "base/check.h"
#include "base/test.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"

enum { SOON_MS = 30000 };

/* ---- delivering and reading ---- */

static void delivers_and_reads(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    EXPECT(deliver(w, 1, 5000) == OK);
    struct account *a = open_account(w);
    EXPECT_NUMBER(count_of(a, INBOX), 1);
    EXPECT(deliver(w, 2, 0) == OK);
    EXPECT(deliver(w, 3, DRAFT_INLINE_MAX_BYTES) == OK);
    EXPECT(deliver(w, 4, DRAFT_INLINE_MAX_BYTES + 1) == OK);
    EXPECT_NUMBER(count_of(a, INBOX), 1);
    EXPECT(account_refresh(a, clock_in(SOON_MS), NULL) == OK);
    EXPECT_NUMBER(count_of(a, INBOX), 4);
    EXPECT(message_is(a, INBOX, 1, 1, 5000));
    EXPECT(message_is(a, INBOX, 2, 2, 0));
    EXPECT(message_is(a, INBOX, 3, 3, DRAFT_INLINE_MAX_BYTES));
    EXPECT(message_is(a, INBOX, 4, 4, DRAFT_INLINE_MAX_BYTES + 1));
    account_close(a);
}

TEST(account_keeps_what_is_delivered_byte_for_byte)
{
    struct world *w = world_open(1, 1, 2);
    world_run(w, 0, delivers_and_reads, w);
    world_close(w);
}

static void reads_four(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    struct account *a = open_account(w);
    EXPECT_NUMBER(count_of(a, INBOX), 4);
    EXPECT(message_is(a, INBOX, 4, 4, DRAFT_INLINE_MAX_BYTES + 1));
    EXPECT(message_is(a, INBOX, 3, 3, DRAFT_INLINE_MAX_BYTES));
    account_close(a);
}

TEST(account_is_the_same_on_another_node_and_after_a_crash)
{
    struct world *w = world_open(2, 2, 1);
    world_run(w, 0, delivers_and_reads, w);
    world_run(w, 1, reads_four, w);
    world_kill(w, 0);
    world_run(w, 0, reads_four, w);
    world_close(w);
}

static void delivers_to_many(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    enum { MANY = 50 };
    struct delivery *to = calloc(MANY, sizeof *to);
    REQUIRE(to != NULL);
    for (size_t bytes = 100; bytes <= 100000; bytes *= 1000) {
        struct draft *d = make_draft(w, 7, bytes);
        for (unsigned i = 0; i < MANY; i++) {
            to[i] = (struct delivery){.account = w->account};
            to[i].account.bytes[15] = (unsigned char)i;
        }
        accounts_deliver(world_here(w), d, to, MANY, clock_in(SOON_MS));
        draft_free(d);
        for (unsigned i = 0; i < MANY; i++) EXPECT(to[i].code == OK);
    }
    for (unsigned i = 0; i < MANY; i++) {
        struct account *a;
        REQUIRE(account_open(world_here(w), to[i].account, clock_in(SOON_MS), &a, NULL) == OK);
        EXPECT(message_is(a, INBOX, 1, 7, 100));
        EXPECT(message_is(a, INBOX, 2, 7, 100000));
        account_close(a);
    }
    free(to);
}

TEST(account_delivery_reaches_each_of_many_recipients)
{
    struct world *w = world_open(3, 1, 1);
    world_run(w, 0, delivers_to_many, w);
    world_close(w);
}

/* ---- changing ---- */

static void changes(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    struct account *a = open_account(w);
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct outcome o;
    struct record r = {.kind = RECORD_CREATE, .create.name = VIEW("Archiv")};
    EXPECT(account_change(a, &r, arena, &o, clock_in(SOON_MS), NULL) == OK);
    EXPECT(o.code == OK && o.mailbox > INBOX);
    uint32_t archive = o.mailbox;
    EXPECT(account_change(a, &r, arena, &o, clock_in(SOON_MS), NULL) == OK);
    EXPECT(o.code == EXISTS);
    for (unsigned i = 1; i <= 3; i++) {
        EXPECT(append(w, a, archive, i, 1000 * i, &o, arena) == OK);
        EXPECT(o.code == OK && o.result_uids.count == 1 && o.result_uids.ranges[0].first == i);
    }
    EXPECT(append(w, a, archive, 4, 200000, &o, arena) == OK);
    EXPECT(append(w, a, 4711, 1, 10, &o, arena) == OK);
    EXPECT(o.code == NOT_FOUND);
    EXPECT_NUMBER(count_of(a, archive), 4);
    EXPECT(message_is(a, archive, 2, 2, 2000));
    EXPECT(message_is(a, archive, 4, 4, 200000));
    account_close(a);
}

TEST(account_change_tells_what_came_of_it)
{
    struct world *w = world_open(4, 1, 1);
    world_run(w, 0, changes, w);
    world_close(w);
}

/* ---- pipelined ---- */

enum { PIPELINED = 200 };
struct pipeline {
    struct world *world;
    struct append_pending pending[PIPELINED];
    unsigned done, failed;
    bool in_order;
    struct waitlist all_done;
};

static void appended(struct append_pending *p)
{
    struct pipeline *l = p->argument;
    if (p != &l->pending[l->done]) l->in_order = false;
    if (p->code != OK) l->failed++;
    if (++l->done == PIPELINED) waitlist_wake_all(&l->all_done);
}

static void appends_pipelined(void *argument)
{
    colour_pretend_coroutine();
    struct pipeline *l = argument;
    struct world *w = l->world;
    struct account *a = open_account(w);
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    waitlist_init(&l->all_done);
    l->in_order = true;
    l->done = l->failed = 0;
    uint32_t before = count_of(a, INBOX);
    for (unsigned i = 0; i < PIPELINED; i++) {
        struct append_pending *p = &l->pending[i];
        *p = (struct append_pending){.draft = make_draft(w, i, 100 + i), .options = {.mailbox = INBOX}, .arena = arena, .done = appended, .argument = l};
        account_append_start(a, p, clock_in(SOON_MS));
        if (i % 17 == 0) (void)!coroutine_sleep(1);
        if (i % 31 == 0) EXPECT(deliver(w, 1000, 10) == OK);      /* somebody else's in between */
    }
    while (l->done < PIPELINED) waitlist_wait_shielded(&l->all_done);
    EXPECT(l->in_order);
    EXPECT_NUMBER(l->failed, 0);
    for (unsigned i = 0; i < PIPELINED; i++) {
        struct append_pending *p = &l->pending[i];
        EXPECT(p->outcome.code == OK);
        REQUIRE(p->outcome.result_uids.count == 1);
        uint32_t uid = p->outcome.result_uids.ranges[0].first;
        EXPECT(i == 0 || uid > l->pending[i - 1].outcome.result_uids.ranges[0].first);
        EXPECT(message_is(a, INBOX, uid, i, 100 + i));
        draft_free(p->draft);
    }
    EXPECT_NUMBER(count_of(a, INBOX), before + PIPELINED + (PIPELINED + 30) / 31);
    account_close(a);
}

TEST(account_appends_pipelined_finish_in_order)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct world *w = world_open(seed, 1, 2);
        struct pipeline *l = calloc(1, sizeof *l);
        REQUIRE(l != NULL);
        l->world = w;
        w->faults = (struct memory_faults){.delay_max_us = 3000, .blind_appends_tell_nothing = seed % 3 == 0};
        memory_store_set_faults(w->store, &w->faults);
        world_run(w, 0, appends_pipelined, l);
        free(l);
        world_close(w);
    }
}

/* ---- watching ---- */

struct watching {
    struct world *world;
    struct account_watch watch;
    struct account *account;
    unsigned calls;
};

static void counts_call(struct account_watch *w)
{
    container_of(w, struct watching, watch)->calls++;
}

static void begins_watching(void *argument)
{
    colour_pretend_coroutine();
    struct watching *x = argument;
    x->account = open_account(x->world);
    account_watch(x->account, &x->watch, counts_call);
}

static void delivers_one(void *argument)
{
    colour_pretend_coroutine();
    EXPECT(deliver(argument, 1, 100) == OK);
}

static void ends_watching(void *argument)
{
    colour_pretend_coroutine();
    struct watching *x = argument;
    EXPECT_NUMBER(count_of(x->account, INBOX), 2);
    account_unwatch(x->account, &x->watch);
    account_close(x->account);
}

TEST(account_watch_hears_of_deliveries_here_and_elsewhere)
{
    struct world *w = world_open(5, 2, 2);
    struct watching x = {.world = w};
    world_run(w, 0, begins_watching, &x);
    world_run(w, 0, delivers_one, w);
    sim_settle(w->sim, 5000);
    unsigned here = x.calls;
    EXPECT(here > 0);
    world_run(w, 1, delivers_one, w);
    sim_settle(w->sim, 30000);
    EXPECT(x.calls > here);
    world_run(w, 0, ends_watching, &x);
    world_close(w);
}
