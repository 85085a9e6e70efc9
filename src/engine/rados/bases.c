/* A table of fixed size, a journal has one place in it: what is displaced is asked again. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "engine/rados/journal_private.h"

enum { PLACES = 1 << 16, LOCKS = 64 };

struct place {
    struct id journal;
    uint64_t base;
};

struct bases {
    pthread_mutex_t locks[LOCKS];
    struct place places[PLACES];
};

struct bases *bases_new(void)
{
    struct bases *b = calloc(1, sizeof *b);
    check(b);
    for (size_t i = 0; i < LOCKS; i++) pthread_mutex_init(&b->locks[i], NULL);
    return b;
}

void bases_free(struct bases *b)
{
    for (size_t i = 0; i < LOCKS; i++) pthread_mutex_destroy(&b->locks[i]);
    free(b);
}

static size_t place_of(struct id journal) { return hash_bytes(id_view(&journal)) % PLACES; }

uint64_t bases_get(struct bases *b, struct id journal)
{
    size_t at = place_of(journal);
    pthread_mutex_lock(&b->locks[at % LOCKS]);
    struct place p = b->places[at];
    pthread_mutex_unlock(&b->locks[at % LOCKS]);
    return id_equal(p.journal, journal) ? p.base : 0;
}

void bases_put(struct bases *b, struct id journal, uint64_t base)
{
    size_t at = place_of(journal);
    pthread_mutex_lock(&b->locks[at % LOCKS]);
    if (base != 0) b->places[at] = (struct place){journal, base};
    else if (id_equal(b->places[at].journal, journal)) b->places[at] = (struct place){0};
    pthread_mutex_unlock(&b->locks[at % LOCKS]);
}
