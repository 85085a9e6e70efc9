/*
 * rados/signal_note: what nodes tell each other by notifying a signal object, and what a node remembers of the others. Pure.
 *
 * A note names journals that have changed. Notes of one node on one object are numbered, so a receiver sees that one is
 * missing. Layout: doc/formats/rados-engine.md.
 */
#pragma once

#include "base/buf.h"
#include "base/id.h"
#include "base/time.h"

enum {
    NOTE_IDS_MAX = 2048,           /* 32 KiB; more are told as "everything" */
    NOTE_BYTES_MAX = 32 + NOTE_IDS_MAX * 16,
    PEERS_MAX = 1024,              /* nodes of a cluster that are remembered; of more, gaps are not seen */
};

struct note {
    enum { NOTE_CHANGED, NOTE_LEAVING } kind;
    bool is_everything;            /* look at all journals of this object */
    struct id node;                /* of one opening of the store */
    uint64_t sequence;             /* from 1 */
    view ids;                      /* 16 bytes each */
};
void note_append(buf *into, const struct note *n);
/* False: of another version, or broken. */
bool note_parse(view bytes, struct note *ret_note);
static inline size_t note_count(const struct note *n) { return n->ids.len / sizeof(struct id); }
struct id note_id(const struct note *n, size_t index);

/* Other nodes that are heard of on one object. Zeroed: none. */
struct peers {
    struct peer {
        struct id node;
        uint64_t sequence;         /* the last; 0: any may come next */
        millis heard;
    } *at;
    size_t count;
};
void peers_done(struct peers *p);
/* Remembers; false when notes between the last one and this are missing. */
bool peers_heard(struct peers *p, const struct note *n, millis now);
/* Forgets those not heard since `before`; their number. They died without taking leave, perhaps before telling what they had changed. */
size_t peers_forget(struct peers *p, millis before);
/* This node may have missed some: whatever number comes next is right. */
void peers_expect_any(struct peers *p);
