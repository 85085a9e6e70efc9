/* command_directory: tenants, domains and aliases. */
#include "identity/directory.h"
#include "main/command.h"

#include "identity/row.h"
#include "runtime/coroutine.h"

static json_t *text_json(view v)
{
    return json_stringn(v.len ? v.at : "", v.len);
}

/* Passes each row on, with its key under `name`. */
struct lister {
    struct command_call *call;
    const char *name;
    bool wants_aliases;
};

static MAY_YIELD result list_row(void *argument, view key, view json)
{
    struct lister *l = argument;
    json_t *row;
    if (row_parse(view_of(l->name), key, json, &row, NULL) != OK) return OK;
    if (l->wants_aliases && !json_object_get(row, "targets")) {
        json_decref(row);
        return OK;
    }
    json_object_set_new(row, l->name, text_json(key));
    if (view_equal(view_of(l->name), VIEW("tenant"))) json_object_set_new(row, "archive_after", command_archive_after_json(row_number(row, "archive_after", 0)));
    return command_row(l->call, row);
}

static MAY_YIELD result list(struct command_call *call, view table, const char *name, bool wants_aliases, struct fault *fault)
{
    struct lister l = {call, name, wants_aliases};
    return directory_list(call->service->identity, table, VIEW_EMPTY, list_row, &l, MILLIS_NEVER, fault);
}

result command_tenant_add(struct command_call *call, struct fault *fault)
{
    return directory_add_tenant(call->service->identity, command_text(call, "tenant"), command_deadline(), fault);
}

result command_tenant_show(struct command_call *call, struct fault *fault)
{
    struct directory_tenant tenant;
    result r = directory_find_tenant(call->service->identity, command_text(call, "tenant"), command_deadline(), call->arena, &tenant, fault);
    if (r != OK) return r;
    return command_row(call, json_pack("{s:o, s:o, s:I, s:s, s:s}", "tenant", text_json(tenant.name), "archive_after",
                                       command_archive_after_json(tenant.archive_after_ms), "created", (json_int_t)tenant.created.ms, "scram", tenant.has_scram ? "on" : "off",
                                       "feedback", tenant_feedback_name(tenant.feedback)));
}

static result read_tenant_change(struct command_call *call, struct directory_tenant_change *change, struct fault *fault)
{
    view scram = command_text(call, "scram"), feedback = command_text(call, "feedback");
    *change = (struct directory_tenant_change){.sets_scram = command_has(call, "scram"), .has_scram = view_equal(scram, VIEW("on"))};
    if (change->sets_scram && !change->has_scram && !view_equal(scram, VIEW("off"))) return fail(fault, INVALID, "--scram: expected on or off");
    for (unsigned f = 0; f < TENANT_FEEDBACKS; f++) {
        if (!view_equal(feedback, view_of(tenant_feedback_name((enum tenant_feedback)f)))) continue;
        change->sets_feedback = true;
        change->feedback = (enum tenant_feedback)f;
    }
    if (command_has(call, "feedback") && !change->sets_feedback) return fail(fault, INVALID, "--feedback: expected off, header or message");
    change->sets_archive_after = command_has(call, "archive_after");
    if (change->sets_archive_after) {
        result r = command_archive_after(call, &change->archive_after_ms, fault);
        if (r != OK) return r;
        if (change->archive_after_ms < 0) return fail(fault, INVALID, "--archive-after of a tenant: expected an age, or never");
    }
    if (!change->sets_scram && !change->sets_feedback && !change->sets_archive_after)
        return fail(fault, INVALID, "nothing to set: expected --scram, --feedback or --archive-after");
    return OK;
}

result command_tenant_set(struct command_call *call, struct fault *fault)
{
    struct directory_tenant_change change;
    result r = read_tenant_change(call, &change, fault);
    return r == OK ? directory_set_tenant(call->service->identity, command_text(call, "tenant"), &change, command_deadline(), fault) : r;
}

result command_tenant_list(struct command_call *call, struct fault *fault)
{
    return list(call, DIRECTORY_TENANTS, "tenant", false, fault);
}

result command_tenant_remove(struct command_call *call, struct fault *fault)
{
    return directory_remove_tenant(call->service->identity, command_text(call, "tenant"), command_deadline(), fault);
}

result command_domain_add(struct command_call *call, struct fault *fault)
{
    view tenant = command_has(call, "tenant") ? command_text(call, "tenant") : VIEW(DIRECTORY_DEFAULT_TENANT);
    result r = directory_add_domain(call->service->identity, command_text(call, "domain"), tenant, command_deadline(), fault);
    if (r == OK && command_has(call, "catch_all"))
        r = directory_set_domain(call->service->identity, command_text(call, "domain"), command_text(call, "catch_all"), command_deadline(), fault);
    return r;
}

result command_domain_show(struct command_call *call, struct fault *fault)
{
    struct directory_domain d;
    result r = directory_find_domain(call->service->identity, command_text(call, "domain"), command_deadline(), call->arena, &d, fault);
    if (r != OK) return r;
    return command_row(call, json_pack("{s:o, s:o, s:o, s:I}", "domain", text_json(d.name), "tenant", text_json(d.tenant), "catch_all",
                                       text_json(d.catch_all), "created", (json_int_t)d.created.ms));
}

result command_domain_list(struct command_call *call, struct fault *fault)
{
    return list(call, DIRECTORY_DOMAINS, "domain", false, fault);
}

result command_domain_set(struct command_call *call, struct fault *fault)
{
    if (!command_has(call, "catch_all")) return fail(fault, INVALID, "nothing to set: expected --catch-all");
    return directory_set_domain(call->service->identity, command_text(call, "domain"), command_text(call, "catch_all"), command_deadline(), fault);
}

result command_domain_remove(struct command_call *call, struct fault *fault)
{
    return directory_remove_domain(call->service->identity, command_text(call, "domain"), command_deadline(), fault);
}

static MAY_YIELD result put_alias(struct command_call *call, bool replaces, struct fault *fault)
{
    const json_t *targets = json_object_get(call->request, "targets");
    size_t count = json_array_size(targets);
    if (count > IDENTITY_ALIAS_TARGETS_MAX) return fail(fault, TOO_BIG, "expected at most %d targets", IDENTITY_ALIAS_TARGETS_MAX);
    view *views = arena_array(call->arena, view, count);
    for (size_t i = 0; i < count; i++) views[i] = view_of(json_string_value(json_array_get(targets, i)));
    return directory_add_alias(call->service->identity, command_text(call, "alias"), views, count, replaces, command_deadline(), fault);
}

result command_alias_add(struct command_call *call, struct fault *fault)
{
    return put_alias(call, false, fault);
}

result command_alias_set(struct command_call *call, struct fault *fault)
{
    return put_alias(call, true, fault);
}

result command_alias_show(struct command_call *call, struct fault *fault)
{
    struct directory_alias alias;
    result r = directory_find_alias(call->service->identity, command_text(call, "alias"), command_deadline(), call->arena, &alias, fault);
    if (r != OK) return r;
    json_t *targets = json_array();
    for (size_t i = 0; i < alias.target_count; i++) json_array_append_new(targets, text_json(alias.targets[i]));
    return command_row(call, json_pack("{s:o, s:o}", "alias", text_json(alias.address), "targets", targets));
}

result command_alias_list(struct command_call *call, struct fault *fault)
{
    return list(call, DIRECTORY_ADDRESSES, "alias", true, fault);
}

result command_alias_remove(struct command_call *call, struct fault *fault)
{
    return directory_remove_alias(call->service->identity, command_text(call, "alias"), command_deadline(), fault);
}
