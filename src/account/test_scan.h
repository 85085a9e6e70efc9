/* test_scan: what an index has to find, as the message itself says it. */
#pragma once

#include "account/segment.h"

/* `needle` is folded. Values of fields only, unless everything or only the body is looked into. */
bool test_scan(view message, unsigned zones, view needle);
