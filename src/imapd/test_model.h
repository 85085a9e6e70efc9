/*
 * test_model: what a client believes after what it was told. For tests: whatever a server says must fit what it said before.
 *
 * Knows EXISTS, EXPUNGE, FETCH with UID and FLAGS, and skips literals. A contradiction is a failed test.
 */
#pragma once

#include "base/buf.h"
#include "base/view.h"

enum { MODEL_FLAGS_UNKNOWN = 1 << 30 };
/* The flags that tests use, as bits in this order. */
#define MODEL_FLAG_NAMES "\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft", "k1", "k2"
enum { MODEL_FLAG_COUNT = 7 };

struct model_message {
    uint32_t uid;                /* 0: not known yet */
    uint32_t flags;              /* bits, or MODEL_FLAGS_UNKNOWN */
};

struct model {
    struct model_message *messages;
    uint32_t count, capacity;
    bool may_expunge;            /* EXPUNGE is allowed now */
    unsigned expunged;           /* how many were told */
};

void model_clear(struct model *m);       /* nothing is selected */
void model_done(struct model *m);
/* One logical line of the server's, literals and all, without the last CRLF. False when it contradicts what was said before; says why. */
bool model_hear(struct model *m, view line);
