/*
 * Objects and tables while OSDs are killed and hang: a cluster of its own, in a folder of its own. What was acknowledged is there and
 * right; what was not is there whole or not at all; what is left over is found.
 */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/check.h"
#include "engine/rados/objects_private.h"
#include "engine/rados/rados_test.h"
#include "runtime/random.h"
#include "runtime/workers.h"

enum { FOLDER_BYTES = 64, WRITERS = 8, ROUNDS_MAX = 4000, SHORT_MS = 1500, LONG_MS = 60000, SMALL_MAX = 60000, LARGE_BYTES = 5 << 20 };

struct written { char name[64]; uint64_t seed; size_t len; result code; };

struct faults_test {
    char folder[FOLDER_BYTES], config[FOLDER_BYTES + 16];
    struct engine_rados_options options;
    struct engine *engine;
    bool must_stop;
    struct written *written;
    size_t count;
    size_t running;
    uint64_t counted[2];                 /* acknowledged, and of unknown outcome */
    unsigned findings;
};

/* ---- the cluster ------------------------------------------------------------------------------------------------------ */

static int cluster(const char *command, const char *folder, const char *argument)
{
    char line[200];
    snprintf(line, sizeof line, "tools/test-cluster %s %s %s >/dev/null", command, folder, argument);
    int status = system(line);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

struct order { const char *command, *folder, *argument; int status; };

static void run_order(void *argument)
{
    struct order *o = argument;
    o->status = cluster(o->command, o->folder, o->argument);
}

MAY_YIELD static void order(struct faults_test *t, const char *command, const char *argument)
{
    struct order o = {command, t->folder, argument, 0};
    REQUIRE(worker_run(WORKER_SLOW, run_order, &o) == OK);
    EXPECT_NUMBER(o.status, 0);
}

/* ---- load ------------------------------------------------------------------------------------------------------------- */

static void fill(char *bytes, size_t len, uint64_t seed)
{
    for (size_t i = 0; i < len; i++) bytes[i] = (char)(seed + i * 7 + (i >> 12));
}

MAY_YIELD static void write_one(struct faults_test *t)
{
    struct written *w = &t->written[t->count++];
    struct id id = random_id();
    char text[ID_TEXT_LEN + 1];
    id_text(id, text);
    snprintf(w->name, sizeof w->name, "load/%s", text);
    w->seed = random_u64();
    w->len = random_below(20) == 0 ? LARGE_BYTES + (size_t)random_below(9999) : (size_t)random_below(SMALL_MAX);
    char *bytes = malloc(w->len + 1);
    check(bytes);
    fill(bytes, w->len, w->seed);
    w->code = UNKNOWN_OUTCOME;
    w->code = object_put(t->engine, view_of(w->name), view_make(bytes, w->len), clock_in(SHORT_MS), NULL);
    EXPECT(w->code == OK || w->code == UNKNOWN_OUTCOME || w->code == TIMEOUT || w->code == UNAVAILABLE);
    free(bytes);
}

static void load_objects(void *argument)
{
    colour_pretend_coroutine();
    struct faults_test *t = argument;
    while (!t->must_stop && t->count < ROUNDS_MAX) write_one(t);
    t->running--;
}

static void load_table(void *argument)
{
    colour_pretend_coroutine();
    struct faults_test *t = argument;
    while (!t->must_stop) {
        CLEANUP(arena_freep) struct arena *arena = arena_new(NULL, 1 << 16);
        view old = VIEW_EMPTY;
        uint64_t number = 0;
        result code = table_get(t->engine, VIEW("things"), 0, VIEW("counter"), clock_in(SHORT_MS), arena, &old, NULL);
        if (code != OK && code != NOT_FOUND) continue;
        if (code == OK) EXPECT(view_to_u64(old, &number));
        struct table_change up = {.key = VIEW("counter"), .value = arena_printf(arena, "%u", (unsigned)number + 1), .condition = TABLE_IF_ABSENT};
        if (code == OK) up.condition = TABLE_IF_VALUE, up.expected = old;
        code = table_batch(t->engine, VIEW("things"), 0, &up, 1, clock_in(SHORT_MS), NULL, NULL);
        EXPECT(code == OK || code == UNKNOWN_OUTCOME || code == TIMEOUT || code == UNAVAILABLE || code == CONFLICT);
        t->counted[0] += code == OK;
        t->counted[1] += code == UNKNOWN_OUTCOME;
    }
    t->running--;
}

MAY_YIELD static void pause_ms(int64_t duration_ms) { (void)!coroutine_sleep(duration_ms); }

MAY_YIELD static void break_things(struct faults_test *t)
{
    pause_ms(1000);
    order(t, "kill-osd", "0");
    pause_ms(2000);
    order(t, "start-osd", "0");
    pause_ms(2000);
    order(t, "wait", "");
    order(t, "hang-osd", "1");
    pause_ms(8000);
    order(t, "resume-osd", "1");
    pause_ms(2000);
    t->must_stop = true;
    while (t->running > 0) pause_ms(20);
    order(t, "wait", "");
}

/* ---- what is true afterwards ------------------------------------------------------------------------------------------ */

static void note_finding(void *argument, view what)
{
    struct faults_test *t = argument;
    t->findings++;
}

MAY_YIELD static void check_object(struct faults_test *t, const struct written *w, size_t *settled)
{
    CLEANUP(buf_done) buf got = BUF_INIT;
    result code = object_read(t->engine, view_of(w->name), 0, SIZE_MAX, clock_in(LONG_MS), &got, NULL);
    if (w->code == OK) EXPECT(code == OK);
    else EXPECT(code == OK ? w->code == UNKNOWN_OUTCOME : code == NOT_FOUND);
    *settled += w->code != OK && code == OK;
    if (code != OK) return;
    char *bytes = malloc(w->len + 1);
    check(bytes);
    fill(bytes, w->len, w->seed);
    EXPECT(view_equal(buf_view(&got), view_make(bytes, w->len)));
    free(bytes);
}

MAY_YIELD static void check_counter(struct faults_test *t)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(NULL, 1 << 16);
    uint64_t number = 0;
    view value;
    EXPECT(table_get(t->engine, VIEW("things"), 0, VIEW("counter"), clock_in(LONG_MS), arena, &value, NULL) == OK && view_to_u64(value, &number));
    EXPECT(number >= t->counted[0] && number <= t->counted[0] + t->counted[1]);
    printf("# counter %u, acknowledged %u, unknown %u\n", (unsigned)number, (unsigned)t->counted[0], (unsigned)t->counted[1]);
}

MAY_YIELD static uint64_t reclaim(struct faults_test *t, int64_t grace_ms)
{
    uint64_t place = 0, count = 0;
    result code;
    do code = objects_reclaim(rados_of(t->engine), grace_ms, &place, &count, NULL);
    while (code == OK);
    EXPECT(code == END);
    return count;
}

MAY_YIELD static void check_leftovers(struct faults_test *t)
{
    EXPECT(objects_verify(rados_of(t->engine), OBJECT_GRACE_MS, note_finding, t, NULL) == OK);
    EXPECT_NUMBER(t->findings, 0);
    uint64_t removed = reclaim(t, -1000);
    EXPECT(objects_verify(rados_of(t->engine), -1000, note_finding, t, NULL) == OK);
    EXPECT_NUMBER(t->findings, 0);
    printf("# %u leftovers reclaimed\n", (unsigned)removed);
}

static void run_faults(void *argument)
{
    colour_pretend_coroutine();
    struct faults_test *t = argument;
    t->engine = test_open(&t->options);
    t->running = WRITERS + 1;
    for (size_t i = 0; i < WRITERS; i++) coroutine_spawn(loop_scope(loop_self()), "writer", load_objects, t);
    coroutine_spawn(loop_scope(loop_self()), "counter", load_table, t);
    break_things(t);
    size_t failed = 0, settled = 0;
    for (size_t i = 0; i < t->count; i++) {
        failed += t->written[i].code != OK;
        check_object(t, &t->written[i], &settled);
    }
    printf("# %zu objects, %zu not acknowledged, %zu of those there\n", t->count, failed, settled);
    EXPECT(t->count > 50);
    EXPECT(failed > 0);
    check_leftovers(t);
    for (size_t i = 0; i < t->count; i++) check_object(t, &t->written[i], &settled);
    check_counter(t);
    engine_close(t->engine);
}

TEST_SLOW(faults_of_osds_lose_nothing, 300)
{
    struct faults_test t = {.written = calloc(ROUNDS_MAX + WRITERS, sizeof(struct written))};
    if (!getenv("TAYORI_TEST_CEPH")) test_skip("TAYORI_TEST_CEPH names no ceph.conf of a test cluster (packages ceph-mon, ceph-osd, ceph-common)");
    const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(t.folder, sizeof t.folder, "%s/tayori-faults-%d", parent, (int)getpid());
    snprintf(t.config, sizeof t.config, "%s/ceph.conf", t.folder);
    if (cluster("start", t.folder, "") != 0) {
        (void)!cluster("stop", t.folder, "");
        test_skip("tools/test-cluster does not start here");
    }
    t.options = (struct engine_rados_options){.config_file = t.config, .pool = "tayori", .object_pool = "tayori-objects", .name_space = "faults"};
    /* In a process of its own: however it ends, the cluster is stopped. */
    int status;
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        test_run(run_faults, &t);
        test_stop();
    }
    EXPECT(waitpid(child, &status, 0) == child && status == 0);
    EXPECT_NUMBER(cluster("stop", t.folder, ""), 0);
    free(t.written);
}
