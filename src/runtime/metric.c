/*
 * Counters: each thread adds to a block of its own, without atomic read-modify-write and without sharing a
 * cache line; who reads sums over all blocks. A thread that ends leaves its sums in `ended`.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/list.h"
#include "runtime/event_face.h"
#include "runtime/event_hook.h"
#include "runtime/stack_marks.h"

enum metric_kind { KIND_COUNTER, KIND_GAUGE, KIND_HISTOGRAM };

static const struct {
    const char *name, *help;
    enum metric_kind kind;
} catalogue[METRIC_COUNT] = {
#define METRIC(name, kind, text, help) [METRIC_##name] = {text, help, KIND_##kind},
#include "runtime/metrics.def"
#undef METRIC
};

/* Bucket i holds what is at most 2^(i+4) us: 16 us to 67 s, and one for the rest. */
enum { BUCKET_FIRST_BITS = 4, BUCKET_COUNT = 24 };

struct counters {
    struct list node;
    _Atomic int64_t events[EVENT_COUNT];
    _Atomic int64_t values[METRIC_COUNT];            /* of a histogram: the sum */
    _Atomic int64_t buckets[METRIC_COUNT][BUCKET_COUNT];
};

static struct {
    pthread_mutex_t lock;
    pthread_once_t once;
    pthread_key_t at_thread_end;
    struct list blocks;
    struct counters ended;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT, .blocks = {&all.blocks, &all.blocks}};

static _Thread_local struct counters *mine;

/* Only the owner writes, so a plain load and store will do. */
static void add(_Atomic int64_t *to, int64_t amount)
{
    atomic_store_explicit(to, atomic_load_explicit(to, memory_order_relaxed) + amount, memory_order_relaxed);
}

static int64_t get(_Atomic int64_t *from) { return atomic_load_explicit(from, memory_order_relaxed); }

static void add_all(struct counters *to, struct counters *from)
{
    for (unsigned i = 0; i < EVENT_COUNT; i++) add(&to->events[i], get(&from->events[i]));
    for (unsigned i = 0; i < METRIC_COUNT; i++) {
        add(&to->values[i], get(&from->values[i]));
        for (unsigned b = 0; b < BUCKET_COUNT; b++) add(&to->buckets[i][b], get(&from->buckets[i][b]));
    }
}

static void leave(void *block)
{
    struct counters *c = block;
    pthread_mutex_lock(&all.lock);
    add_all(&all.ended, c);
    list_remove(&c->node);
    pthread_mutex_unlock(&all.lock);
    mine = NULL;
    free(c);
}

static void make_key(void) { check(pthread_key_create(&all.at_thread_end, leave) == 0); }

__attribute__((noinline, cold)) static struct counters *join(void)
{
    struct counters *c = aligned_alloc(64, (sizeof *c + 63) & ~(size_t)63);
    check(c != NULL);
    *c = (struct counters){0};
    pthread_once(&all.once, make_key);
    pthread_setspecific(all.at_thread_end, c);
    pthread_mutex_lock(&all.lock);
    list_append(&all.blocks, &c->node);
    pthread_mutex_unlock(&all.lock);
    return mine = c;
}

static struct counters *own(void) { return __builtin_expect(mine != NULL, 1) ? mine : join(); }

void metric_count_event(enum event e) { add(&own()->events[e], 1); }
void metric_add(enum metric m, int64_t amount) { add(&own()->values[m], amount); }

static unsigned bucket_of(int64_t value_us)
{
    if (value_us <= 1 << BUCKET_FIRST_BITS) return 0;
    unsigned bits = 64 - (unsigned)__builtin_clzll((unsigned long long)value_us - 1);
    unsigned bucket = bits - BUCKET_FIRST_BITS;
    return bucket < BUCKET_COUNT ? bucket : BUCKET_COUNT - 1;
}

void metric_observe_us(enum metric m, int64_t value_us)
{
    struct counters *c = own();
    add(&c->values[m], value_us);
    add(&c->buckets[m][bucket_of(value_us)], 1);
}

/* A sum over all threads; the caller frees it. 200 bytes a metric: too big for a stack. */
static struct counters *sum(void)
{
    struct counters *total = calloc(1, sizeof *total);
    check(total != NULL);
    pthread_mutex_lock(&all.lock);
    add_all(total, &all.ended);
    list_each(node, &all.blocks) add_all(total, container_of(node, struct counters, node));
    pthread_mutex_unlock(&all.lock);
    return total;
}

int64_t event_times(enum event e)
{
    struct counters *total = sum();
    int64_t times = get(&total->events[e]);
    free(total);
    return times;
}

int64_t metric_value(enum metric m)
{
    struct counters *total = sum();
    int64_t value = 0;
    if (catalogue[m].kind != KIND_HISTOGRAM) value = get(&total->values[m]);
    else
        for (unsigned b = 0; b < BUCKET_COUNT; b++) value += get(&total->buckets[m][b]);
    free(total);
    return value;
}

/* ---- Prometheus' text format ------------------------------------------------------------------------------ */

/* A row's name may carry labels: connections{protocol="imap"}. */
static view base_name(view name)
{
    view base;
    return view_cut(&name, '{', &base) ? base : name;
}

/* What stands between the braces, with a comma after it; or nothing. */
static view labels_of(view name)
{
    size_t open = view_find(name, '{');
    return open == VIEW_NONE ? VIEW_EMPTY : view_slice(name, open + 1, name.len - open - 2);
}

static void write_head(buf *into, view base, const char *help, const char *type)
{
    buf_appendf(into, "# HELP tayori_" VIEW_FMT " %s\n# TYPE tayori_" VIEW_FMT " %s\n", VIEW_ARG(base), help, VIEW_ARG(base), type);
}

static void write_seconds(buf *into, int64_t us) { buf_appendf(into, "%lld.%06lld", (long long)us / 1000000, (long long)us % 1000000); }

static void write_histogram(buf *into, view name, struct counters *total, unsigned m)
{
    view base = base_name(name), labels = labels_of(name);
    const char *comma = labels.len ? "," : "";
    int64_t count = 0;
    for (unsigned b = 0; b < BUCKET_COUNT; b++) {
        count += get(&total->buckets[m][b]);
        buf_appendf(into, "tayori_" VIEW_FMT "_bucket{" VIEW_FMT "%sle=\"", VIEW_ARG(base), VIEW_ARG(labels), comma);
        if (b == BUCKET_COUNT - 1) buf_append_cstr(into, "+Inf");
        else write_seconds(into, (int64_t)1 << (b + BUCKET_FIRST_BITS));
        buf_appendf(into, "\"} %lld\n", (long long)count);
    }
    view braces = view_from(name, base.len);
    buf_appendf(into, "tayori_" VIEW_FMT "_sum" VIEW_FMT " ", VIEW_ARG(base), VIEW_ARG(braces));
    write_seconds(into, get(&total->values[m]));
    buf_appendf(into, "\ntayori_" VIEW_FMT "_count" VIEW_FMT " %lld\n", VIEW_ARG(base), VIEW_ARG(braces), (long long)count);
}

void event_metrics(struct buf *into)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    struct counters *total = sum();
    view previous = VIEW_EMPTY;
    for (unsigned m = 0; m < METRIC_COUNT; m++) {
        view name = view_of(catalogue[m].name);
        if (!view_equal(base_name(name), previous)) write_head(into, base_name(name), catalogue[m].help, types[catalogue[m].kind]);
        previous = base_name(name);
        if (catalogue[m].kind == KIND_HISTOGRAM) write_histogram(into, name, total, m);
        else buf_appendf(into, "tayori_%s %lld\n", catalogue[m].name, (long long)get(&total->values[m]));
    }
    write_head(into, VIEW("events_total"), "events of the catalogue", "counter");
    for (unsigned e = 0; e < EVENT_COUNT; e++)
        buf_appendf(into, "tayori_events_total{event=\"%s\"} %lld\n", event_name((enum event)e), (long long)get(&total->events[e]));
    free(total);
    write_head(into, VIEW("coroutine_stack_kib"), "deepest stack of coroutines of a name, KiB; 16: at most 16", "gauge");
    stack_marks_write(into);
}

void metric_catalogue(buf *into)
{
    static const char *const types[] = {"counter", "gauge", "histogram (seconds)"};
    buf_append_cstr(into, "\n## Metrics\n\n| metric | kind | what it counts |\n|---|---|---|\n");
    for (unsigned m = 0; m < METRIC_COUNT; m++)
        buf_appendf(into, "| `tayori_%s` | %s | %s |\n", catalogue[m].name, types[catalogue[m].kind], catalogue[m].help);
    buf_append_cstr(into, "| `tayori_events_total` | counter | events of the catalogue, by name |\n"
                          "| `tayori_coroutine_stack_kib` | gauge | deepest stack of coroutines of a name, of 256 KiB; 16 means at most 16 |\n");
}
