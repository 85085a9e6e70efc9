/*
 * rados: the engine of a cluster: librados over replicated and erasure-coded pools.
 *
 * Several nodes have it open at the same time and serve the same accounts. Journals, tables, leases and signals live in a
 * replicated pool, bytes of objects in an erasure-coded one (without overwrites), each below a RADOS namespace of the store.
 * Layout: doc/formats/rados-engine.md.
 */
#pragma once

#include "engine/engine.h"

struct engine_rados_options {
    const char *config_file;             /* ceph.conf; NULL: the library's own search */
    const char *user;                    /* "client.tayori" without "client."; NULL: admin */
    const char *pool;                    /* replicated */
    const char *object_pool;             /* erasure coded, or replicated */
    const char *archive_pool;            /* erasure coded, or replicated; NULL or "": none. That it is not there, or not let in to, stops only what asks for it */
    const char *name_space;              /* "": the pools' default. Several stores share pools by names of their own */
    int64_t connect_timeout_ms;          /* 0: 15 s */
    uint64_t flight_operations_max;      /* under way at once; more are UNAVAILABLE at once. 0: 8192 */
    uint64_t flight_bytes_max;           /* 0: 256 MiB */
};
/* UNAVAILABLE: no monitor answers in time. DENIED: the key is wrong or may not use the pools. NOT_FOUND: no such pool (fault tells which). */
MAY_YIELD NODISCARD result engine_open_rados(const struct engine_rados_options *options, struct engine **ret_engine, struct fault *fault);
