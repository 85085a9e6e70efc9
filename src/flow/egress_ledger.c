#include "flow/egress_ledger.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "flow/egress_row.h"
#include "runtime/clock.h"
#include "runtime/event.h"

enum { DAY_MS = 24 * 3600 * 1000, STORE_MS = 5000, AWAIT_MS = 3000, ARENA_BYTES = 4 << 20 };

struct known_block {
    uint64_t site;
    unix_ms since, until;
    bool is_new;                         /* not in the row yet */
    char hosts[EGRESS_SITE_BYTES_MAX], answer[EGRESS_ANSWER_BYTES_MAX];
    size_t hosts_len, answer_len;        /* of a new one */
};

struct known {
    struct address address;
    int64_t day;                         /* of both counts */
    uint64_t sent, unsaved;
    struct known_block *blocks;
    size_t block_count;
    millis looked;                       /* when the row was read */
};

struct egress_ledger {
    struct engine *engine;
    struct known *all;                   /* each address once, in however many pools it is */
    size_t count;
    bool is_ready, has_new;
    struct waitlist ready, work;
    struct mutex looking;                /* what is added to a row is added once */
};

static int64_t today(void) { return clock_wall().ms / DAY_MS; }

static struct known *find(const struct egress_ledger *l, const struct address *a)
{
    for (size_t i = 0; i < l->count; i++)
        if (address_equal(&l->all[i].address, a)) return &l->all[i];
    return NULL;
}

/* ---- rows ---- */

static bool has_new_block(const struct known *k)
{
    for (size_t i = 0; i < k->block_count; i++)
        if (k->blocks[i].is_new) return true;
    return false;
}

static void add_to_row(const struct known_block *b, struct egress_row *row)
{
    size_t i = 0;
    while (i < row->block_count && row->blocks[i].site != b->site) i++;
    if (i > EGRESS_BLOCKS_MAX) {
        memmove(row->blocks, row->blocks + 1, EGRESS_BLOCKS_MAX * sizeof row->blocks[0]);
        i = --row->block_count;
    }
    if (i == row->block_count) row->block_count++;
    row->blocks[i] = (struct egress_block){.site = b->site, .hosts = view_make(b->hosts, b->hosts_len), .answer = view_make(b->answer, b->answer_len), .since = b->since,
                                           .until = b->until};
}

struct saving { struct known *known; uint64_t unsaved; int64_t day; };

static bool add_to(void *argument, struct egress_row *row)
{
    struct saving *s = argument;
    if (row->day != s->day) {
        row->day = s->day;
        row->sent = 0;
    }
    row->sent += s->unsaved;
    for (size_t i = 0; i < s->known->block_count; i++)
        if (s->known->blocks[i].is_new) add_to_row(&s->known->blocks[i], row);
    return true;
}

/* The row is what counts; what came while it was written stays. */
static void learn(struct known *k, const struct egress_row *row, const struct saving *saved)
{
    struct known_block *blocks = calloc(row->block_count + k->block_count + 1, sizeof *blocks);
    size_t count = 0;
    check(blocks);
    for (size_t i = 0; i < row->block_count; i++) blocks[count++] = (struct known_block){.site = row->blocks[i].site, .since = row->blocks[i].since, .until = row->blocks[i].until};
    for (size_t i = 0; i < k->block_count; i++) {
        bool is_there = false;
        for (size_t j = 0; j < row->block_count; j++) is_there |= row->blocks[j].site == k->blocks[i].site && row->blocks[j].since.ms >= k->blocks[i].since.ms;
        if (k->blocks[i].is_new && !is_there) blocks[count++] = k->blocks[i];
    }
    free(k->blocks);
    k->blocks = blocks;
    k->block_count = count;
    if (k->day == saved->day) k->unsaved -= saved->unsaved;
    if (row->day == k->day) k->sent = row->sent;
    k->looked = clock_now();
}

MAY_YIELD static void look_locked(struct egress_ledger *l, struct known *k)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ARENA_BYTES);
    struct egress_row row;
    struct fault fault = {0};
    if (k->day != today()) {
        k->day = today();
        k->sent = k->unsaved = 0;
    }
    struct saving s = {.known = k, .unsaved = k->unsaved, .day = k->day};
    bool has_more = k->unsaved > 0 || has_new_block(k);
    result code = has_more ? egress_row_change(l->engine, &k->address, add_to, &s, clock_in(STORE_MS), arena, &row, &fault)
                           : egress_row_read(l->engine, &k->address, clock_in(STORE_MS), arena, &row, &fault);
    /* Of unknown outcome: counted twice at worst, which is on the safe side. */
    if (code == OK) learn(k, &row, &s);
    else if (code != CANCELLED) EVENT_EMIT(EGRESS_NOT_KEPT, EVENT_FAULT(&fault));
}

MAY_YIELD static void look(struct egress_ledger *l, struct known *k)
{
    if (mutex_lock(&l->looking, clock_in(STORE_MS)) != OK) return;
    look_locked(l, k);
    mutex_unlock(&l->looking);
}

static bool is_due(const struct known *k)
{
    return k->unsaved > 0 || has_new_block(k) || !millis_before(clock_now(), millis_add(k->looked, EGRESS_LOOK_MS));
}

static void run(void *argument)
{
    colour_pretend_coroutine();
    struct egress_ledger *l = argument;
    result code = OK;
    while (code != CANCELLED) {
        l->has_new = false;
        for (size_t i = 0; i < l->count; i++)
            if (!l->is_ready || is_due(&l->all[i])) look(l, &l->all[i]);
        l->is_ready = true;
        waitlist_wake_all(&l->ready);
        code = l->has_new ? coroutine_check() : waitlist_wait(&l->work, clock_in(EGRESS_SAVE_MS));
    }
}

void egress_ledger_save(struct egress_ledger *l)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->all[i].unsaved > 0 || has_new_block(&l->all[i])) look(l, &l->all[i]);
}

struct egress_ledger *egress_ledger_new(struct engine *e, const struct egress *egress, struct scope *scope)
{
    size_t most = 0;
    for (size_t p = 0; p < egress->pool_count; p++) most += egress->pools[p].address_count;
    struct egress_ledger *l = calloc(1, sizeof *l);
    check(l);
    l->engine = e;
    l->all = calloc(most + 1, sizeof *l->all);
    check(l->all);
    for (size_t p = 0; p < egress->pool_count; p++)
        for (size_t i = 0; i < egress->pools[p].address_count; i++) {
            const struct address *a = &egress->pools[p].addresses[i].address;
            if (!find(l, a)) l->all[l->count++].address = *a;
        }
    waitlist_init(&l->ready);
    waitlist_init(&l->work);
    mutex_init(&l->looking);
    coroutine_spawn(scope, "egress ledger", run, l);
    return l;
}

void egress_ledger_free(struct egress_ledger *l)
{
    if (!l) return;
    for (size_t i = 0; i < l->count; i++) free(l->all[i].blocks);
    free(l->all);
    free(l);
}

void egress_ledger_await(struct egress_ledger *l)
{
    if (!l->is_ready) (void)!waitlist_wait(&l->ready, clock_in(AWAIT_MS));
}

/* ---- what is asked and told ---- */

static struct known_block *find_block(const struct known *k, uint64_t site)
{
    for (size_t i = 0; k && i < k->block_count; i++)
        if (k->blocks[i].site == site && k->blocks[i].until.ms > clock_wall().ms) return &k->blocks[i];
    return NULL;
}

bool egress_ledger_is_blocked(const struct egress_ledger *l, const struct egress_address *a, view hosts)
{
    return find_block(find(l, &a->address), hash_stable(hosts)) != NULL;
}

bool egress_ledger_block(struct egress_ledger *l, const struct egress_address *a, view hosts, int64_t ms, view answer)
{
    struct known *k = find(l, &a->address);
    uint64_t site = hash_stable(hosts);
    if (!k || find_block(k, site)) return false;
    k->blocks = realloc(k->blocks, (k->block_count + 1) * sizeof *k->blocks);
    check(k->blocks);
    struct known_block *b = &k->blocks[k->block_count++];
    hosts = view_slice(hosts, 0, sizeof b->hosts);
    answer = view_slice(answer, 0, sizeof b->answer);
    *b = (struct known_block){.site = site, .since = clock_wall(), .until = {clock_wall().ms + ms}, .is_new = true, .hosts_len = hosts.len, .answer_len = answer.len};
    if (hosts.len) memcpy(b->hosts, hosts.at, hosts.len);
    if (answer.len) memcpy(b->answer, answer.at, answer.len);
    l->has_new = true;
    waitlist_wake_all(&l->work);
    return true;
}

void egress_ledger_count(struct egress_ledger *l, const struct egress_address *a)
{
    struct known *k = find(l, &a->address);
    if (!k) return;
    if (k->day != today()) {
        k->day = today();
        k->sent = k->unsaved = 0;
    }
    k->unsaved++;
}

void egress_ledger_sent(const struct egress_ledger *l, const struct egress_address *a, uint64_t *ret_written, uint64_t *ret_since)
{
    const struct known *k = find(l, &a->address);
    bool is_of_today = k && k->day == today();
    *ret_written = is_of_today ? k->sent : 0;
    *ret_since = is_of_today ? k->unsaved : 0;
}
