/*
 * sim_private: the world, for the files of runtime/sim alone.
 *
 * What happens is one of four things, one at a time: a due event of the world (bytes arrive, a job ends), a task of a loop,
 * a loop's due timers, or the resumption of one ready coroutine. sim.c picks among all that can happen now.
 */
#pragma once

#include <setjmp.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/list.h"
#include "runtime/loop_private.h"
#include "runtime/sim/sim.h"

/* Something that will happen at a time. A node's events die with it. */
struct sim_event {
    int64_t due_us;
    uint64_t order;                        /* among events of one time; random */
    struct sim_node *node;                 /* NULL: the world's own */
    void (*run)(void *argument);           /* outside any loop; the event is freed before */
    void *argument;
    size_t heap_index;
};

struct sim_life;

struct sim_loop {
    struct loop base;                      /* first */
    struct sim_life *life;
    struct task *inbox_first, **inbox_last;
};

/* The loops of a node from its start to its death. Kept until the world ends, because others may hold a pointer. */
struct sim_life {
    struct loops family;
    struct sim_node *node;
    bool is_over;
    struct sim_life *former;
    unsigned count;
    struct sim_loop loops[];
};

struct sim_node {
    struct list node;                      /* in sim.nodes */
    struct sim *world;
    const char *name;
    unsigned index;
    struct sim_life *life;                 /* the present one, or the last */
    bool is_up, is_crashing;
    uint64_t steps, crash_at_step;         /* 0: never */
    int64_t wall_skew_ms;
    int64_t frozen_until_us;
    struct list streams, listeners, batchers;
};

struct sim_told;                           /* an event that was emitted */

struct sim {
    uint64_t seed;
    uint64_t choice[4], program[4];        /* random states: the world's choices, and what the program draws */
    uint64_t trace;
    int64_t now_us;
    int64_t now_ms;                        /* clock_now(): of this step */
    struct list nodes;
    unsigned node_count;
    struct sim_event **events;             /* a heap */
    size_t event_count, event_capacity;
    struct sim_node *running;              /* of the step that runs */
    jmp_buf *step;                         /* where a crash outside a coroutine goes */
    uint64_t steps, steps_at_this_time;
    int64_t call_limit_ms;
    unsigned crashes;
    bool is_hasty;
    void (*crashed)(void *argument, struct sim_node *n);
    void *crashed_argument;
    struct sim_network network;
    struct sim_workers workers;
    uint16_t next_port;
    uint64_t listeners_opened;
    struct list dns;                       /* resolver.c */
    struct list documents;                 /* http.c */
    unsigned http_asked;
    struct sim_told **told;
    size_t told_count, told_capacity;
};

extern struct sim *sim_world;              /* sim_current() */

uint64_t sim_draw(uint64_t state[static 4]);
void sim_draw_seed(uint64_t state[static 4], uint64_t seed);
/* Uniform in [0, max] from the world's choices. */
uint64_t sim_upto(struct sim *s, uint64_t max);

/* `node` may be NULL. Returned for sim_event_cancel(); gone once it runs. */
struct sim_event *sim_event_in(struct sim *s, struct sim_node *node, int64_t delay_us, void (*run)(void *argument), void *argument);
void sim_event_cancel(struct sim *s, struct sim_event *e);
void sim_events_drop_node(struct sim *s, struct sim_node *node);
struct sim_event *sim_event_take_due(struct sim *s);
int64_t sim_event_next_us(const struct sim *s);    /* INT64_MAX: none */

static inline struct sim_node *sim_node_of(struct loop *l) { return ((struct sim_loop *)(void *)l)->life->node; }
void sim_node_start(struct sim_node *n, unsigned loops);
/* The death itself; the caller is not of the node. */
void sim_node_die(struct sim_node *n);

/* stream.c, listener.c, workers.c: what a dying or closing node has of them. */
void sim_streams_break(struct sim_node *n);      /* both ends see a reset */
void sim_streams_free(struct sim_node *n);
void sim_listeners_drop(struct sim_node *n);
void sim_batchers_drop(struct sim_node *n);
/* An end that has no peer yet. */
struct stream *sim_stream_new(struct loop *l);
void sim_stream_connect_ends(struct stream *a, struct stream *b);
void sim_stream_set_addresses(struct stream *s, const struct address *local, const struct address *peer);

/* told.c, resolver.c, http.c */
void sim_http_clear(struct sim *s);
void sim_told_begin(struct sim *s);
void sim_told_end(struct sim *s);
