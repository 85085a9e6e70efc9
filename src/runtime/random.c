/* What both faces make of random_bytes() and random_u64(). */
#include "runtime/random.h"

#include <string.h>

#include "base/check.h"
#include "runtime/clock.h"

uint64_t random_below(uint64_t below)
{
    check(below > 0);
    /* Lemire's method: the high half of a product, redrawn where it would favour some numbers. */
    unsigned __int128 product = (unsigned __int128)random_u64() * below;
    if ((uint64_t)product < below) {
        uint64_t threshold = (0 - below) % below;
        while ((uint64_t)product < threshold) product = (unsigned __int128)random_u64() * below;
    }
    return (uint64_t)(product >> 64);
}

struct id random_id(void)
{
    struct id i;
    uint64_t ms = (uint64_t)clock_wall().ms;
    for (int at = 0; at < 6; at++) i.bytes[at] = (unsigned char)(ms >> (40 - 8 * at));
    random_bytes(i.bytes + 6, sizeof i.bytes - 6);
    return i;
}
