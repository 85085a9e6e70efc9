/*
 * object_hash: where RADOS puts a name: the 32-bit hash (Robert Jenkins' of 1996, Ceph's "rjenkins", which pools have unless told otherwise)
 * over the namespace, a byte 31, and the name. Objects of a pool are listed in the order of its bits from the lowest on.
 */
#pragma once

#include <stdint.h>

#include "base/view.h"

uint32_t object_hash(view name_space, view name);
/* Compares as the listing does. */
uint32_t object_hash_order(uint32_t hash);
