#include "upkeep/upkeep.h"

#include <stdlib.h>

#include "base/check.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/event.h"
#include "runtime/random.h"
#include "upkeep/round.h"

enum {
    LOOK_MS_DEFAULT = 10000,
    ROUND_LOOKS = 5,                     /* at a row of rounds, to one at the notes: operators wait for their orders */
    STORE_MS = 15000,
    TEND_MS = 10 * 60000,                /* a compaction */
    SCRUB_MS = 24 * 3600 * 1000,         /* an account: at the pace that was set it may take long */
    HOLD_EVERY_MS = ROUND_CLAIM_MS / 5,
    NOTES_AT_ONCE = 256,                 /* of a shard, looked at in one go */
    TENDERS_MAX = 16,                    /* accounts that notes led to, at once */
    FOUND_EVENTS_MAX = 20,               /* of one account */
};

/* A coroutine for each kind of round, and one for the notes. */
struct walker {
    struct upkeep *upkeep;
    struct round round;
    struct round_page page;
    struct round_tally tally;
    bool holds_page, has_lost_page;
    millis second;                       /* the pace: what was done since then */
    uint64_t done_in_second;
};

struct upkeep {
    struct accounts *accounts;
    struct engine *engine;
    struct upkeep_options options;
    struct loop *loop;
    struct scope scope;
    struct id me;
    atomic_bool is_stopping;
    struct walker walkers[ROUND_KINDS];
    struct id noted[NOTES_AT_ONCE];
    size_t noted_count, noted_next;
};

static bool goes_on(const struct upkeep *u)
{
    return !atomic_load(&u->is_stopping);
}

/* A little more or less, so that nodes do not look all at once. */
MAY_YIELD static bool wait_for_next_look(const struct upkeep *u, int64_t ms)
{
    return goes_on(u) && coroutine_sleep(ms / 2 + (int64_t)random_below((uint64_t)ms + 1)) == OK;
}

/* ---- notes ---------------------------------------------------------------------------------------------- */

MAY_YIELD static void tend_noted(void *argument)
{
    struct upkeep *u = argument;
    while (goes_on(u) && u->noted_next < u->noted_count) {
        struct id id = u->noted[u->noted_next++];
        bool was_due = false;
        /* Its failure was told. What was not done stays noted. */
        if (accounts_tend(u->accounts, id, true, clock_in(TEND_MS), &was_due, NULL) == OK) metric_add(METRIC_UPKEEP_NOTES, 1);
    }
}

MAY_YIELD static void tend_all_noted(struct upkeep *u)
{
    struct scope tenders;
    scope_init(&tenders, &u->scope);
    u->noted_next = 0;
    for (size_t i = 1; i < u->noted_count && i < TENDERS_MAX; i++) coroutine_spawn(&tenders, "tend noted", tend_noted, u);
    tend_noted(u);
    scope_join(&tenders);
    scope_unlink(&tenders);
}

MAY_YIELD static void look_at_shard(struct upkeep *u, uint32_t shard)
{
    struct id after = ID_NONE;
    struct fault fault;
    for (bool more = true; more && goes_on(u);) {
        if (accounts_noted(u->accounts, shard, &after, NOTES_AT_ONCE, clock_in(STORE_MS), u->noted, &u->noted_count, &more, &fault) != OK) return;
        if (u->noted_count > 0) tend_all_noted(u);
    }
}

/* Several nodes begin at different shards, and so seldom want the same note. */
static void follow_notes(void *argument)
{
    colour_pretend_coroutine();
    struct upkeep *u = argument;
    uint32_t shards = accounts_note_shards(u->accounts);
    while (shards > 0 && wait_for_next_look(u, u->options.look_ms)) {
        uint32_t first = (uint32_t)random_below(shards);
        for (uint32_t i = 0; i < shards && goes_on(u); i++) look_at_shard(u, (first + i) % shards);
    }
}

/* ---- rounds --------------------------------------------------------------------------------------------- */

static void hold_pages(void *argument)
{
    colour_pretend_coroutine();
    struct walker *w = argument;
    struct fault fault;
    while (goes_on(w->upkeep) && coroutine_sleep(HOLD_EVERY_MS) == OK)
        if (w->holds_page && round_hold(&w->round, &w->page, &fault) == NOT_FOUND) w->has_lost_page = true;
}

struct finding { struct id account; uint64_t told; };

static void tell_finding(void *argument, view what)
{
    struct finding *f = argument;
    if (f->told++ < FOUND_EVENTS_MAX) EVENT_EMIT(SCRUB_FOUND, EVENT_ID("account", f->account), EVENT_TEXT("problem", what));
}

MAY_YIELD static result scrub_account(struct walker *w, struct id id)
{
    struct upkeep *u = w->upkeep;
    struct round_tally *t = &w->tally;
    struct finding finding = {.account = id};
    struct fault fault = {0};
    struct account_verify v = {.found = tell_finding, .argument = &finding, .bytes_per_second = u->options.scrub_bytes_per_second, .is_stopped = &u->is_stopping};
    result code = accounts_scrub(u->accounts, id, &v, clock_in(SCRUB_MS), &fault);
    if (code == CANCELLED) return code;
    if (code == CORRUPT && v.problems == 0) {
        v.problems = 1;
        tell_finding(&finding, view_of(fault.detail));
    } else if (code != OK && code != NOT_FOUND && v.problems == 0) {
        EVENT_EMIT(SCRUB_SKIPPED, EVENT_ID("account", id), EVENT_TEXT("result", view_of(result_name(code))), EVENT_FAULT(&fault));
        return OK;
    }
    if (v.problems > 0) {
        t->damaged[t->damaged_count].account = id;
        t->damaged[t->damaged_count++].problems = v.problems;
    }
    t->messages += v.messages;
    t->bytes += v.bytes;
    t->objects += v.objects;
    t->garbage += v.garbage_objects;
    t->problems += v.problems;
    metric_add(METRIC_SCRUB_MESSAGES, (int64_t)v.messages);
    metric_add(METRIC_SCRUB_BYTES, (int64_t)v.bytes);
    metric_add(METRIC_SCRUB_PROBLEMS, (int64_t)v.problems);
    return OK;
}

MAY_YIELD static result keep_pace(struct walker *w)
{
    uint64_t rate = w->upkeep->options.tend_accounts_per_second;
    if (rate == 0 || ++w->done_in_second < rate) return OK;
    int64_t left_ms = w->second.ms + 1000 - clock_now().ms;
    result code = left_ms > 0 ? coroutine_sleep(left_ms) : OK;
    w->second = clock_now();
    w->done_in_second = 0;
    return code;
}

MAY_YIELD static result tend_account(struct walker *w, struct id id)
{
    struct upkeep *u = w->upkeep;
    bool was_due = false;
    struct fault fault;
    if (accounts_tend(u->accounts, id, false, clock_in(TEND_MS), &was_due, &fault) == OK) w->tally.tended += was_due;
    return goes_on(u) ? keep_pace(w) : CANCELLED;
}

/* The accounts of a page. CANCELLED: the rest is for others. */
MAY_YIELD static result work_on_page(struct walker *w)
{
    w->tally = (struct round_tally){0};
    for (size_t i = 0; i < w->page.count && !w->has_lost_page; i++) {
        if (!accounts_own_journal(w->page.ids[i])) continue;
        w->tally.accounts++;
        result code = w->round.kind == ROUND_SCRUB ? scrub_account(w, w->page.ids[i]) : tend_account(w, w->page.ids[i]);
        if (code != OK) return code;
    }
    return OK;
}

MAY_YIELD static void walk_page(struct walker *w)
{
    struct fault fault;
    w->has_lost_page = false;
    w->holds_page = true;
    if (work_on_page(w) != OK) return;       /* stopping: upkeep_stop() gives it back */
    w->holds_page = false;
    /* What cannot be written now is given to another when the claim has ended: an account looked at twice is no harm. */
    if (!w->has_lost_page) (void)!round_finish(&w->round, &w->page, &w->tally, &fault);
}

static void walk(void *argument)
{
    colour_pretend_coroutine();
    struct walker *w = argument;
    struct fault fault;
    while (wait_for_next_look(w->upkeep, w->upkeep->options.look_ms / ROUND_LOOKS))
        while (goes_on(w->upkeep) && !w->holds_page && round_take(&w->round, &w->page, &fault) == OK) walk_page(w);
}

/* ---- beginning and ending ------------------------------------------------------------------------------- */

static void start_walker(struct upkeep *u, enum upkeep_round kind, int64_t every_ms)
{
    struct walker *w = &u->walkers[kind];
    w->upkeep = u;
    w->round = (struct round){.engine = u->engine, .kind = kind, .me = u->me, .every_ms = every_ms};
    coroutine_spawn(&u->scope, kind == ROUND_SCRUB ? "scrub" : "tend", walk, w);
    coroutine_spawn(&u->scope, "hold page", hold_pages, w);
}

struct upkeep *upkeep_start(struct accounts *all, const struct upkeep_options *options)
{
    struct upkeep *u = calloc(1, sizeof *u);
    check(u);
    u->accounts = all;
    u->engine = accounts_engine(all);
    u->options = *options;
    u->loop = loop_self();
    u->me = random_id();
    if (u->options.look_ms == 0) u->options.look_ms = LOOK_MS_DEFAULT;
    scope_init(&u->scope, NULL);
    start_walker(u, ROUND_TEND, options->tend_every_ms);
    start_walker(u, ROUND_SCRUB, options->scrub_every_ms);
    coroutine_spawn(&u->scope, "follow notes", follow_notes, u);
    return u;
}

void upkeep_stop(struct upkeep *u)
{
    struct fault fault;
    if (!u) return;
    check(u->loop == loop_self());
    atomic_store(&u->is_stopping, true);
    scope_done(&u->scope);
    for (unsigned i = 0; i < ROUND_KINDS; i++)
        if (u->walkers[i].holds_page) (void)!round_give_back(&u->walkers[i].round, &u->walkers[i].page, &fault);
    free(u);
}
