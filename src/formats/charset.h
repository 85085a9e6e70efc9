/*
 * charset: any charset to UTF-8.
 *
 * Nothing fails: what cannot be read becomes U+FFFD, a label that is missing, unknown or plainly wrong is
 * replaced by a guess from the bytes. Japanese mail is read as its senders meant it: "ISO-2022-JP" as
 * CP50221 (NEC and IBM characters, half-width kana by ESC ( I, SO or in 8 bits, JIS X 0212 and 0213),
 * "Shift_JIS" as CP932, "EUC-JP" as CP51932/eucJP-ms, pictographs of the user area as private characters.
 * ISO-8859-1 and US-ASCII are read as windows-1252, a superset that senders mean by them.
 *
 * Uses iconv for the tables; its handles live for one call. Pure but for what libc caches.
 */
#pragma once

#include "base/buf.h"
#include "base/view.h"

enum { CHARSET_NAME_BYTES_MAX = 40 };    /* longer than any registered name that is in use */

/* Appends `bytes` as UTF-8. False when something was replaced or the charset had to be guessed against its label. */
bool charset_append_utf8(view charset, view bytes, buf *into);
/* A label that is read by its own rules (for the CHARSET of IMAP SEARCH). */
bool charset_is_known(view charset);
/* The most likely charset of bytes without a label: "us-ascii", "utf-8", "iso-2022-jp", "shift_jis", "euc-jp" or "windows-1252". Static. */
view charset_guess(view bytes);

/* Appends UTF-8 text with half-width kana made full-width, sound marks joined: what compares as equal in a search. */
void charset_fold_kana(view text, buf *into);
