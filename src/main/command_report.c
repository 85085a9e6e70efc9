/* command_report: what others report about mail of ours, and whom we tell what our users say of theirs. */
#include "base/check.h"
#include "flow/complaints.h"
#include "flow/feedback.h"
#include "identity/row.h"
#include "main/command.h"

static json_t *kept(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    return value ? json_incref(value) : json_null();
}

static const json_t *newest(const json_t *row) { return json_array_get(json_object_get(row, "recent"), 0); }

static MAY_YIELD result show_account(void *argument, view key, view json)
{
    struct command_call *call = argument;
    json_t *row CLEANUP(json_done) = NULL;
    if (row_parse(COMPLAINT_TABLE, key, json, &row, NULL) != OK) return OK;
    const json_t *last = newest(row);
    return command_row(call, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "address", kept(row, "account"), "messages", kept(row, "messages"), "reports", kept(row, "reports"),
                                       "last", kept(row, "last"), "type", kept(last, "type"), "reporter", kept(last, "reporter")));
}

result command_report_list(struct command_call *call, struct fault *fault)
{
    return directory_list(call->service->identity, COMPLAINT_TABLE, VIEW_EMPTY, show_account, call, MILLIS_NEVER, fault);
}

static MAY_YIELD result find_account(struct command_call *call, struct id *ret_account, struct fault *fault)
{
    struct identity_account account;
    result r = identity_find_account_by_address(call->service->identity, command_text(call, "address"), command_deadline(), call->arena, &account, fault);
    if (r == OK) *ret_account = account.id;
    return r;
}

static MAY_YIELD result show_messages(void *argument, view key, view json)
{
    struct command_call *call = argument;
    json_t *row CLEANUP(json_done) = NULL;
    size_t i;
    json_t *one;
    result r = row_parse(COMPLAINT_TABLE, key, json, &row, NULL);
    if (r != OK) return OK;
    json_array_foreach(json_object_get(row, "recent"), i, one) {
        if (r != OK) break;
        r = command_row(call, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "message", kept(one, "message"), "first", kept(one, "first"), "last", kept(one, "last"), "type",
                                        kept(one, "type"), "reporter", kept(one, "reporter"), "reports", kept(one, "reports")));
    }
    return r;
}

result command_report_show(struct command_call *call, struct fault *fault)
{
    struct id account;
    char text[ID_TEXT_LEN + 1];
    result r = find_account(call, &account, fault);
    if (r != OK) return r;
    return directory_list(call->service->identity, COMPLAINT_TABLE, id_text(account, text), show_messages, call, MILLIS_NEVER, fault);
}

result command_report_forget(struct command_call *call, struct fault *fault)
{
    struct id account;
    result r = find_account(call, &account, fault);
    return r == OK ? complaints_forget(call->service->engine, account, command_deadline(), fault) : r;
}

/* ---- feedback loops ---- */

result command_feedback_add(struct command_call *call, struct fault *fault)
{
    return feedback_add_loop(call->service->engine, command_text(call, "domain"), command_text(call, "to"), command_deadline(), fault);
}

result command_feedback_remove(struct command_call *call, struct fault *fault)
{
    return feedback_remove_loop(call->service->engine, command_text(call, "domain"), command_deadline(), fault);
}

static MAY_YIELD result show_loop(void *argument, view key, view json)
{
    struct command_call *call = argument;
    json_t *row CLEANUP(json_done) = NULL;
    if (row_parse(FEEDBACK_LOOPS, key, json, &row, NULL) != OK) return OK;
    return command_row(call, json_pack("{s:o, s:o, s:o}", "domain", json_stringn(key.at, key.len), "to", kept(row, "address"), "created", kept(row, "created")));
}

result command_feedback_list(struct command_call *call, struct fault *fault)
{
    return directory_list(call->service->identity, FEEDBACK_LOOPS, VIEW_EMPTY, show_loop, call, MILLIS_NEVER, fault);
}
