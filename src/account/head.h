/*
 * head: what stands at the beginning of an account's journal after its first compaction.
 *
 * It names the snapshot: its directory stands in the head itself when it is short, else in the snapshot's object. It also
 * keeps what compaction must remember: objects that fell out of use and when, so that they are removed after the grace
 * period. The format, offset by offset: doc/formats/account-head.md.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/id.h"
#include "base/time.h"

enum {
    HEAD_DIRECTORY_MAX_BYTES = 32 << 10,     /* longer ones stand in the object: opening costs a second read then */
    HEAD_ORIGIN_MAX_BYTES = 63,              /* a node's name: CLUSTER_NAME_BYTES_MAX */
    HEAD_RETIRED_MAX = 1000,                 /* 25 bytes each: fits beside a directory into ENGINE_HEAD_MAX_BYTES */
};

/* An object out of use. `kind` is the letter in its name: 'p', 's', 'i' or 'c'. */
struct retired { char kind; struct id id; unix_ms since; };

struct head {
    bool has_origin;                     /* version 2 (base/feature.h): the next two */
    unix_ms written;
    char origin[HEAD_ORIGIN_MAX_BYTES + 1];   /* the node that wrote it */
    struct id snapshot;                  /* names the head; the snapshot's object is "s-<snapshot>" */
    uint64_t sequence;                   /* of the last record folded into it */
    unix_ms swept;                       /* when objects were last compared with the state */
    uint64_t purged_bytes;               /* reclaimable since then, about */
    struct retired *retired;
    size_t retired_count;
    bool directory_is_inline;
    view directory;                      /* inline */
    uint64_t directory_offset;           /* else: in the object */
    uint32_t directory_bytes, directory_crc;
};

/* Appends the head's bytes. */
void head_encode(buf *into, const struct head *h);
/* Pure. The directory is a view into `bytes`, the list is in the arena. CORRUPT. */
NODISCARD result head_decode(view bytes, struct arena *arena, struct head *ret_head, struct fault *fault);
