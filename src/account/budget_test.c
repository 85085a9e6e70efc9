#include "account/budget.h"

#include <stdio.h>
#include <string.h>

#include "base/test.h"
#include "runtime/clock.h"
#include "runtime/run.h"

static struct budget budget;
static char order[64];

/* They ask one after the other, a millisecond apart. */
struct taker {
    const char *name;
    size_t bytes;
    int64_t patience_ms, holds_ms;
};

static void takes(void *argument)
{
    colour_pretend_coroutine();
    const struct taker *t = argument;
    EXPECT(coroutine_sleep(t->name[0] % 32) == OK);
    if (budget_take(&budget, t->bytes, clock_in(t->patience_ms)) != OK) {
        strcat(order, "-");
        strcat(order, t->name);
        return;
    }
    EXPECT(budget.used <= budget.limit || budget.used == t->bytes);
    strcat(order, t->name);
    EXPECT(coroutine_sleep(t->holds_ms) == OK);
    budget_give(&budget, t->bytes);
}

static void play(void *argument)
{
    colour_pretend_coroutine();
    struct taker *takers = argument;
    struct scope s;
    order[0] = 0;
    budget_init(&budget, 10);
    scope_init(&s, NULL);
    for (; takers->name; takers++) coroutine_spawn(&s, "taker", takes, takers);
    scope_join(&s);
    scope_unlink(&s);
    EXPECT_NUMBER(budget.used, 0);
    EXPECT(list_is_empty(&budget.waiting));
}

static const char *order_of(struct taker *takers)
{
    struct run_options options = {.loops = 1};
    REQUIRE(run_loops(&options, play, takers, NULL) == OK);
    return order;
}

TEST(budget_lets_in_what_fits_and_nobody_overtakes)
{
    EXPECT_VIEW(view_of(order_of((struct taker[]){{"a", 6, 1000, 50}, {"b", 4, 1000, 20}, {"c", 7, 1000, 10}, {"d", 1, 1000, 10}, {0}})), VIEW("abcd"));
}

TEST(budget_serves_alone_what_is_over_it)
{
    EXPECT_VIEW(view_of(order_of((struct taker[]){{"a", 3, 1000, 20}, {"B", 99, 1000, 20}, {"c", 3, 1000, 20}, {0}})), VIEW("aBc"));
}

TEST(budget_goes_on_with_those_behind_who_gave_up)
{
    EXPECT_VIEW(view_of(order_of((struct taker[]){{"a", 6, 1000, 100}, {"b", 9, 20, 10}, {"c", 4, 1000, 10}, {0}})), VIEW("a-bc"));
}
