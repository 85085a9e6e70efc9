/*
 * Until snapshots are there: weak definitions, so that programs link and accounts live in their journals. Compaction fails and is
 * reported; nothing is lost. This file goes when snapshot.c comes.
 */
#include <string.h>

#include "account/state.h"

#define WEAK __attribute__((weak))

WEAK void state_snapshot_begin(struct state *s, const struct snapshot_options *options) {}
WEAK result state_snapshot_step(struct state *s, buf *blocks, buf *directory, struct block_key *ret_needs) { return UNAVAILABLE; }
WEAK void state_snapshot_commit(struct state *s) {}
WEAK void state_snapshot_abort(struct state *s) {}
WEAK result state_snapshot_open(view directory, struct state **ret_state, struct fault *fault) { return fail(fault, CORRUPT, "snapshots cannot be read yet"); }
WEAK size_t state_objects(const struct state *s, struct arena *arena, view **ret_names) { return 0; }
WEAK size_t state_needs_all(struct state *s, struct block_key *keys, size_t max) { return 0; }
WEAK void state_each_row(struct state *s, void (*each)(void *argument, uint32_t mailbox, const struct row *row, bool is_expunged, unix_ms expunged), void *argument) {}
WEAK size_t state_evict(struct state *s, size_t bytes) { return 0; }
WEAK size_t state_check(struct state *s, void (*found)(void *argument, view what), void *argument) { return 0; }
WEAK size_t state_adopt_needs(struct state *fresh, struct state *old, struct block_key *keys, bool *is_of_old, size_t max) { return 0; }
WEAK void state_adopt(struct state *fresh, struct state *old) {}
WEAK void state_digest(struct state *s, unsigned char digest[static 32]) { memset(digest, 0, 32); }
WEAK result state_block_loaded(struct state *s, const struct block_key *key, view bytes, struct fault *fault) { return fail(fault, CORRUPT, "snapshots cannot be read yet"); }
