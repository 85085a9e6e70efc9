/* Loops, workers and batchers on real threads. Also run under ThreadSanitizer. */
#include <dlfcn.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/event_hook.h"
#include "runtime/uv/net_test.h"
#include "runtime/workers.h"

static void run_with(struct run_options options, void (*body)(void *))
{
    struct fault fault = {0};
    REQUIRE(run_loops(&options, body, NULL, &fault) == OK);
}

/* --- posting --- */

enum { POSTS = 5000 };

struct note { struct task task; int number; };
static struct note notes[2][POSTS];
static int next_seen[2];
static struct completion all_seen;
static struct loop *home;

static void note_arrived(struct task *t)
{
    struct note *n = container_of(t, struct note, task);
    int sender = n >= notes[1];
    EXPECT(loop_self() == home && !coroutine_is_running());
    EXPECT_NUMBER(n->number, next_seen[sender]);
    next_seen[sender]++;
    if (next_seen[0] == POSTS && next_seen[1] == POSTS) completion_set(&all_seen, OK);
}

static void posts_many(void *argument)
{
    colour_pretend_coroutine();
    struct note *mine = argument;
    for (int i = 0; i < POSTS; i++) {
        mine[i] = (struct note){.task.run = note_arrived, .number = i};
        loop_post(home, &mine[i].task);
        if (i % 100 == 0) coroutine_pause();
    }
}

struct sender { unsigned loop; struct note *notes; };

static void sends_from(void *argument)
{
    colour_pretend_coroutine();
    struct sender *s = argument;
    loop_run_on(loops_at(loop_family(loop_self()), s->loop), "posts", posts_many, s->notes);
}

static void receives(void *argument)
{
    colour_pretend_coroutine();
    struct scope s;
    struct sender senders[2] = {{1, notes[0]}, {2, notes[1]}};
    home = loop_self();
    completion_init(&all_seen);
    scope_init(&s, NULL);
    coroutine_spawn(&s, "a", sends_from, &senders[0]);
    coroutine_spawn(&s, "b", sends_from, &senders[1]);
    EXPECT(completion_wait(&all_seen) == OK);
    scope_join(&s);
    scope_unlink(&s);
}

TEST(posts_of_one_thread_arrive_in_order) { net_run(3, receives); }

static void counts_where(void *argument)
{
    colour_pretend_coroutine();
    EXPECT(coroutine_is_running());
    EXPECT(coroutine_sleep(1) == OK);
    *(struct loop **)argument = loop_self();
}

static void visits(void *argument)
{
    colour_pretend_coroutine();
    struct loops *all = loop_family(loop_self());
    for (unsigned i = 0; i < loops_count(all) * 3; i++) {
        struct loop *ran_on = NULL, *target = loops_at(all, i % loops_count(all));
        loop_run_on(target, "visit", counts_where, &ran_on);
        EXPECT(ran_on == target && loop_self() == loops_at(all, 0));
    }
}

TEST(loop_run_on_runs_there_and_comes_back) { net_run(3, visits); }

static void ends_late(void *argument)
{
    colour_pretend_coroutine();
    EXPECT(coroutine_sleep(1000000) == CANCELLED);
    ++*(_Atomic int *)argument;
}

static _Atomic int ended_late;
static void leaves_some(struct task *t) { coroutine_spawn(loop_scope(loop_self()), "late", ends_late, &ended_late); }

static void returns_early(void *argument)
{
    colour_pretend_coroutine();
    static struct task there = {.run = leaves_some};
    coroutine_spawn(loop_scope(loop_self()), "late", ends_late, &ended_late);
    loop_post(loops_at(loop_family(loop_self()), 1), &there);
    EXPECT(coroutine_sleep(20) == OK);
}

TEST(loops_end_when_main_has_returned_and_the_rest_was_cancelled)
{
    net_run(2, returns_early);
    EXPECT_NUMBER(ended_late, 2);
}

/* --- workers --- */

static void squares(void *argument)
{
    EXPECT(loop_self() == NULL && !coroutine_is_running());
    int *number = argument;
    *number *= *number;
}

static void asks_worker(void *argument)
{
    colour_pretend_coroutine();
    int number = 7;
    EXPECT(worker_run(WORKER_READ, squares, &number) == OK);
    EXPECT_NUMBER(number, 49);
    ++*(int *)argument;
}

static void asks_workers(void *argument)
{
    colour_pretend_coroutine();
    struct scope s;
    int answers = 0;
    scope_init(&s, NULL);
    for (int i = 0; i < 500; i++) coroutine_spawn(&s, "asks", asks_worker, &answers);
    scope_cancel(&s);              /* deaf to it: the job uses their memory */
    scope_join(&s);
    scope_unlink(&s);
    EXPECT_NUMBER(answers, 500);
}

TEST(workers_do_jobs_beside_the_loop) { net_run(1, asks_workers); }

static void frees(void *argument)
{
    colour_pretend_coroutine();
    worker_free(NULL, 0);
    worker_free(malloc(100), 100);
    worker_free(malloc(WORKER_FREE_BYTES), WORKER_FREE_BYTES);
    (void)!coroutine_sleep(50);
    worker_free(malloc(WORKER_FREE_BYTES), WORKER_FREE_BYTES);      /* the loop ends */
}

/* The sanitizer tells of what is left. */
TEST(what_a_worker_is_to_free_is_freed) { net_run(1, frees); }

static sem_t gate;
static int results[16];

static void waits_at_gate(void *argument)
{
    while (sem_wait(&gate) != 0) continue;
}

static void wants_in(void *argument)
{
    colour_pretend_coroutine();
    results[worker_run(WORKER_SLOW, waits_at_gate, NULL)]++;
}

static void overflows(void *argument)
{
    colour_pretend_coroutine();
    struct scope s;
    scope_init(&s, NULL);
    sem_init(&gate, 0, 0);
    for (int i = 0; i < 1100; i++) coroutine_spawn(&s, "wants in", wants_in, NULL);
    while (results[BUSY] == 0) EXPECT(coroutine_sleep(1) == OK);
    int number = 3;
    EXPECT(worker_run(WORKER_READ, squares, &number) == OK);       /* another class is not in the way */
    for (int i = 0; i < 1100; i++) sem_post(&gate);
    scope_join(&s);
    scope_unlink(&s);
    EXPECT(results[BUSY] >= 1100 - 1024 - 1 && results[OK] >= 1024);
    EXPECT_NUMBER(results[OK] + results[BUSY], 1100);
}

TEST(a_full_queue_of_workers_says_busy) { run_with((struct run_options){.loops = 1, .slow_workers = 1}, overflows); }

/* --- batcher --- */

struct work { struct batch_item item; int number; struct completion done; };
static _Atomic int batches, most_in_a_batch, last_number;

static void run_batch(void *context, struct batch_item *first)
{
    int count = 0;
    EXPECT(context == &batches && loop_self() == NULL);
    for (struct batch_item *item = first; item; item = item->next, count++) {
        struct work *w = container_of(item, struct work, item);
        EXPECT(w->number > last_number);
        last_number = w->number;
    }
    batches++;
    if (count > most_in_a_batch) most_in_a_batch = count;
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

static void work_done(struct batch_item *item)
{
    EXPECT(loop_self() == item->origin);
    completion_set(&container_of(item, struct work, item)->done, OK);
}

static struct batcher *batcher;
static int next_number = 1;

static void submits(void *argument)
{
    colour_pretend_coroutine();
    for (int i = 0; i < 5; i++) {
        struct work w = {.item.done = work_done, .number = next_number++};
        completion_init(&w.done);
        batcher_submit(batcher, &w.item);
        EXPECT(completion_wait(&w.done) == OK);
    }
}

static void batches_work(void *argument)
{
    colour_pretend_coroutine();
    struct scope s;
    scope_init(&s, NULL);
    batcher = batcher_new("test", run_batch, &batches);
    for (int i = 0; i < 50; i++) coroutine_spawn(&s, "submits", submits, NULL);
    scope_join(&s);
    scope_unlink(&s);
    batcher_free(batcher);
    EXPECT(last_number == 250);
    EXPECT(batches < 30 && most_in_a_batch >= 25);
}

TEST(a_batcher_takes_all_that_waits_in_order) { net_run(1, batches_work); }

static struct batcher *busy_batcher;
static _Atomic int64_t sum;

static void adds(void *context, struct batch_item *first)
{
    for (struct batch_item *item = first; item; item = item->next) sum += container_of(item, struct work, item)->number;
}

static void submits_many(void *argument)
{
    colour_pretend_coroutine();
    for (int i = 1; i <= 1000; i++) {
        struct work w = {.item.done = work_done, .number = i};
        completion_init(&w.done);
        batcher_submit(busy_batcher, &w.item);
        EXPECT(completion_wait(&w.done) == OK);
    }
}

static void submits_on(void *argument)
{
    colour_pretend_coroutine();
    loop_run_on(argument, "submits many", submits_many, NULL);
}

static void batches_from_all_loops(void *argument)
{
    colour_pretend_coroutine();
    struct scope s;
    struct loops *all = loop_family(loop_self());
    scope_init(&s, NULL);
    busy_batcher = batcher_new("test", adds, NULL);
    for (unsigned i = 0; i < 6; i++) coroutine_spawn(&s, "submits on", submits_on, loops_at(all, i % loops_count(all)));
    scope_join(&s);
    scope_unlink(&s);
    batcher_free(busy_batcher);
    EXPECT_NUMBER(sum, 6 * 500500);
}

TEST(a_batcher_loses_no_item_of_any_loop) { net_run(3, batches_from_all_loops); }

/* --- signals --- */

static void waits_for_signals(void *argument)
{
    colour_pretend_coroutine();
    int *seen = argument;
    while ((seen[0] = run_wait_signal()) > 0) seen[seen[0]]++;
}

static void raises(void *argument)
{
    colour_pretend_coroutine();
    int seen[32] = {0};
    struct scope s;
    scope_init(&s, NULL);
    coroutine_spawn(&s, "signals", waits_for_signals, seen);
    EXPECT(coroutine_sleep(5) == OK);
    kill(getpid(), SIGHUP);
    kill(getpid(), SIGTERM);
    kill(getpid(), SIGUSR1);
    EXPECT(coroutine_sleep(30) == OK);
    EXPECT(seen[SIGHUP] == 1 && seen[SIGTERM] == 1 && seen[SIGUSR1] == 1);
    scope_done(&s);
    EXPECT_NUMBER(seen[0], -1);
}

TEST(signals_are_results) { net_run(2, raises); }

/* --- watchdog --- */

static _Atomic int stuck_told;
static char stuck_name[64], stuck_stack[1100];

static void event_told(void *context, enum event e, const struct event_field *fields, size_t count)
{
    if (e != EVENT_WATCHDOG_LOOP_STUCK || stuck_told) return;
    for (size_t i = 0; i < count; i++)
        if (strcmp(fields[i].name, "coroutine") == 0) memcpy(stuck_name, fields[i].text.at, fields[i].text.len);
        else if (strcmp(fields[i].name, "stack") == 0) memcpy(stuck_stack, fields[i].text.at, fields[i].text.len < 1024 ? fields[i].text.len : 1024);
    stuck_told = 1;
}

/* With a frame of its own, below which the C library has one without. */
__attribute__((noinline)) static int hogs_here(void)
{
    for (int i = 0; i < 8; i++) nanosleep(&(struct timespec){.tv_nsec = 25000000}, NULL);
    return 7;
}

static void hogs(void *argument) { EXPECT_NUMBER(hogs_here(), 7); }

/* Whether some place of the stack lies in the first bytes of a function of this program. */
static bool stack_has(const char *stack, void (*function)(void))
{
    Dl_info found;
    char *end;
    if (!dladdr((void *)function, &found)) return false;
    uintptr_t from = (uintptr_t)function - (uintptr_t)found.dli_fbase;
    for (const char *at = stack; (at = strstr(at, "unit-uv+0x")); at = end) {
        uintptr_t place = strtoull(at + strlen("unit-uv+0x"), &end, 16);
        if (place > from && place < from + 400) return true;
    }
    return false;
}

static void is_watched(void *argument)
{
    colour_pretend_coroutine();
    struct scope s;
    EXPECT(coroutine_sleep(150) == OK);
    EXPECT(!stuck_told);           /* a loop that sleeps is not stuck */
    scope_init(&s, NULL);
    coroutine_spawn(&s, "the hog", hogs, NULL);
    scope_join(&s);
    scope_unlink(&s);
    EXPECT(stuck_told);
    EXPECT_VIEW(view_of(stuck_name), VIEW("the hog"));
    if (!stack_has(stuck_stack, (void (*)(void))hogs_here)) test_fail(__FILE__, __LINE__, "stack: %s", stuck_stack);
    EXPECT(stack_has(stuck_stack, (void (*)(void))hogs));
}

TEST(the_watchdog_names_what_blocks_a_loop)
{
    event_hook(event_told, NULL);
    net_run(1, is_watched);
}
