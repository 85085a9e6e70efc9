/*
 * thinning: some of the sessions of a loop are asked to end, so that their clients move to other nodes while this one drains.
 */
#pragma once

#include "base/list.h"
#include "runtime/loop.h"

/*
 * From any thread: on `loop`, outside coroutines, calls dismiss() for `permille` of the list's nodes, rounded up, from the front (the oldest).
 * dismiss() may remove its own node. The list lives as long as the loop runs.
 */
void thin_list(struct loop *loop, struct list *sessions, unsigned permille, void (*dismiss)(struct list *node));
