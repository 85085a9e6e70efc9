/*
 * header: the header fields of a message or of a MIME part (RFC 5322 §2.2, §4.5).
 *
 * Works on a view of the bytes and keeps every one of them: whatever stands there, header_next() hands
 * it out as one field or another, so that a caller that copies fields copies the whole header.
 *
 * What ends a line here is LF, with or without CR before it; a lone CR or a NUL is data like any other
 * byte. The header ends at its first empty line. A line that is no field (no colon, an mbox "From "
 * line, an empty name) becomes a field without a name and never an error.
 *
 * Views point into the bytes given. No allocation but in header_unfold(). Pure.
 */
#pragma once

#include "base/arena.h"
#include "base/view.h"

enum {
    /* Longest field body that is read for its meaning; what follows is ignored. Servers in use write
     * fields of 64 KiB at most; ten thousand addresses of 25 bytes fit. */
    HEADER_VALUE_BYTES_MAX = 256 * 1024,
    /* Longest name that counts as a field name (RFC 5322 §2.1.1: a line has at most 998 bytes). */
    HEADER_NAME_BYTES_MAX = 998,
};

struct header_field {
    view name;       /* without white space before the colon; empty when the line is no field */
    view value;      /* after the colon, folds and white space kept, without the last line end; the line itself when it is no field */
    view whole;      /* everything, line end included */
};

/* Cuts a message: *ret_header ends with the empty line (when there is one), *ret_body is the rest. */
void header_split(view message, view *ret_header, view *ret_body);

/*
 * The first field of *rest, which moves past it; false at the empty line and at the end, *rest then
 * being what follows the empty line. Start with the whole header or the whole message.
 */
bool header_next(view *rest, struct header_field *ret_field);

/* The first field of that name (ASCII case ignored). `header` as for header_next(). */
bool header_find(view header, view name, struct header_field *ret_field);

/* The value of the first field of that name, unfolded; the empty view when there is none. */
view header_value(view header, view name, struct arena *arena);

/*
 * A field value on one line: line ends removed, outer white space trimmed, at most
 * HEADER_VALUE_BYTES_MAX. A view of `value` itself when nothing had to be removed, else in `arena` (when
 * its budget is spent, what stands before the first line end).
 */
view header_unfold(view value, struct arena *arena);
