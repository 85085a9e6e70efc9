#include "account/budget.h"

#include "base/check.h"

struct budget_request {
    struct list node;
    size_t bytes;
    bool is_served;
    struct waitlist turn;
};

void budget_init(struct budget *b, size_t limit)
{
    *b = (struct budget){.limit = limit};
    list_init(&b->waiting);
}

static bool fits(const struct budget *b, size_t bytes)
{
    return b->used == 0 || (bytes <= b->limit && b->used <= b->limit - bytes);
}

/* In order, until one does not fit. */
static void serve(struct budget *b)
{
    while (!list_is_empty(&b->waiting)) {
        struct budget_request *r = container_of(b->waiting.next, struct budget_request, node);
        if (!fits(b, r->bytes)) return;
        list_remove(&r->node);
        b->used += r->bytes;
        r->is_served = true;
        waitlist_wake_all(&r->turn);
    }
}

result budget_take(struct budget *b, size_t bytes, millis deadline)
{
    if (list_is_empty(&b->waiting) && fits(b, bytes)) {
        b->used += bytes;
        return OK;
    }
    struct budget_request r = {.bytes = bytes};
    waitlist_init(&r.turn);
    list_append(&b->waiting, &r.node);
    result code = waitlist_wait(&r.turn, deadline);
    if (r.is_served) return OK;
    list_remove(&r.node);
    serve(b);                     /* whoever stood behind may fit */
    return code == OK ? CANCELLED : code;
}

void budget_give(struct budget *b, size_t bytes)
{
    check(b->used >= bytes);
    b->used -= bytes;
    serve(b);
}
