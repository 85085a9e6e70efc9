/*
 * Messages that will be opened soon.
 *
 * A client that pipelines FETCHes of messages here and there has said what it will want. They are read by a few coroutines beside the session
 * and unpacked by workers, some at a time, so that neither the store's latency nor the unpacking is waited for once for each message.
 * What is not ready when it is opened is waited for; what cannot be had so is read as ever. Messages that follow each other in a pack are left
 * to the windows of message.c.
 */
#include <stdlib.h>

#include "account/expect.h"
#include "account/pack_index.h"
#include "base/check.h"
#include "runtime/clock.h"
#include "runtime/workers.h"

enum {
    DEADLINE_MS = 10000,
    STALE_MS = 1000,                         /* whoever pipelined has had the time to come */
    NEIGHBOUR_GAP = 16,                      /* as in message.c */
};

struct expected {
    struct row row;
    struct pack_entry entry;
    buf stored, bytes;
    bool is_read, is_right, is_taken;
};

struct expect_job {
    struct list node;                        /* in home.expected, oldest first */
    struct account *account;                 /* held until is_done */
    bool is_done;
    millis done_at;
    uint32_t count;
    void *unzip;
    struct expected of[MESSAGES_EXPECTED_AT_ONCE];
};

static void drop_job(struct home *h, struct expect_job *j)
{
    check(j->is_done);
    list_remove(&j->node);
    h->expected_jobs--;
    for (uint32_t i = 0; i < j->count; i++) buf_done(&j->of[i].bytes);
    free(j);
}

void expected_drop(struct account *a)
{
    list_each (node, &a->home->expected) {
        struct expect_job *j = container_of(node, struct expect_job, node);
        if (j->account == a) drop_job(a->home, j);
    }
}

/* ---- reading ---- */

static void run_unpack(void *argument)
{
    struct expect_job *j = argument;
    struct fault fault;
    for (uint32_t i = 0; i < j->count; i++) {
        struct expected *e = &j->of[i];
        if (e->is_read) e->is_right = pack_unpack(&e->entry, buf_view(&e->stored), j->unzip, &e->bytes, &fault) == OK;
    }
}

/* Whatever goes wrong, the message is read again when it is opened, and that tells. */
MAY_YIELD static bool read_stored(struct account *a, struct expected *e, millis deadline)
{
    struct body_place place;
    char text[OBJECT_NAME_MAX];
    view name;
    if (!state_body(a->state, &e->row, &place) || place.kind != BODY_IN_PACK) return false;
    if (account_find_entry(a, place.pack, place.entry, deadline, &e->entry, text, &name, NULL) != OK) return false;
    if (object_read(a->home->all->engine, name, e->entry.offset, e->entry.stored_bytes, deadline, &e->stored, NULL) != OK) return false;
    buf_reserve(&e->bytes, e->entry.bytes);  /* here, because what threads allocate stays with them */
    return true;
}

static void read_expected(void *argument)
{
    colour_pretend_coroutine();
    struct expect_job *j = argument;
    struct account *a = j->account;
    struct home *h = a->home;
    millis deadline = clock_in(DEADLINE_MS);
    for (uint32_t i = 0; i < j->count; i++) {
        if (coroutine_is_overdue()) coroutine_pause();
        j->of[i].is_read = read_stored(a, &j->of[i], deadline);
    }
    j->unzip = h->expect_unzip_count ? h->expect_unzips[--h->expect_unzip_count] : pack_unzip_new();
    (void)!worker_run(WORKER_UNPACK, run_unpack, j);
    h->expect_unzips[h->expect_unzip_count++] = j->unzip;
    for (uint32_t i = 0; i < j->count; i++) buf_done(&j->of[i].stored);
    j->is_done = true;
    j->done_at = clock_now();
    waitlist_wake_all(&h->expected_done);
    account_close(a);
}

/* ---- asking ---- */

bool messages_may_expect(struct account *a)
{
    struct home *h = a->home;
    list_each (node, &h->expected) {
        struct expect_job *j = container_of(node, struct expect_job, node);
        if (h->expected_jobs == MESSAGES_EXPECTED_JOBS && j->is_done && clock_now().ms - j->done_at.ms >= STALE_MS) drop_job(h, j);
    }
    return h->expected_jobs < MESSAGES_EXPECTED_JOBS;
}

/* Who reads in order is given windows. */
static bool is_neighbour(struct account *a, const struct row *row)
{
    bool is = row->pack == a->expecter.pack && row->entry > a->expecter.entry && row->entry <= a->expecter.entry + NEIGHBOUR_GAP;
    a->expecter.pack = row->pack;
    a->expecter.entry = row->entry;
    return is;
}

void messages_expect(struct account *a, const struct row *rows, size_t count)
{
    struct home *h = a->home;
    check(count <= MESSAGES_EXPECTED_AT_ONCE && h->expected_jobs < MESSAGES_EXPECTED_JOBS);
    struct expect_job *j = calloc(1, sizeof *j);
    check(j);
    j->account = a;
    for (size_t i = 0; i < count; i++)
        if (rows[i].pack != ROW_IN_JOURNAL && rows[i].pack != ROW_ALONE && !is_neighbour(a, &rows[i])) j->of[j->count++].row = rows[i];
    if (j->count == 0) {
        free(j);
        return;
    }
    h->expected_jobs++;
    list_append(&h->expected, &j->node);
    account_hold(a);
    coroutine_spawn(&h->scope, "expect messages", read_expected, j);
}

static struct expected *find(struct account *a, const struct row *row, struct expect_job **ret_job)
{
    list_each (node, &a->home->expected) {
        struct expect_job *j = container_of(node, struct expect_job, node);
        for (uint32_t i = 0; j->account == a && i < j->count; i++) {
            struct expected *e = &j->of[i];
            if (e->is_taken || !id_equal(e->row.message, row->message)) continue;
            *ret_job = j;
            return e;
        }
    }
    return NULL;
}

static void take(struct home *h, struct expect_job *j, struct expected *e, buf *into)
{
    e->is_taken = true;
    buf_done(into);
    *into = e->bytes;
    e->bytes = BUF_INIT;
    for (uint32_t i = 0; i < j->count; i++)
        if (!j->of[i].is_taken) return;
    drop_job(h, j);
}

bool expected_take(struct account *a, const struct row *row, millis deadline, buf *into)
{
    struct home *h = a->home;
    struct expect_job *j;
    struct expected *e;
    while ((e = find(a, row, &j)) && !j->is_done)
        if (waitlist_wait(&h->expected_done, deadline) != OK) return false;
    if (!e) return false;
    bool is_right = e->is_right && e->bytes.len == row->size_bytes;
    take(h, j, e, into);
    if (!is_right) buf_clear(into);
    return is_right;
}

void expected_end(struct home *h)
{
    check(list_is_empty(&h->expected));
    while (h->expect_unzip_count > 0) pack_unzip_free(h->expect_unzips[--h->expect_unzip_count]);
}
