#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "engine/rados/client_private.h"
#include "runtime/background.h"
#include "runtime/event.h"

enum { KEEPER_RETRY_MS = 1000, TRY_POLL_MS = 1 };

/* ---- connecting ------------------------------------------------------------------------------------------- */

static void set_number(rados_t cluster, const char *name, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    rados_conf_set(cluster, name, text);
}

/* librados keeps a log in memory that costs a tenth of each operation; unless the operator has asked for it, it is off. */
static void quieten(rados_t cluster)
{
    static const char *const logs[][2] = {{"debug_rados", "0/5"}, {"debug_objecter", "0/1"}, {"debug_monc", "0/10"}, {"debug_auth", "1/5"}, {"debug_ms", "0/0"}};
    char now[32];
    for (size_t i = 0; i < array_size(logs); i++)
        if (rados_conf_get(cluster, logs[i][0], now, sizeof now) == 0 && strcmp(now, logs[i][1]) == 0) rados_conf_set(cluster, logs[i][0], "0/0");
}

/* librados blocks its caller at limits of its own: they are put out of reach, client.c has ours. */
static void configure(const struct client *c, rados_t cluster, unsigned operation_seconds)
{
    char seconds[32];
    int64_t timeout_ms = c->options.connect_timeout_ms;
    snprintf(seconds, sizeof seconds, "%lld", (long long)((timeout_ms + 999) / 1000));
    rados_conf_set(cluster, "client_mount_timeout", seconds);
    rados_conf_set(cluster, "rados_mon_op_timeout", seconds);
    set_number(cluster, "rados_osd_op_timeout", operation_seconds);
    set_number(cluster, "objecter_inflight_ops", c->options.flight_operations_max * 4 + 1024);
    set_number(cluster, "objecter_inflight_op_bytes", c->options.flight_bytes_max * 4 + (1ull << 30));
    quieten(cluster);
}

BLOCKS static result connect_cluster(const struct client *c, struct connection *k, unsigned operation_seconds, struct fault *fault)
{
    const char *file = c->options.config_file, *user = c->options.user;
    int error = rados_create(&k->cluster, user);
    if (error < 0) {
        k->cluster = NULL;
        return client_error(error, false, "making a client of the cluster", fault);
    }
    error = rados_conf_read_file(k->cluster, file);
    if (error < 0) return fail(fault, INVALID, "the cluster's configuration %s cannot be read: %s", file ? file : "(ceph.conf)", strerror(-error));
    configure(c, k->cluster, operation_seconds);
    error = rados_connect(k->cluster);
    switch (-error) {
    case 0: return OK;
    case ETIMEDOUT:
        return fail(fault, UNAVAILABLE, "no monitor of the cluster answers (%s): is mon_host right, are monitors up?", file ? file : "ceph.conf");
    case ENOENT: case EINVAL: case EACCES: case EPERM: case EKEYREJECTED:
        return fail(fault, DENIED, "the cluster does not let client.%s in: is there a keyring, and is its key the one of \"ceph auth get\"? (%s)",
                    user ? user : "admin", strerror(-error));
    default: return client_error(error, false, "connecting to the cluster", fault);
    }
}

static const char *pool_of(const struct client *c, enum client_space space)
{
    return space == SPACE_OBJECTS ? c->options.object_pool : space == SPACE_ARCHIVE ? c->options.archive_pool : c->options.pool;
}

/* -ETIMEDOUT after the time for connecting: an OSD does not answer. */
BLOCKS static int wait_for(const struct client *c, rados_ioctx_t io, rados_completion_t completion)
{
    for (int64_t waited_ms = 0; !rados_aio_is_complete(completion); waited_ms += TRY_POLL_MS) {
        if (waited_ms >= c->options.connect_timeout_ms) {
            rados_aio_cancel(io, completion);
            rados_aio_wait_for_complete(completion);
            return -ETIMEDOUT;
        }
        background_pause(TRY_POLL_MS);
    }
    return rados_aio_get_return_value(completion);
}

/*
 * The user may be known to the monitors and yet not be let to these pools. A write that an absent object refuses changes nothing, and needs
 * the right to write.
 */
BLOCKS static result try_space(const struct client *c, struct connection *k, enum client_space space, struct fault *fault)
{
    rados_completion_t completion;
    rados_write_op_t op = rados_create_write_op();
    rados_write_op_assert_exists(op);
    rados_write_op_setxattr(op, "is-there", "", 0);
    check(rados_aio_create_completion2(NULL, NULL, &completion) == 0);
    int error = rados_aio_write_op_operate(op, k->io[space], completion, "is-there", NULL, LIBRADOS_OPERATION_FULL_TRY);
    if (error == 0) error = wait_for(c, k->io[space], completion);
    rados_aio_release(completion);
    rados_release_write_op(op);
    if (error == -ENOENT || error >= 0) return OK;
    const char *user = c->options.user ? c->options.user : "admin", *pool = pool_of(c, space);
    if (error == -EPERM || error == -EACCES)
        return fail(fault, DENIED, "client.%s may not write to the pool %s: ceph auth caps client.%s mon 'allow r' osd 'allow rwx pool=%s, ...'", user,
                    pool, user, pool);
    if (error == -ETIMEDOUT) return fail(fault, UNAVAILABLE, "the pool %s does not answer: are its OSDs up, its placement groups active?", pool);
    return client_error(error, false, pool, fault);
}

BLOCKS static result open_space(struct client *c, struct connection *k, enum client_space space, struct fault *fault)
{
    static const char letters[SPACE_COUNT] = {'j', 't', 'x', 's', 'o', 'a'};
    char name_space[CLIENT_SPACE_NAME_BYTES];
    const char *store = c->options.name_space;
    int error = rados_ioctx_create(k->cluster, pool_of(c, space), &k->io[space]);
    if (error < 0) k->io[space] = NULL;
    if (error == -ENOENT) return fail(fault, NOT_FOUND, "the cluster has no pool %s", pool_of(c, space));
    if (error < 0) return client_error(error, false, pool_of(c, space), fault);
    snprintf(name_space, sizeof name_space, "%s%s%c", store, *store ? "." : "", letters[space]);
    rados_ioctx_set_namespace(k->io[space], name_space);
    int requires = 0;
    uint64_t alignment = 1;
    error = rados_ioctx_pool_requires_alignment2(k->io[space], &requires);
    if (error >= 0 && requires) error = rados_ioctx_pool_required_alignment2(k->io[space], &alignment);
    if (error < 0) return client_error(error, false, pool_of(c, space), fault);
    if (requires && space != SPACE_OBJECTS && space != SPACE_ARCHIVE)
        return fail(fault, INVALID, "the pool %s is erasure coded; journals and tables need a replicated one", pool_of(c, space));
    if (c->alignment[space] == 0) c->alignment[space] = alignment;       /* the pool's for good: once is enough */
    return OK;
}

/* One that does not answer may come back by itself; one that is not there, or that does not let us in, is tried again with the next connection. */
BLOCKS static void open_archive(struct client *c, struct connection *k)
{
    struct fault fault = {0};
    if (!client_has_archive(c)) return;
    result code = open_space(c, k, SPACE_ARCHIVE, &fault);
    if (code == OK) code = try_space(c, k, SPACE_ARCHIVE, &fault);
    if (code == OK) return;
    EVENT_EMIT(STORE_ARCHIVE_AWAY, EVENT_TEXT("folder", view_of(c->options.archive_pool)), EVENT_FAULT(&fault));
    if (code == UNAVAILABLE || !k->io[SPACE_ARCHIVE]) return;
    rados_ioctx_destroy(k->io[SPACE_ARCHIVE]);
    k->io[SPACE_ARCHIVE] = NULL;
}

BLOCKS result connection_open(struct client *c, unsigned operation_seconds, struct connection **ret_connection, struct fault *fault)
{
    struct connection *k = calloc(1, sizeof *k);
    check(k);
    list_init(&k->node);
    result code = connect_cluster(c, k, operation_seconds, fault);
    for (enum client_space space = 0; space < SPACE_ARCHIVE && code == OK; space++) code = open_space(c, k, space, fault);
    if (code == OK) code = try_space(c, k, SPACE_JOURNALS, fault);
    if (code == OK) code = try_space(c, k, SPACE_OBJECTS, fault);
    if (code == OK) open_archive(c, k);
    if (code == OK) *ret_connection = k;
    else connection_close(k);
    return code;
}

BLOCKS void connection_close(struct connection *k)
{
    for (enum client_space space = 0; space < SPACE_COUNT; space++)
        if (k->io[space]) rados_ioctx_destroy(k->io[space]);
    if (k->cluster) rados_shutdown(k->cluster);
    list_remove(&k->node);
    free(k);
}

/* ---- shares ----------------------------------------------------------------------------------------------- */

struct connection *connection_take(struct client *c)
{
    pthread_mutex_lock(&c->lock);
    struct connection *k = c->now;
    if (k) k->shares++;
    pthread_mutex_unlock(&c->lock);
    return k;
}

void connection_drop(struct client *c, struct connection *k)
{
    pthread_mutex_lock(&c->lock);
    if (--k->shares == 0 && k->is_fenced) pthread_cond_signal(&c->wake_keeper);
    pthread_mutex_unlock(&c->lock);
}

void connection_is_fenced(struct client *c, struct connection *k)
{
    pthread_mutex_lock(&c->lock);
    bool is_news = !k->is_fenced;
    k->is_fenced = true;
    if (c->now == k) c->now = NULL;
    if (is_news) pthread_cond_signal(&c->wake_keeper);
    pthread_mutex_unlock(&c->lock);
    if (is_news) EVENT_EMIT(STORE_FENCED, EVENT_NUMBER("generation", k->generation));
}

rados_ioctx_t client_io(struct client *c, enum client_space space, uint64_t *ret_generation)
{
    struct connection *k = connection_take(c);
    if (!k) return NULL;
    *ret_generation = k->generation;
    return k->io[space];
}

void client_io_done(struct client *c, rados_ioctx_t io)
{
    pthread_mutex_lock(&c->lock);
    struct connection *of = NULL;
    list_each (node, &c->connections) {
        struct connection *k = container_of(node, struct connection, node);
        for (enum client_space space = 0; space < SPACE_COUNT; space++)
            if (io && k->io[space] == io) of = k;
    }
    pthread_mutex_unlock(&c->lock);
    check(of);
    connection_drop(c, of);
}

uint64_t client_generation(const struct client *c) { return atomic_load(&c->generation); }
bool client_has_archive(const struct client *c) { return c->options.archive_pool[0] != '\0'; }
uint64_t client_alignment(const struct client *c, enum client_space space) { return c->alignment[space] ? c->alignment[space] : 1; }

/* ---- the keeper ------------------------------------------------------------------------------------------- */

static struct connection *take_disused(struct client *c)
{
    list_each (node, &c->connections) {
        struct connection *k = container_of(node, struct connection, node);
        if (k->is_fenced && k->shares == 0) {
            list_remove(&k->node);
            return k;
        }
    }
    return NULL;
}

BLOCKS static bool connect_anew(struct client *c)
{
    struct connection *k;
    struct fault fault = {0};
    result code = connection_open(c, 0, &k, &fault);
    if (code != OK) {
        EVENT_EMIT(STORE_NOT_CONNECTED, EVENT_FAULT(&fault));
        return false;
    }
    pthread_mutex_lock(&c->lock);
    k->generation = atomic_fetch_add(&c->generation, 1) + 1;
    list_append(&c->connections, &k->node);
    c->now = k;
    pthread_mutex_unlock(&c->lock);
    metric_add(METRIC_RADOS_CONNECTIONS, 1);
    EVENT_EMIT(STORE_CONNECTED_ANEW, EVENT_NUMBER("generation", k->generation));
    return true;
}

/* What is to be done next: the lock is let go for it. False: nothing. */
BLOCKS static bool keep_once(struct client *c)
{
    struct connection *disused = take_disused(c);
    bool must_connect = !c->now;
    if (!disused && !must_connect) return false;
    pthread_mutex_unlock(&c->lock);
    if (disused) connection_close(disused);
    if (must_connect && !connect_anew(c)) background_pause(KEEPER_RETRY_MS);
    pthread_mutex_lock(&c->lock);
    return true;
}

static void keeper_run(void *argument)
{
    colour_pretend_worker();
    struct client *c = argument;
    pthread_mutex_lock(&c->lock);
    while (!c->must_stop)
        if (!keep_once(c)) pthread_cond_wait(&c->wake_keeper, &c->lock);
    pthread_mutex_unlock(&c->lock);
}

void keeper_start(struct client *c) { c->keeper = background_start("rados-keeper", keeper_run, c); }

BLOCKS void keeper_stop(struct client *c)
{
    pthread_mutex_lock(&c->lock);
    c->must_stop = true;
    pthread_cond_signal(&c->wake_keeper);
    pthread_mutex_unlock(&c->lock);
    background_join(c->keeper);
}
