/* What librados says, in Tayori's words. The only place that knows. */
#include <errno.h>
#include <string.h>

#include "engine/rados/client_private.h"

static const struct {
    int error;
    result code;
    const char *text;                    /* NULL: the system's own words */
} meanings[] = {
    {ENOENT, NOT_FOUND, "no such object"},
    {ENODATA, NOT_FOUND, "no such attribute"},
    {EEXIST, EXISTS, "the object exists"},
    {ECANCELED, CONFLICT, "a condition does not hold"},
    {ERANGE, CONFLICT, "the object has changed"},
    {EOVERFLOW, CONFLICT, "the object has changed"},
    {EBUSY, BUSY, NULL},
    {ENOSPC, UNAVAILABLE, "the cluster is full"},
    {EDQUOT, UNAVAILABLE, "the pool is full (its quota)"},
    {EPERM, DENIED, "the cluster does not permit it: see the capabilities of this user"},
    {EACCES, DENIED, "the cluster does not permit it: see the key and the capabilities of this user"},
    {EMSGSIZE, TOO_BIG, "more than the cluster takes in one write"},
    {EFBIG, TOO_BIG, "the object would grow over the cluster's limit"},
    {ENAMETOOLONG, TOO_BIG, NULL},
    {EINVAL, INVALID, NULL},
    {EOPNOTSUPP, INVALID, "the pool cannot do this (an erasure-coded pool where a replicated one is needed?)"},
    {-RETURNED_NOT_BEGUN_LATE, TIMEOUT, "the deadline passed before it was begun"},
    {-RETURNED_NOT_BEGUN_FULL, UNAVAILABLE, "too many operations wait for the cluster"},
    {-RETURNED_NO_ARCHIVE, UNAVAILABLE, "the archive is away, or not configured here (store.archive_pool)"},
    {-RETURNED_NOT_CONNECTED, UNAVAILABLE, "not connected to the cluster: this client was fenced and is connecting anew"},
};

result client_error(int error, bool is_write, const char *what, struct fault *fault)
{
    if (error >= 0) return OK;
    if (error == -ETIMEDOUT && is_write) return fail(fault, UNKNOWN_OUTCOME, "%s: no answer from the cluster in time", what);
    if (error == -ETIMEDOUT) return fail(fault, TIMEOUT, "%s: no answer from the cluster in time", what);
    if (error == -ESHUTDOWN) return fail(fault, is_write ? UNKNOWN_OUTCOME : UNAVAILABLE, "%s: the cluster has fenced this client", what);
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
        if (meanings[i].error == -error) return fail(fault, meanings[i].code, "%s: %s", what, meanings[i].text ? meanings[i].text : strerrordesc_np(-error));
    return fail(fault, IO, "%s: %s (%d)", what, strerror(-error), error);
}

/*
 * While a store serves, what its cluster refuses is a mistake of operators which they will mend: never "wrong password" or "no such
 * user" to those who read or send mail.
 */
result client_result(const struct client_op *op, const char *what, struct fault *fault)
{
    result code = client_error(op->returned, op->write != NULL, what, fault);
    if (code == DENIED || code == INVALID) code = UNAVAILABLE;
    if (fault && code == UNAVAILABLE) fault->code = code;
    return code;
}

const char *client_space_name(enum client_space space)
{
    static const char *const names[SPACE_COUNT] = {"journals", "tables", "index", "signals", "objects", "archive"};
    return names[space];
}
