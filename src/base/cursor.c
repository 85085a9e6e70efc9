#include "base/cursor.h"

bool take_byte(struct cursor *c, char expected)
{
    if (c->rest.len == 0 || c->rest.at[0] != expected) return false;
    c->rest = view_from(c->rest, 1);
    return true;
}

bool take_view(struct cursor *c, view expected)
{
    if (!view_starts(c->rest, expected)) return false;
    c->rest = view_from(c->rest, expected.len);
    return true;
}

bool take_view_nocase(struct cursor *c, view expected)
{
    if (!view_starts_nocase(c->rest, expected)) return false;
    c->rest = view_from(c->rest, expected.len);
    return true;
}

bool take_bytes(struct cursor *c, size_t count, view *ret_bytes)
{
    if (c->rest.len < count) return false;
    *ret_bytes = view_slice(c->rest, 0, count);
    c->rest = view_from(c->rest, count);
    return true;
}

view take_while(struct cursor *c, bool (*is_member)(unsigned char byte))
{
    size_t count = 0;
    while (count < c->rest.len && is_member((unsigned char)c->rest.at[count])) count++;
    view taken = view_slice(c->rest, 0, count);
    c->rest = view_from(c->rest, count);
    return taken;
}

bool take_while1(struct cursor *c, bool (*is_member)(unsigned char byte), view *ret_bytes)
{
    view taken = take_while(c, is_member);
    if (taken.len == 0) return false;
    *ret_bytes = taken;
    return true;
}

bool take_number(struct cursor *c, uint64_t max, uint64_t *ret_number)
{
    size_t count = 0;
    while (count < c->rest.len && ascii_is_digit(c->rest.at[count])) count++;
    uint64_t number;
    if (!view_to_u64(view_slice(c->rest, 0, count), &number) || number > max) return false;
    c->rest = view_from(c->rest, count);
    *ret_number = number;
    return true;
}

bool take_number32(struct cursor *c, uint32_t *ret_number)
{
    uint64_t number;
    if (!take_number(c, UINT32_MAX, &number)) return false;
    *ret_number = (uint32_t)number;
    return true;
}

static bool take_le(struct cursor *c, size_t width, uint64_t *ret_number)
{
    view bytes;
    if (!take_bytes(c, width, &bytes)) return false;
    uint64_t number = 0;
    for (size_t i = 0; i < width; i++) number |= (uint64_t)(unsigned char)bytes.at[i] << (8 * i);
    *ret_number = number;
    return true;
}

bool take_le16(struct cursor *c, uint16_t *ret_number)
{
    uint64_t number;
    if (!take_le(c, 2, &number)) return false;
    *ret_number = (uint16_t)number;
    return true;
}

bool take_le32(struct cursor *c, uint32_t *ret_number)
{
    uint64_t number;
    if (!take_le(c, 4, &number)) return false;
    *ret_number = (uint32_t)number;
    return true;
}

bool take_le64(struct cursor *c, uint64_t *ret_number)
{
    return take_le(c, 8, ret_number);
}

bool take_varint(struct cursor *c, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (size_t i = 0; i < c->rest.len && i < 10; i++) {
        uint64_t bits = (unsigned char)c->rest.at[i] & 0x7f;
        if (i == 9 && bits > 1) return false;
        number |= bits << (7 * i);
        if (((unsigned char)c->rest.at[i] & 0x80) == 0) {
            c->rest = view_from(c->rest, i + 1);
            *ret_number = number;
            return true;
        }
    }
    return false;
}

bool take_varint32(struct cursor *c, uint32_t *ret_number)
{
    struct cursor start = *c;
    uint64_t number;
    if (!take_varint(c, &number)) return false;
    if (number > UINT32_MAX) {
        *c = start;
        return false;
    }
    *ret_number = (uint32_t)number;
    return true;
}

bool take_sized(struct cursor *c, size_t max, view *ret_bytes)
{
    struct cursor start = *c;
    uint64_t size;
    if (take_varint(c, &size) && size <= max && take_bytes(c, (size_t)size, ret_bytes)) return true;
    *c = start;
    return false;
}

bool take_raw_id(struct cursor *c, struct id *ret_id)
{
    view bytes;
    return take_bytes(c, sizeof ret_id->bytes, &bytes) && id_from_bytes(bytes, ret_id);
}

bool take_unix_ms(struct cursor *c, unix_ms *ret_time)
{
    uint64_t number;
    if (!take_le64(c, &number)) return false;
    *ret_time = (unix_ms){(int64_t)number};
    return true;
}
