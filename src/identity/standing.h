/*
 * standing: sessions hear of it when their account is suspended or removed after they logged in.
 *
 * Who keeps sessions has a struct standing_watches on each loop. It asks the directory for the accounts of all that are open, one after the
 * other, 200 a second, and STANDING_ROUND_MS after the last again: an open session ends within that, IDENTITY_CACHE_MS and 5 ms for each account
 * with sessions on the loop, on every node that shares the store, whoever changed the account, and however long its client says nothing. What
 * the directory cannot answer is asked in the next round.
 */
#pragma once

#include "base/list.h"
#include "identity/identity.h"
#include "runtime/coroutine.h"

enum { STANDING_ROUND_MS = 20000 };

/* Embedded in a session. */
struct standing_watch {
    struct list node;
    struct id account;
};

struct standing_watches {
    struct identity *identity;
    /* In a coroutine of the round; does not yield, and ends no watch. Called once in each round as long as the watch lasts. */
    void (*lost)(struct standing_watch *w);
    struct list watches;
    struct timer timer;
    bool is_asking;
    struct waitlist asked;
};

void standing_watches_init(struct standing_watches *all, struct identity *i, void (*lost)(struct standing_watch *w));
/* The account has just logged in. All that follows is on one loop. */
void standing_begin(struct standing_watches *all, struct standing_watch *w, struct id account);
/* Without watches nothing of `all` is used any more: the last to end waits for the directory's answer. */
MAY_YIELD void standing_end(struct standing_watches *all, struct standing_watch *w);
