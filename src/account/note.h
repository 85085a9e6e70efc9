/*
 * note: which accounts are to be compacted, and who does it, where several nodes share a store.
 *
 * A row of the table `upkeep`, by account: a note ("the journal may be long") that one node leaves and any other finds, and the claim
 * of the node that is at it. A claim ends by itself, so the work of a node that died is taken up. It only saves work: two that
 * compact at once are told apart by the head. Format: doc/formats/upkeep.md.
 */
#pragma once

#include "account/home.h"

enum { NOTE_ROW_MAX_BYTES = 200, NOTE_CLAIM_MS = 15 * 60000 };     /* longer than a compaction may take */

struct note_claim { char row[NOTE_ROW_MAX_BYTES]; };

/* Leaves a note. Nothing when there is one. */
MAY_YIELD NODISCARD result note_put(struct accounts *all, struct id account, millis deadline, struct fault *fault);
/* BUSY: another has claimed it. */
MAY_YIELD NODISCARD result note_claim(struct accounts *all, struct id account, struct note_claim *ret_claim, millis deadline, struct fault *fault);
/* The work is done. Only one's own claim is removed. */
MAY_YIELD NODISCARD result note_drop(struct accounts *all, struct id account, const struct note_claim *claim, millis deadline, struct fault *fault);
