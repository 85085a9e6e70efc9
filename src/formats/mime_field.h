/* mime_field: the Content- fields of a part (RFC 2045, 2183, 3282, 2557, 1864). Of mime.c alone. */
#pragma once

#include "formats/mime.h"

/*
 * Reads the fields of `header` (a view of its bytes) into *part: everything but kind, tree and ranges.
 * Type and subtype are what the header says or its nearest meaning; the default is `default_type`/`default_subtype`.
 * Returns false when something was left out because the arena's budget is spent.
 */
bool mime_fields_read(view header, view default_type, view default_subtype, struct arena *arena, struct mime_part *part);
