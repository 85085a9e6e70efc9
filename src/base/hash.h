/*
 * hash: short digests for tables and for stored bytes. Not for secrets or signatures.
 *
 * hash_bytes() is SipHash-2-4 under a key that hash_seed() sets once at start (a fixed key until then,
 * so that the simulator is deterministic): its values never leave the process. hash_stable() is
 * SipHash under a fixed key: the same in every process and version, may be written down. crc32c() is
 * the Castagnoli polynomial that guards every stored record.
 */
#pragma once

#include "base/view.h"

void hash_seed(uint64_t key0, uint64_t key1);
uint64_t hash_bytes(view v);
uint64_t hash_stable(view v);
/* `previous` is 0 to begin, or the value so far. */
uint32_t crc32c(uint32_t previous, view v);
