#include "upkeep/round.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/event.h"
#include "runtime/random.h"

#define TABLE VIEW("rounds")

enum { ROW_ARENA_BYTES = 4 * ENGINE_VALUE_MAX_BYTES, TRIES_MAX = 20, PAUSE_MAX_MS = 50, STORE_MS = 15000 };

static const char *const names[ROUND_KINDS] = {[ROUND_TEND] = "tend", [ROUND_SCRUB] = "scrub"};
/* The numbers of a round, in the order of struct upkeep_tally. */
static const char *const numbers[] = {"accounts", "tended", "messages", "bytes", "objects", "garbage", "problems"};
_Static_assert(sizeof(struct upkeep_tally) == array_size(numbers) * sizeof(uint64_t), "a name for each number");

/* ---- JSON ---- */

static void json_done(json_t **object)
{
    json_decref(*object);
    *object = NULL;
}

static int64_t number_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void set(json_t *object, const char *key, json_t *value)
{
    int failed = json_object_set_new(object, key, value);
    check(value && failed == 0);
}

static void set_number(json_t *object, const char *key, int64_t number)
{
    set(object, key, json_integer(number));
}

static json_t *id_json(struct id id)
{
    char text[ID_TEXT_LEN + 1];
    view v = id_text(id, text);
    return json_stringn(v.at, v.len);
}

static bool read_id(const json_t *object, const char *key, struct id *ret_id)
{
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) && id_parse(view_make(json_string_value(value), json_string_length(value)), ret_id);
}

static json_t *claims_of(json_t *row)
{
    json_t *claims = json_object_get(row, "claims");
    if (json_is_array(claims)) return claims;
    set(row, "claims", json_array());
    return json_object_get(row, "claims");
}

/* ---- the row ---- */

struct round_row {
    json_t *json;                        /* NULL: there is none yet */
    view text;                           /* as it was read, in the arena */
};

MAY_YIELD static result read_row(struct engine *e, enum upkeep_round kind, millis deadline, struct arena *arena, struct round_row *ret_row, struct fault *fault)
{
    view key = view_of(names[kind]);
    struct round_row r = {0};
    result code = table_get(e, TABLE, table_shard_of(e, TABLE, key), key, deadline, arena, &r.text, fault);
    if (code != OK && code != NOT_FOUND) return code;
    if (code == OK) r.json = json_loadb(r.text.at, r.text.len, JSON_REJECT_DUPLICATES, NULL);
    else r.text = VIEW_EMPTY;
    if (code == OK && !json_is_object(r.json)) {
        json_decref(r.json);
        return fail(fault, CORRUPT, "table rounds, row %s is not an object", names[kind]);
    }
    *ret_row = r;
    return OK;
}

MAY_YIELD static result write_row(struct engine *e, enum upkeep_round kind, const struct round_row *r, millis deadline, struct fault *fault)
{
    view key = view_of(names[kind]);
    char *text = json_dumps(r->json, JSON_COMPACT);
    check(text);
    struct table_change change = {.key = key, .what = TABLE_PUT, .value = view_of(text), .condition = r->text.len ? TABLE_IF_VALUE : TABLE_IF_ABSENT,
                                  .expected = r->text};
    result code = table_batch(e, TABLE, table_shard_of(e, TABLE, key), &change, 1, deadline, NULL, fault);
    free(text);
    return code;
}

/* The first round of a store comes after a whole interval: there is nothing yet that it could find. */
static json_t *new_row(void)
{
    json_t *row = json_pack("{s:i, s:i, s:I, s:I}", "v", 1, "round", 0, "began", (json_int_t)clock_wall().ms, "ended", (json_int_t)clock_wall().ms);
    check(row);
    return row;
}

/* Reads, lets edit() change it, writes; again when another was faster. What edit() returns but OK ends it. It may be called several times. */
struct edit {
    result (*edit)(struct edit *e, json_t *row, struct fault *fault);
    void *argument;
    bool may_be_new;
};

MAY_YIELD static result edit_row(struct engine *e, enum upkeep_round kind, struct edit *edit, millis deadline, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ROW_ARENA_BYTES);
    result code = CONFLICT;
    for (unsigned i = 0; code == CONFLICT && i < TRIES_MAX; i++) {
        struct round_row row = {0};
        if (i > 0 && coroutine_sleep((int64_t)random_below(PAUSE_MAX_MS) + 1) != OK) return CANCELLED;
        arena_reset(arena);
        code = read_row(e, kind, deadline, arena, &row, fault);
        if (code == OK && !row.json && !edit->may_be_new) code = fail(fault, NOT_FOUND, "no maintenance has run on this store yet");
        if (code == OK && !row.json) row.json = new_row();
        if (code == OK) code = edit->edit(edit, row.json, fault);
        if (code == OK) code = write_row(e, kind, &row, deadline, fault);
        json_decref(row.json);
    }
    return code == CONFLICT ? fail(fault, BUSY, "other nodes are faster all the time") : code;
}

/* ---- beginning and ending ---- */

static void begin_round(json_t *row)
{
    for (size_t i = 0; i < array_size(numbers); i++) set_number(row, numbers[i], 0);
    set_number(row, "round", number_of(row, "round") + 1);
    set_number(row, "began", clock_wall().ms);
    set_number(row, "ended", 0);
    set(row, "damaged", json_array());
    set(row, "claims", json_array());
    json_object_del(row, "after");
    json_object_del(row, "start");
}

static void end_round(const struct round *r, json_t *row)
{
    json_t *previous = json_object();
    set_number(row, "ended", clock_wall().ms);
    for (size_t i = 0; i < array_size(numbers); i++) set_number(previous, numbers[i], number_of(row, numbers[i]));
    set_number(previous, "ended", number_of(row, "ended"));
    set(previous, "damaged", json_incref(json_object_get(row, "damaged")));
    set(row, "previous", previous);
}

static void tell_of_end(const struct round *r, const json_t *row)
{
    EVENT_EMIT(ROUND_ENDED, EVENT_TEXT("round", view_of(names[r->kind])), EVENT_NUMBER("accounts", number_of(row, "accounts")),
               EVENT_NUMBER("tended", number_of(row, "tended")), EVENT_NUMBER("messages", number_of(row, "messages")),
               EVENT_NUMBER("bytes", number_of(row, "bytes")), EVENT_NUMBER("problems", number_of(row, "problems")),
               EVENT_NUMBER("duration_s", (number_of(row, "ended") - number_of(row, "began")) / 1000));
}

static bool is_running(const json_t *row)
{
    return number_of(row, "round") > 0 && number_of(row, "ended") == 0;
}

static bool is_due(const struct round *r, const json_t *row)
{
    if (json_is_true(json_object_get(row, "start"))) return true;
    return r->every_ms > 0 && clock_wall().ms - number_of(row, "began") >= r->every_ms;
}

/* ---- pages ---- */

struct claim { uint64_t page; struct id after, last; };

/* The first claim whose owner has not been heard of; NULL: none. */
static json_t *abandoned_claim(json_t *row)
{
    size_t index;
    json_t *claim;
    int64_t now_ms = clock_wall().ms;
    json_array_foreach(claims_of(row), index, claim) {
        int64_t left_ms = number_of(claim, "until") - now_ms;
        if (left_ms <= 0 || left_ms > 2 * ROUND_CLAIM_MS) return claim;
    }
    return NULL;
}

static void fill_claim(json_t *claim, const struct round *r, uint64_t page)
{
    set(claim, "by", id_json(r->me));
    set_number(claim, "page", (int64_t)page);
    set_number(claim, "until", clock_wall().ms + ROUND_CLAIM_MS);
}

/* The accounts after `after`; those behind `last` are another page's. */
MAY_YIELD static result list_page(struct round *r, const json_t *from, bool has_last, struct round_page *page, struct fault *fault)
{
    struct id after, last;
    bool has_after = read_id(from, "after", &after);
    result code = engine_list_journals(r->engine, has_after ? &after : NULL, ROUND_PAGE_ACCOUNTS, clock_in(STORE_MS), page->ids, &page->count, fault);
    if (code != OK || !has_last || !read_id(from, "last", &last)) return code;
    for (size_t i = 0; i < page->count; i++)
        if (id_equal(page->ids[i], last)) page->count = i + 1;
    return OK;
}

MAY_YIELD static result take_abandoned(struct round *r, json_t *row, json_t *claim, struct round_page *page, struct fault *fault)
{
    result code = list_page(r, claim, true, page, fault);
    fill_claim(claim, r, page->number);
    return code;
}

MAY_YIELD static result take_next(struct round *r, json_t *row, struct round_page *page, struct fault *fault)
{
    result code = list_page(r, row, false, page, fault);
    if (code != OK || page->count == 0) return code;
    json_t *claim = json_object();
    fill_claim(claim, r, page->number);
    if (json_object_get(row, "after")) set(claim, "after", json_incref(json_object_get(row, "after")));
    set(claim, "last", id_json(page->ids[page->count - 1]));
    set(row, "after", id_json(page->ids[page->count - 1]));
    json_array_append_new(claims_of(row), claim);
    return OK;
}

/* One look at the row. CONFLICT: it has changed meanwhile. */
MAY_YIELD static result take_once(struct round *r, struct round_row *row, struct round_page *page, struct fault *fault)
{
    result code = OK;
    bool is_new = !row->json, ends = false;
    if (is_new) {
        row->json = new_row();
        return write_row(r->engine, r->kind, row, clock_in(STORE_MS), fault);
    }
    if (json_is_true(json_object_get(row->json, "paused"))) return OK;
    if (!is_running(row->json)) {
        if (!is_due(r, row->json)) return OK;
        begin_round(row->json);
    }
    page->number = random_u64() >> 12;       /* JSON's numbers are read by others as doubles */
    json_t *abandoned = abandoned_claim(row->json);
    code = abandoned ? take_abandoned(r, row->json, abandoned, page, fault) : take_next(r, row->json, page, fault);
    if (code != OK) return code;
    if (page->count == 0 && json_array_size(claims_of(row->json)) > 0 && !abandoned) return OK;      /* others are at the last pages */
    if (page->count == 0 && abandoned) {
        size_t index;
        json_t *claim;
        json_array_foreach(claims_of(row->json), index, claim)
            if (claim == abandoned) break;
        json_array_remove(claims_of(row->json), index);
    }
    ends = page->count == 0 && !abandoned;
    if (ends) end_round(r, row->json);
    code = write_row(r->engine, r->kind, row, clock_in(STORE_MS), fault);
    if (code == OK && ends) tell_of_end(r, row->json);
    return code;
}

result round_take(struct round *r, struct round_page *ret_page, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ROW_ARENA_BYTES);
    result code = CONFLICT;
    for (unsigned i = 0; code == CONFLICT && i < TRIES_MAX; i++) {
        struct round_row row = {0};
        if (i > 0 && coroutine_sleep((int64_t)random_below(PAUSE_MAX_MS) + 1) != OK) return CANCELLED;
        arena_reset(arena);
        ret_page->count = 0;
        code = read_row(r->engine, r->kind, clock_in(STORE_MS), arena, &row, fault);
        if (code == OK) code = take_once(r, &row, ret_page, fault);
        json_decref(row.json);
    }
    if (code == OK && ret_page->count == 0) code = END;
    return code;
}

/* ---- one's own page ---- */

struct page_edit {
    struct edit edit;
    struct round *round;
    const struct round_page *page;
    const struct round_tally *tally;
};

static bool find_claim(json_t *row, const struct round *r, const struct round_page *page, size_t *ret_index)
{
    size_t index;
    json_t *claim;
    struct id by;
    json_array_foreach(claims_of(row), index, claim) {
        if ((uint64_t)number_of(claim, "page") != page->number || !read_id(claim, "by", &by) || !id_equal(by, r->me)) continue;
        *ret_index = index;
        return true;
    }
    return false;
}

static result lost_page(struct fault *fault)
{
    return fail(fault, NOT_FOUND, "the page was given to another node");
}

static result hold_page(struct edit *e, json_t *row, struct fault *fault)
{
    struct page_edit *p = container_of(e, struct page_edit, edit);
    size_t index;
    if (!find_claim(row, p->round, p->page, &index)) return lost_page(fault);
    set_number(json_array_get(claims_of(row), index), "until", clock_wall().ms + ROUND_CLAIM_MS);
    return OK;
}

static result give_page(struct edit *e, json_t *row, struct fault *fault)
{
    struct page_edit *p = container_of(e, struct page_edit, edit);
    size_t index;
    if (!find_claim(row, p->round, p->page, &index)) return lost_page(fault);
    set_number(json_array_get(claims_of(row), index), "until", 0);
    return OK;
}

static void add_damaged(json_t *row, const struct round_tally *t)
{
    json_t *damaged = json_object_get(row, "damaged");
    for (size_t i = 0; json_is_array(damaged) && i < t->damaged_count && json_array_size(damaged) < ROUND_DAMAGED_MAX; i++) {
        json_t *one = json_object();
        set(one, "account", id_json(t->damaged[i].account));
        set_number(one, "problems", (int64_t)t->damaged[i].problems);
        json_array_append_new(damaged, one);
    }
}

static result finish_page(struct edit *e, json_t *row, struct fault *fault)
{
    struct page_edit *p = container_of(e, struct page_edit, edit);
    const struct round_tally *t = p->tally;
    const uint64_t amounts[] = {t->accounts, t->tended, t->messages, t->bytes, t->objects, t->garbage, t->problems};
    size_t index;
    if (!find_claim(row, p->round, p->page, &index)) return lost_page(fault);
    json_array_remove(claims_of(row), index);
    for (size_t i = 0; i < array_size(numbers); i++) set_number(row, numbers[i], number_of(row, numbers[i]) + (int64_t)amounts[i]);
    add_damaged(row, t);
    return OK;
}

MAY_YIELD static result edit_page(struct round *r, const struct round_page *page, const struct round_tally *tally,
                                  result (*edit)(struct edit *e, json_t *row, struct fault *fault), struct fault *fault)
{
    struct page_edit p = {.edit.edit = edit, .round = r, .page = page, .tally = tally};
    return edit_row(r->engine, r->kind, &p.edit, clock_in(STORE_MS), fault);
}

result round_hold(struct round *r, const struct round_page *page, struct fault *fault)
{
    return edit_page(r, page, NULL, hold_page, fault);
}

result round_finish(struct round *r, const struct round_page *page, const struct round_tally *tally, struct fault *fault)
{
    return edit_page(r, page, tally, finish_page, fault);
}

result round_give_back(struct round *r, const struct round_page *page, struct fault *fault)
{
    return edit_page(r, page, NULL, give_page, fault);
}

/* ---- asking and ordering ---- */

static void read_tally(const json_t *object, struct upkeep_tally *ret_tally)
{
    uint64_t amounts[array_size(numbers)];
    for (size_t i = 0; i < array_size(numbers); i++) amounts[i] = (uint64_t)number_of(object, numbers[i]);
    memcpy(ret_tally, amounts, sizeof amounts);
}

static void read_damaged(const json_t *object, struct arena *arena, struct upkeep_status *status)
{
    size_t index;
    json_t *one, *damaged = json_object_get(object, "damaged");
    status->damaged = arena_array(arena, struct upkeep_damage, json_array_size(damaged) + 1);
    status->damaged_count = 0;
    json_array_foreach(damaged, index, one) {
        struct upkeep_damage d = {.problems = (uint64_t)number_of(one, "problems")};
        if (read_id(one, "account", &d.account)) status->damaged[status->damaged_count++] = d;
    }
}

static unsigned count_nodes(const json_t *row)
{
    size_t index;
    json_t *claim;
    unsigned nodes = 0;
    json_array_foreach(json_object_get(row, "claims"), index, claim) nodes += number_of(claim, "until") > clock_wall().ms;
    return nodes;
}

result upkeep_read_status(struct engine *e, enum upkeep_round kind, millis deadline, struct arena *arena, struct upkeep_status *ret_status, struct fault *fault)
{
    struct round_row row;
    result code = read_row(e, kind, deadline, arena, &row, fault);
    if (code != OK) return code;
    if (!row.json) return fail(fault, NOT_FOUND, "no node with the maintenance role has run on this store yet");
    json_t *json CLEANUP(json_done) = row.json;
    const json_t *previous = json_object_get(json, "previous");
    *ret_status = (struct upkeep_status){
        .round = (uint64_t)number_of(json, "round"),
        .began = {number_of(json, "began")},
        .ended = {number_of(json, "ended")},
        .is_paused = json_is_true(json_object_get(json, "paused")),
        .nodes = count_nodes(json),
        .previous_ended = {number_of(previous, "ended")},
    };
    read_tally(json, &ret_status->now);
    read_tally(previous, &ret_status->previous);
    read_damaged(json, arena, ret_status);
    if (ret_status->damaged_count == 0) read_damaged(previous, arena, ret_status);
    return OK;
}

static result give_order(struct edit *e, json_t *row, struct fault *fault)
{
    const enum upkeep_order *order = e->argument;
    if (*order == UPKEEP_START && is_running(row)) return fail(fault, BUSY, "a round goes on");
    if (*order == UPKEEP_START) set(row, "start", json_true());
    else set(row, "paused", json_boolean(*order == UPKEEP_PAUSE));
    return OK;
}

result upkeep_order_round(struct engine *e, enum upkeep_round kind, enum upkeep_order order, millis deadline, struct fault *fault)
{
    struct edit edit = {.edit = give_order, .argument = &order, .may_be_new = true};
    return edit_row(e, kind, &edit, deadline, fault);
}
