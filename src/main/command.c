#include "main/command.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/utf8.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/loop.h"

enum { COMMAND_TIMEOUT_MS = 60000, PROGRESS_EVERY_MS = 100 };

millis command_deadline(void)
{
    return clock_in(COMMAND_TIMEOUT_MS);
}

view command_text(const struct command_call *call, const char *key)
{
    const json_t *value = json_object_get(call->request, key);
    return json_is_string(value) ? view_make(json_string_value(value), json_string_length(value)) : VIEW_EMPTY;
}

bool command_has(const struct command_call *call, const char *key)
{
    return json_object_get(call->request, key) != NULL;
}

uint64_t command_number(const struct command_call *call, const char *key)
{
    json_int_t number = json_integer_value(json_object_get(call->request, key));
    return number > 0 ? (uint64_t)number : 0;
}

json_t *command_json_text(view v)
{
    buf repaired CLEANUP(buf_done) = BUF_INIT;
    utf8_append_repaired(&repaired, v);
    return json_stringn(repaired.len ? repaired.at : "", repaired.len);
}

struct answering {
    struct command_call *call;
    json_t *object;
    result code;
};

static MAY_YIELD void run_answer(void *argument)
{
    struct answering *a = argument;
    a->code = a->call->answer(a->call->argument, a->object);
}

static MAY_YIELD result answer(struct command_call *call, const char *kind, json_t *inner)
{
    struct answering a = {.call = call, .object = json_object()};
    json_object_set_new(a.object, kind, inner);
    loop_run_on(call->loop, "command answer", run_answer, &a);
    return a.code;
}

result command_row(struct command_call *call, json_t *row)
{
    return answer(call, "row", row);
}

void command_progress(struct command_call *call, const char *what, uint64_t done, uint64_t all)
{
    json_t *last = json_object_get(call->request, "progress_told");
    if (last && clock_now().ms < json_integer_value(last) + PROGRESS_EVERY_MS && done != all) return;
    /* Where the time of the last one is kept: the request belongs to this call alone. */
    json_object_set_new((json_t *)(uintptr_t)call->request, "progress_told", json_integer(clock_now().ms));
    result ignored = answer(call, "progress", json_pack("{s:s, s:I, s:I}", "what", what, "done", (json_int_t)done, "all", (json_int_t)all));
    (void)ignored;
}

struct home_call {
    struct command_call *call;
    struct id account;
    command_home_fn *run;
    result code;
    struct fault *fault;
};

static MAY_YIELD void run_at_home(void *argument)
{
    struct home_call *home = argument;
    struct account *account;
    home->code = account_open(home->call->service->accounts, home->account, command_deadline(), &account, home->fault);
    if (home->code != OK) return;
    home->code = account_refresh(account, command_deadline(), home->fault);
    if (home->code == OK) home->code = home->run(home->call, account, home->fault);
    account_close(account);
}

result command_at_home(struct command_call *call, view address, command_home_fn *run, struct fault *fault)
{
    struct identity_account row;
    result r = identity_find_account_by_address(call->service->identity, address, command_deadline(), call->arena, &row, fault);
    if (r != OK) return r;
    struct home_call home = {.call = call, .account = row.id, .run = run, .fault = fault};
    loop_run_on(accounts_home(call->service->accounts, row.id), "command", run_at_home, &home);
    return home.code;
}

view command_hex(const unsigned char digest[static 32], struct arena *arena)
{
    char *text = arena_alloc(arena, 65);
    for (size_t i = 0; i < 32; i++) snprintf(text + 2 * i, 3, "%02x", digest[i]);
    return view_make(text, 64);
}

static const struct { const char *name; command_fn *run; } commands[] = {
#define X(name, function) {name, function},
    COMMANDS(X)
#undef X
};

static MAY_YIELD result dispatch(struct command_call *call, struct fault *fault)
{
    view name = command_text(call, "command");
    for (size_t i = 0; i < array_size(commands); i++)
        if (view_equal(name, view_of(commands[i].name))) return commands[i].run(call, fault);
    return fail(fault, NOT_FOUND, "unknown command \"" VIEW_FMT "\": is the server older than this program?", VIEW_ARG(name));
}

void command_run(struct command_call *call)
{
    struct fault fault = {0};
    result r = dispatch(call, &fault);
    if (r == OK) r = answer(call, "done", json_object());
    else r = answer(call, "error", json_pack("{s:s, s:o}", "result", result_name(r), "text", command_json_text(view_of(fault.detail[0] ? fault.detail : result_name(r)))));
    (void)r;
}
