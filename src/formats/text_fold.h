/*
 * text_fold: text as it is compared in searches: without regard to case, and to the width of kana. Pure.
 *
 * Both what is searched and what is searched for go through it; then bytes are compared (RFC 9051 §6.4.4 asks for
 * substrings without regard to case; the comparator is i;unicode-casemap's simple mappings, RFC 5051).
 */
#pragma once

#include "base/buf.h"
#include "base/view.h"

/* Appends the folded form of `utf8`; bytes that are not UTF-8 stay as they are. */
void text_fold(view utf8, buf *into);
/* The lower case of one code point, by Unicode's simple mapping for Latin, Greek, Cyrillic, Armenian and full-width letters. */
uint32_t text_fold_code_point(uint32_t c);
