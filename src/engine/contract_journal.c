/* The contract of journals. */
#include "engine/contract.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/test.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/random.h"

enum { SOON_MS = 30000, ARENA_BYTES = 64 << 20, MANY = 2500 };

/* ---- for all cases ------------------------------------------------------------------------------------- */

millis contract_soon(void) { return clock_in(SOON_MS); }

struct journal_append contract_append(struct contract *c, struct id journal, view meta, view body)
{
    struct fault fault = {0};
    struct journal_append a = {.journal = journal, .meta = meta, .body = body, .fault = &fault};
    result code = engine_append(c->engine, &a, contract_soon());
    if (code != OK) test_fail(__FILE__, __LINE__, "append: %s: %s", result_name(code), fault.detail);
    REQUIRE(code == OK && a.code == OK);
    return a;
}

struct journal_record *contract_read_all(struct contract *c, struct id journal, const struct journal_position *from, struct arena *arena, size_t *ret_count)
{
    struct journal_record *records = NULL;
    struct journal_position at = from ? *from : (struct journal_position){0};
    struct journal_page page;
    size_t count = 0;
    do {
        struct fault fault = {0};
        result code = engine_read(c->engine, journal, from || count ? &at : NULL, contract_soon(), arena, &page, &fault);
        if (code != OK) test_fail(__FILE__, __LINE__, "read: %s: %s", result_name(code), fault.detail);
        REQUIRE(code == OK);
        REQUIRE(!page.has_head || count == 0);
        REQUIRE(page.count > 0 || !page.more);
        struct journal_record *more = arena_array(arena, struct journal_record, count + page.count + 1);
        if (count) memcpy(more, records, count * sizeof *more);
        if (page.count) memcpy(more + count, page.records, page.count * sizeof *more);
        records = more;
        count += page.count;
        at = page.end;
    } while (page.more);
    *ret_count = count;
    return records;
}

struct runner {
    struct loop *home;
    void (*run)(void *argument);
    void *argument;
    size_t left;
    struct completion all_ended;
    struct task task;
};

struct errand {
    struct runner *runner;
    struct loop *where;
};

static void run_errand_there(void *argument)
{
    struct runner *r = argument;
    r->run(r->argument);
}

static void run_errand(void *argument)
{
    colour_pretend_coroutine();
    struct errand e = *(struct errand *)argument;
    free(argument);
    loop_run_on(e.where, "contract errand", run_errand_there, e.runner);
    if (--e.runner->left == 0) completion_set(&e.runner->all_ended, OK);
}

void contract_run_many(size_t count, void (*run)(void *argument), void *argument)
{
    struct loops *all = loop_family(loop_self());
    struct scope scope;
    struct runner r = {.home = loop_self(), .run = run, .argument = argument, .left = count};
    scope_init(&scope, NULL);
    completion_init(&r.all_ended);
    for (size_t i = 0; i < count; i++) {
        struct errand *e = malloc(sizeof *e);
        *e = (struct errand){&r, loops_at(all, (unsigned)i % loops_count(all))};
        coroutine_spawn(&scope, "contract errand", run_errand, e);
    }
    (void)completion_wait(&r.all_ended);
    scope_join(&scope);
    scope_unlink(&scope);
}

static struct arena *new_arena(void) { return arena_new(NULL, ARENA_BYTES); }
#define WITH_ARENA struct arena *arena CLEANUP(arena_freep) = new_arena()

static view numbered(char text[static 32], const char *word, size_t number)
{
    return view_make(text, (size_t)snprintf(text, 32, "%s %zu", word, number));
}

static view body_of(struct contract *c, struct id journal, const struct journal_record *record, buf *into)
{
    colour_pretend_coroutine();
    struct fault fault = {0};
    buf_clear(into);
    EXPECT(engine_read_body(c->engine, journal, record, 0, record->body_bytes, contract_soon(), into, &fault) == OK);
    return buf_view(into);
}

/* ---- records ------------------------------------------------------------------------------------------- */

void contract_journal_comes_into_being_with_its_first_record(struct contract *c)
{
    WITH_ARENA;
    struct id journal = random_id();
    struct journal_page page = {.count = 77};
    EXPECT(engine_read(c->engine, journal, NULL, contract_soon(), arena, &page, NULL) == NOT_FOUND);
    EXPECT(engine_read(c->engine, journal, &(struct journal_position){0}, contract_soon(), arena, &page, NULL) == NOT_FOUND);
    EXPECT_NUMBER(page.count, 77);
    contract_append(c, journal, VIEW("first"), VIEW_EMPTY);
    REQUIRE(engine_read(c->engine, journal, NULL, contract_soon(), arena, &page, NULL) == OK);
    EXPECT(page.has_head);
    EXPECT_NUMBER(page.head.len, 0);
    EXPECT(journal_position_equal(&page.head_at, &(struct journal_position){0}));
    EXPECT_NUMBER(page.count, 1);
    EXPECT(!page.more);
    EXPECT_VIEW(page.records[0].meta, VIEW("first"));
    EXPECT_NUMBER(page.records[0].body_bytes, 0);
    EXPECT(journal_position_equal(&page.end, &page.records[0].at));
    struct id other = random_id();
    EXPECT(engine_read(c->engine, other, NULL, contract_soon(), arena, &page, NULL) == NOT_FOUND);
}

void contract_journal_keeps_records_in_order_with_their_bodies(struct contract *c)
{
    WITH_ARENA;
    struct id journal = random_id();
    char meta[32], body[32];
    buf got CLEANUP(buf_done) = BUF_INIT;
    for (size_t i = 0; i < 50; i++) contract_append(c, journal, numbered(meta, "meta", i), i % 3 ? numbered(body, "a body\0with zero", i) : VIEW_EMPTY);
    size_t count;
    struct journal_record *records = contract_read_all(c, journal, NULL, arena, &count);
    REQUIRE(count == 50);
    for (size_t i = 0; i < 50; i++) {
        EXPECT_VIEW(records[i].meta, numbered(meta, "meta", i));
        EXPECT_VIEW(body_of(c, journal, &records[i], &got), i % 3 ? numbered(body, "a body\0with zero", i) : VIEW_EMPTY);
        for (size_t j = 0; j < i; j++) EXPECT(!journal_position_equal(&records[i].at, &records[j].at));
    }
}

void contract_journal_batch_keeps_its_order(struct contract *c)
{
    WITH_ARENA;
    enum { JOURNALS = 5, APPENDS = 100 };
    struct id journals[JOURNALS];
    struct journal_append *appends = arena_array(arena, struct journal_append, APPENDS), *list[APPENDS];
    for (size_t i = 0; i < JOURNALS; i++) journals[i] = random_id();
    for (size_t i = 0; i < APPENDS; i++) {
        appends[i] = (struct journal_append){.journal = journals[i % JOURNALS], .meta = arena_printf(arena, "%zu", i), .body = arena_printf(arena, "body %zu", i)};
        list[i] = &appends[i];
    }
    engine_append_all(c->engine, list, APPENDS, contract_soon());
    for (size_t i = 0; i < APPENDS; i++) EXPECT(appends[i].code == OK);
    for (size_t j = 0; j < JOURNALS; j++) {
        size_t count;
        struct journal_record *records = contract_read_all(c, journals[j], NULL, arena, &count);
        REQUIRE(count == APPENDS / JOURNALS);
        for (size_t i = 0; i < count; i++) EXPECT_VIEW(records[i].meta, arena_printf(arena, "%zu", i * JOURNALS + j));
    }
    engine_append_all(c->engine, list, 0, contract_soon());
}

/* ---- conditions ---------------------------------------------------------------------------------------- */

MAY_YIELD static result append_at(struct contract *c, struct id journal, const struct journal_position *at, struct journal_position *ret_after)
{
    struct journal_append a = {.journal = journal, .meta = VIEW("conditional"), .only_if_at = at};
    result code = engine_append(c->engine, &a, contract_soon());
    EXPECT(code == a.code);
    if (code == OK) {
        EXPECT(a.before_known);
        EXPECT(journal_position_equal(&a.before, at));
        *ret_after = a.at;
    }
    return code;
}

void contract_journal_append_on_condition_holds_or_conflicts(struct contract *c)
{
    WITH_ARENA;
    struct id journal = random_id();
    struct journal_position zero = {0}, first, second, ignored;
    EXPECT(append_at(c, journal, &zero, &first) == OK);
    EXPECT(append_at(c, journal, &zero, &ignored) == CONFLICT);
    EXPECT(append_at(c, journal, &first, &second) == OK);
    EXPECT(append_at(c, journal, &first, &ignored) == CONFLICT);
    contract_append(c, journal, VIEW("blind"), VIEW_EMPTY);
    EXPECT(append_at(c, journal, &second, &ignored) == CONFLICT);
    struct journal_page page;
    REQUIRE(engine_read(c->engine, journal, &second, contract_soon(), arena, &page, NULL) == OK);
    EXPECT_NUMBER(page.count, 1);
    EXPECT(append_at(c, journal, &page.end, &ignored) == OK);
    EXPECT(append_at(c, random_id(), &first, &ignored) == CONFLICT);
    size_t count;
    contract_read_all(c, journal, NULL, arena, &count);
    EXPECT_NUMBER(count, 4);
}

struct contest {
    struct contract *contract;
    struct id journal;
    _Atomic unsigned won;
};

static void contests(void *argument)
{
    colour_pretend_coroutine();
    struct contest *contest = argument;
    WITH_ARENA;
    for (unsigned mine = 0; mine < 5;) {
        struct journal_page page = {.more = true};
        struct journal_position at = {0}, after;
        result code = OK;
        while (code == OK && page.more) {
            code = engine_read(contest->contract->engine, contest->journal, &at, contract_soon(), arena, &page, NULL);
            EXPECT(code == OK || code == NOT_FOUND);
            if (code == OK) at = page.end;
        }
        code = append_at(contest->contract, contest->journal, &at, &after);
        EXPECT(code == OK || code == CONFLICT);
        if (code == OK) mine++, contest->won++;
        arena_reset(arena);
    }
}

void contract_journal_condition_lets_one_of_many_win(struct contract *c)
{
    WITH_ARENA;
    struct contest contest = {.contract = c, .journal = random_id()};
    contract_run_many(6, contests, &contest);
    size_t count;
    contract_read_all(c, contest.journal, NULL, arena, &count);
    EXPECT_NUMBER(count, contest.won);
    EXPECT_NUMBER(count, 30);
}

/* ---- reading on ---------------------------------------------------------------------------------------- */

void contract_journal_is_read_on_from_any_position(struct contract *c)
{
    WITH_ARENA;
    struct id journal = random_id();
    struct journal_page page;
    char meta[32];
    for (size_t i = 0; i < 20; i++) contract_append(c, journal, numbered(meta, "meta", i), VIEW_EMPTY);
    size_t count;
    struct journal_record *records = contract_read_all(c, journal, NULL, arena, &count);
    REQUIRE(count == 20);
    for (size_t i = 0; i < 20; i++) {
        REQUIRE(engine_read(c->engine, journal, &records[i].at, contract_soon(), arena, &page, NULL) == OK);
        EXPECT(!page.has_head);
        REQUIRE(page.count == 19 - i || page.more);
        if (page.count) EXPECT_VIEW(page.records[0].meta, numbered(meta, "meta", i + 1));
    }
    EXPECT(journal_position_equal(&page.end, &records[19].at));
    contract_append(c, journal, VIEW("late"), VIEW_EMPTY);
    REQUIRE(engine_read(c->engine, journal, &page.end, contract_soon(), arena, &page, NULL) == OK);
    REQUIRE(page.count == 1);
    EXPECT_VIEW(page.records[0].meta, VIEW("late"));
    EXPECT(engine_read(c->engine, journal, &(struct journal_position){0}, contract_soon(), arena, &page, NULL) == OK && page.count > 0);
}

void contract_journal_pages_end_at_their_limits(struct contract *c)
{
    WITH_ARENA;
    struct id journal = random_id(), large = random_id();
    struct journal_page page;
    size_t count;
    struct journal_append *appends = arena_array(arena, struct journal_append, MANY), **list = arena_array(arena, struct journal_append *, MANY);
    for (size_t i = 0; i < MANY; i++) {
        appends[i] = (struct journal_append){.journal = journal, .meta = arena_printf(arena, "%zu", i)};
        list[i] = &appends[i];
    }
    for (size_t i = 0; i < MANY; i += 500) engine_append_all(c->engine, list + i, 500, contract_soon());
    struct journal_record *records = contract_read_all(c, journal, NULL, arena, &count);
    REQUIRE(count == MANY);
    for (size_t i = 0; i < MANY; i++) EXPECT_VIEW(records[i].meta, arena_printf(arena, "%zu", i));
    REQUIRE(engine_read(c->engine, journal, NULL, contract_soon(), arena, &page, NULL) == OK);
    EXPECT(page.count <= ENGINE_PAGE_RECORDS);
    EXPECT(page.more);

    view meta = arena_printf(arena, "%*d", 400 * 1024, 1);
    for (int i = 0; i < 5; i++) contract_append(c, large, meta, VIEW_EMPTY);
    REQUIRE(engine_read(c->engine, large, NULL, contract_soon(), arena, &page, NULL) == OK);
    EXPECT(page.count >= 1 && page.count <= 3);
    EXPECT(page.more);
    records = contract_read_all(c, large, NULL, arena, &count);
    EXPECT_NUMBER(count, 5);
    for (size_t i = 0; i < count; i++) EXPECT(view_equal(records[i].meta, meta));
}

/* ---- bodies -------------------------------------------------------------------------------------------- */

void contract_journal_bodies_are_read_in_parts_and_many_at_once(struct contract *c)
{
    WITH_ARENA;
    enum { RECORDS = 30 };
    struct id journal = random_id();
    view bodies[RECORDS];
    struct journal_body_wanted *wanted = arena_array(arena, struct journal_body_wanted, RECORDS);
    buf texts[RECORDS];
    for (size_t i = 0; i < RECORDS; i++) {
        size_t len = i == 0 ? ENGINE_BODY_MAX_BYTES : i * 997;
        char *bytes = arena_array(arena, char, len + 1);
        random_bytes(bytes, len);
        bodies[i] = view_make(bytes, len);
        contract_append(c, journal, VIEW("x"), bodies[i]);
    }
    size_t count;
    struct journal_record *records = contract_read_all(c, journal, NULL, arena, &count);
    REQUIRE(count == RECORDS);
    buf got CLEANUP(buf_done) = BUF_INIT;
    buf_append(&got, VIEW("kept"));
    EXPECT(engine_read_body(c->engine, journal, &records[5], 100, 1000, contract_soon(), &got, NULL) == OK);
    EXPECT_NUMBER(got.len, 1004);
    EXPECT(view_starts(buf_view(&got), VIEW("kept")));
    EXPECT(view_equal(view_from(buf_view(&got), 4), view_slice(bodies[5], 100, 1000)));
    EXPECT(engine_read_body(c->engine, journal, &records[5], 0, records[5].body_bytes + 1, contract_soon(), &got, NULL) == INVALID);
    EXPECT(engine_read_body(c->engine, journal, &records[5], 1, UINT32_MAX, contract_soon(), &got, NULL) == INVALID);
    EXPECT_NUMBER(got.len, 1004);
    for (size_t i = 0; i < RECORDS; i++) {
        texts[i] = BUF_INIT;
        wanted[i] = (struct journal_body_wanted){.record = records[RECORDS - 1 - i], .into = &texts[i], .code = IO};
    }
    EXPECT(engine_read_bodies(c->engine, journal, wanted, RECORDS, contract_soon(), NULL) == OK);
    for (size_t i = 0; i < RECORDS; i++) {
        EXPECT(wanted[i].code == OK);
        EXPECT(view_equal(buf_view(&texts[i]), bodies[RECORDS - 1 - i]));
        buf_done(&texts[i]);
    }
}

void contract_journal_append_tells_where_its_record_is(struct contract *c)
{
    WITH_ARENA;
    struct id journal = random_id();
    uint64_t bytes = 0;
    buf got CLEANUP(buf_done) = BUF_INIT;
    for (unsigned i = 0; i < 10; i++) {
        view body = arena_printf(arena, "body %*u", (int)i * 10, i);
        struct journal_append a = contract_append(c, journal, VIEW("meta"), body);
        bytes += 4 + body.len;
        if (!a.before_known) continue;
        struct journal_record record = {.at = a.at, .body_offset = a.body_offset, .body_bytes = (uint32_t)body.len};
        EXPECT_VIEW(body_of(c, journal, &record, &got), body);
        EXPECT_NUMBER(a.journal_bytes, bytes);
        EXPECT_NUMBER(a.journal_records, i + 1);
        struct journal_page page;
        REQUIRE(engine_read(c->engine, journal, &a.before, contract_soon(), arena, &page, NULL) == OK);
        REQUIRE(page.count == 1);
        EXPECT(journal_position_equal(&page.records[0].at, &a.at));
        if (page.journal_bytes) EXPECT_NUMBER(page.journal_bytes, bytes);
    }
}

/* ---- heads --------------------------------------------------------------------------------------------- */

/* A journal of ten records with bodies. */
MAY_YIELD static struct journal_record *ten_records(struct contract *c, struct id journal, struct arena *arena)
{
    char meta[32], body[32];
    size_t count;
    for (size_t i = 0; i < 10; i++) contract_append(c, journal, numbered(meta, "meta", i), numbered(body, "body", i));
    struct journal_record *records = contract_read_all(c, journal, NULL, arena, &count);
    REQUIRE(count == 10);
    return records;
}

void contract_journal_head_takes_the_place_of_what_it_folded(struct contract *c)
{
    WITH_ARENA;
    struct id journal = random_id();
    struct journal_position head_at, after;
    struct journal_page page;
    struct journal_record *records = ten_records(c, journal, arena);
    buf got CLEANUP(buf_done) = BUF_INIT;
    REQUIRE(engine_replace_head(c->engine, journal, 0, &records[5].at, VIEW("head\0one"), contract_soon(), &head_at, NULL) == OK);
    REQUIRE(engine_read(c->engine, journal, NULL, contract_soon(), arena, &page, NULL) == OK);
    EXPECT(page.has_head);
    EXPECT_VIEW(page.head, VIEW("head\0one"));
    EXPECT(journal_position_equal(&page.head_at, &head_at));
    EXPECT_NUMBER(page.head_at.epoch, 1);
    REQUIRE(page.count == 4 && !page.more);
    char text[32];
    for (size_t i = 0; i < 4; i++) {
        EXPECT_VIEW(page.records[i].meta, numbered(text, "meta", i + 6));
        EXPECT_VIEW(body_of(c, journal, &page.records[i], &got), numbered(text, "body", i + 6));
        /* A reader that found the record before the replacement still gets its body. */
        EXPECT_VIEW(body_of(c, journal, &records[i + 6], &got), numbered(text, "body", i + 6));
    }
    if (page.journal_bytes) EXPECT_NUMBER(page.journal_bytes, 4 * 12);
    for (size_t i = 0; i <= 5; i++) EXPECT(engine_read_body(c->engine, journal, &records[i], 0, 6, contract_soon(), &got, NULL) == NOT_FOUND);
    EXPECT(append_at(c, journal, &records[9].at, &after) == CONFLICT);
    EXPECT(append_at(c, journal, &page.end, &after) == OK);
    struct journal_append a = contract_append(c, journal, VIEW("meta"), VIEW("body"));
    if (a.before_known) EXPECT_NUMBER(a.journal_records, 6);
    REQUIRE(engine_read(c->engine, journal, &head_at, contract_soon(), arena, &page, NULL) == OK);
    EXPECT(!page.has_head);
    EXPECT_NUMBER(page.count, 6);
}

void contract_journal_head_is_replaced_by_one_only(struct contract *c)
{
    WITH_ARENA;
    struct id journal = random_id();
    struct journal_position head_at, next_at = {0};
    struct journal_record *records = ten_records(c, journal, arena);
    REQUIRE(engine_replace_head(c->engine, journal, 0, &records[3].at, VIEW("one"), contract_soon(), &head_at, NULL) == OK);
    EXPECT(engine_replace_head(c->engine, journal, 0, &records[5].at, VIEW("two"), contract_soon(), &next_at, NULL) == CONFLICT);
    EXPECT(journal_position_equal(&next_at, &(struct journal_position){0}));
    EXPECT(engine_replace_head(c->engine, journal, 1, &records[5].at, VIEW("two"), contract_soon(), &next_at, NULL) == INVALID);
    EXPECT(engine_replace_head(c->engine, random_id(), 0, &(struct journal_position){0}, VIEW("two"), contract_soon(), &next_at, NULL) == CONFLICT);
    size_t count;
    records = contract_read_all(c, journal, NULL, arena, &count);
    REQUIRE(count == 6);
    EXPECT(engine_replace_head(c->engine, journal, 1, &records[2].at, VIEW("two"), contract_soon(), &next_at, NULL) == OK);
    EXPECT_NUMBER(next_at.epoch, 2);
    struct journal_page page;
    REQUIRE(engine_read(c->engine, journal, NULL, contract_soon(), arena, &page, NULL) == OK);
    EXPECT_VIEW(page.head, VIEW("two"));
    EXPECT_NUMBER(page.count, 3);
}

void contract_journal_head_may_fold_nothing_or_all(struct contract *c)
{
    WITH_ARENA;
    struct id journal = random_id();
    struct journal_position head_at, after;
    struct journal_page page;
    struct journal_record *records = ten_records(c, journal, arena);
    REQUIRE(engine_replace_head(c->engine, journal, 0, &records[9].at, VIEW("all"), contract_soon(), &head_at, NULL) == OK);
    REQUIRE(engine_read(c->engine, journal, NULL, contract_soon(), arena, &page, NULL) == OK);
    EXPECT(page.has_head && page.count == 0 && !page.more);
    EXPECT(journal_position_equal(&page.end, &head_at));
    REQUIRE(engine_replace_head(c->engine, journal, 1, &head_at, VIEW("nothing"), contract_soon(), &head_at, NULL) == OK);
    EXPECT(append_at(c, journal, &head_at, &after) == OK);
    REQUIRE(engine_read(c->engine, journal, NULL, contract_soon(), arena, &page, NULL) == OK);
    EXPECT_VIEW(page.head, VIEW("nothing"));
    EXPECT_NUMBER(page.count, 1);
    EXPECT(journal_position_equal(&page.end, &after));
}

void contract_journal_reader_of_a_former_epoch_gets_the_head(struct contract *c)
{
    WITH_ARENA;
    struct id journal = random_id();
    struct journal_position head_at;
    struct journal_page page;
    struct journal_record *records = ten_records(c, journal, arena);
    REQUIRE(engine_replace_head(c->engine, journal, 0, &records[4].at, VIEW("head"), contract_soon(), &head_at, NULL) == OK);
    for (size_t i = 0; i < 10; i++) {
        REQUIRE(engine_read(c->engine, journal, &records[i].at, contract_soon(), arena, &page, NULL) == OK);
        EXPECT(page.has_head);
        EXPECT_VIEW(page.head, VIEW("head"));
        EXPECT_NUMBER(page.count, 5);
    }
    REQUIRE(engine_read(c->engine, journal, &(struct journal_position){0}, contract_soon(), arena, &page, NULL) == OK);
    EXPECT(page.has_head);
}

struct overlap {
    struct contract *contract;
    struct id journal;
    _Atomic unsigned appended, replaced;
};

static void appends_or_replaces(void *argument)
{
    colour_pretend_coroutine();
    struct overlap *o = argument;
    WITH_ARENA;
    bool replaces = loop_index(loop_self()) == 0;
    for (int i = 0; i < 12; i++) {
        if (!replaces) {
            contract_append(o->contract, o->journal, VIEW("."), VIEW("body"));
            o->appended++;
            continue;
        }
        struct journal_page page;
        result code = engine_read(o->contract->engine, o->journal, NULL, contract_soon(), arena, &page, NULL);
        if (code == NOT_FOUND) continue;
        REQUIRE(code == OK);
        /* The head counts what it has swallowed. */
        uint64_t folded = 0;
        if (page.head.len) EXPECT(view_to_u64(page.head, &folded));
        view head = arena_printf(arena, "%" PRIu64, folded + page.count);
        code = engine_replace_head(o->contract->engine, o->journal, page.head_at.epoch, &page.end, head, contract_soon(), NULL, NULL);
        EXPECT(code == OK || code == CONFLICT);
        o->replaced += code == OK;
        arena_reset(arena);
    }
}

void contract_journal_appends_during_a_replacement_are_kept(struct contract *c)
{
    WITH_ARENA;
    struct overlap o = {.contract = c, .journal = random_id()};
    contract_run_many(8, appends_or_replaces, &o);
    struct journal_page page;
    uint64_t folded = 0;
    REQUIRE(engine_read(c->engine, o.journal, NULL, contract_soon(), arena, &page, NULL) == OK);
    if (page.head.len) EXPECT(view_to_u64(page.head, &folded));
    size_t count;
    contract_read_all(c, o.journal, &page.head_at, arena, &count);
    EXPECT_NUMBER(folded + count, o.appended);
}

/* ---- journals as a whole ------------------------------------------------------------------------------- */

void contract_journal_is_removed_with_all_it_had(struct contract *c)
{
    WITH_ARENA;
    struct id journal = random_id();
    struct journal_position ignored;
    struct journal_page page;
    buf got CLEANUP(buf_done) = BUF_INIT;
    struct journal_record *records = ten_records(c, journal, arena);
    EXPECT(engine_remove_journal(c->engine, journal, contract_soon(), NULL) == OK);
    EXPECT(engine_remove_journal(c->engine, journal, contract_soon(), NULL) == OK);
    EXPECT(engine_read(c->engine, journal, NULL, contract_soon(), arena, &page, NULL) == NOT_FOUND);
    EXPECT(engine_read_body(c->engine, journal, &records[0], 0, 6, contract_soon(), &got, NULL) == NOT_FOUND);
    EXPECT(append_at(c, journal, &records[9].at, &ignored) == CONFLICT);
    contract_append(c, journal, VIEW("again"), VIEW_EMPTY);
    REQUIRE(engine_read(c->engine, journal, NULL, contract_soon(), arena, &page, NULL) == OK);
    EXPECT_NUMBER(page.count, 1);
    EXPECT_NUMBER(page.head.len, 0);
}

void contract_journal_list_is_whole_and_in_parts(struct contract *c)
{
    enum { JOURNALS = 25 };
    struct id made[JOURNALS], listed[JOURNALS + 5], after = ID_NONE;
    size_t count, total = 0;
    EXPECT(engine_list_journals(c->engine, NULL, 10, contract_soon(), listed, &count, NULL) == OK && count == 0);
    for (size_t i = 0; i < JOURNALS; i++) {
        made[i] = random_id();
        contract_append(c, made[i], VIEW("x"), VIEW("y"));
    }
    do {
        REQUIRE(engine_list_journals(c->engine, total ? &after : NULL, 7, contract_soon(), listed + total, &count, NULL) == OK);
        REQUIRE(count <= 7 && total + count <= JOURNALS);
        total += count;
        if (count) after = listed[total - 1];
    } while (count > 0);
    EXPECT_NUMBER(total, JOURNALS);
    for (size_t i = 0; i < JOURNALS; i++) {
        size_t found = 0;
        for (size_t j = 0; j < total; j++) found += id_equal(made[i], listed[j]);
        EXPECT_NUMBER(found, 1);
    }
}

void contract_journal_sizes_are_limited(struct contract *c)
{
    struct arena *arena CLEANUP(arena_freep) = new_arena();
    struct id journal = random_id();
    char *zeroes = arena_array(arena, char, ENGINE_META_MAX_BYTES + 1);
    struct journal_append a = {.journal = journal, .meta = view_make(zeroes, ENGINE_META_MAX_BYTES + 1)};
    EXPECT(engine_append(c->engine, &a, contract_soon()) == TOO_BIG);
    a.meta = VIEW("x");
    a.body = view_make(zeroes, ENGINE_BODY_MAX_BYTES + 1);
    EXPECT(engine_append(c->engine, &a, contract_soon()) == TOO_BIG);
    a.body = VIEW_EMPTY;
    a.meta = VIEW_EMPTY;
    EXPECT(engine_append(c->engine, &a, contract_soon()) == INVALID);
    struct journal_page page;
    EXPECT(engine_read(c->engine, journal, NULL, contract_soon(), arena, &page, NULL) == NOT_FOUND);
    contract_append(c, journal, view_make(zeroes, ENGINE_META_MAX_BYTES), view_make(zeroes, ENGINE_BODY_MAX_BYTES));
    REQUIRE(engine_read(c->engine, journal, NULL, contract_soon(), arena, &page, NULL) == OK);
    EXPECT_NUMBER(page.records[0].meta.len, ENGINE_META_MAX_BYTES);
    EXPECT_NUMBER(page.records[0].body_bytes, ENGINE_BODY_MAX_BYTES);
    struct journal_position at = page.end;
    EXPECT(engine_replace_head(c->engine, journal, 0, &at, view_make(zeroes, ENGINE_HEAD_MAX_BYTES + 1), contract_soon(), &at, NULL) == TOO_BIG);
    EXPECT(engine_replace_head(c->engine, journal, 0, &at, VIEW_EMPTY, contract_soon(), &at, NULL) == INVALID);
    EXPECT(engine_replace_head(c->engine, journal, 0, &at, view_make(zeroes, ENGINE_HEAD_MAX_BYTES), contract_soon(), &at, NULL) == OK);
}

/* ---- loops --------------------------------------------------------------------------------------------- */

struct crowd {
    struct contract *contract;
    struct id journal;
    _Atomic unsigned next_member;
};

enum { CROWD = 10, CROWD_APPENDS = 20 };

static void appends_own_numbers(void *argument)
{
    colour_pretend_coroutine();
    struct crowd *crowd = argument;
    unsigned member = crowd->next_member++;
    char meta[32];
    for (unsigned i = 0; i < CROWD_APPENDS; i++) {
        int len = snprintf(meta, sizeof meta, "%u %u", member, i);
        contract_append(crowd->contract, crowd->journal, view_make(meta, (size_t)len), VIEW("body"));
    }
}

void contract_journal_takes_appends_from_several_loops(struct contract *c)
{
    WITH_ARENA;
    struct crowd crowd = {.contract = c, .journal = random_id()};
    contract_run_many(CROWD, appends_own_numbers, &crowd);
    unsigned next[CROWD] = {0};
    size_t count;
    struct journal_record *records = contract_read_all(c, crowd.journal, NULL, arena, &count);
    EXPECT_NUMBER(count, CROWD * CROWD_APPENDS);
    for (size_t i = 0; i < count; i++) {
        view member_text, rest = records[i].meta;
        uint64_t member, number;
        view_cut(&rest, ' ', &member_text);
        REQUIRE(view_to_u64(member_text, &member) && view_to_u64(rest, &number) && member < CROWD);
        EXPECT_NUMBER(number, next[member]);
        next[member]++;
    }
}

struct started {
    struct loop *loop;
    unsigned told;
    struct waitlist all_told;
};

enum { STARTED = 60 };

static void count_started(struct journal_append *a, void *argument)
{
    struct started *s = argument;
    EXPECT(loop_self() == s->loop);
    EXPECT(!coroutine_is_running());
    EXPECT(a->code == OK || a->code == TOO_BIG);
    if (++s->told == STARTED) waitlist_wake_all(&s->all_told);
}

void contract_journal_appends_are_told_on_the_loop_that_started_them(struct contract *c)
{
    WITH_ARENA;
    struct id journal = random_id();
    struct started started = {.loop = loop_self()};
    struct journal_append *appends = arena_array(arena, struct journal_append, STARTED);
    char *zeroes = arena_array(arena, char, ENGINE_BODY_MAX_BYTES + 1);
    waitlist_init(&started.all_told);
    for (size_t i = 0; i < STARTED; i++) {
        appends[i] = (struct journal_append){.journal = journal, .meta = arena_printf(arena, "%zu", i)};
        if (i == 30) appends[i].body = view_make(zeroes, ENGINE_BODY_MAX_BYTES + 1);
        engine_append_start(c->engine, &appends[i], contract_soon(), count_started, &started);
    }
    EXPECT_NUMBER(started.told, 0);
    while (started.told < STARTED) waitlist_wait_shielded(&started.all_told);
    size_t count;
    struct journal_record *records = contract_read_all(c, journal, NULL, arena, &count);
    REQUIRE(count == STARTED - 1);
    for (size_t i = 0; i < count; i++) EXPECT_VIEW(records[i].meta, arena_printf(arena, "%zu", i < 30 ? i : i + 1));
    EXPECT(appends[30].code == TOO_BIG);
}

/* ---- time ---------------------------------------------------------------------------------------------- */

void contract_journal_outlives_its_engine(struct contract *c)
{
    WITH_ARENA;
    struct id journal = random_id();
    struct journal_position head_at;
    struct journal_page page;
    buf got CLEANUP(buf_done) = BUF_INIT;
    struct journal_record *records = ten_records(c, journal, arena);
    REQUIRE(engine_replace_head(c->engine, journal, 0, &records[5].at, VIEW("head"), contract_soon(), &head_at, NULL) == OK);
    struct journal_append last = contract_append(c, journal, VIEW("last"), VIEW("its body"));
    c->reopen(c);
    REQUIRE(engine_read(c->engine, journal, NULL, contract_soon(), arena, &page, NULL) == OK);
    EXPECT_VIEW(page.head, VIEW("head"));
    EXPECT(journal_position_equal(&page.head_at, &head_at));
    REQUIRE(page.count == 5);
    EXPECT_VIEW(page.records[0].meta, VIEW("meta 6"));
    EXPECT_VIEW(body_of(c, journal, &page.records[4], &got), VIEW("its body"));
    if (last.before_known) EXPECT(journal_position_equal(&page.end, &last.at));
    EXPECT(append_at(c, journal, &page.end, &head_at) == OK);
    struct journal_append next = contract_append(c, journal, VIEW("next"), VIEW_EMPTY);
    if (next.before_known) EXPECT_NUMBER(next.journal_records, 7);
}

/* Done, not done, or not known: but then, soon, one or the other for good. */
void contract_journal_deadline_in_the_past_leaves_no_doubt_for_long(struct contract *c)
{
    WITH_ARENA;
    struct id journal = random_id();
    struct journal_page page = {0};
    contract_append(c, journal, VIEW("there"), VIEW_EMPTY);
    millis past = {clock_now().ms - 1};
    result code = engine_read(c->engine, journal, NULL, past, arena, &page, NULL);
    EXPECT(code == OK || code == TIMEOUT);
    struct journal_append a = {.journal = journal, .meta = VIEW("late")};
    code = engine_append(c->engine, &a, past);
    EXPECT(code == OK || code == UNKNOWN_OUTCOME || code == TIMEOUT);
    size_t count;
    contract_read_all(c, journal, NULL, arena, &count);
    EXPECT(count == 1 || count == 2);
    if (code == OK) EXPECT_NUMBER(count, 2);
    if (code == TIMEOUT) EXPECT_NUMBER(count, 1);
}
