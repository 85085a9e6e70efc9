#include "main/control.h"

#include <stdlib.h>

#include "base/check.h"
#include "identity/row.h"
#include "main/command.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/loop.h"
#include "runtime/wire.h"

enum {
    REQUEST_TIMEOUT_MS = 60000,
    ANSWER_TIMEOUT_MS = 60000,          /* a program that does not read its answers is given up */
    CALL_ARENA_BYTES_MAX = 256 << 20,   /* a list of 10,000 expunged messages, names and all */
};

const char *control_path(const char *state_folder, struct arena *arena)
{
    return arena_cstr(arena, arena_printf(arena, "%s/control.sock", state_folder));
}

struct control_session {
    struct service *service;
    struct wire wire;
};

static MAY_YIELD result send_answer(void *argument, json_t *object)
{
    struct control_session *session = argument;
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    check(text != NULL);
    wire_put(&session->wire, view_of(text));
    wire_put(&session->wire, VIEW("\n"));
    free(text);
    return wire_flush(&session->wire, clock_in(ANSWER_TIMEOUT_MS), NULL);
}

static MAY_YIELD void serve_request(struct control_session *session, view line)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, CALL_ARENA_BYTES_MAX);
    json_error_t error;
    json_t *request CLEANUP(json_done) = json_loadb(line.at, line.len, JSON_REJECT_DUPLICATES, &error);
    struct command_call call = {session->service, request, arena, loop_self(), send_answer, session};
    if (json_is_object(request)) {
        command_run(&call);
        return;
    }
    result ignored = send_answer(session, json_pack("{s:{s:s, s:s}}", "error", "result", "invalid", "text", "expected a JSON object"));
    (void)ignored;
}

static MAY_YIELD void run_session(void *argument)
{
    struct control_session *session = argument;
    view line;
    if (wire_line(&session->wire, CONTROL_LINE_BYTES_MAX, clock_in(REQUEST_TIMEOUT_MS), &line, NULL) == OK) serve_request(session, line);
    wire_done(&session->wire);
    free(session);
}

void control_accept(void *service, struct stream *s)
{
    struct control_session *session = calloc(1, sizeof *session);
    check(session != NULL);
    session->service = service;
    wire_init(&session->wire, s, WIRE_LF_ENDS_COMMAND);
    coroutine_spawn(loop_scope(loop_self()), "control", run_session, session);
}

static MAY_YIELD result read_answers(struct wire *w, control_answer_fn *answer, void *argument, struct fault *fault)
{
    for (;;) {
        view line;
        result r = wire_line(w, CONTROL_LINE_BYTES_MAX, MILLIS_NEVER, &line, fault);
        if (r == END) return fail(fault, IO, "the server closed the connection in the middle of the command");
        if (r != OK) return r;
        json_t *object CLEANUP(json_done) = json_loadb(line.at, line.len, JSON_ALLOW_NUL, NULL);
        if (!object) return fail(fault, CORRUPT, "the server's answer is not JSON");
        answer(argument, object);
        if (json_object_get(object, "done") || json_object_get(object, "error")) return OK;
    }
}

result control_request(const char *path, const json_t *request, control_answer_fn *answer, void *argument, struct fault *fault)
{
    struct stream *stream;
    struct wire wire;
    struct fault why = {0};
    result r = stream_connect_path(path, clock_in(REQUEST_TIMEOUT_MS), &stream, &why);
    if (r == NOT_FOUND) return NOT_FOUND;
    if (r != OK) return fail(fault, r, "whether a server runs cannot be known: %s: %s", path, why.detail);
    wire_init(&wire, stream, WIRE_LF_ENDS_COMMAND);
    char *text = json_dumps(request, JSON_COMPACT);
    check(text != NULL);
    wire_put(&wire, view_of(text));
    wire_put(&wire, VIEW("\n"));
    free(text);
    r = wire_flush(&wire, clock_in(REQUEST_TIMEOUT_MS), fault);
    if (r == OK) r = read_answers(&wire, answer, argument, fault);
    wire_done(&wire);
    return r;
}
