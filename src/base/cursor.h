/*
 * cursor: what a parser has left to read.
 *
 * The take_ functions move past what they recognise and return true, or return false and leave the
 * cursor where it was. They never yield, never allocate and never read outside `rest`. Grammar
 * functions of the formats rooms are built on them. `depth` counts nesting; whoever recurses compares
 * it with a named limit of its own.
 */
#pragma once

#include "base/id.h"
#include "base/view.h"

struct cursor {
    view rest;       /* not yet read */
    view whole;      /* all of it, for positions in error texts */
    unsigned depth;
};

static inline struct cursor cursor_of(view whole) { return (struct cursor){whole, whole, 0}; }
static inline bool cursor_at_end(const struct cursor *c) { return c->rest.len == 0; }
static inline size_t cursor_position(const struct cursor *c) { return c->whole.len - c->rest.len; }
/* The next byte, or -1 at the end. Does not move. */
static inline int cursor_peek(const struct cursor *c)
{
    return c->rest.len ? (unsigned char)c->rest.at[0] : -1;
}

bool take_byte(struct cursor *c, char expected);
bool take_view(struct cursor *c, view expected);
bool take_view_nocase(struct cursor *c, view expected);      /* ASCII case only */
bool take_bytes(struct cursor *c, size_t count, view *ret_bytes);
/* One or more / zero or more bytes for which is_member returns true. */
bool take_while1(struct cursor *c, bool (*is_member)(unsigned char byte), view *ret_bytes);
view take_while(struct cursor *c, bool (*is_member)(unsigned char byte));
/* 1*DIGIT up to `max`; false when out of range. */
bool take_number(struct cursor *c, uint64_t max, uint64_t *ret_number);
bool take_number32(struct cursor *c, uint32_t *ret_number);

/* Binary numbers as buf_append_le*() and buf_append_varint() wrote them. */
bool take_le16(struct cursor *c, uint16_t *ret_number);
bool take_le32(struct cursor *c, uint32_t *ret_number);
bool take_le64(struct cursor *c, uint64_t *ret_number);
bool take_varint(struct cursor *c, uint64_t *ret_number);
bool take_varint32(struct cursor *c, uint32_t *ret_number);
/* An id's 16 bytes, and a moment as le64. */
bool take_raw_id(struct cursor *c, struct id *ret_id);
bool take_unix_ms(struct cursor *c, unix_ms *ret_time);
/* A varint length, at most `max`, and that many bytes. */
bool take_sized(struct cursor *c, size_t max, view *ret_bytes);
