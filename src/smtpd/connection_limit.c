#include "smtpd/connection_limit.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"

void connection_limit_init(struct connection_limit *c, unsigned per_address_max)
{
    *c = (struct connection_limit){.per_address_max = per_address_max < UINT16_MAX ? per_address_max : UINT16_MAX};
    if (per_address_max == 0) return;
    c->slots = calloc(CONNECTION_LIMIT_SLOTS, sizeof *c->slots);
    check(c->slots);
}

void connection_limit_done(struct connection_limit *c)
{
    free((void *)c->slots);
    *c = (struct connection_limit){0};
}

static _Atomic uint16_t *slot_of(struct connection_limit *c, const struct address *peer)
{
    if (!c->slots || peer->family == 0) return NULL;
    size_t len = peer->family == 4 ? 4 : 8;
    return &c->slots[hash_bytes(view_make(peer->bytes, len)) % CONNECTION_LIMIT_SLOTS];
}

bool connection_limit_enter(struct connection_limit *c, const struct address *peer)
{
    _Atomic uint16_t *slot = slot_of(c, peer);
    if (!slot) return true;
    uint16_t open = atomic_load(slot);
    do {
        if (open >= c->per_address_max) return false;
    } while (!atomic_compare_exchange_weak(slot, &open, (uint16_t)(open + 1)));
    return true;
}

void connection_limit_leave(struct connection_limit *c, const struct address *peer)
{
    _Atomic uint16_t *slot = slot_of(c, peer);
    if (slot) atomic_fetch_sub(slot, 1);
}
