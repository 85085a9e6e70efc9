/*
 * address_key: the one spelling under which an address stands in the directory.
 *
 * The local part without quoting and in lower case (ASCII), the domain as A-labels in lower case (IDNA 2008,
 * RFC 5891). Local parts that break RFC 5321 ("a..b", ".a", "a.") are keys like any other. Pure.
 */
#pragma once

#include "base/arena.h"
#include "base/result.h"

/* `address` is local@domain, the local part quoted or not. INVALID when it is neither. The key lives in `arena`. */
NODISCARD result address_key(view address, struct arena *arena, view *ret_key);
NODISCARD result domain_key(view domain, struct arena *arena, view *ret_key);
/* The domain of a key. */
view address_key_domain(view key);
