/*
 * pressure: how far the store is behind, from what is under way in it.
 *
 * Every append, read and change of this node counts from its beginning to its end, also one that hangs; one that takes longer than
 * PRESSURE_SLOW_MS is slow. When too many are slow or under way at once, the front door takes in less, in this order: deliveries (whose
 * senders keep them and come again), then connections of senders, then log-ins. Sessions that are open go on to the last: their clients
 * have nowhere else to go. So what waits for a store that hangs is bounded, and the rest of the mail flows.
 *
 * A limit of many slow ones lets a part of the cluster fail without a word to those whose mail is elsewhere; when nearly all that is
 * under way is slow, nothing is elsewhere, and a sixteenth of the limit will do.
 */
#pragma once

#include "engine/engine.h"

enum pressure { PRESSURE_NONE, PRESSURE_ON_DELIVERIES, PRESSURE_ON_CONNECTIONS, PRESSURE_ON_LOGINS };
enum {
    PRESSURE_SLOW_MS = 2000,
    PRESSURE_LIMIT_DEFAULT = 512,        /* slow operations: 150 are what one hung OSD of a thousand costs a node that takes in 2,000 messages a second */
    PRESSURE_LOOK_MS = 100,
};

/* What the front door asks. Any loop; cheap. */
enum pressure engine_pressure(struct engine *e);
struct engine_load { uint64_t under_way, slow; enum pressure pressure; };
/* As of the last look, at most PRESSURE_LOOK_MS ago. Any loop. */
struct engine_load engine_load(struct engine *e);
/* Slow operations from which on deliveries are put off; connections at twice as many, log-ins at four times. At least 16. */
void engine_set_pressure_limit(struct engine *e, uint64_t slow_operations);
