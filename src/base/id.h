/*
 * id: sixteen bytes that name an account, a message, a record, an object.
 *
 * The first six bytes are milliseconds since 1970 (big-endian), the rest is random: ids sort by the
 * time of their making and never repeat. runtime/random.h makes them. A message keeps one id from the
 * connection it came in on to its mailbox row. In text: 32 lower-case hexadecimal digits.
 */
#pragma once

#include "base/time.h"
#include "base/view.h"

struct id {
    unsigned char bytes[16];
};

enum { ID_TEXT_LEN = 32 };

#define ID_NONE ((struct id){{0}})

bool id_is_none(struct id i);
bool id_equal(struct id a, struct id b);
int id_compare(struct id a, struct id b);
static inline view id_view(const struct id *i) { return view_make(i->bytes, sizeof i->bytes); }
/* Writes 32 digits and a NUL; returns a view of the digits. */
view id_text(struct id i, char text[static ID_TEXT_LEN + 1]);
bool id_parse(view text, struct id *ret_id);
/* When it was made. */
unix_ms id_time(struct id i);
bool id_from_bytes(view bytes, struct id *ret_id);   /* exactly 16 bytes */
