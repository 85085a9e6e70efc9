/*
 * test_store: snapshot objects in memory, and the calls that a home makes to write, open and load them.
 */
#pragma once

#include "account/state.h"

struct test_store {
    buf *objects;                        /* object i is named "s-<i>" */
    size_t count;
    buf directory;                       /* of the last snapshot committed */
    struct snapshot_ahead *ahead;        /* for the next snapshot, with its bytes */
    buf blocks_ahead;
    size_t loads;
    uint64_t written_bytes;
    const struct state_turns *turns;     /* in which snapshots are committed; NULL: in one piece */
};

buf *test_store_add(struct test_store *t);
void test_store_done(struct test_store *t);
/* Encodes blocks for the next snapshot, which is of the same state. */
void test_store_ahead(struct test_store *t, struct state *s);
void test_store_forget_ahead(struct test_store *t);
/* Packs all bodies into one pack, writes a snapshot; commits it unless `aborts`. Bytes of the objects that it wrote. */
size_t test_store_snapshot(struct test_store *t, struct state *s, bool aborts);
struct state *test_store_open(struct test_store *t);
void test_store_load(struct test_store *t, struct state *s, const struct block_key *key);
void test_store_load_all(struct test_store *t, struct state *s);
/* Loads what the record needs. */
void test_store_prepare(struct test_store *t, struct state *s, const struct record *r);
