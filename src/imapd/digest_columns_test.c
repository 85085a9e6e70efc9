#include "imapd/digest_columns.h"

#include <string.h>

#include "base/check.h"
#include "base/test.h"
#include "runtime/sim/sim.h"

enum { BLOCK_BYTES = 4096, MANY = (20 << 20) / BLOCK_BYTES };

/* ---- blocks ---- */

struct known { bool is_there; char text[300]; size_t len; };

static void know(struct sim *s, struct known *k)
{
    k->is_there = true;
    k->len = sim_choose(s, 4) ? (size_t)sim_choose(s, 8) : (size_t)sim_choose(s, sizeof k->text);
    for (size_t i = 0; i < k->len; i++) k->text[i] = (char)sim_choose(s, 3);
}

/* As commands do that ask for some messages each: whatever came when, each value is found again. */
TEST(digest_block_has_what_was_added_in_any_order)
{
    static struct known all[DIGEST_BLOCK_UIDS];
    struct sim *s = sim_open(1);
    for (unsigned round = 0; round < 50; round++) {
        memset(all, 0, sizeof all);
        struct digest_block b = {0};
        for (unsigned pass = 0; pass < 6; pass++) {
            for (unsigned i = (unsigned)sim_choose(s, 20); i < DIGEST_BLOCK_UIDS; i += 1 + (unsigned)sim_choose(s, 30)) {
                view value;
                digest_block_seek(&b, i);
                bool is_there = digest_block_value(&b, &value);
                EXPECT(is_there == all[i].is_there);
                if (is_there) {
                    EXPECT_VIEW(value, view_make(all[i].text, all[i].len));
                } else {
                    know(s, &all[i]);
                    digest_block_add(&b, view_make(all[i].text, all[i].len));
                    EXPECT(digest_block_value(&b, &value) && view_equal(value, view_make(all[i].text, all[i].len)));
                }
            }
            /* What the next command gets. */
            struct digest_block copy = {0};
            buf_append(&copy.bytes, buf_view(&b.bytes));
            buf_done(&b.bytes);
            b = copy;
        }
        buf_done(&b.bytes);
    }
    sim_close(s);
}

/* ---- columns ---- */

struct world {
    struct sim *sim;
    struct sim_node *node;
    struct digest_columns columns;
    void (*run)(struct world *w);
};

static void on_loop(void *argument)
{
    struct world *w = argument;
    w->run(w);
}

static void call(struct world *w, void (*run)(struct world *w))
{
    w->run = run;
    REQUIRE(sim_call(w->node, 0, on_loop, w));
}

static struct digest_key key_of(uint32_t mailbox, unsigned kind) { return (struct digest_key){.account = {{1}}, .mailbox = mailbox, .kind = kind}; }

/* Walks over `count` blocks as a command does. How many were there. */
static size_t walk(struct world *w, struct digest_key key, size_t count, bool keeps)
{
    static char bytes[BLOCK_BYTES];
    size_t found = 0;
    uint64_t command = digest_columns_begin(&w->columns);
    buf b CLEANUP(buf_done) = BUF_INIT;
    for (size_t i = 0; i < count; i++) {
        buf_clear(&b);
        digest_columns_get(&w->columns, &key, (uint32_t)i, command, &b);
        EXPECT(b.len == 0 || (b.len == sizeof bytes && b.at[0] == (char)i && b.at[1] == (char)key.mailbox));
        found += b.len > 0;
        bytes[0] = (char)i;
        bytes[1] = (char)key.mailbox;
        if (!b.len && keeps) digest_columns_put(&w->columns, &key, (uint32_t)i, command, view_make(bytes, sizeof bytes));
        EXPECT(w->columns.bytes <= DIGEST_BYTES_MAX);
    }
    return found;
}

static void run_world(void (*run)(struct world *w))
{
    struct world w = {.sim = sim_open(1)};
    w.node = sim_node_new(w.sim, "server", 1);
    digest_columns_init(&w.columns);
    call(&w, run);
    sim_run(w.sim, DIGEST_IDLE_MS + 1000);
    EXPECT_NUMBER(w.columns.bytes, 0);
    EXPECT_NUMBER(w.columns.count, 0);
    digest_columns_stop(&w.columns);
    sim_close(w.sim);
}

static void share(struct world *w)
{
    EXPECT_NUMBER(walk(w, key_of(1, 0), MANY, true), 0);
    EXPECT_NUMBER(walk(w, key_of(1, 0), MANY, true), MANY);
    EXPECT_NUMBER(walk(w, key_of(2, 0), MANY, true), 0);
    for (unsigned i = 0; i < 6; i++) EXPECT(walk(w, key_of(1 + i % 2, 0), MANY, true) >= MANY / 2);
    /* Small ones of others take their part from the one that was used longest ago. */
    for (unsigned i = 0; i < 200; i++) EXPECT_NUMBER(walk(w, key_of(10 + i, 0), 3, true), 0);
    EXPECT_NUMBER(walk(w, key_of(15, 0), 3, false), 3);
    EXPECT(walk(w, key_of(2, 0), MANY, false) >= MANY / 2);
}

TEST(digest_columns_that_do_not_fit_together_keep_a_part_each) { run_world(share); }

static void overflow(struct world *w)
{
    EXPECT_NUMBER(walk(w, key_of(1, 0), 2 * MANY, true), 0);
    size_t kept = walk(w, key_of(1, 0), 2 * MANY, true);
    EXPECT(kept > MANY * 3 / 2);
    EXPECT_NUMBER(walk(w, key_of(1, 0), 2 * MANY, true), kept);
}

TEST(digest_columns_keep_what_fits_of_a_column_that_does_not) { run_world(overflow); }

static void overflow_by_count(struct world *w)
{
    for (unsigned i = 0; i < 2 * DIGEST_COLUMNS_MAX; i++) EXPECT_NUMBER(walk(w, key_of(i, 1), 1, true), 0);
    EXPECT_NUMBER(w->columns.count, DIGEST_COLUMNS_MAX);
    EXPECT_NUMBER(walk(w, key_of(DIGEST_COLUMNS_MAX - 1, 1), 1, false), 0);
    EXPECT_NUMBER(walk(w, key_of(DIGEST_COLUMNS_MAX, 1), 1, false), 1);
    EXPECT_NUMBER(walk(w, key_of(DIGEST_COLUMNS_MAX, 2), 1, false), 0);
}

TEST(digest_columns_are_not_very_many) { run_world(overflow_by_count); }

static void keep_one(struct world *w) { EXPECT_NUMBER(walk(w, key_of(1, 0), 5, true), 0); }
static void keep_another(struct world *w) { EXPECT_NUMBER(walk(w, key_of(2, 0), 5, true), 0); }
static void expect_another(struct world *w)
{
    EXPECT_NUMBER(walk(w, key_of(1, 0), 5, false), 0);
    EXPECT_NUMBER(walk(w, key_of(2, 0), 5, false), 5);
    digest_columns_stop(&w->columns);
    EXPECT_NUMBER(walk(w, key_of(2, 0), 5, true), 0);
    EXPECT_NUMBER(w->columns.bytes, 0);
}

TEST(digest_columns_go_when_they_were_not_used_for_minutes)
{
    struct world w = {.sim = sim_open(1)};
    w.node = sim_node_new(w.sim, "server", 1);
    digest_columns_init(&w.columns);
    call(&w, keep_one);
    sim_run(w.sim, DIGEST_IDLE_MS / 2);
    call(&w, keep_another);
    sim_run(w.sim, DIGEST_IDLE_MS / 2 + 1000);
    call(&w, expect_another);
    sim_close(w.sim);
}
