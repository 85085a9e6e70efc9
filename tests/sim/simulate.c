/*
 * simulate: plays scenarios for many seeds, each in a process of its own.
 *
 *     simulate --seeds A..B [--scenario NAME] [--jobs N] [--verbose] [--here]
 *
 * A failure prints its seed and scenario and what to type to see it again. --here plays in this process, for a debugger.
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
#include "runtime/sim/sim.h"
#include "scenario.h"

enum { JOBS_MAX = 16, SEED_SECONDS_MAX = 120, FAILURES_SHOWN = 10, POINTS_MAX = 128, POINT_NAME_MAX = 64, TWICE_ONE_IN = 20, LEAKS_ONE_IN = 50 };

static const struct scenario *const scenarios[] = {
    &scenario_accounts, &scenario_calm, &scenario_crashes, &scenario_uncertain, &scenario_deliveries, &scenario_names, &scenario_large,
};
enum { SCENARIOS = sizeof scenarios / sizeof scenarios[0] };

bool scenario_is_verbose;

/* Shared by all processes. */
static struct counters {
    struct { char name[POINT_NAME_MAX]; _Atomic unsigned passed, died; } points[POINTS_MAX];
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

/* ---- one seed to a process ----------------------------------------------------------------------------- */

struct job {
    pid_t child;
    int output;
    uint64_t seed;
    const struct scenario *scenario;
};

static void start_job(struct job *j, uint64_t seed, const struct scenario *scenario)
{
    char name[] = "/tmp/simulate-XXXXXX";
    *j = (struct job){.seed = seed, .scenario = scenario};
    j->output = mkstemp(name);
    unlink(name);
    fflush(NULL);
    j->child = fork();
    if (j->child != 0) return;
    dup2(j->output, STDERR_FILENO);
    dup2(j->output, STDOUT_FILENO);
    alarm(SEED_SECONDS_MAX);
    uint64_t trace = scenario->run(seed);
    if (seed % TWICE_ONE_IN == 0 && scenario->run(seed) != trace) FAIL("the same seed played twice went two ways");
    /* The leak checker has its say in some; it takes longer than most seeds. */
    if (seed % LEAKS_ONE_IN == 0) exit(0);
    _exit(0);
}

static void show_output(int file)
{
    char bytes[1024];
    ssize_t count;
    lseek(file, 0, SEEK_SET);
    while ((count = read(file, bytes, sizeof bytes)) > 0) fwrite(bytes, 1, (size_t)count, stdout);
}

static bool end_job(struct job *j, int status)
{
    bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!ok) {
        show_output(j->output);
        if (WIFSIGNALED(status)) printf("died of signal %d%s\n", WTERMSIG(status), WTERMSIG(status) == SIGALRM ? ": no end" : "");
        printf("FAILED seed %" PRIu64 ", scenario %s; again: tests/sim/replay %" PRIu64 " %s\n", j->seed, j->scenario->name, j->seed, j->scenario->name);
        fflush(stdout);
    }
    close(j->output);
    j->child = 0;
    return ok;
}

static bool wait_for_one(struct job *jobs)
{
    int status;
    pid_t child;
    do child = waitpid(-1, &status, 0);
    while (child < 0 && errno == EINTR);
    for (int i = 0; i < JOBS_MAX; i++)
        if (child > 0 && jobs[i].child == child) return end_job(&jobs[i], status);
    return true;
}

static void show_points(void)
{
    for (size_t i = 0; i < POINTS_MAX && counters->points[i].name[0]; i++)
        printf("point %s: passed %u times, nodes died there %u times\n", counters->points[i].name, counters->points[i].passed, counters->points[i].died);
}

struct run {
    struct job jobs[JOBS_MAX];
    unsigned jobs_max, running, failed;
    uint64_t played;
};

static void play_one(struct run *r, uint64_t seed, const struct scenario *scenario)
{
    if (r->running == r->jobs_max) {
        r->failed += !wait_for_one(r->jobs);
        r->running--;
    }
    int free_slot = 0;
    while (r->jobs[free_slot].child) free_slot++;
    start_job(&r->jobs[free_slot], seed, scenario);
    r->running++;
    r->played++;
}

/* "SEED SCENARIO what was wrong" on each line. A file that is not there is no error: the program may run anywhere. */
static void play_found(struct run *r)
{
    char line[300], name[40];
    FILE *file = fopen("tests/sim/seeds/found", "r");
    while (file && fgets(line, sizeof line, file)) {
        uint64_t seed;
        const struct scenario *scenario;
        if (sscanf(line, "%" SCNu64 " %39s", &seed, name) == 2 && (scenario = scenario_of(seed, name))) play_one(r, seed, scenario);
    }
    if (file) fclose(file);
}

static int play(uint64_t first, uint64_t last, const char *name, unsigned jobs_max)
{
    struct run r = {.jobs_max = jobs_max};
    struct timespec begun, ended;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    if (!name && first != last) play_found(&r);
    for (uint64_t seed = first; seed <= last && r.failed < FAILURES_SHOWN; seed++) play_one(&r, seed, scenario_of(seed, name));
    for (; r.running > 0; r.running--) r.failed += !wait_for_one(r.jobs);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    if (scenario_is_verbose || r.played >= 100) show_points();
    printf("%" PRIu64 " seeds played, %u failed, %.1f s\n", r.played, r.failed,
           (double)(ended.tv_sec - begun.tv_sec) + (double)(ended.tv_nsec - begun.tv_nsec) / 1e9);
    return r.failed ? 1 : 0;
}

/* ---- arguments ----------------------------------------------------------------------------------------- */

static int usage(void)
{
    fprintf(stderr, "simulate --seeds A..B [--scenario NAME] [--jobs N] [--verbose] [--here]\n");
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
    uint64_t first = 0, last = 0, jobs = 2;
    const char *name = NULL, *seeds = NULL;
    bool here = false;
    for (int i = 1; i < argument_count; i++) {
        const char *word = arguments[i], *value = i + 1 < argument_count ? arguments[i + 1] : NULL;
        if (strcmp(word, "--verbose") == 0) scenario_is_verbose = true;
        else if (strcmp(word, "--here") == 0) here = true;
        else if (strcmp(word, "--seeds") == 0 && value) seeds = arguments[++i];
        else if (strcmp(word, "--scenario") == 0 && value) name = arguments[++i];
        else if (strcmp(word, "--jobs") == 0 && value && view_to_u64(view_of(arguments[++i]), &jobs) && jobs > 0 && jobs <= JOBS_MAX) continue;
        else return usage();
    }
    if (!seeds || !parse_seeds(seeds, &first, &last) || (name && !scenario_of(0, name))) return usage();
    counters = mmap(NULL, sizeof *counters, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (counters == MAP_FAILED) return 1;
    if (!here) return play(first, last, name, (unsigned)jobs);
    for (uint64_t seed = first; seed <= last; seed++) scenario_of(seed, name)->run(seed);
    if (scenario_is_verbose) show_points();
    printf("%" PRIu64 " seeds played here, 0 failed\n", last - first + 1);
    return 0;
}
