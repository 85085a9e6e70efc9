/* pack_index: the index of a pack in memory, and what was read of its summaries; shared by message.c and listing.c. */
#pragma once

#include "account/home.h"
#include "account/pack.h"
#include "account/summary.h"

struct index_kept {
    struct list node;                        /* in home.indexes */
    struct list of_account;
    struct account *account;
    uint32_t slot;
    view object;                             /* malloced: a slot's object changes when the pack is rewritten */
    struct pack_index *index;
    size_t bytes;
    unsigned users;
    buf table;                               /* where summaries are; empty: it has none */
    struct list blocks;                      /* of summaries, in memory */
    enum summary_column ahead_column;        /* stored bytes of a column that were read ahead */
    uint64_t ahead_offset;
    buf ahead;
};

/* *ret_index is held by the caller (users), who lets go of it. NOT_FOUND: the pack was reclaimed. */
MAY_YIELD NODISCARD result account_open_index(struct account *a, uint32_t slot, millis deadline, struct index_kept **ret_index, struct fault *fault);
/* The object with an entry's bytes, by its full name: the pack itself, or the archived one. NOT_FOUND: the state is of another snapshot than the entry. */
NODISCARD result account_object_of_entry(const struct account *a, view pack_object, const struct pack_entry *e, char text[static OBJECT_NAME_MAX], view *ret_name,
                                         struct fault *fault);
/*
 * One entry and the object with its bytes. The pack's index comes into memory for it where the account's indexes fit there; of a larger account the
 * entry is read with its neighbours, so that reading here and there costs the same in a mailbox of any size. NOT_FOUND: it was reclaimed.
 */
MAY_YIELD NODISCARD result account_find_entry(struct account *a, uint32_t slot, uint32_t entry, millis deadline, struct pack_entry *ret_entry,
                                              char text[static OBJECT_NAME_MAX], view *ret_name, struct fault *fault);
/* ---- listing.c ---- */
void summaries_drop(struct index_kept *k);
