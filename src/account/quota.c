/*
 * Quota: what each loop knows of the usage of accounts, so that RCPT TO need not ask the account's home.
 *
 * What is known is used while it is young and there is room by it; OVER_QUOTA is only said by what the home has just told.
 * Deliveries of this loop are added, those of others are seen when the time is over: a quota is exact to what arrives in
 * some seconds, near its end, and in a minute, far from it.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "account/home.h"
#include "base/check.h"
#include "runtime/clock.h"

enum { KNOWN_MAX = 100000, FAR_MS = 60000, NEAR_MS = 5000, FAR_EIGHTHS = 7 };

struct usage_known {
    struct list node;                    /* in home.usages_used, least recently used first */
    struct id account;
    struct quota used;
    millis read;
};

static void forget(struct home *h, struct usage_known *u)
{
    list_remove(&u->node);
    map_remove(&h->usages, id_view(&u->account));
    free(u);
}

void home_drop_usages(struct home *h)
{
    while (!list_is_empty(&h->usages_used)) forget(h, container_of(h->usages_used.next, struct usage_known, node));
    map_done(&h->usages);
}

static struct usage_known *find_known(struct home *h, struct id account)
{
    struct usage_known *u = map_get(&h->usages, id_view(&account));
    if (!u) return NULL;
    list_remove(&u->node);
    list_append(&h->usages_used, &u->node);
    return u;
}

static void know(struct home *h, struct id account, struct quota used)
{
    struct usage_known *u = find_known(h, account);
    if (!u) {
        if (h->usages.count >= KNOWN_MAX) forget(h, container_of(h->usages_used.next, struct usage_known, node));
        u = calloc(1, sizeof *u);
        check(u);
        u->account = account;
        map_put(&h->usages, id_view(&u->account), u);
        list_append(&h->usages_used, &u->node);
    }
    u->used = used;
    u->read = clock_now();
}

void usage_grew(struct accounts *all, struct id account, uint64_t bytes)
{
    struct usage_known *u = map_get(&accounts_here(all)->usages, id_view(&account));
    if (!u) return;
    u->used.bytes += bytes;
    u->used.messages++;
}

/* With 0 as the limit everything does. */
static bool fits(uint64_t used, uint64_t more, uint64_t limit)
{
    return limit == 0 || (more <= limit && used <= limit - more);
}

static bool both_fit(struct quota used, uint64_t more_bytes, struct quota quota)
{
    return fits(used.bytes, more_bytes, quota.bytes) && fits(used.messages, 1, quota.messages);
}

/* Rounded up, so that a small limit does not become none. */
static uint64_t far_from(uint64_t limit) { return limit - limit / 8 * (8 - FAR_EIGHTHS); }

static bool fits_by_what_is_known(struct home *h, struct id account, struct quota quota, uint64_t more_bytes)
{
    struct usage_known *u = find_known(h, account);
    if (!u || !both_fit(u->used, more_bytes, quota)) return false;
    bool is_far = both_fit(u->used, more_bytes, (struct quota){far_from(quota.bytes), far_from(quota.messages)});
    return millis_before(clock_now(), millis_add(u->read, is_far ? FAR_MS : NEAR_MS));
}

struct question {
    struct accounts *all;
    struct id account;
    millis deadline;
    result code;
    struct fault *fault;
    struct quota used;
};

MAY_YIELD static void read_usage(void *argument)
{
    struct question *q = argument;
    struct account *a;
    q->code = account_open(q->all, q->account, q->deadline, &a, q->fault);
    if (q->code != OK) return;
    struct usage usage = state_usage(account_state(a));
    q->used = (struct quota){usage.bytes, usage.messages};
    account_close(a);
}

result accounts_check_quota(struct accounts *all, struct id account, struct quota quota, uint64_t more_bytes, millis deadline, struct fault *fault)
{
    bool has_limit = quota.bytes || quota.messages;
    if (!has_limit || fits_by_what_is_known(accounts_here(all), account, quota, more_bytes)) return OK;
    struct question q = {.all = all, .account = account, .deadline = deadline, .fault = fault};
    loop_run_on(accounts_home(all, account), "read usage", read_usage, &q);
    if (q.code != OK) return q.code;
    know(accounts_here(all), account, q.used);
    if (both_fit(q.used, more_bytes, quota)) return OK;
    return fail(fault, OVER_QUOTA, "%" PRIu64 " of %" PRIu64 " bytes and %" PRIu64 " of %" PRIu64 " messages (0: any number) are used, %" PRIu64 " bytes more do not fit",
                q.used.bytes, quota.bytes, q.used.messages, quota.messages, more_bytes);
}
