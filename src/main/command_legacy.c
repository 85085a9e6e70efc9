/* command_legacy: users who still send without a password. */
#include "flow/legacy.h"
#include "identity/directory.h"
#include "identity/row.h"
#include "main/command.h"

struct lister { struct command_call *call; };

static MAY_YIELD result show_row(void *argument, view key, view json)
{
    struct lister *l = argument;
    json_t *row;
    if (row_parse(LEGACY_TABLE, key, json, &row, NULL) != OK) return OK;
    json_object_set_new(row, "key", json_stringn(key.at, key.len));
    return command_row(l->call, row);
}

result command_legacy_list(struct command_call *call, struct fault *fault)
{
    struct lister l = {call};
    return directory_list(call->service->identity, LEGACY_TABLE, VIEW_EMPTY, show_row, &l, MILLIS_NEVER, fault);
}

result command_legacy_forget(struct command_call *call, struct fault *fault)
{
    return legacy_forget(call->service->engine, command_text(call, "key"), command_deadline(), fault);
}
