#include "base/hash.h"

#include <pthread.h>
#include <string.h>

static uint64_t table_key[2] = {0x7461796f72690001u, 0x7461796f72690002u};
static const uint64_t stable_key[2] = {0x6d61696c626f7865u, 0x6a6f75726e616c73u};

void hash_seed(uint64_t key0, uint64_t key1)
{
    table_key[0] = key0;
    table_key[1] = key1;
}

static uint64_t rotate(uint64_t x, int by) { return (x << by) | (x >> (64 - by)); }

struct sip { uint64_t a, b, c, d; };

static inline void sip_round(struct sip *s)
{
    s->a += s->b; s->b = rotate(s->b, 13); s->b ^= s->a; s->a = rotate(s->a, 32);
    s->c += s->d; s->d = rotate(s->d, 16); s->d ^= s->c;
    s->a += s->d; s->d = rotate(s->d, 21); s->d ^= s->a;
    s->c += s->b; s->b = rotate(s->b, 17); s->b ^= s->c; s->c = rotate(s->c, 32);
}

/* SipHash-2-4, Aumasson and Bernstein 2012. */
static uint64_t siphash(const uint64_t key[2], view v)
{
    struct sip s = {0x736f6d6570736575u ^ key[0], 0x646f72616e646f6du ^ key[1],
                    0x6c7967656e657261u ^ key[0], 0x7465646279746573u ^ key[1]};
    size_t whole = v.len & ~(size_t)7;
    uint64_t word;
    for (size_t i = 0; i < whole; i += 8) {
        memcpy(&word, v.at + i, 8);
        s.d ^= word;
        sip_round(&s);
        sip_round(&s);
        s.a ^= word;
    }
    word = (uint64_t)v.len << 56;
    for (size_t i = whole; i < v.len; i++) word |= (uint64_t)(unsigned char)v.at[i] << (8 * (i - whole));
    s.d ^= word;
    sip_round(&s);
    sip_round(&s);
    s.a ^= word;
    s.c ^= 0xff;
    for (int i = 0; i < 4; i++) sip_round(&s);
    return s.a ^ s.b ^ s.c ^ s.d;
}

uint64_t hash_bytes(view v) { return siphash(table_key, v); }
uint64_t hash_stable(view v) { return siphash(stable_key, v); }

static uint32_t crc_table[256];

static void make_crc_table(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78u : 0);
        crc_table[i] = crc;
    }
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_hardware(uint32_t crc, view v)
{
    uint64_t wide = crc;
    size_t i = 0;
    for (; i + 8 <= v.len; i += 8) {
        uint64_t word;
        memcpy(&word, v.at + i, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t)wide;
    for (; i < v.len; i++) crc = __builtin_ia32_crc32qi(crc, (unsigned char)v.at[i]);
    return crc;
}
#endif

uint32_t crc32c(uint32_t previous, view v)
{
    uint32_t crc = ~previous;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) return ~crc_hardware(crc, v);
#endif
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_crc_table);
    for (size_t i = 0; i < v.len; i++) crc = (crc >> 8) ^ crc_table[(crc ^ (unsigned char)v.at[i]) & 0xff];
    return ~crc;
}
