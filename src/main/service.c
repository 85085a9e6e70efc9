#include "main/service.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/local.h"
#include "engine/rados.h"
#include "identity/directory.h"
#include "runtime/clock.h"

enum { START_TIMEOUT_MS = 60000 };

result service_make_folder(const char *path, struct fault *fault)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST) return OK;
    return fail(fault, IO, "folder %s: %s", path, strerror(errno));
}

/* What an operator can do about it stands with the error: a start that fails is read by somebody who wants mail to flow. */
static MAY_YIELD result open_rados(const struct config *c, struct engine **ret_engine, struct fault *fault)
{
    struct fault cause = {0};
    struct engine_rados_options o = {
        .config_file = *c->ceph_config ? c->ceph_config : NULL,
        .user = *c->ceph_user ? c->ceph_user : NULL,
        .pool = c->pool,
        .object_pool = c->object_pool,
        .name_space = c->name_space,
        .connect_timeout_ms = (int64_t)c->connect_timeout_ms,
        .flight_operations_max = c->flight_operations_max,
        .flight_bytes_max = c->flight_bytes_max,
    };
    if (o.config_file && access(o.config_file, R_OK) != 0)
        return fail(fault, INVALID, "store.ceph_config: Ceph's configuration file %s: %s", o.config_file, strerror(errno));
    result r = engine_open_rados(&o, ret_engine, &cause);
    const char *user = o.user ? o.user : "admin";
    switch (r) {
    case OK: return OK;
    case UNAVAILABLE:
    case TIMEOUT:
        return fail(fault, r, "the Ceph cluster does not answer: %s; are its monitors up, and are they those of %s?", cause.detail,
                    o.config_file ? o.config_file : "/etc/ceph/ceph.conf");
    case DENIED:
        return fail(fault, r, "the Ceph cluster refuses client.%s: %s; doc/operations/cluster.md says which caps it needs", user, cause.detail);
    case NOT_FOUND: return fail(fault, r, "%s; tayori cluster init makes the pools", cause.detail);
    default: return fail(fault, r, "store rados: %s", cause.detail[0] ? cause.detail : result_name(r));
    }
}

static MAY_YIELD result open_engine(const struct config *c, struct engine **ret_engine, struct fault *fault)
{
    if (c->engine == CONFIG_ENGINE_RADOS) return open_rados(c, ret_engine, fault);
    struct engine_local_options o = {.folder = c->store_folder, .cache_bytes = c->store_cache_bytes};
    return engine_open_local(&o, ret_engine, fault);
}

result service_open(struct service *s, const struct config *config, struct fault *fault)
{
    *s = (struct service){.config = config, .loops = loop_family(loop_self())};
    struct accounts_options mailboxes = {.memory_bytes = config->mailbox_memory_bytes, .retention_ms = (int64_t)config->mailbox_retention_ms,
                                         .grace_ms = (int64_t)config->mailbox_grace_ms};
    result r = service_make_folder(config->state_folder, fault);
    if (r == OK) r = open_engine(config, &s->engine, fault);
    if (r != OK) return r;
    s->accounts = accounts_new(s->engine, s->loops, &mailboxes);
    s->identity = identity_new(s->engine, s->loops);
    r = directory_prepare(s->identity, clock_in(START_TIMEOUT_MS), fault);
    if (r != OK) service_close(s);
    return r;
}

void service_close(struct service *s)
{
    identity_free(s->identity);
    if (s->accounts) accounts_free(s->accounts);
    if (s->engine) engine_close(s->engine);
    *s = (struct service){0};
}
