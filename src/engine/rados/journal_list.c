/*
 * Which journals there are, in the cluster's own order: that of the hash of their names. librados lists in no other way than a blocking one:
 * on a worker then, and over a connection of its own (10 ms), on which operations end by time. A part of the cluster that hangs must
 * not keep the worker, nor the end of the process.
 */
#include <errno.h>

#include "engine/rados/client_private.h"
#include "engine/rados/journal_private.h"
#include "engine/rados/object_hash.h"
#include "runtime/clock.h"
#include "runtime/workers.h"

enum { OPERATION_MAX_MS = 60000 };

struct listing {
    struct client *client;
    const struct id *after;
    view name_space;
    struct id *journals;
    size_t max, count;
    millis deadline;
    result code;
    struct fault *fault;
};

static bool is_after(const struct listing *l, uint32_t after_order, struct id journal)
{
    if (!l->after) return true;
    struct journal_name name = journal_name(journal);
    uint32_t order = object_hash_order(object_hash(l->name_space, journal_name_view(&name)));
    return order > after_order || (order == after_order && id_compare(journal, *l->after) > 0);
}

BLOCKS static result list_from(struct listing *l, rados_list_ctx_t list)
{
    uint32_t after_order = 0;
    if (l->after) {
        struct journal_name name = journal_name(*l->after);
        uint32_t hash = object_hash(l->name_space, journal_name_view(&name));
        after_order = object_hash_order(hash);
        rados_nobjects_list_seek(list, hash);
    }
    while (l->count < l->max) {
        const char *name;
        struct id journal;
        int error = rados_nobjects_list_next(list, &name, NULL, NULL);
        if (error == -ENOENT) break;
        if (error < 0) return client_error(error, false, "listing journals", l->fault);
        if (!id_parse(view_of(name), &journal) || !is_after(l, after_order, journal)) continue;
        l->journals[l->count++] = journal;
        if (!millis_before(clock_now(), l->deadline)) return fail(l->fault, TIMEOUT, "listing journals: the deadline passed");
    }
    return OK;
}

BLOCKS static result list_over(struct listing *l, rados_ioctx_t io)
{
    char name_space[CLIENT_SPACE_NAME_BYTES];
    rados_list_ctx_t list;
    int len = rados_ioctx_get_namespace(io, name_space, sizeof name_space);
    int error = len < 0 ? len : rados_nobjects_list_open(io, &list);
    if (error < 0) return client_error(error, false, "listing journals", l->fault);
    l->name_space = view_make(name_space, (size_t)len);
    result code = list_from(l, list);
    rados_nobjects_list_close(list);
    return code;
}

static void run_listing(void *argument)
{
    colour_pretend_worker();
    struct listing *l = argument;
    struct connection *k;
    int64_t left_ms = millis_is_never(l->deadline) ? OPERATION_MAX_MS : l->deadline.ms - clock_now().ms;
    if (left_ms > OPERATION_MAX_MS) left_ms = OPERATION_MAX_MS;
    l->code = left_ms <= 0 ? client_error(RETURNED_NOT_BEGUN_LATE, false, "listing journals", l->fault)
                           : connection_open(l->client, (unsigned)((left_ms + 999) / 1000), &k, l->fault);
    if (l->code != OK) return;
    l->code = list_over(l, k->io[SPACE_JOURNALS]);
    connection_close(k);
}

result cluster_list_journals(struct engine *base, const struct id *after, size_t max, millis deadline, struct id *journals, size_t *ret_count,
                             struct fault *fault)
{
    struct listing l = {.client = rados_of(base)->client, .after = after, .journals = journals, .max = max, .deadline = deadline, .fault = fault};
    result code = worker_run(WORKER_READ, run_listing, &l);
    if (code != OK) return fail(fault, code, "too many reads wait");
    if (l.code == OK) *ret_count = l.count;
    return l.code;
}
