#include "engine/watches.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/map.h"
#include "runtime/coroutine.h"

enum { BUCKETS = 4096, BITS = 64 };

/* All watches of one journal on one loop. */
struct watched {
    struct id journal;
    struct list watches;
};

/* Touched by its loop alone. */
struct watches_of_loop {
    struct map by_journal;
    uint32_t in_bucket[BUCKETS];       /* journals watched */
};

struct watches {
    struct loops *family;
    unsigned loops;
    _Atomic uint64_t interested[BUCKETS];    /* bit: loop index modulo BITS */
    struct watches_of_loop *of_loop;
};

struct notice {
    struct task task;
    struct watches *watches;
    struct id journal;
    unsigned part, parts;              /* parts 0: for this journal alone */
};

static unsigned bucket_of(struct id journal)
{
    return (unsigned)(hash_stable(id_view(&journal)) % BUCKETS);
}

struct watches *watches_new(void)
{
    struct watches *w = calloc(1, sizeof *w);
    check(w);
    w->family = loop_family(loop_self());
    w->loops = loops_count(w->family);
    w->of_loop = calloc(w->loops, sizeof *w->of_loop);
    check(w->of_loop);
    return w;
}

struct barrier {
    struct task task;
    struct completion passed;
};

static void pass_barrier(struct task *t)
{
    struct barrier *b = container_of(t, struct barrier, task);
    completion_set(&b->passed, OK);
}

/* On each loop: what was posted to it before has run when its barrier is passed. */
static void stop_here(void *argument)
{
    colour_pretend_coroutine();
    struct watches *w = argument;
    struct watches_of_loop *mine = &w->of_loop[loop_index(loop_self())];
    struct barrier b = {.task.run = pass_barrier};
    completion_init(&b.passed);
    loop_post(loop_self(), &b.task);
    (void)completion_wait(&b.passed);
    check(mine->by_journal.count == 0);
    map_done(&mine->by_journal);
}

void watches_free(struct watches *w)
{
    for (unsigned i = 0; i < w->loops; i++) loop_run_on(loops_at(w->family, i), "engine watches stop", stop_here, w);
    free(w->of_loop);
    free(w);
}

static void count_interest(struct watches *w, struct watches_of_loop *mine, unsigned bucket, int change)
{
    unsigned bit = loop_index(loop_self()) % BITS;
    uint64_t mask = (uint64_t)1 << bit;
    mine->in_bucket[bucket] += (uint32_t)change;
    if (w->loops <= BITS) {
        if (mine->in_bucket[bucket] == 0) atomic_fetch_and(&w->interested[bucket], ~mask);
        else if (change > 0 && mine->in_bucket[bucket] == 1) atomic_fetch_or(&w->interested[bucket], mask);
    } else {
        /* Several loops share a bit: once set it stays. */
        atomic_fetch_or(&w->interested[bucket], mask);
    }
}

void watches_add(struct watches *w, struct id journal, struct journal_watch *watch, void (*changed)(struct journal_watch *watch))
{
    struct watches_of_loop *mine = &w->of_loop[loop_index(loop_self())];
    struct watched *one = map_get(&mine->by_journal, id_view(&journal));
    if (!one) {
        one = calloc(1, sizeof *one);
        check(one);
        one->journal = journal;
        list_init(&one->watches);
        map_put(&mine->by_journal, id_view(&one->journal), one);
        count_interest(w, mine, bucket_of(journal), 1);
    }
    watch->journal = journal;
    watch->loop = loop_self();
    watch->changed = changed;
    watch->engine_private = one;
    list_append(&one->watches, &watch->node);
}

void watches_remove(struct watches *w, struct journal_watch *watch)
{
    struct watches_of_loop *mine = &w->of_loop[loop_index(loop_self())];
    struct watched *one = watch->engine_private;
    check(watch->loop == loop_self());
    list_remove(&watch->node);
    watch->engine_private = NULL;
    if (!list_is_empty(&one->watches)) return;
    map_remove(&mine->by_journal, id_view(&one->journal));
    count_interest(w, mine, bucket_of(one->journal), -1);
    free(one);
}

static void ignore(struct journal_watch *w) {}

/*
 * changed() may remove its own watch and others, or add some. So the watches wait in a list of their own and stand in
 * their place again before they are called. A watch that does nothing keeps `one` alive meanwhile.
 */
static void call_watches(struct watches *w, struct id journal)
{
    struct watched *one = map_get(&w->of_loop[loop_index(loop_self())].by_journal, id_view(&journal));
    if (!one) return;
    struct list waiting;
    struct journal_watch keep;
    list_init(&waiting);
    list_splice(&waiting, &one->watches);
    watches_add(w, journal, &keep, ignore);
    for (struct list *node; (node = list_pop(&waiting));) {
        struct journal_watch *watch = container_of(node, struct journal_watch, node);
        list_append(&one->watches, node);
        watch->changed(watch);
    }
    watches_remove(w, &keep);
}

static void call_part(struct watches *w, unsigned part, unsigned parts)
{
    struct map *mine = &w->of_loop[loop_index(loop_self())].by_journal;
    size_t count = 0, position = 0;
    struct id *journals = calloc(mine->count + 1, sizeof *journals);
    check(journals);
    for (struct map_slot *slot; (slot = map_next(mine, &position));)
        if (hash_stable(slot->key) % parts == part) journals[count++] = ((struct watched *)slot->value)->journal;
    for (size_t i = 0; i < count; i++) call_watches(w, journals[i]);
    free(journals);
}

static void run_notice(struct task *t)
{
    struct notice *n = container_of(t, struct notice, task);
    if (n->parts) call_part(n->watches, n->part, n->parts);
    else call_watches(n->watches, n->journal);
    free(n);
}

static void post_notice(struct watches *w, unsigned loop, struct id journal, unsigned part, unsigned parts)
{
    struct notice *n = malloc(sizeof *n);
    check(n);
    *n = (struct notice){.task.run = run_notice, .watches = w, .journal = journal, .part = part, .parts = parts};
    loop_post(loops_at(w->family, loop), &n->task);
}

void watches_tell(struct watches *w, struct id journal)
{
    uint64_t interested = atomic_load(&w->interested[bucket_of(journal)]);
    for (; interested; interested &= interested - 1)
        for (unsigned i = (unsigned)__builtin_ctzll(interested); i < w->loops; i += BITS) post_notice(w, i, journal, 0, 0);
}

void watches_tell_part(struct watches *w, unsigned part, unsigned parts)
{
    for (unsigned i = 0; i < w->loops; i++) post_notice(w, i, ID_NONE, part, parts);
}

void watches_tell_all(struct watches *w) { watches_tell_part(w, 0, 1); }
