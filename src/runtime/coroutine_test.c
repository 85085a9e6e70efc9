/* Behaviour of the common part. Runs in either face: only run_loops() starts it. */
#include "base/test.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/run.h"

static void run(void (*body)(void *))
{
    struct fault fault = {0};
    struct run_options options = {.loops = 1};
    REQUIRE(run_loops(&options, body, NULL, &fault) == OK);
}

/* --- order --- */

static char trace[64];
static size_t trace_len;
static void mark(char c) { trace[trace_len++] = c; }

static void pauses_twice(void *argument)
{
    colour_pretend_coroutine();
    char c = *(char *)argument;
    mark(c);
    coroutine_pause();
    mark(c);
    coroutine_pause();
    mark(c);
}

static void spawns_three(void *argument)
{
    colour_pretend_coroutine();
    struct scope s;
    scope_init(&s, NULL);
    char names[] = "abc";
    for (int i = 0; i < 3; i++) coroutine_spawn(&s, "letter", pauses_twice, &names[i]);
    EXPECT(trace_len == 0 || !scope_is_empty(&s));
    scope_join(&s);
    EXPECT(scope_is_empty(&s));
    scope_unlink(&s);
}

TEST(coroutines_take_turns_and_scope_join_waits_for_all)
{
    run(spawns_three);
    EXPECT_NUMBER(trace_len, 9);
}

/* --- deadlines --- */

static void waits_in_vain(void *argument)
{
    colour_pretend_coroutine();
    struct waitlist w;
    waitlist_init(&w);
    millis begun = clock_now();
    EXPECT(waitlist_wait(&w, clock_in(30)) == TIMEOUT);
    EXPECT(clock_now().ms - begun.ms >= 30);
    EXPECT(waitlist_is_empty(&w));
    EXPECT(waitlist_wait(&w, clock_now()) == TIMEOUT);
    EXPECT(coroutine_sleep(10) == OK);
    EXPECT(clock_now().ms - begun.ms >= 40);
}

TEST(a_wait_ends_at_its_deadline) { run(waits_in_vain); }

/* --- cancellation --- */

struct cancelled { struct waitlist w; result first, second, checked, nested; };

static void waits_nested(void *argument)
{
    colour_pretend_coroutine();
    struct cancelled *c = argument;
    c->nested = waitlist_wait(&c->w, MILLIS_NEVER);
}

static void waits_until_cancelled(void *argument)
{
    colour_pretend_coroutine();
    struct cancelled *c = argument;
    c->first = waitlist_wait(&c->w, MILLIS_NEVER);
    c->second = coroutine_sleep(1000000);
    c->checked = coroutine_check();
}

static void cancels(void *argument)
{
    colour_pretend_coroutine();
    struct cancelled c = {.nested = OK};
    struct scope outer, inner;
    waitlist_init(&c.w);
    scope_init(&outer, NULL);
    scope_init(&inner, &outer);
    coroutine_spawn(&outer, "outer", waits_until_cancelled, &c);
    coroutine_spawn(&inner, "inner", waits_nested, &c);
    EXPECT(coroutine_sleep(1) == OK);
    EXPECT(!waitlist_is_empty(&c.w));
    scope_cancel(&outer);
    EXPECT(scope_is_cancelled(&inner));
    scope_done(&inner);
    scope_done(&outer);
    EXPECT(c.first == CANCELLED && c.second == CANCELLED && c.checked == CANCELLED && c.nested == CANCELLED);
    EXPECT(coroutine_check() == OK);
    struct scope late;
    scope_init(&outer, NULL);
    scope_cancel(&outer);
    scope_init(&late, &outer);
    EXPECT(scope_is_cancelled(&late));
    scope_unlink(&late);
    scope_unlink(&outer);
}

TEST(cancelling_a_scope_ends_every_wait_in_and_below_it) { run(cancels); }

static void cancelled_before_it_ran(void *argument)
{
    colour_pretend_coroutine();
    result *r = argument;
    *r = coroutine_sleep(1000000);
}

static void cancels_early(void *argument)
{
    colour_pretend_coroutine();
    result r = OK;
    struct scope s;
    scope_init(&s, NULL);
    coroutine_spawn(&s, "early", cancelled_before_it_ran, &r);
    scope_done(&s);
    EXPECT(r == CANCELLED);
}

TEST(a_coroutine_cancelled_before_its_first_turn_still_runs_and_is_told) { run(cancels_early); }

/* --- mutex --- */

struct contest { struct mutex m; unsigned inside; };

static void contends(void *argument)
{
    colour_pretend_coroutine();
    struct contest *c = argument;
    for (int i = 0; i < 3; i++) {
        EXPECT(mutex_lock(&c->m, MILLIS_NEVER) == OK);
        EXPECT(++c->inside == 1);
        EXPECT(coroutine_sleep(1) == OK);
        c->inside--;
        mutex_unlock(&c->m);
    }
    mark('.');
}

static void lock_in_vain(void *argument)
{
    colour_pretend_coroutine();
    struct contest *c = argument;
    EXPECT(mutex_lock(&c->m, clock_in(1)) == TIMEOUT);
}

static void holds_contest(void *argument)
{
    colour_pretend_coroutine();
    struct contest c = {0};
    struct scope s;
    mutex_init(&c.m);
    scope_init(&s, NULL);
    for (int i = 0; i < 5; i++) coroutine_spawn(&s, "contends", contends, &c);
    scope_join(&s);
    EXPECT(!c.m.is_locked);
    EXPECT(mutex_lock(&c.m, MILLIS_NEVER) == OK);
    coroutine_spawn(&s, "in vain", lock_in_vain, &c);
    scope_join(&s);
    mutex_unlock(&c.m);
    EXPECT(!c.m.is_locked);
    scope_unlink(&s);
}

TEST(a_mutex_lets_one_in_at_a_time_and_forgets_who_gave_up)
{
    run(holds_contest);
    EXPECT_NUMBER(trace_len, 5);
}

/* --- completion --- */

static void completes(void *argument)
{
    colour_pretend_coroutine();
    EXPECT(coroutine_sleep(2) == CANCELLED);
    completion_set(argument, CONFLICT);
}

static void awaits_completion(void *argument)
{
    colour_pretend_coroutine();
    struct completion c;
    struct scope s;
    completion_init(&c);
    scope_init(&s, NULL);
    coroutine_spawn(&s, "completes", completes, &c);
    scope_cancel(&s);
    EXPECT(completion_wait(&c) == CONFLICT);
    EXPECT(completion_wait(&c) == CONFLICT);
    scope_done(&s);
}

TEST(a_completion_keeps_its_result) { run(awaits_completion); }

/* --- timers --- */

enum { TIMERS = 2000 };
static struct timer timers[TIMERS];
static int fired;
static int64_t last_due;

static void timer_fired(struct timer *t)
{
    EXPECT(t->due.ms >= last_due);
    EXPECT(t->due.ms <= clock_now().ms);
    last_due = t->due.ms;
    fired++;
}

static void arms_many(void *argument)
{
    colour_pretend_coroutine();
    uint32_t x = 1;
    millis begun = clock_now();
    for (int i = 0; i < TIMERS; i++) {
        x = x * 1664525 + 1013904223;
        timer_init(&timers[i], timer_fired);
        timer_arm(&timers[i], millis_add(begun, 5 + x % 40));
    }
    int disarmed = 0;
    for (int i = 0; i < TIMERS; i++) {
        x = x * 1664525 + 1013904223;
        if (x >> 30 == 0) timer_disarm(&timers[i]), disarmed++;
        else timer_arm(&timers[i], millis_add(begun, 5 + (x >> 8) % 60));
    }
    EXPECT(coroutine_sleep(70) == OK);
    EXPECT_NUMBER(fired, TIMERS - disarmed);
    for (int i = 0; i < TIMERS; i++) EXPECT(!timers[i].armed);
}

TEST(timers_fire_in_order_after_any_rearming) { run(arms_many); }

/* --- many --- */

static void sleeps_a_little(void *argument)
{
    colour_pretend_coroutine();
    char touched[1024];
    for (size_t i = 0; i < sizeof touched; i++) touched[i] = (char)(i % 2);
    EXPECT(coroutine_sleep(5) == OK);
    *(int *)argument += touched[1];
}

static void count_shown(void *context, const char *name, int64_t age_ms, const char *waits_for)
{
    EXPECT(age_ms >= 0 && waits_for != NULL && name != NULL);
    ++*(int *)context;
}

static void joins_many(void *argument)
{
    colour_pretend_coroutine();
    struct scope s;
    int ended = 0, shown = 0;
    scope_init(&s, NULL);
    for (int i = 0; i < 3000; i++) coroutine_spawn(&s, "many", sleeps_a_little, &ended);
    coroutine_each(count_shown, &shown);
    EXPECT_NUMBER(shown, 3001);
    scope_join(&s);
    EXPECT_NUMBER(ended, 3000);
    scope_unlink(&s);
}

TEST(thousands_of_coroutines_run_side_by_side) { run(joins_many); }
