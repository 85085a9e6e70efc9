/* service: what the sessions of a node share; popd.h's inner side. */
#pragma once

#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "identity/standing.h"
#include "popd/popd.h"
#include "runtime/connection_limit.h"
#include "runtime/loop.h"

/* What a loop has for itself. Used on that loop alone. */
struct popd_loop {
    struct task stop;                    /* posted once */
    struct loop *loop;
    struct popd *popd;
    struct list sessions;
    struct standing_watches standings;   /* of the sessions that have a maildrop */
    struct map maildrops;                /* struct pop_session by account id: who has the account's one POP3 session */
    bool is_stopping;
};

struct popd_service {
    struct popd *popd;
    enum popd_kind kind;
};

struct popd {
    struct popd_options options;
    struct identity *identity;
    struct accounts *accounts;
    struct popd_service services[POPD_KIND_COUNT];
    struct popd_loop *loops;
    unsigned loop_count;
    struct connection_limit clients;
    atomic_uint session_count;
    atomic_uint loops_serving;           /* have not heard of the stop */
    atomic_bool is_stopping;
};
