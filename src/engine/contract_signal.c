/* The contract of signals: watches and leases. Times are real where the loops are. */
#include "base/test.h"
#include "engine/contract.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/random.h"

enum { PATIENCE_MS = 10000, LEASE_MS = 300 };

struct watcher {
    struct journal_watch watch;          /* first */
    struct engine *engine;
    struct loop *loop;
    unsigned told;
    bool leaves;                         /* at the first call */
    struct waitlist changed;
};

static void is_told(struct journal_watch *w)
{
    struct watcher *watcher = (struct watcher *)(void *)w;
    EXPECT(loop_self() == watcher->loop);
    EXPECT(!coroutine_is_running());
    watcher->told++;
    if (watcher->leaves) engine_unwatch(watcher->engine, w);
    waitlist_wake_all(&watcher->changed);
}

static void watch(struct watcher *w, struct contract *c, struct id journal)
{
    *w = (struct watcher){.engine = c->engine, .loop = loop_self(), .leaves = w->leaves};
    waitlist_init(&w->changed);
    engine_watch(c->engine, journal, &w->watch, is_told);
}

MAY_YIELD static bool is_told_soon(struct watcher *w, unsigned times)
{
    millis deadline = clock_in(PATIENCE_MS);
    while (w->told < times)
        if (waitlist_wait(&w->changed, deadline) != OK) return false;
    return true;
}

struct remote {
    struct contract *contract;
    struct id journal;
};

static void appends_there(void *argument)
{
    colour_pretend_coroutine();
    struct remote *r = argument;
    contract_append(r->contract, r->journal, VIEW("from afar"), VIEW_EMPTY);
}

static void notifies_there(void *argument)
{
    struct remote *r = argument;
    engine_notify(r->contract->engine, r->journal);
}

MAY_YIELD static void elsewhere(struct contract *c, struct id journal, void (*run)(void *argument))
{
    struct loops *all = loop_family(loop_self());
    struct remote r = {c, journal};
    loop_run_on(loops_at(all, loops_count(all) - 1), "contract elsewhere", run, &r);
}

void contract_signal_tells_of_appends_anywhere(struct contract *c)
{
    struct id journal = random_id(), other = random_id();
    struct watcher first = {0}, second = {0}, third = {0};
    watch(&first, c, journal);
    watch(&second, c, journal);
    watch(&third, c, other);
    contract_append(c, journal, VIEW("here"), VIEW_EMPTY);
    engine_notify(c->engine, journal);
    EXPECT(is_told_soon(&first, 1));
    EXPECT(is_told_soon(&second, 1));
    EXPECT(coroutine_sleep(30) == OK);
    first.told = second.told = third.told = 0;       /* a watch that comes about is told once: something may have been missed */
    elsewhere(c, journal, appends_there);
    elsewhere(c, journal, notifies_there);
    EXPECT(is_told_soon(&first, 1));
    EXPECT(is_told_soon(&second, 1));
    engine_unwatch(c->engine, &second.watch);
    engine_unwatch(c->engine, &first.watch);
    EXPECT_NUMBER(third.told, 0);
    engine_unwatch(c->engine, &third.watch);
}

void contract_signal_tells_no_one_who_left(struct contract *c)
{
    struct id journal = random_id();
    struct watcher w = {0};
    watch(&w, c, journal);
    elsewhere(c, journal, appends_there);
    engine_notify(c->engine, journal);
    engine_unwatch(c->engine, &w.watch);
    unsigned before = w.told;
    elsewhere(c, journal, notifies_there);
    EXPECT(coroutine_sleep(50) == OK);
    EXPECT_NUMBER(w.told, before);
}

void contract_signal_may_be_left_while_being_told(struct contract *c)
{
    struct id journal = random_id();
    struct watcher w[5] = {0};
    for (int i = 0; i < 5; i++) {
        w[i].leaves = i % 2 == 0;
        watch(&w[i], c, journal);
    }
    elsewhere(c, journal, notifies_there);
    for (int i = 0; i < 5; i++) EXPECT(is_told_soon(&w[i], 1));
    elsewhere(c, journal, notifies_there);
    EXPECT(is_told_soon(&w[1], 2));
    EXPECT(is_told_soon(&w[3], 2));
    for (int i = 0; i < 5; i += 2) EXPECT_NUMBER(w[i].told, 1);
    engine_unwatch(c->engine, &w[1].watch);
    engine_unwatch(c->engine, &w[3].watch);
}

/* ---- leases -------------------------------------------------------------------------------------------- */

MAY_YIELD static result acquire(struct contract *c, const char *owner, int64_t duration_ms)
{
    return lease_acquire(c->engine, VIEW("queue/7"), view_of(owner), duration_ms, contract_soon(), NULL);
}

MAY_YIELD static result renew(struct contract *c, const char *owner, int64_t duration_ms)
{
    return lease_renew(c->engine, VIEW("queue/7"), view_of(owner), duration_ms, contract_soon(), NULL);
}

MAY_YIELD static result release(struct contract *c, const char *owner)
{
    return lease_release(c->engine, VIEW("queue/7"), view_of(owner), contract_soon(), NULL);
}

void contract_lease_has_one_owner_at_a_time(struct contract *c)
{
    enum { LONG_MS = 600000 };
    EXPECT(renew(c, "node-a", LONG_MS) == NOT_FOUND);
    EXPECT(acquire(c, "node-a", LONG_MS) == OK);
    EXPECT(acquire(c, "node-b", LONG_MS) == BUSY);
    EXPECT(renew(c, "node-b", LONG_MS) == BUSY);
    EXPECT(acquire(c, "node-a", LONG_MS) == OK);
    EXPECT(renew(c, "node-a", LONG_MS) == OK);
    EXPECT(release(c, "node-b") == OK);
    EXPECT(acquire(c, "node-b", LONG_MS) == BUSY);
    EXPECT(lease_acquire(c->engine, VIEW("queue/8"), VIEW("node-b"), LONG_MS, contract_soon(), NULL) == OK);
    EXPECT(release(c, "node-a") == OK);
    EXPECT(acquire(c, "node-b", LONG_MS) == OK);
    EXPECT(renew(c, "node-a", LONG_MS) == BUSY);
    EXPECT(release(c, "node-b") == OK);
    EXPECT(release(c, "node-b") == OK);
    EXPECT(acquire(c, "node-a", 0) == INVALID);
}

void contract_lease_ends_with_its_time(struct contract *c)
{
    EXPECT(acquire(c, "node-a", LEASE_MS) == OK);
    EXPECT(acquire(c, "node-b", LEASE_MS) == BUSY);
    EXPECT(coroutine_sleep(LEASE_MS + 50) == OK);
    EXPECT(renew(c, "node-a", LEASE_MS) == NOT_FOUND);
    EXPECT(acquire(c, "node-b", LEASE_MS * 10) == OK);
    EXPECT(renew(c, "node-a", LEASE_MS) == BUSY);
    EXPECT(release(c, "node-a") == OK);
    EXPECT(renew(c, "node-b", LEASE_MS) == OK);
}
