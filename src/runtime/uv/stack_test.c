/* What is told of deep stacks (the simulator has the event hook for itself). */
#include <string.h>

#include "runtime/event_hook.h"
#include "runtime/stack_marks.h"
#include "runtime/uv/net_test.h"

static char deep_name[32];
static int64_t deep_kib;

static void told_deep(void *context, enum event e, const struct event_field *fields, size_t count)
{
    if (e != EVENT_COROUTINE_STACK_DEEP) return;
    for (size_t i = 0; i < count; i++)
        if (fields[i].kind == EVENT_FIELD_NUMBER) deep_kib = fields[i].number;
        else memcpy(deep_name, fields[i].text.at, fields[i].text.len);
}

/* NOLINTNEXTLINE(misc-no-recursion): to a given depth. */
static int goes_deep(int kib)
{
    volatile char frame[1024];
    memset((char *)frame, 1, sizeof frame);
    return kib > 1 ? goes_deep(kib - 1) + frame[7] : 1;
}

static void uses_stack(void *argument)
{
    int kib = *(int *)argument;
    EXPECT_NUMBER(goes_deep(kib), kib);
}

static void uses_stacks(void *argument)
{
    colour_pretend_coroutine();
    struct scope s;
    int much = 160, little = 8;
    scope_init(&s, NULL);
    coroutine_spawn(&s, "shallow", uses_stack, &little);
    scope_join(&s);
    EXPECT_NUMBER(deep_kib, 0);
    coroutine_spawn(&s, "deep", uses_stack, &much);
    scope_join(&s);
    EXPECT_VIEW(view_of(deep_name), VIEW("deep"));
    EXPECT(deep_kib >= 160 && deep_kib <= 256);
    EXPECT_NUMBER(stack_marks_of("deep"), deep_kib);
    /* The same stack, its deep pages given back. */
    deep_kib = 0;
    for (int i = 0; i < 100; i++) {
        coroutine_spawn(&s, "shallow", uses_stack, &little);
        scope_join(&s);
    }
    EXPECT_NUMBER(deep_kib, 0);
    EXPECT(stack_marks_of("shallow") > 0 && stack_marks_of("shallow") <= 20);
    scope_unlink(&s);
}

TEST(a_deep_stack_is_told_and_its_pages_go_back)
{
    event_hook(told_deep, NULL);
    net_run(1, uses_stacks);
    event_hook(NULL, NULL);
}
