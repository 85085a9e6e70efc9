#include "engine/rados/signals.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/map.h"
#include "engine/rados/signal_note.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/event.h"
#include "runtime/random.h"

enum {
    TICK_MS = 500,
    RETRY_MS = 1000,
    UNDER_WAY_MAX = 64,               /* notifies of one spot that wait for a dead watcher */
    CREATE_MS = 10000,
    START_MS = 1000,
    STOP_MS = 8000,                   /* without an answer of the cluster */
    NAME_BYTES = 16,
};

/* A spot is one signal object. */
enum spot_state {
    SPOT_AWAY,                        /* not watched */
    SPOT_CREATES, SPOT_WATCHES,       /* asked for */
    SPOT_GREETS,                      /* watched; the others may not know yet */
    SPOT_STANDS,
    SPOT_LEAVES,                      /* unwatch asked for */
};

struct spot {
    struct signals *all;
    unsigned number;
    char name[NAME_BYTES];
    enum spot_state state;
    rados_ioctx_t io;                 /* of the watch */
    uint64_t cookie;
    uint64_t sequence;                /* of the last note sent */
    unsigned under_way;               /* notifies */
    bool is_gathering;
    millis gathered;                  /* when what is pending may go */
    millis sent, beat, greet, retry;
    /* Any thread, under the lock: */
    pthread_mutex_t lock;
    struct map pending;               /* of struct id *, its own */
    bool is_everything;               /* pending is more than can be named */
    bool is_alone;
    uint64_t strangers;               /* notes of others heard */
    struct peers peers;
    _Atomic bool is_broken;
};

struct signals {
    struct client *client;
    struct watches *watches;
    struct loop *home;
    struct id node;
    rados_ioctx_t io;                 /* NULL: none now */
    uint64_t generation, self;        /* of io: the client's, and what the cluster calls it */
    struct timer timer;
    struct task wake;
    _Atomic bool is_woken;
    size_t calls;                     /* under way */
    bool is_stopping, is_flushing, is_flushed;
    _Atomic uint64_t sent;
    _Atomic unsigned standing;
    struct spot spots[SIGNALS_SPOTS];
};

/* A call of librados that was begun. */
struct call {
    struct task task;
    struct signals *all;
    struct spot *spot;
    void (*ended)(struct call *call, int returned);
    rados_completion_t completion;
    char *reply;
    size_t reply_bytes;
    uint64_t strangers;               /* when it was begun */
    bool is_greeting;
    struct map ids;                   /* what the note said */
};

static void plan(struct signals *s);

/* ---- calls ------------------------------------------------------------------------------------------------ */

static void free_ids(struct map *ids)
{
    size_t position = 0;
    for (struct map_slot *slot; (slot = map_next(ids, &position));) free(slot->value);
    map_done(ids);
}

static void call_ended(struct task *t)
{
    struct call *call = container_of(t, struct call, task);
    struct signals *s = call->all;
    int returned = rados_aio_get_return_value(call->completion);
    rados_aio_release(call->completion);
    s->calls--;
    call->ended(call, returned);
    if (call->reply) rados_buffer_free(call->reply);
    free_ids(&call->ids);
    free(call);
    plan(s);
}

/* On a thread of librados. */
static void complete(rados_completion_t completion, void *argument)
{
    struct call *call = argument;
    loop_post(call->all->home, &call->task);
}

static struct call *call_new(struct signals *s, struct spot *spot, void (*ended)(struct call *call, int returned))
{
    struct call *call = calloc(1, sizeof *call);
    check(call);
    *call = (struct call){.task.run = call_ended, .all = s, .spot = spot, .ended = ended};
    check(rados_aio_create_completion2(call, complete, &call->completion) == 0);
    s->calls++;
    return call;
}

/* `error` is what beginning it returned. */
static void call_begun(struct call *call, int error)
{
    if (error >= 0) return;
    rados_aio_release(call->completion);
    call->all->calls--;
    call->ended(call, error);
    free_ids(&call->ids);
    free(call);
}

/* ---- hearing: on threads of librados ---------------------------------------------------------------------- */

static void look_at_all(struct spot *spot) { watches_tell_part(spot->all->watches, spot->number, SIGNALS_SPOTS); }

static void wake(struct signals *s)
{
    if (!atomic_exchange(&s->is_woken, true)) loop_post(s->home, &s->wake);
}

/* NULL: it cannot be read, perhaps because it is of a later version. */
static void take_note(struct spot *spot, const struct note *n)
{
    metric_add(METRIC_RADOS_NOTES_HEARD, 1);
    pthread_mutex_lock(&spot->lock);
    spot->strangers++;
    spot->is_alone = false;
    bool is_next = n && peers_heard(&spot->peers, n, clock_now());
    pthread_mutex_unlock(&spot->lock);
    if (!is_next || n->is_everything) look_at_all(spot);
    else for (size_t i = 0; i < note_count(n); i++) watches_tell(spot->all->watches, note_id(n, i));
}

static void heard(void *argument, uint64_t notify_id, uint64_t cookie, uint64_t notifier, void *data, size_t bytes)
{
    struct spot *spot = argument;
    struct note n;
    bool is_read = note_parse(view_make(data, bytes), &n);
    if (!is_read || !id_equal(n.node, spot->all->node)) take_note(spot, is_read ? &n : NULL);
    rados_notify_ack(spot->io, spot->name, notify_id, cookie, NULL, 0);
}

/* The watch is no more: this node was cut off for long, the object was removed, or the client is fenced. */
static void watch_broke(void *argument, uint64_t cookie, int error)
{
    struct spot *spot = argument;
    atomic_store(&spot->is_broken, true);
    wake(spot->all);
}

/* ---- telling ---------------------------------------------------------------------------------------------- */

void signals_notify(struct signals *s, struct id journal)
{
    watches_tell(s->watches, journal);
    struct spot *spot = &s->spots[hash_stable(id_view(&journal)) % SIGNALS_SPOTS];
    pthread_mutex_lock(&spot->lock);
    bool is_first = false;
    if (!spot->is_alone && !spot->is_everything && !map_get(&spot->pending, id_view(&journal))) {
        is_first = spot->pending.count == 0;
        if (spot->pending.count == NOTE_IDS_MAX) {
            spot->is_everything = true;
        } else {
            struct id *own = malloc(sizeof *own);
            check(own);
            *own = journal;
            map_put(&spot->pending, id_view(own), own);
        }
    }
    pthread_mutex_unlock(&spot->lock);
    if (is_first) wake(s);
}

struct answers { size_t own, others, missing; };

static struct answers count_answers(const struct call *call)
{
    struct notify_ack_t *acks = NULL;
    struct notify_timeout_t *timeouts = NULL;
    struct answers a = {.missing = 1};
    size_t ack_count = 0, missing = 0;
    if (!call->reply || rados_decode_notify_response(call->reply, call->reply_bytes, &acks, &ack_count, &timeouts, &missing) < 0) return a;
    for (size_t i = 0; i < ack_count; i++) *(acks[i].notifier_id == call->all->self ? &a.own : &a.others) += 1;
    rados_free_notify_response(acks, ack_count, timeouts);
    a.missing = missing;
    return a;
}

static void greeted(struct spot *spot, bool all_have_answered)
{
    if (spot->state != SPOT_GREETS) return;
    look_at_all(spot);
    if (!all_have_answered) {
        spot->greet = clock_in(RETRY_MS);
        return;
    }
    spot->state = SPOT_STANDS;
    atomic_fetch_add(&spot->all->standing, 1);
}

/* Who was told answered, or did not in time: it is dead, or hangs and reads the note when it goes on. */
static void note_ended(struct call *call, int returned)
{
    struct spot *spot = call->spot;
    struct answers answers = count_answers(call);
    bool was_told = returned == 0 || returned == -ETIMEDOUT;
    spot->under_way--;
    pthread_mutex_lock(&spot->lock);
    if (!was_told) spot->is_everything = true;
    else if (answers.own && !answers.others && !answers.missing && spot->strangers == call->strangers) spot->is_alone = true;
    pthread_mutex_unlock(&spot->lock);
    if (!was_told) spot->retry = clock_in(RETRY_MS);
    if (call->is_greeting) greeted(spot, was_told && !answers.missing);
}

static void append_ids(buf *into, struct map *ids)
{
    size_t position = 0;
    for (struct map_slot *slot; (slot = map_next(ids, &position));) buf_append(into, slot->key);
}

static void send_note(struct spot *spot, unsigned kind)
{
    struct signals *s = spot->all;
    struct call *call = call_new(s, spot, note_ended);
    buf ids = BUF_INIT, bytes = BUF_INIT;
    pthread_mutex_lock(&spot->lock);
    call->ids = spot->pending;
    call->strangers = spot->strangers;
    struct note n = {.kind = kind, .is_everything = spot->is_everything, .node = s->node, .sequence = ++spot->sequence};
    spot->pending = MAP_INIT;
    spot->is_everything = false;
    pthread_mutex_unlock(&spot->lock);
    if (!n.is_everything) append_ids(&ids, &call->ids);
    n.ids = buf_view(&ids);
    note_append(&bytes, &n);
    call->is_greeting = spot->state == SPOT_GREETS;
    spot->under_way++;
    spot->is_gathering = false;
    spot->sent = clock_now();
    spot->beat = clock_in(SIGNALS_BEAT_MS);
    atomic_fetch_add(&s->sent, 1);
    metric_add(METRIC_RADOS_NOTES_SENT, 1);
    call_begun(call, rados_aio_notify(s->io, spot->name, call->completion, bytes.at, (int)bytes.len, SIGNALS_NOTIFY_TIMEOUT_MS, &call->reply,
                                      &call->reply_bytes));
    buf_done(&ids);
    buf_done(&bytes);
}

/* ---- watching --------------------------------------------------------------------------------------------- */

static void retry_later(struct spot *spot)
{
    spot->state = SPOT_AWAY;
    spot->retry = clock_in(RETRY_MS);
}

static void watch_ended(struct call *call, int returned)
{
    struct spot *spot = call->spot;
    if (returned < 0) {
        retry_later(spot);
        return;
    }
    pthread_mutex_lock(&spot->lock);
    peers_expect_any(&spot->peers);
    pthread_mutex_unlock(&spot->lock);
    spot->state = SPOT_GREETS;
    spot->greet = clock_now();
}

static void created(struct client_op *op, result code, void *argument)
{
    struct spot *spot = argument;
    struct signals *s = spot->all;
    client_op_free(op);
    s->calls--;
    if (code != OK || !s->io || s->is_stopping || client_generation(s->client) != s->generation) {
        retry_later(spot);
        plan(s);
        return;
    }
    struct call *call = call_new(s, spot, watch_ended);
    spot->state = SPOT_WATCHES;
    spot->io = s->io;
    atomic_store(&spot->is_broken, false);
    call_begun(call, rados_aio_watch2(s->io, spot->name, call->completion, &spot->cookie, heard, watch_broke, SIGNALS_WATCH_TIMEOUT_S, spot));
}

/* The write also finds out whether this client is fenced, which replaces its connection. */
static void begin_watch(struct spot *spot)
{
    struct client_op *op = client_write_new(spot->all->client, SPACE_SIGNALS, view_of(spot->name));
    rados_write_op_create(op->write, LIBRADOS_CREATE_IDEMPOTENT, NULL);
    spot->state = SPOT_CREATES;
    spot->all->calls++;
    client_start(op, clock_in(CREATE_MS), created, spot);
}

static void unwatch_ended(struct call *call, int returned)
{
    call->spot->state = SPOT_AWAY;
    call->spot->retry = clock_now();
}

/*
 * While it did not watch, others may have come whose greeting it has not heard: if it told nobody because it was alone,
 * it has to tell of everything now.
 */
static void end_watch(struct spot *spot)
{
    pthread_mutex_lock(&spot->lock);
    if (spot->is_alone) spot->is_everything = true;
    spot->is_alone = false;
    spot->strangers++;                /* answers to what is under way say nothing any more */
    pthread_mutex_unlock(&spot->lock);
    if (spot->state == SPOT_STANDS) atomic_fetch_sub(&spot->all->standing, 1);
    struct call *call = call_new(spot->all, spot, unwatch_ended);
    spot->state = SPOT_LEAVES;
    call_begun(call, rados_aio_unwatch(spot->io, spot->cookie, call->completion));
}

static bool is_watched(const struct spot *spot) { return spot->state == SPOT_GREETS || spot->state == SPOT_STANDS; }

/* ---- the connection --------------------------------------------------------------------------------------- */

static void flush_ended(struct call *call, int returned) { call->all->is_flushed = true; }

/* True when nothing of the connection is in use any more: no watch, no call, no callback. */
static bool let_go(struct signals *s)
{
    for (unsigned i = 0; i < SIGNALS_SPOTS; i++)
        if (is_watched(&s->spots[i])) end_watch(&s->spots[i]);
    if (s->calls > 0) return false;
    if (!s->is_flushing) {
        s->is_flushing = true;
        struct call *call = call_new(s, NULL, flush_ended);
        call_begun(call, rados_aio_watch_flush(rados_ioctx_get_cluster(s->io), call->completion));
        return s->is_flushed && s->calls == 0;
    }
    return s->is_flushed;
}

static void drop_connection(struct signals *s)
{
    client_io_done(s->client, s->io);
    s->io = NULL;
    s->is_flushing = s->is_flushed = false;
}

static void take_connection(struct signals *s)
{
    s->io = client_io(s->client, SPACE_SIGNALS, &s->generation);
    if (s->io) s->self = rados_get_instance_id(rados_ioctx_get_cluster(s->io));
}

/* ---- the plan --------------------------------------------------------------------------------------------- */

static bool has_pending(struct spot *spot)
{
    pthread_mutex_lock(&spot->lock);
    bool has = spot->is_everything || spot->pending.count > 0;
    pthread_mutex_unlock(&spot->lock);
    return has;
}

/* Sends what is due; when to look again. */
static millis tell_others(struct spot *spot, millis now)
{
    if (spot->state == SPOT_GREETS && !spot->under_way && !millis_before(now, spot->greet)) send_note(spot, NOTE_CHANGED);
    if (!is_watched(spot) || spot->under_way >= UNDER_WAY_MAX || millis_before(now, spot->retry)) return MILLIS_NEVER;
    if (!has_pending(spot)) {
        if (spot->state == SPOT_STANDS && !millis_before(now, spot->beat)) send_note(spot, NOTE_CHANGED);
        return MILLIS_NEVER;
    }
    if (!spot->is_gathering) {
        spot->is_gathering = true;
        millis spaced = millis_add(spot->sent, SIGNALS_SPACING_MS);
        spot->gathered = millis_add(now, SIGNALS_GATHER_MS);
        if (millis_before(spot->gathered, spaced)) spot->gathered = spaced;
    }
    if (millis_before(now, spot->gathered)) return spot->gathered;
    send_note(spot, NOTE_CHANGED);
    return MILLIS_NEVER;
}

static void look_for_dead(struct spot *spot, millis now)
{
    pthread_mutex_lock(&spot->lock);
    size_t dead = peers_forget(&spot->peers, millis_add(now, -SIGNALS_LOST_MS));
    pthread_mutex_unlock(&spot->lock);
    if (dead) look_at_all(spot);
}

static millis plan_spot(struct spot *spot, millis now)
{
    if (is_watched(spot) && atomic_load(&spot->is_broken)) {
        metric_add(METRIC_RADOS_WATCHES_BROKEN, 1);
        end_watch(spot);
    }
    if (spot->state == SPOT_AWAY && !millis_before(now, spot->retry)) begin_watch(spot);
    look_for_dead(spot, now);
    return tell_others(spot, now);
}

static void plan(struct signals *s)
{
    millis now = clock_now(), due = millis_add(now, TICK_MS);
    if (s->is_stopping) return;
    if (s->io && client_generation(s->client) != s->generation && let_go(s)) drop_connection(s);
    if (!s->io) take_connection(s);
    if (s->io && client_generation(s->client) == s->generation)
        for (unsigned i = 0; i < SIGNALS_SPOTS; i++) due = millis_min(due, plan_spot(&s->spots[i], now));
    timer_arm(&s->timer, due);
}

static void run_timer(struct timer *t) { plan(container_of(t, struct signals, timer)); }

static void run_wake(struct task *t)
{
    struct signals *s = container_of(t, struct signals, wake);
    atomic_store(&s->is_woken, false);
    plan(s);
}

/* ---- from without ----------------------------------------------------------------------------------------- */

struct signals *signals_start(struct client *c, struct watches *w)
{
    struct signals *s = calloc(1, sizeof *s);
    check(s);
    s->client = c;
    s->watches = w;
    s->home = loop_self();
    s->node = random_id();
    s->wake.run = run_wake;
    timer_init(&s->timer, run_timer);
    for (unsigned i = 0; i < SIGNALS_SPOTS; i++) {
        struct spot *spot = &s->spots[i];
        spot->all = s;
        spot->number = i;
        snprintf(spot->name, sizeof spot->name, "signal.%02x", i);
        pthread_mutex_init(&spot->lock, NULL);
    }
    plan(s);
    millis until = clock_in(START_MS);
    while (!signals_stand(s) && millis_before(clock_now(), until) && coroutine_sleep(1) == OK) {}
    coroutine_pause();                /* what a newcomer looks at is posted */
    return s;
}

static void signals_free(struct signals *s)
{
    for (unsigned i = 0; i < SIGNALS_SPOTS; i++) {
        pthread_mutex_destroy(&s->spots[i].lock);
        peers_done(&s->spots[i].peers);
        free_ids(&s->spots[i].pending);
    }
    free(s);
}

/*
 * What is not told yet goes with the leave-taking. Of a cluster that does not answer: what was begun may still end, so its
 * memory stays.
 */
static void stop_at_home(void *argument)
{
    colour_pretend_coroutine();
    struct signals *s = argument;
    millis until = clock_in(STOP_MS);
    timer_disarm(&s->timer);
    bool is_current = s->io && client_generation(s->client) == s->generation;
    for (unsigned i = 0; i < SIGNALS_SPOTS; i++)
        if (is_current && is_watched(&s->spots[i]) && !s->spots[i].is_alone) send_note(&s->spots[i], NOTE_LEAVING);
    s->is_stopping = true;
    while (s->calls > 0 && millis_before(clock_now(), until))
        if (coroutine_sleep(1) != OK) coroutine_pause();
    while ((s->io && !let_go(s)) || atomic_load(&s->is_woken)) {
        if (!millis_before(clock_now(), until)) return;
        coroutine_pause();
    }
    if (s->io) drop_connection(s);
    signals_free(s);
}

void signals_stop(struct signals *s) { loop_run_on(s->home, "rados signals stop", stop_at_home, s); }

uint64_t signals_sent(const struct signals *s) { return atomic_load(&s->sent); }
bool signals_stand(const struct signals *s) { return atomic_load(&s->standing) == SIGNALS_SPOTS; }
