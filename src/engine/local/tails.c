#include "engine/local/tails.h"

#include <stdlib.h>

#include "base/check.h"

void tails_init(struct tails *t)
{
    t->by_journal = MAP_INIT;
    list_init(&t->by_use);
}

static void drop(struct tails *t, struct tail *one)
{
    map_remove(&t->by_journal, id_view(&one->journal));
    list_remove(&one->node);
    free(one);
}

void tails_clear(struct tails *t)
{
    list_each(node, &t->by_use) free(container_of(node, struct tail, node));
    list_init(&t->by_use);
    map_done(&t->by_journal);
}

struct tail *tails_get(struct tails *t, struct id journal)
{
    struct tail *one = map_get(&t->by_journal, id_view(&journal));
    if (!one) return NULL;
    list_remove(&one->node);
    list_prepend(&t->by_use, &one->node);
    return one;
}

struct tail *tails_put(struct tails *t, const struct tail *state)
{
    struct tail *one = tails_get(t, state->journal);
    if (!one) {
        one = malloc(sizeof *one);
        check(one);
        one->journal = state->journal;
        list_init(&one->node);
        list_prepend(&t->by_use, &one->node);
        map_put(&t->by_journal, id_view(&one->journal), one);
    }
    one->epoch = state->epoch;
    one->folded = state->folded;
    one->last = state->last;
    one->offset = state->offset;
    return one;
}

void tails_forget(struct tails *t, struct id journal)
{
    struct tail *one = map_get(&t->by_journal, id_view(&journal));
    if (one) drop(t, one);
}

void tails_trim(struct tails *t)
{
    while (t->by_journal.count > TAILS_MAX) drop(t, container_of(t->by_use.previous, struct tail, node));
}
