/* A backup taken while everything changes, and the store that is restored from it. */
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "engine/local/local_private.h"
#include "engine/local/local_test.h"
#include "runtime/random.h"

enum { WRITERS = 6, ARENA_BYTES = 64 << 20, FOLD_EVERY = 25 };

/*
 * Each writer appends numbers, with a body; now and then it puts an object, folds all into a head that names it and the last number,
 * and removes the object before it: what compaction does.
 */
struct writers {
    struct engine *engine;
    bool must_stop;
    unsigned left, written[WRITERS];
    struct waitlist ended;
};

struct writer { struct writers *all; unsigned number; };

static struct id journal_of(unsigned writer)
{
    struct id i = {{0}};
    i.bytes[15] = (unsigned char)(writer + 1);
    return i;
}

static view object_name(char text[static 64], unsigned writer, unsigned number)
{
    return view_make(text, (size_t)snprintf(text, 64, "accounts/%u/snapshot-%u", writer, number));
}

MAY_YIELD static void fold(struct writer *w, struct journal_position *at, unsigned number)
{
    char name[64], head[16];
    struct engine *e = w->all->engine;
    REQUIRE(object_put(e, object_name(name, w->number, number), VIEW("folded"), MILLIS_NEVER, NULL) == OK);
    int len = snprintf(head, sizeof head, "%u", number);
    REQUIRE(engine_replace_head(e, journal_of(w->number), at->epoch, at, view_make(head, (size_t)len), MILLIS_NEVER, at, NULL) == OK);
    if (number > FOLD_EVERY)
        REQUIRE(object_remove(e, object_name(name, w->number, number - FOLD_EVERY), MILLIS_NEVER, NULL) == OK);
}

static void write_on(void *argument)
{
    colour_pretend_coroutine();
    struct writer *w = argument;
    struct journal_position at = {0};
    for (unsigned number = 1; !w->all->must_stop; number++) {
        char meta[16];
        int len = snprintf(meta, sizeof meta, "%u", number);
        struct journal_append a = {.journal = journal_of(w->number), .meta = view_make(meta, (size_t)len), .body = VIEW("the body of a record"),
                                   .only_if_at = &at};
        REQUIRE(engine_append(w->all->engine, &a, MILLIS_NEVER) == OK);
        at = a.at;
        w->all->written[w->number] = number;
        if (number % FOLD_EVERY == 0) fold(w, &at, number);
    }
    w->all->left--;
    waitlist_wake_all(&w->all->ended);
}

struct run {
    struct engine_local_options options;
    char backup[LOCAL_TEST_FOLDER_BYTES + 16], restored[LOCAL_TEST_FOLDER_BYTES + 16];
    unsigned written_before[WRITERS], progress_calls;
    uint64_t done, all;
};

static void note_progress(void *argument, uint64_t done_bytes, uint64_t all_bytes)
{
    struct run *r = argument;
    EXPECT(done_bytes >= r->done && done_bytes <= all_bytes);
    r->progress_calls++;
    r->done = done_bytes;
    r->all = all_bytes;
}

static void back_up_while_writing(void *argument)
{
    colour_pretend_coroutine();
    struct run *r = argument;
    struct writers all = {.engine = test_open(&r->options), .left = WRITERS};
    struct writer writers[WRITERS];
    struct fault fault = {0};
    waitlist_init(&all.ended);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){&all, i};
        coroutine_spawn(loop_scope(loop_self()), "writer", write_on, &writers[i]);
    }
    EXPECT(coroutine_sleep(300) == OK);
    memcpy(r->written_before, all.written, sizeof all.written);
    EXPECT(engine_backup(all.engine, r->options.folder, NULL, NULL, &fault) == INVALID);
    result code = engine_backup(all.engine, r->backup, note_progress, r, &fault);
    if (code != OK) test_fail(__FILE__, __LINE__, "backup: %s", fault.detail);
    EXPECT(r->progress_calls > 0 && r->done == r->all);
    EXPECT(engine_backup(all.engine, r->backup, NULL, NULL, &fault) == INVALID);
    EXPECT(coroutine_sleep(100) == OK);
    all.must_stop = true;
    while (all.left) waitlist_wait_shielded(&all.ended);
    engine_close(all.engine);
}

static void complain(void *argument, view what) { test_fail(__FILE__, __LINE__, VIEW_FMT, VIEW_ARG(what)); }

/* All of one moment: numbers without a gap, and the object that the head names. */
MAY_YIELD static void check_writer(struct run *r, struct engine *e, unsigned writer)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ARENA_BYTES);
    buf bytes CLEANUP(buf_done) = BUF_INIT;
    struct journal_page page;
    uint64_t last = 0, number;
    char name[64];
    REQUIRE(engine_read(e, journal_of(writer), NULL, MILLIS_NEVER, arena, &page, NULL) == OK);
    REQUIRE(!page.more);
    if (page.head.len) {
        REQUIRE(view_to_u64(page.head, &last));
        EXPECT(object_read(e, object_name(name, writer, (unsigned)last), 0, 100, MILLIS_NEVER, &bytes, NULL) == OK);
        EXPECT_VIEW(buf_view(&bytes), VIEW("folded"));
    }
    for (size_t i = 0; i < page.count; i++) {
        REQUIRE(view_to_u64(page.records[i].meta, &number));
        EXPECT_NUMBER(number, ++last);
        buf_clear(&bytes);
        EXPECT(engine_read_body(e, journal_of(writer), &page.records[i], 0, page.records[i].body_bytes, MILLIS_NEVER, &bytes, NULL) == OK);
    }
    EXPECT(last >= r->written_before[writer]);
    struct journal_append a = {.journal = journal_of(writer), .meta = VIEW("on"), .only_if_at = &page.end};
    EXPECT(engine_append(e, &a, MILLIS_NEVER) == OK);
    EXPECT(a.at.tail > page.end.tail);
}

static void check_restored(void *argument)
{
    colour_pretend_coroutine();
    struct run *r = argument;
    struct engine_local_options options = r->options;
    options.folder = r->restored;
    struct engine *e = test_open(&options);
    for (unsigned i = 0; i < WRITERS; i++) check_writer(r, e, i);
    EXPECT(engine_verify(e, complain, NULL, NULL) == OK);
    engine_close(e);
}

static unsigned files_seen;

static int count_file(const char *path, const struct stat *s, int kind, struct FTW *where)
{
    files_seen += kind == FTW_F;
    return 0;
}

struct place { char folder[LOCAL_TEST_FOLDER_BYTES], store[LOCAL_TEST_FOLDER_BYTES + 16]; };

static void make_place(struct place *p, struct run *r)
{
    test_make_folder(p->folder);
    snprintf(p->store, sizeof p->store, "%s/store", p->folder);
    snprintf(r->backup, sizeof r->backup, "%s/backup", p->folder);
    snprintf(r->restored, sizeof r->restored, "%s/restored", p->folder);
    r->options = test_options(p->store, true);
}

TEST_SLOW(local_backup_while_writing_restores_one_moment, 60)
{
    static struct run r;
    struct place p;
    char path[PATH_BYTES];
    struct fault fault = {0};
    colour_pretend_worker();
    make_place(&p, &r);
    test_run(back_up_while_writing, &r);
    REQUIRE(engine_restore_local(r.backup, r.restored, NULL, &fault) == OK);
    EXPECT(engine_restore_local(r.backup, r.restored, NULL, &fault) == EXISTS);
    EXPECT(engine_restore_local(p.store, r.restored, NULL, &fault) == INVALID);
    test_run(check_restored, &r);
    /* The backup is not changed by what was restored from it, and serves again. */
    test_remove_folder(r.restored);
    REQUIRE(engine_restore_local(r.backup, r.restored, NULL, &fault) == OK);
    test_run(check_restored, &r);
    /* A copy that was not finished is not taken for one. */
    REQUIRE(unlink(files_path(path, r.backup, "backup")) == 0);
    test_remove_folder(r.restored);
    EXPECT(engine_restore_local(r.backup, r.restored, NULL, &fault) == INVALID);
    nftw(r.restored, count_file, 16, FTW_PHYS);
    EXPECT_NUMBER(files_seen, 0);
    test_remove_folder(p.folder);
}

static void back_up_once(void *argument)
{
    colour_pretend_coroutine();
    struct run *r = argument;
    struct engine *e = test_open(&r->options);
    struct journal_append a = {.journal = journal_of(0), .meta = VIEW("1")};
    EXPECT(engine_append(e, &a, MILLIS_NEVER) == OK);
    EXPECT(object_put(e, VIEW("object"), VIEW("bytes"), MILLIS_NEVER, NULL) == OK);
    EXPECT(engine_backup(e, r->backup, NULL, NULL, NULL) == OK);
    engine_close(e);
}

static void open_restored(void *argument)
{
    colour_pretend_coroutine();
    struct run *r = argument;
    struct engine_local_options options = r->options;
    struct engine *e;
    struct fault fault = {0};
    options.folder = r->restored;
    EXPECT_NUMBER(engine_open_local(&options, &e, &fault), INVALID);
    EXPECT(strstr(fault.detail, "not finished"));
}

/* The tables are there, the objects are not. */
TEST(local_restore_that_was_cut_short_is_no_store)
{
    static struct run r;
    struct place p;
    char path[PATH_BYTES], aside[PATH_BYTES];
    struct fault fault = {0};
    colour_pretend_worker();
    make_place(&p, &r);
    test_run(back_up_once, &r);
    REQUIRE(rename(files_path(path, r.backup, "objects"), files_path(aside, r.backup, "aside")) == 0);
    REQUIRE(fclose(fopen(path, "w")) == 0);
    EXPECT_NUMBER(engine_restore_local(r.backup, r.restored, NULL, &fault), IO);
    test_run(open_restored, &r);
    test_remove_folder(p.folder);
}
