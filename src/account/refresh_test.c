/* Who only reads, beside who holds the replay lock for long. */
#include <stdlib.h>

#include "account/home.h"
#include "account/test_world.h"
#include "base/test.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"

enum { SOON_MS = 30000, WHILE_MS = 500 };

/* A session that creates a mailbox, and waits to hear of it. */
struct author {
    struct account *account;
    view name;
    bool has_ended;
};

static void creates(void *argument)
{
    colour_pretend_coroutine();
    struct author *author = argument;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct outcome o;
    struct record r = {.kind = RECORD_CREATE, .create.name = author->name};
    EXPECT(account_change(author->account, &r, arena, &o, clock_in(SOON_MS), NULL) == OK);
    author->has_ended = true;
}

/* As whoever applies a large record does. */
MAY_YIELD static void take_lock(struct account *a)
{
    REQUIRE(mutex_lock(&a->replay, clock_in(SOON_MS)) == OK);
}

static bool has(struct account *a, view name)
{
    return state_find(account_state(a), name) != NULL;
}

MAY_YIELD static void begin(struct scope *s, struct author *author, struct account *a, view name)
{
    *author = (struct author){a, name, false};
    coroutine_spawn(s, "author", creates, author);
    (void)!coroutine_sleep(WHILE_MS);
    EXPECT(!author->has_ended);
}

static void reads_beside_authors(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    EXPECT(deliver(w, 1, 100) == OK);
    struct account *a = open_account(w);
    struct author first, second;
    struct scope s;
    scope_init(&s, NULL);
    take_lock(a);
    EXPECT(account_refresh(a, clock_in(WHILE_MS), NULL) == OK);
    begin(&s, &first, a, VIEW("first"));
    begin(&s, &second, a, VIEW("second"));
    EXPECT(account_refresh(a, clock_in(WHILE_MS), NULL) == OK);
    EXPECT(!has(a, VIEW("first")) && !first.has_ended);
    EXPECT(account_catch_up(a, clock_in(WHILE_MS), NULL) == TIMEOUT);
    account_unlock(a);
    scope_join(&s);
    EXPECT(first.has_ended && second.has_ended && has(a, VIEW("first")) && has(a, VIEW("second")));
    scope_unlink(&s);
    account_close(a);
}

static struct world *open_world(bool is_alone)
{
    struct world *w = world_open(1, 1, 1);
    world_down(w, 0);
    w->options.is_alone = is_alone;
    world_up(w, 0);
    return w;
}

TEST(account_refresh_does_not_wait_for_what_nobody_was_told_of)
{
    struct world *w = open_world(true);
    world_run(w, 0, reads_beside_authors, w);
    world_close(w);
}

static void waits_for_what_was_told(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    struct account *a = open_account(w);
    struct author author;
    struct scope s;
    scope_init(&s, NULL);
    take_lock(a);
    begin(&s, &author, a, VIEW("first"));
    EXPECT(deliver(w, 1, 100) == OK);
    EXPECT(account_refresh(a, clock_in(WHILE_MS), NULL) == TIMEOUT);
    account_unlock(a);
    EXPECT(account_refresh(a, clock_in(SOON_MS), NULL) == OK);
    EXPECT_NUMBER(count_of(a, INBOX), 1);
    scope_join(&s);
    scope_unlink(&s);
    account_close(a);
}

TEST(account_refresh_waits_for_a_delivery_behind_what_nobody_was_told_of)
{
    struct world *w = open_world(true);
    world_run(w, 0, waits_for_what_was_told, w);
    world_close(w);
}

static void waits_where_others_may_have_shown_it(void *argument)
{
    colour_pretend_coroutine();
    struct world *w = argument;
    struct account *a = open_account(w);
    struct author author;
    struct scope s;
    scope_init(&s, NULL);
    take_lock(a);
    begin(&s, &author, a, VIEW("first"));
    EXPECT(account_refresh(a, clock_in(WHILE_MS), NULL) == TIMEOUT);
    account_unlock(a);
    EXPECT(account_refresh(a, clock_in(SOON_MS), NULL) == OK);
    EXPECT(has(a, VIEW("first")));
    scope_join(&s);
    scope_unlink(&s);
    account_close(a);
}

TEST(account_refresh_waits_for_all_where_nodes_share_the_store)
{
    struct world *w = open_world(false);
    world_run(w, 0, waits_where_others_may_have_shown_it, w);
    world_close(w);
}
