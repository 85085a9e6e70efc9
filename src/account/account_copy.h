/*
 * account_copy: an account's journal and objects, made the same in another store.
 *
 * Names of objects, heads and records are the same in every engine, so they are copied as they are; the account's digest is the same then.
 * What is there already is not copied again: repeated, it brings the copy up to date, also after it was cut short anywhere. Nobody
 * may use the account in the other store meanwhile. Works on any journal whose objects are in the folder of its id.
 */
#pragma once

#include "engine/engine.h"

struct account_copied { uint64_t records, objects, bytes; };

/*
 * While the account is served the copy is as it was at some time, or lacks what came meanwhile. Of an account that is frozen
 * (engine_freeze_journal()) it is exact, objects that the source does not have are removed, and an account that is gone goes.
 * *copied grows by what was written. No step (a read, a write, a page of a list) waits longer than step_ms.
 */
MAY_YIELD NODISCARD result account_copy(struct engine *from, struct engine *to, struct id account, bool is_frozen, int64_t step_ms,
                                        struct account_copied *copied, struct fault *fault);
/* The objects alone whose names begin with `prefix`, in the same way. */
MAY_YIELD NODISCARD result account_copy_objects(struct engine *from, struct engine *to, view prefix, bool is_frozen, int64_t step_ms,
                                                struct account_copied *copied, struct fault *fault);
