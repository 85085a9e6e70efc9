/*
 * kill -9 while appends, heads and table rows are being written, again and again on one store: whatever was acknowledged is there exactly
 * once and in order, whatever was not is there or not.
 *
 * A writer process tells by a pipe what was acknowledged; a checker process opens the store after it was killed. The test itself
 * stays without threads, so that it may fork.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "engine/local/local_test.h"
#include "runtime/random.h"

enum { WRITERS = 12, ROUNDS = 25, ROUNDS_LONG = 200, FOLD_EVERY = 40, ARENA_BYTES = 64 << 20, BODY_MAX = 20000, LIFE_MAX_MS = 250 };

struct shared {
    struct engine_local_options options;
    int pipe;
    unsigned acknowledged[WRITERS];      /* numbers up to this one were, and 0 was not written */
};

static struct id journal_of(unsigned writer)
{
    struct id i = {{0}};
    i.bytes[15] = (unsigned char)(writer + 1);
    return i;
}

/* ---- the writer ------------------------------------------------------------------------------------------- */

struct writer { struct shared *shared; struct engine *engine; unsigned writer; };

static void tell(struct shared *s, unsigned writer, unsigned number)
{
    unsigned message[2] = {writer, number};
    REQUIRE(write(s->pipe, message, sizeof message) == sizeof message);
}

/* The head counts what it has folded. */
MAY_YIELD static void fold(struct writer *w, struct journal_position *at, unsigned number)
{
    char head[16];
    struct journal_position head_at;
    int len = snprintf(head, sizeof head, "%u", number);
    if (engine_replace_head(w->engine, journal_of(w->writer), at->epoch, at, view_make(head, (size_t)len), MILLIS_NEVER, &head_at, NULL) == OK)
        *at = head_at;
}

MAY_YIELD static void count_in_table(struct writer *w, unsigned number)
{
    char key[16], value[16];
    int key_len = snprintf(key, sizeof key, "writer %u", w->writer), len = snprintf(value, sizeof value, "%u", number);
    struct table_change change = {.key = view_make(key, (size_t)key_len), .value = view_make(value, (size_t)len)};
    REQUIRE(table_batch(w->engine, VIEW("counts"), w->writer % 4, &change, 1, MILLIS_NEVER, NULL, NULL) == OK);
}

static void write_for_ever(void *argument)
{
    colour_pretend_coroutine();
    struct writer *w = argument;
    static char body[BODY_MAX];
    struct arena *arena = arena_new(NULL, ARENA_BYTES);
    struct journal_page page = {0};
    struct journal_position at = {0};
    result code;
    while ((code = engine_read(w->engine, journal_of(w->writer), at.tail ? &at : NULL, MILLIS_NEVER, arena, &page, NULL)) == OK) {
        at = page.end;
        if (!page.more) break;
    }
    for (unsigned number = w->shared->acknowledged[w->writer] + 1;; number++) {
        char meta[16];
        int len = snprintf(meta, sizeof meta, "%u", number);
        struct journal_append a = {.journal = journal_of(w->writer), .meta = view_make(meta, (size_t)len),
                                   .body = view_make(body, random_below(BODY_MAX)), .only_if_at = w->writer % 2 ? &at : NULL};
        REQUIRE(engine_append(w->engine, &a, MILLIS_NEVER) == OK);
        tell(w->shared, w->writer, number);
        if (a.before_known) at = a.at;
        if (a.before_known && number % FOLD_EVERY == 0) fold(w, &at, number);
        if (number % 10 == 0) count_in_table(w, number);
    }
}

static void run_writers(void *argument)
{
    colour_pretend_coroutine();
    static struct writer writers[WRITERS];
    struct shared *s = argument;
    struct engine *e = test_open(&s->options);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){s, e, i};
        coroutine_spawn(loop_scope(loop_self()), "writer", write_for_ever, &writers[i]);
    }
    REQUIRE(coroutine_sleep(600000) == OK);
}

/* ---- the checker ------------------------------------------------------------------------------------------ */

/* Returns the last number that is there. */
MAY_YIELD static unsigned check_journal(struct shared *s, struct engine *e, unsigned writer)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ARENA_BYTES);
    buf body CLEANUP(buf_done) = BUF_INIT;
    struct journal_page page = {0};
    struct journal_position at = {0};
    uint64_t last = 0, number;
    result code = OK;
    do {
        code = engine_read(e, journal_of(writer), at.tail ? &at : NULL, MILLIS_NEVER, arena, &page, NULL);
        if (code == NOT_FOUND) break;
        REQUIRE(code == OK);
        if (page.has_head && page.head.len) REQUIRE(view_to_u64(page.head, &last));
        for (size_t i = 0; i < page.count; i++) {
            REQUIRE(view_to_u64(page.records[i].meta, &number));
            EXPECT_NUMBER(number, last + 1);
            last = number;
            buf_clear(&body);
            EXPECT(engine_read_body(e, journal_of(writer), &page.records[i], 0, page.records[i].body_bytes, MILLIS_NEVER, &body, NULL) == OK);
        }
        at = page.end;
    } while (page.more);
    if (last < s->acknowledged[writer]) test_fail(__FILE__, __LINE__, "writer %u: %u of %u are there", writer, (unsigned)last, s->acknowledged[writer]);
    EXPECT(last <= s->acknowledged[writer] + 1);
    return (unsigned)last;
}

MAY_YIELD static void check_count(struct engine *e, unsigned writer, unsigned last)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ARENA_BYTES);
    char key[16];
    view value;
    uint64_t number = 0;
    int len = snprintf(key, sizeof key, "writer %u", writer);
    result code = table_get(e, VIEW("counts"), writer % 4, view_make(key, (size_t)len), MILLIS_NEVER, arena, &value, NULL);
    if (code == OK) REQUIRE(view_to_u64(value, &number));
    EXPECT(number <= last && number + 20 >= last);
}

static void complain(void *argument, view what) { test_fail(__FILE__, __LINE__, VIEW_FMT, VIEW_ARG(what)); }

static void run_checker(void *argument)
{
    colour_pretend_coroutine();
    struct shared *s = argument;
    struct engine *e = test_open(&s->options);
    for (unsigned i = 0; i < WRITERS; i++) {
        unsigned last = check_journal(s, e, i);
        check_count(e, i, last);
        tell(s, i, last);
    }
    EXPECT(engine_verify(e, complain, NULL, NULL) == OK);
    engine_close(e);
}

/* ---- the test --------------------------------------------------------------------------------------------- */

static pid_t start(struct shared *s, void (*run)(void *argument), int *ret_pipe)
{
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        s->pipe = ends[1];
        test_run(run, s);
        test_stop();
    }
    close(ends[1]);
    *ret_pipe = ends[0];
    return child;
}

static void listen(struct shared *s, int pipe, unsigned *ret_messages)
{
    unsigned message[2];
    *ret_messages = 0;
    while (read(pipe, message, sizeof message) == sizeof message) {
        REQUIRE(message[0] < WRITERS);
        s->acknowledged[message[0]] = message[1];
        ++*ret_messages;
    }
    close(pipe);
}

/* Some time after its first append was acknowledged. */
static void kill_writers(struct shared *s, pid_t child, int pipe, unsigned life_ms, unsigned *ret_messages)
{
    unsigned message[2];
    REQUIRE(read(pipe, message, sizeof message) == sizeof message);
    s->acknowledged[message[0]] = message[1];
    pid_t killer = fork();
    if (killer == 0) {
        usleep(life_ms * 1000);
        kill(child, SIGKILL);
        _exit(0);
    }
    listen(s, pipe, ret_messages);
    waitpid(killer, NULL, 0);
}

TEST_SLOW(local_keeps_what_it_acknowledged_over_kill_9, 600)
{
    static struct shared s;
    char folder[LOCAL_TEST_FOLDER_BYTES];
    unsigned rounds = getenv("TAYORI_CHECK_LONG") && *getenv("TAYORI_CHECK_LONG") ? ROUNDS_LONG : ROUNDS, total = 0;
    s.options = test_options(test_make_folder(folder), true);
    for (unsigned round = 0; round < rounds; round++) {
        int pipe, status;
        unsigned messages;
        pid_t child = start(&s, run_writers, &pipe);
        kill_writers(&s, child, pipe, (round * 37 + 11) % LIFE_MAX_MS, &messages);
        total += messages;
        REQUIRE(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        child = start(&s, run_checker, &pipe);
        listen(&s, pipe, &messages);
        REQUIRE(waitpid(child, &status, 0) == child);
        if (status != 0) test_fail(__FILE__, __LINE__, "round %u", round);
        REQUIRE(status == 0);
    }
    printf("# %u appends acknowledged over %u kills\n", total, rounds);
    test_remove_folder(folder);
}
