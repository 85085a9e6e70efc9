/* For tests of the local engine: a folder of its own, loops, and an engine on it. */
#pragma once

#include "base/test.h"
#include "engine/local.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"

enum { LOCAL_TEST_WRITE_BUFFER_BYTES = 8 << 20, LOCAL_TEST_FOLDER_BYTES = 64 };

/* A new empty folder under /tmp; removed by test_remove_folder(). */
const char *test_make_folder(char into[static LOCAL_TEST_FOLDER_BYTES]);
void test_remove_folder(const char *folder);
/* The options of tests: small, and synced unless `never_sync`. */
struct engine_local_options test_options(const char *folder, bool never_sync);
/* Opens or fails the test. */
MAY_YIELD struct engine *test_open(const struct engine_local_options *options);
/* Runs body(argument) as a coroutine on the first of two loops. */
void test_run(void (*body)(void *argument), void *argument);
