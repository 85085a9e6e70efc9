/*
 * Streams in memory. Each end holds what comes towards it: bytes that have arrived and, behind them, bytes under way.
 * A writer waits when both together fill the window. One event at a time carries bytes (or the end, or a reset) to an
 * end, so order is kept; when it comes, and how much of what is under way it brings, is drawn from the seed.
 */
#include "runtime/stream.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/coroutine.h"
#include "runtime/sim/sim_private.h"
#include "runtime/tls.h"

struct stream {
    struct list node;                    /* in sim_node.streams */
    struct sim_node *owner;
    struct loop *loop;                   /* NULL while it moves */
    struct stream *peer;                 /* NULL once the other end is closed */
    struct address local_address, peer_address;

    buf in;                              /* [in_at, in_arrived) can be read; what follows is under way */
    size_t in_at, in_arrived;
    bool end_sent, has_ended;            /* the peer's side: its end is under way; it has arrived */
    bool reset_sent, is_broken;
    struct sim_event *arrival;
    struct sim_event *room;              /* the peer learns that there is room again */

    struct waitlist reader, writer;
    void (*readable)(void *argument);
    void *readable_argument;
    struct sim_event *readable_due;
    bool is_aborted;

    struct tls_info tls;
    view server_name_to_ask;
    buf server_name;                     /* what the peer asked for */
    bool wants_tls;                      /* its side of the handshake has begun */
    struct waitlist handshake;
    unsigned char binding[32];
};

/* ---- ends and pairs ------------------------------------------------------------------------------------ */

struct stream *sim_stream_new(struct loop *l)
{
    struct stream *s = calloc(1, sizeof *s);
    check(s);
    s->loop = l;
    s->owner = sim_node_of(l);
    waitlist_init(&s->reader);
    waitlist_init(&s->writer);
    waitlist_init(&s->handshake);
    list_append(&s->owner->streams, &s->node);
    return s;
}

void sim_stream_connect_ends(struct stream *a, struct stream *b)
{
    a->peer = b;
    b->peer = a;
}

void sim_stream_set_addresses(struct stream *s, const struct address *local, const struct address *peer)
{
    s->local_address = *local;
    s->peer_address = *peer;
}

void sim_stream_pair(struct loop *a, struct loop *b, struct stream **ret_a, struct stream **ret_b)
{
    struct address here = {.bytes = {192, 0, 2, 1}, .family = 4}, there = {.bytes = {198, 51, 100, 1}, .family = 4};
    struct stream *one = sim_stream_new(a), *other = sim_stream_new(b);
    here.port = sim_world->next_port++;
    there.port = sim_world->next_port++;
    sim_stream_set_addresses(one, &here, &there);
    sim_stream_set_addresses(other, &there, &here);
    sim_stream_connect_ends(one, other);
    *ret_a = one;
    *ret_b = other;
}

const struct address *stream_peer(const struct stream *s) { return &s->peer_address; }
const struct address *stream_local(const struct stream *s) { return &s->local_address; }

void stream_set_peer(struct stream *s, const struct address *peer, const struct address *local)
{
    s->peer_address = *peer;
    s->local_address = *local;
}

/* ---- waking -------------------------------------------------------------------------------------------- */

static bool is_readable(const struct stream *s)
{
    return s->in_arrived > s->in_at || s->has_ended || s->is_broken || s->is_aborted;
}

static void tell_readable(void *argument)
{
    struct stream *s = argument;
    void (*run)(void *) = s->readable;
    s->readable_due = NULL;
    if (!run || !s->loop) return;
    s->readable = NULL;
    struct loop *l = s->loop;
    loop_enter(l);
    run(s->readable_argument);
    loop_leave(l);
}

static void look_readable(struct stream *s)
{
    if (s->readable && !s->readable_due && s->loop && is_readable(s)) s->readable_due = sim_event_in(sim_world, s->owner, 0, tell_readable, s);
}

/* From an event, or from a coroutine of any loop: only its own loop can wake. */
static void wake(struct stream *s)
{
    look_readable(s);
    if (!s->loop || (waitlist_is_empty(&s->reader) && waitlist_is_empty(&s->writer) && waitlist_is_empty(&s->handshake))) return;
    struct loop *self = loop_self();
    if (self) loop_leave(self);
    loop_enter(s->loop);
    waitlist_wake_all(&s->reader);
    waitlist_wake_all(&s->writer);
    waitlist_wake_all(&s->handshake);
    loop_leave(s->loop);
    if (self) loop_enter(self);
}

static int64_t delay_us(void) { return (int64_t)sim_upto(sim_world, sim_world->network.delay_max_us); }

static void arrive(void *argument);

static void send_something(struct stream *to)
{
    if (!to->arrival) to->arrival = sim_event_in(sim_world, to->owner, delay_us(), arrive, to);
}

static void arrive(void *argument)
{
    struct stream *s = argument;
    s->arrival = NULL;
    size_t under_way = s->in.len - s->in_arrived, comes = under_way;
    if (under_way > 1 && sim_chance_ppm(sim_world, sim_world->network.split_ppm)) comes = 1 + sim_choose(sim_world, under_way);
    s->in_arrived += comes;
    if (comes < under_way) send_something(s);
    else if (s->reset_sent) s->is_broken = true;
    else if (s->end_sent) s->has_ended = true;
    wake(s);
}

static void tell_room(void *argument)
{
    struct stream *s = argument;
    s->room = NULL;
    wake(s);
}

/* ---- reading and writing ------------------------------------------------------------------------------- */

static void take_bytes_read(struct stream *s, size_t count)
{
    s->in_at += count;
    if (s->in_at == s->in.len) {
        buf_done(&s->in);
        s->in_at = s->in_arrived = 0;
    } else if (s->in_at > 64 * 1024) {
        buf_consume(&s->in, s->in_at);
        s->in_arrived -= s->in_at;
        s->in_at = 0;
    }
    if (s->peer && !s->peer->room) s->peer->room = sim_event_in(sim_world, s->peer->owner, delay_us(), tell_room, s->peer);
}

result stream_read(struct stream *s, buf *into, size_t max, millis deadline, struct fault *fault)
{
    check(s->loop == loop_self() && max > 0 && waitlist_is_empty(&s->reader));
    while (!is_readable(s)) {
        result code = waitlist_wait(&s->reader, deadline);
        if (code != OK) return fail(fault, code, "read: %s", result_name(code));
    }
    if (s->is_aborted) return fail(fault, IO, "read: the stream was aborted");
    size_t count = s->in_arrived - s->in_at;
    if (count == 0) return s->is_broken ? fail(fault, IO, "read: connection reset by peer") : END;
    if (count > max) count = max;
    if (sim_chance_ppm(sim_world, sim_world->network.short_read_ppm)) count = 1 + sim_choose(sim_world, count);
    buf_append(into, view_make(s->in.at + s->in_at, count));
    take_bytes_read(s, count);
    return OK;
}

static bool cannot_write(const struct stream *s)
{
    return s->is_aborted || s->is_broken || !s->peer || s->peer->is_aborted;
}

static size_t room_of(const struct stream *s)
{
    size_t used = s->peer->in.len - s->peer->in_at, window = sim_world->network.window_bytes;
    return used < window ? window - used : 0;
}

static size_t put_bytes(struct stream *s, view bytes)
{
    size_t count = bytes.len, room = room_of(s);
    if (count > room) count = room;
    if (count == 0) return 0;
    buf_append(&s->peer->in, view_slice(bytes, 0, count));
    send_something(s->peer);
    return count;
}

MAY_YIELD static result write_part(struct stream *s, view rest, millis deadline, struct fault *fault)
{
    for (;;) {
        if (cannot_write(s)) return fail(fault, IO, "write: broken pipe");
        rest = view_from(rest, put_bytes(s, rest));
        if (rest.len == 0) return OK;
        result code = waitlist_wait(&s->writer, deadline);
        if (code != OK) return fail(fault, code, "write: %s", result_name(code));
    }
}

result stream_write(struct stream *s, const view *parts, size_t count, millis deadline, struct fault *fault)
{
    check(s->loop == loop_self() && waitlist_is_empty(&s->writer));
    if (sim_chance_ppm(sim_world, sim_world->network.reset_ppm)) sim_stream_reset(s);
    result code = OK;
    for (size_t i = 0; i < count && code == OK; i++) code = write_part(s, parts[i], deadline, fault);
    return code;
}

result stream_try_write(struct stream *s, view bytes, size_t *ret_written)
{
    check(s->loop == loop_self());
    if (cannot_write(s)) return IO;
    *ret_written = put_bytes(s, bytes);
    return OK;
}

void stream_when_readable(struct stream *s, void (*run)(void *argument), void *argument)
{
    check(s->loop == loop_self());
    sim_event_cancel(sim_world, s->readable_due);
    s->readable_due = NULL;
    s->readable = run;
    s->readable_argument = argument;
    look_readable(s);
}

/* ---- ends ---------------------------------------------------------------------------------------------- */

static void send_end(struct stream *s)
{
    if (!s->peer) return;
    s->peer->end_sent = true;
    send_something(s->peer);
}

static void free_stream(struct stream *s)
{
    if (s->peer) s->peer->peer = NULL;
    sim_event_cancel(sim_world, s->arrival);
    sim_event_cancel(sim_world, s->room);
    sim_event_cancel(sim_world, s->readable_due);
    list_remove(&s->node);
    buf_done(&s->in);
    buf_done(&s->server_name);
    free(s);
}

void stream_close(struct stream *s)
{
    check(s->loop == loop_self());
    check(waitlist_is_empty(&s->reader) && waitlist_is_empty(&s->writer) && waitlist_is_empty(&s->handshake));
    send_end(s);
    struct stream *peer = s->peer;
    free_stream(s);
    if (peer) wake(peer);                /* a writer that waits for room */
}

void stream_abort(struct stream *s)
{
    check(s->loop == loop_self());
    s->is_aborted = true;
    send_end(s);
    wake(s);
    if (s->peer) wake(s->peer);
}

/* Some of what is under way is lost. */
static void reset_one(struct stream *s)
{
    s->reset_sent = true;
    s->in.len = s->in_arrived + sim_choose(sim_world, s->in.len - s->in_arrived + 1);
    send_something(s);
}

void sim_stream_reset(struct stream *s)
{
    s->is_broken = true;
    wake(s);
    if (s->peer) reset_one(s->peer);
}

void sim_streams_break(struct sim_node *n)
{
    list_each (node, &n->streams) sim_stream_reset(container_of(node, struct stream, node));
}

void sim_streams_free(struct sim_node *n)
{
    list_each (node, &n->streams) free_stream(container_of(node, struct stream, node));
}

/* ---- moving -------------------------------------------------------------------------------------------- */

struct move {
    struct stream *stream;
    struct loop *target;
    void (*arrived)(void *argument);
    void *argument;
};

static void end_move(void *argument)
{
    struct move m = *(struct move *)argument;
    free(argument);
    m.stream->loop = m.target;
    loop_enter(m.target);
    m.arrived(m.argument);
    loop_leave(m.target);
}

void stream_move(struct stream *s, struct loop *target, void (*arrived)(void *argument), void *argument)
{
    check(s->loop == loop_self() && waitlist_is_empty(&s->reader) && waitlist_is_empty(&s->writer));
    check(sim_node_of(target) == s->owner);
    stream_when_readable(s, NULL, NULL);
    struct move *m = malloc(sizeof *m);
    check(m);
    *m = (struct move){s, target, arrived, argument};
    s->loop = NULL;
    sim_event_in(sim_world, s->owner, delay_us(), end_move, m);
}

/* ---- TLS ----------------------------------------------------------------------------------------------- */

void sim_stream_set_server_name(struct stream *s, view name) { s->server_name_to_ask = name; }

/* Both sides have begun: both are on, or neither. */
static result shake_hands(struct stream *s, struct fault *fault)
{
    if (s->tls.is_on) return OK;
    bool has_plain_text = s->in.len > s->in_at || s->peer->in.len > s->peer->in_at;
    if (has_plain_text || sim_chance_ppm(sim_world, sim_world->network.tls_failure_ppm)) {
        sim_stream_reset(s);
        return fail(fault, IO, "TLS handshake: %s", has_plain_text ? "wrong version number" : "failed");
    }
    struct stream *ends[] = {s, s->peer};
    for (int i = 0; i < 2; i++) {
        ends[i]->tls = (struct tls_info){true, VIEW("TLSv1.3"), VIEW("TLS_AES_256_GCM_SHA384"), 256, VIEW_EMPTY};
        buf_append(&ends[i]->server_name, ends[!i]->server_name_to_ask);
        ends[i]->tls.server_name = buf_view(&ends[i]->server_name);
    }
    for (size_t i = 0; i < sizeof s->binding; i++) s->binding[i] = (unsigned char)sim_choose(sim_world, 256);
    memcpy(s->peer->binding, s->binding, sizeof s->binding);
    return OK;
}

result stream_start_tls(struct stream *s, struct tls_context *context, millis deadline, struct fault *fault)
{
    check(s->loop == loop_self() && !s->wants_tls && context);
    s->wants_tls = true;
    if (s->peer) wake(s->peer);
    result code = coroutine_sleep((int64_t)sim_upto(sim_world, sim_world->network.tls_delay_max_us / 1000));
    while (code == OK && !s->tls.is_on && !(s->peer && s->peer->wants_tls)) {
        if (cannot_write(s) || s->has_ended) return fail(fault, IO, "TLS handshake: the peer has gone");
        if (s->in_arrived > s->in_at) return fail(fault, IO, "TLS handshake: no TLS record");
        code = waitlist_wait(&s->handshake, deadline);
    }
    if (code != OK) return fail(fault, code, "TLS handshake: %s", result_name(code));
    return shake_hands(s, fault);
}

/* Nothing is wrong with any certificate here. */
result stream_start_tls_to(struct stream *s, struct tls_context *context, const struct tls_demand *demand, millis deadline, enum tls_flaw *reterr_flaw,
                           struct fault *fault)
{
    *reterr_flaw = TLS_FLAW_NONE;
    s->server_name_to_ask = demand->server_name;
    result code = stream_start_tls(s, context, deadline, fault);
    s->server_name_to_ask = VIEW_EMPTY;
    return code;
}

struct tls_info stream_tls(const struct stream *s) { return s->tls; }

result stream_channel_binding(struct stream *s, unsigned char binding[static 32])
{
    if (!s->tls.is_on) return NOT_FOUND;
    memcpy(binding, s->binding, sizeof s->binding);
    return OK;
}

/* A simulated server has one certificate. */
result stream_server_end_point(struct stream *s, unsigned char binding[static 64], size_t *ret_len)
{
    if (!s->tls.is_on) return NOT_FOUND;
    memset(binding, 7, 32);
    *ret_len = 32;
    return OK;
}
