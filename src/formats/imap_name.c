#include "formats/imap_name.h"

#include <string.h>

#include "base/check.h"
#include "base/utf8.h"

/* RFC 3501 §5.1.3: base64 with "," for "/" and without padding. */
static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

static int digit_value(char c)
{
    const char *at = c ? memchr(digits, c, 64) : NULL;
    return at ? (int)(at - digits) : -1;
}

static bool is_direct(uint32_t code_point)
{
    return code_point >= 0x20 && code_point <= 0x7e;
}

struct bits {
    uint32_t held;
    unsigned count;
};

static void put_unit(buf *out, struct bits *bits, uint32_t unit)
{
    bits->held = (bits->held << 16) | unit;
    bits->count += 16;
    while (bits->count >= 6) {
        bits->count -= 6;
        buf_append_byte(out, digits[(bits->held >> bits->count) & 0x3f]);
    }
    bits->held &= (1u << bits->count) - 1;
}

static void put_shifted(buf *out, struct bits *bits, uint32_t code_point)
{
    if (code_point >= 0x10000) {
        put_unit(out, bits, 0xd800 + ((code_point - 0x10000) >> 10));
        put_unit(out, bits, 0xdc00 + ((code_point - 0x10000) & 0x3ff));
    } else {
        put_unit(out, bits, code_point);
    }
}

static void end_shift(buf *out, struct bits *bits)
{
    if (bits->count) buf_append_byte(out, digits[(bits->held << (6 - bits->count)) & 0x3f]);
    buf_append_byte(out, '-');
    *bits = (struct bits){0};
}

void imap_utf7_append(buf *out, view name)
{
    struct bits bits = {0};
    bool is_shifted = false;
    uint32_t code_point;
    while (utf8_take(&name, &code_point)) {
        if (is_shifted && is_direct(code_point)) end_shift(out, &bits);
        if (!is_shifted && !is_direct(code_point)) buf_append_byte(out, '&');
        is_shifted = !is_direct(code_point);
        if (is_shifted) {
            put_shifted(out, &bits, code_point);
        } else {
            buf_append_byte(out, (char)code_point);
            if (code_point == '&') buf_append_byte(out, '-');
        }
    }
    if (is_shifted) end_shift(out, &bits);
}

/* One UTF-16 unit after the other; *high is a surrogate that waits for its second half, or 0. */
static bool take_unit(buf *out, uint32_t unit, uint32_t *high)
{
    if (*high) {
        if (unit < 0xdc00 || unit > 0xdfff) return false;
        utf8_append(out, 0x10000 + ((*high - 0xd800) << 10) + (unit - 0xdc00));
        *high = 0;
        return true;
    }
    if (unit >= 0xdc00 && unit <= 0xdfff) return false;
    if (unit >= 0xd800 && unit <= 0xdbff) {
        *high = unit;
    } else {
        utf8_append(out, unit);
    }
    return true;
}

static bool decode_shift(buf *out, view encoded)
{
    struct bits bits = {0};
    uint32_t high = 0;
    for (size_t i = 0; i < encoded.len; i++) {
        int value = digit_value(encoded.at[i]);
        if (value < 0) return false;
        bits.held = (bits.held << 6) | (uint32_t)value;
        bits.count += 6;
        if (bits.count < 16) continue;
        bits.count -= 16;
        if (!take_unit(out, (bits.held >> bits.count) & 0xffff, &high)) return false;
        bits.held &= (1u << bits.count) - 1;
    }
    return high == 0;
}

static bool decode_freely(buf *out, view wire)
{
    while (wire.len) {
        char c = wire.at[0];
        wire = view_from(wire, 1);
        if (c != '&') {
            if (!is_direct((unsigned char)c)) return false;
            buf_append_byte(out, c);
            continue;
        }
        size_t end = view_find(wire, '-');
        if (end == VIEW_NONE) return false;
        if (end == 0) buf_append_byte(out, '&');
        if (!decode_shift(out, view_slice(wire, 0, end))) return false;
        wire = view_from(wire, end + 1);
    }
    return true;
}

bool imap_utf7_decode(buf *out, view wire)
{
    size_t before = out->len;
    buf again CLEANUP(buf_done) = BUF_INIT;
    if (decode_freely(out, wire)) {
        imap_utf7_append(&again, view_from(buf_view(out), before));
        if (view_equal(buf_view(&again), wire)) return true;
    }
    out->len = before;
    return false;
}

static bool is_ascii(view v)
{
    for (size_t i = 0; i < v.len; i++)
        if ((unsigned char)v.at[i] >= 0x80) return false;
    return true;
}

/* Controls, and the separators that break lines for whoever shows the name (RFC 9051 §5.1, RFC 5198). */
static bool is_name_text(view name)
{
    uint32_t c;
    while (name.len) {
        if (!utf8_take(&name, &c)) return false;
        if (c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029) return false;
    }
    return true;
}

static bool starts_with_inbox(view name)
{
    return view_starts_nocase(name, VIEW("INBOX")) && (name.len == 5 || name.at[5] == IMAP_NAME_SEPARATOR);
}

static result decode(view wire, bool is_utf8, buf *out)
{
    if (wire.len > 4 * IMAP_NAME_BYTES_MAX) return TOO_BIG;
    if (is_utf8 || !is_ascii(wire)) {
        buf_append(out, wire);
    } else if (!imap_utf7_decode(out, wire)) {
        return INVALID;
    }
    if (!is_name_text(buf_view(out))) return INVALID;
    return out->len > IMAP_NAME_BYTES_MAX ? TOO_BIG : OK;
}

static result check_levels(view name)
{
    size_t levels = 0;
    view level;
    if (name.len == 0 || name.at[name.len - 1] == IMAP_NAME_SEPARATOR) return INVALID;
    while (view_cut(&name, IMAP_NAME_SEPARATOR, &level)) {
        if (level.len == 0) return INVALID;
        if (++levels > IMAP_NAME_LEVELS_MAX) return TOO_BIG;
    }
    return OK;
}

result imap_name_from_wire(view wire, bool is_utf8, struct arena *arena, view *ret_name)
{
    buf name CLEANUP(buf_done) = BUF_INIT;
    result code = decode(wire, is_utf8, &name);
    if (code != OK) return code;
    if (name.len > 1 && name.at[name.len - 1] == IMAP_NAME_SEPARATOR) name.len--;
    code = check_levels(buf_view(&name));
    if (code != OK) return code;
    if (starts_with_inbox(buf_view(&name))) memcpy(name.at, "INBOX", 5);
    *ret_name = arena_keep(arena, buf_view(&name));
    return OK;
}

result imap_pattern_from_wire(view wire, bool is_utf8, struct arena *arena, view *ret_pattern)
{
    buf pattern CLEANUP(buf_done) = BUF_INIT;
    result code = decode(wire, is_utf8, &pattern);
    if (code != OK) return code;
    *ret_pattern = arena_keep(arena, buf_view(&pattern));
    return OK;
}

void imap_name_append_wire(buf *out, view name, bool is_utf8)
{
    if (is_utf8) {
        buf_append(out, name);
    } else {
        imap_utf7_append(out, name);
    }
}

static bool is_same_byte(char pattern, char name, bool is_inbox_part)
{
    return pattern == name || (is_inbox_part && ascii_upper(pattern) == name);
}

/*
 * matched[i] says whether the pattern so far matches the first i bytes of the name; one pass over the
 * name per byte of the pattern, so that no pattern can make it take exponential time.
 */
bool imap_pattern_matches(view pattern, view name)
{
    bool matched[IMAP_NAME_BYTES_MAX + 1] = {true};
    size_t inbox_len = starts_with_inbox(name) ? 5 : 0;
    if (name.len > IMAP_NAME_BYTES_MAX) return false;
    if (view_equal(pattern, VIEW("*"))) return true;
    for (size_t p = 0; p < pattern.len; p++) {
        char c = pattern.at[p];
        bool is_wild = c == '*' || c == '%';
        if (is_wild) {
            for (size_t i = 1; i <= name.len; i++)
                matched[i] = matched[i] || (matched[i - 1] && (c == '*' || name.at[i - 1] != IMAP_NAME_SEPARATOR));
            continue;
        }
        for (size_t i = name.len; i > 0; i--)
            matched[i] = matched[i - 1] && is_same_byte(c, name.at[i - 1], i <= inbox_len);
        matched[0] = false;
    }
    return matched[name.len];
}

bool imap_name_is_inbox(view name)
{
    return view_equal_nocase(name, VIEW("INBOX"));
}

view imap_name_parent(view name)
{
    size_t at = view_find_last(name, IMAP_NAME_SEPARATOR);
    return at == VIEW_NONE ? VIEW_EMPTY : view_slice(name, 0, at);
}
