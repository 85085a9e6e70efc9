#include "main/service.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cluster/cluster.h"
#include "engine/local.h"
#include "engine/pressure.h"
#include "engine/rados.h"
#include "flow/signing.h"
#include "identity/directory.h"
#include "runtime/clock.h"
#include "runtime/resolver.h"
#include "runtime/workers.h"

enum { START_TIMEOUT_MS = 60000 };

result service_make_folder(const char *path, struct fault *fault)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST) return OK;
    return fail(fault, IO, "folder %s: %s", path, strerror(errno));
}

void service_rados_options(const struct config *c, struct engine_rados_options *ret_options)
{
    *ret_options = (struct engine_rados_options){
        .config_file = *c->ceph_config ? c->ceph_config : NULL,
        .user = *c->ceph_user ? c->ceph_user : NULL,
        .pool = c->pool,
        .object_pool = c->object_pool,
        .archive_pool = c->archive_pool,
        .name_space = c->name_space,
        .connect_timeout_ms = (int64_t)c->connect_timeout_ms,
        .flight_operations_max = c->flight_operations_max,
        .flight_bytes_max = c->flight_bytes_max,
    };
}

static MAY_YIELD result open_rados(const struct config *c, struct engine **ret_engine, struct fault *fault)
{
    struct engine_rados_options o;
    service_rados_options(c, &o);
    if (o.config_file && access(o.config_file, R_OK) != 0)
        return fail(fault, INVALID, "store.ceph_config: Ceph's configuration file %s: %s", o.config_file, strerror(errno));
    struct fault cause = {0};
    result r = engine_open_rados(&o, ret_engine, &cause);
    if (r == OK) return OK;
    /* Who reads it wants mail to flow: what to do about it stands with the error. */
    const char *advice = r == NOT_FOUND ? "; tayori cluster init makes the pools" : r == DENIED ? "; doc/operations/cluster.md has the caps that it needs" : "";
    return fail(fault, r, "%s%s", cause.detail[0] ? cause.detail : result_name(r), advice);
}

result service_open_engine(const struct config *c, struct engine **ret_engine, struct fault *fault)
{
    if (c->engine == CONFIG_ENGINE_RADOS) return open_rados(c, ret_engine, fault);
    struct engine_local_options o = {.folder = c->store_folder, .archive_folder = c->archive_folder, .cache_bytes = c->store_cache_bytes};
    return engine_open_local(&o, ret_engine, fault);
}

/* A store is new that has no tenants: the first program that opens it decides at which feature level it begins. */
static MAY_YIELD result open_level(struct service *s, struct cluster_level *ret_level, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 4 * ENGINE_VALUE_MAX_BYTES);
    view table = VIEW("tenant"), key = VIEW(DIRECTORY_DEFAULT_TENANT), row;
    result r = table_get(s->engine, table, table_shard_of(s->engine, table, key), key, clock_in(START_TIMEOUT_MS), arena, &row, fault);
    if (r != OK && r != NOT_FOUND) return r;
    return cluster_open_level(s->engine, r == NOT_FOUND, clock_in(START_TIMEOUT_MS), ret_level, fault);
}

result service_open(struct service *s, const struct config *config, struct fault *fault)
{
    *s = (struct service){.config = config, .loops = loop_family(loop_self())};
    struct accounts_options mailboxes = {.memory_bytes = config->mailbox_memory_bytes, .retention_ms = (int64_t)config->mailbox_retention_ms,
                                         .grace_ms = (int64_t)config->mailbox_grace_ms, .compact_journal_bytes = config->compact_bytes,
                                         .compact_journal_records = (uint32_t)config->compact_records, .leaves_upkeep = !(config->roles & ROLE_MAINTENANCE),
                                         .node_name = view_of(config->node_name), .archive_bytes_per_second = config->archive_rate,
                                         .reclaim_bytes_per_second = config->reclaim_rate};
    result r = service_make_folder(config->state_folder, fault);
    if (r == OK) r = service_open_engine(config, &s->engine, fault);
    if (r != OK) return r;
    engine_set_pressure_limit(s->engine, config->slow_operations_max);
    struct cluster_level level;
    r = open_level(s, &level, fault);
    if (r != OK) {
        service_close(s);
        return r;
    }
    mailboxes.feature_level = level.written_level;
    s->accounts = accounts_new(s->engine, s->loops, &mailboxes);
    s->identity = identity_new(s->engine, s->loops);
    accounts_set_archive_limit(s->accounts, service_archive_limit, s->identity);
    s->queue = queue_new(s->accounts, s->loops);
    s->signing = signing_new(s->identity, s->loops);
    r = directory_prepare(s->identity, clock_in(START_TIMEOUT_MS), fault);
    if (r != OK) service_close(s);
    return r;
}

struct making { struct service *service; struct resolver *resolver; struct fault *fault; result code; };

BLOCKS static void make_resolver(void *argument)
{
    struct making *m = argument;
    const struct config *c = m->service->config;
    struct resolver_options o = {.servers = *c->outbound_resolver ? c->outbound_resolver : NULL,
                                 .trust_anchor_file = *c->outbound_trust_anchor ? c->outbound_trust_anchor : NULL};
    m->code = resolver_new(&o, m->service->loops, &m->resolver, m->fault);
}

BLOCKS static void free_resolver(void *resolver) { resolver_free(resolver); }

result service_make_resolver(struct service *s, struct resolver **ret_resolver, struct fault *fault)
{
    struct making m = {.service = s, .fault = fault};
    result r = worker_run(WORKER_SLOW, make_resolver, &m);
    if (r == OK) r = m.code;
    if (r == OK) *ret_resolver = m.resolver;
    return r;
}

void service_free_resolver(struct resolver *resolver)
{
    if (resolver) (void)!worker_run(WORKER_SLOW, free_resolver, resolver);
}

void service_close(struct service *s)
{
    service_free_resolver(s->resolver);
    queue_free(s->queue);
    signing_free(s->signing);
    identity_free(s->identity);
    if (s->accounts) accounts_free(s->accounts);
    if (s->engine) engine_close(s->engine);
    *s = (struct service){0};
}
