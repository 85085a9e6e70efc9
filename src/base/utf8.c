#include "base/utf8.h"

#include "base/check.h"

static bool take_tail(view v, size_t count, uint32_t *code_point)
{
    if (v.len < count + 1) return false;
    for (size_t i = 1; i <= count; i++) {
        unsigned char byte = (unsigned char)v.at[i];
        if ((byte & 0xc0) != 0x80) return false;
        *code_point = (*code_point << 6) | (byte & 0x3fu);
    }
    return true;
}

bool utf8_take(view *v, uint32_t *ret_code_point)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    if (v->len == 0) return false;
    unsigned char lead = (unsigned char)v->at[0];
    size_t tail = lead < 0x80 ? 0 : (lead & 0xe0) == 0xc0 ? 1 : (lead & 0xf0) == 0xe0 ? 2 : (lead & 0xf8) == 0xf0 ? 3 : 4;
    if (tail == 4) return false;
    uint32_t code_point = tail == 0 ? lead : lead & (0x3fu >> tail);
    if (!take_tail(*v, tail, &code_point)) return false;
    if (code_point < least[tail] || code_point > 0x10ffff || (code_point >= 0xd800 && code_point <= 0xdfff)) return false;
    *v = view_from(*v, tail + 1);
    *ret_code_point = code_point;
    return true;
}

bool utf8_is_valid(view v)
{
    uint32_t code_point;
    while (v.len)
        if (!utf8_take(&v, &code_point)) return false;
    return true;
}

void utf8_append(buf *b, uint32_t c)
{
    check(c <= 0x10ffff && !(c >= 0xd800 && c <= 0xdfff));
    if (c < 0x80) {
        buf_append_byte(b, (char)c);
    } else if (c < 0x800) {
        buf_append_byte(b, (char)(0xc0 | (c >> 6)));
        buf_append_byte(b, (char)(0x80 | (c & 0x3f)));
    } else if (c < 0x10000) {
        buf_append_byte(b, (char)(0xe0 | (c >> 12)));
        buf_append_byte(b, (char)(0x80 | ((c >> 6) & 0x3f)));
        buf_append_byte(b, (char)(0x80 | (c & 0x3f)));
    } else {
        buf_append_byte(b, (char)(0xf0 | (c >> 18)));
        buf_append_byte(b, (char)(0x80 | ((c >> 12) & 0x3f)));
        buf_append_byte(b, (char)(0x80 | ((c >> 6) & 0x3f)));
        buf_append_byte(b, (char)(0x80 | (c & 0x3f)));
    }
}

void utf8_append_repaired(buf *b, view v)
{
    while (v.len) {
        view start = v;
        uint32_t code_point;
        if (utf8_take(&v, &code_point)) {
            buf_append(b, view_slice(start, 0, start.len - v.len));
        } else {
            utf8_append(b, 0xfffd);
            v = view_from(v, 1);
        }
    }
}
