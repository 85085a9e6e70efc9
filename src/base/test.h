/*
 * test: the runner of all unit tests.
 *
 *     TEST(view_cut_splits_at_the_first_separator) { view v = VIEW("a:b"); ... EXPECT(...); }
 *
 * Each test runs in a process of its own with a time limit, so a crash or a hang fails that test alone.
 * EXPECT() records a failure and goes on, REQUIRE() ends the test. Output is TAP. A test program takes
 * substrings of test names as arguments, --list, and --no-fork for a debugger.
 */
#pragma once

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/view.h"

struct test {
    const char *name, *file;
    void (*run)(void);
    int timeout_s;                 /* wall clock */
    bool must_abort;               /* passes only by a failed check() */
    struct test *next;
};

void test_register(struct test *t);
void test_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));
_Noreturn void test_stop(void);    /* ends the test that runs, with what was recorded so far */
/* Ends the test as skipped, with a reason that is shown on screen. */
_Noreturn void test_skip(const char *reason);
/* Runs the registered tests; the exit status. */
int test_main(int argument_count, char **arguments);
/* The folder with the shared test data (TAYORI_TESTDATA, or ../shared/testdata); NULL when absent. */
const char *test_data_folder(void);

#define TEST_ENTRY(name, seconds, aborts)                                                                       \
    static void test_run_##name(void);                                                                          \
    __attribute__((constructor)) static void test_add_##name(void)                                              \
    {                                                                                                           \
        static struct test t = {#name, __FILE__, test_run_##name, (seconds), (aborts), NULL};                   \
        test_register(&t);                                                                                      \
    }                                                                                                           \
    static void test_run_##name(void)

#define TEST(name) TEST_ENTRY(name, 20, false)
#define TEST_SLOW(name, seconds) TEST_ENTRY(name, seconds, false)
#define TEST_ABORTS(name) TEST_ENTRY(name, 20, true)

#define EXPECT(x) do { if (!(x)) test_fail(__FILE__, __LINE__, "%s", #x); } while (0)
#define REQUIRE(x) do { if (!(x)) { test_fail(__FILE__, __LINE__, "%s", #x); test_stop(); } } while (0)

#define EXPECT_NUMBER(got, want)                                                                                \
    do {                                                                                                        \
        int64_t got_ = (int64_t)(got), want_ = (int64_t)(want);                                                 \
        if (got_ != want_) test_fail(__FILE__, __LINE__, "%s is %" PRId64 ", not %" PRId64, #got, got_, want_); \
    } while (0)

#define EXPECT_VIEW(got, want)                                                                                  \
    do {                                                                                                        \
        view got_ = (got), want_ = (want);                                                                      \
        if (!view_equal(got_, want_))                                                                           \
            test_fail(__FILE__, __LINE__, "%s is \"" VIEW_FMT "\", not \"" VIEW_FMT "\"", #got, VIEW_ARG(got_), \
                      VIEW_ARG(want_));                                                                         \
    } while (0)
