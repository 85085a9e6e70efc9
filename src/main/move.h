/*
 * move: what a store says of itself on its way to another: rows of its table `moves` (doc/formats/directory.md).
 *
 * Mail must never reach two stores that each believe to be the one. So a copy that is not complete cannot be served, nor a store whose
 * copy is.
 */
#pragma once

#include "engine/engine.h"
#include "identity/identity.h"

struct move_marks {
    bool is_copy, is_complete;           /* it is the copy of another store; all of it */
    bool is_gone;                        /* it was copied completely: the copy is served now */
    view other;                          /* where to, or where from */
};
MAY_YIELD NODISCARD result move_read(struct engine *e, struct arena *arena, struct move_marks *ret_marks, struct fault *fault);
MAY_YIELD NODISCARD result move_mark_copy(struct engine *e, view from, bool is_complete, struct fault *fault);
MAY_YIELD NODISCARD result move_mark_gone(struct engine *e, view to, struct fault *fault);
/* It is a store like any other again. */
MAY_YIELD NODISCARD result move_forget(struct engine *e, struct fault *fault);
/* INVALID, with a text for the operator: it must not be served. */
MAY_YIELD NODISCARD result move_check(struct engine *e, struct fault *fault);

/* ---- copy_tables.c: the directory ---- */

/* Makes the other store's directory the same. Adds the rows that were written or removed to *changed. */
MAY_YIELD NODISCARD result copy_directory(struct engine *from, struct engine *to, uint64_t *changed, struct fault *fault);
void freeze_directory(struct engine *e);
/* OK: it has no domain yet. EXISTS. */
MAY_YIELD NODISCARD result directory_is_empty(struct engine *e, struct fault *fault);
