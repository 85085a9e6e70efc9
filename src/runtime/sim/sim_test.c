#include "runtime/sim/sim.h"

#include <string.h>

#include "base/check.h"
#include "base/test.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/point.h"
#include "runtime/random.h"
#include "runtime/workers.h"

/* ---- time ---- */

static void sleeps_a_day(void *argument)
{
    colour_pretend_coroutine();
    millis begun = clock_now();
    EXPECT(coroutine_sleep(1000) == OK);
    EXPECT(clock_now().ms - begun.ms >= 1000);
    EXPECT(clock_now().ms - begun.ms < 1010);
    EXPECT(coroutine_sleep(50 * 60 * 1000) == OK);
    *(bool *)argument = true;
}

TEST(sim_time_jumps_over_sleep)
{
    struct sim *s = sim_open(1);
    bool slept = false;
    EXPECT(sim_call(sim_node_new(s, "a", 1), 0, sleeps_a_day, &slept));
    EXPECT(slept);
    sim_close(s);
}

static void works_for_long(void *argument)
{
    colour_pretend_coroutine();
    for (unsigned i = 0; i < 100; i++)
        if (coroutine_is_overdue()) coroutine_pause();
}

TEST(sim_in_haste_each_breath_is_a_step)
{
    struct sim *s = sim_open(1);
    struct sim_node *n = sim_node_new(s, "a", 1);
    sim_call(n, 0, works_for_long, NULL);
    uint64_t steps = sim_node_steps(n);
    sim_set_hasty(s, true);
    sim_call(n, 0, works_for_long, NULL);
    EXPECT_NUMBER(sim_node_steps(n), steps + steps + 100);
    struct sim_node *later = sim_node_new(s, "b", 1);
    sim_call(later, 0, works_for_long, NULL);
    EXPECT_NUMBER(sim_node_steps(later), steps + 100);
    sim_close(s);
}

/* ---- order ---- */

struct letters {
    char at[8];
    size_t count;
};

static struct letters letters;

static void adds_letter(void *argument)
{
    letters.at[letters.count++] = *(const char *)argument;
}

static void spawns_four(void *argument)
{
    colour_pretend_coroutine();
    struct scope scope;
    scope_init(&scope, NULL);
    static const char four[] = "abcd";
    for (int i = 0; i < 4; i++) coroutine_spawn(&scope, "letter", adds_letter, (void *)(uintptr_t)&four[i]);
    scope_join(&scope);
    scope_unlink(&scope);
}

static struct letters order_of(uint64_t seed, uint64_t *ret_trace)
{
    letters = (struct letters){0};
    struct sim *s = sim_open(seed);
    sim_call(sim_node_new(s, "a", 1), 0, spawns_four, NULL);
    *ret_trace = sim_trace(s);
    sim_close(s);
    return letters;
}

TEST(sim_runs_one_seed_the_same_way_and_others_otherwise)
{
    unsigned differ = 0;
    uint64_t first_trace, trace;
    struct letters first = order_of(1, &first_trace);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct letters one = order_of(seed, &trace), again;
        uint64_t trace_again;
        again = order_of(seed, &trace_again);
        EXPECT(memcmp(one.at, again.at, sizeof one.at) == 0);
        EXPECT(trace == trace_again);
        differ += memcmp(one.at, first.at, sizeof one.at) != 0;
    }
    EXPECT(differ > 10);
}

TEST(sim_random_follows_the_seed)
{
    struct sim *s = sim_open(7);
    struct id one = random_id();
    sim_close(s);
    s = sim_open(7);
    EXPECT(id_equal(one, random_id()));
    EXPECT(!id_equal(one, random_id()));
    sim_close(s);
}

/* ---- loops ---- */

static void notes_loop(void *argument)
{
    colour_pretend_coroutine();
    *(struct loop **)argument = loop_self();
    EXPECT(coroutine_sleep(5) == OK);
}

static void visits(void *argument)
{
    colour_pretend_coroutine();
    struct loops *all = loop_family(loop_self());
    for (unsigned i = 0; i < loops_count(all); i++) {
        struct loop *seen = NULL;
        loop_run_on(loops_at(all, i), "visit", notes_loop, &seen);
        EXPECT(seen == loops_at(all, i));
        EXPECT_NUMBER(loop_index(seen), i);
    }
}

TEST(sim_loops_run_each_others_work)
{
    struct sim *s = sim_open(3);
    EXPECT(sim_call(sim_node_new(s, "a", 3), 1, visits, NULL));
    sim_close(s);
}

struct numbered {
    struct task task;
    int number;
};

static int numbers_seen;

static void sees_number(struct task *t)
{
    EXPECT_NUMBER(container_of(t, struct numbered, task)->number, numbers_seen);
    numbers_seen++;
}

static void posts_ten(void *argument)
{
    colour_pretend_coroutine();
    static struct numbered numbered[10];
    for (int i = 0; i < 10; i++) {
        numbered[i] = (struct numbered){.task.run = sees_number, .number = i};
        loop_post(loops_at(loop_family(loop_self()), 1), &numbered[i].task);
        coroutine_pause();
    }
    EXPECT(coroutine_sleep(1) == OK);
}

TEST(sim_tasks_keep_their_order)
{
    struct sim *s = sim_open(4);
    sim_call(sim_node_new(s, "a", 2), 0, posts_ten, NULL);
    EXPECT_NUMBER(numbers_seen, 10);
    sim_close(s);
}

/* ---- workers ---- */

static void adds_one(void *argument)
{
    EXPECT(loop_self() == NULL);
    ++*(int *)argument;
}

static void works(void *argument)
{
    colour_pretend_coroutine();
    int64_t begun_us = clock_now_us();
    for (int i = 0; i < 10; i++) EXPECT(worker_run(WORKER_READ, adds_one, argument) == OK);
    EXPECT(clock_now_us() > begun_us);
    EXPECT(loop_self() != NULL);
}

TEST(sim_workers_run_jobs)
{
    struct sim *s = sim_open(5);
    int sum = 0;
    sim_call(sim_node_new(s, "a", 1), 0, works, &sum);
    EXPECT_NUMBER(sum, 10);
    sim_close(s);
}

static void works_when_busy(void *argument)
{
    colour_pretend_coroutine();
    EXPECT(worker_run(WORKER_READ, adds_one, argument) == BUSY);
}

TEST(sim_workers_refuse_when_told_to)
{
    struct sim *s = sim_open(5);
    int sum = 0;
    sim_workers(s)->busy_ppm = 1000000;
    sim_call(sim_node_new(s, "a", 1), 0, works_when_busy, &sum);
    EXPECT_NUMBER(sum, 0);
    sim_close(s);
}

static void works_by_a_deadline(void *argument)
{
    colour_pretend_coroutine();
    sim_workers(sim_current())->busy_ppm = 900000;
    for (int i = 0; i < 10; i++) EXPECT(worker_run_by(WORKER_READ, adds_one, argument, MILLIS_NEVER) == OK);
    sim_workers(sim_current())->busy_ppm = 1000000;
    millis began = clock_now();
    EXPECT(worker_run_by(WORKER_READ, adds_one, argument, clock_in(100)) == BUSY);
    EXPECT(clock_now().ms - began.ms >= 100 && clock_now().ms - began.ms < 120);
}

TEST(sim_workers_are_asked_again_until_the_deadline)
{
    struct sim *s = sim_open(5);
    int sum = 0;
    sim_call(sim_node_new(s, "a", 1), 0, works_by_a_deadline, &sum);
    EXPECT_NUMBER(sum, 10);
    sim_close(s);
}

struct entry {
    struct batch_item item;
    int number;
    bool is_done;
};

static int batches, entries_seen;

static void runs_batch(void *context, struct batch_item *first)
{
    batches++;
    for (struct batch_item *item = first; item; item = item->next) EXPECT_NUMBER(container_of(item, struct entry, item)->number, entries_seen++);
}

static void entry_done(struct batch_item *item) { container_of(item, struct entry, item)->is_done = true; }

static void submits(void *argument)
{
    colour_pretend_coroutine();
    static struct entry entries[100];
    struct batcher *b = batcher_new("test", runs_batch, NULL);
    for (int i = 0; i < 100; i++) {
        entries[i] = (struct entry){.item.done = entry_done, .number = i};
        batcher_submit(b, &entries[i].item);
        if (i % 10 == 9) EXPECT(coroutine_sleep(1) == OK);
    }
    EXPECT(coroutine_sleep(10) == OK);
    for (int i = 0; i < 100; i++) EXPECT(entries[i].is_done);
    batcher_free(b);
}

TEST(sim_batchers_take_what_waits_in_order)
{
    struct sim *s = sim_open(6);
    sim_call(sim_node_new(s, "a", 1), 0, submits, NULL);
    EXPECT_NUMBER(entries_seen, 100);
    EXPECT(batches < 100);
    sim_close(s);
}

/* ---- death ---- */

static unsigned ticks, cleanups;
static void cleans_up(int *ignored) { cleanups++; }

static void ticks_for_ever(void *argument)
{
    colour_pretend_coroutine();
    int held CLEANUP(cleans_up) = 1;
    while (coroutine_sleep(10) == OK) ticks++;
    (void)held;
}

TEST(sim_node_crash_runs_no_line_more)
{
    struct sim *s = sim_open(8);
    struct sim_node *n = sim_node_new(s, "a", 2);
    sim_spawn(n, 0, "tick", ticks_for_ever, NULL);
    sim_spawn(n, 1, "tick", ticks_for_ever, NULL);
    EXPECT(sim_run(s, 100) == SIM_TIME_OUT);
    EXPECT(ticks >= 18);
    unsigned before = ticks;
    sim_node_crash(n);
    EXPECT(!sim_node_is_up(n));
    EXPECT(sim_run(s, 1000) == SIM_IDLE);
    EXPECT_NUMBER(ticks, before);
    EXPECT_NUMBER(cleanups, 0);
    sim_node_restart(n);
    sim_spawn(n, 1, "tick", ticks_for_ever, NULL);
    EXPECT(sim_run(s, 100) == SIM_TIME_OUT);
    EXPECT(ticks > before);
    sim_close(s);
    EXPECT_NUMBER(cleanups, 1);
}

static void restarts(void *argument, struct sim_node *n)
{
    ++*(int *)argument;
    sim_node_restart(n);
}

static void crashes_itself(void *argument)
{
    colour_pretend_coroutine();
    sim_node_crash(argument);
    EXPECT(false);
}

TEST(sim_node_crash_of_oneself_does_not_return)
{
    struct sim *s = sim_open(9);
    struct sim_node *n = sim_node_new(s, "a", 1);
    int deaths = 0;
    sim_on_crash(s, restarts, &deaths);
    EXPECT(!sim_call(n, 0, crashes_itself, n));
    EXPECT_NUMBER(deaths, 1);
    EXPECT(sim_node_is_up(n));
    bool slept = false;
    EXPECT(sim_call(n, 0, sleeps_a_day, &slept));
    sim_close(s);
}

#ifdef TAYORI_POINTS
static void passes_point(struct timer *t)
{
    POINT("sim.test.timer");
    EXPECT(false);
}

static void arms_timer(void *argument)
{
    colour_pretend_coroutine();
    static struct timer t;
    timer_init(&t, passes_point);
    timer_arm(&t, clock_in(10));
    EXPECT(coroutine_sleep(100) == OK);
    EXPECT(false);
}

TEST(sim_point_kills_the_node_that_passes_it)
{
    struct sim *s = sim_open(10);
    struct sim_node *n = sim_node_new(s, "a", 1);
    point_arm("sim.test.timer", POINT_CRASH, OK, 1);
    EXPECT(!sim_call(n, 0, arms_timer, NULL));
    EXPECT(!sim_node_is_up(n));
    sim_close(s);
}
#endif

TEST(sim_node_dies_after_its_steps)
{
    struct sim *s = sim_open(11);
    struct sim_node *n = sim_node_new(s, "a", 1), *other = sim_node_new(s, "b", 1);
    sim_spawn(n, 0, "tick", ticks_for_ever, NULL);
    sim_spawn(other, 0, "tick", ticks_for_ever, NULL);
    sim_node_crash_after(n, 20);
    EXPECT(sim_run(s, 10000) == SIM_TIME_OUT);
    EXPECT(!sim_node_is_up(n));
    EXPECT_NUMBER(sim_node_steps(n), 20);
    EXPECT(sim_node_is_up(other));
    sim_close(s);
}

/* ---- what goes wrong ---- */

static void waits_for_ever(void *argument)
{
    colour_pretend_coroutine();
    struct waitlist w;
    waitlist_init(&w);
    (void)!waitlist_wait(&w, MILLIS_NEVER);
}

TEST_ABORTS(sim_call_names_a_deadlock)
{
    struct sim *s = sim_open(12);
    sim_call(sim_node_new(s, "a", 1), 0, waits_for_ever, NULL);
}

static void waits_deaf(void *argument)
{
    colour_pretend_coroutine();
    struct waitlist w;
    waitlist_init(&w);
    waitlist_wait_shielded(&w);
}

TEST_ABORTS(sim_close_aborts_when_a_coroutine_does_not_end)
{
    struct sim *s = sim_open(13);
    sim_spawn(sim_node_new(s, "a", 1), 0, "deaf", waits_deaf, NULL);
    sim_run(s, 10);
    sim_close(s);
}

TEST(sim_close_cancels_what_waits)
{
    struct sim *s = sim_open(14);
    sim_spawn(sim_node_new(s, "a", 1), 0, "wait", waits_for_ever, NULL);
    EXPECT(sim_run(s, 10) == SIM_IDLE);
    sim_close(s);
}

static void wakes_itself(struct task *t) { loop_post(loop_self(), t); }

static void begins_livelock(void *argument)
{
    static struct task t = {.run = wakes_itself};
    loop_post(loop_self(), &t);
}

TEST(sim_run_notices_a_livelock)
{
    struct sim *s = sim_open(15);
    sim_spawn(sim_node_new(s, "a", 1), 0, "live", begins_livelock, NULL);
    EXPECT(sim_run(s, 1000000000) == SIM_LIVELOCK);
}

/* ---- events ---- */

TEST(sim_keeps_the_events_of_its_world)
{
    struct sim *s = sim_open(16);
    EXPECT_NUMBER(sim_event_count(s, EVENT_SERVICE_STARTED), 0);
    EVENT_EMIT(SERVICE_STARTED, EVENT_TEXT("version", VIEW("1")), EVENT_NUMBER("listeners", 3));
    EVENT_EMIT(SERVICE_STARTED, EVENT_TEXT("version", VIEW("2")), EVENT_NUMBER("listeners", -4));
    EXPECT_NUMBER(sim_event_count(s, EVENT_SERVICE_STARTED), 2);
    EXPECT_VIEW(sim_event_field(s, EVENT_SERVICE_STARTED, 0, "version"), VIEW("1"));
    EXPECT_VIEW(sim_event_field(s, EVENT_SERVICE_STARTED, 1, "listeners"), VIEW("-4"));
    EXPECT(sim_event_field(s, EVENT_SERVICE_STARTED, 2, "version").at == NULL);
    sim_close(s);
}
