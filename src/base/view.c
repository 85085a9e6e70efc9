#include "base/view.h"

#include <string.h>

view view_of(const char *cstr)
{
    return cstr ? (view){cstr, strlen(cstr)} : VIEW_EMPTY;
}

bool view_equal(view a, view b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

int view_compare(view a, view b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;
    int order = shorter ? memcmp(a.at, b.at, shorter) : 0;
    if (order) return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

int view_compare_nocase(view a, view b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;
    for (size_t i = 0; i < shorter; i++) {
        int order = (unsigned char)ascii_lower(a.at[i]) - (unsigned char)ascii_lower(b.at[i]);
        if (order) return order;
    }
    return a.len < b.len ? -1 : a.len > b.len;
}

bool view_equal_nocase(view a, view b)
{
    return a.len == b.len && view_compare_nocase(a, b) == 0;
}

bool view_starts(view v, view prefix)
{
    return v.len >= prefix.len && view_equal(view_slice(v, 0, prefix.len), prefix);
}

bool view_starts_nocase(view v, view prefix)
{
    return v.len >= prefix.len && view_equal_nocase(view_slice(v, 0, prefix.len), prefix);
}

bool view_ends(view v, view suffix)
{
    return v.len >= suffix.len && view_equal(view_from(v, v.len - suffix.len), suffix);
}

bool view_ends_nocase(view v, view suffix)
{
    return v.len >= suffix.len && view_equal_nocase(view_from(v, v.len - suffix.len), suffix);
}

view view_from(view v, size_t from)
{
    if (from >= v.len) return (view){v.len ? v.at + v.len : v.at, 0};
    return (view){v.at + from, v.len - from};
}

view view_slice(view v, size_t from, size_t len)
{
    view rest = view_from(v, from);
    if (rest.len > len) rest.len = len;
    return rest;
}

size_t view_find(view v, char c)
{
    const char *hit = v.len ? memchr(v.at, c, v.len) : NULL;
    return hit ? (size_t)(hit - v.at) : VIEW_NONE;
}

size_t view_find_last(view v, char c)
{
    const char *hit = v.len ? memrchr(v.at, c, v.len) : NULL;
    return hit ? (size_t)(hit - v.at) : VIEW_NONE;
}

size_t view_find_view(view v, view needle)
{
    if (needle.len == 0) return 0;
    const char *hit = v.len ? memmem(v.at, v.len, needle.at, needle.len) : NULL;
    return hit ? (size_t)(hit - v.at) : VIEW_NONE;
}

size_t view_find_nocase(view v, view needle)
{
    for (size_t i = 0; i + needle.len <= v.len; i++)
        if (view_equal_nocase(view_slice(v, i, needle.len), needle)) return i;
    return VIEW_NONE;
}

bool view_has_byte(view v, char c)
{
    return view_find(v, c) != VIEW_NONE;
}

view view_trim(view v)
{
    while (v.len && ascii_is_space(v.at[0])) v = view_from(v, 1);
    while (v.len && ascii_is_space(v.at[v.len - 1])) v.len--;
    return v;
}

bool view_cut(view *v, char separator, view *ret_head)
{
    if (v->len == 0) return false;
    size_t at = view_find(*v, separator);
    if (at == VIEW_NONE) {
        *ret_head = *v;
        *v = view_from(*v, v->len);
    } else {
        *ret_head = view_slice(*v, 0, at);
        *v = view_from(*v, at + 1);
    }
    return true;
}

bool view_to_u64(view v, uint64_t *ret_number)
{
    uint64_t number = 0;
    if (v.len == 0) return false;
    for (size_t i = 0; i < v.len; i++) {
        if (!ascii_is_digit(v.at[i])) return false;
        if (__builtin_mul_overflow(number, (uint64_t)10, &number)) return false;
        if (__builtin_add_overflow(number, (uint64_t)(v.at[i] - '0'), &number)) return false;
    }
    *ret_number = number;
    return true;
}

bool view_to_u32(view v, uint32_t *ret_number)
{
    uint64_t number;
    if (!view_to_u64(v, &number) || number > UINT32_MAX) return false;
    *ret_number = (uint32_t)number;
    return true;
}

bool view_to_size(view v, uint64_t *ret_bytes)
{
    unsigned shift = 0;
    if (v.len == 0) return false;
    switch (ascii_upper(v.at[v.len - 1])) {
    case 'K': shift = 10; break;
    case 'M': shift = 20; break;
    case 'G': shift = 30; break;
    case 'T': shift = 40; break;
    default: break;
    }
    uint64_t number;
    if (!view_to_u64(shift ? view_slice(v, 0, v.len - 1) : v, &number)) return false;
    if (number > (UINT64_MAX >> shift)) return false;
    *ret_bytes = number << shift;
    return true;
}
