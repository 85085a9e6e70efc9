/*
 * post_office: a node that takes in mail, in the simulator on the memory engine. For tests.
 *
 * The directory has a@ to d@example.test (b has no quota left for anything over 1,000 bytes), suspended@, the
 * carriers' dots..name@, postmaster@, catch@other.test as catch-all of other.test, and aliases: all@ (a, b, c),
 * nested@ (all@, d), loop@ (itself), dangling@ (nobody@), away@ (somebody elsewhere).
 */
#pragma once

#include "engine/memory.h"
#include "runtime/sim/sim.h"
#include "runtime/sim/transcript.h"
#include "runtime/tls.h"
#include "smtpd/smtpd.h"

struct post_office {
    struct sim *sim;
    struct sim_node *node;
    struct memory_store *store;
    struct engine *engine;
    struct accounts *accounts;
    struct identity *identity;
    struct tls_context *tls;
    struct smtpd *smtpd;
};

/* `options` NULL: smtpd_default_options() with server_name mx.example.test and TLS. */
struct post_office *post_office_open(uint64_t seed, const struct smtpd_options *options);
/* Stops the service, waits for its sessions, and frees everything. */
void post_office_close(struct post_office *o);

/* After the node has died: what it had under way is done or lost, then everything comes up again. */
void post_office_reopen(struct post_office *o, const struct smtpd_options *options);

/* A connection to a service of it. */
struct transcript *post_office_connect(struct post_office *o, enum smtpd_kind kind);
/* Connects, plays, hangs up. */
void post_office_play(struct post_office *o, enum smtpd_kind kind, const char *script);

/*
 * Sends bytes without listening first, in pieces of `piece` bytes (0: at once), waits until nothing comes any more,
 * hangs up, and appends all that came, with message ids masked as "ID": the same whatever the pieces.
 */
void post_office_converse(struct post_office *o, enum smtpd_kind kind, view input, size_t piece, buf *replies);

/* How many messages the INBOX of an account has, and the bytes of all of them, appended in order of arrival. */
size_t post_office_inbox(struct post_office *o, const char *address, buf *into);

/* Plays a script in several worlds: the seed cuts what the client sends. */
enum { POST_OFFICE_SEEDS = 8 };
void post_office_try(enum smtpd_kind kind, const char *script);
