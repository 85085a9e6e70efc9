#include <stdio.h>
#include <unistd.h>

#include "engine/rados/rados_test.h"
#include "runtime/random.h"
#include "runtime/run.h"

struct engine_rados_options test_store(char name[static RADOS_TEST_NAME_BYTES])
{
    const char *config = getenv("TAYORI_TEST_CEPH");
    if (!config) test_skip("TAYORI_TEST_CEPH names no ceph.conf of a test cluster (packages ceph-mon, ceph-osd, ceph-common)");
    snprintf(name, RADOS_TEST_NAME_BYTES, "unit-%d-%llx", (int)getpid(), (unsigned long long)random_u64());
    return (struct engine_rados_options){.config_file = config, .pool = "tayori", .object_pool = "tayori-objects", .archive_pool = "tayori-objects", .name_space = name};
}

struct engine *test_open(const struct engine_rados_options *options)
{
    struct fault fault = {0};
    struct engine *e = NULL;
    result code = engine_open_rados(options, &e, &fault);
    if (code != OK) test_fail(__FILE__, __LINE__, "open: %s: %s", result_name(code), fault.detail);
    REQUIRE(code == OK);
    return e;
}

void test_run(void (*body)(void *argument), void *argument)
{
    struct fault fault = {0};
    struct run_options options = {.loops = 2, .read_workers = 2, .write_workers = 2, .slow_workers = 1};
    REQUIRE(run_loops(&options, body, argument, &fault) == OK);
}
