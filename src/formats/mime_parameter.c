/* Parameter values as text: RFC 2231, and RFC 2047 where it does not belong. */
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "formats/charset.h"
#include "formats/encoded_word.h"
#include "formats/mime.h"

/* name*N or name*N*; the latter is percent-encoded. N of -1: name* alone. */
static const struct mime_parameter *find_section(const struct mime_parameters *list, view name, int number, bool *ret_is_extended)
{
    for (unsigned i = 0; i < list->count; i++) {
        view given = list->at[i].name;
        if (given.len <= name.len || !view_starts_nocase(given, name) || given.at[name.len] != '*') continue;
        view rest = view_from(given, name.len + 1);
        uint32_t found;
        bool is_extended = rest.len == 0 || rest.at[rest.len - 1] == '*';
        if (rest.len && is_extended) rest.len--;
        bool is_it = number < 0 ? given.len == name.len + 1 : view_to_u32(rest, &found) && found == (uint32_t)number;
        if (!is_it) continue;
        *ret_is_extended = is_extended;
        return &list->at[i];
    }
    return NULL;
}

static int hex_digit(char c)
{
    if (ascii_is_digit(c)) return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void append_percent_decoded(buf *b, view v)
{
    for (size_t i = 0; i < v.len; i++) {
        int high = i + 2 < v.len && v.at[i] == '%' ? hex_digit(v.at[i + 1]) : -1, low = high < 0 ? -1 : hex_digit(v.at[i + 2]);
        if (low >= 0) {
            buf_append_byte(b, (char)(unsigned char)(high << 4 | low));
            i += 2;
        } else {
            buf_append_byte(b, v.at[i]);
        }
    }
}

/* charset'language'value; without two quotes all is value. */
static view take_charset(view *value)
{
    size_t first = view_find(*value, '\'');
    if (first == VIEW_NONE) return VIEW_EMPTY;
    size_t second = view_find(view_from(*value, first + 1), '\'');
    if (second == VIEW_NONE) return VIEW_EMPTY;
    view charset = view_slice(*value, 0, first);
    *value = view_from(*value, first + second + 2);
    return charset;
}

static view keep_text(struct arena *arena, const buf *text)
{
    char *copy = text->len ? arena_try_alloc(arena, text->len) : NULL;
    if (copy) memcpy(copy, text->at, text->len);
    return view_make(copy, copy ? text->len : 0);
}

/* RFC 2231 §3 and §4 */
static bool read_extended(const struct mime_parameters *list, view name, struct arena *arena, view *ret_text)
{
    buf bytes CLEANUP(buf_done) = BUF_INIT, text CLEANUP(buf_done) = BUF_INIT;
    bool is_extended;
    view charset = VIEW_EMPTY;
    const struct mime_parameter *section = find_section(list, name, 0, &is_extended);
    bool is_single = !section;
    if (is_single) section = find_section(list, name, -1, &is_extended);
    if (!section) return false;
    for (int number = 0; section; section = find_section(list, name, ++number, &is_extended)) {
        view value = section->value;
        if (number == 0 && is_extended) charset = take_charset(&value);
        if (is_extended) append_percent_decoded(&bytes, value);
        else buf_append(&bytes, value);
        if (is_single) break;
    }
    charset_append_utf8(charset, buf_view(&bytes), &text);
    *ret_text = keep_text(arena, &text);
    return true;
}

bool mime_parameter_text(const struct mime_parameters *parameters, view name, struct arena *arena, view *ret_text)
{
    if (read_extended(parameters, name, arena, ret_text)) return true;
    for (unsigned i = 0; i < parameters->count; i++) {
        if (!view_equal_nocase(parameters->at[i].name, name)) continue;
        *ret_text = encoded_word_decode(parameters->at[i].value, arena);
        return true;
    }
    return false;
}

bool mime_filename(const struct mime_part *part, struct arena *arena, view *ret_name)
{
    return mime_parameter_text(&part->disposition_parameters, VIEW("filename"), arena, ret_name) ||
           mime_parameter_text(&part->parameters, VIEW("name"), arena, ret_name);
}
