/*
 * pop_world: a node with mailboxes that POP3 serves, in the simulator on the memory engine. For tests.
 *
 * The directory has joe@, ann@ (password "secret" both) and suspended@example.test. INBOXes are empty at first.
 */
#pragma once

#include "engine/memory.h"
#include "popd/popd.h"
#include "runtime/sim/sim.h"
#include "runtime/sim/transcript.h"

struct pop_world {
    struct pop_world *joined;            /* of a further node: the world that it joined */
    struct sim *sim;
    struct sim_node *node;
    struct memory_store *store;
    struct engine *engine;
    struct accounts *accounts;
    struct identity *identity;
    struct tls_context *tls;
    struct popd *popd;
};

enum { POP_WORLD_LOOPS = 3 };

/* `options` NULL: popd_default_options() with TLS and plain log-in. */
struct pop_world *pop_world_open(uint64_t seed, const struct popd_options *options);
/* Another node on the same store. Closed before the world that it joined. */
struct pop_world *pop_world_join(struct pop_world *w, const struct popd_options *options);
/* It loses all that it has in memory, for good. Its sessions hang. Then only pop_world_close(). */
void pop_world_kill(struct pop_world *w);
/* Stops the service, waits for its sessions, and frees everything. */
void pop_world_close(struct pop_world *w);

/* A message arrives in the INBOX. */
void pop_world_deliver(struct pop_world *w, const char *address, view message);
/* The message with this UID is expunged, as by an IMAP session. */
void pop_world_expunge(struct pop_world *w, const char *address, uint32_t uid);
/* How many messages are in the INBOX. */
uint32_t pop_world_count(struct pop_world *w, const char *address);

/* A connection to a service of it, on a loop that the seed chooses. */
struct transcript *pop_world_connect(struct pop_world *w, enum popd_kind kind);
/* Connects, plays, hangs up. */
void pop_world_play(struct pop_world *w, enum popd_kind kind, const char *script);
/* Connects, sends `input` in pieces, waits until nothing comes any more, hangs up; all that came is appended. */
void pop_world_converse(struct pop_world *w, view input, size_t piece, buf *answers);
