/*
 * rados/client: the connection to the cluster, and operations on it that no thread waits for.
 *
 * An operation lives on the heap and owns all that librados writes into, because the cluster may still answer when the caller has given up at
 * its deadline: the caller's share and the library's share are released apart. Completions come from librados' finisher thread to
 * the loop through its inbox.
 *
 * What librados says becomes a result in one place, client_result(): -ENOENT NOT_FOUND, -EEXIST EXISTS, -ECANCELED CONFLICT (a guard),
 * -ENOSPC and -EDQUOT UNAVAILABLE (full), -EPERM and -EACCES DENIED, -ETIMEDOUT TIMEOUT of a read and UNKNOWN_OUTCOME of a write.
 * -EBLOCKLISTED (-ESHUTDOWN): this client was fenced; the connection is replaced by a new one in the background. Until then everything
 * is UNAVAILABLE; a write that was on its way is of UNKNOWN_OUTCOME, because it may have been done before its answer was lost.
 */
#pragma once

#include <rados/librados.h>

#include "base/fault.h"
#include "base/time.h"
#include "engine/rados.h"
#include "runtime/colour.h"
#include "runtime/loop.h"

struct client;

/* Where things live: each a pool and a RADOS namespace of its own. */
enum client_space {
    SPACE_JOURNALS,      /* replicated */
    SPACE_TABLES,        /* replicated, omap */
    SPACE_INDEX,         /* replicated, omap: names of objects */
    SPACE_SIGNALS,       /* replicated: watched objects, locks */
    SPACE_OBJECTS,       /* erasure coded */
    SPACE_ARCHIVE,       /* the same, for objects whose names begin with "cold/"; may be missing */
    SPACE_COUNT,
};

MAY_YIELD NODISCARD result client_open(const struct engine_rados_options *options, struct client **ret_client, struct fault *fault);
/* Waits for what is under way. */
MAY_YIELD void client_close(struct client *c);
/* It was given a pool for the archive. */
bool client_has_archive(const struct client *c);
/* Bytes that a write into the space must be a multiple of, but for an object's last: 1, or what the erasure-coded pool asks for. */
uint64_t client_alignment(const struct client *c, enum client_space space);
/*
 * Counts the times that this client was fenced and connected anew (as a new client to the cluster). Whoever holds something by being a
 * certain client (locks, watches) compares it.
 */
uint64_t client_generation(const struct client *c);
/* An I/O context of the connection of now, for the few calls that exist only as blocking ones (on a thread of their own) and for watches. Done with by client_io_done(). */
rados_ioctx_t client_io(struct client *c, enum client_space space, uint64_t *ret_generation);
void client_io_done(struct client *c, rados_ioctx_t io);

struct client_op {
    /* The caller sets up steps on one of them, which is owned by the operation from then on: */
    rados_write_op_t write;
    rados_read_op_t read;
    uint64_t bytes;                      /* about how much it carries, for the limit of what is under way; the caller adds to it */
    int returned;                        /* by librados, when it has ended; one of client.c's own when it was not begun or not awaited */
};
/* A read or a write of the object `name`. */
struct client_op *client_read_new(struct client *c, enum client_space space, view name);
struct client_op *client_write_new(struct client *c, enum client_space space, view name);
/* Zeroed memory that lives as long as the operation: what steps write their results into (prval, bytes read, iterators). */
void *client_op_alloc(struct client_op *op, size_t bytes);
/* The same, not zeroed: for what is large and read into. */
char *client_op_buffer(struct client_op *op, size_t bytes);
/* end(memory) is called when both shares are gone: for iterators. `memory` is of client_op_alloc(). */
void client_op_at_end(struct client_op *op, void *memory, void (*end)(void *memory));
/*
 * Runs it and waits until it has ended or the deadline is over: then TIMEOUT of a read, UNKNOWN_OUTCOME of a write, and results of steps
 * must not be looked at. Otherwise client_result() of what librados returned. BUSY never: too much under way is UNAVAILABLE, not begun.
 */
MAY_YIELD NODISCARD result client_run(struct client_op *op, millis deadline, struct fault *fault);
/* Begins it; done() on the calling loop, outside coroutines, when it has ended or at the deadline, with the result as above. */
void client_start(struct client_op *op, millis deadline, void (*done)(struct client_op *op, result code, void *argument), void *argument);
/*
 * One more that waits to be made into an operation counts as under way. False: too many are; counted as refused.
 * client_let_go() before it is begun, or given up.
 */
bool client_hold(struct client *c);
void client_let_go(struct client *c);
/* The caller's share. Not before client_run() returned or done() was called, except when it was never started. */
void client_op_free(struct client_op *op);
/* `what` names the step for the fault: "journal append". */
result client_result(const struct client_op *op, const char *what, struct fault *fault);
/* The same for what librados returned outside operations. */
result client_error(int error, bool is_write, const char *what, struct fault *fault);
