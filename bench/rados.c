/*
 * bench/rados: what the engine adds to appends over a program that does nothing but call librados.
 *
 *     build/bench-rados --config FILE [--pool NAME] [--seconds N] [--rounds N] [--size BYTES] [--journals N] [--depth N ...]
 *
 * In turn, A B A B: A is bare librados (the same operation, a frame appended and an attribute set, by one thread that completions wake), B the
 * engine with a coroutine to each append that is under way. CPU is of this process, not of the cluster. Lines with "median" have the ratios.
 */
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/arena.h"
#include "base/check.h"
#include "engine/rados/frame.h"
#include "engine/rados/rados_private.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/random.h"
#include "runtime/run.h"
#include "runtime/workers.h"

enum { DEPTHS_MAX = 8, ROUNDS_MAX = 32, META_BYTES = 300, NAME_BYTES = 40 };

static struct {
    struct engine_rados_options store;
    int64_t seconds;
    unsigned rounds, journals, loops, depths[DEPTHS_MAX], depth_count;
    size_t size;
} options = {.store = {.pool = "tayori", .object_pool = "tayori-objects"}, .seconds = 3, .rounds = 3, .journals = 1000, .loops = 1, .size = 5120};

static char bytes[128 << 10];

struct figures { double per_second, cpu_us; };

static int64_t cpu_us(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * INT64_C(1000000) + r.ru_utime.tv_usec + r.ru_stime.tv_usec;
}

struct stretch {
    int64_t began_us, began_cpu_us, ends_us;
    _Atomic uint64_t done, failed;
};

static void begin(struct stretch *s)
{
    *s = (struct stretch){.began_us = clock_now_us(), .began_cpu_us = cpu_us()};
    s->ends_us = s->began_us + options.seconds * 1000000;
}

static struct figures end(struct stretch *s)
{
    if (s->failed) fprintf(stderr, "%" PRIu64 " failed\n", (uint64_t)s->failed);
    double seconds = (double)(clock_now_us() - s->began_us) / 1e6;
    return (struct figures){(double)s->done / seconds, (double)(cpu_us() - s->began_cpu_us) / (double)(s->done ? s->done : 1)};
}

/* ---- A: bare ---------------------------------------------------------------------------------------------- */

struct bare {
    struct stretch stretch;
    rados_ioctx_t io;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct bare_slot *ended;             /* what librados has done and the thread has not yet seen */
    char (*names)[NAME_BYTES];
};

struct bare_slot {
    struct bare *bare;
    struct bare_slot *next_ended;
    rados_completion_t completion;
    unsigned next, step;
    uint64_t id;
};

static void bare_completed(rados_completion_t completion, void *argument)
{
    struct bare_slot *s = argument;
    pthread_mutex_lock(&s->bare->lock);
    s->next_ended = s->bare->ended;
    s->bare->ended = s;
    pthread_cond_signal(&s->bare->wake);
    pthread_mutex_unlock(&s->bare->lock);
}

static struct bare_slot *bare_wait(struct bare *b)
{
    pthread_mutex_lock(&b->lock);
    while (!b->ended) pthread_cond_wait(&b->wake, &b->lock);
    struct bare_slot *s = b->ended;
    b->ended = s->next_ended;
    pthread_mutex_unlock(&b->lock);
    if (rados_aio_get_return_value(s->completion) < 0) b->stretch.failed++;
    b->stretch.done++;
    rados_aio_release(s->completion);
    return s;
}

static void bare_submit(struct bare_slot *s)
{
    rados_write_op_t op = rados_create_write_op();
    char id[8];
    s->id += 0x9e3779b97f4a7c15;
    memcpy(id, &s->id, sizeof id);
    s->next = (s->next + s->step) % options.journals;
    rados_write_op_append(op, bytes, journal_frame_bytes(META_BYTES, options.size));
    rados_write_op_setxattr(op, "tail", id, sizeof id);
    rados_aio_create_completion2(s, bare_completed, &s->completion);
    check(rados_aio_write_op_operate(op, s->bare->io, s->completion, s->bare->names[s->next], NULL, LIBRADOS_OPERATION_FULL_TRY) == 0);
    rados_release_write_op(op);
}

struct bare_run {
    struct bare *bare;
    unsigned depth;
};

static void run_bare_there(void *argument)
{
    struct bare_run *r = argument;
    struct bare *b = r->bare;
    struct bare_slot *slots = calloc(r->depth, sizeof *slots);
    check(slots);
    for (unsigned i = 0; i < r->depth; i++) {
        slots[i] = (struct bare_slot){.bare = b, .next = i * 7, .step = 1 + i, .id = i};
        bare_submit(&slots[i]);
    }
    for (unsigned left = r->depth; left > 0;) {
        struct bare_slot *s = bare_wait(b);
        if (clock_now_us() < b->stretch.ends_us) bare_submit(s);
        else left--;
    }
    free(slots);
}

MAY_YIELD static struct figures measure_bare(struct bare *b, unsigned depth)
{
    begin(&b->stretch);
    check(worker_run(WORKER_SLOW, run_bare_there, &(struct bare_run){b, depth}) == OK);
    return end(&b->stretch);
}

/* ---- B: the engine ---------------------------------------------------------------------------------------- */

struct engine_run {
    struct stretch stretch;
    struct engine *engine;
    struct id *journals;
    _Atomic unsigned number;
    unsigned left;
    struct completion all_ended;
};

MAY_YIELD static void append_there(void *argument)
{
    struct engine_run *r = argument;
    unsigned step = 1 + r->number++, next = step * 7;
    while (clock_now_us() < r->stretch.ends_us) {
        next = (next + step) % options.journals;
        struct journal_append a = {.journal = r->journals[next], .meta = view_make(bytes, META_BYTES), .body = view_make(bytes + META_BYTES, options.size)};
        if (engine_append(r->engine, &a, clock_in(30000)) != OK) r->stretch.failed++;
        r->stretch.done++;
    }
}

struct caller { struct engine_run *run; struct loop *loop; };

MAY_YIELD static void call(void *argument)
{
    struct caller c = *(struct caller *)argument;
    free(argument);
    loop_run_on(c.loop, "bench append", append_there, c.run);
    if (--c.run->left == 0) completion_set(&c.run->all_ended, OK);
}

MAY_YIELD static struct figures measure_engine(struct engine_run *r, unsigned depth)
{
    struct loops *all = loop_family(loop_self());
    begin(&r->stretch);
    r->left = depth;
    r->number = 0;
    completion_init(&r->all_ended);
    for (unsigned i = 0; i < depth; i++) {
        struct caller *c = malloc(sizeof *c);
        check(c);
        *c = (struct caller){r, loops_at(all, i % loops_count(all))};
        coroutine_spawn(loop_scope(loop_self()), "bench", call, c);
    }
    (void)completion_wait(&r->all_ended);
    return end(&r->stretch);
}

/* ---- reads ------------------------------------------------------------------------------------------------ */

enum { READ_RECORDS = 1000, LOOKS = 3000, ARENA_BYTES = 64 << 20 };

MAY_YIELD static size_t read_all(struct engine *e, struct id journal, struct arena *arena, struct journal_position *ret_end, size_t *ret_pages)
{
    struct journal_page page = {.more = true};
    size_t count = 0;
    *ret_pages = 0;
    for (bool first = true; page.more; first = false) {
        check(engine_read(e, journal, first ? NULL : ret_end, clock_in(30000), arena, &page, NULL) == OK);
        *ret_end = page.end;
        count += page.count;
        ++*ret_pages;
    }
    return count;
}

/* What opening an account costs whose journal has a thousand messages, and what looking for news costs where there are none. */
MAY_YIELD static void measure_reads(struct engine *e)
{
    struct arena *arena = arena_new(NULL, ARENA_BYTES);
    struct id journal = random_id();
    struct journal_position end;
    size_t pages = 0, count = 0;
    for (unsigned i = 0; i < READ_RECORDS; i++) {
        struct journal_append a = {.journal = journal, .meta = view_make(bytes, META_BYTES), .body = view_make(bytes + META_BYTES, options.size)};
        check(engine_append(e, &a, clock_in(30000)) == OK);
    }
    for (unsigned i = 0; i < options.rounds; i++) {
        arena_reset(arena);
        int64_t began_us = clock_now_us(), began_cpu_us = cpu_us();
        count = read_all(e, journal, arena, &end, &pages);
        printf("read of %zu records of %zu bytes: %.1f ms, %.1f ms CPU, %zu pages\n", count, options.size, (double)(clock_now_us() - began_us) / 1e3,
               (double)(cpu_us() - began_cpu_us) / 1e3, pages);
    }
    for (unsigned i = 0; i < options.rounds; i++) {
        int64_t began_us = clock_now_us(), began_cpu_us = cpu_us();
        for (unsigned n = 0; n < LOOKS; n++) {
            struct journal_page page;
            arena_reset(arena);
            check(engine_read(e, journal, &end, clock_in(30000), arena, &page, NULL) == OK && page.count == 0);
        }
        printf("look without news: %.0f us, %.1f us CPU\n", (double)(clock_now_us() - began_us) / LOOKS, (double)(cpu_us() - began_cpu_us) / LOOKS);
    }
    arena_free(arena);
}

/* ---- in turn ---------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const struct figures *f, bool of_cpu)
{
    double numbers[ROUNDS_MAX];
    for (unsigned i = 0; i < options.rounds; i++) numbers[i] = of_cpu ? f[i].cpu_us : f[i].per_second;
    qsort(numbers, options.rounds, sizeof numbers[0], compare);
    return numbers[options.rounds / 2];
}

MAY_YIELD static void measure_depth(struct bare *b, struct engine_run *e, unsigned depth)
{
    struct figures bare[ROUNDS_MAX], engine[ROUNDS_MAX];
    for (unsigned i = 0; i < options.rounds; i++) {
        bare[i] = measure_bare(b, depth);
        engine[i] = measure_engine(e, depth);
        printf("depth %3u  bare %7.0f/s %6.1f us   engine %7.0f/s %6.1f us\n", depth, bare[i].per_second, bare[i].cpu_us, engine[i].per_second,
               engine[i].cpu_us);
        fflush(stdout);
    }
    printf("depth %3u  median: bare %.0f/s %.1f us, engine %.0f/s %.1f us; the engine does %.2f of the appends for %.2f of the client's CPU\n", depth,
           median(bare, false), median(bare, true), median(engine, false), median(engine, true), median(engine, false) / median(bare, false),
           median(engine, true) / median(bare, true));
    fflush(stdout);
}

static void run_all(void *argument)
{
    colour_pretend_coroutine();
    char name_space[64];
    struct fault fault = {0};
    struct engine_run e = {.journals = calloc(options.journals, sizeof *e.journals)};
    struct bare b = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .names = calloc(options.journals, NAME_BYTES)};
    uint64_t generation;
    random_bytes(bytes, sizeof bytes);
    snprintf(name_space, sizeof name_space, "bench-%" PRIx64, random_u64());
    options.store.name_space = name_space;
    if (engine_open_rados(&options.store, &e.engine, &fault) != OK) {
        fprintf(stderr, "%s\n", fault.detail);
        exit(1);
    }
    for (unsigned i = 0; i < options.journals; i++) {
        e.journals[i] = random_id();
        snprintf(b.names[i], NAME_BYTES, "bare-%032u", i);
    }
    struct client *c = rados_of(e.engine)->client;
    b.io = client_io(c, SPACE_JOURNALS, &generation);
    for (unsigned i = 0; i < options.depth_count; i++) measure_depth(&b, &e, options.depths[i]);
    measure_reads(e.engine);
    client_io_done(c, b.io);
    engine_close(e.engine);
    free(e.journals);
    free(b.names);
}

static void take_arguments(int argc, char **argv)
{
    static const struct option known[] = {{"config", 1, NULL, 'c'}, {"pool", 1, NULL, 'p'}, {"object-pool", 1, NULL, 'o'}, {"seconds", 1, NULL, 's'},
                                          {"rounds", 1, NULL, 'r'}, {"size", 1, NULL, 'z'}, {"journals", 1, NULL, 'j'}, {"depth", 1, NULL, 'd'},
                                          {"loops", 1, NULL, 'l'}, {0}};
    for (int o; (o = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        uint64_t number = 0;
        if (o == '?') exit(2);
        if (!strchr("cpo", o)) check(view_to_u64(view_of(optarg), &number) && number > 0);
        if (o == 'c') options.store.config_file = optarg;
        else if (o == 'p') options.store.pool = optarg;
        else if (o == 'o') options.store.object_pool = optarg;
        else if (o == 's') options.seconds = (int64_t)number;
        else if (o == 'r') options.rounds = number < ROUNDS_MAX ? (unsigned)number : ROUNDS_MAX;
        else if (o == 'z') options.size = number < ENGINE_BODY_MAX_BYTES ? number : ENGINE_BODY_MAX_BYTES;
        else if (o == 'j') options.journals = (unsigned)number;
        else if (o == 'l') options.loops = (unsigned)number;
        else if (options.depth_count < DEPTHS_MAX) options.depths[options.depth_count++] = (unsigned)number;
    }
    if (options.depth_count == 0) {
        options.depth_count = 3;
        memcpy(options.depths, (unsigned[]){1, 8, 64}, 3 * sizeof options.depths[0]);
    }
}

int main(int argc, char **argv)
{
    struct fault fault = {0};
    take_arguments(argc, argv);
    struct run_options run = {.loops = options.loops, .read_workers = 1, .write_workers = 1, .slow_workers = 1};
    check(run_loops(&run, run_all, NULL, &fault) == OK);
    return 0;
}
