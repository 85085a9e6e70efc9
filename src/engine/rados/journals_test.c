/* Journals of the rados engine beyond the contract: what stands in the cluster, and what happens at its limits. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/contract.h"
#include "engine/rados/journal_private.h"
#include "engine/rados/rados_test.h"
#include "runtime/event_hook.h"
#include "runtime/random.h"

enum { ARENA_BYTES = 64 << 20, BIG_BODY = ENGINE_BODY_MAX_BYTES };

struct fixture {
    struct contract contract;            /* first: its helpers serve here too */
    struct engine_rados_options options;
    struct arena *arena;
    struct id journal;
    void (*run)(struct fixture *f);
};

static void run_there(void *argument)
{
    colour_pretend_coroutine();
    struct fixture *f = argument;
    f->contract.engine = test_open(&f->options);
    f->arena = arena_new(NULL, ARENA_BYTES);
    f->journal = random_id();
    f->run(f);
    arena_free(f->arena);
    engine_close(f->contract.engine);
}

static void run_fixture(void (*run)(struct fixture *f), uint64_t operations_max)
{
    char name[RADOS_TEST_NAME_BYTES];
    struct fixture f = {.options = test_store(name), .run = run};
    f.options.flight_operations_max = operations_max;
    test_run(run_there, &f);
}

#define JOURNALS_TEST(name)                          \
    MAY_YIELD static void name(struct fixture *f);   \
    TEST_SLOW(rados_##name, 120) { run_fixture(name, 0); } \
    static void name(struct fixture *f)

/* ---- what tests do behind the engine's back --------------------------------------------------------------- */

static rados_ioctx_t raw(struct fixture *f)
{
    uint64_t generation;
    return client_io(rados_of(f->contract.engine)->client, SPACE_JOURNALS, &generation);
}

static uint64_t object_bytes(struct fixture *f)
{
    struct journal_name name = journal_name(f->journal);
    uint64_t bytes = 0;
    rados_ioctx_t io = raw(f);
    EXPECT(rados_stat(io, name.text, &bytes, NULL) == 0);
    client_io_done(rados_of(f->contract.engine)->client, io);
    return bytes;
}

static void overwrite(struct fixture *f, uint64_t offset, view bytes)
{
    struct journal_name name = journal_name(f->journal);
    rados_ioctx_t io = raw(f);
    EXPECT(rados_write(io, name.text, bytes.at, bytes.len, offset) == 0);
    client_io_done(rados_of(f->contract.engine)->client, io);
}

static void cut(struct fixture *f, uint64_t bytes)
{
    struct journal_name name = journal_name(f->journal);
    rados_ioctx_t io = raw(f);
    EXPECT(rados_trunc(io, name.text, bytes) == 0);
    client_io_done(rados_of(f->contract.engine)->client, io);
}

static void set_attribute(struct fixture *f, const char *name, uint64_t number)
{
    struct journal_name object = journal_name(f->journal);
    struct attribute a = attribute_of(number);
    rados_ioctx_t io = raw(f);
    EXPECT(rados_setxattr(io, object.text, name, a.bytes, a.len) == 0);
    client_io_done(rados_of(f->contract.engine)->client, io);
}

/* ---- and through it --------------------------------------------------------------------------------------- */

MAY_YIELD static struct journal_page read_page(struct fixture *f, struct engine *e, const struct journal_position *from)
{
    struct journal_page page = {0};
    struct fault fault = {0};
    result code = engine_read(e, f->journal, from, contract_soon(), f->arena, &page, &fault);
    if (code != OK) test_fail(__FILE__, __LINE__, "read: %s: %s", result_name(code), fault.detail);
    return page;
}

MAY_YIELD static void append_many(struct fixture *f, size_t count, view body)
{
    struct journal_append *appends = calloc(count, sizeof *appends), **list = calloc(count, sizeof *list);
    for (size_t i = 0; i < count; i++) {
        appends[i] = (struct journal_append){.journal = f->journal, .meta = VIEW("meta"), .body = body};
        list[i] = &appends[i];
    }
    engine_append_all(f->contract.engine, list, count, contract_soon());
    for (size_t i = 0; i < count; i++) EXPECT(appends[i].code == OK);
    free(appends);
    free(list);
}

MAY_YIELD static struct journal_position replace(struct fixture *f, uint64_t epoch, struct journal_position folded)
{
    struct journal_position at = {0};
    EXPECT(engine_replace_head(f->contract.engine, f->journal, epoch, &folded, VIEW("head"), contract_soon(), &at, NULL) == OK);
    return at;
}

MAY_YIELD static void expect_body(struct fixture *f, struct engine *e, const struct journal_record *r, view body, result want)
{
    buf got CLEANUP(buf_done) = BUF_INIT;
    result code = engine_read_body(e, f->journal, r, 0, r->body_bytes, contract_soon(), &got, NULL);
    EXPECT(code == want);
    if (want == OK) EXPECT_VIEW(buf_view(&got), body);
    buf_clear(&got);
    code = engine_read_body(e, f->journal, r, 1, r->body_bytes - 2, contract_soon(), &got, NULL);
    EXPECT(code == want);
    if (want == OK) EXPECT_VIEW(buf_view(&got), view_slice(body, 1, body.len - 2));
}

/* ---- how many operations ---------------------------------------------------------------------------------- */

struct counts { int64_t reads, writes; };
static struct counts counts_now(void)
{
    return (struct counts){metric_value(METRIC_RADOS_JOURNAL_READS) + metric_value(METRIC_RADOS_TABLE_READS) + metric_value(METRIC_RADOS_INDEX_READS) +
                               metric_value(METRIC_RADOS_SIGNAL_READS) + metric_value(METRIC_RADOS_OBJECT_READS),
                           metric_value(METRIC_RADOS_JOURNAL_WRITES) + metric_value(METRIC_RADOS_TABLE_WRITES) +
                               metric_value(METRIC_RADOS_INDEX_WRITES) + metric_value(METRIC_RADOS_SIGNAL_WRITES) + metric_value(METRIC_RADOS_OBJECT_WRITES)};
}

JOURNALS_TEST(journal_append_is_one_write_and_a_look_one_read)
{
    char *body = arena_array(f->arena, char, BIG_BODY);
    struct counts before = counts_now();
    for (int i = 0; i < 10; i++) contract_append(&f->contract, f->journal, VIEW("meta"), view_make(body, BIG_BODY));
    struct counts after = counts_now();
    EXPECT_NUMBER(after.writes - before.writes, 10);
    EXPECT_NUMBER(after.reads - before.reads, 0);
    struct journal_page page = read_page(f, f->contract.engine, NULL);
    while (page.more) page = read_page(f, f->contract.engine, &page.end);
    before = counts_now();
    struct journal_page none = read_page(f, f->contract.engine, &page.end);
    EXPECT_NUMBER(none.count, 0);
    struct journal_append a = {.journal = f->journal, .meta = VIEW("mine"), .only_if_at = &page.end};
    EXPECT(engine_append(f->contract.engine, &a, contract_soon()) == OK);
    after = counts_now();
    EXPECT_NUMBER(after.writes - before.writes, 1);
    EXPECT_NUMBER(after.reads - before.reads, 1);
}

/* Many at once go together, in their order; a conditional one behind them finds them before it. */
JOURNALS_TEST(journal_that_is_hot_takes_many_in_one_write)
{
    enum { RECORDS = 200 };
    struct journal_append *appends = arena_array(f->arena, struct journal_append, RECORDS);
    struct journal_append **list = arena_array(f->arena, struct journal_append *, RECORDS + 1);
    struct journal_append *conditional = &(struct journal_append){.journal = f->journal, .meta = VIEW("first"), .only_if_at = &(struct journal_position){0}};
    for (size_t i = 0; i < RECORDS; i++) {
        appends[i] = (struct journal_append){.journal = f->journal, .meta = arena_printf(f->arena, "%zu", i), .body = VIEW("body")};
        list[i + (i >= RECORDS / 2)] = &appends[i];
    }
    list[RECORDS / 2] = conditional;
    struct counts before = counts_now();
    int64_t records = metric_value(METRIC_RADOS_JOURNAL_RECORDS);
    engine_append_all(f->contract.engine, list, RECORDS + 1, contract_soon());
    EXPECT(counts_now().writes - before.writes <= 8);
    EXPECT_NUMBER(metric_value(METRIC_RADOS_JOURNAL_RECORDS) - records, RECORDS + 1);
    EXPECT(conditional->code == CONFLICT);
    size_t count;
    struct journal_record *got = contract_read_all(&f->contract, f->journal, NULL, f->arena, &count);
    REQUIRE(count == RECORDS);
    for (size_t i = 0; i < RECORDS; i++) {
        EXPECT_VIEW(got[i].meta, appends[i].meta);
        EXPECT(appends[i].code == OK);
    }
    expect_body(f, f->contract.engine, &got[150], VIEW("body"), OK);
}

/* ---- heads and space -------------------------------------------------------------------------------------- */

JOURNALS_TEST(journal_head_that_folds_all_leaves_an_empty_object)
{
    append_many(f, 20, VIEW("a body of some bytes"));
    struct journal_page page = read_page(f, f->contract.engine, NULL);
    EXPECT(object_bytes(f) > 0);
    struct journal_position at = replace(f, 0, page.end);
    EXPECT_NUMBER(object_bytes(f), 0);
    append_many(f, 3, VIEW("later"));
    struct engine *other = test_open(&f->options);
    /* Who has just opened the store, who knows the head, and who was of the epoch before. */
    EXPECT_NUMBER(read_page(f, other, NULL).count, 3);
    EXPECT_NUMBER(read_page(f, other, &at).count, 3);
    EXPECT_NUMBER(read_page(f, f->contract.engine, &at).count, 3);
    EXPECT(read_page(f, other, &page.end).has_head);
    expect_body(f, other, &page.records[3], VIEW_EMPTY, NOT_FOUND);
    at = replace(f, 1, at);
    EXPECT_NUMBER(read_page(f, other, &at).count, 3);
    engine_close(other);
}

JOURNALS_TEST(journal_shrinks_when_holes_have_made_it_large)
{
    char *bytes = arena_array(f->arena, char, BIG_BODY);
    random_bytes(bytes, BIG_BODY);
    for (int i = 0; i < 6; i++) append_many(f, 100, view_make(bytes, BIG_BODY));
    struct engine *other = test_open(&f->options);
    size_t count;
    struct journal_record *records = contract_read_all(&f->contract, f->journal, NULL, f->arena, &count);
    REQUIRE(count == 600);
    EXPECT_NUMBER(read_page(f, other, &records[590].at).count, 9);
    replace(f, 0, records[589].at);
    for (int i = 0; i < 200 && object_bytes(f) > 1 << 20; i++) EXPECT(coroutine_sleep(10) == OK);
    EXPECT(object_bytes(f) < 1 << 20);
    for (size_t i = 580; i < 600; i++) {
        expect_body(f, other, &records[i], view_make(bytes, BIG_BODY), i < 590 ? NOT_FOUND : OK);
        expect_body(f, f->contract.engine, &records[i], view_make(bytes, BIG_BODY), i < 590 ? NOT_FOUND : OK);
    }
    struct journal_page page = read_page(f, other, NULL);
    EXPECT_NUMBER(page.count, 10);
    EXPECT(journal_position_equal(&(struct journal_position){1, page.end.offset, page.end.tail}, &page.end));
    EXPECT_NUMBER(page.end.offset, records[599].at.offset);
    /* Who has not heard of it and knows the head still reads on from where it was. */
    bases_put(rados_of(other)->bases, f->journal, 0);
    struct journal_page rest = read_page(f, other, &page.records[3].at);
    EXPECT(!rest.has_head);
    EXPECT_NUMBER(rest.count, 6);
    struct journal_append a = {.journal = f->journal, .meta = VIEW("mine"), .only_if_at = &page.end};
    EXPECT(engine_append(other, &a, contract_soon()) == OK);
    EXPECT_NUMBER(read_page(f, f->contract.engine, &page.end).count, 1);
    engine_close(other);
}

/* An object ends at 128 MiB (osd_max_object_size). A hole stands for what was folded. */
JOURNALS_TEST(journal_at_the_limit_of_objects_refuses_and_shrinks)
{
    enum { LIMIT = 128 << 20 };
    contract_append(&f->contract, f->journal, VIEW("first"), VIEW_EMPTY);
    cut(f, LIMIT - 10);
    struct fault fault = {0};
    struct journal_append a = {.journal = f->journal, .meta = VIEW("more"), .body = VIEW("than fits"), .fault = &fault};
    EXPECT(engine_append(f->contract.engine, &a, contract_soon()) == UNAVAILABLE);
    EXPECT(strstr(fault.detail, "compacted") != NULL);
    replace(f, 0, (struct journal_position){0});
    set_attribute(f, "start", LIMIT - 10);
    EXPECT(engine_append(f->contract.engine, &a, contract_soon()) == UNAVAILABLE);
    for (int i = 0; i < 200 && a.code != OK; i++) {
        EXPECT(coroutine_sleep(10) == OK);
        (void)!engine_append(f->contract.engine, &a, contract_soon());
    }
    EXPECT(a.code == OK);
    EXPECT_NUMBER(read_page(f, f->contract.engine, NULL).count, 1);
    EXPECT(object_bytes(f) < 1000);
}

/* ---- what is not as it should be -------------------------------------------------------------------------- */

JOURNALS_TEST(journal_that_was_removed_and_made_again_is_another)
{
    append_many(f, 5, VIEW("a body"));
    struct journal_page old = read_page(f, f->contract.engine, NULL);
    EXPECT(engine_remove_journal(f->contract.engine, f->journal, contract_soon(), NULL) == OK);
    append_many(f, 9, VIEW("another body"));
    for (size_t i = 0; i < 5; i++) {
        struct journal_page page = read_page(f, f->contract.engine, &old.records[i].at);
        EXPECT(page.has_head);
        EXPECT_NUMBER(page.count, 9);
        expect_body(f, f->contract.engine, &old.records[i], VIEW_EMPTY, NOT_FOUND);
    }
}

JOURNALS_TEST(journal_damage_is_told_and_concerns_what_was_asked)
{
    append_many(f, 5, VIEW("a body"));
    struct journal_page page = read_page(f, f->contract.engine, NULL);
    uint64_t whole = object_bytes(f);
    struct fault fault = {0};
    /* A body: only who reads it is told. */
    overwrite(f, page.records[2].body_offset, VIEW("A"));
    EXPECT_NUMBER(read_page(f, f->contract.engine, NULL).count, 5);
    buf got CLEANUP(buf_done) = BUF_INIT;
    EXPECT(engine_read_body(f->contract.engine, f->journal, &page.records[2], 0, 6, contract_soon(), &got, &fault) == CORRUPT);
    EXPECT_NUMBER(got.len, 0);
    EXPECT(engine_read_body(f->contract.engine, f->journal, &page.records[1], 0, 6, contract_soon(), &got, &fault) == OK);
    /* A header: what stands before it can be read on from there. */
    overwrite(f, page.records[3].at.offset + 1, VIEW("?"));
    EXPECT(engine_read(f->contract.engine, f->journal, NULL, contract_soon(), f->arena, &page, &fault) == CORRUPT);
    EXPECT(strstr(fault.detail, "malformed") != NULL);
    overwrite(f, page.records[3].at.offset + 1, VIEW("J"));
    /* The end of the last one is missing. */
    cut(f, whole - 3);
    EXPECT(engine_read(f->contract.engine, f->journal, &page.records[3].at, contract_soon(), f->arena, &page, &fault) == CORRUPT);
    EXPECT(strstr(fault.detail, "cut off") != NULL);
    set_attribute(f, "epoch", 7);
    EXPECT(engine_read(f->contract.engine, f->journal, NULL, contract_soon(), f->arena, &page, &fault) == CORRUPT);
    EXPECT(strstr(fault.detail, "no head") != NULL);
}

/* ---- limits of time and number ---------------------------------------------------------------------------- */

enum { MANY = 400 };

/* Appends of their own number; then each number stands there as often as its code says. */
MAY_YIELD static size_t append_and_verify(struct fixture *f, millis deadline, result may_be, result may_be_too)
{
    struct journal_append *appends = arena_array(f->arena, struct journal_append, MANY);
    struct journal_append **list = arena_array(f->arena, struct journal_append *, MANY);
    unsigned *times = arena_array(f->arena, unsigned, MANY), ok = 0;
    for (size_t i = 0; i < MANY; i++) {
        appends[i] = (struct journal_append){.journal = f->journal, .meta = arena_printf(f->arena, "%zu", i)};
        list[i] = &appends[i];
    }
    engine_append_all(f->contract.engine, list, MANY, deadline);
    /* What is cancelled may still be on its way; a write behind it is not done before it. */
    contract_append(&f->contract, f->journal, VIEW("behind"), VIEW_EMPTY);
    size_t count;
    struct journal_record *records = contract_read_all(&f->contract, f->journal, NULL, f->arena, &count);
    for (size_t i = 0; i < count; i++) {
        uint64_t number;
        if (view_to_u64(records[i].meta, &number)) times[number]++;
    }
    for (size_t i = 0; i < MANY; i++) {
        result code = appends[i].code;
        EXPECT(code == OK || code == may_be || code == may_be_too);
        if (code == OK) EXPECT_NUMBER(times[i], 1);
        else if (code == UNKNOWN_OUTCOME) EXPECT(times[i] <= 1);
        else EXPECT_NUMBER(times[i], 0);
        ok += code == OK;
    }
    return ok;
}

JOURNALS_TEST(journal_deadlines_in_the_middle_leave_no_wrong_answer)
{
    int64_t late = metric_value(METRIC_RADOS_LATE);
    append_and_verify(f, clock_in(5), UNKNOWN_OUTCOME, TIMEOUT);
    EXPECT(metric_value(METRIC_RADOS_LATE) >= late);
}

MAY_YIELD static void takes_only_so_many(struct fixture *f)
{
    size_t ok = append_and_verify(f, contract_soon(), UNAVAILABLE, OK);
    EXPECT_NUMBER(ok, 16);
    EXPECT_NUMBER(metric_value(METRIC_RADOS_UNDER_WAY), 0);
    EXPECT_NUMBER(metric_value(METRIC_RADOS_UNDER_WAY_BYTES), 0);
}

TEST_SLOW(rados_journal_operations_under_way_are_limited, 60) { run_fixture(takes_only_so_many, 16); }

/* ---- fenced ----------------------------------------------------------------------------------------------- */

static void fence(struct fixture *f, struct engine *by)
{
    char *addresses, *address;
    rados_ioctx_t io = raw(f), other;
    uint64_t generation;
    REQUIRE(rados_getaddrs(rados_ioctx_get_cluster(io), &addresses) == 0);
    address = strdup(addresses);
    other = client_io(rados_of(by)->client, SPACE_JOURNALS, &generation);
    EXPECT(rados_blocklist_add(rados_ioctx_get_cluster(other), address, 3600) == 0);
    client_io_done(rados_of(by)->client, other);
    client_io_done(rados_of(f->contract.engine)->client, io);
    free(address);
    rados_buffer_free(addresses);
}

JOURNALS_TEST(journal_client_that_was_fenced_comes_back_as_a_new_one)
{
    struct client *c = rados_of(f->contract.engine)->client;
    struct engine *other = test_open(&f->options);
    uint64_t before = client_generation(c);
    unsigned acknowledged = 0, unknown = 0, refused = 0;
    for (unsigned i = 0; i < 300; i++) {
        if (i == 20) fence(f, other);
        struct journal_append a = {.journal = f->journal, .meta = arena_printf(f->arena, "%u", i)};
        result code = engine_append(f->contract.engine, &a, contract_soon());
        EXPECT(code == OK || code == UNKNOWN_OUTCOME || code == UNAVAILABLE);
        acknowledged += code == OK;
        unknown += code == UNKNOWN_OUTCOME;
        refused += code == UNAVAILABLE;
        if (code != OK) EXPECT(coroutine_sleep(20) == OK);
        if (i > 20 && code == OK && client_generation(c) > before && acknowledged > 60) break;
    }
    EXPECT_NUMBER(client_generation(c), before + 1);
    EXPECT(acknowledged > 60);
    EXPECT(unknown + refused > 0);
    size_t count;
    contract_read_all(&f->contract, f->journal, NULL, f->arena, &count);
    EXPECT(count >= acknowledged && count <= acknowledged + unknown);
    engine_close(other);
}
