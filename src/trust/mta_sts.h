/*
 * mta_sts: what domains promise of their servers by MTA-STS (RFC 8461): asked for, kept, and kept to.
 *
 * A policy holds from the time it was fetched for as long as it says, whatever DNS and HTTPS say in between: whoever stands in the way of them
 * takes nothing away (§5.1). So it is kept in the table `mta_sts`, where every node finds it, also after a restart; each loop remembers what
 * it has seen lately. Format: doc/formats/transport.md. Any loop.
 */
#pragma once

#include "engine/engine.h"
#include "formats/mta_sts.h"
#include "runtime/http.h"
#include "runtime/resolver.h"

struct mta_sts;

/* `http` NULL: nothing is fetched, what is in the table holds. All of it lives longer. */
struct mta_sts *mta_sts_new(struct engine *e, struct resolver *r, struct http *http, struct loops *all);
/* No call may be under way. NULL is fine. */
void mta_sts_free(struct mta_sts *m);

enum mta_sts_trouble {                   /* as reports name them (RFC 8460 §4.3.2.2) */
    MTA_STS_NO_TROUBLE,
    MTA_STS_FETCH_ERROR,                 /* the record says there is a policy, and it could not be had */
    MTA_STS_INVALID,                     /* what was had is none */
    MTA_STS_WEBPKI_INVALID,              /* the certificate of mta-sts.DOMAIN does not do */
};

struct mta_sts_found {
    bool has_policy;
    struct mta_sts_policy policy;
    view text;                           /* of the policy, as it came */
    enum mta_sts_trouble trouble;        /* of the last fetch; there may be an older policy nevertheless */
};

/*
 * `domain`: A-labels. OK: *ret_found is filled; memory in the arena. UNAVAILABLE, TIMEOUT: the table does not answer, so it is not known what
 * was promised. CANCELLED. Takes as long as a fetch (at most a minute) when there is something new.
 */
MAY_YIELD NODISCARD result mta_sts_find(struct mta_sts *m, view domain, millis deadline, struct arena *arena, struct mta_sts_found *ret_found,
                                        struct fault *fault);
