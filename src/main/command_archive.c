/* command_archive: age limits of messages as operators write them, and who knows them. */
#include <stdio.h>

#include "identity/identity.h"
#include "main/command.h"
#include "runtime/clock.h"

enum { LIMIT_DAYS_MAX = 36500, ASK_MS = 15000 };

static const struct { const char *suffix; int64_t ms; } units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}};

result command_archive_after(struct command_call *call, int64_t *ret_after_ms, struct fault *fault)
{
    view text = command_text(call, "archive_after");
    uint64_t number;
    if (view_equal(text, VIEW("never"))) {
        *ret_after_ms = 0;
        return OK;
    }
    if (view_equal(text, VIEW("tenant"))) {
        *ret_after_ms = IDENTITY_ARCHIVE_AS_TENANT;
        return OK;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (!view_ends(text, view_of(units[i].suffix)) || !view_to_u64(view_slice(text, 0, text.len - 1), &number)) continue;
        if (number == 0 || number > (uint64_t)LIMIT_DAYS_MAX * 86400000 / (uint64_t)units[i].ms) break;
        *ret_after_ms = (int64_t)number * units[i].ms;
        return OK;
    }
    return fail(fault, INVALID, "archive-after: expected an age such as 365d or 12h, never or, for an account, tenant");
}

json_t *command_archive_after_json(int64_t after_ms)
{
    char text[32];
    if (after_ms == 0) return json_string("never");
    if (after_ms < 0) return json_string("tenant");
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (after_ms % units[i].ms) continue;
        snprintf(text, sizeof text, "%lld%s", (long long)(after_ms / units[i].ms), units[i].suffix);
        return json_string(text);
    }
    return json_integer(after_ms);
}

result service_archive_limit(void *argument, struct id account, int64_t *ret_after_ms)
{
    colour_pretend_coroutine();
    return identity_archive_after(argument, account, clock_in(ASK_MS), ret_after_ms, NULL);
}
