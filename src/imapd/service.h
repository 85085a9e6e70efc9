/* service: what the sessions of a node share; imapd.h's inner side. */
#pragma once

#include <stdatomic.h>

#include "base/list.h"
#include "identity/standing.h"
#include "imapd/digest_columns.h"
#include "imapd/imapd.h"
#include "imapd/structure_cache.h"
#include "runtime/connection_limit.h"
#include "runtime/coroutine.h"
#include "runtime/loop.h"

/* What a loop has for itself. Used on that loop alone. */
struct imapd_loop {
    struct task stop;                    /* posted once */
    struct loop *loop;
    struct imapd *imapd;
    struct list sessions;
    struct structure_cache structures;
    struct digest_columns digests;
    struct mutex large_work;             /* one session at a time has a worker compute for it */
    struct standing_watches standings;   /* of the sessions that are logged in */
    bool is_stopping;
};

struct imapd_service {
    struct imapd *imapd;
    enum imapd_kind kind;
};

struct imapd {
    struct imapd_options options;
    struct identity *identity;
    struct accounts *accounts;
    struct imapd_service services[IMAPD_KIND_COUNT];
    struct imapd_loop *loops;
    unsigned loop_count;
    struct connection_limit clients, account_sessions;
    atomic_uint session_count;
    atomic_bool is_stopping;
};

/* The calling loop's. */
struct imapd_loop *imapd_here(struct imapd *d);
