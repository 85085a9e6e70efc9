/*
 * encoded_word: text of header fields as UTF-8 (RFC 2047).
 *
 * Reads what is sent, not only what may be: words in any place and of any length, characters and JIS
 * states cut between words, base64 cut between words, raw 8-bit (RFC 6532 §3.2 among it) and raw ISO-2022-JP text. Pure.
 */
#pragma once

#include "base/arena.h"
#include "base/view.h"

/*
 * A field body (folds allowed) or a display name as UTF-8 on one line, in the arena; valid UTF-8 whatever came in. A spent
 * budget gives the empty view.
 */
view encoded_word_decode(view value, struct arena *arena);
