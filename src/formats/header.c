#include "formats/header.h"

#include <string.h>

/* Length of the first line with its LF; all of it when there is none. */
static size_t line_length(view v)
{
    size_t end = view_find(v, '\n');
    return end == VIEW_NONE ? v.len : end + 1;
}

static bool is_blank_line(view v, size_t length)
{
    return (length == 1 && v.at[0] == '\n') || (length == 2 && v.at[0] == '\r' && v.at[1] == '\n');
}

static view without_line_end(view line)
{
    if (line.len && line.at[line.len - 1] == '\n') line.len--;
    if (line.len && line.at[line.len - 1] == '\r') line.len--;
    return line;
}

/*
 * field-name = 1*ftext (RFC 5322 §3.6.8): printable but colon; obs-optional allows white space before
 * the colon. Bytes above 0x7f pass: raw text of a broken sender is still a field to be kept apart.
 */
static bool split_field(view whole, struct header_field *field)
{
    size_t colon = view_find(view_slice(whole, 0, HEADER_NAME_BYTES_MAX + 1), ':');
    if (colon == VIEW_NONE || colon == 0) return false;
    size_t end = colon;
    while (end && (whole.at[end - 1] == ' ' || whole.at[end - 1] == '\t')) end--;
    for (size_t i = 0; i < end; i++)
        if ((unsigned char)whole.at[i] <= ' ' || whole.at[i] == 0x7f) return false;
    if (end == 0) return false;
    field->name = view_slice(whole, 0, end);
    field->value = without_line_end(view_from(whole, colon + 1));
    return true;
}

bool header_next(view *rest, struct header_field *ret_field)
{
    size_t length = line_length(*rest);
    if (length == 0) return false;
    if (is_blank_line(*rest, length)) {
        *rest = view_from(*rest, length);
        return false;
    }
    while (length < rest->len && (rest->at[length] == ' ' || rest->at[length] == '\t')) {
        length += line_length(view_from(*rest, length));
    }
    struct header_field field = {.whole = view_slice(*rest, 0, length)};
    if (!split_field(field.whole, &field)) field.value = without_line_end(field.whole);
    *rest = view_from(*rest, length);
    *ret_field = field;
    return true;
}

void header_split(view message, view *ret_header, view *ret_body)
{
    size_t at = 0;
    while (at < message.len) {
        view rest = view_from(message, at);
        size_t length = line_length(rest);
        at += length;
        if (is_blank_line(rest, length)) break;
    }
    *ret_header = view_slice(message, 0, at);
    *ret_body = view_from(message, at);
}

bool header_find(view header, view name, struct header_field *ret_field)
{
    struct header_field field;
    while (header_next(&header, &field)) {
        if (!view_equal_nocase(field.name, name)) continue;
        *ret_field = field;
        return true;
    }
    return false;
}

view header_value(view header, view name, struct arena *arena)
{
    struct header_field field;
    return header_find(header, name, &field) ? header_unfold(field.value, arena) : VIEW_EMPTY;
}

view header_unfold(view value, struct arena *arena)
{
    value = view_trim(view_slice(value, 0, HEADER_VALUE_BYTES_MAX));
    size_t first = view_find(value, '\n');
    if (first == VIEW_NONE) return value;
    char *copy = arena_try_alloc(arena, value.len);
    if (!copy) return view_trim(view_slice(value, 0, first));
    size_t len = 0;
    for (size_t at = 0; at < value.len;) {
        view line = view_slice(value, at, line_length(view_from(value, at)));
        at += line.len;
        line = without_line_end(line);
        if (line.len) memcpy(copy + len, line.at, line.len);
        len += line.len;
    }
    return view_make(copy, len);
}
