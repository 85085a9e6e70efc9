/* Scopes, and what coroutines wait for: waitlists, mutexes, completions. */
#include "runtime/coroutine_private.h"

void scope_init(struct scope *s, struct scope *parent)
{
    struct loop *l = loop_self();
    check(l != NULL);
    if (!parent) parent = loop_scope(l);
    check(parent->loop == l);
    *s = (struct scope){.loop = l, .parent = parent, .is_cancelled = parent->is_cancelled};
    list_init(&s->scopes);
    list_init(&s->coroutines);
    list_init(&s->joiners);
    list_append(&parent->scopes, &s->siblings);
}

static struct scope *scope_of_sibling(struct list *node) { return container_of(node, struct scope, siblings); }

static struct scope *first_child(const struct scope *s)
{
    return list_is_empty(&s->scopes) ? NULL : scope_of_sibling(s->scopes.next);
}

/* The scope after `s` in the tree below `top`, parents first; NULL at the end. Without recursion: depth is the caller's. */
static struct scope *scope_next(const struct scope *s, const struct scope *top)
{
    struct scope *child = first_child(s);
    if (child) return child;
    for (; s != top; s = s->parent)
        if (s->siblings.next != &s->parent->scopes) return scope_of_sibling(s->siblings.next);
    return NULL;
}

void scope_cancel(struct scope *s)
{
    check(s->loop == loop_self());
    for (struct scope *each = s; each; each = scope_next(each, s)) {
        each->is_cancelled = true;
        list_each (node, &each->coroutines) {
            struct coroutine *c = container_of(node, struct coroutine, scope_node);
            if (c->state == COROUTINE_PARKED && !c->is_shielded) coroutine_wake(c, CANCELLED);
        }
    }
}

bool scope_is_cancelled(const struct scope *s) { return s->is_cancelled; }

bool scope_is_empty(const struct scope *s)
{
    for (const struct scope *each = s; each; each = scope_next(each, s))
        if (!list_is_empty(&each->coroutines)) return false;
    return true;
}

static void wake_all(struct list *queue)
{
    for (struct coroutine *c; (c = coroutine_first_of(queue));) coroutine_wake(c, OK);
}

void scope_child_ended(struct scope *s)
{
    for (; s && list_is_empty(&s->coroutines); s = s->parent)
        if (!list_is_empty(&s->joiners) && scope_is_empty(s)) wake_all(&s->joiners);
}

void scope_join(struct scope *s)
{
    while (!scope_is_empty(s)) (void)!coroutine_park(&s->joiners, "join", MILLIS_NEVER, true);
}

void scope_unlink(struct scope *s)
{
    check(scope_is_empty(s) && list_is_empty(&s->scopes) && list_is_empty(&s->joiners));
    list_remove(&s->siblings);
}

void scope_done(struct scope *s)
{
    scope_cancel(s);
    scope_join(s);
    scope_unlink(s);
}

void waitlist_init(struct waitlist *w) { list_init(&w->waiters); }

result waitlist_wait(struct waitlist *w, millis deadline) { return coroutine_park(&w->waiters, "waitlist", deadline, false); }

void waitlist_wait_shielded(struct waitlist *w) { (void)!coroutine_park(&w->waiters, "waitlist", MILLIS_NEVER, true); }

void waitlist_wake_one(struct waitlist *w)
{
    struct coroutine *c = coroutine_first_of(&w->waiters);
    if (c) coroutine_wake(c, OK);
}

void waitlist_wake_all(struct waitlist *w) { wake_all(&w->waiters); }

bool waitlist_is_empty(const struct waitlist *w) { return list_is_empty(&w->waiters); }

void mutex_init(struct mutex *m)
{
    m->is_locked = false;
    waitlist_init(&m->waiters);
}

result mutex_lock(struct mutex *m, millis deadline)
{
    if (m->is_locked) return coroutine_park(&m->waiters.waiters, "mutex", deadline, false);
    m->is_locked = true;
    return OK;
}

/* The lock passes to the first waiter: nobody who comes in between can take it. */
void mutex_unlock(struct mutex *m)
{
    check(m->is_locked);
    if (waitlist_is_empty(&m->waiters)) m->is_locked = false;
    else waitlist_wake_one(&m->waiters);
}

void completion_init(struct completion *c)
{
    c->is_set = false;
    c->code = OK;
    waitlist_init(&c->waiter);
}

void completion_set(struct completion *c, result code)
{
    check(!c->is_set);
    c->is_set = true;
    c->code = code;
    waitlist_wake_all(&c->waiter);
}

result completion_wait(struct completion *c)
{
    while (!c->is_set) (void)!coroutine_park(&c->waiter.waiters, "completion", MILLIS_NEVER, true);
    return c->code;
}
