/* draft: what append.c and deliver.c need of a message on its way in (draft.c). */
#pragma once

#include "account/account.h"

bool draft_is_inline(const struct draft *d);
/* Of an inline draft. */
view draft_body(const struct draft *d);
/* Completes the staging object, if it needs one for so many accounts. Does nothing when it is complete, or for an inline draft. */
MAY_YIELD NODISCARD result draft_seal(struct draft *d, size_t accounts, millis deadline, struct fault *fault);
/* A sealed draft's bytes become an object of the account, for a record written in `second`. OK also when it is there. */
MAY_YIELD NODISCARD result draft_place(struct draft *d, struct id account, uint32_t second, millis deadline, struct fault *fault);
/* Removes staging objects that a dead node left, at most now and then; called by draft_new's first users. In the background. */
MAY_YIELD void staging_sweep(struct accounts *all);
