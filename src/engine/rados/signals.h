/*
 * rados/signals: a change of a journal on one node is told to all others within milliseconds, and nobody waits for it.
 *
 * Journals hash to SIGNALS_SPOTS objects, which every node watches once it has opened the store. What changes within a moment
 * is told in one notify to an object. Nothing is told while nobody else watches, and nobody who comes misses a thing: a newcomer first
 * watches, then greets and waits until everyone has answered, so that they know of it, and only then looks at its journals.
 *
 * Notifies may be lost: by a watch that broke, by a node that died before it told. A broken watch is set again and everything looked
 * at. Notes are numbered, so a gap is seen, and each node sends one at least every SIGNALS_BEAT_MS, so a lost last one is seen then; a
 * node that falls silent without taking leave has died, and everything is looked at once. So no journal is polled.
 *
 * All but what the comments name happens on the loop that called signals_start().
 */
#pragma once

#include "engine/rados/client.h"
#include "engine/watches.h"

struct signals;

enum {
    SIGNALS_SPOTS = 16,               /* as long as the store lives: nodes must agree */
    SIGNALS_GATHER_MS = 2,            /* what changes within it goes into one note */
    SIGNALS_SPACING_MS = 40,          /* between notes to one object: at most 400 a second from a node, whatever changes */
    SIGNALS_BEAT_MS = 30000,
    SIGNALS_LOST_MS = 100000,         /* a node not heard for so long is dead */
    SIGNALS_WATCH_TIMEOUT_S = 10,     /* after which the cluster forgets the watch of a dead node */
    SIGNALS_NOTIFY_TIMEOUT_MS = 1000, /* whole seconds; how long the cluster waits for answers of watchers. Nobody waits with it */
};

/*
 * Waits a moment for the watches to stand, so that all is quiet when it returns. When the cluster takes longer they are set in time, and
 * the journals watched in `w` are told of then.
 */
MAY_YIELD struct signals *signals_start(struct client *c, struct watches *w);
/* Takes leave of the others. When it returns nothing calls `w` any more. Not while signals_notify() may be called. */
MAY_YIELD void signals_stop(struct signals *s);
/* Any loop. Never waits. */
void signals_notify(struct signals *s, struct id journal);
/* For tests: notes sent so far, and whether all watches stand and have been answered. Any thread. */
uint64_t signals_sent(const struct signals *s);
bool signals_stand(const struct signals *s);
