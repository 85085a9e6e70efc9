/*
 * account/private: what home.c offers to the rest of src/account/.
 */
#pragma once

#include "account/account.h"

/*
 * Loads blocks that the state asked for (state_needs() and the like). Keys are copied first; a block that the state no longer wants
 * when its bytes arrive is no error. Afterwards ask again: another state may stand in its place. Yields.
 */
MAY_YIELD NODISCARD result account_load_blocks(struct account *a, const struct block_key *keys, size_t count, millis deadline, struct fault *fault);
