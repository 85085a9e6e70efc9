/*
 * memory: the engine of tests, with the faults that the design claims to survive.
 *
 * A struct memory_store is "the disks": it outlives the engines (nodes) opened on it. Faults are drawn from the simulator's
 * random source at the given rates, so a seed reproduces them.
 */
#pragma once

#include "engine/engine.h"

struct memory_store;

struct memory_faults {
    unsigned delay_max_us;                   /* each operation takes a random time up to this */
    /* In 1/1,000,000 of operations: */
    unsigned unavailable_ppm;                /* not done, UNAVAILABLE */
    unsigned unknown_ppm;                    /* UNKNOWN_OUTCOME: done now, done later, or never */
    unsigned late_records_max;               /* an append is not done after so many others of its journal, however late; 0: it may be */
    unsigned corrupt_read_ppm;               /* CORRUPT on a read, once */
    bool full;                               /* every change that adds bytes: UNAVAILABLE */
    bool archive_away;                       /* whatever names an object of the archive: UNAVAILABLE */
    bool blind_appends_tell_nothing;         /* before_known false, as with rados */
    bool reorders_objects;                   /* changes of different journals/objects become visible in any order within their delay */
    bool loses_notifications;                /* now and then, though never for ever */
    unsigned page_records_max;               /* of engine_read(); 0: ENGINE_PAGE_RECORDS */
};

struct memory_store *memory_store_new(void);
void memory_store_free(struct memory_store *s);
void memory_store_set_faults(struct memory_store *s, const struct memory_faults *faults);
/*
 * All that is stored is spread over so many places by its name. A place that hangs answers nothing: who asks waits, and deadlines pass
 * with outcomes unknown.
 */
enum { MEMORY_PLACES = 8 };
void memory_store_hang(struct memory_store *s, unsigned place, millis until);
/* The node gets no answers and no notifications until then. */
void memory_store_cut_off(struct memory_store *s, struct engine *e, millis until);
/*
 * The node is fenced: what it had under way and was not done will not be, its leases are gone, and all is refused as UNAVAILABLE until
 * then. After that it is back as one whom nobody knows.
 */
void memory_store_fence(struct memory_store *s, struct engine *e, millis until);
/* Nothing hangs, nobody is cut off or fenced; everybody is told to look. */
void memory_store_heal(struct memory_store *s);
/* The machine loses power: each unsynced write is kept, lost or torn. Acknowledged ones are kept. Engines on it are dead: only engine_close(). */
void memory_store_crash(struct memory_store *s);
/* How many operations of each kind were done: for tests that count writes ("append", "read", "head", "object_put", ...). */
uint64_t memory_store_count(const struct memory_store *s, const char *kind);
/* Every lease ends at once, under its owner's feet. */
void memory_store_expire_leases(struct memory_store *s);
/* What was of unknown outcome and is still to be done is done, or never will be. */
void memory_store_settle(struct memory_store *s);
/* From now on the store remembers every record that was ever put into a journal, also what heads swallow: for the oracles of simulations. */
void memory_store_keep_history(struct memory_store *s);
struct memory_history { struct id journal; view meta; uint32_t body_bytes; };
/* In the order of appending. Good until the next append. */
const struct memory_history *memory_store_history(const struct memory_store *s, size_t *ret_count);
/* Told of each change as it is applied, with what it names (an object; empty for others). For following a simulation. NULL: nobody. */
void memory_store_on_change(struct memory_store *s, void (*told)(void *argument, const char *kind, struct id journal, view name, result code), void *argument);
/* A node's door to the store, for the node of the calling loop. Several may be open at once. */
struct engine *engine_open_memory(struct memory_store *s);
/*
 * The node has died (sim_node_crash()): what its engine had under way is done, lost, or done later. Takes the place of engine_close(),
 * from outside the node's loops.
 */
void engine_abandon_memory(struct engine *e);
