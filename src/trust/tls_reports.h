/*
 * tls_reports: what came of TLS with other servers, added up by domain and day (RFC 8460 §4).
 *
 * Each loop gathers in memory and adds to the node's rows of the table `tls_report` every ten minutes, so a day costs few writes; rows of several
 * nodes are added up when a report is made. A node that dies loses the last ten minutes of its counts. Format: doc/formats/transport.md.
 */
#pragma once

#include "engine/engine.h"
#include "formats/tls_report.h"

struct tls_reports;

/* `node_name` lives longer. */
struct tls_reports *tls_reports_new(struct engine *e, struct loops *all, view node_name);
/* Writes what is gathered, and frees. NULL is fine. */
MAY_YIELD void tls_reports_free(struct tls_reports *r);
/* One or more connections, today; policy->domain is whom it is told. From any loop; copies. */
void tls_reports_add(struct tls_reports *r, const struct tls_report_policy *policy);
/* Writes what all loops of this node have gathered. */
MAY_YIELD void tls_reports_flush(struct tls_reports *r);

/* ---- what was written, by any node ---- */

struct tls_reports_place { uint32_t shard; char after[ENGINE_KEY_MAX_BYTES]; size_t after_len; };   /* zero: the beginning */
struct tls_reports_group {
    uint32_t shard;
    view day, domain;                    /* "2026-02-01" (UTC) */
    struct tls_report *report;           /* of that domain and day: policies, begin, end */
    view *keys;
    size_t key_count;
};
/* The next domain and day of a shard, days in order. END: there are no more, in any shard. Memory in the arena: TLS_REPORTS_ARENA_BYTES. */
enum { TLS_REPORTS_ARENA_BYTES = 160 << 20 };
MAY_YIELD NODISCARD result tls_reports_next(struct engine *e, struct tls_reports_place *place, millis deadline, struct arena *arena,
                                            struct tls_reports_group *ret_group, struct fault *fault);
/* When it was sent. */
MAY_YIELD NODISCARD result tls_reports_remove(struct engine *e, const struct tls_reports_group *group, millis deadline, struct fault *fault);
/* Day of a moment, in the arena. */
view tls_reports_day(unix_ms at, struct arena *arena);
