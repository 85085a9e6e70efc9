/* command_queue: what waits to be sent, and what operators do with it. */
#include "flow/outbound.h"
#include "main/command.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"

enum { TAKE_OVER_MS = 10000, LOOK_MS = 20 };

static json_t *text_json(view v) { return json_stringn(v.len ? v.at : "", v.len); }

static json_t *id_json(struct id id)
{
    char text[ID_TEXT_LEN + 1];
    if (id_is_none(id)) return json_string("");
    return text_json(id_text(id, text));
}

/* Without a server nobody owns the shards: we do, without sending, until the command ends. */
static MAY_YIELD bool borrow(struct command_call *call)
{
    struct queue_summary summary = {0};
    millis deadline = clock_in(TAKE_OVER_MS);
    if (call->service->is_server) return false;
    queue_start(call->service->queue, NULL);
    while (summary.shards < QUEUE_SHARDS && millis_before(clock_now(), deadline)) {
        queue_summarise(call->service->queue, &summary);
        if (coroutine_sleep(LOOK_MS) != OK) break;
    }
    return true;
}

static MAY_YIELD void give_back(struct command_call *call, bool is_borrowed)
{
    if (is_borrowed) queue_stop(call->service->queue, clock_in(TAKE_OVER_MS));
}

static result read_filter(struct command_call *call, struct queue_filter *ret_filter, struct fault *fault)
{
    struct queue_filter f = {.sender = command_text(call, "sender"), .recipient = command_text(call, "recipient"), .domain = command_text(call, "domain")};
    view message = command_text(call, "message");
    if (message.len && !id_parse(message, &f.message)) return fail(fault, INVALID, "not a message's id: " VIEW_FMT, VIEW_ARG(message));
    *ret_filter = f;
    return OK;
}

static MAY_YIELD result find_account(struct command_call *call, struct queue_filter *f, struct fault *fault)
{
    struct identity_account account;
    view address = command_text(call, "account");
    if (!address.len) return OK;
    result code = identity_find_account_by_address(call->service->identity, address, command_deadline(), call->arena, &account, fault);
    if (code == OK) f->account = account.id;
    return code;
}

struct lister { struct command_call *call; result code; };

static MAY_YIELD bool show_line(void *argument, const struct queue_line *line)
{
    struct lister *l = argument;
    json_t *row = json_pack("{s:o, s:o, s:o, s:I, s:I, s:I, s:i, s:s, s:o}", "message", id_json(line->message), "sender", text_json(line->sender.len ? line->sender : VIEW("<>")),
                            "recipient", text_json(line->recipient), "bytes", (json_int_t)line->bytes, "received", (json_int_t)line->received.ms, "next_try",
                            (json_int_t)line->next_try.ms, "tries", (int)line->tries, "state", line->is_held ? "held" : line->tries ? "deferred" : "waiting", "answer",
                            text_json(line->answer));
    l->code = command_row(l->call, row);
    return l->code == OK;
}

result command_queue_list(struct command_call *call, struct fault *fault)
{
    struct queue_filter f;
    struct lister l = {.call = call};
    result code = read_filter(call, &f, fault);
    if (code == OK) code = find_account(call, &f, fault);
    if (code != OK) return code;
    bool is_borrowed = borrow(call);
    code = queue_list(call->service->queue, &f, show_line, &l);
    give_back(call, is_borrowed);
    return code == OK ? l.code : code;
}

result command_queue_summary(struct command_call *call, struct fault *fault)
{
    struct queue_summary s;
    bool is_borrowed = borrow(call);
    queue_summarise(call->service->queue, &s);
    give_back(call, is_borrowed);
    return command_row(call, json_pack("{s:I, s:I, s:I, s:I, s:i, s:I}", "messages", (json_int_t)s.messages, "recipients", (json_int_t)s.recipients, "bytes", (json_int_t)s.bytes,
                                       "held", (json_int_t)s.held, "shards", (int)s.shards, "oldest", (json_int_t)s.oldest.ms));
}

static void show_destination(void *argument, const struct outbound_line *line)
{
    json_t *rows = argument;
    json_array_append_new(rows, json_pack("{s:o, s:I, s:i, s:i, s:I, s:o}", "domain", text_json(line->domain), "waiting", (json_int_t)line->waiting, "connections",
                                          (int)line->connections, "limit", (int)line->connections_max, "rests", (json_int_t)(line->rests_ms / 1000), "reason",
                                          text_json(line->reason)));
}

result command_queue_destinations(struct command_call *call, struct fault *fault)
{
    json_t *rows = json_array(), *row;
    size_t i;
    result code = OK;
    if (call->service->outbound) outbound_list(call->service->outbound, show_destination, rows);
    for (i = 0; code == OK && i < json_array_size(rows); i++) {
        row = json_incref(json_array_get(rows, i));
        code = command_row(call, row);
    }
    json_decref(rows);
    return code;
}

static MAY_YIELD result order(struct command_call *call, enum queue_order what, struct fault *fault)
{
    struct queue_filter f;
    uint64_t count = 0;
    result code = read_filter(call, &f, fault);
    if (code == OK) code = find_account(call, &f, fault);
    if (code != OK) return code;
    bool has_filter = f.sender.len || f.recipient.len || f.domain.len || !id_is_none(f.message) || !id_is_none(f.account);
    if (!has_filter && !command_has(call, "all")) return fail(fault, INVALID, "which messages? Give a message's id, an option that selects some, or --all");
    bool is_borrowed = borrow(call);
    code = queue_order(call->service->queue, &f, what, command_deadline(), &count, fault);
    give_back(call, is_borrowed);
    return code == OK ? command_row(call, json_pack("{s:I}", "messages", (json_int_t)count)) : code;
}

result command_queue_hold(struct command_call *call, struct fault *fault) { return order(call, QUEUE_HOLD, fault); }
result command_queue_release(struct command_call *call, struct fault *fault) { return order(call, QUEUE_RELEASE, fault); }
result command_queue_retry(struct command_call *call, struct fault *fault) { return order(call, QUEUE_RETRY, fault); }
result command_queue_expire(struct command_call *call, struct fault *fault) { return order(call, QUEUE_EXPIRE, fault); }
result command_queue_remove(struct command_call *call, struct fault *fault) { return order(call, QUEUE_REMOVE, fault); }
