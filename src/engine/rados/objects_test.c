/* What objects in a cluster promise beyond the contract: dead writers, writers of one name, lost pieces, long lists. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/check.h"
#include "engine/rados/objects_private.h"
#include "engine/rados/rados_test.h"
#include "runtime/random.h"

enum { LARGE_BYTES = (9 << 20) + 12345, SOON_MS = 30000 };

struct objects_test {
    struct engine_rados_options options;
    struct engine *engine;
    void (*run)(struct objects_test *t);
    unsigned findings;
};

static millis soon(void) { return clock_in(SOON_MS); }

static void run_one(void *argument)
{
    colour_pretend_coroutine();
    struct objects_test *t = argument;
    t->engine = test_open(&t->options);
    t->run(t);
    engine_close(t->engine);
}

static void run_test(void (*run)(struct objects_test *t))
{
    char name[RADOS_TEST_NAME_BYTES];
    struct objects_test t = {.options = test_store(name), .run = run};
    test_run(run_one, &t);
}

static void fill(char *bytes, size_t len, uint64_t seed)
{
    for (size_t i = 0; i < len; i++) bytes[i] = (char)(seed + i * 7 + (i >> 12));
}

static void note_finding(void *argument, view what)
{
    struct objects_test *t = argument;
    t->findings++;
}

MAY_YIELD static unsigned findings(struct objects_test *t, int64_t grace_ms)
{
    t->findings = 0;
    EXPECT(objects_verify(rados_of(t->engine), grace_ms, note_finding, t, NULL) == OK);
    return t->findings;
}

MAY_YIELD static uint64_t reclaim(struct objects_test *t, int64_t grace_ms)
{
    uint64_t place = 0, count = 0;
    result code;
    do code = objects_reclaim(rados_of(t->engine), grace_ms, &place, &count, NULL);
    while (code == OK);
    EXPECT(code == END);
    return count;
}

/* A large object of bytes that depend on the seed, in writes of odd sizes; not yet committed. */
MAY_YIELD static struct object_writer *begin_large(struct engine *e, const char *name, uint64_t seed)
{
    struct object_writer *w;
    char *bytes = malloc(LARGE_BYTES);
    check(bytes);
    fill(bytes, LARGE_BYTES, seed);
    REQUIRE(object_create(e, view_of(name), soon(), &w, NULL) == OK);
    for (size_t at = 0; at < LARGE_BYTES; at += 700001) EXPECT(object_write(w, view_slice(view_make(bytes, LARGE_BYTES), at, 700001), soon(), NULL) == OK);
    free(bytes);
    return w;
}

MAY_YIELD static bool is_large(struct engine *e, const char *name, uint64_t seed)
{
    CLEANUP(buf_done) buf got = BUF_INIT;
    char *bytes = malloc(LARGE_BYTES);
    check(bytes);
    fill(bytes, LARGE_BYTES, seed);
    bool is_same = object_read(e, view_of(name), 0, SIZE_MAX, soon(), &got, NULL) == OK && view_equal(buf_view(&got), view_make(bytes, LARGE_BYTES));
    free(bytes);
    return is_same;
}

/* ---- dead writers ------------------------------------------------------------------------------------------------- */

static void write_and_die(void *argument)
{
    colour_pretend_coroutine();
    struct engine_rados_options *options = argument;
    struct engine *e = test_open(options);
    (void)begin_large(e, "half/written", 1);
    struct object_writer *second = begin_large(e, "half/written", 2);
    EXPECT(object_commit(second, soon(), NULL) == OK);
    (void)begin_large(e, "never/there", 3);
    _exit(9);
}

static void reclaims(struct objects_test *t)
{
    colour_pretend_coroutine();
    CLEANUP(arena_freep) struct arena *arena = arena_new(NULL, 1 << 20);
    uint64_t size;
    view *names;
    size_t count;
    /* The one that was committed is there, the others are not. */
    EXPECT(is_large(t->engine, "half/written", 2));
    EXPECT(object_size(t->engine, VIEW("never/there"), soon(), &size, NULL) == NOT_FOUND);
    EXPECT(object_list(t->engine, VIEW_EMPTY, VIEW_EMPTY, 10, soon(), arena, &names, &count, NULL) == OK);
    EXPECT_NUMBER(count, 1);
    /* Young leftovers may be a living writer's: they stay, also when the name is removed. */
    EXPECT_NUMBER(findings(t, OBJECT_GRACE_MS), 0);
    EXPECT_NUMBER(findings(t, -1000), 2);
    EXPECT(object_remove(t->engine, VIEW("never/there"), soon(), NULL) == OK);
    EXPECT_NUMBER(reclaim(t, OBJECT_GRACE_MS), 0);
    EXPECT_NUMBER(findings(t, -1000), 2);
    EXPECT_NUMBER(reclaim(t, -1000), 2);
    EXPECT_NUMBER(findings(t, -1000), 0);
    EXPECT(is_large(t->engine, "half/written", 2));
    EXPECT(object_remove(t->engine, VIEW("half/written"), soon(), NULL) == OK);
    EXPECT(object_size(t->engine, VIEW("half/written"), soon(), &size, NULL) == NOT_FOUND);
}

/* Nothing at all is left in the pool of objects. */
static void is_empty(struct objects_test *t)
{
    colour_pretend_coroutine();
    uint64_t generation;
    struct client *c = rados_of(t->engine)->client;
    rados_ioctx_t io = client_io(c, SPACE_OBJECTS, &generation);
    rados_list_ctx_t list;
    const char *name;
    REQUIRE(io != NULL && rados_nobjects_list_open(io, &list) == 0);
    while (rados_nobjects_list_next(list, &name, NULL, NULL) == 0) test_fail(__FILE__, __LINE__, "%s is left", name);
    rados_nobjects_list_close(list);
    client_io_done(c, io);
}

static void reclaims_all(struct objects_test *t)
{
    reclaims(t);
    is_empty(t);
}

TEST_SLOW(rados_objects_of_a_writer_that_died_are_reclaimed, 60)
{
    char name[RADOS_TEST_NAME_BYTES];
    struct objects_test t = {.options = test_store(name), .run = reclaims_all};
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        test_run(write_and_die, &t.options);
        _exit(1);
    }
    int status;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 9);
    test_run(run_one, &t);
}

static void gives_up(struct objects_test *t)
{
    colour_pretend_coroutine();
    object_abort(begin_large(t->engine, "given/up", 1));
    EXPECT_NUMBER(findings(t, -1000), 0);
    is_empty(t);
}

TEST_SLOW(rados_objects_aborted_leave_nothing, 60) { run_test(gives_up); }

/* ---- writers of one name -------------------------------------------------------------------------------------------- */

static void writes_one_name(struct objects_test *t)
{
    colour_pretend_coroutine();
    struct object_writer *writers[3];
    struct fault fault = {0};
    for (uint64_t i = 0; i < 3; i++) writers[i] = begin_large(t->engine, "one/name", i);
    EXPECT(object_commit(writers[1], soon(), NULL) == OK);
    EXPECT(object_commit(writers[0], soon(), &fault) == EXISTS);
    EXPECT(view_find_view(view_of(fault.detail), VIEW("one/name")) != VIEW_NONE);
    EXPECT(object_put(t->engine, VIEW("one/name"), VIEW("small"), soon(), NULL) == EXISTS);
    EXPECT(is_large(t->engine, "one/name", 1));
    object_abort(writers[2]);
    EXPECT(is_large(t->engine, "one/name", 1));
    EXPECT_NUMBER(findings(t, -1000), 0);
    /* Another of the same name, later: nobody is shown the former, nor its size. */
    EXPECT(object_remove(t->engine, VIEW("one/name"), soon(), NULL) == OK);
    EXPECT(object_commit(begin_large(t->engine, "one/name", 77), soon(), NULL) == OK);
    EXPECT(is_large(t->engine, "one/name", 77));
    struct engine *other = test_open(&t->options);
    EXPECT(is_large(other, "one/name", 77));
    EXPECT(object_remove(t->engine, VIEW("one/name"), soon(), NULL) == OK);
    EXPECT(!is_large(other, "one/name", 77));
    EXPECT(object_put(t->engine, VIEW("one/name"), VIEW("small"), soon(), NULL) == OK);
    CLEANUP(buf_done) buf got = BUF_INIT;
    EXPECT(object_read(other, VIEW("one/name"), 1, 100, soon(), &got, NULL) == OK);
    EXPECT_VIEW(buf_view(&got), VIEW("mall"));
    engine_close(other);
}

TEST_SLOW(rados_objects_of_one_name_do_not_mix, 60) { run_test(writes_one_name); }

/* ---- damage --------------------------------------------------------------------------------------------------------- */

static void remove_raw(struct objects_test *t, view name)
{
    colour_pretend_coroutine();
    struct client_op *op = client_write_new(rados_of(t->engine)->client, SPACE_OBJECTS, name);
    rados_write_op_remove(op->write);
    EXPECT(client_run(op, soon(), NULL) == OK);
    client_op_free(op);
}

static void expect_corrupt(struct objects_test *t, uint64_t offset, view name)
{
    colour_pretend_coroutine();
    struct fault fault = {0};
    CLEANUP(buf_done) buf got = BUF_INIT;
    EXPECT(object_read(t->engine, name, offset, 10, soon(), &got, &fault) == CORRUPT);
    EXPECT(view_find_view(view_of(fault.detail), name) != VIEW_NONE);
    EXPECT_NUMBER(got.len, 0);
}

static void is_damaged(struct objects_test *t)
{
    colour_pretend_coroutine();
    struct object_about about;
    char piece[OBJECT_PIECE_NAME_BYTES];
    struct rados *e = rados_of(t->engine);
    EXPECT(object_commit(begin_large(t->engine, "damaged", 5), soon(), NULL) == OK);
    EXPECT_NUMBER(findings(t, OBJECT_GRACE_MS), 0);
    REQUIRE(base_look(e, VIEW("damaged"), soon(), &about, NULL) == OK);
    EXPECT_NUMBER(about.size, LARGE_BYTES);
    remove_raw(t, object_piece_name(VIEW("damaged"), about.writer, 1, piece));
    expect_corrupt(t, about.piece_bytes, VIEW("damaged"));
    EXPECT_NUMBER(findings(t, OBJECT_GRACE_MS), 1);
    CLEANUP(buf_done) buf got = BUF_INIT;
    EXPECT(object_read(t->engine, VIEW("damaged"), 0, 10, soon(), &got, NULL) == OK);
    /* Removal works on what is damaged, too. */
    EXPECT(object_remove(t->engine, VIEW("damaged"), soon(), NULL) == OK);
    EXPECT_NUMBER(findings(t, -1000), 0);
    is_empty(t);
}

TEST_SLOW(rados_objects_that_lost_a_piece_are_told_corrupt, 60) { run_test(is_damaged); }

static void loses_its_description(struct objects_test *t)
{
    colour_pretend_coroutine();
    EXPECT(object_put(t->engine, VIEW("plain"), VIEW("bytes"), soon(), NULL) == OK);
    struct client_op *op = client_write_new(rados_of(t->engine)->client, SPACE_OBJECTS, VIEW("plain"));
    rados_write_op_setxattr(op->write, OBJECT_ATTRIBUTE, "\1garbage", 8);
    EXPECT(client_run(op, soon(), NULL) == OK);
    client_op_free(op);
    expect_corrupt(t, 0, VIEW("plain"));
    EXPECT_NUMBER(findings(t, OBJECT_GRACE_MS), 1);
    EXPECT(object_remove(t->engine, VIEW("plain"), soon(), NULL) == OK);
    uint64_t size;
    EXPECT(object_size(t->engine, VIEW("plain"), soon(), &size, NULL) == NOT_FOUND);
}

TEST(rados_objects_without_a_description_are_told_corrupt) { run_test(loses_its_description); }

/* ---- sizes ---------------------------------------------------------------------------------------------------------- */

static void has_every_size(struct objects_test *t)
{
    colour_pretend_coroutine();
    enum { CHUNK = OBJECT_CHUNK_BYTES, PIECE = OBJECT_CHUNK_BYTES * OBJECT_PIECE_CHUNKS };
    static const size_t sizes[] = {1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, PIECE - 1, PIECE, PIECE + 1, PIECE + CHUNK, 2 * PIECE};
    char *bytes = malloc(2 * PIECE), name[32];
    check(bytes);
    fill(bytes, 2 * PIECE, 99);
    for (size_t i = 0; i < array_size(sizes); i++) {
        CLEANUP(buf_done) buf got = BUF_INIT;
        uint64_t size = 0;
        snprintf(name, sizeof name, "size/%zu", sizes[i]);
        EXPECT(object_put(t->engine, view_of(name), view_make(bytes, sizes[i]), soon(), NULL) == OK);
        EXPECT(object_copy(t->engine, view_of(name), VIEW("copy"), soon(), NULL) == OK);
        EXPECT(object_size(t->engine, VIEW("copy"), soon(), &size, NULL) == OK);
        EXPECT_NUMBER(size, sizes[i]);
        EXPECT(object_read(t->engine, VIEW("copy"), 0, SIZE_MAX, soon(), &got, NULL) == OK);
        EXPECT(view_equal(buf_view(&got), view_make(bytes, sizes[i])));
        buf_clear(&got);
        EXPECT(object_read(t->engine, view_of(name), sizes[i] / 2, 5, soon(), &got, NULL) == OK);
        EXPECT(view_equal(buf_view(&got), view_slice(view_make(bytes, sizes[i]), sizes[i] / 2, 5)));
        EXPECT(object_remove(t->engine, VIEW("copy"), soon(), NULL) == OK);
        EXPECT(object_remove(t->engine, view_of(name), soon(), NULL) == OK);
    }
    free(bytes);
    is_empty(t);
}

TEST_SLOW(rados_objects_of_every_size, 120) { run_test(has_every_size); }

/* ---- lists ---------------------------------------------------------------------------------------------------------- */

/* A page is full until the list ends, whatever is uncommitted between: callers go by that. */
static void lists(struct objects_test *t)
{
    colour_pretend_coroutine();
    enum { NAMES = 150, PAGE = 40 };
    CLEANUP(arena_freep) struct arena *arena = arena_new(NULL, 4 << 20);
    static const char *const folders[] = {"0123456789abcdef0123456789abcdef", "staging"};
    for (size_t f = 0; f < array_size(folders); f++) {
        view *names, last = VIEW_EMPTY, prefix = arena_printf(arena, "%s/", folders[f]);
        size_t count = PAGE, total = 0;
        for (unsigned i = 0; i < NAMES; i++) {
            view name = arena_printf(arena, "%s/%03u", folders[f], i);
            if (i % 3) EXPECT(object_put(t->engine, name, VIEW("x"), soon(), NULL) == OK);
            else EXPECT(index_put(rados_of(t->engine), name, random_id(), soon(), NULL) == OK);
        }
        while (count == PAGE) {
            REQUIRE(object_list(t->engine, prefix, last, PAGE, soon(), arena, &names, &count, NULL) == OK);
            for (size_t i = 0; i < count; i++, total++) EXPECT_VIEW(names[i], arena_printf(arena, "%s/%03zu", folders[f], total / 2 * 3 + total % 2 + 1));
            if (count) last = names[count - 1];
        }
        EXPECT_NUMBER(total, NAMES * 2 / 3);
    }
}

TEST_SLOW(rados_objects_are_listed_in_full_pages, 120) { run_test(lists); }
