/*
 * What a home does by itself: compacts accounts whose journals have grown, also such as only receive, a few at a time;
 * sweeps staging objects that dead nodes left, and has the engine give back what its dead writers left.
 */
#include <stdlib.h>

#include "account/draft.h"
#include "account/home.h"
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
    FIRST_SWEEP_MS = 60000, SWEEP_EVERY_MS = 6 * 3600 * 1000,
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

void accounts_consider_compaction(struct accounts *all, const struct journal_append *append)
{
    const struct accounts_options *o = &all->options;
    uint64_t bytes = append->meta.len + append->body.len, before = append->journal_bytes - bytes;
    bool asks = append->journal_bytes ? crosses(before, append->journal_bytes, o->compact_journal_bytes) ||
                                           crosses(append->journal_records - 1, append->journal_records, o->compact_journal_records)
                                     : asks_at_random(o, bytes);
    if (asks) loop_post(accounts_home(all, append->journal), &wish_new(all, append->journal)->task);
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
    return is_long(a) || account_purge_before(a).ms > 0 || account_has_old_retired(a);
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

MAY_YIELD static void compact_one(struct home *h, struct id id)
{
    struct account *a;
    struct fault fault = {0};
    millis deadline = clock_in(COMPACT_MS);
    result code = account_open(h->all, id, deadline, &a, &fault);
    if (code == OK) {
        if (may_be_compacted(a) && is_due(a)) code = account_compact(a, deadline, &fault);
        if (code != OK) a->compact_after = clock_in(FAILED_PAUSE_MS);
        account_close(a);
    }
    if (code != OK && code != CANCELLED)
        EVENT_EMIT(ACCOUNT_NOT_COMPACTED, EVENT_ID("account", id), EVENT_TEXT("result", view_of(result_name(code))), EVENT_FAULT(&fault));
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

/* One node does it, the first to ask in a day: the lease is kept until it expires. */
MAY_YIELD static void reclaim(struct engine *e)
{
    char owner[ID_TEXT_LEN + 1];
    uint64_t place = 0, count = 0;
    struct fault fault = {0};
    id_text(random_id(), owner);
    if (lease_acquire(e, VIEW("reclaim"), view_of(owner), RECLAIM_EVERY_MS, clock_in(CLEAN_UP_MS), NULL) != OK) return;
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
    staging_sweep(h->all);
    reclaim(h->all->engine);
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
    if (loop_index(h->loop) == 0) timer_arm(&h->upkeep, clock_in(FIRST_SWEEP_MS));
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
