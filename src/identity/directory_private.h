/* directory_private: what directory.c and directory_account.c share. */
#pragma once

#include "identity/directory.h"
#include "identity/row.h"

enum directory_condition { DIRECTORY_IF_ABSENT, DIRECTORY_IF_PRESENT };

/* Writes or (row NULL) removes a row. EXISTS or NOT_FOUND when the condition does not hold. */
MAY_YIELD NODISCARD result directory_put(struct identity *i, view table, view key, const json_t *row, enum directory_condition condition, millis deadline,
                                         struct fault *fault);
/* Past all caches. The caller owns the row; *ret_text (may be NULL) is what stands in the table. */
MAY_YIELD NODISCARD result directory_read(struct identity *i, view table, view key, millis deadline, struct arena *arena, json_t **ret_row,
                                          view *ret_text, struct fault *fault);
/*
 * Puts a row in the place of the one that was read: CONFLICT, without a fault, when another process has changed it since. The caller
 * reads again, at most DIRECTORY_TRIES times.
 */
enum { DIRECTORY_TRIES = 20 };
MAY_YIELD NODISCARD result directory_replace(struct identity *i, view table, view key, const json_t *row, view read_text, millis deadline, struct fault *fault);
NODISCARD result directory_check_name(view name, const char *what, struct fault *fault);
/* The key of an address; NOT_FOUND when its domain must be ours and is not. */
MAY_YIELD NODISCARD result directory_address_key(struct identity *i, view address, bool needs_domain, millis deadline, struct arena *arena, view *ret_key,
                                                 view *ret_tenant, struct fault *fault);
