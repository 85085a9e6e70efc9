/*
 * preview: the first words of a message, for lists (RFC 8970 §3.3).
 *
 * Of the first text part that is no attachment: plain text, or HTML without its markup. White space is one space, quoted lines and
 * signatures of plain text are left out as long as there is other text. UTF-8, at most PREVIEW_CHARACTERS_MAX characters; nothing when there is no text.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

struct mime_part;

enum {
    PREVIEW_CHARACTERS_MAX = 200,          /* RFC 8970 §3.3 */
    PREVIEW_BODY_BYTES_MAX = 64 * 1024,    /* of the part that is looked at: HTML begins with long style sheets */
    PREVIEW_DEPTH_MAX = 20,                /* of parts that are looked into */
};

void preview_append(const struct mime_part *root, view message, struct arena *arena, buf *into);
