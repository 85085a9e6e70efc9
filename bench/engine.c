/*
 * bench/engine: what the local engine does in a second, and what it costs.
 *
 *     build/bench-engine [--dir FOLDER] [--seconds N] [--loops N] [--journals N] [--size N --depth N] [append] [read]
 *
 * Appends: coroutines on all loops that each wait for their append to be durable, at several depths and sizes. Reads: from
 * memory and from files. Latencies are of the caller; CPU is of the whole process, the callers' included; written bytes are what the
 * kernel was told to write (log, tables, compaction), to the end of the engine's closing for the rows marked so.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/arena.h"
#include "base/check.h"
#include "engine/local.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/event_hook.h"
#include "runtime/random.h"
#include "runtime/run.h"

enum { SAMPLES_MAX = 1 << 20, DEPTH_MAX = 1024, JOURNALS_MAX = 100000, MESSAGE_MAX = 64 << 10, ARENA_BYTES = 8 << 20 };

static struct {
    const char *folder;
    int64_t seconds;
    unsigned loops, journals;
    unsigned size, depth;            /* of appends; 0: several */
    bool appends, reads;
} options = {.folder = "/tmp/tayori-bench-engine", .seconds = 2, .loops = 0, .journals = 1000};

struct bench {
    struct engine *engine;
    struct id *journals;
    char *bytes;                     /* random, MESSAGE_MAX * 2 */
    int64_t ends_us;
    size_t size;
    unsigned depth, left;
    bool (*step)(struct bench *b);   /* one operation; false: it failed */
    struct completion all_ended;
    uint32_t *samples_us;            /* shared by the loops */
    _Atomic uint64_t done, failed;
};

struct usage { int64_t wall_us, cpu_us; uint64_t written; };

static uint64_t written_bytes(void)
{
    char line[128];
    uint64_t bytes = 0;
    FILE *io = fopen("/proc/self/io", "r");
    while (io && fgets(line, sizeof line, io))
        if (strncmp(line, "write_bytes: ", 13) == 0) bytes = strtoull(line + 13, NULL, 10);
    if (io) fclose(io);
    return bytes;
}

static struct usage measure(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    int64_t cpu_us = (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * INT64_C(1000000) + r.ru_utime.tv_usec + r.ru_stime.tv_usec;
    return (struct usage){clock_now_us(), cpu_us, written_bytes()};
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* ---- many callers ----------------------------------------------------------------------------------------- */

struct caller { struct bench *bench; struct loop *loop; };

static void call_there(void *argument)
{
    colour_pretend_coroutine();
    struct bench *b = argument;
    while (clock_now_us() < b->ends_us) {
        int64_t began_us = clock_now_us();
        if (!b->step(b)) b->failed++;
        uint64_t n = b->done++;
        if (n < SAMPLES_MAX) b->samples_us[n] = (uint32_t)(clock_now_us() - began_us);
    }
}

static void call(void *argument)
{
    colour_pretend_coroutine();
    struct caller c = *(struct caller *)argument;
    free(argument);
    loop_run_on(c.loop, "bench caller", call_there, c.bench);
    if (--c.bench->left == 0) completion_set(&c.bench->all_ended, OK);
}

MAY_YIELD static void run_callers(struct bench *b, const char *what)
{
    struct loops *all = loop_family(loop_self());
    struct usage before = measure();
    b->done = b->failed = 0;
    b->left = b->depth;
    b->ends_us = before.wall_us + options.seconds * 1000000;
    completion_init(&b->all_ended);
    for (unsigned i = 0; i < b->depth; i++) {
        struct caller *c = malloc(sizeof *c);
        check(c);
        *c = (struct caller){b, loops_at(all, i % loops_count(all))};
        coroutine_spawn(loop_scope(loop_self()), "bench", call, c);
    }
    (void)completion_wait(&b->all_ended);
    struct usage after = measure();
    uint64_t done = b->done, samples = done < SAMPLES_MAX ? done : SAMPLES_MAX;
    qsort(b->samples_us, samples, sizeof *b->samples_us, compare);
    double seconds = (double)(after.wall_us - before.wall_us) / 1e6;
    printf("%-12s %6zu %6u %10.0f %8u %8u %8u %9.1f %10.0f%s\n", what, b->size, b->depth, (double)done / seconds, b->samples_us[samples / 2],
           b->samples_us[samples * 99 / 100], b->samples_us[samples - 1], (double)(after.cpu_us - before.cpu_us) / (double)done,
           (double)(after.written - before.written) / (double)done, b->failed ? "  FAILURES" : "");
    fflush(stdout);
}

static void print_head(void)
{
    printf("%-12s %6s %6s %10s %8s %8s %8s %9s %10s\n", "operation", "bytes", "depth", "per s", "p50 us", "p99 us", "max us", "cpu us", "written");
}

/* ---- operations ------------------------------------------------------------------------------------------- */

static struct id some_journal(struct bench *b) { return b->journals[random_below(options.journals)]; }

MAY_YIELD static bool append(struct bench *b)
{
    enum { META_BYTES = 200 };
    struct journal_append a = {.journal = some_journal(b), .meta = view_make(b->bytes, META_BYTES),
                               .body = view_make(b->bytes + random_below(MESSAGE_MAX), b->size)};
    return engine_append(b->engine, &a, MILLIS_NEVER) == OK;
}

MAY_YIELD static bool read_journal(struct bench *b)
{
    struct journal_page page;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ARENA_BYTES);
    result code = engine_read(b->engine, some_journal(b), NULL, MILLIS_NEVER, arena, &page, NULL);
    return code == OK || code == NOT_FOUND;
}

MAY_YIELD static bool read_tail(struct bench *b)
{
    static struct id journal;
    static struct journal_position end;
    struct journal_page page;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ARENA_BYTES);
    if (id_is_none(journal)) {
        journal = b->journals[0];
        result code;
        while ((code = engine_read(b->engine, journal, end.tail ? &end : NULL, MILLIS_NEVER, arena, &page, NULL)) == OK) {
            end = page.end;
            if (!page.more) break;
        }
        return code == OK;
    }
    return engine_read(b->engine, journal, &end, MILLIS_NEVER, arena, &page, NULL) == OK;
}

MAY_YIELD static bool read_body(struct bench *b)
{
    static struct journal_page page;
    static struct arena *kept;
    if (!kept) {
        kept = arena_new(NULL, ARENA_BYTES);
        if (engine_read(b->engine, b->journals[0], NULL, MILLIS_NEVER, kept, &page, NULL) != OK || !page.count) return false;
    }
    buf body CLEANUP(buf_done) = BUF_INIT;
    const struct journal_record *r = &page.records[random_below(page.count)];
    return engine_read_body(b->engine, b->journals[0], r, 0, r->body_bytes, MILLIS_NEVER, &body, NULL) == OK;
}

MAY_YIELD static bool get_row(struct bench *b)
{
    char key[32];
    view value;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ARENA_BYTES);
    int len = snprintf(key, sizeof key, "row %u", (unsigned)random_below(options.journals));
    return table_get(b->engine, VIEW("bench"), 0, view_make(key, (size_t)len), MILLIS_NEVER, arena, &value, NULL) == OK;
}

MAY_YIELD static bool put_row(struct bench *b)
{
    char key[32];
    int len = snprintf(key, sizeof key, "row %u", (unsigned)random_below(options.journals));
    struct table_change change = {.key = view_make(key, (size_t)len), .value = view_make(b->bytes, b->size)};
    return table_batch(b->engine, VIEW("bench"), 0, &change, 1, MILLIS_NEVER, NULL, NULL) == OK;
}

MAY_YIELD static bool put_object(struct bench *b)
{
    char name[ID_TEXT_LEN + 1];
    id_text(random_id(), name);
    return object_put(b->engine, view_of(name), view_make(b->bytes, b->size), MILLIS_NEVER, NULL) == OK;
}

MAY_YIELD static bool read_object(struct bench *b)
{
    buf bytes CLEANUP(buf_done) = BUF_INIT;
    return object_read(b->engine, VIEW("bench/object"), random_below(1 << 20), b->size, MILLIS_NEVER, &bytes, NULL) == OK;
}

/* ---- the table -------------------------------------------------------------------------------------------- */

MAY_YIELD static struct engine *open_engine(void)
{
    struct engine_local_options o = {.folder = options.folder};
    struct engine *e;
    struct fault fault = {0};
    if (engine_open_local(&o, &e, &fault) == OK) return e;
    fprintf(stderr, "bench/engine: %s\n", fault.detail);
    exit(1);
}

MAY_YIELD static void reopen(struct bench *b)
{
    engine_close(b->engine);
    b->engine = open_engine();
}

MAY_YIELD static void bench_appends(struct bench *b)
{
    static const size_t sizes[] = {600, 5000, 50000};
    static const unsigned depths[] = {1, 8, 50, 256};
    b->step = append;
    for (size_t s = 0; s < array_size(sizes); s++)
        for (size_t d = 0; d < array_size(depths); d++) {
            if ((options.size || options.depth) && s + d > 0) return;
            b->size = options.size ? options.size : sizes[s];
            b->depth = options.depth ? options.depth : depths[d];
            struct usage before = measure();
            run_callers(b, "append");
            reopen(b);
            struct usage after = measure();
            printf("%-12s %6s %6s %10s %8s %8s %8s %9.1f %10.0f\n", " and closed", "", "", "", "", "", "",
                   (double)(after.cpu_us - before.cpu_us) / (double)b->done, (double)(after.written - before.written) / (double)b->done);
        }
}

static void run_one(struct bench *b, const char *what, bool (*step)(struct bench *b), size_t size, unsigned depth)
{
    colour_pretend_coroutine();
    b->step = step;
    b->size = size;
    b->depth = depth;
    run_callers(b, what);
}

MAY_YIELD static void bench_reads(struct bench *b)
{
    char *megabytes = calloc(2, 1 << 20);
    check(megabytes);
    result code = object_put(b->engine, VIEW("bench/object"), view_make(megabytes, 2 << 20), MILLIS_NEVER, NULL);
    check(code == OK || code == EXISTS);
    free(megabytes);
    int64_t seconds = options.seconds;
    options.seconds = 1;
    run_one(b, "append", append, 5000, 50);
    run_one(b, "table_put", put_row, 500, 50);
    for (unsigned depth = 1; depth <= 50; depth += 49) {
        options.seconds = seconds;
        run_one(b, "read_tail", read_tail, 0, depth);
        run_one(b, "read_body", read_body, 5000, depth);
        run_one(b, "table_get", get_row, 500, depth);
        run_one(b, "read_journal", read_journal, 0, depth);
        run_one(b, "object_read", read_object, 5000, depth);
        run_one(b, "object_put", put_object, 5000, depth);
    }
    reopen(b);
    run_one(b, "from files:", read_body, 5000, 1);
    run_one(b, "from files:", read_body, 5000, 50);
    run_one(b, "read_journal", read_journal, 0, 1);
    run_one(b, "read_journal", read_journal, 0, 50);
}

static void bench_main(void *argument)
{
    colour_pretend_coroutine();
    struct bench b = {.engine = open_engine(), .journals = calloc(options.journals, sizeof *b.journals), .bytes = malloc(MESSAGE_MAX * 2),
                      .samples_us = malloc(SAMPLES_MAX * sizeof *b.samples_us)};
    check(b.journals && b.bytes && b.samples_us);
    for (unsigned i = 0; i < options.journals; i++) b.journals[i] = random_id();
    for (size_t i = 0; i < MESSAGE_MAX * 2; i += 1 << 16) random_bytes(b.bytes + i, 1 << 16);
    print_head();
    if (options.appends) bench_appends(&b);
    if (options.reads) bench_reads(&b);
    engine_close(b.engine);
    free(b.samples_us);
    free(b.bytes);
    free(b.journals);
}

static bool read_options(int count, char **arguments)
{
    for (int i = 1; i < count; i++) {
        view a = view_of(arguments[i]);
        uint64_t number = 0;
        bool has_value = i + 1 < count;
        if (view_equal(a, VIEW("append"))) options.appends = true;
        else if (view_equal(a, VIEW("read"))) options.reads = true;
        else if (view_equal(a, VIEW("--dir")) && has_value) options.folder = arguments[++i];
        else if (!has_value || !view_to_u64(view_of(arguments[++i]), &number)) return false;
        else if (view_equal(a, VIEW("--seconds"))) options.seconds = (int64_t)number;
        else if (view_equal(a, VIEW("--loops"))) options.loops = (unsigned)number;
        else if (view_equal(a, VIEW("--size")) && number <= ENGINE_BODY_MAX_BYTES) options.size = (unsigned)number;
        else if (view_equal(a, VIEW("--depth")) && number <= DEPTH_MAX) options.depth = (unsigned)number;
        else if (view_equal(a, VIEW("--journals")) && number > 0 && number <= JOURNALS_MAX) options.journals = (unsigned)number;
        else return false;
    }
    if (!options.appends && !options.reads) options.appends = options.reads = true;
    return true;
}

int main(int count, char **arguments)
{
    struct fault fault = {0};
    if (!read_options(count, arguments)) {
        fprintf(stderr, "usage: bench-engine [--dir FOLDER] [--seconds N] [--loops N] [--journals N] [--size N --depth N] [append] [read]\n");
        return 2;
    }
    struct run_options run = {.loops = options.loops};
    return run_loops(&run, bench_main, NULL, &fault) == OK ? 0 : 1;
}
