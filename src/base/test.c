#include "base/test.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_FAILED = 1, EXIT_SKIPPED = 77 };

static struct test *tests;
static int failures_of_this_test;

void test_register(struct test *t)
{
    t->next = tests;
    tests = t;
}

void test_fail(const char *file, int line, const char *format, ...)
{
    failures_of_this_test++;
    printf("# %s:%d: ", file, line);
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    fflush(stdout);
}

_Noreturn void test_stop(void)
{
    fflush(stdout);
    _exit(failures_of_this_test ? EXIT_FAILED : 0);
}

_Noreturn void test_skip(const char *reason)
{
    printf("# skipped: %s\n", reason);
    fflush(stdout);
    _exit(EXIT_SKIPPED);
}

const char *test_data_folder(void)
{
    struct stat s;
    const char *folder = getenv("TAYORI_TESTDATA");
    if (!folder) folder = "../shared/testdata";
    return stat(folder, &s) == 0 && S_ISDIR(s.st_mode) ? folder : NULL;
}

/* In the child: exit() and not _exit(), so that the leak checker has its say. */
static void run_here(struct test *t)
{
    t->run();
    fflush(stdout);
    exit(failures_of_this_test ? EXIT_FAILED : 0);
}

static int wait_with_limit(pid_t child, int timeout_s, bool *ret_timed_out)
{
    int status = 0;
    useconds_t pause_us = 200;
    int64_t waited_us = 0;
    *ret_timed_out = false;
    while (waitpid(child, &status, WNOHANG) == 0) {
        if (waited_us > (int64_t)timeout_s * 1000000) {
            *ret_timed_out = true;
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            break;
        }
        usleep(pause_us);
        waited_us += pause_us;
        if (pause_us < 5000) pause_us *= 2;
    }
    return status;
}

enum outcome { PASSED, FAILED, SKIPPED };

static enum outcome run_test(struct test *t)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) run_here(t);
    bool timed_out;
    const char *patience = getenv("TAYORI_TEST_PATIENCE");       /* whoever gives way to all else takes so many times as long */
    int limit_s = t->timeout_s * (patience && *patience >= '1' && *patience <= '9' ? *patience - '0' : 1);
    int status = wait_with_limit(child, limit_s, &timed_out);
    if (timed_out) {
        printf("# %s: no end after %d s\n", t->file, limit_s);
        return FAILED;
    }
    if (t->must_abort) return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT ? PASSED : FAILED;
    if (WIFSIGNALED(status)) printf("# %s: died of signal %d\n", t->file, WTERMSIG(status));
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED) return SKIPPED;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? PASSED : FAILED;
}

static bool is_wanted(const struct test *t, int argument_count, char **arguments)
{
    bool any = false;
    for (int i = 1; i < argument_count; i++) {
        if (arguments[i][0] == '-') continue;
        any = true;
        if (strstr(t->name, arguments[i]) || strstr(t->file, arguments[i])) return true;
    }
    return !any;
}

static bool has_option(const char *option, int argument_count, char **arguments)
{
    for (int i = 1; i < argument_count; i++)
        if (strcmp(arguments[i], option) == 0) return true;
    return false;
}

static struct test *in_order(struct test *list)
{
    struct test *reversed = NULL;
    while (list) {
        struct test *t = list;
        list = t->next;
        t->next = reversed;
        reversed = t;
    }
    return reversed;
}

int test_main(int argument_count, char **arguments)
{
    static const char *const words[] = {"ok", "not ok", "ok"};
    int counts[3] = {0}, number = 0;
    tests = in_order(tests);
    for (struct test *t = tests; t; t = t->next) {
        if (!is_wanted(t, argument_count, arguments)) continue;
        if (has_option("--list", argument_count, arguments)) {
            printf("%s\n", t->name);
            continue;
        }
        if (has_option("--no-fork", argument_count, arguments)) {
            t->run();
            continue;
        }
        enum outcome outcome = run_test(t);
        counts[outcome]++;
        printf("%s %d %s%s\n", words[outcome], ++number, t->name, outcome == SKIPPED ? " # SKIP" : "");
    }
    printf("1..%d\n# %d passed, %d failed, %d skipped\n", number, counts[PASSED], counts[FAILED], counts[SKIPPED]);
    return counts[FAILED] ? 1 : 0;
}

int main(int argument_count, char **arguments)
{
    return test_main(argument_count, arguments);
}
