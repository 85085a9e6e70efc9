/*
 * What a home does by itself: compacts accounts whose journals have grown, a few at a time; sweeps staging objects that dead nodes
 * left, and has the engine give back what its dead writers left. And what the maintenance role asks of it (room upkeep).
 *
 * Where nodes share the store, a journal's length is not told by appends: who delivers asks for a look at random, about four times in the
 * growth that is allowed. A node with the maintenance role looks by itself, another leaves a note. Who compacts claims the account.
 */
#include <stdlib.h>

#include "account/archive.h"
#include "account/draft.h"
#include "account/home.h"
#include "account/indexing.h"
#include "account/note.h"
#include "base/check.h"
#include "runtime/clock.h"
#include "runtime/event.h"
#include "runtime/random.h"

enum {
    COMPACTORS_MAX = 2,                      /* in a loop: one waits for the disk while the other packs */
    WISHES_MAX = 100000,
    ASK_AGAIN_PARTS = 4,                     /* of the limit: an account that has passed it is asked for again after as much more */
    COMPACT_MS = 10 * 60000,
    FAILED_PAUSE_MS = 30000, CLEAN_UP_MS = 5000,
    RETIRED_KEPT_MS = 24 * 3600 * 1000,      /* beyond the grace period, when there is nothing else to compact for */
    CLAIM_MS = 10000,
    REFUSED_ASKS_ONE_IN = 8,                 /* appends: all are refused where the store is out of reach */
    NOTES_MAX = 64,                          /* of a loop, on their way: the next delivery asks again */
    FIRST_SWEEP_MS = 60000, SWEEP_EVERY_MS = 6 * 3600 * 1000,
    LEASE_SLACK_MS = 60000,                  /* so that the one of the last time has ended when it is time again */
    RECLAIM_EVERY_MS = 24 * 3600 * 1000,     /* in the whole cluster */
    RECLAIM_PAUSE_MS = 1000,                 /* between two parts of the store: nobody waits for it */
};

/* An account that is to be compacted. Posted as a task, then in home.wishes. */
struct wish {
    struct task task;
    struct list node;
    struct accounts *all;
    struct id account;
};

/* ---- which ---------------------------------------------------------------------------------------------- */

static bool crosses(uint64_t before, uint64_t after, uint64_t limit)
{
    uint64_t step = limit / ASK_AGAIN_PARTS + 1;
    return after >= limit && (before < limit || before / step != after / step);
}

static void run_compactor(void *argument);

static void take_wish(struct home *h, struct wish *w)
{
    if (h->is_stopping || h->wished.count >= WISHES_MAX || map_get(&h->wished, id_view(&w->account))) {
        free(w);
        return;
    }
    map_put(&h->wished, id_view(&w->account), w);
    list_append(&h->wishes, &w->node);
    if (h->compactors >= COMPACTORS_MAX) return;
    h->compactors++;
    coroutine_spawn(&h->compactions, "compactor", run_compactor, h);
}

static void wish_arrived(struct task *t)
{
    struct wish *w = container_of(t, struct wish, task);
    take_wish(accounts_here(w->all), w);
}

static struct wish *wish_new(struct accounts *all, struct id account)
{
    struct wish *w = malloc(sizeof *w);
    check(w);
    *w = (struct wish){.task.run = wish_arrived, .all = all, .account = account};
    list_init(&w->node);
    return w;
}

/* By a store that does not tell how long the journal is: about as often as by the others. The home will see whether it is due. */
static bool asks_at_random(const struct accounts_options *o, uint64_t bytes)
{
    return random_below(o->compact_journal_bytes / ASK_AGAIN_PARTS + 1) < bytes || random_below(o->compact_journal_records / ASK_AGAIN_PARTS + 1) == 0;
}

struct noting {
    struct home *home;
    struct id account;
};

MAY_YIELD static void note_it(void *argument)
{
    struct noting *n = argument;
    /* One that is not written is written after another delivery, or the account is found in the next round. */
    (void)!note_put(n->home->all, n->account, clock_in(CLAIM_MS), NULL);
    n->home->notes--;
    free(n);
}

static void leave_note(struct home *h, struct id account)
{
    if (h->notes >= NOTES_MAX || h->is_stopping) return;
    struct noting *n = malloc(sizeof *n);
    check(n);
    *n = (struct noting){h, account};
    h->notes++;
    coroutine_spawn(&h->compactions, "note", note_it, n);
}

void accounts_consider_compaction(struct accounts *all, const struct journal_append *append)
{
    const struct accounts_options *o = &all->options;
    uint64_t bytes = append->meta.len + append->body.len, before = append->journal_bytes - bytes;
    bool asks = append->journal_bytes ? crosses(before, append->journal_bytes, o->compact_journal_bytes) ||
                                           crosses(append->journal_records - 1, append->journal_records, o->compact_journal_records)
                                     : asks_at_random(o, bytes);
    /* A journal may be so long that it takes nothing more. */
    if (append->code != OK) asks = append->code == UNAVAILABLE && random_below(REFUSED_ASKS_ONE_IN) == 0;
    if (!asks) return;
    if (all->options.leaves_upkeep && all->are_shared) leave_note(accounts_here(all), append->journal);
    else loop_post(accounts_home(all, append->journal), &wish_new(all, append->journal)->task);
}

bool account_has_old_retired(const struct account *a)
{
    int64_t before_ms = clock_wall().ms - a->home->all->options.grace_ms - RETIRED_KEPT_MS;
    for (size_t i = 0; i < a->head.retired_count; i++)
        if (a->head.retired[i].since.ms < before_ms) return true;
    return false;
}

static bool is_long(const struct account *a)
{
    const struct accounts_options *o = &a->home->all->options;
    return a->journal_bytes >= o->compact_journal_bytes || state_sequence(a->state) - a->head.sequence >= o->compact_journal_records;
}

static bool is_due(const struct account *a)
{
    return is_long(a) || a->wants_rewriting || account_purge_before(a).ms > 0 || account_has_old_retired(a) || account_wants_indexing(a) || account_wants_archiving(a);
}

static bool may_be_compacted(const struct account *a)
{
    return a->state && !a->compacting.is_locked && !millis_before(clock_now(), a->compact_after);
}

void account_consider_compaction(struct account *a)
{
    if (may_be_compacted(a) && is_long(a)) take_wish(a->home, wish_new(a->home->all, a->id));
}

void account_consider_upkeep(struct account *a)
{
    if (may_be_compacted(a) && is_due(a)) take_wish(a->home, wish_new(a->home->all, a->id));
}

/* ---- compacting ----------------------------------------------------------------------------------------- */

/* Among nodes only one does it. */
MAY_YIELD static result compact_claimed(struct account *a, bool is_claimed, millis deadline, struct fault *fault)
{
    struct accounts *all = a->home->all;
    struct note_claim claim;
    bool claims = all->are_shared && !is_claimed;
    result code = claims ? note_claim(all, a->id, &claim, clock_in(CLAIM_MS), fault) : OK;
    if (code != OK) return code;
    code = account_compact(a, deadline, fault);
    /* A claim that stays keeps all from trying again at once what failed. */
    if (claims && code == OK) (void)!note_drop(all, a->id, &claim, clock_in(CLAIM_MS), NULL);
    return code;
}

struct tending {
    struct accounts *all;
    struct id id;
    bool is_claimed;
    bool was_due;
    millis deadline;
    result code;
    struct fault *fault;
};

static void tell_of_failure(const struct tending *t)
{
    if (t->code == OK || t->code == CANCELLED || t->code == BUSY) return;
    EVENT_EMIT(ACCOUNT_NOT_COMPACTED, EVENT_ID("account", t->id), EVENT_TEXT("result", view_of(result_name(t->code))), EVENT_FAULT(t->fault));
}

MAY_YIELD void account_ask_archive_limit(struct account *a)
{
    struct accounts *all = a->home->all;
    int64_t after_ms = 0;
    if (!all->archive_limit || !engine_has_archive(all->engine) || accounts_feature_level(all) < FEATURE_ARCHIVE) return;
    if (all->archive_limit(all->archive_argument, a->id, &after_ms) == OK) a->archive_after_ms = after_ms;
}

/* On the account's home. */
MAY_YIELD static void tend(void *argument)
{
    struct tending *t = argument;
    struct account *a;
    struct home *h = accounts_here(t->all);
    bool was_loaded = map_get(&h->accounts, id_view(&t->id)) != NULL;
    t->code = account_open(t->all, t->id, t->deadline, &a, t->fault);
    if (t->code == OK) {
        account_ask_archive_limit(a);
        t->was_due = may_be_compacted(a) && is_due(a);
        if (t->was_due) t->code = compact_claimed(a, t->is_claimed, t->deadline, t->fault);
        /* Failed, or the store was too slow for what it is asked beside the mail. */
        if (t->code != OK || (t->was_due && a->wants_rewriting)) a->compact_after = clock_in(FAILED_PAUSE_MS);
        /* An index that is far behind is caught up with in several compactions, as is the archive. */
        else if (t->was_due && (account_wants_indexing(a) || account_wants_archiving(a))) account_consider_upkeep(a);
        account_close_cold(a, was_loaded);
    }
    tell_of_failure(t);
}

result accounts_tend(struct accounts *all, struct id account, bool is_noted, millis deadline, bool *ret_was_due, struct fault *fault)
{
    struct note_claim claim;
    struct fault ignored = {0};
    struct tending t = {.all = all, .id = account, .is_claimed = is_noted, .deadline = deadline, .fault = fault ? fault : &ignored};
    if (is_noted) t.code = note_claim(all, account, &claim, clock_in(CLAIM_MS), fault);
    if (t.code != OK) return t.code;
    loop_run_on(accounts_home(all, account), "tend account", tend, &t);
    if (is_noted && t.code == OK) t.code = note_drop(all, account, &claim, clock_in(CLAIM_MS), fault);
    *ret_was_due = t.was_due;
    return t.code;
}

/* ---- accounts of this home ------------------------------------------------------------------------------ */

MAY_YIELD static void compact_one(struct home *h, struct id id)
{
    struct fault fault = {0};
    struct tending t = {.all = h->all, .id = id, .deadline = clock_in(COMPACT_MS), .fault = &fault};
    tend(&t);
}

MAY_YIELD static void run_compactor(void *argument)
{
    struct home *h = argument;
    for (struct list *node; !h->is_stopping && (node = list_pop(&h->wishes));) {
        struct wish *w = container_of(node, struct wish, node);
        struct id id = w->account;
        map_remove(&h->wished, id_view(&w->account));
        free(w);
        compact_one(h, id);
    }
    h->compactors--;
}

/* ---- at times ------------------------------------------------------------------------------------------- */

/* Of nodes that share a store the first one to ask does it: the lease is kept until it expires. */
MAY_YIELD static bool has_turn(const struct accounts *all, view lease, int64_t every_ms)
{
    char owner[ID_TEXT_LEN + 1];
    struct fault fault;
    id_text(random_id(), owner);
    return !all->are_shared || lease_acquire(all->engine, lease, view_of(owner), every_ms, clock_in(CLEAN_UP_MS), &fault) == OK;
}

MAY_YIELD static void reclaim(struct engine *e)
{
    uint64_t place = 0, count = 0;
    struct fault fault = {0};
    result code;
    do {
        code = engine_reclaim(e, &place, &count, &fault);
        if (code == OK) code = coroutine_sleep(RECLAIM_PAUSE_MS);
    } while (code == OK);
    if (count > 0) EVENT_EMIT(STORE_RECLAIMED, EVENT_NUMBER("things", count));
    if (code != END && code != CANCELLED) EVENT_EMIT(STORE_NOT_RECLAIMED, EVENT_TEXT("result", view_of(result_name(code))), EVENT_FAULT(&fault));
}

MAY_YIELD static void sweep(void *argument)
{
    struct home *h = argument;
    struct accounts *all = h->all;
    if (has_turn(all, VIEW("upkeep/staging"), SWEEP_EVERY_MS - LEASE_SLACK_MS)) {
        staging_sweep(all);
        removed_sweep(all);
    }
    if (has_turn(all, VIEW("upkeep/reclaim"), RECLAIM_EVERY_MS - LEASE_SLACK_MS)) reclaim(all->engine);
}

static void upkeep_due(struct timer *t)
{
    struct home *h = container_of(t, struct home, upkeep);
    coroutine_spawn(&h->scope, "staging sweep", sweep, h);
    timer_arm(t, clock_in(SWEEP_EVERY_MS));
}

void home_start_upkeep(struct home *h)
{
    list_init(&h->wishes);
    h->wished = MAP_INIT;
    scope_init(&h->compactions, NULL);
    h->compactors = 0;
    h->is_stopping = false;
    h->wall_offset_ms = clock_wall().ms - clock_now().ms;
    h->wall_steady_since = clock_now();
    timer_init(&h->upkeep, upkeep_due);
    if (loop_index(h->loop) == 0 && !h->all->options.leaves_upkeep) timer_arm(&h->upkeep, clock_in(FIRST_SWEEP_MS));
}

void home_stop_upkeep(struct home *h)
{
    h->is_stopping = true;
    timer_disarm(&h->upkeep);
    scope_join(&h->compactions);
    scope_unlink(&h->compactions);
    for (struct list *node; (node = list_pop(&h->wishes));) free(container_of(node, struct wish, node));
    map_done(&h->wished);
}
