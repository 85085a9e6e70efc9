/*
 * wire_take: the pure half of wire.h: what the bytes that came so far amount to. For wire.c, its tests and its fuzz target.
 *
 * Each returns BUSY when it needs more bytes at the end of w->input; the same units come out however the bytes were cut.
 */
#pragma once

#include "runtime/wire.h"

/* OK, TOO_BIG (the line is consumed), or BUSY. */
NODISCARD result wire_take_line(struct wire *w, size_t max_bytes, view *ret_line);
/* OK, END (the final dot is consumed), or BUSY. */
NODISCARD result wire_take_data(struct wire *w, view *ret_piece);
/* OK or BUSY. */
NODISCARD result wire_take_bytes(struct wire *w, size_t max_bytes, view *ret_bytes);
/* Moves what is not yet consumed to the front: views given out end here. */
void wire_compact(struct wire *w);
