/* The contract of objects. */
#include <stdio.h>
#include <string.h>

#include "base/test.h"
#include "engine/contract.h"
#include "runtime/random.h"

enum { ARENA_BYTES = 64 << 20, LARGE_BYTES = 5 << 20, RANDOM_BYTES_AT_ONCE = 1 << 16 };

#define WITH_ARENA struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ARENA_BYTES)

static view random_view(struct arena *arena, size_t len)
{
    char *bytes = arena_array(arena, char, len + 1);
    for (size_t done = 0; done < len; done += RANDOM_BYTES_AT_ONCE)
        random_bytes(bytes + done, len - done < RANDOM_BYTES_AT_ONCE ? len - done : RANDOM_BYTES_AT_ONCE);
    return view_make(bytes, len);
}

MAY_YIELD static result put(struct contract *c, const char *name, view bytes)
{
    return object_put(c->engine, view_of(name), bytes, contract_soon(), NULL);
}

MAY_YIELD static bool reads_as(struct contract *c, const char *name, view bytes)
{
    buf got CLEANUP(buf_done) = BUF_INIT;
    return object_read(c->engine, view_of(name), 0, bytes.len + 10, contract_soon(), &got, NULL) == OK && view_equal(buf_view(&got), bytes);
}

void contract_object_is_read_back_in_ranges(struct contract *c)
{
    WITH_ARENA;
    view bytes = random_view(arena, 100000);
    uint64_t size = 7;
    EXPECT(put(c, "a/b-1.x_y", bytes) == OK);
    EXPECT(object_size(c->engine, VIEW("a/b-1.x_y"), contract_soon(), &size, NULL) == OK);
    EXPECT_NUMBER(size, 100000);
    static const struct { uint64_t offset; size_t len, got; } ranges[] = {
        {0, 100000, 100000}, {0, 1, 1}, {99999, 1, 1}, {99999, 10, 1}, {100000, 10, 0}, {1 << 30, 10, 0}, {4095, 8195, 8195}, {5, 0, 0}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        buf got CLEANUP(buf_done) = BUF_INIT;
        buf_append(&got, VIEW("kept"));
        EXPECT(object_read(c->engine, VIEW("a/b-1.x_y"), ranges[i].offset, ranges[i].len, contract_soon(), &got, NULL) == OK);
        EXPECT_NUMBER(got.len, ranges[i].got + 4);
        EXPECT(view_equal(view_from(buf_view(&got), 4), view_slice(bytes, (size_t)ranges[i].offset, ranges[i].got)));
    }
    EXPECT(put(c, "empty", VIEW_EMPTY) == OK);
    EXPECT(object_size(c->engine, VIEW("empty"), contract_soon(), &size, NULL) == OK);
    EXPECT_NUMBER(size, 0);
    EXPECT(reads_as(c, "empty", VIEW_EMPTY));
    buf got CLEANUP(buf_done) = BUF_INIT;
    EXPECT(object_read(c->engine, VIEW("absent"), 0, 1, contract_soon(), &got, NULL) == NOT_FOUND);
    EXPECT(object_size(c->engine, VIEW("absent"), contract_soon(), &size, NULL) == NOT_FOUND);
}

void contract_object_is_invisible_until_committed(struct contract *c)
{
    struct object_writer *w;
    uint64_t size;
    view *names;
    size_t count;
    WITH_ARENA;
    REQUIRE(object_create(c->engine, VIEW("new"), contract_soon(), &w, NULL) == OK);
    EXPECT(object_write(w, VIEW("hello "), contract_soon(), NULL) == OK);
    EXPECT(object_size(c->engine, VIEW("new"), contract_soon(), &size, NULL) == NOT_FOUND);
    EXPECT(object_list(c->engine, VIEW_EMPTY, VIEW_EMPTY, 10, contract_soon(), arena, &names, &count, NULL) == OK);
    EXPECT_NUMBER(count, 0);
    EXPECT(object_write(w, VIEW("world"), contract_soon(), NULL) == OK);
    EXPECT(object_commit(w, contract_soon(), NULL) == OK);
    EXPECT(reads_as(c, "new", VIEW("hello world")));
    REQUIRE(object_create(c->engine, VIEW("never"), contract_soon(), &w, NULL) == OK);
    EXPECT(object_write(w, VIEW("x"), contract_soon(), NULL) == OK);
    object_abort(w);
    EXPECT(object_size(c->engine, VIEW("never"), contract_soon(), &size, NULL) == NOT_FOUND);
    EXPECT(put(c, "never", VIEW("now")) == OK);
    EXPECT(reads_as(c, "never", VIEW("now")));
}

struct contest {
    struct contract *contract;
    _Atomic unsigned won, lost;
};

static void creates_the_same(void *argument)
{
    colour_pretend_coroutine();
    struct contest *contest = argument;
    result code = put(contest->contract, "contested", VIEW("bytes"));
    EXPECT(code == OK || code == EXISTS);
    if (code == OK) contest->won++;
    else contest->lost++;
}

void contract_object_exists_once(struct contract *c)
{
    struct contest contest = {.contract = c};
    contract_run_many(8, creates_the_same, &contest);
    EXPECT_NUMBER(contest.won, 1);
    EXPECT_NUMBER(contest.lost, 7);
    EXPECT(put(c, "contested", VIEW("other")) == EXISTS);
    EXPECT(reads_as(c, "contested", VIEW("bytes")));
    EXPECT(object_remove(c->engine, VIEW("contested"), contract_soon(), NULL) == OK);
    EXPECT(object_remove(c->engine, VIEW("contested"), contract_soon(), NULL) == OK);
    EXPECT(!reads_as(c, "contested", VIEW("bytes")));
    EXPECT(put(c, "contested", VIEW("other")) == OK);
}

void contract_object_copy_lives_on_its_own(struct contract *c)
{
    EXPECT(put(c, "from", VIEW("bytes")) == OK);
    EXPECT(object_copy(c->engine, VIEW("from"), VIEW("to/there"), contract_soon(), NULL) == OK);
    EXPECT(object_copy(c->engine, VIEW("from"), VIEW("to/there"), contract_soon(), NULL) == EXISTS);
    EXPECT(object_copy(c->engine, VIEW("absent"), VIEW("to/nowhere"), contract_soon(), NULL) == NOT_FOUND);
    EXPECT(object_remove(c->engine, VIEW("from"), contract_soon(), NULL) == OK);
    EXPECT(reads_as(c, "to/there", VIEW("bytes")));
}

void contract_object_list_is_in_order_and_in_parts(struct contract *c)
{
    WITH_ARENA;
    char name[32];
    view *names, last = VIEW_EMPTY;
    size_t count, total = 0;
    for (unsigned i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "list/%02u", (i * 7) % 40);
        EXPECT(put(c, name, VIEW("x")) == OK);
    }
    EXPECT(put(c, "lisp", VIEW("x")) == OK);
    EXPECT(put(c, "list-other", VIEW("x")) == OK);
    do {
        REQUIRE(object_list(c->engine, VIEW("list/"), last, 9, contract_soon(), arena, &names, &count, NULL) == OK);
        REQUIRE(count <= 9);
        for (size_t i = 0; i < count; i++) EXPECT_VIEW(names[i], arena_printf(arena, "list/%02zu", total + i));
        total += count;
        if (count) last = names[count - 1];
    } while (count > 0);
    EXPECT_NUMBER(total, 40);
    EXPECT(object_list(c->engine, VIEW("list/3"), VIEW_EMPTY, 100, contract_soon(), arena, &names, &count, NULL) == OK);
    EXPECT_NUMBER(count, 10);
    EXPECT(object_list(c->engine, VIEW_EMPTY, VIEW_EMPTY, 100, contract_soon(), arena, &names, &count, NULL) == OK);
    EXPECT_NUMBER(count, 42);
    if (count) EXPECT_VIEW(names[0], VIEW("lisp"));
}

void contract_object_names_are_checked(struct contract *c)
{
    WITH_ARENA;
    char *long_name = arena_array(arena, char, ENGINE_NAME_MAX_BYTES + 2);
    memset(long_name, 'n', ENGINE_NAME_MAX_BYTES + 1);
    EXPECT(put(c, long_name, VIEW("x")) == TOO_BIG);
    long_name[ENGINE_NAME_MAX_BYTES] = '\0';
    EXPECT(put(c, long_name, VIEW("x")) == OK);
    EXPECT(reads_as(c, long_name, VIEW("x")));
    static const char *const bad[] = {"", "/a", "a/", "a//b", "../a", "a/../b", "a/.b", ".", "a b", "a\n", "\xc3\xa4", "a*"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) EXPECT(put(c, bad[i], VIEW("x")) == INVALID);
}

void contract_object_may_be_large(struct contract *c)
{
    WITH_ARENA;
    struct object_writer *w;
    view bytes = random_view(arena, LARGE_BYTES), rest = bytes;
    REQUIRE(object_create(c->engine, VIEW("large"), contract_soon(), &w, NULL) == OK);
    for (size_t piece = 1; rest.len > 0; piece = piece * 3 + 1) {
        EXPECT(object_write(w, view_slice(rest, 0, piece), contract_soon(), NULL) == OK);
        rest = view_from(rest, piece);
    }
    EXPECT(object_commit(w, contract_soon(), NULL) == OK);
    buf got CLEANUP(buf_done) = BUF_INIT;
    while (got.len < LARGE_BYTES) {
        size_t before = got.len;
        EXPECT(object_read(c->engine, VIEW("large"), got.len, 300000, contract_soon(), &got, NULL) == OK);
        REQUIRE(got.len > before);
    }
    EXPECT(view_equal(buf_view(&got), bytes));
}

void contract_object_outlives_its_engine(struct contract *c)
{
    struct object_writer *w;
    uint64_t size;
    EXPECT(put(c, "keep/this", VIEW("bytes")) == OK);
    EXPECT(put(c, "gone", VIEW("bytes")) == OK);
    EXPECT(object_remove(c->engine, VIEW("gone"), contract_soon(), NULL) == OK);
    REQUIRE(object_create(c->engine, VIEW("half"), contract_soon(), &w, NULL) == OK);
    EXPECT(object_write(w, VIEW("half"), contract_soon(), NULL) == OK);
    object_abort(w);
    c->reopen(c);
    EXPECT(reads_as(c, "keep/this", VIEW("bytes")));
    EXPECT(object_size(c->engine, VIEW("gone"), contract_soon(), &size, NULL) == NOT_FOUND);
    EXPECT(object_size(c->engine, VIEW("half"), contract_soon(), &size, NULL) == NOT_FOUND);
}

void contract_object_may_be_in_the_archive(struct contract *c)
{
    WITH_ARENA;
    view *names, bytes = random_view(arena, LARGE_BYTES);
    uint64_t size;
    size_t count;
    REQUIRE(engine_has_archive(c->engine));
    EXPECT(put(c, "cold/a/one", VIEW("cold")) == OK);
    EXPECT(put(c, "cold/a/one", VIEW("again")) == EXISTS);
    EXPECT(reads_as(c, "cold/a/one", VIEW("cold")));
    EXPECT(object_size(c->engine, VIEW("a/one"), contract_soon(), &size, NULL) == NOT_FOUND);
    EXPECT(put(c, "a/one", VIEW("warm")) == OK);
    EXPECT(put(c, "a/two", bytes) == OK);
    EXPECT(object_copy(c->engine, VIEW("a/two"), VIEW("cold/a/two"), contract_soon(), NULL) == OK);
    EXPECT(object_copy(c->engine, VIEW("a/two"), VIEW("cold/a/two"), contract_soon(), NULL) == EXISTS);
    EXPECT(object_copy(c->engine, VIEW("cold/a/absent"), VIEW("a/absent"), contract_soon(), NULL) == NOT_FOUND);
    EXPECT(object_remove(c->engine, VIEW("a/two"), contract_soon(), NULL) == OK);
    c->reopen(c);
    EXPECT(reads_as(c, "cold/a/two", bytes));
    EXPECT(reads_as(c, "a/one", VIEW("warm")));
    EXPECT(object_list(c->engine, VIEW("cold/a/"), VIEW_EMPTY, 10, contract_soon(), arena, &names, &count, NULL) == OK);
    REQUIRE(count == 2);
    EXPECT_VIEW(names[0], VIEW("cold/a/one"));
    EXPECT_VIEW(names[1], VIEW("cold/a/two"));
    EXPECT(object_list(c->engine, VIEW("cold/a/"), names[0], 10, contract_soon(), arena, &names, &count, NULL) == OK);
    EXPECT_NUMBER(count, 1);
    EXPECT(object_list(c->engine, VIEW("a/"), VIEW_EMPTY, 10, contract_soon(), arena, &names, &count, NULL) == OK);
    EXPECT_NUMBER(count, 1);
    EXPECT(object_list(c->engine, VIEW_EMPTY, VIEW_EMPTY, 10, contract_soon(), arena, &names, &count, NULL) == OK);
    EXPECT_NUMBER(count, 1);
    EXPECT(object_remove(c->engine, VIEW("cold/a/one"), contract_soon(), NULL) == OK);
    EXPECT(object_size(c->engine, VIEW("cold/a/one"), contract_soon(), &size, NULL) == NOT_FOUND);
    EXPECT(reads_as(c, "a/one", VIEW("warm")));
}
