#include "identity/standing.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "runtime/clock.h"

enum {
    ASK_TIMEOUT_MS = 10000,
    PACE_MS = 5,                         /* between two accounts: a hundred thousand open sessions are no load for the store */
};

static void round_begins(struct timer *t);

void standing_watches_init(struct standing_watches *all, struct identity *i, void (*lost)(struct standing_watch *w))
{
    *all = (struct standing_watches){.identity = i, .lost = lost};
    list_init(&all->watches);
    timer_init(&all->timer, round_begins);
    waitlist_init(&all->asked);
}

static int compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct id));
}

/* Watches come and go while the directory is asked. Each account once. */
static struct id *copy_accounts(const struct standing_watches *all, size_t *ret_count)
{
    size_t count = 0, kept = 0;
    list_each(node, &all->watches) count++;
    struct id *accounts = malloc((count + 1) * sizeof *accounts);
    check(accounts);
    count = 0;
    list_each(node, &all->watches) accounts[count++] = container_of(node, struct standing_watch, node)->account;
    qsort(accounts, count, sizeof *accounts, compare_ids);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || !id_equal(accounts[kept - 1], accounts[i])) accounts[kept++] = accounts[i];
    *ret_count = kept;
    return accounts;
}

MAY_YIELD static bool is_lost(const struct standing_watches *all, struct id account, struct arena *arena)
{
    struct identity_account found;
    result code = identity_find_account(all->identity, account, clock_in(ASK_TIMEOUT_MS), arena, &found, NULL);
    return code == NOT_FOUND || (code == OK && found.standing == STANDING_SUSPENDED);
}

static void tell(struct standing_watches *all, struct id account)
{
    list_each(node, &all->watches) {
        struct standing_watch *w = container_of(node, struct standing_watch, node);
        if (id_equal(w->account, account)) all->lost(w);
    }
}

static void ask(void *argument)
{
    colour_pretend_coroutine();
    struct standing_watches *all = argument;
    struct arena *arena = arena_new(NULL, 4 * ENGINE_VALUE_MAX_BYTES);
    size_t count;
    struct id *accounts = copy_accounts(all, &count);
    for (size_t i = 0; i < count && !list_is_empty(&all->watches); i++) {
        arena_reset(arena);
        if (is_lost(all, accounts[i], arena)) tell(all, accounts[i]);
        if (coroutine_sleep(PACE_MS) != OK) break;
    }
    free(accounts);
    arena_free(arena);
    all->is_asking = false;
    if (!list_is_empty(&all->watches)) timer_arm(&all->timer, clock_in(STANDING_ROUND_MS));
    waitlist_wake_all(&all->asked);
}

static void round_begins(struct timer *t)
{
    struct standing_watches *all = container_of(t, struct standing_watches, timer);
    all->is_asking = true;
    coroutine_spawn(loop_scope(loop_self()), "standing of accounts", ask, all);
}

void standing_begin(struct standing_watches *all, struct standing_watch *w, struct id account)
{
    bool is_first = list_is_empty(&all->watches);
    w->account = account;
    list_append(&all->watches, &w->node);
    if (is_first && !all->is_asking) timer_arm(&all->timer, clock_in(STANDING_ROUND_MS));
}

void standing_end(struct standing_watches *all, struct standing_watch *w)
{
    list_remove(&w->node);
    if (!list_is_empty(&all->watches)) return;
    timer_disarm(&all->timer);
    while (all->is_asking) waitlist_wait_shielded(&all->asked);
}
