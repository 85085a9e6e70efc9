#include "flow/queue_reader.h"

#include <stdlib.h>

#include "base/check.h"

struct visit {
    struct shard *shard;
    MAY_YIELD void (*run)(void *argument, struct shard *s);
    void *argument;
    bool was_owned;
};

static void visit_owned(void *argument)
{
    colour_pretend_coroutine();
    struct visit *v = argument;
    v->was_owned = v->shard->is_owned;
    if (v->was_owned) v->run(v->argument, v->shard);
}

void shard_reader_init(struct shard *s, struct queue *q, unsigned number)
{
    *s = (struct shard){.queue = q, .number = number, .journal = q->shards[number].journal, .loop = loop_self()};
    shard_init(s);
}

void shard_reader_done(struct shard *s)
{
    shard_forget_all(s);
    map_done(&s->texts);
}

result queue_with_shard(struct queue *q, unsigned number, millis deadline, MAY_YIELD void (*run)(void *argument, struct shard *s), void *argument, struct fault *fault)
{
    struct visit v = {.shard = &q->shards[number], .run = run, .argument = argument};
    if (atomic_load(&q->running) > 0) loop_run_on(v.shard->loop, "queue visit", visit_owned, &v);
    if (v.was_owned) return OK;
    struct shard *reader = calloc(1, sizeof *reader);
    check(reader);
    shard_reader_init(reader, q, number);
    result code = shard_read(reader, deadline, fault);
    if (code == OK) run(argument, reader);
    shard_reader_done(reader);
    free(reader);
    return code;
}
