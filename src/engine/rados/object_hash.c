#include "engine/rados/object_hash.h"

#include <string.h>

#include "base/check.h"

enum { BLOCK_BYTES = 12, KEY_MAX_BYTES = 1024 };

struct state { uint32_t a, b, c; };

static void mix(struct state *s)
{
    static const struct { unsigned char right, left, last; } shifts[] = {{13, 8, 13}, {12, 16, 5}, {3, 10, 15}};
    for (int i = 0; i < 3; i++) {
        s->a = (s->a - s->b - s->c) ^ (s->c >> shifts[i].right);
        s->b = (s->b - s->c - s->a) ^ (s->a << shifts[i].left);
        s->c = (s->c - s->a - s->b) ^ (s->b >> shifts[i].last);
    }
}

/* Little-endian, missing bytes are 0. */
static uint32_t word_at(view bytes, size_t at)
{
    uint32_t word = 0;
    for (size_t i = 0; i < 4 && at + i < bytes.len; i++) word |= (uint32_t)(unsigned char)bytes.at[at + i] << (8 * i);
    return word;
}

static uint32_t hash(view bytes)
{
    struct state s = {0x9e3779b9, 0x9e3779b9, 0};
    view rest = bytes;
    for (; rest.len >= BLOCK_BYTES; rest = view_from(rest, BLOCK_BYTES)) {
        s = (struct state){s.a + word_at(rest, 0), s.b + word_at(rest, 4), s.c + word_at(rest, 8)};
        mix(&s);
    }
    /* The lowest byte of the last word is the length's. */
    s = (struct state){s.a + word_at(rest, 0), s.b + word_at(rest, 4), s.c + (uint32_t)bytes.len + (word_at(rest, 8) << 8)};
    mix(&s);
    return s.c;
}

uint32_t object_hash(view name_space, view name)
{
    char key[KEY_MAX_BYTES];
    size_t len = 0;
    check(name_space.len + 1 + name.len <= sizeof key);
    if (name_space.len) {
        memcpy(key, name_space.at, name_space.len);
        key[name_space.len] = 31;
        len = name_space.len + 1;
    }
    if (name.len) memcpy(key + len, name.at, name.len);
    return hash(view_make(key, len + name.len));
}

uint32_t object_hash_order(uint32_t number)
{
    uint32_t reversed = 0;
    for (int i = 0; i < 32; i++) reversed |= ((number >> i) & 1) << (31 - i);
    return reversed;
}
