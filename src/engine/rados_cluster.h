/*
 * rados_cluster: what an operator asks of the Ceph cluster itself: its pools and its health.
 *
 * By the monitors' commands over a connection of its own; the engine need not be open, and its pools need not exist. All of it blocks:
 * for a worker. What it needs beyond the engine's caps: doc/operations/cluster.md.
 */
#pragma once

#include "base/arena.h"
#include "engine/rados.h"

struct rados_pool_plan {
    unsigned size, min_size;             /* copies of journals and tables; writes go on with min_size */
    unsigned k, m;                       /* of the erasure code: data and coding chunks */
    const char *profile;                 /* name of the erasure code profile */
    const char *failure_domain;          /* "host", "rack", "osd" ...: chunks and copies lie in different ones */
    const char *device_class;            /* NULL: any */
    const char *archive_device_class;    /* of the archive, which then has a profile of its own, NAME-archive; NULL: as the pool of objects */
    unsigned pg_num, object_pg_num, archive_pg_num;   /* 0: by the number of OSDs */
    uint64_t accounts;                   /* that the store is made for; 0: what engine_open_rados() takes by itself, some 50 million rows and 200 million objects */
};

enum rados_finding_kind { RADOS_FINE, RADOS_MADE, RADOS_ADVICE, RADOS_WRONG };
struct rados_finding {
    enum rados_finding_kind kind;
    const char *about;                   /* the pool, the profile ... */
    const char *text;                    /* what is so */
    const char *mend;                    /* what to do about it; "" */
};

/*
 * Makes what is missing of the pools that the options name, unless only_checks, and looks at them: found() is told everything, good and bad, in the thread
 * of the caller. Changes nothing that exists. INVALID when something is wrong that stops the engine or loses data.
 */
BLOCKS NODISCARD result rados_cluster_init(const struct engine_rados_options *options, const struct rados_pool_plan *plan, bool only_checks,
                                           void (*found)(void *argument, const struct rados_finding *f), void *argument, struct fault *fault);

struct rados_health {
    const char *status;                  /* HEALTH_OK, HEALTH_WARN, HEALTH_ERR */
    const char **checks;                 /* what is not well: "OSD_DOWN: 1 osds down" */
    size_t check_count;
    unsigned osds, osds_up, osds_in;
    uint64_t used_bytes, total_bytes;    /* raw; 0: the cluster has no manager that counts */
    unsigned nearfull_percent, full_percent;
};
/* Texts live in the arena. */
BLOCKS NODISCARD result rados_cluster_health(const struct engine_rados_options *options, struct arena *arena, struct rados_health *ret_health, struct fault *fault);
