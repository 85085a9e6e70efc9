/*
 * archive: how a compaction moves old messages to the archive, a second place for objects (engine.h) that is cheaper and slower.
 *
 * A packed message's bytes go into an archived pack, "c-<id>"; its own pack is written anew without them, under the same numbers, keeps its summary
 * and says where the bytes are: no row changes, and lists need not ask the archive. A message that is an object of its own gets the same name
 * there, and goes from its place when that is durable. What is old is told by the internal date and the age limit of the account or its
 * tenant; if any row of a message is younger, it stays. As much as is good for one compaction, at a pace, and nothing while the store is slow.
 * That the archive is away fails no compaction: what was to be moved stays. doc/decisions/0011-archive.md.
 */
#pragma once

#include "account/compact_names.h"
#include "account/pack.h"
#include "account/state.h"
#include "engine/engine.h"

struct account;
struct compaction;
struct living;

struct archiving {
    bool is_on;                          /* this compaction looks for what is old */
    bool has_changed;                    /* the list */
    bool has_failed;                     /* the archive did: all of it is to be undone */
    bool must_stop;                      /* nothing more is begun: enough was moved, or the store is slow */
    bool has_rest;                       /* some that are old stay for now */
    unix_ms before;                      /* internal dates before it are old */
    struct archive_list list;            /* of the snapshot to be */
    uint64_t *living;                    /* by the list's index as it was surveyed: bytes that rows refer to */
    bool *is_condemned;
    size_t surveyed;
    bool *wants;                         /* by slot: something of it goes to the archive, or from one archived pack to another */
    struct pack_writer writer;           /* of the archived pack that is being filled */
    struct object_writer *object;
    bool has_writer;
    uint32_t number;                     /* its number */
    char (*made)[SHORT_NAME_MAX];        /* names of the archived packs of this compaction */
    size_t made_count, made_capacity;
    uint64_t moved_messages, moved_bytes;    /* in packs */
    uint64_t alone_messages, alone_bytes;    /* moved by themselves */
};

void archiving_begin(struct compaction *c);
MAY_YIELD void archiving_end(struct compaction *c);
/* Looks at all packs: what is to be moved, and what died in archived ones. */
MAY_YIELD NODISCARD result archiving_survey(struct compaction *c, const struct living *l, struct fault *fault);
/* The slot's pack is to be written anew. */
bool archiving_wants(const struct compaction *c, uint32_t slot);
/* The entry goes to the pack that is being filled: opened, if there is none. */
bool archiving_takes(const struct compaction *c, const struct living *l, uint32_t slot, uint32_t entry, const struct pack_entry *e);
MAY_YIELD NODISCARD result archiving_open(struct compaction *c, struct fault *fault);
/* Of a worker: its bytes are in c->archiving.writer afterwards, and *ret_place says where. */
void archiving_put(struct compaction *c, struct id message, const struct pack_entry *e, view stored, struct pack_entry *ret_place);
/* Writes what has come together. */
MAY_YIELD NODISCARD result archiving_flush(struct compaction *c, bool is_last, struct fault *fault);
/* A read of an archived pack; it failing is the archive's failure. */
MAY_YIELD NODISCARD result archiving_read(struct compaction *c, uint32_t number, uint64_t offset, size_t bytes, buf *into, struct fault *fault);
/* When all packs have been looked at: completes the list, or undoes all of it when the archive failed. */
MAY_YIELD void archiving_complete(struct compaction *c, struct living *l, struct fault *fault);
/* Removes objects that no head will name. */
MAY_YIELD void archiving_remove_objects(struct compaction *c, millis deadline);
/* The head is in its place: what was moved is told and counted. */
void archiving_tell(const struct compaction *c);
