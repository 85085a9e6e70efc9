#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/local/local_test.h"
#include "runtime/run.h"

const char *test_make_folder(char into[static LOCAL_TEST_FOLDER_BYTES])
{
    snprintf(into, LOCAL_TEST_FOLDER_BYTES, "/tmp/tayori-engine-XXXXXX");
    REQUIRE(mkdtemp(into) != NULL);
    return into;
}

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *where) { return remove(path); }

void test_remove_folder(const char *folder) { nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

struct engine_local_options test_options(const char *folder, bool never_sync)
{
    return (struct engine_local_options){.folder = folder, .cache_bytes = 4 << 20, .write_buffer_bytes = LOCAL_TEST_WRITE_BUFFER_BYTES,
                                         .never_sync = never_sync};
}

struct engine *test_open(const struct engine_local_options *options)
{
    struct fault fault = {0};
    struct engine *e = NULL;
    result code = engine_open_local(options, &e, &fault);
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
