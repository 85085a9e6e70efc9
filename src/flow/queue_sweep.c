/*
 * What a crash leaves of the queue: a message's object whose record was never appended, an object whose message was settled by an owner that died
 * before it removed it, a snapshot that no head names.
 *
 * An object is older than any append that may still be on its way for it when it is removed, and the journal has been read since it was listed.
 */
#include "flow/queue_private.h"
#include "runtime/clock.h"
#include "runtime/event.h"

enum { SWEEP_EVERY_MS = 6 * 3600 * 1000, SWEEP_MS = 600 * 1000, SWEEP_AGE_MS = 3600 * 1000, SWEEP_PAGE = 500, SWEEP_ARENA_BYTES = 1 << 20 };

static bool is_in_use(struct shard *s, struct id id)
{
    const struct queued *m = shard_find(s, id);
    return id_equal(s->snapshot, id) || (m && m->flags & QUEUE_IS_ALONE) || clock_wall().ms - id_time(id).ms < SWEEP_AGE_MS;
}

/* The ids of a page's objects; *after is the last name. */
MAY_YIELD static result list_page(struct shard *s, view prefix, buf *after, millis deadline, buf *ids, bool *ret_more, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, SWEEP_ARENA_BYTES);
    view *names;
    struct id id;
    size_t count = 0;
    result code = object_list(s->queue->engine, prefix, buf_view(after), SWEEP_PAGE, deadline, arena, &names, &count, fault);
    if (code != OK) return code;
    for (size_t i = 0; i < count; i++)
        if (id_parse(view_from(names[i], prefix.len), &id) && !is_in_use(s, id)) buf_append(ids, id_view(&id));
    if (count > 0) {
        buf_clear(after);
        buf_append(after, names[count - 1]);
    }
    *ret_more = count == SWEEP_PAGE;
    return OK;
}

result shard_sweep(struct shard *s, millis deadline, struct fault *fault)
{
    char prefix[QUEUE_OBJECT_NAME_MAX];
    buf after CLEANUP(buf_done) = BUF_INIT;
    bool more = true;
    uint64_t removed = 0;
    result code = OK;
    view start = queue_object_name(s, ID_NONE, prefix);
    start = view_slice(start, 0, view_find_last(start, '/') + 1);
    while (more && code == OK && shard_may_act(s)) {
        buf ids CLEANUP(buf_done) = BUF_INIT;
        struct id id;
        code = list_page(s, start, &after, deadline, &ids, &more, fault);
        if (code == OK && ids.len) code = shard_read(s, deadline, fault);
        for (size_t at = 0; code == OK && at < ids.len; at += sizeof id.bytes) {
            char name[QUEUE_OBJECT_NAME_MAX];
            if (!id_from_bytes(view_slice(buf_view(&ids), at, sizeof id.bytes), &id) || is_in_use(s, id)) continue;
            code = object_remove(s->queue->engine, queue_object_name(s, id, name), deadline, fault);
            removed += code == OK;
        }
    }
    if (removed) EVENT_EMIT(QUEUE_SWEPT, EVENT_NUMBER("shard", s->number), EVENT_NUMBER("objects", removed));
    return code;
}

static void sweep(void *argument)
{
    colour_pretend_coroutine();
    struct shard *s = argument;
    struct fault fault = {0};
    if (shard_sweep(s, clock_in(SWEEP_MS), &fault) != OK) EVENT_EMIT(QUEUE_NOT_COMPACTED, EVENT_NUMBER("shard", s->number), EVENT_FAULT(&fault));
    s->next_sweep = clock_in(SWEEP_EVERY_MS);
    s->is_sweeping = false;
}

void shard_consider_sweep(struct shard *s)
{
    if (s->is_sweeping || millis_before(clock_now(), s->next_sweep)) return;
    s->is_sweeping = true;
    coroutine_spawn(&s->work, "queue sweep", sweep, s);
}
