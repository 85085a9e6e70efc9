/*
 * Who has the maildrop (RFC 1939 §8): in this process its place in the map of the account's home loop, among all nodes that share the
 * store a lease. It is renewed in the background, also while the session rests.
 *
 * A lease is advisory: what a session removes, it names by UID, so nothing wrong and nothing twice can be removed even by one that
 * does not know yet that its lease has ended. But it then ends with an error: what another session has listed must not vanish under it.
 */
#include <stdio.h>

#include "popd/session.h"
#include "runtime/clock.h"
#include "runtime/event.h"

enum {
    LEASE_MS = 60000,                    /* how long the maildrop of a dead node stays locked */
    RENEW_MS = LEASE_MS / 3,
    RENEW_AGAIN_MS = 2000,               /* after a renewal of which nothing is known */
    RELEASE_MS = 5000,
    NAME_MAX_BYTES = 5 + ID_TEXT_LEN + 1,
};

struct lease_words {
    char name[NAME_MAX_BYTES], owner[ID_TEXT_LEN + 1];
};

static struct lease_words words_of(const struct pop_session *s)
{
    struct lease_words w;
    char account[ID_TEXT_LEN + 1];
    id_text(s->account, account);
    snprintf(w.name, sizeof w.name, "pop3/%s", account);
    id_text(s->id, w.owner);
    return w;
}

MAY_YIELD static result acquire(struct pop_session *s, millis deadline, struct fault *fault)
{
    struct lease_words w = words_of(s);
    millis began = clock_now();
    result code = lease_acquire(accounts_engine(s->popd->accounts), view_of(w.name), view_of(w.owner), LEASE_MS, deadline, fault);
    if (code == OK) s->lock.sure_until = millis_add(began, LEASE_MS);
    return code;
}

/* One that has ended is taken again, unless another session has it: then this one has lost it. */
MAY_YIELD static result renew(struct pop_session *s, millis deadline, struct fault *fault)
{
    struct lease_words w = words_of(s);
    millis began = clock_now();
    result code = lease_renew(accounts_engine(s->popd->accounts), view_of(w.name), view_of(w.owner), LEASE_MS, deadline, fault);
    if (code == OK) s->lock.sure_until = millis_add(began, LEASE_MS);
    if (code == NOT_FOUND) code = acquire(s, deadline, fault);
    if (code != BUSY) return code;
    if (!s->lock.is_lost) EVENT_EMIT(POP3_MAILDROP_LOST, EVENT_ID("session", s->id), EVENT_ID("account", s->account));
    s->lock.is_lost = true;
    return code;
}

static void renew_in_background(void *argument)
{
    colour_pretend_coroutine();
    struct pop_session *s = argument;
    struct fault fault = {0};
    result code = s->lock.has_lease ? renew(s, clock_in(LEASE_MS / 2), &fault) : OK;
    if (s->lock.has_lease && !s->lock.is_lost) timer_arm(&s->lock.timer, clock_in(code == OK ? RENEW_MS : RENEW_AGAIN_MS));
    s->lock.is_renewing = false;
    waitlist_wake_all(&s->lock.renewed);
}

static void renewal_due(struct timer *t)
{
    struct pop_session *s = container_of(t, struct pop_session, lock.timer);
    s->lock.is_renewing = true;
    coroutine_spawn(loop_scope(s->home->loop), "pop3 lease", renew_in_background, s);
}

result maildrop_lock(struct pop_session *s, struct fault *fault)
{
    struct maildrop_lock *l = &s->lock;
    if (map_get(&s->home->maildrops, id_view(&s->account))) return fail(fault, BUSY, "another session of this node has it");
    map_put(&s->home->maildrops, id_view(&s->account), s);
    l->is_held = true;
    if (!accounts_are_shared(s->popd->accounts)) return OK;
    waitlist_init(&l->renewed);
    timer_init(&l->timer, renewal_due);
    result code = acquire(s, pop_session_store_deadline(s), fault);
    /* Of unknown outcome: perhaps it is ours. */
    l->has_lease = code != BUSY;
    l->is_lost = false;
    if (code == OK) timer_arm(&l->timer, clock_in(RENEW_MS));
    else maildrop_unlock(s);
    return code;
}

void maildrop_unlock(struct pop_session *s)
{
    struct maildrop_lock *l = &s->lock;
    if (!l->is_held) return;
    if (l->has_lease) {
        struct lease_words w = words_of(s);
        struct fault fault;
        timer_disarm(&l->timer);
        l->has_lease = false;
        while (l->is_renewing) waitlist_wait_shielded(&l->renewed);
        /* What cannot be released ends by itself. */
        (void)!lease_release(accounts_engine(s->popd->accounts), view_of(w.name), view_of(w.owner), clock_in(RELEASE_MS), &fault);
    }
    map_remove(&s->home->maildrops, id_view(&s->account));
    l->is_held = false;
}

result maildrop_lock_check(struct pop_session *s, struct fault *fault)
{
    struct maildrop_lock *l = &s->lock;
    if (!l->has_lease) return OK;
    if (l->is_lost) return fail(fault, BUSY, "another session has the mailbox now");
    return millis_before(clock_now(), l->sure_until) ? OK : renew(s, pop_session_store_deadline(s), fault);
}
