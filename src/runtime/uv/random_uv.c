#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <string.h>

#include "base/check.h"
#include "runtime/random.h"

/* OpenSSL's generator takes about a microsecond a call: small wants are served from a pool per thread. */
enum { POOL_BYTES = 512 };
static _Thread_local struct { unsigned char bytes[POOL_BYTES]; size_t left; } pool;

static void generate(void *into, size_t count)
{
    check(RAND_bytes(into, (int)count) == 1);
}

void random_bytes(void *into, size_t count)
{
    if (count > POOL_BYTES / 4) {
        check(count <= 1 << 20);
        generate(into, count);
        return;
    }
    if (pool.left < count) {
        generate(pool.bytes, POOL_BYTES);
        pool.left = POOL_BYTES;
    }
    /* What was given out is wiped: it may have become a key. */
    unsigned char *from = pool.bytes + POOL_BYTES - pool.left;
    memcpy(into, from, count);
    OPENSSL_cleanse(from, count);
    pool.left -= count;
}

uint64_t random_u64(void)
{
    uint64_t number;
    random_bytes(&number, sizeof number);
    return number;
}
