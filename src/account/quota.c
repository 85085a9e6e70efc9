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
    uint64_t bytes;
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

static void know(struct home *h, struct id account, uint64_t bytes)
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
    u->bytes = bytes;
    u->read = clock_now();
}

void usage_grew(struct accounts *all, struct id account, uint64_t bytes)
{
    struct usage_known *u = map_get(&accounts_here(all)->usages, id_view(&account));
    if (u) u->bytes += bytes;
}

static bool fits(uint64_t used, uint64_t more, uint64_t quota)
{
    return more <= quota && used <= quota - more;
}

static bool fits_by_what_is_known(struct home *h, struct id account, uint64_t quota, uint64_t more)
{
    struct usage_known *u = find_known(h, account);
    if (!u || !fits(u->bytes, more, quota)) return false;
    bool is_far = fits(u->bytes, more, quota / 8 * FAR_EIGHTHS);
    return millis_before(clock_now(), millis_add(u->read, is_far ? FAR_MS : NEAR_MS));
}

struct question {
    struct accounts *all;
    struct id account;
    millis deadline;
    result code;
    struct fault *fault;
    uint64_t bytes;
};

MAY_YIELD static void read_usage(void *argument)
{
    struct question *q = argument;
    struct account *a;
    q->code = account_open(q->all, q->account, q->deadline, &a, q->fault);
    if (q->code != OK) return;
    q->bytes = state_usage(account_state(a)).bytes;
    account_close(a);
}

result accounts_check_quota(struct accounts *all, struct id account, uint64_t quota_bytes, uint64_t more, millis deadline, struct fault *fault)
{
    if (quota_bytes == 0 || fits_by_what_is_known(accounts_here(all), account, quota_bytes, more)) return OK;
    struct question q = {.all = all, .account = account, .deadline = deadline, .fault = fault};
    loop_run_on(accounts_home(all, account), "read usage", read_usage, &q);
    if (q.code != OK) return q.code;
    know(accounts_here(all), account, q.bytes);
    if (fits(q.bytes, more, quota_bytes)) return OK;
    return fail(fault, OVER_QUOTA, "%" PRIu64 " of %" PRIu64 " bytes are used, %" PRIu64 " more do not fit", q.bytes, quota_bytes, more);
}
