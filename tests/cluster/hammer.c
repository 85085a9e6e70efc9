/*
 * rados-hammer: appends to journals of the rados engine while something else breaks the cluster, then looks whether each acknowledged record is
 * there, once.
 *
 *     rados-hammer --config CEPH.CONF [--seconds N] [--journals N] [--callers N] [--deadline MS] [--pool NAME] [--object-pool NAME]
 *
 * Two engines, as of two nodes, on one store. Callers append blindly, a third of them at the position they have read; each journal is also
 * compacted all the time, by one engine and the other. The last line is
 * "N acknowledged, N lost, N twice, N unknown (N of them done), N refused, N done though refused, N compactions, longest wait N ms"; the
 * exit status is 0 if nothing was lost, done twice, or done though refused.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "engine/rados.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/random.h"
#include "runtime/run.h"

enum { CALLERS_MAX = 256, JOURNALS_MAX = 1024, RECORDS_MAX = 100000, BODY_MAX = 8192, ARENA_BYTES = 64 << 20, VERIFY_MS = 120000 };

static struct {
    struct engine_rados_options store;
    int64_t seconds, deadline_ms;
    unsigned journals, callers;
} options = {.store = {.pool = "tayori", .object_pool = "tayori-objects"}, .seconds = 10, .deadline_ms = 10000, .journals = 40, .callers = 24};

/* What became of a record, and how often it was found. */
struct record { unsigned char fate, found; };
enum fate { NEVER_SENT, ACKNOWLEDGED, UNKNOWN, REFUSED };

struct caller {
    struct record *records;
    unsigned count;
};

/* One compactor each. Records that a head has swallowed were read before. */
struct journal {
    struct id id;
    uint64_t compactions;                /* the head says how many there were */
    uint64_t *folded;                    /* caller << 32 | number, in the order of folding */
    size_t folded_count, folded_capacity, pending_count;
};

struct hammer {
    struct engine *engines[2];
    struct journal *journals;
    struct caller callers[CALLERS_MAX];
    _Atomic unsigned next_caller, next_compactor, left;
    _Atomic int64_t longest_ms;
    millis ends;
    struct loop *home;
    struct completion all_ended;
};

static const char body[BODY_MAX];

/* ---- appending -------------------------------------------------------------------------------------------- */

static enum fate fate_of(result code)
{
    if (code == OK) return ACKNOWLEDGED;
    return code == UNKNOWN_OUTCOME ? UNKNOWN : REFUSED;
}

MAY_YIELD static bool find_end(struct engine *e, struct id journal, struct arena *arena, struct journal_position *ret_end)
{
    struct journal_page page = {.more = true};
    *ret_end = (struct journal_position){0};
    for (bool first = true; page.more; first = false) {
        result code = engine_read(e, journal, first ? NULL : ret_end, clock_in(options.deadline_ms), arena, &page, NULL);
        if (code == NOT_FOUND) return true;
        if (code != OK) return false;
        *ret_end = page.end;
        arena_reset(arena);
    }
    return true;
}

MAY_YIELD static void append_one(struct hammer *h, unsigned number, struct caller *c, struct arena *arena)
{
    char meta[32];
    struct journal_position end;
    struct engine *e = h->engines[number % 2];
    struct journal *j = &h->journals[random_below(options.journals)];
    struct journal_append a = {.journal = j->id, .meta = view_make(meta, (size_t)snprintf(meta, sizeof meta, "%u %u", number, c->count)),
                               .body = view_make(body, random_below(BODY_MAX))};
    if (number % 3 == 0) {
        if (!find_end(e, j->id, arena, &end)) return;
        a.only_if_at = &end;
    }
    millis began = clock_now();
    result code = engine_append(e, &a, clock_in(options.deadline_ms));
    c->records[c->count++].fate = (unsigned char)fate_of(code);
    int64_t took_ms = clock_now().ms - began.ms;
    if (took_ms > h->longest_ms) h->longest_ms = took_ms;
    if (code != OK && code != CONFLICT && code != UNKNOWN_OUTCOME) (void)!coroutine_sleep(50);
}

MAY_YIELD static void append_there(void *argument)
{
    struct hammer *h = argument;
    unsigned number = h->next_caller++;
    struct arena *arena = arena_new(NULL, ARENA_BYTES);
    while (millis_before(clock_now(), h->ends) && h->callers[number].count < RECORDS_MAX) append_one(h, number, &h->callers[number], arena);
    arena_free(arena);
}

/* ---- compacting ------------------------------------------------------------------------------------------- */

static void note_folded(struct journal *j, const struct journal_record *r)
{
    view rest = r->meta, word;
    uint64_t caller, number;
    check(view_cut(&rest, ' ', &word) && view_to_u64(word, &caller) && view_to_u64(rest, &number));
    if (j->folded_count + j->pending_count == j->folded_capacity) {
        j->folded_capacity = j->folded_capacity * 2 + 64;
        j->folded = realloc(j->folded, j->folded_capacity * sizeof *j->folded);
        check(j->folded);
    }
    j->folded[j->folded_count + j->pending_count++] = caller << 32 | number;
}

/* What was pending is folded if the head says so. False: it cannot be read now. */
MAY_YIELD static bool read_all(struct engine *e, struct journal *j, struct arena *arena, struct journal_position *ret_end, bool *ret_any)
{
    struct journal_page page = {.more = true};
    for (bool first = true; page.more; first = false) {
        arena_reset(arena);
        result code = engine_read(e, j->id, first ? NULL : ret_end, clock_in(options.deadline_ms), arena, &page, NULL);
        if (code == NOT_FOUND) return *ret_any = false, true;
        if (code != OK || (page.has_head && !first)) return false;
        if (first) {
            uint64_t compactions = 0;
            if (page.head.len) check(view_to_u64(page.head, &compactions));
            check(compactions == j->compactions || compactions == j->compactions + 1);
            if (compactions > j->compactions) j->folded_count += j->pending_count;
            j->compactions = compactions;
            j->pending_count = 0;
        }
        for (size_t i = 0; i < page.count; i++) note_folded(j, &page.records[i]);
        *ret_end = page.end;
    }
    return *ret_any = true, true;
}

MAY_YIELD static void compact_there(void *argument)
{
    struct hammer *h = argument;
    unsigned first = h->next_compactor++;
    struct arena *arena = arena_new(NULL, ARENA_BYTES);
    for (unsigned i = first; millis_before(clock_now(), h->ends); i++) {
        struct journal *j = &h->journals[i % 4 * (options.journals / 4) + first % (options.journals / 4)];
        struct engine *e = h->engines[i / 4 % 2];
        struct journal_position end;
        bool any;
        char head[24];
        if (read_all(e, j, arena, &end, &any) && any)
            (void)!engine_replace_head(e, j->id, end.epoch, &end, view_make(head, (size_t)snprintf(head, sizeof head, "%" PRIu64, j->compactions + 1)),
                                       clock_in(options.deadline_ms), NULL, NULL);
        (void)!coroutine_sleep(20);
    }
    arena_free(arena);
}

/* ---- all together ----------------------------------------------------------------------------------------- */

struct errand {
    struct hammer *hammer;
    struct loop *loop;
    void (*run)(void *argument);
};

MAY_YIELD static void run_errand(void *argument)
{
    struct errand e = *(struct errand *)argument;
    free(argument);
    loop_run_on(e.loop, "hammer", e.run, e.hammer);
    if (--e.hammer->left == 0) completion_set(&e.hammer->all_ended, OK);
}

static void send(struct hammer *h, unsigned loop, void (*run)(void *argument))
{
    struct loops *all = loop_family(loop_self());
    struct errand *e = malloc(sizeof *e);
    check(e);
    *e = (struct errand){h, loops_at(all, loop % loops_count(all)), run};
    h->left++;
    coroutine_spawn(loop_scope(loop_self()), "hammer", run_errand, e);
}

MAY_YIELD static void find_records(struct hammer *h, struct journal *j, struct arena *arena)
{
    struct journal_position end;
    bool any;
    millis until = clock_in(VERIFY_MS);
    while (!read_all(h->engines[0], j, arena, &end, &any)) check(millis_before(clock_now(), until));
    for (size_t i = 0; i < j->folded_count + j->pending_count; i++) h->callers[j->folded[i] >> 32].records[(uint32_t)j->folded[i]].found++;
}

static bool report(struct hammer *h)
{
    uint64_t by_fate[4] = {0}, lost = 0, twice = 0, done = 0, wrong = 0, compactions = 0;
    for (unsigned i = 0; i < options.callers; i++)
        for (unsigned n = 0; n < h->callers[i].count; n++) {
            const struct record *r = &h->callers[i].records[n];
            by_fate[r->fate]++;
            twice += r->found > 1;
            lost += r->fate == ACKNOWLEDGED && r->found == 0;
            done += r->fate == UNKNOWN && r->found > 0;
            wrong += r->fate == REFUSED && r->found > 0;
        }
    for (unsigned i = 0; i < options.journals; i++) compactions += h->journals[i].compactions;
    printf("%" PRIu64 " acknowledged, %" PRIu64 " lost, %" PRIu64 " twice, %" PRIu64 " unknown (%" PRIu64 " of them done), %" PRIu64 " refused, %" PRIu64
           " done though refused, %" PRIu64 " compactions, longest wait %" PRId64 " ms\n",
           by_fate[ACKNOWLEDGED], lost, twice, by_fate[UNKNOWN], done, by_fate[REFUSED], wrong, compactions, (int64_t)h->longest_ms);
    return lost == 0 && twice == 0 && wrong == 0 && by_fate[ACKNOWLEDGED] > 0;
}

static int status = 1;

static void run_all(void *argument)
{
    colour_pretend_coroutine();
    struct fault fault = {0};
    char name_space[64];
    struct hammer *h = calloc(1, sizeof *h);
    struct arena *arena = arena_new(NULL, ARENA_BYTES);
    check(h);
    h->journals = calloc(options.journals, sizeof *h->journals);
    check(h->journals);
    snprintf(name_space, sizeof name_space, "hammer-%" PRIx64, random_u64());
    options.store.name_space = name_space;
    for (int i = 0; i < 2; i++)
        if (engine_open_rados(&options.store, &h->engines[i], &fault) != OK) {
            fprintf(stderr, "%s\n", fault.detail);
            exit(1);
        }
    for (unsigned i = 0; i < options.journals; i++) h->journals[i].id = random_id();
    for (unsigned i = 0; i < options.callers; i++) check((h->callers[i].records = calloc(RECORDS_MAX, sizeof(struct record))));
    h->ends = clock_in(options.seconds * 1000);
    completion_init(&h->all_ended);
    puts("begun");
    fflush(stdout);
    for (unsigned i = 0; i < options.callers; i++) send(h, i, append_there);
    for (unsigned i = 0; i < options.journals / 4; i++) send(h, i, compact_there);
    (void)completion_wait(&h->all_ended);
    for (unsigned i = 0; i < options.journals; i++) find_records(h, &h->journals[i], arena);
    status = report(h) ? 0 : 1;
    for (int i = 0; i < 2; i++) engine_close(h->engines[i]);
    for (unsigned i = 0; i < options.journals; i++) free(h->journals[i].folded);
    for (unsigned i = 0; i < options.callers; i++) free(h->callers[i].records);
    free(h->journals);
    free(h);
    arena_free(arena);
}

static void take_arguments(int argc, char **argv)
{
    static const struct option known[] = {{"config", 1, NULL, 'c'}, {"pool", 1, NULL, 'p'}, {"object-pool", 1, NULL, 'o'}, {"seconds", 1, NULL, 's'},
                                          {"journals", 1, NULL, 'j'}, {"callers", 1, NULL, 'n'}, {"deadline", 1, NULL, 'd'}, {0}};
    for (int o; (o = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        uint64_t number = 0;
        if (o == '?') exit(2);
        if (!strchr("cpo", o)) check(view_to_u64(view_of(optarg), &number) && number > 0);
        if (o == 'c') options.store.config_file = optarg;
        else if (o == 'p') options.store.pool = optarg;
        else if (o == 'o') options.store.object_pool = optarg;
        else if (o == 's') options.seconds = (int64_t)number;
        else if (o == 'd') options.deadline_ms = (int64_t)number;
        else if (o == 'j') options.journals = number < 4 ? 4 : number < JOURNALS_MAX ? (unsigned)number : JOURNALS_MAX;
        else options.callers = number < CALLERS_MAX ? (unsigned)number : CALLERS_MAX;
    }
}

int main(int argc, char **argv)
{
    struct fault fault = {0};
    take_arguments(argc, argv);
    struct run_options run = {.loops = 2, .read_workers = 1, .write_workers = 1, .slow_workers = 1};
    check(run_loops(&run, run_all, NULL, &fault) == OK);
    return status;
}
