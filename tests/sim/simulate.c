/*
 * simulate: plays scenarios for many seeds, a few to a process.
 *
 *     simulate --seeds A..B [--scenario NAME] [--jobs N] [--failures N] [--verbose] [--progress] [--here]
 *
 * A failure prints its seed and scenario and what to type to see it again. --here plays in this process, for a debugger. It stops after N failures
 * (10). doc/simulator.md.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/view.h"
#include "runtime/sanitize.h"
#include "runtime/sim/sim.h"
#include "scenario.h"

enum { JOBS_MAX = 16, SEED_SECONDS_MAX = 120, FAILURES_MAX = 10, POINTS_MAX = 128, POINT_NAME_MAX = 64, TWICE_ONE_IN = 20, LEAKS_ONE_IN = 50, PROGRESS_EVERY_S = 10 };

static const struct scenario *const scenarios[] = {
    &scenario_accounts, &scenario_calm, &scenario_crashes, &scenario_uncertain, &scenario_deliveries, &scenario_names, &scenario_large,
    &scenario_cluster, &scenario_protocols, &scenario_levels, &scenario_queue,
};
enum { SCENARIOS = sizeof scenarios / sizeof scenarios[0] };

bool scenario_is_verbose;

/* Shared by all processes. */
static struct counters {
    struct { char name[POINT_NAME_MAX]; _Atomic unsigned passed, died; } points[POINTS_MAX];
    _Atomic uint64_t seeds[JOBS_MAX];    /* that is played by each job */
} *counters;

void scenario_count_point(const char *name, bool died)
{
    for (size_t i = 0; i < POINTS_MAX; i++) {
        if (!counters->points[i].name[0]) snprintf(counters->points[i].name, POINT_NAME_MAX, "%s", name);
        if (strcmp(counters->points[i].name, name) != 0) continue;
        counters->points[i].passed++;
        counters->points[i].died += died;
        return;
    }
}

_Noreturn void scenario_fail(const char *file, int line, const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "%s:%d: ", file, line);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
    if (sim_current()) sim_show(sim_current());
    fflush(stderr);
    if (getenv("SIMULATE_ABORT")) abort();
    _exit(1);
}

void scenario_say(const char *format, ...)
{
    if (!scenario_is_verbose) return;
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
}

static const struct scenario *scenario_of(uint64_t seed, const char *name)
{
    unsigned shares = 0;
    for (size_t i = 0; i < SCENARIOS; i++) {
        if (name && strcmp(scenarios[i]->name, name) == 0) return scenarios[i];
        shares += scenarios[i]->share;
    }
    if (name) return NULL;
    unsigned left = (unsigned)(seed % shares);
    size_t i = 0;
    while (left >= scenarios[i]->share) left -= scenarios[i++]->share;
    return scenarios[i];
}

/* ---- a few seeds to a process -------------------------------------------------------------------------- */

/* In builds with sanitizers memory is checked at the end of the process, and shadows cost: one seed each. */
#ifdef SANITIZE_ASAN
enum { SEEDS_TOGETHER = 1 };
#else
enum { SEEDS_TOGETHER = 20 };
#endif

struct job {
    pid_t child;
    int output;
    uint64_t first, last;
    const char *name;                    /* of the scenario; NULL: the seed's own */
};

static void play_seed(uint64_t seed, const char *name)
{
    const struct scenario *scenario = scenario_of(seed, name);
    alarm(SEED_SECONDS_MAX);
    uint64_t trace = scenario->run(seed);
    if (seed % TWICE_ONE_IN == 0 && scenario->run(seed) != trace) FAIL("the same seed played twice went two ways");
}

/* In slot `slot` of the counters the parent sees how far it has come. */
static void start_job(struct job *j, unsigned slot)
{
    char name[] = "/tmp/simulate-XXXXXX";
    j->output = mkstemp(name);
    unlink(name);
    fflush(NULL);
    counters->seeds[slot] = j->first;
    j->child = fork();
    if (j->child != 0) return;
    dup2(j->output, STDERR_FILENO);
    dup2(j->output, STDOUT_FILENO);
    for (uint64_t seed = j->first;; seed++) {
        counters->seeds[slot] = seed;
        play_seed(seed, j->name);
        if (seed == j->last) break;
    }
    /* The leak checker has its say in some; it takes longer than most seeds. */
    if (j->last % LEAKS_ONE_IN == 0) exit(0);
    _exit(0);
}

static void show_output(int file)
{
    char bytes[1024];
    ssize_t count;
    lseek(file, 0, SEEK_SET);
    while ((count = read(file, bytes, sizeof bytes)) > 0) fwrite(bytes, 1, (size_t)count, stdout);
}

struct run {
    struct job jobs[JOBS_MAX];
    unsigned jobs_max, failures_max, running, failed;
    uint64_t played;
    bool shows_progress;
    time_t begun, shown;
};

static void show_progress(struct run *r)
{
    time_t now = time(NULL);
    if (!r->shows_progress || now - r->shown < PROGRESS_EVERY_S) return;
    r->shown = now;
    fprintf(stderr, "%" PRIu64 " seeds, %u failed, %.0f a second\n", r->played, r->failed, (double)r->played / (double)(now > r->begun ? now - r->begun : 1));
}

/* After a failure the seeds that were to follow it are played by another. */
static void end_job(struct run *r, unsigned slot, int status)
{
    struct job *j = &r->jobs[slot];
    bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    uint64_t seed = ok ? j->last : counters->seeds[slot];
    const char *name = scenario_of(seed, j->name)->name;
    r->played += seed - j->first + 1;
    r->running--;
    if (!ok) {
        r->failed++;
        show_output(j->output);
        if (WIFSIGNALED(status)) printf("died of signal %d%s\n", WTERMSIG(status), WTERMSIG(status) == SIGALRM ? ": no end" : "");
        printf("FAILED seed %" PRIu64 ", scenario %s; again: tests/sim/replay %" PRIu64 " %s\n", seed, name, seed, name);
        fflush(stdout);
    }
    close(j->output);
    j->child = 0;
    show_progress(r);
    if (seed == j->last || r->failed >= r->failures_max) return;
    j->first = seed + 1;
    start_job(j, slot);
    r->running++;
}

static void wait_for_one(struct run *r)
{
    int status;
    pid_t child;
    do child = waitpid(-1, &status, 0);
    while (child < 0 && errno == EINTR);
    for (unsigned i = 0; i < JOBS_MAX; i++)
        if (child > 0 && r->jobs[i].child == child) {
            end_job(r, i, status);
            return;
        }
}

static void show_points(void)
{
    for (size_t i = 0; i < POINTS_MAX && counters->points[i].name[0]; i++)
        printf("point %s: passed %u times, nodes died there %u times\n", counters->points[i].name, counters->points[i].passed, counters->points[i].died);
}

static void play_some(struct run *r, uint64_t first, uint64_t last, const char *name)
{
    while (r->running == r->jobs_max) wait_for_one(r);
    unsigned slot = 0;
    while (r->jobs[slot].child) slot++;
    r->jobs[slot] = (struct job){.first = first, .last = last, .name = name};
    start_job(&r->jobs[slot], slot);
    r->running++;
}

/* "SEED SCENARIO what was wrong" on each line. A file that is not there is no error: the program may run anywhere. */
static void play_found(struct run *r)
{
    char line[300], name[40];
    FILE *file = fopen("tests/sim/seeds/found", "r");
    while (file && fgets(line, sizeof line, file)) {
        uint64_t seed;
        const struct scenario *scenario;
        if (sscanf(line, "%" SCNu64 " %39s", &seed, name) == 2 && (scenario = scenario_of(seed, name))) play_some(r, seed, seed, scenario->name);
    }
    if (file) fclose(file);
}

static int play(uint64_t first, uint64_t last, const char *name, unsigned jobs_max, unsigned failures_max, bool shows_progress)
{
    struct run r = {.jobs_max = jobs_max, .failures_max = failures_max, .shows_progress = shows_progress, .begun = time(NULL), .shown = time(NULL)};
    struct timespec begun, ended;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    if (!name && first != last) play_found(&r);
    for (uint64_t seed = first, until; seed <= last && r.failed < r.failures_max; seed = until + 1) {
        until = last - seed < SEEDS_TOGETHER ? last : seed + SEEDS_TOGETHER - 1;
        play_some(&r, seed, until, name);
    }
    while (r.running > 0) wait_for_one(&r);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    if (scenario_is_verbose || r.played >= 100) show_points();
    printf("%" PRIu64 " seeds played, %u failed, %.1f s\n", r.played, r.failed,
           (double)(ended.tv_sec - begun.tv_sec) + (double)(ended.tv_nsec - begun.tv_nsec) / 1e9);
    return r.failed ? 1 : 0;
}

/* ---- arguments ----------------------------------------------------------------------------------------- */

static int usage(void)
{
    fprintf(stderr, "simulate --seeds A..B [--scenario NAME] [--jobs N] [--failures N] [--verbose] [--progress] [--here]\n");
    for (size_t i = 0; i < SCENARIOS; i++) fprintf(stderr, "    %-12s %s\n", scenarios[i]->name, scenarios[i]->what);
    return 2;
}

static bool parse_seeds(const char *text, uint64_t *first, uint64_t *last)
{
    view v = view_of(text);
    size_t dots = view_find_view(v, VIEW(".."));
    if (dots == VIEW_NONE) return view_to_u64(v, first) && view_to_u64(v, last);
    return view_to_u64(view_slice(v, 0, dots), first) && view_to_u64(view_from(v, dots + 2), last) && *first <= *last;
}

int main(int argument_count, char **arguments)
{
    uint64_t first = 0, last = 0, jobs = 2, failures = FAILURES_MAX;
    const char *name = NULL, *seeds = NULL;
    bool here = false, progress = false;
    for (int i = 1; i < argument_count; i++) {
        const char *word = arguments[i], *value = i + 1 < argument_count ? arguments[i + 1] : NULL;
        if (strcmp(word, "--verbose") == 0) scenario_is_verbose = true;
        else if (strcmp(word, "--here") == 0) here = true;
        else if (strcmp(word, "--progress") == 0) progress = true;
        else if (strcmp(word, "--seeds") == 0 && value) seeds = arguments[++i];
        else if (strcmp(word, "--scenario") == 0 && value) name = arguments[++i];
        else if (strcmp(word, "--jobs") == 0 && value && view_to_u64(view_of(arguments[++i]), &jobs) && jobs > 0 && jobs <= JOBS_MAX) continue;
        else if (strcmp(word, "--failures") == 0 && value && view_to_u64(view_of(arguments[++i]), &failures) && failures > 0) continue;
        else return usage();
    }
    if (!seeds || !parse_seeds(seeds, &first, &last) || (name && !scenario_of(0, name))) return usage();
    counters = mmap(NULL, sizeof *counters, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (counters == MAP_FAILED) return 1;
    if (!here) return play(first, last, name, (unsigned)jobs, (unsigned)failures, progress);
    for (uint64_t seed = first; seed <= last; seed++) scenario_of(seed, name)->run(seed);
    if (scenario_is_verbose) show_points();
    printf("%" PRIu64 " seeds played here, 0 failed\n", last - first + 1);
    return 0;
}
