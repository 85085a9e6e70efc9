/* Own appends: records of this home on their way into the journal and from there into the state. */
#include "account/home.h"
#include "base/check.h"
#include "runtime/clock.h"
#include "runtime/point.h"

enum {
    TRIES_MAX = 8,             /* of an append whose outcome is unknown; each is made with the same record id */
    QUIET_MS = 10000,          /* others have appended nothing for so long */
    FRESH_MS = 5000,           /* the position was the journal's end not longer ago */
};

static void send(struct own_append *o);

/*
 * A blind append to a cluster does not tell its place, so the tail must be read after it. One that is guarded by the position
 * tells, if the position is still the journal's end; else it costs a write in vain. So it is tried where nobody else seems to be at
 * it. What is started meanwhile waits, so that records keep the order of their start even if it loses.
 */
static bool expects_nobody_else(const struct own_append *o)
{
    const struct account *a = o->account;
    return a->home->blind_tells_nothing && o->tries == 0 && a->state && a->skip == 0 && !a->replay.is_locked && a->own.next == &o->node &&
           millis_before(a->foreign_until, clock_now()) && (a->watch_count > 0 || millis_before(clock_now(), millis_add(a->current_at, FRESH_MS)));
}

void account_saw_others(struct account *a)
{
    a->foreign_until = clock_in(QUIET_MS);
}

static void send_waiting(struct account *a)
{
    list_each (node, &a->own) {
        struct own_append *o = container_of(node, struct own_append, node);
        if (!o->is_waiting) continue;
        o->is_waiting = false;
        send(o);
    }
}

/* ---- into the journal ---------------------------------------------------------------------------------- */

static bool may_try_again(const struct own_append *o)
{
    return o->append.code == UNKNOWN_OUTCOME && !o->is_applied && o->tries < TRIES_MAX && millis_before(clock_now(), o->deadline);
}

static void append_told(struct journal_append *append, void *argument)
{
    struct own_append *o = argument;
    struct account *a = o->account;
    bool was_guarded = append->only_if_at != NULL;
    o->in_flight = false;
    o->told_at_read = a->reads_begun;
    if (append->code == OK && !was_guarded) a->home->blind_tells_nothing = !append->before_known;
    if (was_guarded && append->code == CONFLICT) {
        account_saw_others(a);
        send(o);
    } else if (append->code == OK) {
        POINT("account.append.stored");
        o->is_stored = true;
        a->journal_bytes = append->journal_bytes ? append->journal_bytes : a->journal_bytes + append->meta.len + append->body.len;
    } else if (may_try_again(o)) {
        o->is_unknown = o->is_uncertain = true;
        account_follow(a);
    } else if (!o->is_applied) {
        o->code = append->code;
        /* An earlier try may be stored yet. */
        if (o->is_uncertain) o->code = fail(o->fault, UNKNOWN_OUTCOME, "the outcome of a try is unknown, another gave %s", result_name(append->code));
    }
    if (was_guarded) send_waiting(a);
    account_tell(a);
}

/* Leaves time for another try when the outcome is unknown at the end of this one. */
static millis time_of_try(const struct own_append *o)
{
    if (millis_is_never(o->deadline)) return o->deadline;
    int64_t left_ms = o->deadline.ms - clock_now().ms;
    return left_ms > 3000 ? millis_add(clock_now(), left_ms / 3 * 2) : o->deadline;
}

static void send(struct own_append *o)
{
    o->guard = o->account->position;
    o->append.only_if_at = expects_nobody_else(o) ? &o->guard : NULL;
    o->tries++;
    o->in_flight = true;
    engine_append_start(o->account->home->all->engine, &o->append, time_of_try(o), append_told, o);
}

void own_append_start(struct own_append *o)
{
    struct account *a = o->account;
    check(a->home->loop == loop_self());
    if (!record_is_valid(o->record)) {
        own_append_refuse(o, fail(o->fault, INVALID, "a name, a keyword, a UIDL or a set is beyond the limits of records"));
        return;
    }
    record_encode(&o->meta, o->record);
    o->append.journal = a->id;
    o->append.meta = buf_view(&o->meta);
    o->append.fault = o->fault;
    account_hold(a);
    list_append(&a->own, &o->node);
    POINT("account.append.before");
    struct own_append *first = container_of(a->own.next, struct own_append, node);
    o->is_waiting = first->in_flight && first->append.only_if_at;
    o->in_flight = true;
    if (!o->is_waiting) send(o);
}

void own_append_refuse(struct own_append *o, result code)
{
    o->code = code;
    account_hold(o->account);
    list_append(&o->account->own, &o->node);
    account_tell(o->account);
}

/* ---- into the state ------------------------------------------------------------------------------------ */

struct own_append *own_append_find(struct account *a, struct id record)
{
    list_each (node, &a->own) {
        struct own_append *o = container_of(node, struct own_append, node);
        if (!o->is_applied && id_equal(o->record->id, record)) return o;
    }
    return NULL;
}

/* What came of a record whose effect others have put into the state: folded into a head before its outcome was seen, or an earlier try. */
static void settle_from_state(struct own_append *o)
{
    struct account *a = o->account;
    const struct record *r = o->record;
    struct mailbox *m = NULL;
    struct outcome outcome = {0};
    bool is_known = state_record_code(a->state, r->id, &outcome.modseq, &outcome.code);
    if (outcome.code == CONFLICT) is_known = false;          /* the try that had the effect is long past */
    /* Which rows a conditional change left alone nobody can tell any more. */
    if (r->kind == RECORD_FLAGS && r->flags.unchanged_since != UINT64_MAX) is_known = false;
    if (!is_known) {
        o->code = fail(o->fault, UNKNOWN_OUTCOME, "durable, but folded before its effect was read");
        return;
    }
    o->is_applied = true;
    if (!o->outcome) return;
    *o->outcome = outcome;
    if (r->kind == RECORD_CREATE) m = state_find(a->state, r->create.name);
    else if (r->kind == RECORD_APPEND) m = r->append.mailbox ? state_mailbox(a->state, r->append.mailbox) : state_find(a->state, r->append.name);
    if (!m) return;
    struct mailbox_info info;
    mailbox_read_info(m, o->arena, &info);
    o->outcome->mailbox = info.number;
    o->outcome->uid_validity = info.uid_validity;
}

void own_append_applied(struct own_append *o)
{
    if (o->outcome && o->outcome->code == CONFLICT) settle_from_state(o);
    else o->is_applied = true;
}

static bool is_next(const struct account *a, const struct own_append *o)
{
    return o->append.before_known && a->skip == 0 && journal_position_equal(&o->append.before, &a->position);
}

/* False when a block is missing, or it takes turns: then the tail is read, by a coroutine that can wait for it. */
static bool apply_next(struct account *a, struct own_append *o)
{
    struct block_key key;
    if (state_wants_turns(a->state, o->record) || state_needs(a->state, o->record, &key, 1) > 0) return false;
    state_apply(a->state, o->record, (struct record_place){.at = o->append.at, .body_offset = o->append.body_offset, .body_bytes = (uint32_t)o->append.body.len},
                o->arena, o->outcome);
    a->position = o->append.at;
    a->current_at = clock_now();
    own_append_applied(o);
    return true;
}

/*
 * Records of one loop stand in the journal in the order of their start. So one that does not follow on the position waits for
 * those before it, and when none of them is under way, somebody else's record stands between.
 */
void own_appends_pump(struct account *a)
{
    bool waits_for_older = false;
    if (a->replay.is_locked || !a->state) return;
    list_each (node, &a->own) {
        struct own_append *o = container_of(node, struct own_append, node);
        if (o->in_flight) waits_for_older = true;
        if (!o->is_stored || o->is_applied || o->code != OK) continue;
        if (is_next(a, o) && apply_next(a, o)) continue;
        if (!waits_for_older) account_follow(a);
        break;
    }
}

/* ---- and back to who asked ----------------------------------------------------------------------------- */

bool own_appends_give_up(struct account *a, result code, const struct fault *fault)
{
    bool waits = false;
    bool is_hopeless = code == CORRUPT || code == IO;
    list_each (node, &a->own) {
        struct own_append *o = container_of(node, struct own_append, node);
        if ((!o->is_stored && !o->is_unknown) || o->is_applied || o->code != OK) continue;
        if (is_hopeless || !millis_before(clock_now(), o->deadline))
            o->code = fail(o->fault, UNKNOWN_OUTCOME, "%s, and the tail cannot be read: %s", o->is_stored ? "durable" : "sent", fault->detail);
        else
            waits = true;
    }
    account_tell(a);
    return waits;
}

/* Replay counts a record id once: one that the tail does not have, or not yet, can be sent again without being done twice. */
void own_appends_after_read(struct account *a, uint64_t number)
{
    list_each (node, &a->own) {
        struct own_append *o = container_of(node, struct own_append, node);
        if (o->is_applied || o->code != OK || o->told_at_read >= number) continue;
        if (o->is_stored) settle_from_state(o);
        if (!o->is_unknown) continue;
        o->is_unknown = false;
        if (millis_before(clock_now(), o->deadline)) send(o);
        else o->code = o->append.code;
    }
}

void own_appends_finish(struct account *a)
{
    for (struct list *node; (node = a->own.next) != &a->own;) {
        struct own_append *o = container_of(node, struct own_append, node);
        if (o->in_flight || (!o->is_applied && o->code == OK)) return;
        list_remove(&o->node);
        if (o->is_applied) o->code = OK;
        buf_done(&o->meta);
        o->finished(o);
        account_close(a);
    }
}
