/*
 * For tests of the rados engine: a cluster that runs already (tools/test-cluster), named by TAYORI_TEST_CEPH, the path of its ceph.conf;
 * tools/run-tests.py starts one for all. Each test has a store of its own in it.
 */
#pragma once

#include "base/test.h"
#include "engine/rados.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"

enum { RADOS_TEST_NAME_BYTES = 64 };

/* The options for a store under a new name, or of a test that is skipped because there is no cluster. */
struct engine_rados_options test_store(char name[static RADOS_TEST_NAME_BYTES]);
/* Opens or fails the test. */
MAY_YIELD struct engine *test_open(const struct engine_rados_options *options);
/* Runs body(argument) as a coroutine on the first of two loops. */
void test_run(void (*body)(void *argument), void *argument);
