/* Signals between two nodes: two openings of one store in one process are two clients to the cluster. */
#include <stdio.h>
#include <string.h>

#include "engine/rados/rados_private.h"
#include "engine/rados/rados_test.h"
#include "engine/rados/signals.h"
#include "runtime/random.h"

enum { PATIENCE_MS = 10000, MANY = 1000 };

struct pair {
    char name[RADOS_TEST_NAME_BYTES];
    struct engine_rados_options options;
    struct engine *a, *b;
    void (*run)(struct pair *p);
};

struct listener {
    struct journal_watch watch;          /* first */
    int64_t told_us;
    unsigned told;
};

static void hears(struct journal_watch *w)
{
    struct listener *l = (struct listener *)(void *)w;
    l->told_us = clock_now_us();
    l->told++;
}

MAY_YIELD static void rest(int64_t duration_ms) { EXPECT(coroutine_sleep(duration_ms) == OK); }

MAY_YIELD static void wait_standing(struct engine *e)
{
    millis deadline = clock_in(PATIENCE_MS);
    while (!signals_stand(rados_of(e)->signals) && millis_before(clock_now(), deadline)) rest(5);
    REQUIRE(signals_stand(rados_of(e)->signals));
}

MAY_YIELD static bool hears_soon(struct listener *l, unsigned times)
{
    millis deadline = clock_in(PATIENCE_MS);
    while (l->told < times && millis_before(clock_now(), deadline)) rest(1);
    return l->told >= times;
}

static void run_pair(void *argument)
{
    colour_pretend_coroutine();
    struct pair *p = argument;
    p->a = test_open(&p->options);
    p->b = test_open(&p->options);
    p->run(p);
    if (p->b) engine_close(p->b);
    engine_close(p->a);
}

static void with_pair(void (*run)(struct pair *p))
{
    struct pair p = {.run = run};
    p.options = test_store(p.name);
    test_run(run_pair, &p);
}

/* On the second node, to a journal of its own; nothing of what was before is heard. */
static MAY_YIELD void begin_listening(struct pair *p, struct listener *l)
{
    wait_standing(p->a);
    wait_standing(p->b);
    engine_watch(p->b, random_id(), &l->watch, hears);
    rest(100);
    l->told = 0;
}

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void tells_soon(struct pair *p)
{
    colour_pretend_coroutine();
    enum { ROUNDS = 21 };
    int64_t took_us[ROUNDS];
    struct listener l = {0};
    begin_listening(p, &l);
    for (unsigned i = 0; i < ROUNDS; i++) {
        l.told = 0;
        int64_t began_us = clock_now_us();
        engine_notify(p->a, l.watch.journal);
        REQUIRE(hears_soon(&l, 1));
        took_us[i] = l.told_us - began_us;
        rest(SIGNALS_SPACING_MS);
    }
    qsort(took_us, ROUNDS, sizeof took_us[0], compare_times);
    printf("# a change is heard on the other node after %.1f ms (median), %.1f ms at most\n", (double)took_us[ROUNDS / 2] / 1000,
           (double)took_us[ROUNDS - 1] / 1000);
    EXPECT(took_us[ROUNDS / 2] < 100000);
    engine_unwatch(p->b, &l.watch);
}
TEST_SLOW(signals_reach_the_other_node_soon, 60) { with_pair(tells_soon); }

static void flood(struct pair *p)
{
    colour_pretend_coroutine();
    struct listener *l = calloc(MANY, sizeof *l);
    wait_standing(p->a);
    wait_standing(p->b);
    for (unsigned i = 0; i < MANY; i++) engine_watch(p->b, random_id(), &l[i].watch, hears);
    uint64_t sent = signals_sent(rados_of(p->a)->signals);
    int64_t began_us = clock_now_us();
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < MANY; i++) engine_notify(p->a, l[i].watch.journal);
        rest(1);
    }
    for (unsigned i = 0; i < MANY; i++) EXPECT(hears_soon(&l[i], 1));
    sent = signals_sent(rados_of(p->a)->signals) - sent;
    int64_t rounds = (clock_now_us() - began_us) / 1000 / SIGNALS_SPACING_MS + 2;
    printf("# %u changes of %u journals were told in %" PRIu64 " notes\n", 5 * MANY, MANY, sent);
    EXPECT((int64_t)sent <= rounds * SIGNALS_SPOTS);
    for (unsigned i = 0; i < MANY; i++) engine_unwatch(p->b, &l[i].watch);
    free(l);
}
TEST_SLOW(signals_of_a_flood_travel_together, 60) { with_pair(flood); }

/* More than a note can name, all of one object. */
static void too_many(struct pair *p)
{
    colour_pretend_coroutine();
    struct listener l = {0};
    begin_listening(p, &l);
    for (unsigned i = 0; i < 3 * 2048 * SIGNALS_SPOTS; i++) engine_notify(p->a, random_id());
    EXPECT(hears_soon(&l, 1));
    engine_unwatch(p->b, &l.watch);
}
TEST_SLOW(signals_too_many_to_name_are_told_as_everything, 60) { with_pair(too_many); }

/* Changes go on while nodes come: each change either is seen by who reads after the watch stands, or is told. */
static void newcomer(struct pair *p)
{
    colour_pretend_coroutine();
    engine_close(p->b);
    p->b = NULL;
    wait_standing(p->a);
    struct id journal = random_id();
    for (unsigned i = 0; i < 500; i++) engine_notify(p->a, random_id());
    rest(300);
    uint64_t sent = signals_sent(rados_of(p->a)->signals);
    for (unsigned i = 0; i < 50; i++) engine_notify(p->a, random_id());
    rest(100);
    EXPECT_NUMBER(signals_sent(rados_of(p->a)->signals), sent);
    for (unsigned i = 0; i < 10; i++) {
        struct listener l = {0};
        struct engine *c = test_open(&p->options);
        engine_watch(c, journal, &l.watch, hears);
        rest((int64_t)random_below(30));
        unsigned before = l.told;
        engine_notify(p->a, journal);
        EXPECT(hears_soon(&l, before + 1));
        engine_unwatch(c, &l.watch);
        engine_close(c);
    }
}
TEST_SLOW(signals_miss_nothing_for_a_newcomer_and_are_spared_alone, 60) { with_pair(newcomer); }

/* Appends and removals tell by themselves: nobody above calls engine_notify(). */
static void changes_tell(struct pair *p)
{
    colour_pretend_coroutine();
    struct listener l = {0};
    begin_listening(p, &l);
    for (unsigned i = 1; i <= 3; i++) {
        struct journal_append a = {.journal = l.watch.journal, .meta = VIEW("record")};
        EXPECT(engine_append(p->a, &a, clock_in(PATIENCE_MS)) == OK);
        EXPECT(hears_soon(&l, i));
        rest(100);
    }
    EXPECT(engine_remove_journal(p->a, l.watch.journal, clock_in(PATIENCE_MS), NULL) == OK);
    EXPECT(hears_soon(&l, 4));
    engine_unwatch(p->b, &l.watch);
}
TEST_SLOW(signals_tell_of_appends_by_themselves, 60) { with_pair(changes_tell); }

/* As a command does that finds no server, changes an account and ends. */
static void parting_words(struct pair *p)
{
    colour_pretend_coroutine();
    struct listener l = {0};
    wait_standing(p->a);
    engine_watch(p->a, random_id(), &l.watch, hears);
    for (unsigned i = 1; i <= 5; i++) {
        struct engine *c = test_open(&p->options);
        engine_notify(c, l.watch.journal);
        engine_close(c);
        EXPECT(hears_soon(&l, i));
    }
    engine_unwatch(p->a, &l.watch);
}
TEST_SLOW(signals_tell_what_was_changed_just_before_the_end, 60) { with_pair(parting_words); }

MAY_YIELD static bool has_lease_object(struct engine *e)
{
    struct client_op *op = client_read_new(rados_of(e)->client, SPACE_SIGNALS, VIEW("lease/node/7"));
    rados_read_op_assert_exists(op->read);
    result code = client_run(op, clock_in(PATIENCE_MS), NULL);
    client_op_free(op);
    return code == OK;
}

/* Its owner was killed and started again: it need not wait for its own lease to expire. */
static void owner_returns(struct pair *p)
{
    colour_pretend_coroutine();
    enum { LONG_MS = 600000 };
    view name = VIEW("node/7"), owner = VIEW("one");
    EXPECT(lease_acquire(p->a, name, owner, LONG_MS, clock_in(PATIENCE_MS), NULL) == OK);
    EXPECT(lease_acquire(p->b, name, VIEW("another"), LONG_MS, clock_in(PATIENCE_MS), NULL) == BUSY);
    EXPECT(lease_renew(p->b, name, owner, LONG_MS, clock_in(PATIENCE_MS), NULL) == NOT_FOUND);
    EXPECT(lease_acquire(p->b, name, owner, LONG_MS, clock_in(PATIENCE_MS), NULL) == OK);
    EXPECT(lease_renew(p->a, name, owner, LONG_MS, clock_in(PATIENCE_MS), NULL) == NOT_FOUND);
    EXPECT(lease_renew(p->b, name, owner, LONG_MS, clock_in(PATIENCE_MS), NULL) == OK);
    EXPECT(has_lease_object(p->b));
    EXPECT(lease_release(p->b, name, owner, clock_in(PATIENCE_MS), NULL) == OK);
    EXPECT(!has_lease_object(p->b));
    EXPECT(lease_acquire(p->a, name, VIEW("another"), LONG_MS, clock_in(PATIENCE_MS), NULL) == OK);
}
TEST_SLOW(leases_belong_to_their_owner_whatever_client_it_is, 60) { with_pair(owner_returns); }

/* The cluster refuses node b from now on: it comes back as a new client, looks at everything and hears again. */
static void fence(struct pair *p, struct engine *who)
{
    uint64_t generation;
    char command[400], line[400], address[128] = "";
    rados_ioctx_t io = client_io(rados_of(who)->client, SPACE_SIGNALS, &generation);
    uint64_t self = rados_get_instance_id(rados_ioctx_get_cluster(io));
    client_io_done(rados_of(who)->client, io);
    snprintf(command, sizeof command, "rados -c '%s' -p tayori -N %s.s listwatchers signal.00 2>/dev/null", p->options.config_file, p->name);
    FILE *watchers = popen(command, "r");
    while (fgets(line, sizeof line, watchers)) {
        unsigned long long client = 0;
        char at[128];
        if (sscanf(line, "watcher=%127s client.%llu", at, &client) == 2 && client == self) snprintf(address, sizeof address, "%s", at);
    }
    pclose(watchers);
    REQUIRE(address[0] != 0);
    snprintf(command, sizeof command, "ceph -c '%s' osd blocklist add %s >/dev/null 2>&1", p->options.config_file, address);
    REQUIRE(system(command) == 0);
}

static void fenced(struct pair *p)
{
    colour_pretend_coroutine();
    struct id journal = random_id();
    struct listener l = {0};
    wait_standing(p->a);
    wait_standing(p->b);
    engine_watch(p->b, journal, &l.watch, hears);
    uint64_t generation = client_generation(rados_of(p->b)->client);
    fence(p, p->b);
    millis deadline = clock_in(30000);
    while (client_generation(rados_of(p->b)->client) == generation && millis_before(clock_now(), deadline)) rest(20);
    EXPECT(client_generation(rados_of(p->b)->client) > generation);
    rest(600);
    wait_standing(p->b);
    EXPECT(l.told >= 1);
    l.told = 0;
    engine_notify(p->a, journal);
    EXPECT(hears_soon(&l, 1));
    engine_unwatch(p->b, &l.watch);
}
TEST_SLOW(signals_come_back_after_a_fence, 90) { with_pair(fenced); }
