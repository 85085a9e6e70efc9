/* compact: one compaction under way, for compact.c and collect.c. */
#pragma once

#include "account/archive.h"
#include "account/compact_names.h"
#include "account/home.h"
#include "account/indexing.h"
#include "account/pack.h"

struct new_pack {
    char name[SHORT_NAME_MAX];
    uint32_t entries;
    uint64_t bytes;
    bool has_lost;                       /* of one that was rewritten: entries that died */
    bool names_new;                      /* it names archived packs of this compaction */
};

/* What rows refer to: a bit for each entry of each pack, and messages alone. */
struct living {
    struct account *account;
    struct arena *arena;
    size_t packs;
    unsigned char **entries;             /* by slot */
    unix_ms before;                      /* of internal dates; 0: nothing is to be told young from old */
    unsigned char **young;               /* by slot: entries of rows that are not older */
    unix_ms oldest_young;
    bool has_old_in_journal;
    struct map alone;                    /* names "<account>/m-…": struct living_alone */
};
struct living_alone { view name; uint32_t bytes; bool is_young; };
static inline bool living_has(unsigned char *const *bits, uint32_t slot, uint32_t entry) { return bits[slot][entry / 8] & 1 << entry % 8; }

struct compaction {
    struct account *account;
    struct id snapshot;                  /* of the head that it makes */
    struct id descends_from;             /* head.snapshot when it began */
    char snapshot_name[SHORT_NAME_MAX];
    millis deadline;

    struct new_pack *packs;              /* of bodies from the journal */
    size_t pack_count, pack_capacity;
    struct packed_body *bodies;
    size_t body_count, body_capacity;
    uint64_t packed_sequence;            /* bodies of records up to here are in packs */
    struct pack_writer writer;           /* of the pack that is being filled */
    struct object_writer *object;
    bool has_writer;

    struct pack_slot *replaced;          /* by slot: packs rewritten without what died (collect.c) */
    struct new_pack *replacements;       /* their names */
    size_t replaced_count;
    view *garbage;                       /* names of objects that nobody refers to; removed when the head is in its place */
    size_t garbage_count;

    struct indexing indexing;            /* the index for searches */
    struct archiving archiving;

    struct snapshot_ahead *ahead;        /* until the state's snapshot has it */
    buf blocks, directory;
    struct head head;
    buf head_bytes;
    struct arena *arena;
    struct journal_position folded;
    bool is_folding;                     /* under the replay lock, or beyond */
    bool has_begun;                      /* the state holds a snapshot that is neither committed nor aborted */
    bool may_be_head;                    /* the head was sent, and it is not certain that it was refused */
    bool is_committed;
    bool is_lost;                        /* another node's head was read meanwhile */
    bool store_is_slow;                  /* and stayed so: what can wait waits for another compaction */
    uint64_t missing;                    /* the record whose body the journal did not have */
    uint64_t read_bytes, written_bytes, indexed_bytes;
};

/* A short name of a new object: a kind ('p', 's', 'i', 'c') and an id. */
void object_name_make(char kind, struct id id, char text[static SHORT_NAME_MAX]);
/* Splits it again; false when it is none. */
bool object_name_parse(view name, char *ret_kind, struct id *ret_id);

/* Gives up the pack that is being filled. */
MAY_YIELD void compaction_abort_pack(struct compaction *c);
/* The pack writer's bytes to its object. */
MAY_YIELD NODISCARD result compaction_write_pack(struct compaction *c, struct fault *fault);
MAY_YIELD NODISCARD result compaction_open_pack(struct compaction *c, char name[static SHORT_NAME_MAX], struct fault *fault);
MAY_YIELD NODISCARD result compaction_commit_pack(struct compaction *c, struct fault *fault);
MAY_YIELD NODISCARD result compaction_on_worker(struct compaction *c, void (*job)(void *argument), void *argument, struct fault *fault);
/* The index of a pack; malloc'ed. */
MAY_YIELD NODISCARD result compaction_read_index(struct compaction *c, const struct pack_slot *p, struct pack_index **ret_index, struct fault *fault);
/*
 * The pace of what nobody waits for. What serves users goes first: waits while the store is slow, some seconds at most, then until *next, which
 * `bytes` at `rate` a second move on; 0: no limit. False: the store is slow still, and nothing more is to be begun.
 */
MAY_YIELD bool compaction_keep_pace(struct compaction *c, uint64_t rate, uint64_t bytes, millis *next);
/* Loads every block of the account. */
MAY_YIELD NODISCARD result account_load_all(struct account *a, millis deadline, struct fault *fault);
/* The same, and account_hold_still() with all of them there. Of who has pinned them. */
MAY_YIELD NODISCARD result account_load_and_hold(struct account *a, millis deadline, struct fault *fault);

/* ---- collect.c ---- */
/* Removes what fell out of use before the grace period began; the rest is in c->head.retired. */
MAY_YIELD void collect_retired(struct compaction *c);
/* Now and then: looks for objects that nothing refers to, rewrites packs that are mostly dead. */
MAY_YIELD NODISCARD result collect_sweep(struct compaction *c, struct fault *fault);
/* With the new head in its place: removes what was found. */
MAY_YIELD void collect_remove_garbage(struct compaction *c);
/* Adds to c->head.retired what the new directory does not refer to any more. */
NODISCARD result collect_note_retired(struct compaction *c, struct fault *fault);
/* An object that neither state nor head names: it was left by a node that died, and is old enough to be told from what is under way. */
bool collect_is_stale(const struct account *a, view name);
