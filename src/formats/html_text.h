/*
 * html_text: what a reader sees of HTML.
 *
 * Markup, comments, scripts, styles and the title are left out; an element that is not inline ends a word: a space stands for it. Entities are
 * read. Not a parser of HTML: what is broken is text or is left out, in time linear in the input. Pure.
 */
#pragma once

#include "base/view.h"

/* The next character; white space as it stands. False: enough. */
typedef bool html_text_fn(void *argument, uint32_t c);
void html_text_each(view utf8, html_text_fn *put, void *argument);
