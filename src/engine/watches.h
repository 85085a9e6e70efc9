/*
 * watches: who in this node wants to know of changes to a journal. Every engine has one.
 *
 * Each loop keeps its own watches and is told by a posted task, so nothing is locked. A table of 4096
 * buckets of journals holds a bit per loop that watches something there: telling about a journal
 * that nobody watches reads one word. A change is made visible before it is told, and a watch is set
 * before its journal is read: whoever watches first and reads then misses nothing.
 */
#pragma once

#include "engine/engine.h"

struct watches;

/* For all loops of the family of the calling loop. */
struct watches *watches_new(void);
/* From a coroutine of the family, when no one tells any more. Waits for what was told already; no watch may be left. */
MAY_YIELD void watches_free(struct watches *w);

/* On the loop that is to be told. */
void watches_add(struct watches *w, struct id journal, struct journal_watch *watch, void (*changed)(struct journal_watch *watch));
void watches_remove(struct watches *w, struct journal_watch *watch);
/* From any thread. Never waits. */
void watches_tell(struct watches *w, struct id journal);
/* Tells every watch: notifications may have been missed. From any thread. */
void watches_tell_all(struct watches *w);
/* Only those whose journals have hash_stable() % parts == part. */
void watches_tell_part(struct watches *w, unsigned part, unsigned parts);
