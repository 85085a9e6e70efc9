/*
 * upkeep: what a node with the maintenance role does for accounts that nobody has open.
 *
 *   notes     accounts that delivering nodes have noted (account/note.h) are compacted within seconds
 *   tending   a round over all accounts: what is long is compacted, what was expunged long ago is purged, objects out of use are removed
 *   scrub     a round over all accounts at a given pace: every message read, every object referred to or known garbage (account_verify())
 * Nodes share it: each note and each page of a round is claimed by one. What a node had claimed when it died others take up.
 */
#pragma once

#include "account/account.h"

enum upkeep_round { ROUND_TEND, ROUND_SCRUB, ROUND_KINDS };

struct upkeep_options {
    int64_t tend_every_ms, scrub_every_ms;       /* from one round's beginning to the next one's; 0: only when told to */
    uint64_t tend_accounts_per_second;           /* of this node; 0: as fast as it goes */
    uint64_t scrub_bytes_per_second;             /* of messages, of this node; 0: as fast as it goes */
    int64_t look_ms;                             /* how often notes are looked at, and rounds five times as often; 0: 10 s */
};

struct upkeep;
/* On any loop; works from there. */
struct upkeep *upkeep_start(struct accounts *all, const struct upkeep_options *options);
/* On the loop that started it. What is under way ends or is given back. */
MAY_YIELD void upkeep_stop(struct upkeep *u);

/* ---- asking and ordering: any coroutine of any node ---- */

struct upkeep_tally { uint64_t accounts, tended, messages, bytes, objects, garbage, problems; };
struct upkeep_damage { struct id account; uint64_t problems; };
struct upkeep_status {
    uint64_t round;                              /* 0: none yet */
    unix_ms began, ended;                        /* ended 0: it goes on */
    bool is_paused;
    unsigned nodes;                              /* at work on it */
    struct upkeep_tally now, previous;           /* of this round so far, and of all of the one before */
    unix_ms previous_ended;
    struct upkeep_damage *damaged;               /* of this round or, while it has found none, the one before */
    size_t damaged_count;
};
/* NOT_FOUND: no node with the maintenance role has run on this store. */
MAY_YIELD NODISCARD result upkeep_read_status(struct engine *e, enum upkeep_round kind, millis deadline, struct arena *arena, struct upkeep_status *ret_status,
                                              struct fault *fault);
/* UPKEEP_START: a new round as soon as nodes look, BUSY when one goes on. UPKEEP_PAUSE holds until UPKEEP_RESUME. */
enum upkeep_order { UPKEEP_START, UPKEEP_PAUSE, UPKEEP_RESUME };
MAY_YIELD NODISCARD result upkeep_order_round(struct engine *e, enum upkeep_round kind, enum upkeep_order order, millis deadline, struct fault *fault);
