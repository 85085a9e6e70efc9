#include "engine/rados/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "engine/rados/client_private.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/event.h"
#include "runtime/workers.h"

enum { SLOW_MS = 1000, SLOW_TOLD_EVERY_MS = 10000 };

struct memory {
    struct memory *next;
    void (*end)(void *memory);
    max_align_t at[];
};

/*
 * The caller has a share until client_op_free(), librados has one from its submission until its completion has reached the loop.
 * All but complete() happens on one loop.
 */
struct operation {
    struct client_op op;                 /* first */
    struct client *client;
    struct connection *connection;       /* a share of it, while librados has its own */
    enum client_space space;
    rados_completion_t completion;
    struct task task;
    struct timer timer;
    struct loop *loop;
    struct list node;                    /* in the loop's under_way */
    struct memory *memory;
    void (*done)(struct client_op *op, result code, void *argument);
    void *argument;
    int64_t began_us;
    uint64_t counted_bytes;
    bool is_told, caller_has_share, library_has_share;
    char name[];
};

static struct operation *operation_of(struct client_op *op) { return (struct operation *)(void *)op; }

/* ---- making ----------------------------------------------------------------------------------------------- */

static struct operation *operation_new(struct client *c, enum client_space space, view name)
{
    struct operation *o = calloc(1, sizeof *o + name.len + 1);
    check(o);
    o->client = c;
    o->space = space;
    o->caller_has_share = true;
    memcpy(o->name, name.at, name.len);
    return o;
}

struct client_op *client_read_new(struct client *c, enum client_space space, view name)
{
    struct operation *o = operation_new(c, space, name);
    o->op.read = rados_create_read_op();
    return &o->op;
}

struct client_op *client_write_new(struct client *c, enum client_space space, view name)
{
    struct operation *o = operation_new(c, space, name);
    o->op.write = rados_create_write_op();
    return &o->op;
}

static struct memory *add_memory(struct client_op *op, struct memory *m)
{
    struct operation *o = operation_of(op);
    check(m);
    m->next = o->memory;
    o->memory = m;
    return m;
}

void *client_op_alloc(struct client_op *op, size_t bytes)
{
    return add_memory(op, calloc(1, sizeof(struct memory) + bytes))->at;
}

char *client_op_buffer(struct client_op *op, size_t bytes)
{
    struct memory *m = add_memory(op, malloc(sizeof *m + bytes));
    m->end = NULL;
    return (char *)m->at;
}

void client_op_at_end(struct client_op *op, void *memory, void (*end)(void *memory))
{
    container_of(memory, struct memory, at)->end = end;
}

static void free_if_unused(struct operation *o)
{
    if (o->caller_has_share || o->library_has_share) return;
    if (o->op.write) rados_release_write_op(o->op.write);
    if (o->op.read) rados_release_read_op(o->op.read);
    for (struct memory *m = o->memory, *next; m; m = next) {
        next = m->next;
        if (m->end) m->end(m->at);
        free(m);
    }
    free(o);
}

void client_op_free(struct client_op *op)
{
    struct operation *o = operation_of(op);
    o->caller_has_share = false;
    free_if_unused(o);
}

/* ---- what is slow ----------------------------------------------------------------------------------------- */

static int64_t age_ms(const struct operation *o) { return (clock_now_us() - o->began_us) / 1000; }

static void look_for_slow(struct timer *t)
{
    struct client_loop *l = container_of(t, struct client_loop, look);
    int64_t slow = 0;
    list_each (node, &l->under_way) {
        if (age_ms(container_of(node, struct operation, node)) < SLOW_MS) break;
        slow++;
    }
    metric_add(METRIC_RADOS_SLOW, slow - l->slow);
    l->slow = slow;
    if (slow && !millis_before(clock_now(), l->told_of_slow)) {
        const struct operation *oldest = container_of(l->under_way.next, struct operation, node);
        EVENT_EMIT(STORE_SLOW, EVENT_NUMBER("operations", slow), EVENT_NUMBER("oldest_ms", age_ms(oldest)),
                   EVENT_TEXT("space", view_of(client_space_name(oldest->space))), EVENT_TEXT("object", view_of(oldest->name)));
        l->told_of_slow = clock_in(SLOW_TOLD_EVERY_MS);
    }
    if (!list_is_empty(&l->under_way)) timer_arm(&l->look, clock_in(SLOW_MS));
}

static struct client_loop *loop_of(struct client *c)
{
    struct client_loop *l = &c->loops[loop_index(loop_self())];
    if (!l->is_set_up) {
        l->client = c;
        l->is_set_up = true;
        list_init(&l->under_way);
        timer_init(&l->look, look_for_slow);
    }
    return l;
}

/* ---- the end ---------------------------------------------------------------------------------------------- */

static void tell(struct operation *o)
{
    o->is_told = true;
    o->done(&o->op, client_error(o->op.returned, o->op.write != NULL, "", NULL), o->argument);
}

static void end_flight(struct operation *o)
{
    struct client *c = o->client;
    atomic_fetch_sub(&c->flight_operations, 1);
    atomic_fetch_sub(&c->flight_bytes, o->counted_bytes);
    metric_add(METRIC_RADOS_UNDER_WAY, -1);
    metric_add(METRIC_RADOS_UNDER_WAY_BYTES, -(int64_t)o->counted_bytes);
}

/* On the loop, when librados has done with it. */
static void completion_arrived(struct task *t)
{
    struct operation *o = container_of(t, struct operation, task);
    int returned = rados_aio_get_return_value(o->completion);
    metric_observe_us(o->op.write ? METRIC_RADOS_WRITE : METRIC_RADOS_READ, clock_now_us() - o->began_us);
    if (returned == -ESHUTDOWN) connection_is_fenced(o->client, o->connection);
    rados_aio_release(o->completion);
    list_remove(&o->node);
    connection_drop(o->client, o->connection);
    end_flight(o);                       /* the last that is done with the client: client_close() waits for it */
    timer_disarm(&o->timer);
    o->library_has_share = false;
    if (o->is_told) {
        free_if_unused(o);
        return;
    }
    o->op.returned = returned;
    tell(o);
}

/* On a thread of librados. */
static void complete(rados_completion_t completion, void *argument)
{
    struct operation *o = argument;
    loop_post(o->loop, &o->task);
}

/*
 * Nobody waits for the answer any more. Cancelled, librados does not send it again when a part of the cluster comes back much later: what
 * the cluster may still do about it, it does soon.
 */
static void deadline_passed(struct timer *t)
{
    struct operation *o = container_of(t, struct operation, timer);
    metric_add(METRIC_RADOS_LATE, 1);
    rados_aio_cancel(o->connection->io[o->space], o->completion);
    o->op.returned = -ETIMEDOUT;
    tell(o);
}

static void tell_not_begun(struct task *t) { tell(container_of(t, struct operation, task)); }

/* ---- the beginning ---------------------------------------------------------------------------------------- */

static void count(const struct operation *o)
{
    static const enum metric metrics[SPACE_COUNT][2] = {
        {METRIC_RADOS_JOURNAL_READS, METRIC_RADOS_JOURNAL_WRITES}, {METRIC_RADOS_TABLE_READS, METRIC_RADOS_TABLE_WRITES},
        {METRIC_RADOS_INDEX_READS, METRIC_RADOS_INDEX_WRITES},     {METRIC_RADOS_SIGNAL_READS, METRIC_RADOS_SIGNAL_WRITES},
        {METRIC_RADOS_OBJECT_READS, METRIC_RADOS_OBJECT_WRITES},   {METRIC_RADOS_ARCHIVE_READS, METRIC_RADOS_ARCHIVE_WRITES},
    };
    metric_add(metrics[o->space][o->op.write != NULL], 1);
    metric_add(METRIC_RADOS_UNDER_WAY, 1);
    metric_add(METRIC_RADOS_UNDER_WAY_BYTES, (int64_t)o->counted_bytes);
}

/* Room in what may be under way; taken when true. */
static bool begin_flight(struct operation *o)
{
    struct client *c = o->client;
    o->counted_bytes = o->op.bytes;
    uint64_t operations = atomic_fetch_add(&c->flight_operations, 1) + 1;
    uint64_t bytes = atomic_fetch_add(&c->flight_bytes, o->counted_bytes) + o->counted_bytes;
    bool fits = operations <= c->options.flight_operations_max && (bytes <= c->options.flight_bytes_max || operations == 1);
    if (fits) return true;
    atomic_fetch_sub(&c->flight_operations, 1);
    atomic_fetch_sub(&c->flight_bytes, o->counted_bytes);
    metric_add(METRIC_RADOS_REFUSED, 1);
    return false;
}

bool client_hold(struct client *c)
{
    if (atomic_fetch_add(&c->flight_operations, 1) < c->options.flight_operations_max) return true;
    atomic_fetch_sub(&c->flight_operations, 1);
    metric_add(METRIC_RADOS_REFUSED, 1);
    return false;
}

void client_let_go(struct client *c) { atomic_fetch_sub(&c->flight_operations, 1); }

/* FULL_TRY: a full cluster says so at once; without it librados holds writes back until there is room. */
static int submit(struct operation *o)
{
    rados_ioctx_t io = o->connection->io[o->space];
    if (o->op.write) return rados_aio_write_op_operate(o->op.write, io, o->completion, o->name, NULL, LIBRADOS_OPERATION_FULL_TRY);
    return rados_aio_read_op_operate(o->op.read, io, o->completion, o->name, LIBRADOS_OPERATION_NOFLAG);
}

static int begin(struct operation *o, millis deadline)
{
    if (!millis_before(clock_now(), deadline)) return RETURNED_NOT_BEGUN_LATE;
    o->connection = connection_take(o->client);
    if (!o->connection) return RETURNED_NOT_CONNECTED;
    if (!o->connection->io[o->space]) {
        connection_drop(o->client, o->connection);
        return RETURNED_NO_ARCHIVE;
    }
    if (!begin_flight(o)) {
        connection_drop(o->client, o->connection);
        return RETURNED_NOT_BEGUN_FULL;
    }
    check(rados_aio_create_completion2(o, complete, &o->completion) == 0);
    o->task.run = completion_arrived;
    o->began_us = clock_now_us();
    count(o);
    int error = submit(o);
    if (error < 0) {
        rados_aio_release(o->completion);
        end_flight(o);
        connection_drop(o->client, o->connection);
    }
    return error;
}

void client_start(struct client_op *op, millis deadline, void (*done)(struct client_op *op, result code, void *argument), void *argument)
{
    struct operation *o = operation_of(op);
    o->loop = loop_self();
    o->done = done;
    o->argument = argument;
    timer_init(&o->timer, deadline_passed);
    op->returned = begin(o, deadline);
    if (op->returned < 0) {
        o->task.run = tell_not_begun;
        loop_post(o->loop, &o->task);
        return;
    }
    struct client_loop *l = loop_of(o->client);
    o->library_has_share = true;
    list_append(&l->under_way, &o->node);
    if (!l->look.armed) timer_arm(&l->look, clock_in(SLOW_MS));
    if (!millis_is_never(deadline)) timer_arm(&o->timer, deadline);
}

static void wake_waiter(struct client_op *op, result code, void *argument) { completion_set(argument, code); }

result client_run(struct client_op *op, millis deadline, struct fault *fault)
{
    struct completion ended;
    completion_init(&ended);
    client_start(op, deadline, wake_waiter, &ended);
    (void)completion_wait(&ended);
    return client_result(op, op->write ? "write" : "read", fault);
}

/* ---- opening and closing ---------------------------------------------------------------------------------- */

static char *copy_text(const char *text)
{
    char *copy = text ? strdup(text) : NULL;
    check(copy || !text);
    return copy;
}

static void take_options(struct client *c, const struct engine_rados_options *from)
{
    struct engine_rados_options *o = &c->options;
    *o = *from;
    o->config_file = copy_text(from->config_file);
    o->user = copy_text(from->user);
    o->pool = copy_text(from->pool);
    o->object_pool = copy_text(from->object_pool);
    o->archive_pool = copy_text(from->archive_pool ? from->archive_pool : "");
    o->name_space = copy_text(from->name_space ? from->name_space : "");
    if (!o->connect_timeout_ms) o->connect_timeout_ms = CLIENT_DEFAULT_CONNECT_MS;
    if (!o->flight_operations_max) o->flight_operations_max = CLIENT_DEFAULT_FLIGHT_OPERATIONS;
    if (!o->flight_bytes_max) o->flight_bytes_max = CLIENT_DEFAULT_FLIGHT_BYTES;
}

static void client_free(struct client *c)
{
    struct engine_rados_options *o = &c->options;
    free((char *)(uintptr_t)o->config_file);
    free((char *)(uintptr_t)o->user);
    free((char *)(uintptr_t)o->pool);
    free((char *)(uintptr_t)o->object_pool);
    free((char *)(uintptr_t)o->archive_pool);
    free((char *)(uintptr_t)o->name_space);
    pthread_cond_destroy(&c->wake_keeper);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

struct opening {
    struct client *client;
    result code;
    struct fault *fault;
};

static void run_open(void *argument)
{
    colour_pretend_worker();
    struct opening *o = argument;
    o->code = connection_open(o->client, 0, &o->client->now, o->fault);
}

result client_open(const struct engine_rados_options *options, struct client **ret_client, struct fault *fault)
{
    unsigned loop_count = loops_count(loop_family(loop_self()));
    struct client *c = calloc(1, sizeof *c + loop_count * sizeof c->loops[0]);
    check(c);
    c->loop_count = loop_count;
    list_init(&c->connections);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->wake_keeper, NULL);
    take_options(c, options);
    struct opening o = {.client = c, .fault = fault};
    result code = worker_run(WORKER_SLOW, run_open, &o);
    if (code == OK) code = o.code;
    if (code != OK) {
        client_free(c);
        return code;
    }
    list_append(&c->connections, &c->now->node);
    metric_add(METRIC_RADOS_CONNECTIONS, 1);
    keeper_start(c);
    *ret_client = c;
    return OK;
}

/* What is still under way has nobody who waits for it. */
static void give_up_on_loop(void *argument)
{
    struct client *c = argument;
    struct client_loop *l = &c->loops[loop_index(loop_self())];
    if (!l->is_set_up) return;
    timer_disarm(&l->look);
    metric_add(METRIC_RADOS_SLOW, -l->slow);
    list_each (node, &l->under_way) {
        struct operation *o = container_of(node, struct operation, node);
        rados_aio_cancel(o->connection->io[o->space], o->completion);
    }
}

static void run_close(void *argument)
{
    colour_pretend_worker();
    struct client *c = argument;
    keeper_stop(c);
    list_each (node, &c->connections) connection_close(container_of(node, struct connection, node));
}

void client_close(struct client *c)
{
    struct loops *all = loop_family(loop_self());
    for (unsigned i = 0; i < c->loop_count; i++) loop_run_on(loops_at(all, i), "rados close", give_up_on_loop, c);
    while (atomic_load(&c->flight_operations) > 0) coroutine_pause();
    while (worker_run(WORKER_SLOW, run_close, c) != OK) coroutine_pause();
    client_free(c);
}
