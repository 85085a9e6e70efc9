/*
 * resolver on libunbound: its own thread resolves, a thread of ours waits for its answers and sends each to the loop that
 * asked. A question lives until the library has answered, also when who asked has given up.
 */
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unbound.h>

#include "base/check.h"
#include "runtime/background.h"
#include "runtime/coroutine.h"
#include "runtime/loop.h"
#include "runtime/resolver.h"

enum { STOP_LOOK_MS = 100 };

struct resolver {
    struct ub_ctx *context;
    struct background *thread;
    atomic_bool must_stop;
    atomic_uint flight;
};

struct question {
    struct task task;
    struct resolver *resolver;
    struct loop *origin;
    struct ub_result *got;
    int error;
    bool is_answered, is_abandoned;      /* both on the origin loop */
    struct waitlist waiter;
    char name[RESOLVER_NAME_BYTES_MAX + 1];
};

static void first_answered(void *argument, int error, struct ub_result *got) { ub_resolve_free(got); }

static result setup(struct ub_ctx *context, const struct resolver_options *o, struct fault *fault)
{
    int error = 0;
    if (o->servers) {
        char text[1024];
        if (strlen(o->servers) >= sizeof text) return fail(fault, INVALID, "too many name servers");
        memcpy(text, o->servers, strlen(o->servers) + 1);
        for (char *rest = text, *one; !error && (one = strsep(&rest, " "));)
            if (*one) error = ub_ctx_set_fwd(context, one);
        if (error) return fail(fault, INVALID, "name servers \"%s\": %s", o->servers, ub_strerror(error));
    } else if ((error = ub_ctx_resolvconf(context, NULL)) != 0) {
        return fail(fault, INVALID, "/etc/resolv.conf: %s", ub_strerror(error));
    }
    if (o->trust_anchor_file && (error = ub_ctx_add_ta_file(context, o->trust_anchor_file)) != 0)
        return fail(fault, INVALID, "trust anchor %s: %s", o->trust_anchor_file, ub_strerror(error));
    /* Servers on this machine are asked too; names under test zones are not answered from built-in empty zones. */
    (void)ub_ctx_set_option(context, "do-not-query-localhost:", "no");
    (void)ub_ctx_set_option(context, "unblock-lan-zones:", "yes");
    (void)ub_ctx_set_option(context, "insecure-lan-zones:", "yes");
    error = ub_ctx_async(context, 1);
    /* This zone has no other way out, and the call makes settings final. */
    if (!error) (void)ub_ctx_zone_remove(context, "test.");
    /* The first question reads the anchors and starts the thread: here, where that may take its time, and not on a loop. */
    if (!error) error = ub_resolve_async(context, "localhost", DNS_A, 1, NULL, first_answered, NULL);
    return error ? fail(fault, INVALID, "resolver: %s", ub_strerror(error)) : OK;
}

static void wait_for_answers(void *argument)
{
    struct resolver *r = argument;
    struct pollfd ready = {.fd = ub_fd(r->context), .events = POLLIN};
    while (!atomic_load(&r->must_stop))
        if (poll(&ready, 1, STOP_LOOK_MS) > 0) ub_process(r->context);
}

result resolver_new(const struct resolver_options *options, struct loops *all, struct resolver **ret_resolver, struct fault *fault)
{
    struct resolver *r = calloc(1, sizeof *r);
    check(r);
    r->context = ub_ctx_create();
    check(r->context);
    result code = setup(r->context, options, fault);
    if (code != OK) {
        ub_ctx_delete(r->context);
        free(r);
        return code;
    }
    r->thread = background_start("resolver", wait_for_answers, r);
    *ret_resolver = r;
    return OK;
}

void resolver_free(struct resolver *r)
{
    if (!r) return;
    atomic_store(&r->must_stop, true);
    background_join(r->thread);
    ub_ctx_delete(r->context);
    free(r);
}

static void question_free(struct question *q)
{
    if (q->got) ub_resolve_free(q->got);
    atomic_fetch_sub(&q->resolver->flight, 1);
    free(q);
}

/* On the loop that asked. */
static void answer_arrived(struct task *t)
{
    struct question *q = container_of(t, struct question, task);
    q->is_answered = true;
    if (q->is_abandoned) question_free(q);
    else waitlist_wake_all(&q->waiter);
}

/* On the resolver's thread. */
static void answered(void *argument, int error, struct ub_result *got)
{
    struct question *q = argument;
    q->error = error;
    q->got = got;
    loop_post(q->origin, &q->task);
}

/* The name behind the aliases, without the last dot. */
static view canonical_of(const struct question *q, struct arena *arena)
{
    view name = view_of(q->got->canonname && *q->got->canonname ? q->got->canonname : q->name);
    if (name.len && name.at[name.len - 1] == '.') name.len--;
    return arena_keep(arena, name);
}

static result read_answer(const struct question *q, struct arena *arena, struct dns_answer *ret_answer, struct fault *fault)
{
    const struct ub_result *g = q->got;
    *ret_answer = (struct dns_answer){0};
    if (q->error || !g) return fail(fault, UNAVAILABLE, "DNS %s: %s", q->name, ub_strerror(q->error));
    ret_answer->is_bogus = g->bogus;
    if (g->bogus) return fail(fault, UNAVAILABLE, "DNS %s: bogus: %s", q->name, g->why_bogus ? g->why_bogus : "");
    if (!g->havedata && !g->nxdomain && g->rcode != 0) return fail(fault, UNAVAILABLE, "DNS %s: answer code %d", q->name, g->rcode);
    struct dns_answer answer = {.is_secure = g->secure, .has_name = !g->nxdomain, .ttl_s = g->ttl > 0 ? (uint32_t)g->ttl : 0};
    answer.canonical = canonical_of(q, arena);
    answer.records = arena_array(arena, view, RESOLVER_RECORDS_MAX);
    for (size_t i = 0; g->havedata && g->data[i] && answer.count < RESOLVER_RECORDS_MAX; i++)
        if (g->len[i] >= 0 && g->len[i] <= RESOLVER_RECORD_BYTES_MAX)
            answer.records[answer.count++] = arena_keep(arena, view_make(g->data[i], (size_t)g->len[i]));
    *ret_answer = answer;
    return answer.count ? OK : fail(fault, NOT_FOUND, "DNS %s: %s", q->name, g->nxdomain ? "no such name" : "no such record");
}

result resolver_ask(struct resolver *r, view name, enum dns_type type, millis deadline, struct arena *arena, struct dns_answer *ret_answer,
                    struct fault *fault)
{
    if (!dns_name_is_valid(name)) return fail(fault, INVALID, "not a domain name: " VIEW_FMT, VIEW_ARG(name));
    if (atomic_fetch_add(&r->flight, 1) >= RESOLVER_FLIGHT_MAX) {
        atomic_fetch_sub(&r->flight, 1);
        return fail(fault, UNAVAILABLE, "too many DNS questions under way");
    }
    struct question *q = calloc(1, sizeof *q);
    check(q);
    q->resolver = r;
    q->origin = loop_self();
    q->task.run = answer_arrived;
    waitlist_init(&q->waiter);
    memcpy(q->name, name.at, name.len);
    int error = ub_resolve_async(r->context, q->name, (int)type, 1, q, answered, NULL);
    if (error) {
        question_free(q);
        return fail(fault, UNAVAILABLE, "DNS: %s", ub_strerror(error));
    }
    result code = OK;
    while (!q->is_answered && code == OK) code = waitlist_wait(&q->waiter, deadline);
    if (!q->is_answered) {
        q->is_abandoned = true;
        return fail(fault, code, "DNS " VIEW_FMT, VIEW_ARG(name));
    }
    code = read_answer(q, arena, ret_answer, fault);
    question_free(q);
    return code;
}
