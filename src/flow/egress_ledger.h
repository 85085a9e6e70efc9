/*
 * egress_ledger: what one loop knows of the addresses that mail leaves from, and what it has to add to their rows (egress_row.h).
 *
 * Blocks are written at once, counts every few seconds; what others have written is in force here within EGRESS_LOOK_MS. A node that is killed forgets
 * the counts of its last seconds.
 */
#pragma once

#include "flow/egress.h"
#include "runtime/coroutine.h"

struct engine;
struct egress_ledger;
enum { EGRESS_LOOK_MS = 10000, EGRESS_SAVE_MS = 3000 };

/* On its loop; begins to read, as a coroutine of the scope. */
struct egress_ledger *egress_ledger_new(struct engine *e, const struct egress *egress, struct scope *scope);
/* Writes what is not written; before the scope ends. */
MAY_YIELD void egress_ledger_save(struct egress_ledger *l);
/* After the scope has ended. NULL is fine. */
void egress_ledger_free(struct egress_ledger *l);

/* Until the rows have been read for the first time; no longer than a few seconds. */
MAY_YIELD void egress_ledger_await(struct egress_ledger *l);
/* `hosts`: the names of a destination's servers, in order. */
bool egress_ledger_is_blocked(const struct egress_ledger *l, const struct egress_address *a, view hosts);
/* True: it was not known. */
bool egress_ledger_block(struct egress_ledger *l, const struct egress_address *a, view hosts, int64_t ms, view answer);
/* A message has left from it. */
void egress_ledger_count(struct egress_ledger *l, const struct egress_address *a);
/* Today: by all nodes as far as it is written, and by this loop since. */
void egress_ledger_sent(const struct egress_ledger *l, const struct egress_address *a, uint64_t *ret_written, uint64_t *ret_since);
