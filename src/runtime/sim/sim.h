/*
 * sim: the simulated face of the runtime.
 *
 * A world is one thread, one seed, virtual time, and several nodes with loops of their own, in which the production
 * code runs unchanged. Every choice (who runs next, how long a thing takes, where a stream is cut) is drawn
 * from the seed, so the same seed and program give the same run. Time stands still while anything can run, then
 * jumps to the next event.
 *
 *     struct sim *s = sim_open(seed);
 *     struct sim_node *n = sim_node_new(s, "a", 2);
 *     sim_call(n, 0, run, argument);              // runs the world until run() has returned
 *     sim_close(s);                               // aborts when something never ended
 *
 * Everything here is called from outside the world (a test's own stack) unless it says otherwise. Nothing
 * here is thread safe: there is one thread. doc/simulator.md tells how to find and reproduce a failure.
 */
#pragma once

#include "base/time.h"
#include "runtime/event.h"
#include "runtime/loop.h"
#include "runtime/stream.h"

struct sim;
struct sim_node;

/* Becomes the world of this process: one at a time. */
struct sim *sim_open(uint64_t seed);
/*
 * Resets all streams, cancels what still runs, gives it virtual time to end, and frees the world. A coroutine that
 * does not end is a bug in it: its name is printed and the process aborts.
 */
void sim_close(struct sim *s);
uint64_t sim_seed(const struct sim *s);
/* TAYORI_SEED from the environment, or `otherwise`: what a test that takes its seed from outside starts with. */
uint64_t sim_seed_from_environment(uint64_t otherwise);
/* A choice of the test's own, from the seed: uniform in [0, below). Also inside the world. */
uint64_t sim_choose(struct sim *s, uint64_t below);
bool sim_chance_ppm(struct sim *s, unsigned ppm);
/* The world that is open; NULL if none. */
struct sim *sim_current(void);

/* ---- nodes --------------------------------------------------------------------------------------------- */

/* `name` is static. Up at once. Lives until sim_close(). */
struct sim_node *sim_node_new(struct sim *s, const char *name, unsigned loops);
const char *sim_node_name(const struct sim_node *n);
struct loop *sim_node_loop(struct sim_node *n, unsigned index);
bool sim_node_is_up(const struct sim_node *n);
/* The node of the running loop or job; NULL outside. */
struct sim_node *sim_node_of_caller(void);
/* Added to what clock_wall() says on this node. Also inside the world: its clock jumps. */
void sim_node_set_wall_skew(struct sim_node *n, int64_t skew_ms);
/* The node does nothing for so long, then goes on as if nothing had been: a process that was stopped, a machine that was moved. Also inside the world. */
void sim_node_freeze(struct sim_node *n, int64_t duration_ms);
/* Starts run(argument) as a coroutine of one of the node's loops. Also inside the world. */
void sim_spawn(struct sim_node *n, unsigned loop, const char *name, void (*run)(void *argument), void *argument);
/* Runs run(argument) on a loop, outside any coroutine, at the next opportunity. Also inside the world. */
void sim_on_loop(struct loop *l, void (*run)(void *argument), void *argument);

/*
 * The node dies between two instructions: its coroutines are abandoned and their stacks released without running
 * another line, its timers, jobs and listeners are gone, its streams are reset. What its code had allocated stays
 * allocated (the leak checker is told). In a coroutine or callback of the node itself it does not return.
 */
void sim_node_crash(struct sim_node *n);
/* The node dies after `steps` more steps of its own (1: after the next); 0: no longer. */
void sim_node_crash_after(struct sim_node *n, uint64_t steps);
/* Told when a node has died, outside any loop; may restart it. NULL: nobody. */
void sim_on_crash(struct sim *s, void (*crashed)(void *argument, struct sim_node *n), void *argument);
/* Up again, empty, with new loops. */
void sim_node_restart(struct sim_node *n);
/* Steps that the node has taken since it came up: a resumed coroutine, a callback, a job. */
uint64_t sim_node_steps(const struct sim_node *n);
/* How often nodes of this world have died. */
unsigned sim_crashes(const struct sim *s);

/* ---- running ------------------------------------------------------------------------------------------- */

enum sim_end {
    SIM_DONE,          /* what was waited for has happened */
    SIM_IDLE,          /* nothing can run and no timer is armed: a deadlock if somebody waits */
    SIM_TIME_OUT,      /* the time given has passed */
    SIM_LIVELOCK,      /* SIM_STEPS_WITHOUT_TIME steps and the time has not moved */
};
enum { SIM_STEPS_WITHOUT_TIME = 2000000 };

/* Runs until is_done(argument) (NULL: never), or virtual time `until`. */
enum sim_end sim_run_until(struct sim *s, bool (*is_done)(void *argument), void *argument, millis until);
/* Runs for a virtual duration. SIM_TIME_OUT is the usual end. */
enum sim_end sim_run(struct sim *s, int64_t duration_ms);
/*
 * Runs run(argument) as a coroutine until it has returned, others along with it. Deadlock, livelock, or more than an hour of
 * virtual time: says who waits for what, and aborts. False when the node died before it returned.
 */
bool sim_call(struct sim_node *n, unsigned loop, void (*run)(void *argument), void *argument);
/* Another limit than that hour. */
void sim_set_call_limit(struct sim *s, int64_t limit_ms);
/*
 * Time stands still while a coroutine runs, so none is ever overdue. In haste each always is: long loops give others a turn wherever they can, and the
 * steps of a node tell how often that is.
 */
void sim_set_hasty(struct sim *s, bool is_hasty);
/* Runs until nothing will move for `quiet_ms`, or ten minutes of virtual time if something always does. */
void sim_settle(struct sim *s, int64_t quiet_ms);
/* Prints every coroutine of every node with what it waits for, for failures. */
void sim_show(struct sim *s);
uint64_t sim_steps(const struct sim *s);
/* A digest of every choice and step so far: two runs of one seed agree in it. */
uint64_t sim_trace(const struct sim *s);

/* ---- the network --------------------------------------------------------------------------------------- */

struct sim_network {
    unsigned delay_max_us;        /* of each piece; 1000 */
    size_t window_bytes;          /* under way or unread, then a writer waits; 64 KiB */
    unsigned split_ppm;           /* a piece arrives in parts; 300000 */
    unsigned short_read_ppm;      /* a read gets less than there is; 100000 */
    unsigned reset_ppm;           /* a write breaks the connection; 0 */
    unsigned refuse_ppm;          /* a connection is refused; 0 */
    unsigned tls_failure_ppm;     /* a handshake fails; 0 */
    unsigned tls_delay_max_us;    /* of a handshake; 2000 */
};
/* The defaults above hold in a new world. */
struct sim_network *sim_network(struct sim *s);

/* Two ends of a new connection, each on a loop; `a` sees `b` as its peer. Also inside the world. */
void sim_stream_pair(struct loop *a, struct loop *b, struct stream **ret_a, struct stream **ret_b);
/* Breaks the connection as a router that fell over does. Also inside the world. */
void sim_stream_reset(struct stream *s);
/* What the peer of this end will see as the name that was asked for in TLS; set before its handshake. Static. */
void sim_stream_set_server_name(struct stream *s, view name);

/* ---- the domain name system ------------------------------------------------------------------------------ */

/* What resolver_ask() finds from now on: one more record in wire format; `ttl_s` 300. `type` from runtime/resolver.h. */
void sim_dns_put(struct sim *s, view name, unsigned type, view record);
/* A name's alias is a DNS_CNAME record. Names in the zone (and the zone's own) are secure from now on, as with DNSSEC. `zone` is static. */
void sim_dns_secure(struct sim *s, view zone);
/* Answers about the name are forged: UNAVAILABLE, and is_bogus. */
void sim_dns_forge(struct sim *s, view name);
/* The name's servers do not answer (UNAVAILABLE), until called with false. */
void sim_dns_fail(struct sim *s, view name, bool fails);
/* There are no names at all, from now on. */
void sim_dns_clear(struct sim *s);

/* ---- HTTPS ------------------------------------------------------------------------------------------------- */

/* What http_ask() finds at this URL from now on, as text/plain; status 0: the server's certificate does not do. */
void sim_http_put(struct sim *s, view url, unsigned status, view body);
/* How often http_ask() was called. */
unsigned sim_http_asked(const struct sim *s);

/* ---- workers ------------------------------------------------------------------------------------------- */

struct sim_workers {
    unsigned delay_max_us;        /* of each job and batch; 500 */
    unsigned busy_ppm;            /* a job is refused; 0 */
};
struct sim_workers *sim_workers(struct sim *s);

/* ---- events -------------------------------------------------------------------------------------------- */

/* How often this event was emitted in this world. */
unsigned sim_event_count(const struct sim *s, enum event e);
/* The text of a field of the `nth` (from 0) such event; NULL pointer when there is no such event or field. Numbers in decimal. */
view sim_event_field(const struct sim *s, enum event e, unsigned nth, const char *field);
