/* Changing an account: one record, and what came of it. */
#include "account/home.h"
#include "runtime/clock.h"
#include "runtime/random.h"

struct waiting_change {
    struct own_append own;
    struct waitlist ended;
    bool has_ended;
};

static void change_ended(struct own_append *o)
{
    struct waiting_change *w = container_of(o, struct waiting_change, own);
    w->has_ended = true;
    waitlist_wake_all(&w->ended);
}

/* Deaf to cancellation: the record is on its way. The engine and the tail reader keep to the deadline. */
MAY_YIELD result account_append_record(struct account *a, const struct record *r, view body, struct arena *arena, struct outcome *ret_outcome,
                                       millis deadline, struct fault *fault)
{
    struct outcome outcome = {0};
    struct waiting_change w = {.own = {.account = a, .append.body = body, .record = r, .arena = arena, .outcome = &outcome, .fault = fault,
                                       .deadline = deadline, .finished = change_ended}};
    waitlist_init(&w.ended);
    own_append_start(&w.own);
    while (!w.has_ended) waitlist_wait_shielded(&w.ended);
    if (w.own.code == OK) *ret_outcome = outcome;
    return w.own.code;
}

result account_change(struct account *a, struct record *r, struct arena *arena, struct outcome *ret_outcome, millis deadline, struct fault *fault)
{
    r->id = random_id();
    r->written = clock_wall();
    return account_append_record(a, r, VIEW_EMPTY, arena, ret_outcome, deadline, fault);
}
