#include "base/id.h"

#include <string.h>

bool id_is_none(struct id i)
{
    return id_equal(i, ID_NONE);
}

bool id_equal(struct id a, struct id b)
{
    return memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}

int id_compare(struct id a, struct id b)
{
    return memcmp(a.bytes, b.bytes, sizeof a.bytes);
}

view id_text(struct id i, char text[static ID_TEXT_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t at = 0; at < sizeof i.bytes; at++) {
        text[2 * at] = digits[i.bytes[at] >> 4];
        text[2 * at + 1] = digits[i.bytes[at] & 15];
    }
    text[ID_TEXT_LEN] = '\0';
    return view_make(text, ID_TEXT_LEN);
}

static int digit_value(char c)
{
    if (ascii_is_digit(c)) return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool id_parse(view text, struct id *ret_id)
{
    struct id parsed;
    if (text.len != ID_TEXT_LEN) return false;
    for (size_t at = 0; at < sizeof parsed.bytes; at++) {
        int high = digit_value(text.at[2 * at]), low = digit_value(text.at[2 * at + 1]);
        if (high < 0 || low < 0) return false;
        parsed.bytes[at] = (unsigned char)(high * 16 + low);
    }
    *ret_id = parsed;
    return true;
}

bool id_from_bytes(view bytes, struct id *ret_id)
{
    if (bytes.len != sizeof ret_id->bytes) return false;
    memcpy(ret_id->bytes, bytes.at, bytes.len);
    return true;
}

unix_ms id_time(struct id i)
{
    uint64_t time = 0;
    for (size_t at = 0; at < 6; at++) time = time << 8 | i.bytes[at];
    return (unix_ms){(int64_t)time};
}
