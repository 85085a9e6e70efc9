/*
 * utf8: checking and walking UTF-8 (RFC 3629): no surrogates, no overlong forms, up to U+10FFFF.
 */
#pragma once

#include "base/buf.h"
#include "base/view.h"

bool utf8_is_valid(view v);
/* One code point from the front of *v, which moves past it; false and unmoved when empty or malformed. */
bool utf8_take(view *v, uint32_t *ret_code_point);
/* `code_point` must be a scalar value. */
void utf8_append(buf *b, uint32_t code_point);
/* A copy of `v` with each malformed byte replaced by U+FFFD. */
void utf8_append_repaired(buf *b, view v);
