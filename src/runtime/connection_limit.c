#include "runtime/connection_limit.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"

void connection_limit_init(struct connection_limit *c, unsigned max)
{
    *c = (struct connection_limit){.max = max < CONNECTION_LIMIT_MAX ? max : CONNECTION_LIMIT_MAX};
    if (max == 0) return;
    c->slots = calloc(CONNECTION_LIMIT_SLOTS, sizeof *c->slots);
    check(c->slots);
}

void connection_limit_done(struct connection_limit *c)
{
    free((void *)c->slots);
    *c = (struct connection_limit){0};
}

static _Atomic uint16_t *slot_of(struct connection_limit *c, view key)
{
    return c->slots && key.len ? &c->slots[hash_bytes(key) % CONNECTION_LIMIT_SLOTS] : NULL;
}

/* Nothing for local sockets. */
static view key_of(const struct address *peer)
{
    return view_make(peer->bytes, peer->family == 0 ? 0 : peer->family == 4 ? 4 : 8);
}

static bool enter(struct connection_limit *c, view key)
{
    _Atomic uint16_t *slot = slot_of(c, key);
    if (!slot) return true;
    uint16_t open = atomic_load(slot);
    do {
        if (open >= c->max) return false;
    } while (!atomic_compare_exchange_weak(slot, &open, (uint16_t)(open + 1)));
    return true;
}

static void leave(struct connection_limit *c, view key)
{
    _Atomic uint16_t *slot = slot_of(c, key);
    if (slot) atomic_fetch_sub(slot, 1);
}

bool connection_limit_enter(struct connection_limit *c, const struct address *peer) { return enter(c, key_of(peer)); }
void connection_limit_leave(struct connection_limit *c, const struct address *peer) { leave(c, key_of(peer)); }

bool connection_limit_enter_account(struct connection_limit *c, struct id account)
{
    return enter(c, view_make(account.bytes, sizeof account.bytes));
}

void connection_limit_leave_account(struct connection_limit *c, struct id account)
{
    leave(c, view_make(account.bytes, sizeof account.bytes));
}
