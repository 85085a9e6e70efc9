/* The turns of a world: what can happen now, which of it does, and the jump to what comes next. */
#include "runtime/sim/sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/clock.h"
#include "runtime/sim/sim_private.h"

enum {
    READY_WINDOW = 16,                 /* of a loop's ready coroutines, the next is one of the first so many */
    OVERDUE_PPM = 60000,               /* resumptions that find that they have had their share */
    CALL_LIMIT_MS = 3600 * 1000,
    CLOSE_LIMIT_MS = 600 * 1000,
    CLOSE_QUIET_MS = 50,
    CLOSE_SETTLE_MS = 1000,
    SETTLE_LIMIT_MS = 600 * 1000,
};

enum step_kind { STEP_NONE, STEP_EVENT, STEP_TASK, STEP_TIMERS, STEP_READY };

struct step {
    enum step_kind kind;
    struct sim_loop *loop;             /* NULL for an event */
};

/* ---- choosing ------------------------------------------------------------------------------------------ */

static void note(struct sim *s, uint64_t what)
{
    s->trace = (s->trace ^ what) * 0x100000001b3;
    s->trace ^= s->trace >> 29;
}

/* Each candidate is as likely as any other. */
static void offer(struct sim *s, struct step *chosen, unsigned *count, enum step_kind kind, struct sim_loop *l)
{
    if (sim_choose(s, ++*count) == 0) *chosen = (struct step){kind, l};
}

static struct step choose_step(struct sim *s)
{
    struct step chosen = {STEP_NONE, NULL};
    unsigned count = 0;
    if (sim_event_next_us(s) <= s->now_us) offer(s, &chosen, &count, STEP_EVENT, NULL);
    list_each (node, &s->nodes) {
        struct sim_node *n = container_of(node, struct sim_node, node);
        if (n->frozen_until_us > s->now_us) continue;
        for (unsigned i = 0; n->is_up && i < n->life->count; i++) {
            struct sim_loop *l = &n->life->loops[i];
            if (l->inbox_first) offer(s, &chosen, &count, STEP_TASK, l);
            if (loop_has_ready(&l->base)) offer(s, &chosen, &count, STEP_READY, l);
            if (loop_next_due(&l->base).ms <= s->now_ms) offer(s, &chosen, &count, STEP_TIMERS, l);
        }
    }
    return chosen;
}

static int64_t next_time_us(const struct sim *s)
{
    int64_t next_us = sim_event_next_us(s);
    list_each (node, &s->nodes) {
        struct sim_node *n = container_of(node, struct sim_node, node);
        if (n->is_up && n->frozen_until_us > s->now_us) {
            if (n->frozen_until_us < next_us) next_us = n->frozen_until_us;
            continue;
        }
        for (unsigned i = 0; n->is_up && i < n->life->count; i++) {
            millis due = loop_next_due(&n->life->loops[i].base);
            if (!millis_is_never(due) && due.ms * 1000 < next_us) next_us = due.ms * 1000;
        }
    }
    return next_us;
}

/* ---- taking a step ------------------------------------------------------------------------------------- */

static void run_task(struct sim_loop *l)
{
    struct task *t = l->inbox_first;
    l->inbox_first = t->next;
    if (!l->inbox_first) l->inbox_last = &l->inbox_first;
    t->run(t);
}

static void run_one_ready(struct sim *s, struct sim_loop *l)
{
    struct list *ready = &l->base.ready;
    if (list_is_empty(ready) || sim_choose(s, 2) == 0) list_splice(ready, &l->base.later);
    unsigned count = 0;
    struct list *chosen = NULL;
    for (struct list *node = ready->next; node != ready && count < READY_WINDOW; node = node->next)
        if (sim_choose(s, ++count) == 0) chosen = node;
    l->base.turn_started_us = s->now_us - (sim_chance_ppm(s, OVERDUE_PPM) ? 1000000 : 0);
    coroutine_resume(&l->base, coroutine_of_ready_node(chosen));
}

static void run_event(struct sim *s)
{
    struct sim_event *e = sim_event_take_due(s), copy = *e;
    free(e);
    s->running = copy.node;
    copy.run(copy.argument);
}

static void run_on_loop(struct sim *s, const struct step *step)
{
    s->running = step->loop->life->node;
    loop_enter(&step->loop->base);
    switch (step->kind) {
    case STEP_TASK: run_task(step->loop); break;
    case STEP_TIMERS: loop_fire_timers(&step->loop->base); break;
    case STEP_READY: run_one_ready(s, step->loop); break;
    case STEP_EVENT:
    case STEP_NONE: unreachable();
    }
    loop_leave(&step->loop->base);
}

/* Whose step it was is in s->running; a node that dies outside its coroutines comes back through the jump. */
static void take_step(struct sim *s, const struct step *step)
{
    jmp_buf place;
    s->step = &place;
    if (setjmp(place) == 0) {
        if (step->kind == STEP_EVENT) run_event(s);
        else run_on_loop(s, step);
    } else if (loop_self()) {
        loop_leave(loop_self());
    }
    struct sim_node *n = s->running;
    s->running = NULL;
    s->step = NULL;
    if (!n || !n->is_up) return;
    n->steps++;
    if (n->is_crashing || n->steps == n->crash_at_step) sim_node_die(n);
}

static enum sim_end run_world(struct sim *s, bool (*is_done)(void *argument), void *argument, int64_t until_us, int64_t quiet_us)
{
    check(s == sim_world && loop_self() == NULL && s->step == NULL);
    for (;;) {
        if (is_done && is_done(argument)) return SIM_DONE;
        s->now_ms = s->now_us / 1000;
        struct step step = choose_step(s);
        if (step.kind == STEP_NONE) {
            int64_t next_us = next_time_us(s);
            if (next_us == INT64_MAX) return SIM_IDLE;
            if (next_us > until_us) {
                s->now_us = until_us > s->now_us ? until_us : s->now_us;
                s->now_ms = s->now_us / 1000;
                return SIM_TIME_OUT;
            }
            if (next_us - s->now_us > quiet_us) return SIM_DONE;
            s->now_us = next_us > s->now_us ? next_us : s->now_us;
            s->steps_at_this_time = 0;
            continue;
        }
        if (s->now_us > until_us) return SIM_TIME_OUT;
        s->steps++;
        s->now_us++;
        note(s, (uint64_t)s->now_us << 8 | (uint64_t)step.kind << 4 | (step.loop ? step.loop->base.index + 4 * step.loop->life->node->index : 0));
        if (step.kind == STEP_EVENT) s->steps_at_this_time = 0;
        else if (++s->steps_at_this_time > SIM_STEPS_WITHOUT_TIME) return SIM_LIVELOCK;
        take_step(s, &step);
    }
}

static int64_t us_of(millis t) { return t.ms > INT64_MAX / 1000 ? INT64_MAX : t.ms * 1000; }

enum sim_end sim_run_until(struct sim *s, bool (*is_done)(void *argument), void *argument, millis until)
{
    return run_world(s, is_done, argument, us_of(until), INT64_MAX);
}

enum sim_end sim_run(struct sim *s, int64_t duration_ms)
{
    return run_world(s, NULL, NULL, s->now_us + duration_ms * 1000, INT64_MAX);
}

static void settle(struct sim *s, int64_t quiet_ms, int64_t limit_ms)
{
    if (run_world(s, NULL, NULL, s->now_us + limit_ms * 1000, quiet_ms * 1000) == SIM_LIVELOCK) {
        sim_show(s);
        check_failed("livelock", __FILE__, __LINE__, __func__);
    }
}

void sim_settle(struct sim *s, int64_t quiet_ms) { settle(s, quiet_ms, SETTLE_LIMIT_MS); }

void sim_set_hasty(struct sim *s, bool is_hasty)
{
    s->is_hasty = is_hasty;
    list_each (node, &s->nodes) {
        struct sim_life *life = container_of(node, struct sim_node, node)->life;
        for (unsigned i = 0; i < life->count; i++) life->loops[i].base.is_hasty = is_hasty;
    }
}

void sim_set_call_limit(struct sim *s, int64_t limit_ms) { s->call_limit_ms = limit_ms; }
uint64_t sim_steps(const struct sim *s) { return s->steps; }
uint64_t sim_trace(const struct sim *s) { return s->trace; }
uint64_t sim_seed(const struct sim *s) { return s->seed; }
struct sim_network *sim_network(struct sim *s) { return &s->network; }

/* ---- starting and calling ------------------------------------------------------------------------------ */

struct start {
    struct loop *loop;
    const char *name;                  /* of a coroutine; NULL: a callback */
    void (*run)(void *argument);
    void *argument;
};

static void start_it(void *argument)
{
    struct start start = *(struct start *)argument;
    free(argument);
    loop_enter(start.loop);
    if (start.name) coroutine_spawn(loop_scope(start.loop), start.name, start.run, start.argument);
    else start.run(start.argument);
    loop_leave(start.loop);
}

static void start_soon(struct start start)
{
    struct sim_node *n = sim_node_of(start.loop);
    struct start *kept = malloc(sizeof *kept);
    check(kept && n->is_up);
    *kept = start;
    sim_event_in(n->world, n, 0, start_it, kept);
}

void sim_spawn(struct sim_node *n, unsigned loop, const char *name, void (*run)(void *argument), void *argument)
{
    start_soon((struct start){sim_node_loop(n, loop), name, run, argument});
}

void sim_on_loop(struct loop *l, void (*run)(void *argument), void *argument)
{
    start_soon((struct start){l, NULL, run, argument});
}

struct call {
    struct sim_life *life;
    void (*run)(void *argument);
    void *argument;
    bool is_done;
};

static void run_call(void *argument)
{
    struct call *c = argument;
    c->run(c->argument);
    c->is_done = true;
}

static bool call_is_done(void *argument)
{
    const struct call *c = argument;
    return c->is_done || c->life->is_over;
}

static const char *const end_names[] = {"done", "deadlock: nothing can run", "no end within the limit of virtual time", "livelock"};

bool sim_call(struct sim_node *n, unsigned loop, void (*run)(void *argument), void *argument)
{
    struct sim *s = n->world;
    struct call c = {.life = n->life, .run = run, .argument = argument};
    sim_spawn(n, loop, "sim_call", run_call, &c);
    enum sim_end end = run_world(s, call_is_done, &c, s->now_us + s->call_limit_ms * 1000, INT64_MAX);
    if (end != SIM_DONE) {
        sim_show(s);
        fprintf(stderr, "sim_call on node %s: %s\n", n->name, end_names[end]);
        abort();
    }
    return c.is_done;
}

/* ---- the world's beginning and end --------------------------------------------------------------------- */

struct sim *sim_open(uint64_t seed)
{
    check(sim_world == NULL);
    struct sim *s = calloc(1, sizeof *s);
    check(s);
    s->seed = seed;
    s->next_port = 49152;
    s->call_limit_ms = CALL_LIMIT_MS;
    s->network = (struct sim_network){.delay_max_us = 1000, .window_bytes = 64 << 10, .split_ppm = 300000, .short_read_ppm = 100000, .tls_delay_max_us = 2000};
    s->workers = (struct sim_workers){.delay_max_us = 500};
    list_init(&s->nodes);
    list_init(&s->dns);
    list_init(&s->documents);
    sim_draw_seed(s->choice, seed);
    sim_draw_seed(s->program, ~seed);
    sim_world = s;
    sim_told_begin(s);
    return s;
}

static bool nobody_runs(void *argument)
{
    struct sim *s = argument;
    list_each (node, &s->nodes) {
        struct sim_node *n = container_of(node, struct sim_node, node);
        for (unsigned i = 0; n->is_up && i < n->life->count; i++)
            if (n->life->loops[i].base.coroutine_count > 0) return false;
    }
    return true;
}

static void cancel_loop(void *argument) { scope_cancel(loop_scope(loop_self())); }

static void each_node(struct sim *s, void (*visit)(struct sim_node *n))
{
    list_each (node, &s->nodes) visit(container_of(node, struct sim_node, node));
}

static void break_streams(struct sim_node *n) { sim_streams_break(n); }

static void cancel_node(struct sim_node *n)
{
    for (unsigned i = 0; n->is_up && i < n->life->count; i++) sim_on_loop(&n->life->loops[i].base, cancel_loop, NULL);
}

static void free_node(struct sim_node *n)
{
    sim_streams_free(n);
    sim_listeners_drop(n);
    sim_batchers_drop(n);
    for (struct sim_life *life = n->life, *former; life; life = former) {
        former = life->former;
        for (unsigned i = 0; i < life->count; i++) loop_done(&life->loops[i].base);
        free(life->family.at);
        free(life);
    }
    list_remove(&n->node);
    free(n);
}

void sim_close(struct sim *s)
{
    s->crashed = NULL;
    each_node(s, break_streams);
    settle(s, CLOSE_QUIET_MS, CLOSE_SETTLE_MS);
    each_node(s, cancel_node);
    enum sim_end end = run_world(s, nobody_runs, s, s->now_us + (int64_t)CLOSE_LIMIT_MS * 1000, INT64_MAX);
    if (end != SIM_DONE) {
        sim_show(s);
        fprintf(stderr, "sim_close: coroutines that do not end when they are cancelled: %s\n", end_names[end]);
        abort();
    }
    settle(s, CLOSE_QUIET_MS, CLOSE_SETTLE_MS);
    while (s->event_count > 0) sim_event_cancel(s, s->events[0]);
    each_node(s, free_node);
    sim_told_end(s);
    sim_dns_clear(s);
    sim_http_clear(s);
    free(s->events);
    free(s);
    sim_world = NULL;
}

static void show_coroutine(void *context, const char *name, int64_t age_ms, const char *waits_for)
{
    fprintf(stderr, "  %s: \"%s\", %" PRId64 " ms old, %s\n", (const char *)context, name, age_ms, waits_for ? waits_for : "new");
}

void sim_show(struct sim *s)
{
    fprintf(stderr, "seed %" PRIu64 ", %" PRIu64 " steps, virtual time %" PRId64 " us\n", s->seed, s->steps, s->now_us);
    struct loop *self = loop_self();
    if (self) loop_leave(self);
    list_each (node, &s->nodes) {
        struct sim_node *n = container_of(node, struct sim_node, node);
        for (unsigned i = 0; n->is_up && i < n->life->count; i++) {
            loop_enter(&n->life->loops[i].base);
            coroutine_each(show_coroutine, (void *)(uintptr_t)n->name);
            loop_leave(&n->life->loops[i].base);
        }
    }
    if (self) loop_enter(self);
}
