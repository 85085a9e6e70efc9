#include "main/queue_words.h"

#include "flow/forward.h"
#include "identity/address_key.h"
#include "identity/directory.h"
#include "runtime/clock.h"

json_t *queue_words_text(view v) { return command_json_text(v); }

json_t *queue_words_id(struct id id)
{
    char text[ID_TEXT_LEN + 1];
    return id_is_none(id) ? json_string("") : queue_words_text(id_text(id, text));
}

/* "90s", "30m", "4h", "5d": so long ago. */
static result read_age(struct command_call *call, const char *key, unix_ms *ret_at, struct fault *fault)
{
    static const struct { char suffix; int64_t ms; } units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};
    view text = command_text(call, key);
    uint64_t number;
    if (!text.len) return OK;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (text.at[text.len - 1] != units[i].suffix || !view_to_u64(view_slice(text, 0, text.len - 1), &number) || number > 100000) continue;
        *ret_at = (unix_ms){clock_wall().ms - (int64_t)number * units[i].ms};
        return OK;
    }
    return fail(fault, INVALID, "\"" VIEW_FMT "\": expected an age such as 90s, 30m, 4h or 5d", VIEW_ARG(text));
}

/* Mail that an alias has sent on is its own. */
static MAY_YIELD result find_alias(struct command_call *call, view address, result otherwise, struct queue_filter *f, struct fault *fault)
{
    struct directory_alias alias;
    struct fault ignored = {0};
    view key;
    if (address_key(address, call->arena, &key) != OK) return otherwise;
    result code = directory_find_alias(call->service->identity, key, command_deadline(), call->arena, &alias, &ignored);
    if (code != OK) return otherwise;
    *fault = (struct fault){0};
    f->account = forward_account(key);
    return OK;
}

static MAY_YIELD result find_account(struct command_call *call, struct queue_filter *f, struct fault *fault)
{
    struct identity_account account;
    view address = command_text(call, "account");
    if (!address.len || id_parse(address, &f->account)) return OK;
    result code = identity_find_account_by_address(call->service->identity, address, command_deadline(), call->arena, &account, fault);
    if (code == OK) f->account = account.id;
    return code == OK ? OK : find_alias(call, address, code, f, fault);
}

result queue_words_read(struct command_call *call, struct queue_filter *ret_filter, struct fault *fault)
{
    struct queue_filter f = {.sender = command_text(call, "sender"), .recipient = command_text(call, "recipient"), .domain = command_text(call, "domain"),
                             .tenant = command_text(call, "tenant"), .answer = command_text(call, "answer")};
    view message = command_text(call, "message");
    if (message.len && !id_parse(message, &f.message)) return fail(fault, INVALID, "not a message's id: " VIEW_FMT, VIEW_ARG(message));
    result code = read_age(call, "older", &f.before, fault);
    if (code == OK) code = read_age(call, "newer", &f.after, fault);
    if (code == OK) code = find_account(call, &f, fault);
    if (code == OK) *ret_filter = f;
    return code;
}
