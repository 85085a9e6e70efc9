/* A memory engine's life, its faults, and how a change comes to be done. */
#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "engine/memory/memory_private.h"
#include "runtime/clock.h"
#include "runtime/random.h"

enum {
    PPM = 1000000,
    LATE_MAX_MS = 8000,                  /* how much later a change of unknown outcome may be done */
    MISSED_TOLD_AFTER_MS = 2000,         /* as a watch that broke is noticed by its time-out */
    LOST_ONE_IN = 8,                     /* notifications */
    LOOK_AGAIN_MS = 250,                 /* who waits for what hangs */
};

/* ---- what does not answer ------------------------------------------------------------------------------ */

static bool is_deaf(const struct memory_engine *e)
{
    return millis_before(clock_now(), e->cut_off_until) || millis_before(clock_now(), e->fenced_until);
}

/* `name` empty: everything is needed. */
static millis hangs_until(const struct memory_engine *e, view name)
{
    millis until = e->cut_off_until;
    for (unsigned i = 0; i < MEMORY_PLACES; i++)
        if ((name.len == 0 || hash_stable(name) % MEMORY_PLACES == i) && millis_before(until, e->store->hung_until[i])) until = e->store->hung_until[i];
    return until;
}

static bool hangs(const struct memory_engine *e, view name) { return millis_before(clock_now(), hangs_until(e, name)); }

static view name_of(const struct change *c)
{
    return c->operation == MEMORY_APPEND || c->operation == MEMORY_HEAD || c->operation == MEMORY_REMOVE_JOURNAL ? id_view(&c->journal) : buf_view(&c->name);
}

/* When a change that nobody waits for any more may be done. */
static millis some_time_later(const struct memory_engine *e, const struct change *c)
{
    millis now = clock_now(), until = hangs_until(e, name_of(c));
    return millis_add(millis_before(until, now) ? now : until, (int64_t)random_below(LATE_MAX_MS));
}

/* It is the store's from now on. */
static void leave_pending(struct memory_engine *e, struct change *c)
{
    unsigned records_max = e->store->faults.late_records_max;
    c->due = some_time_later(e, c);
    c->due_records = c->operation == MEMORY_APPEND && records_max ? store_journal_records(e->store, c->journal) + records_max : 0;
    list_append(&e->store->pending, &c->node);
}

/* ---- notifications ------------------------------------------------------------------------------------- */

static void tell_all_of_missed(struct memory_store *s)
{
    s->missed_since = MILLIS_NEVER;
    list_each (node, &s->engines) {
        struct memory_engine *e = container_of(node, struct memory_engine, node);
        if (is_deaf(e)) s->missed_since = clock_now();
        else watches_tell_all(e->base.watches);
    }
}

static void missed_due(struct timer *t)
{
    struct memory_store *s = container_of(t, struct missed_timer, timer)->engine->store;
    store_lock(s);
    if (!millis_is_never(s->missed_since)) tell_all_of_missed(s);
    if (!millis_is_never(s->missed_since)) timer_arm(t, clock_in(MISSED_TOLD_AFTER_MS));
    store_unlock(s);
}

static void note_missed(struct memory_engine *e)
{
    if (millis_is_never(e->store->missed_since)) e->store->missed_since = clock_now();
    if (!loop_self() || loop_family(loop_self()) != e->family) return;       /* its node has died: the next operation tells of it */
    struct missed_timer *missed = &e->missed[loop_index(loop_self())];
    if (!missed->timer.armed) timer_arm(&missed->timer, clock_in(MISSED_TOLD_AFTER_MS));
}

static void tell(struct memory_engine *e, struct id journal)
{
    struct memory_store *s = e->store;
    s->counts[MEMORY_NOTIFY]++;
    if (s->faults.loses_notifications && random_below(LOST_ONE_IN) == 0) {
        note_missed(e);
        return;
    }
    list_each (node, &s->engines) {
        struct memory_engine *to = container_of(node, struct memory_engine, node);
        if (is_deaf(to)) note_missed(e);
        else watches_tell(to->base.watches, journal);
    }
}

static void memory_notify(struct engine *e, struct id journal)
{
    store_lock(memory_of(e)->store);
    tell(memory_of(e), journal);
    store_unlock(memory_of(e)->store);
}

/* Of each operation: what was due is done, what was missed is told. */
static void catch_up(struct memory_engine *e)
{
    struct memory_store *s = e->store;
    if (!list_is_empty(&s->pending)) {
        store_catch_up(s, false);
        note_missed(e);
    }
    if (!millis_is_never(s->missed_since) && !millis_before(clock_now(), millis_add(s->missed_since, MISSED_TOLD_AFTER_MS))) tell_all_of_missed(s);
}

/* ---- faults -------------------------------------------------------------------------------------------- */

static bool happens(unsigned ppm) { return ppm > 0 && random_below(PPM) < ppm; }

/* Half of the time that an operation takes; timers know milliseconds. */
static int64_t draw_delay_ms(const struct memory_store *s)
{
    uint64_t us = s->faults.delay_max_us ? random_below((uint64_t)s->faults.delay_max_us / 2 + 1) : 0;
    return (int64_t)(us / 1000 + (us % 1000 && random_below(1000) < us % 1000));
}

static bool adds_bytes(const struct change *c)
{
    if (c->operation == MEMORY_TABLE_BATCH) {
        for (size_t i = 0; i < c->row_count; i++)
            if (c->rows[i].what.what == TABLE_PUT) return true;
        return false;
    }
    return c->operation == MEMORY_APPEND || c->operation == MEMORY_HEAD || c->operation == MEMORY_OBJECT_PUT || c->operation == MEMORY_OBJECT_COPY;
}

static enum fate draw_unknown(void)
{
    static const enum fate fates[] = {FATE_UNKNOWN, FATE_UNKNOWN_LATER, FATE_UNKNOWN_NEVER};
    return fates[random_below(3)];
}

static enum fate draw_fate(const struct memory_engine *e, const struct change *c)
{
    const struct memory_faults *f = &e->store->faults;
    if (e->is_dead || millis_before(clock_now(), e->fenced_until) || (f->full && adds_bytes(c)) || happens(f->unavailable_ppm)) return FATE_REFUSED;
    return happens(f->unknown_ppm) ? draw_unknown() : FATE_DONE;
}

/* ---- changes ------------------------------------------------------------------------------------------- */

static void apply_and_tell(struct memory_engine *e, struct change *c)
{
    memory_store_apply(e->store, c);
    if ((c->operation == MEMORY_APPEND || c->operation == MEMORY_HEAD) && c->code == OK) tell(e, c->journal);
}

static bool is_same_journal(const struct change *a, const struct change *b)
{
    return a->operation == MEMORY_APPEND && b->operation == MEMORY_APPEND && id_equal(a->journal, b->journal);
}

/* What was submitted before it to the same journal comes first; and everything else too, unless the store reorders. */
static void apply_in_order(struct memory_engine *e, struct change *c)
{
    list_each (node, &e->under_way) {
        struct change *earlier = container_of(node, struct change, node);
        if (earlier == c) break;
        if (earlier->is_applied || !earlier->is_ordered || earlier->client != e->client || hangs(e, name_of(earlier))) continue;
        if ((!e->store->faults.reorders_objects || is_same_journal(earlier, c))) apply_and_tell(e, earlier);
    }
    if (!c->is_applied) apply_and_tell(e, c);
}

static bool is_unknown(enum fate fate) { return fate == FATE_UNKNOWN || fate == FATE_UNKNOWN_LATER || fate == FATE_UNKNOWN_NEVER; }

static void finish(struct operation *o)
{
    struct change *c = o->change;
    list_remove(&c->node);
    o->code = o->fate == FATE_REFUSED ? UNAVAILABLE : is_unknown(o->fate) || o->engine->is_dead ? UNKNOWN_OUTCOME : c->code;
    if (o->code == UNAVAILABLE) (void)!fail(o->fault, UNAVAILABLE, "the store is not available");
    if (o->code == UNKNOWN_OUTCOME) (void)!fail(o->fault, UNKNOWN_OUTCOME, "no answer from the store");
    if (o->fate == FATE_UNKNOWN_LATER && !c->is_applied) {
        leave_pending(o->engine, c);
        o->change = NULL;
    }
}

/* Nobody answers: it waits on. At its deadline its outcome is open, and it may be done when there is an answer again, or never. */
static bool waits_on(struct operation *o)
{
    struct memory_engine *e = o->engine;
    millis now = clock_now();
    if (e->is_dead || !hangs(e, name_of(o->change))) return false;
    if (millis_is_never(o->deadline) || millis_before(now, o->deadline)) {
        timer_arm(&o->timer, millis_min(o->deadline, clock_in(LOOK_AGAIN_MS)));
        return true;
    }
    o->fate = o->change->is_applied ? FATE_UNKNOWN : random_below(2) ? FATE_UNKNOWN_LATER : FATE_UNKNOWN_NEVER;
    o->is_second_stage = true;
    return false;
}

/* It was fenced since, and what comes from it is refused. */
static void refuse_fenced(struct operation *o)
{
    if (o->change->client == o->engine->client || o->change->is_applied) return;
    o->fate = is_unknown(o->fate) ? FATE_UNKNOWN_NEVER : FATE_REFUSED;
}

static void operation_due(struct timer *t)
{
    struct operation *o = container_of(t, struct operation, timer);
    struct memory_engine *e = o->engine;
    store_lock(e->store);
    catch_up(e);
    bool waits = waits_on(o), is_finished = o->is_second_stage;
    if (waits) {
        store_unlock(e->store);
        return;
    }
    refuse_fenced(o);
    if (!o->is_second_stage) {
        bool applies = o->fate == FATE_DONE || o->fate == FATE_UNKNOWN;
        if (applies && !e->is_dead) apply_in_order(e, o->change);
        o->is_second_stage = true;
    } else {
        finish(o);
    }
    store_unlock(e->store);
    if (is_finished) o->done(o);
    else timer_arm(&o->timer, o->finish);
}

/* A deadline that comes first leaves the outcome open, and the change where it happens to be. */
static millis plan(struct operation *o, millis deadline)
{
    millis now = clock_now(), first = clock_in(draw_delay_ms(o->engine->store));
    o->finish = millis_add(first, draw_delay_ms(o->engine->store));
    if (!millis_before(o->finish, deadline) && o->fate == FATE_DONE && !millis_is_never(deadline)) {
        o->finish = millis_before(deadline, now) ? now : deadline;
        o->fate = millis_before(first, deadline) ? FATE_UNKNOWN : draw_unknown();
    }
    return millis_min(first, o->finish);
}

void operation_start(struct memory_engine *e, struct change *c, millis deadline, struct fault *fault,
                     void (*done)(struct operation *o), struct operation *with)
{
    struct operation *o = malloc(sizeof *o);
    check(o);
    *o = *with;
    o->engine = e;
    o->change = c;
    o->fault = fault;
    o->done = done;
    o->deadline = deadline;
    timer_init(&o->timer, operation_due);
    store_lock(e->store);
    e->store->counts[c->operation]++;
    c->client = e->client;
    o->fate = draw_fate(e, c);
    millis first = plan(o, deadline);
    c->is_ordered = o->fate == FATE_DONE || o->fate == FATE_UNKNOWN;
    list_append(&e->under_way, &c->node);
    store_unlock(e->store);
    timer_arm(&o->timer, first);
}

void operation_free(struct operation *o)
{
    if (o->change) change_free(o->change);
    free(o);
}

struct waiting {
    struct completion ended;
    struct operation *operation;
};

static void wake_waiting(struct operation *o)
{
    struct waiting *w = o->argument;
    w->operation = o;
    completion_set(&w->ended, OK);
}

result memory_change(struct memory_engine *e, struct change *c, millis deadline, struct change **ret_change, struct fault *fault)
{
    result code = coroutine_check();
    if (code != OK) {
        change_free(c);
        return fail(fault, code, "cancelled");
    }
    struct waiting w;
    struct operation with = {.argument = &w};
    completion_init(&w.ended);
    operation_start(e, c, deadline, fault, wake_waiting, &with);
    (void)completion_wait(&w.ended);
    code = w.operation->code;
    if (ret_change && (code == OK || code == CONFLICT)) {
        *ret_change = w.operation->change;
        w.operation->change = NULL;
    }
    operation_free(w.operation);
    return code;
}

/* ---- reads --------------------------------------------------------------------------------------------- */

static bool hangs_now(struct memory_engine *e, view name)
{
    store_lock(e->store);
    bool it_does = !e->is_dead && hangs(e, name);
    store_unlock(e->store);
    return it_does;
}

result memory_read_begin(struct memory_engine *e, enum memory_operation operation, view name, millis deadline, struct fault *fault)
{
    struct memory_store *s = e->store;
    store_lock(s);
    s->counts[operation]++;
    int64_t delay_ms = draw_delay_ms(s);
    store_unlock(s);
    do {
        millis due = clock_in(delay_ms);
        bool is_late = !millis_before(due, deadline);
        if (is_late) delay_ms = deadline.ms - clock_now().ms;
        result code = coroutine_sleep(delay_ms > 0 ? delay_ms : 0);
        if (code != OK) return fail(fault, code, "read: %s", result_name(code));
        if (is_late) return fail(fault, TIMEOUT, "no answer from the store in time");
        delay_ms = LOOK_AGAIN_MS;
    } while (hangs_now(e, name));
    result code = OK;
    store_lock(s);
    catch_up(e);
    if (e->is_dead || millis_before(clock_now(), e->fenced_until) || happens(s->faults.unavailable_ppm)) code = UNAVAILABLE;
    else if (happens(s->faults.corrupt_read_ppm)) code = CORRUPT;
    if (code == OK) return OK;
    store_unlock(s);
    return fail(fault, code, "read: %s", result_name(code));
}

result memory_read_end(struct memory_engine *e, result code, struct fault *fault)
{
    int64_t delay_ms = draw_delay_ms(e->store);
    store_unlock(e->store);
    if (delay_ms == 0 || code != OK) return code;
    code = coroutine_sleep(delay_ms);
    return code == OK ? OK : fail(fault, code, "read: %s", result_name(code));
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static void memory_close(struct engine *base);

static const struct engine_methods memory_methods = {
    .kind = "memory",
    .close = memory_close,
    .append_start = memory_append_start,
    .read = memory_read,
    .read_body = memory_read_body,
    .read_bodies = memory_read_bodies,
    .replace_head = memory_replace_head,
    .remove_journal = memory_remove_journal,
    .list_journals = memory_list_journals,
    .has_archive = memory_has_archive,
    .object_create = memory_object_create,
    .object_write = memory_object_write,
    .object_commit = memory_object_commit,
    .object_abort = memory_object_abort,
    .object_copy = memory_object_copy,
    .object_read = memory_object_read,
    .object_size = memory_object_size,
    .object_remove = memory_object_remove,
    .object_list = memory_object_list,
    .table_shards = memory_table_shards,
    .table_get = memory_table_get,
    .table_scan = memory_table_scan,
    .table_batch = memory_table_batch,
    .notify = memory_notify,
    .lease_acquire = memory_lease_acquire,
    .lease_renew = memory_lease_renew,
    .lease_release = memory_lease_release,
};

struct engine *engine_open_memory(struct memory_store *s)
{
    struct memory_engine *e = calloc(1, sizeof *e);
    check(e);
    engine_init(&e->base, &memory_methods);
    e->store = s;
    e->family = loop_family(loop_self());
    e->missed = calloc(loops_count(e->family), sizeof *e->missed);
    check(e->missed);
    for (unsigned i = 0; i < loops_count(e->family); i++) {
        timer_init(&e->missed[i].timer, missed_due);
        e->missed[i].engine = e;
    }
    list_init(&e->under_way);
    store_lock(s);
    e->client = ++s->clients;
    list_append(&s->engines, &e->node);
    store_unlock(s);
    return &e->base;
}

static void disarm_here(void *argument)
{
    struct memory_engine *e = argument;
    timer_disarm(&e->missed[loop_index(loop_self())].timer);
}

static void memory_close(struct engine *base)
{
    colour_pretend_coroutine();
    struct memory_engine *e = memory_of(base);
    check(list_is_empty(&e->under_way));
    store_lock(e->store);
    list_remove(&e->node);
    store_unlock(e->store);
    for (unsigned i = 0; i < loops_count(e->family); i++) loop_run_on(loops_at(e->family, i), "engine stops", disarm_here, e);
    engine_done(&e->base);
    free(e->missed);
    free(e);
}

/* A change that its machine was making is done or lost; or, if it may be, still on its way: then it is the store's. */
static bool leave(struct memory_engine *e, struct change *c, bool may_come_later)
{
    uint64_t choice = c->is_applied || !c->is_ordered || c->client != e->client ? 0 : random_below(may_come_later ? 3 : 2);
    if (choice == 1 && may_come_later && hangs(e, name_of(c))) choice = 2;
    if (choice == 1) apply_and_tell(e, c);
    if (choice != 2) return false;
    list_remove(&c->node);
    leave_pending(e, c);
    return true;
}

void engine_abandon_memory(struct engine *base)
{
    struct memory_engine *e = memory_of(base);
    struct memory_store *s = e->store;
    bool loses = s->faults.loses_notifications;
    store_lock(s);
    list_remove(&e->node);
    s->faults.loses_notifications = false;           /* no loop of ours is left to tell of it later */
    list_each (node, &e->under_way) {
        struct change *c = container_of(node, struct change, node);
        if (!leave(e, c, true)) change_free(c);
    }
    s->faults.loses_notifications = loses;
    tell_all_of_missed(s);
    store_unlock(s);
    free(e->missed);
    free(e);
}

void memory_store_crash(struct memory_store *s)
{
    bool loses = s->faults.loses_notifications;
    store_lock(s);
    s->faults.loses_notifications = false;
    store_catch_up(s, true);
    list_each (engines, &s->engines) {
        struct memory_engine *e = container_of(engines, struct memory_engine, node);
        e->is_dead = true;
        list_each (node, &e->under_way) leave(e, container_of(node, struct change, node), false);
    }
    s->faults.loses_notifications = loses;
    store_unlock(s);
}

/* ---- a cluster's faults -------------------------------------------------------------------------------- */

void memory_store_hang(struct memory_store *s, unsigned place, millis until)
{
    store_lock(s);
    s->hung_until[place % MEMORY_PLACES] = until;
    store_unlock(s);
}

void memory_store_cut_off(struct memory_store *s, struct engine *e, millis until)
{
    store_lock(s);
    memory_of(e)->cut_off_until = until;
    s->missed_since = clock_now();
    store_unlock(s);
}

void memory_store_fence(struct memory_store *s, struct engine *base, millis until)
{
    struct memory_engine *e = memory_of(base);
    struct map_slot *slot;
    store_lock(s);
    for (size_t at = 0; (slot = map_next(&s->leases, &at));) {
        struct stored_lease *l = slot->value;
        if (l->client == e->client) l->expires = (millis){0};
    }
    e->client = ++s->clients;
    e->fenced_until = until;
    s->missed_since = clock_now();
    store_unlock(s);
}

void memory_store_heal(struct memory_store *s)
{
    store_lock(s);
    for (unsigned i = 0; i < MEMORY_PLACES; i++) s->hung_until[i] = (millis){0};
    list_each (node, &s->engines) {
        struct memory_engine *e = container_of(node, struct memory_engine, node);
        e->cut_off_until = e->fenced_until = (millis){0};
    }
    tell_all_of_missed(s);
    store_unlock(s);
}
