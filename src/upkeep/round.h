/*
 * round: a walk over all accounts of a store, by as many nodes as like to, which can be left and gone on with at any time.
 *
 * One row of the table `rounds` says how far it is. A node takes the next page of accounts by changing the row on the condition that it
 * is as it was read, works on it, and adds what came of it. A page whose node has died is given to another. Format: doc/formats/upkeep.md.
 */
#pragma once

#include <jansson.h>

#include "upkeep/upkeep.h"

enum {
    ROUND_PAGE_ACCOUNTS = 64,
    ROUND_CLAIM_MS = 5 * 60000,          /* a page is lost by who does not say for so long that it is at it */
    ROUND_DAMAGED_MAX = 100,             /* accounts with problems that the row names; the log has all */
};

struct round {
    struct engine *engine;
    enum upkeep_round kind;
    struct id me;
    int64_t every_ms;                    /* from beginning to beginning; 0: only when told to */
};

struct round_page {
    uint64_t number;
    struct id ids[ROUND_PAGE_ACCOUNTS];
    size_t count;
};

/* What came of a page. */
struct round_tally {
    uint64_t accounts, tended, messages, bytes, objects, garbage, problems;
    struct { struct id account; uint64_t problems; } damaged[ROUND_PAGE_ACCOUNTS];
    size_t damaged_count;
};

/* The next page. END: there is nothing to do for now. Begins and ends rounds. */
MAY_YIELD NODISCARD result round_take(struct round *r, struct round_page *ret_page, struct fault *fault);
/* Still at it. NOT_FOUND: the page was given to another. */
MAY_YIELD NODISCARD result round_hold(struct round *r, const struct round_page *page, struct fault *fault);
/* Done. NOT_FOUND as above: nothing is added then. */
MAY_YIELD NODISCARD result round_finish(struct round *r, const struct round_page *page, const struct round_tally *tally, struct fault *fault);
/* Back, not done: others may take it at once. */
MAY_YIELD NODISCARD result round_give_back(struct round *r, const struct round_page *page, struct fault *fault);
