/* The archive: a folder of its own that may be away, and what copies of the store have of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/test.h"
#include "engine/local/local_test.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"

struct archive_test {
    struct engine_local_options options;
    struct engine *engine;
    char folder[LOCAL_TEST_FOLDER_BYTES], store[LOCAL_TEST_FOLDER_BYTES + 16], archive[LOCAL_TEST_FOLDER_BYTES + 16], other[LOCAL_TEST_FOLDER_BYTES + 16];
    void (*run)(struct archive_test *t);
};

MAY_YIELD static result put(struct archive_test *t, const char *name, const char *bytes)
{
    return object_put(t->engine, view_of(name), view_of(bytes), clock_in(10000), NULL);
}

MAY_YIELD static result get(struct archive_test *t, const char *name, const char *bytes)
{
    buf got CLEANUP(buf_done) = BUF_INIT;
    result code = object_read(t->engine, view_of(name), 0, 100, clock_in(10000), &got, NULL);
    if (code == OK) EXPECT_VIEW(buf_view(&got), view_of(bytes));
    return code;
}

MAY_YIELD static void reopen(struct archive_test *t, const char *archive)
{
    if (t->engine) engine_close(t->engine);
    t->options.archive_folder = archive;
    t->engine = test_open(&t->options);
}

static void run_body(void *argument)
{
    colour_pretend_coroutine();
    struct archive_test *t = argument;
    reopen(t, t->archive);
    t->run(t);
    engine_close(t->engine);
}

static void begin(struct archive_test *t)
{
    *t = (struct archive_test){.options = test_options(t->store, true)};
    test_make_folder(t->folder);
    snprintf(t->store, sizeof t->store, "%s/store", t->folder);
    snprintf(t->archive, sizeof t->archive, "%s/archive", t->folder);
    snprintf(t->other, sizeof t->other, "%s/other", t->folder);
}

static void run_test(void (*run)(struct archive_test *t))
{
    struct archive_test t;
    begin(&t);
    t.run = run;
    test_run(run_body, &t);
    test_remove_folder(t.folder);
}

MAY_YIELD static void may_be_away(struct archive_test *t)
{
    char away[LOCAL_TEST_FOLDER_BYTES + 32];
    snprintf(away, sizeof away, "%s-away", t->archive);
    EXPECT(put(t, "cold/a/old", "old") == OK && put(t, "a/new", "new") == OK);
    reopen(t, NULL);
    EXPECT(!engine_has_archive(t->engine));
    EXPECT(get(t, "cold/a/old", "old") == UNAVAILABLE);
    EXPECT(get(t, "a/new", "new") == OK);
    REQUIRE(rename(t->archive, away) == 0);
    /* Its disk is not mounted: an empty folder is not taken for it, and nothing is written there. */
    reopen(t, t->archive);
    EXPECT(engine_has_archive(t->engine));
    EXPECT(get(t, "cold/a/old", "old") == UNAVAILABLE);
    EXPECT(put(t, "cold/a/more", "more") == UNAVAILABLE);
    EXPECT(get(t, "a/new", "new") == OK && put(t, "a/newer", "newer") == OK);
    /* It comes back under way. */
    (void)rmdir(t->archive);
    REQUIRE(rename(away, t->archive) == 0);
    EXPECT(coroutine_sleep(5500) == OK);
    EXPECT(get(t, "cold/a/old", "old") == OK);
    EXPECT(put(t, "cold/a/more", "more") == OK);
}

TEST_SLOW(archive_may_be_away, 60) { run_test(may_be_away); }

MAY_YIELD static void is_the_stores_own(struct archive_test *t)
{
    char store[sizeof t->store + 8];
    EXPECT(put(t, "cold/a/old", "old") == OK);
    snprintf(store, sizeof store, "%s-two", t->store);
    t->options.folder = store;
    reopen(t, t->archive);
    EXPECT(get(t, "cold/a/old", "old") == UNAVAILABLE);
    EXPECT(put(t, "cold/a/other", "other") == UNAVAILABLE);
}

TEST_SLOW(archive_of_another_store_is_not_used, 60) { run_test(is_the_stores_own); }

MAY_YIELD static void is_backed_up(struct archive_test *t)
{
    char backup[sizeof t->folder + 16];
    snprintf(backup, sizeof backup, "%s/backup", t->folder);
    EXPECT(put(t, "cold/a/old", "old") == OK && put(t, "a/new", "new") == OK);
    EXPECT(engine_backup(t->engine, backup, NULL, NULL, NULL) == OK);
    EXPECT(object_remove(t->engine, VIEW("cold/a/old"), clock_in(10000), NULL) == OK);
}

MAY_YIELD static void has_all(struct archive_test *t)
{
    EXPECT(get(t, "cold/a/old", "old") == OK);
    EXPECT(get(t, "a/new", "new") == OK);
    EXPECT(put(t, "cold/a/more", "more") == OK);
}

TEST_SLOW(archive_is_in_backups, 60)
{
    colour_pretend_worker();
    struct archive_test t;
    char backup[sizeof t.folder + 16];
    begin(&t);
    snprintf(backup, sizeof backup, "%s/backup", t.folder);
    t.run = is_backed_up;
    test_run(run_body, &t);
    snprintf(t.store, sizeof t.store, "%s/restored", t.folder);
    EXPECT(engine_restore_local(backup, t.store, NULL, NULL) == INVALID);
    EXPECT(engine_restore_local(backup, t.store, t.other, NULL) == OK);
    snprintf(t.archive, sizeof t.archive, "%s", t.other);
    t.engine = NULL;
    t.run = has_all;
    test_run(run_body, &t);
    test_remove_folder(t.folder);
}
