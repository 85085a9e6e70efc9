/* command_store: the store as a whole: verify, back up, and what the server is doing. */
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "identity/directory.h"
#include "identity/row.h"
#include "main/command.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/event.h"
#include "runtime/event_hook.h"
#include "runtime/loop.h"
#include "runtime/workers.h"

struct verify {
    struct command_call *call;
    uint64_t journals, journals_without_account, messages, objects, garbage, problems;
    const char *about;                       /* the account that is being looked at */
    json_t *noted;
};

enum { PROBLEMS_NOTED_MAX = 10000 };         /* of one account; more are counted only */

/* May be called on a worker while the command waits: kept here, told by flush_problems(). */
static void note_problem(void *argument, view what)
{
    struct verify *v = argument;
    v->problems++;
    if (json_array_size(v->noted) < PROBLEMS_NOTED_MAX)
        json_array_append_new(v->noted, json_pack("{s:s, s:o}", "about", v->about, "problem", command_json_text(what)));
}

static MAY_YIELD result flush_problems(struct verify *v)
{
    size_t index;
    json_t *problem;
    json_array_foreach(v->noted, index, problem) {
        result r = command_row(v->call, json_incref(problem));
        if (r != OK) return r;
    }
    json_array_clear(v->noted);
    return OK;
}

struct verify_account {
    struct verify *verify;
    struct id id;
    result code;
    struct fault fault;
};

static MAY_YIELD void verify_at_home(void *argument)
{
    struct verify_account *va = argument;
    struct verify *v = va->verify;
    struct account *account;
    struct account_verify check_it = {.found = note_problem, .argument = v};
    va->code = account_open(v->call->service->accounts, va->id, command_deadline(), &account, &va->fault);
    if (va->code == OK) {
        va->code = account_refresh(account, command_deadline(), &va->fault);
        if (va->code == OK) va->code = account_verify(account, &check_it, MILLIS_NEVER, &va->fault);
        account_close(account);
    }
    v->messages += check_it.messages;
    v->objects += check_it.objects;
    v->garbage += check_it.garbage_objects;
    if (va->code != OK) note_problem(v, view_of(va->fault.detail));
}

static MAY_YIELD result verify_journals(struct verify *v, struct fault *fault)
{
    enum { PAGE = 64 };
    struct service *s = v->call->service;
    struct id ids[PAGE], after = ID_NONE;
    for (size_t count = PAGE; count == PAGE;) {
        result r = engine_list_journals(s->engine, id_is_none(after) ? NULL : &after, PAGE, command_deadline(), ids, &count, fault);
        if (r != OK) return r;
        for (size_t i = 0; i < count; i++) {
            if (!accounts_own_journal(ids[i])) continue;
            struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 2 * ENGINE_VALUE_MAX_BYTES);
            struct identity_account row;
            char text[ID_TEXT_LEN + 1];
            id_text(ids[i], text);
            v->journals++;
            v->about = text;
            result known = identity_find_account(s->identity, ids[i], command_deadline(), arena, &row, NULL);
            if (known == OK) v->about = arena_cstr(arena, row.address);
            else if (known == NOT_FOUND) v->journals_without_account++;
            struct verify_account va = {.verify = v, .id = ids[i]};
            loop_run_on(accounts_home(s->accounts, ids[i]), "store verify", verify_at_home, &va);
            r = flush_problems(v);
            if (r != OK) return r;
            command_progress(v->call, "accounts", v->journals, 0);
        }
        if (count) after = ids[count - 1];
    }
    return OK;
}

static MAY_YIELD result verify_address(void *argument, view key, view json)
{
    struct verify *v = argument;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 4 * ENGINE_VALUE_MAX_BYTES);
    struct identity_address address;
    struct identity_account row;
    struct fault fault = {0};
    v->about = arena_cstr(arena, key);
    result r = row_read_address(key, json, arena, &address, &fault);
    if (r == OK && address.kind == ADDRESS_ACCOUNT)
        r = identity_find_account(v->call->service->identity, address.account, command_deadline(), arena, &row, &fault);
    if (r != OK) note_problem(v, view_of(fault.detail));
    return flush_problems(v);
}

static MAY_YIELD result verify_all(struct verify *v, struct fault *fault)
{
    result r = engine_verify(v->call->service->engine, note_problem, v, fault);
    if (r == OK) r = flush_problems(v);
    if (r == OK) r = verify_journals(v, fault);
    if (r == OK) r = directory_list(v->call->service->identity, DIRECTORY_ADDRESSES, VIEW_EMPTY, verify_address, v, MILLIS_NEVER, fault);
    if (r != OK) return r;
    return command_row(v->call, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "accounts", (json_int_t)v->journals, "unreached_accounts",
                                          (json_int_t)v->journals_without_account, "messages", (json_int_t)v->messages, "objects", (json_int_t)v->objects,
                                          "garbage_objects", (json_int_t)v->garbage, "problems", (json_int_t)v->problems));
}

result command_store_verify(struct command_call *call, struct fault *fault)
{
    struct verify v = {.call = call, .about = "store", .noted = json_array()};
    result r = verify_all(&v, fault);
    json_decref(v.noted);
    if (r == OK && v.problems) r = fail(fault, CORRUPT, "%llu problems", (unsigned long long)v.problems);
    return r;
}

/* The engine may tell its progress from a worker: a coroutine beside it passes it on. */
struct backup {
    struct command_call *call;
    atomic_uint_fast64_t done, all;
    bool has_ended;
};

static void note_progress(void *argument, uint64_t done_bytes, uint64_t all_bytes)
{
    struct backup *b = argument;
    atomic_store(&b->done, done_bytes);
    atomic_store(&b->all, all_bytes);
}

static MAY_YIELD void pass_progress_on(void *argument)
{
    enum { EVERY_MS = 200 };
    struct backup *b = argument;
    while (!b->has_ended && coroutine_sleep(EVERY_MS) == OK)
        if (!b->has_ended && atomic_load(&b->all)) command_progress(b->call, "bytes", atomic_load(&b->done), atomic_load(&b->all));
}

result command_store_backup(struct command_call *call, struct fault *fault)
{
    struct backup b = {.call = call};
    struct scope scope;
    scope_init(&scope, NULL);
    coroutine_spawn(&scope, "backup progress", pass_progress_on, &b);
    result r = engine_backup(call->service->engine, arena_cstr(call->arena, command_text(call, "folder")), note_progress, &b, fault);
    b.has_ended = true;
    scope_done(&scope);
    return r;
}

result command_server_status(struct command_call *call, struct fault *fault)
{
    struct loop_turn longest = loops_longest_turn(call->service->loops);
    return command_row(call, json_pack("{s:I, s:I, s:I, s:I, s:I}", "pid", (json_int_t)getpid(), "loops", (json_int_t)loops_count(call->service->loops), "sessions",
                                       (json_int_t)metric_value(METRIC_CONNECTIONS), "longest_turn_us", (json_int_t)longest.wall_us, "longest_turn_cpu_us",
                                       (json_int_t)longest.cpu_us));
}

/* A row now and each so many seconds, as long as somebody listens. What goes on is told as what came since the row before. */
struct top { int64_t purged, reclaimed, archived; };

static MAY_YIELD json_t *top_row(struct command_call *call, struct top *before)
{
    struct loop_turn longest = loops_longest_turn(call->service->loops);
    struct top now = {metric_value(METRIC_PURGED_BYTES), metric_value(METRIC_RECLAIMED_BYTES), metric_value(METRIC_ARCHIVED_MESSAGES)};
    json_t *row = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "time", (json_int_t)clock_wall().ms, "sessions", (json_int_t)metric_value(METRIC_CONNECTIONS), "accounts",
                            (json_int_t)accounts_in_memory(call->service->accounts), "longest_turn_us", (json_int_t)longest.wall_us, "store",
                            (json_int_t)metric_value(METRIC_STORE_UNDER_WAY), "slow", (json_int_t)metric_value(METRIC_STORE_SLOW), "purged",
                            (json_int_t)(now.purged - before->purged), "reclaimed", (json_int_t)(now.reclaimed - before->reclaimed));
    json_object_set_new(row, "archived", json_integer((json_int_t)(now.archived - before->archived)));
    if (call->service->queue) json_object_set_new(row, "queue", json_integer((json_int_t)queue_messages_here(call->service->queue)));
    *before = now;
    return row;
}

result command_server_top(struct command_call *call, struct fault *fault)
{
    struct top before = {metric_value(METRIC_PURGED_BYTES), metric_value(METRIC_RECLAIMED_BYTES), metric_value(METRIC_ARCHIVED_MESSAGES)};
    uint64_t seconds = command_number(call, "interval"), rows = command_number(call, "rows");
    result code = OK;
    if (seconds == 0) seconds = 1;
    if (seconds > 3600) return fail(fault, INVALID, "interval: expected at most 3600 seconds");
    for (uint64_t i = 1; code == OK; i++) {
        code = command_row(call, top_row(call, &before));
        if (i == rows) break;
        if (code == OK) code = coroutine_sleep((int64_t)seconds * 1000);
    }
    return code;
}
