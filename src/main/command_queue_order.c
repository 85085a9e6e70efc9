/* command_queue_order: what operators do with what waits. */
#include "flow/outbound.h"
#include "formats/mail_address.h"
#include "main/queue_words.h"

static MAY_YIELD result order(struct command_call *call, enum queue_order what, view target, struct fault *fault)
{
    struct queue_filter f;
    uint64_t count = 0;
    result code = queue_words_read(call, &f, fault);
    if (code != OK) return code;
    if (queue_filter_is_empty(&f) && !command_has(call, "all"))
        return fail(fault, INVALID, "which messages? Give a message's id, an option that selects some, or --all");
    code = queue_order(call->service->queue, &f, what, target, command_deadline(), &count, fault);
    return code == OK ? command_row(call, json_pack("{s:I}", "messages", (json_int_t)count)) : code;
}

result command_queue_hold(struct command_call *call, struct fault *fault) { return order(call, QUEUE_HOLD, VIEW_EMPTY, fault); }
result command_queue_release(struct command_call *call, struct fault *fault) { return order(call, QUEUE_RELEASE, VIEW_EMPTY, fault); }
result command_queue_retry(struct command_call *call, struct fault *fault) { return order(call, QUEUE_RETRY, VIEW_EMPTY, fault); }
result command_queue_expire(struct command_call *call, struct fault *fault) { return order(call, QUEUE_EXPIRE, VIEW_EMPTY, fault); }
result command_queue_remove(struct command_call *call, struct fault *fault) { return order(call, QUEUE_REMOVE, VIEW_EMPTY, fault); }

/* A bad target must not get into journals: there it would fail mail and not this command. */
static result check_target(view target, struct arena *arena, struct fault *fault)
{
    struct route_table *table;
    size_t at = view_find_last(target, '@');
    if (target.len > QUEUE_NAME_BYTES_MAX - 3) return fail(fault, INVALID, "the target is too long");
    if (at == VIEW_NONE && view_has_byte(target, ' ')) return fail(fault, INVALID, "expected one target");
    if (at == VIEW_NONE) return route_table_parse(arena_printf(arena, "*=" VIEW_FMT, VIEW_ARG(target)), arena, &table, fault);
    view path = arena_printf(arena, "<" VIEW_FMT ">", VIEW_ARG(target));
    struct cursor c = cursor_of(path);
    struct smtp_path parsed;
    if (take_smtp_path(&c, SMTP_FORWARD_PATH, arena, &parsed) && cursor_at_end(&c)) return OK;
    return fail(fault, INVALID, "\"" VIEW_FMT "\" is no address", VIEW_ARG(target));
}

result command_queue_redirect(struct command_call *call, struct fault *fault)
{
    view target = command_text(call, "to");
    result code = check_target(target, call->arena, fault);
    return code == OK ? order(call, QUEUE_REDIRECT, target, fault) : code;
}
