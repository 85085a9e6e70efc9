/*
 * view: borrowed bytes.
 *
 * A pointer and a length. It may contain NUL, is never terminated and never owns what it points to.
 * Storing one past the call that got it needs a copy: arena_keep(), buf_append(). A view of length 0
 * may have any pointer, NULL too. C strings exist only at the border to libraries: arena_cstr().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct view {
    const char *at;
    size_t len;
} view;

/* A view of a string literal, usable in initialisers. */
#define VIEW_INIT(literal) {"" literal, sizeof(literal) - 1}
#define VIEW(literal) ((view)VIEW_INIT(literal))
#define VIEW_EMPTY ((view){NULL, 0})
/* For "%.*s": a view as the two arguments that printf wants, at most 4096 bytes. */
#define VIEW_FMT "%.*s"
#define VIEW_ARG(v) ((v).len > 4096 ? 4096 : (int)(v).len), ((v).len ? (v).at : "")

view view_of(const char *cstr);                /* of a C string; NULL gives the empty view */
static inline view view_make(const void *at, size_t len) { return (view){(const char *)at, len}; }
static inline bool view_is_empty(view v) { return v.len == 0; }

bool view_equal(view a, view b);
bool view_equal_nocase(view a, view b);        /* ASCII case only */
int view_compare(view a, view b);              /* bytewise, shorter first: <0, 0, >0 */
int view_compare_nocase(view a, view b);
bool view_starts(view v, view prefix);
bool view_starts_nocase(view v, view prefix);
bool view_ends(view v, view suffix);
bool view_ends_nocase(view v, view suffix);

/* Bytes from `from` (clamped) to the end, and at most `len` bytes from `from`. */
view view_from(view v, size_t from);
view view_slice(view v, size_t from, size_t len);

#define VIEW_NONE ((size_t)-1)
size_t view_find(view v, char c);              /* position, or VIEW_NONE */
size_t view_find_last(view v, char c);
size_t view_find_view(view v, view needle);    /* empty needle is at 0 */
size_t view_find_nocase(view v, view needle);  /* ASCII case only */
bool view_has_byte(view v, char c);

view view_trim(view v);                        /* without SP, TAB, CR, LF at both ends */

/*
 * Cut at the first `separator`: *ret_head gets what is before it, *v what follows. Without one, the
 * head is all of *v, *v becomes empty. False only when *v was already empty.
 */
bool view_cut(view *v, char separator, view *ret_head);

/* The whole view is one decimal number of digits only, without overflow. */
bool view_to_u64(view v, uint64_t *ret_number);
bool view_to_u32(view v, uint32_t *ret_number);
/* A size with an optional binary suffix K, M, G, T ("5G" is 5 * 2^30). */
bool view_to_size(view v, uint64_t *ret_bytes);

static inline char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }
static inline char ascii_upper(char c) { return c >= 'a' && c <= 'z' ? (char)(c - 32) : c; }
static inline bool ascii_is_digit(char c) { return c >= '0' && c <= '9'; }
static inline bool ascii_is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static inline bool ascii_is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
