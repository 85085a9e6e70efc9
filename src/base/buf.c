#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

void buf_done(buf *b)
{
    free(b->at);
    *b = BUF_INIT;
}

void buf_shrink(buf *b, size_t keep_bytes)
{
    b->len = 0;
    if (b->capacity > keep_bytes) buf_done(b);
}

void buf_reserve(buf *b, size_t more)
{
    if (b->capacity - b->len >= more) return;
    check(more < SIZE_MAX / 4 && b->capacity < SIZE_MAX / 4);
    size_t capacity = b->capacity ? b->capacity * 2 : 64;
    while (capacity < b->len + more) capacity *= 2;
    char *at = realloc(b->at, capacity);
    check(at != NULL);
    b->at = at;
    b->capacity = capacity;
}

char *buf_extend(buf *b, size_t count)
{
    buf_reserve(b, count);
    char *start = b->at ? b->at + b->len : NULL;
    b->len += count;
    return start;
}

void buf_append(buf *b, view v)
{
    if (v.len) memcpy(buf_extend(b, v.len), v.at, v.len);
}

void buf_append_byte(buf *b, char c)
{
    *buf_extend(b, 1) = c;
}

void buf_append_cstr(buf *b, const char *cstr)
{
    buf_append(b, view_of(cstr));
}

void buf_append_u64(buf *b, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    buf_append(b, view_make(digits + at, sizeof digits - at));
}

void buf_append_i64(buf *b, int64_t number)
{
    if (number < 0) buf_append_byte(b, '-');
    buf_append_u64(b, number < 0 ? 0 - (uint64_t)number : (uint64_t)number);
}

void buf_appendv(buf *b, const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    buf_reserve(b, 128);
    size_t room = b->capacity - b->len;
    int need = vsnprintf(b->at + b->len, room, format, arguments);
    check(need >= 0);
    if ((size_t)need >= room) {
        buf_reserve(b, (size_t)need + 1);
        need = vsnprintf(b->at + b->len, (size_t)need + 1, format, again);
        check(need >= 0);
    }
    va_end(again);
    b->len += (size_t)need;
}

void buf_appendf(buf *b, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    buf_appendv(b, format, arguments);
    va_end(arguments);
}

void buf_consume(buf *b, size_t count)
{
    check(count <= b->len);
    if (count == 0) return;
    b->len -= count;
    memmove(b->at, b->at + count, b->len);
}

static void append_le(buf *b, uint64_t number, size_t width)
{
    char *out = buf_extend(b, width);
    for (size_t i = 0; i < width; i++) out[i] = (char)(unsigned char)(number >> (8 * i));
}

void buf_append_le16(buf *b, uint16_t number) { append_le(b, number, 2); }
void buf_append_le32(buf *b, uint32_t number) { append_le(b, number, 4); }
void buf_append_le64(buf *b, uint64_t number) { append_le(b, number, 8); }

void buf_append_varint(buf *b, uint64_t number)
{
    while (number >= 0x80) {
        buf_append_byte(b, (char)(unsigned char)(number | 0x80));
        number >>= 7;
    }
    buf_append_byte(b, (char)number);
}
