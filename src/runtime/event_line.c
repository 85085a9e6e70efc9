/*
 * One event as one line, in text or JSON.
 *
 * Values are hostile: whatever would end the line, hide it or draw over another one (controls, line
 * separators, direction marks) is escaped, broken UTF-8 too, so that a line always is what it seems.
 * A field that does not fit is left out whole, and the line says `cut`.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/utf8.h"
#include "runtime/event_face.h"

struct line {
    char *at;
    size_t len, room;
    bool is_full;
};

enum { TAIL_BYTES = 16 };        /* kept for `,"cut":1}` and the line end */

static void put(struct line *l, view v)
{
    if (l->is_full || l->room - l->len < v.len) {
        l->is_full = true;
        return;
    }
    if (v.len) memcpy(l->at + l->len, v.at, v.len);
    l->len += v.len;
}

static void put_cstr(struct line *l, const char *text) { put(l, view_of(text)); }

static void put_number(struct line *l, int64_t number)
{
    char text[24];
    int len = snprintf(text, sizeof text, "%lld", (long long)number);
    put(l, view_make(text, (size_t)len));
}

static void put_time(struct line *l, unix_ms when)
{
    time_t seconds = (time_t)(when.ms / 1000);
    struct tm parts;
    char text[40];
    gmtime_r(&seconds, &parts);
    size_t len = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    int more = snprintf(text + len, sizeof text - len, ".%03dZ", (int)(when.ms % 1000));
    put(l, view_make(text, len + (size_t)more));
}

/* Controls, line and paragraph separator, and the marks that change the direction of text. */
static bool is_unseemly(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200e && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

static void put_escaped_code(struct line *l, uint32_t c)
{
    char text[8];
    if (c == '\n') put_cstr(l, "\\n");
    else if (c == '\r') put_cstr(l, "\\r");
    else if (c == '\t') put_cstr(l, "\\t");
    else {
        snprintf(text, sizeof text, "\\u%04x", (unsigned)c);
        put_cstr(l, text);
    }
}

static void put_broken_byte(struct line *l, unsigned char byte, enum event_format format)
{
    char text[8];
    if (format == EVENT_FORMAT_JSON) {
        put_cstr(l, "\xef\xbf\xbd");
        return;
    }
    snprintf(text, sizeof text, "\\x%02x", byte);
    put_cstr(l, text);
}

static void put_quoted(struct line *l, view value, enum event_format format)
{
    put_cstr(l, "\"");
    while (value.len) {
        view before = value;
        uint32_t c;
        if (!utf8_take(&value, &c)) {
            put_broken_byte(l, (unsigned char)value.at[0], format);
            value = view_from(value, 1);
        } else if (is_unseemly(c)) {
            put_escaped_code(l, c);
        } else {
            if (c == '"' || c == '\\') put_cstr(l, "\\");
            put(l, view_slice(before, 0, before.len - value.len));
        }
    }
    put_cstr(l, "\"");
}

static bool is_plain(view value)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = value.at[i];
        if (!ascii_is_digit(c) && !ascii_is_alpha(c) && !strchr("._-:/@+<>[]*%,;!", c)) return false;
        if (c == 0) return false;
    }
    return value.len > 0;
}

/* Cuts at a limit, not within a character. */
static view cut_value(view value)
{
    if (value.len <= EVENT_VALUE_MAX) return value;
    size_t len = EVENT_VALUE_MAX;
    while (len > EVENT_VALUE_MAX - 4 && ((unsigned char)value.at[len] & 0xc0) == 0x80) len--;
    return view_slice(value, 0, len);
}

static void put_value(struct line *l, const struct event_field *f, enum event_format format)
{
    char text[ID_TEXT_LEN + 1];
    view value = f->kind == EVENT_FIELD_ID ? id_text(f->id, text) : cut_value(f->text);
    if (f->kind == EVENT_FIELD_NUMBER) put_number(l, f->number);
    else if (format == EVENT_FORMAT_TEXT && is_plain(value)) put(l, value);
    else put_quoted(l, value, format);
}

static void put_field(struct line *l, const struct event_field *f, enum event_format format)
{
    put_cstr(l, format == EVENT_FORMAT_JSON ? ",\"" : " ");
    put_cstr(l, f->name);
    put_cstr(l, format == EVENT_FORMAT_JSON ? "\":" : "=");
    put_value(l, f, format);
}

static void put_start(struct line *l, enum event_format format, unix_ms when, enum event e)
{
    static const char *const levels[] = {"debug", "info", "notice", "warning", "error"};
    bool json = format == EVENT_FORMAT_JSON;
    put_cstr(l, json ? "{\"time\":\"" : "");
    put_time(l, when);
    put_cstr(l, json ? "\",\"level\":\"" : " ");
    put_cstr(l, levels[event_level_of(e)]);
    put_cstr(l, json ? "\",\"event\":\"" : " ");
    put_cstr(l, event_name(e));
    put_cstr(l, json ? "\"" : "");
}

size_t event_line_write(char line[static EVENT_LINE_MAX], enum event_format format, unix_ms when, enum event e,
                        const struct event_field *fields, size_t count)
{
    struct line l = {.at = line, .room = EVENT_LINE_MAX - TAIL_BYTES};
    bool is_cut = false;
    put_start(&l, format, when, e);
    for (size_t i = 0; i < count; i++) {
        size_t before = l.len;
        put_field(&l, &fields[i], format);
        if (!l.is_full) continue;
        l.len = before;
        l.is_full = false;
        is_cut = true;
    }
    l.room = EVENT_LINE_MAX;
    if (is_cut) put_cstr(&l, format == EVENT_FORMAT_JSON ? ",\"cut\":1" : " cut=1");
    put_cstr(&l, format == EVENT_FORMAT_JSON ? "}\n" : "\n");
    check(!l.is_full);
    return l.len;
}
