/*
 * collate: what texts are compared by when they are sorted: the i;unicode-casemap collation (RFC 5051).
 *
 * Two texts compare as view_compare() compares what this makes of them.
 */
#pragma once

#include "base/buf.h"
#include "base/view.h"

/* Bytes that are not UTF-8 stay as they are. */
void collate_append(buf *out, view text);
