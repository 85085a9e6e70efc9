/*
 * legacy: users who still send the old way, by port 25 without a password (from networks of ours, or after POP), so that an operator finds them and
 * tells them what to do.
 *
 * Their attempts are refused. A row of the table `legacy` for each account whose address was the sender, or for each address of our networks
 * with another sender, says when and from where (doc/formats/directory.md). An attempt is noted once an hour at most from each loop, so that who
 * tries with forged senders writes next to nothing.
 */
#pragma once

#include "engine/engine.h"
#include "runtime/stream.h"

enum { LEGACY_NETWORKS_MAX = 1000, LEGACY_SLOTS = 512, LEGACY_NOTE_MS = 3600 * 1000 };

struct legacy_network { struct address address; unsigned bits; };
/* "192.0.2.0/24 2001:db8::/32": INVALID names what is none. */
NODISCARD result legacy_networks_parse(view text, struct arena *arena, struct legacy_network **ret_networks, size_t *ret_count, struct fault *fault);
bool legacy_is_ours(const struct legacy_network *networks, size_t count, const struct address *peer);

/* What a loop has noted lately: slots by hash, the newer one wins. */
struct legacy_lately { struct { uint64_t hash; millis until; } slots[LEGACY_SLOTS]; };
/* True once an hour for a key. */
bool legacy_is_due(struct legacy_lately *lately, view key);

#define LEGACY_TABLE VIEW("legacy")
/* `key`: of the row; `who`: the account's address, or empty. Of two that write at once one is lost. */
MAY_YIELD NODISCARD result legacy_note(struct engine *e, view key, view who, const struct address *peer, millis deadline, struct fault *fault);
MAY_YIELD NODISCARD result legacy_forget(struct engine *e, view key, millis deadline, struct fault *fault);
