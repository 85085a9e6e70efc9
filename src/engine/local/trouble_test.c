/* What goes wrong below the local engine, and what then still works. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/arena.h"
#include "engine/local/local_private.h"
#include "engine/local/local_test.h"
#include "runtime/event_hook.h"
#include "runtime/point.h"
#include "runtime/random.h"

enum { ARENA_BYTES = 64 << 20, BODY_BYTES = 50000 };

#define WITH_ARENA struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ARENA_BYTES)

static char body_bytes[ENGINE_BODY_MAX_BYTES];

MAY_YIELD static struct journal_append append(struct engine *e, struct id journal, view meta, size_t body_len, struct fault *fault)
{
    struct journal_append a = {.journal = journal, .meta = meta, .body = view_make(body_bytes, body_len), .fault = fault};
    result code = engine_append(e, &a, MILLIS_NEVER);
    EXPECT(code == a.code);
    return a;
}

MAY_YIELD static size_t count_records(struct engine *e, struct id journal)
{
    WITH_ARENA;
    struct journal_page page;
    struct journal_position at = {0};
    size_t count = 0;
    struct fault fault = {0};
    do {
        result code = engine_read(e, journal, count ? &at : NULL, MILLIS_NEVER, arena, &page, &fault);
        if (code == NOT_FOUND) return 0;
        if (code != OK) test_fail(__FILE__, __LINE__, "read: %s: %s", result_name(code), fault.detail);
        REQUIRE(code == OK);
        count += page.count;
        at = page.end;
    } while (page.more);
    return count;
}

MAY_YIELD static bool body_is_there(struct engine *e, struct id journal, size_t index, result *ret_code)
{
    WITH_ARENA;
    struct journal_page page;
    buf body CLEANUP(buf_done) = BUF_INIT;
    REQUIRE(engine_read(e, journal, NULL, MILLIS_NEVER, arena, &page, NULL) == OK && page.count > index);
    *ret_code = engine_read_body(e, journal, &page.records[index], 0, page.records[index].body_bytes, MILLIS_NEVER, &body, NULL);
    return *ret_code == OK && body.len == page.records[index].body_bytes;
}

static void count_findings(void *argument, view what) { ++*(unsigned *)argument; }

struct run { struct engine_local_options options; void (*body)(struct run *r); };

static void run_body(void *argument)
{
    struct run *r = argument;
    r->body(r);
}

static void run_in_folder(void (*body)(struct run *r))
{
    static char folder[LOCAL_TEST_FOLDER_BYTES];
    struct run r = {.options = test_options(test_make_folder(folder), true), .body = body};
    random_bytes(body_bytes, sizeof body_bytes);
    if (getenv("TAYORI_TEST_LOG")) EXPECT(event_open(NULL, EVENT_FORMAT_TEXT, EVENT_DEBUG, NULL) == OK);
    test_run(run_body, &r);
    event_close();
    test_remove_folder(folder);
}

/* ---- a second opener -------------------------------------------------------------------------------------- */

static void open_twice(struct run *r)
{
    colour_pretend_coroutine();
    struct fault fault = {0};
    struct engine *e = test_open(&r->options), *other = NULL;
    EXPECT(engine_open_local(&r->options, &other, &fault) == BUSY);
    EXPECT(other == NULL);
    EXPECT(strstr(fault.detail, r->options.folder) && strstr(fault.detail, "in use by process"));
    EXPECT(append(e, random_id(), VIEW("x"), 10, NULL).code == OK);
    engine_close(e);
    e = test_open(&r->options);
    engine_close(e);
}

TEST(local_second_opener_is_told_busy) { run_in_folder(open_twice); }

static void open_newer(struct run *r)
{
    colour_pretend_coroutine();
    struct fault fault = {0};
    struct engine *e = test_open(&r->options);
    char path[PATH_BYTES];
    engine_close(e);
    FILE *format = fopen(files_path(path, r->options.folder, "format"), "w");
    REQUIRE(format != NULL);
    fputs("tayori local engine 2\n", format);
    fclose(format);
    EXPECT(engine_open_local(&r->options, &e, &fault) == INVALID);
    EXPECT(strstr(fault.detail, "tayori local engine 2"));
}

TEST(local_refuses_a_store_of_a_later_version) { run_in_folder(open_newer); }

/* ---- the commit log --------------------------------------------------------------------------------------- */

#ifdef TAYORI_POINTS
static void fail_a_write(struct run *r)
{
    colour_pretend_coroutine();
    struct fault fault = {0};
    struct engine *e = test_open(&r->options);
    struct id journal = random_id();
    EXPECT(append(e, journal, VIEW("1"), 100, NULL).code == OK);
    point_arm("commit_log.write", POINT_FAIL, IO, 1);
    struct journal_append failed = append(e, journal, VIEW("2"), 100, &fault);
    EXPECT_NUMBER(failed.code, UNKNOWN_OUTCOME);
    EXPECT(!failed.before_known);
    EXPECT(strstr(fault.detail, "commit log"));
    EXPECT_NUMBER(event_times(EVENT_STORE_WRITE_FAILED), 1);
    EXPECT(append(e, journal, VIEW("3"), 100, NULL).code == OK);
    EXPECT_NUMBER(count_records(e, journal), 2);
    engine_close(e);
    e = test_open(&r->options);
    EXPECT_NUMBER(count_records(e, journal), 2);
    engine_close(e);
}

TEST(local_failed_write_leaves_an_unknown_outcome_and_no_doubt_for_long) { run_in_folder(fail_a_write); }

/* A block is durable and the tables did not take it: when they have it again, who has not seen it must not append as if it were not there. */
static void fail_to_apply(struct run *r)
{
    colour_pretend_coroutine();
    WITH_ARENA;
    struct engine *e = test_open(&r->options);
    struct id journal = random_id();
    struct journal_page page;
    EXPECT(append(e, journal, VIEW("1"), 100, NULL).code == OK);
    point_arm("committer.apply", POINT_FAIL, IO, 1);
    EXPECT_NUMBER(append(e, journal, VIEW("2"), 100, NULL).code, UNKNOWN_OUTCOME);
    local_of(e)->repaired_ms = clock_now_us() / 1000;        /* so that it is not tried again at once */
    REQUIRE(engine_read(e, journal, NULL, MILLIS_NEVER, arena, &page, NULL) == OK);
    EXPECT_NUMBER(page.count, 1);
    EXPECT_NUMBER(append(e, journal, VIEW("3"), 100, NULL).code, UNAVAILABLE);
    EXPECT(coroutine_sleep(1100) == OK);
    struct journal_append guarded = {.journal = journal, .meta = VIEW("4"), .only_if_at = &page.end};
    EXPECT_NUMBER(engine_append(e, &guarded, MILLIS_NEVER), CONFLICT);
    EXPECT_NUMBER(event_times(EVENT_STORE_REPAIRED), 1);
    EXPECT_NUMBER(count_records(e, journal), 2);
    engine_close(e);
}

TEST(local_repaired_tables_are_not_taken_for_what_was_seen_before) { run_in_folder(fail_to_apply); }

struct verifying { struct engine *engine; unsigned findings; bool must_stop; };

static void verify_again_and_again(void *argument)
{
    colour_pretend_coroutine();
    struct verifying *v = argument;
    while (!v->must_stop) EXPECT(engine_verify(v->engine, count_findings, &v->findings, NULL) == OK);
}

/* Whoever looks sees all that was acknowledged, and neither waits for the other for ever. */
static void repair_while_reading(struct run *r)
{
    colour_pretend_coroutine();
    enum { RECORDS = 3000, REPAIRS = 10 };
    struct engine *e = test_open(&r->options);
    struct verifying v = {.engine = e};
    struct id journal = random_id();
    struct scope scope;
    for (int i = 0; i < RECORDS; i++) EXPECT(append(e, journal, VIEW("x"), 300, NULL).code == OK);
    scope_init(&scope, NULL);
    coroutine_spawn(&scope, "verify", verify_again_and_again, &v);
    for (int i = 0; i < REPAIRS; i++) {
        EXPECT(coroutine_sleep(10) == OK);
        local_of(e)->repaired_ms = 0;
        atomic_store(&local_of(e)->is_broken, true);
        flusher_want(local_of(e), local_of(e)->log.generation);
        EXPECT(append(e, random_id(), VIEW("x"), 300, NULL).code == OK);
        EXPECT_NUMBER(count_records(e, journal), RECORDS);
    }
    v.must_stop = true;
    scope_done(&scope);
    EXPECT_NUMBER(v.findings, 0);
    EXPECT_NUMBER(event_times(EVENT_STORE_REPAIRED), REPAIRS);
    engine_close(e);
}

TEST_SLOW(local_is_repaired_while_it_is_read, 60) { run_in_folder(repair_while_reading); }

static _Atomic bool is_held;

static void hold_the_committer(const char *name)
{
    while (atomic_load(&is_held) && strcmp(name, "committer.before_write") == 0) usleep(1000);
}

struct held { struct engine *engine; struct id journal; struct journal_position at; result code; };

static void append_something(void *argument)
{
    colour_pretend_coroutine();
    EXPECT(append(((struct held *)argument)->engine, random_id(), VIEW("x"), 10, NULL).code == OK);
}

static void remove_it(void *argument)
{
    colour_pretend_coroutine();
    struct held *h = argument;
    EXPECT(engine_remove_journal(h->engine, h->journal, MILLIS_NEVER, NULL) == OK);
}

static void append_at_end(void *argument)
{
    colour_pretend_coroutine();
    struct held *h = argument;
    struct journal_append a = {.journal = h->journal, .meta = VIEW("y"), .only_if_at = &h->at};
    h->code = engine_append(h->engine, &a, MILLIS_NEVER);
}

/* Both changes wait while the committer is at another, so it takes them at once. */
static void remove_and_append(struct run *r)
{
    colour_pretend_coroutine();
    WITH_ARENA;
    struct held h = {.engine = test_open(&r->options), .journal = random_id(), .code = OK};
    struct journal_page page;
    struct scope scope;
    EXPECT(append(h.engine, h.journal, VIEW("1"), 10, NULL).code == OK);
    REQUIRE(engine_read(h.engine, h.journal, NULL, MILLIS_NEVER, arena, &page, NULL) == OK);
    h.at = page.end;
    scope_init(&scope, NULL);
    atomic_store(&is_held, true);
    point_on_hit(hold_the_committer);
    coroutine_spawn(&scope, "something", append_something, &h);
    EXPECT(coroutine_sleep(50) == OK);
    coroutine_spawn(&scope, "remove", remove_it, &h);
    EXPECT(coroutine_sleep(20) == OK);
    coroutine_spawn(&scope, "append", append_at_end, &h);
    EXPECT(coroutine_sleep(20) == OK);
    atomic_store(&is_held, false);
    scope_done(&scope);
    point_on_hit(NULL);
    EXPECT_NUMBER(h.code, CONFLICT);
    EXPECT_NUMBER(count_records(h.engine, h.journal), 0);
    engine_close(h.engine);
}

TEST(local_removed_journal_takes_no_append_at_its_end) { run_in_folder(remove_and_append); }

/* RocksDB may take no writes after an error in the background, until it is opened anew. */
static void fail_a_flush(struct run *r)
{
    colour_pretend_coroutine();
    struct engine *e = test_open(&r->options);
    struct id journal = random_id();
    size_t appended = 0;
    result ignored;
    point_arm("flusher.flush", POINT_FAIL, IO, 1);
    for (int i = 0; i < 800; i++) {
        result code = append(e, journal, VIEW("x"), BODY_BYTES, NULL).code;
        EXPECT(code == OK || code == UNAVAILABLE);
        appended += code == OK;
        if (code != OK) EXPECT(coroutine_sleep(50) == OK);
    }
    EXPECT_NUMBER(event_times(EVENT_STORE_FLUSH_FAILED), 1);
    EXPECT_NUMBER(event_times(EVENT_STORE_REPAIRED), 1);
    EXPECT(appended > 700);
    EXPECT_NUMBER(count_records(e, journal), appended);
    EXPECT(body_is_there(e, journal, 0, &ignored));
    engine_close(e);
    e = test_open(&r->options);
    EXPECT_NUMBER(count_records(e, journal), appended);
    engine_close(e);
}

TEST_SLOW(local_recovers_from_a_failed_flush, 60) { run_in_folder(fail_a_flush); }
#endif

/* ---- a full disk ------------------------------------------------------------------------------------------ */

enum { DISK_BYTES = 120 << 20 };

static void run_on_small_disk(void (*body)(struct run *r))
{
    static char folder[LOCAL_TEST_FOLDER_BYTES], store[LOCAL_TEST_FOLDER_BYTES + 8], size[32];
    test_make_folder(folder);
    snprintf(size, sizeof size, "size=%d", DISK_BYTES);
    if (mount("tmpfs", folder, "tmpfs", 0, size) != 0) {
        rmdir(folder);
        test_skip("needs the right to mount");
    }
    snprintf(store, sizeof store, "%s/store", folder);
    struct run r = {.options = test_options(store, true), .body = body};
    random_bytes(body_bytes, sizeof body_bytes);
    if (getenv("TAYORI_TEST_LOG")) EXPECT(event_open(NULL, EVENT_FORMAT_TEXT, EVENT_DEBUG, NULL) == OK);
    test_run(run_body, &r);
    event_close();
    umount2(folder, MNT_DETACH);
    rmdir(folder);
}

static void filler_path(const struct run *r, char path[static PATH_BYTES]) { snprintf(path, PATH_BYTES, "%s/../filler", r->options.folder); }

/* Leaves `left` bytes of the disk. */
static void fill(const struct run *r, uint64_t left)
{
    char path[PATH_BYTES];
    struct statvfs s;
    filler_path(r, path);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    REQUIRE(fd >= 0 && fstatvfs(fd, &s) == 0);
    uint64_t room = (uint64_t)s.f_bavail * s.f_frsize;
    REQUIRE(room > left && posix_fallocate(fd, 0, (off_t)(room - left)) == 0);
    close(fd);
}

static void make_room(const struct run *r)
{
    char path[PATH_BYTES];
    filler_path(r, path);
    REQUIRE(unlink(path) == 0);
}

static void fill_disk(struct run *r)
{
    colour_pretend_coroutine();
    WITH_ARENA;
    struct fault fault = {0};
    struct engine *e = test_open(&r->options);
    struct id journal = random_id();
    struct table_change put = {.key = VIEW("key"), .value = VIEW("value")}, removal = {.key = VIEW("key"), .what = TABLE_REMOVE};
    result ignored;
    EXPECT(append(e, journal, VIEW("1"), BODY_BYTES, NULL).code == OK);
    EXPECT(table_batch(e, VIEW("t"), 0, &put, 1, MILLIS_NEVER, NULL, NULL) == OK);
    EXPECT(object_put(e, VIEW("object"), view_make(body_bytes, BODY_BYTES), MILLIS_NEVER, NULL) == OK);
    fill(r, 16 << 20);
    EXPECT_NUMBER(append(e, journal, VIEW("2"), 100, &fault).code, UNAVAILABLE);
    EXPECT(strstr(fault.detail, "is full"));
    EXPECT_VIEW(view_of(fault.client_text), VIEW("The store is full"));
    EXPECT(table_batch(e, VIEW("t"), 0, &put, 1, MILLIS_NEVER, NULL, NULL) == UNAVAILABLE);
    EXPECT(object_put(e, VIEW("other"), VIEW("x"), MILLIS_NEVER, &fault) == UNAVAILABLE);
    EXPECT_NUMBER(event_times(EVENT_STORE_FULL), 1);
    /* Reading goes on, and what frees room is done. */
    EXPECT_NUMBER(count_records(e, journal), 1);
    EXPECT(body_is_there(e, journal, 0, &ignored));
    EXPECT(table_batch(e, VIEW("t"), 0, &removal, 1, MILLIS_NEVER, NULL, NULL) == OK);
    struct journal_page page;
    REQUIRE(engine_read(e, journal, NULL, MILLIS_NEVER, arena, &page, NULL) == OK);
    EXPECT(engine_replace_head(e, journal, 0, &page.end, VIEW("head"), MILLIS_NEVER, NULL, NULL) == OK);
    EXPECT(object_remove(e, VIEW("object"), MILLIS_NEVER, NULL) == OK);
    make_room(r);
    EXPECT(append(e, journal, VIEW("3"), BODY_BYTES, NULL).code == OK);
    EXPECT_NUMBER(event_times(EVENT_STORE_HAS_ROOM), 1);
    EXPECT(object_put(e, VIEW("other"), VIEW("x"), MILLIS_NEVER, NULL) == OK);
    EXPECT_NUMBER(count_records(e, journal), 1);
    engine_close(e);
    e = test_open(&r->options);
    EXPECT_NUMBER(count_records(e, journal), 1);
    engine_close(e);
}

TEST_SLOW(local_full_disk_is_told_and_reading_goes_on, 60) { run_on_small_disk(fill_disk); }

/* Room goes so fast that a flush of RocksDB fails: its error in the background stays until it is opened anew. */
static void fill_disk_at_once(struct run *r)
{
    colour_pretend_coroutine();
    WITH_ARENA;
    enum { HEAD_BYTES = 60000, HEADS = 400 };
    struct engine *e = test_open(&r->options);
    struct id journal = random_id(), other = random_id();
    struct journal_page page;
    struct journal_position at;
    result code = OK;
    for (int i = 0; i < 120; i++) EXPECT(append(e, other, VIEW("kept"), BODY_BYTES, NULL).code == OK);
    EXPECT(append(e, journal, VIEW("1"), 100, NULL).code == OK);
    REQUIRE(engine_read(e, journal, NULL, MILLIS_NEVER, arena, &page, NULL) == OK);
    at = page.end;
    fill(r, 64 << 10);
    /* Heads are taken although the disk is full: enough of them, and the log goes over to its next segment. */
    unsigned done = 0;
    while (done < HEADS && code == OK) {
        code = engine_replace_head(e, journal, at.epoch, &at, view_make(body_bytes, HEAD_BYTES), MILLIS_NEVER, &at, NULL);
        done += code == OK;
    }
    EXPECT(code == UNAVAILABLE || code == UNKNOWN_OUTCOME);
    EXPECT(event_times(EVENT_STORE_FLUSH_FAILED) > 0);
    EXPECT_NUMBER(count_records(e, other), 120);
    make_room(r);
    EXPECT(coroutine_sleep(1100) == OK);
    EXPECT(append(e, other, VIEW("again"), BODY_BYTES, NULL).code == OK);
    EXPECT_NUMBER(event_times(EVENT_STORE_REPAIRED), 1);
    EXPECT_NUMBER(count_records(e, other), 121);
    REQUIRE(engine_read(e, journal, NULL, MILLIS_NEVER, arena, &page, NULL) == OK);
    EXPECT(page.head_at.epoch == done || page.head_at.epoch == done + 1);
    engine_close(e);
    e = test_open(&r->options);
    EXPECT_NUMBER(count_records(e, other), 121);
    engine_close(e);
}

TEST_SLOW(local_recovers_from_a_disk_that_filled_at_once, 60) { run_on_small_disk(fill_disk_at_once); }

/* ---- damage ----------------------------------------------------------------------------------------------- */

/* Overwrites `len` bytes in the middle of each file of the tables with this suffix; how many there were. */
static unsigned spoil_tables(const struct run *r, const char *suffix)
{
    char folder[PATH_BYTES], path[PATH_BYTES];
    unsigned count = 0;
    DIR *d = opendir(files_path(folder, r->options.folder, "tables"));
    REQUIRE(d != NULL);
    for (struct dirent *entry; (entry = readdir(d));) {
        if (!view_ends(view_of(entry->d_name), view_of(suffix))) continue;
        int fd = open(files_path(path, folder, entry->d_name), O_RDWR);
        REQUIRE(fd >= 0);
        off_t middle = lseek(fd, 0, SEEK_END) / 2;
        REQUIRE(pwrite(fd, "damage", 6, middle) == 6);
        close(fd);
        count++;
    }
    closedir(d);
    return count;
}

/* Bodies lie in blob files: the damage hits one of them. */
static void spoil_a_body(struct run *r)
{
    colour_pretend_coroutine();
    enum { RECORDS = 20 };
    struct engine *e = test_open(&r->options);
    struct id journal = random_id();
    unsigned good = 0, bad = 0, findings = 0;
    for (int i = 0; i < RECORDS; i++) EXPECT(append(e, journal, VIEW("x"), BODY_BYTES, NULL).code == OK);
    engine_close(e);
    REQUIRE(spoil_tables(r, ".blob") == 1);
    e = test_open(&r->options);
    for (size_t i = 0; i < RECORDS; i++) {
        result code;
        if (body_is_there(e, journal, i, &code)) good++;
        else EXPECT((bad++, code == CORRUPT));
    }
    EXPECT_NUMBER(bad, 1);
    EXPECT_NUMBER(good, RECORDS - 1);
    EXPECT(engine_verify(e, count_findings, &findings, NULL) == OK);
    EXPECT_NUMBER(findings, 1);
    EXPECT(append(e, journal, VIEW("y"), BODY_BYTES, NULL).code == OK);
    EXPECT_NUMBER(count_records(e, journal), RECORDS + 1);
    engine_close(e);
}

TEST(local_damaged_body_harms_no_other) { run_in_folder(spoil_a_body); }

/* A damaged block of records: its journals are corrupt, all others are served, changes go on, also through flushes and compactions. */
static void spoil_records(struct run *r)
{
    colour_pretend_coroutine();
    WITH_ARENA;
    enum { JOURNALS = 400 };
    static struct id journals[JOURNALS];
    struct engine *e = test_open(&r->options);
    unsigned corrupt = 0, findings = 0;
    for (int i = 0; i < JOURNALS; i++) {
        journals[i] = random_id();
        for (int j = 0; j < 5; j++) EXPECT(append(e, journals[i], view_make(body_bytes + i, 300), 0, NULL).code == OK);
    }
    engine_close(e);
    EXPECT(spoil_tables(r, ".sst") > 0);
    e = test_open(&r->options);
    for (int i = 0; i < JOURNALS; i++) {
        struct journal_page page;
        result code = engine_read(e, journals[i], NULL, MILLIS_NEVER, arena, &page, NULL);
        if (code == OK) EXPECT_NUMBER(page.count, 5);
        else EXPECT(code == CORRUPT);
        corrupt += code == CORRUPT;
    }
    EXPECT(corrupt > 0 && corrupt < 40);
    EXPECT(engine_verify(e, count_findings, &findings, NULL) == OK);
    EXPECT(findings > 0);
    struct id fresh = random_id();
    for (int i = 0; i < 1500; i++) EXPECT(append(e, fresh, VIEW("x"), BODY_BYTES, NULL).code == OK);
    EXPECT_NUMBER(count_records(e, fresh), 1500);
    for (int i = 0; i < JOURNALS; i++) EXPECT(append(e, journals[i], VIEW("more"), 10, NULL).code == OK);
    engine_close(e);
}

TEST_SLOW(local_damaged_records_harm_their_journals_alone, 90) { run_in_folder(spoil_records); }

/* ---- what is known of journals ---------------------------------------------------------------------------- */

static void forget_and_learn(struct run *r)
{
    colour_pretend_coroutine();
    struct engine *e = test_open(&r->options);
    struct id journal = random_id();
    for (int i = 0; i < 3; i++) EXPECT(append(e, journal, VIEW("abc"), 7, NULL).code == OK);
    engine_close(e);
    e = test_open(&r->options);
    EXPECT(!append(e, journal, VIEW("abc"), 7, NULL).before_known);
    EXPECT_NUMBER(count_records(e, journal), 4);
    struct journal_append a = append(e, journal, VIEW("abc"), 7, NULL);
    EXPECT(a.before_known);
    EXPECT_NUMBER(a.journal_records, 5);
    EXPECT_NUMBER(a.journal_bytes, 50);
    engine_close(e);
}

TEST(local_blind_append_reads_nothing_until_a_reader_has_learned) { run_in_folder(forget_and_learn); }

/* ---- garbage ---------------------------------------------------------------------------------------------- */

/* Journals that fold often beside one that never does: the space of what was folded comes back. */
static void fold_and_collect(struct run *r)
{
    colour_pretend_coroutine();
    enum { ROUNDS = 12, RECORDS = 300 };
    struct engine *e = test_open(&r->options);
    struct local *local = local_of(e);
    struct id busy = random_id(), quiet = random_id();
    struct journal_position at = {0};
    uint64_t all = 0, garbage = 0;
    colour_pretend_worker();
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < RECORDS; i++) {
            struct journal_append a = {.journal = busy, .meta = VIEW("x"), .body = view_make(body_bytes, BODY_BYTES), .only_if_at = &at};
            REQUIRE(engine_append(e, &a, MILLIS_NEVER) == OK);
            at = a.at;
            if (i % 20 == 0) EXPECT(append(e, quiet, VIEW("y"), BODY_BYTES, NULL).code == OK);
        }
        REQUIRE(engine_replace_head(e, busy, at.epoch, &at, VIEW("head"), MILLIS_NEVER, &at, NULL) == OK);
    }
    for (int i = 0; i < 100 && event_times(EVENT_STORE_COLLECTED) == 0; i++) {
        collector_want_look(local);
        EXPECT(coroutine_sleep(100) == OK);
    }
    EXPECT(event_times(EVENT_STORE_COLLECTED) > 0);
    REQUIRE(rocks_garbage(&local->rocks, &all, &garbage, NULL) == OK);
    EXPECT(all < (uint64_t)ROUNDS * RECORDS * BODY_BYTES * 3 / 4);
    EXPECT_NUMBER(count_records(e, quiet), ROUNDS * RECORDS / 20);
    for (size_t i = 0; i < ROUNDS * RECORDS / 20; i += 7) {
        result ignored;
        EXPECT(body_is_there(e, quiet, i, &ignored));
    }
    engine_close(e);
}

TEST_SLOW(local_space_of_folded_bodies_comes_back, 90) { run_in_folder(fold_and_collect); }
