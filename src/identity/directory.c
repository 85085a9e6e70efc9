/*
 * directory: tenants, domains and aliases; accounts are in directory_account.c.
 *
 * A thing and what refers to it may stand in different shards, so they change one after the other: what is referred to
 * first when adding, last when removing. A crash between the two leaves a row that nothing reaches, never a dangling one.
 */
#include "identity/directory.h"

#include "identity/address_key.h"
#include "identity/directory_private.h"
#include "identity/dkim_keys.h"
#include "identity/identity_private.h"

result directory_put(struct identity *i, view table, view key, const json_t *row, enum directory_condition condition, millis deadline, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ENGINE_VALUE_MAX_BYTES);
    struct table_change change = {
        .key = key,
        .what = row ? TABLE_PUT : TABLE_REMOVE,
        .value = row ? row_text(row, arena) : VIEW_EMPTY,
        .condition = condition == DIRECTORY_IF_ABSENT ? TABLE_IF_ABSENT : condition == DIRECTORY_IF_PRESENT ? TABLE_IF_PRESENT : TABLE_IF_ANY,
    };
    result r = table_batch(i->engine, table, table_shard_of(i->engine, table, key), &change, 1, deadline, NULL, fault);
    identity_changed(i);
    if (r != CONFLICT) return r;
    r = condition == DIRECTORY_IF_ABSENT ? EXISTS : NOT_FOUND;
    fail(fault, r, VIEW_FMT " " VIEW_FMT " %s", VIEW_ARG(table), VIEW_ARG(key), r == EXISTS ? "exists already" : "does not exist");
    return r;
}

result directory_replace(struct identity *i, view table, view key, const json_t *row, view read_text, millis deadline, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ENGINE_VALUE_MAX_BYTES);
    struct table_change change = {.key = key, .what = TABLE_PUT, .value = row_text(row, arena), .condition = TABLE_IF_VALUE, .expected = read_text};
    result r = table_batch(i->engine, table, table_shard_of(i->engine, table, key), &change, 1, deadline, NULL, fault);
    identity_changed(i);
    return r;
}

result directory_read(struct identity *i, view table, view key, millis deadline, struct arena *arena, json_t **ret_row,
                      view *ret_text, struct fault *fault)
{
    view json;
    result r = identity_row_fresh(i, table, key, deadline, arena, &json, fault);
    if (r == OK && ret_text) *ret_text = json;
    if (r == NOT_FOUND) return fail(fault, NOT_FOUND, VIEW_FMT " " VIEW_FMT " does not exist", VIEW_ARG(table), VIEW_ARG(key));
    if (r != OK) return r;
    return row_parse(table, key, json, ret_row, fault);
}

result directory_list(struct identity *i, view table, view prefix, directory_row_fn *row, void *argument, millis deadline, struct fault *fault)
{
    enum { PAGE = 200 };
    for (uint32_t shard = 0; shard < table_shards(i->engine, table); shard++) {
        buf after CLEANUP(buf_done) = BUF_INIT;
        for (size_t count = PAGE; count == PAGE;) {
            struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, (size_t)PAGE * (ENGINE_VALUE_MAX_BYTES + ENGINE_KEY_MAX_BYTES));
            struct table_row *rows;
            result r = table_scan(i->engine, table, shard, prefix, buf_view(&after), PAGE, deadline, arena, &rows, &count, fault);
            for (size_t at = 0; r == OK && at < count; at++) r = row(argument, rows[at].key, rows[at].value);
            if (r != OK) return r;
            if (count) {
                buf_clear(&after);
                buf_append(&after, rows[count - 1].key);
            }
        }
    }
    return OK;
}

/* ---- tenants ---- */

result directory_check_name(view name, const char *what, struct fault *fault)
{
    bool good = name.len > 0 && name.len <= DIRECTORY_NAME_BYTES_MAX;
    for (size_t at = 0; good && at < name.len; at++) {
        char c = name.at[at];
        good = (c >= 'a' && c <= 'z') || ascii_is_digit(c) || c == '-' || c == '_' || c == '.';
    }
    if (good) return OK;
    return fail(fault, INVALID, "%s \"" VIEW_FMT "\": expected 1 to %d of a-z 0-9 . - _", what, VIEW_ARG(name), DIRECTORY_NAME_BYTES_MAX);
}

result directory_add_tenant(struct identity *i, view name, millis deadline, struct fault *fault)
{
    result r = directory_check_name(name, "tenant", fault);
    if (r != OK) return r;
    json_t *row CLEANUP(json_done) = row_new();
    return directory_put(i, DIRECTORY_TENANTS, name, row, DIRECTORY_IF_ABSENT, deadline, fault);
}

result directory_prepare(struct identity *i, millis deadline, struct fault *fault)
{
    result r = directory_add_tenant(i, VIEW(DIRECTORY_DEFAULT_TENANT), deadline, fault);
    return r == EXISTS ? OK : r;
}

result directory_find_tenant(struct identity *i, view name, millis deadline, struct arena *arena, struct directory_tenant *ret_tenant, struct fault *fault)
{
    json_t *row CLEANUP(json_done) = NULL;
    result r = directory_read(i, DIRECTORY_TENANTS, name, deadline, arena, &row, NULL, fault);
    if (r != OK) return r;
    *ret_tenant = (struct directory_tenant){arena_keep(arena, name), {json_integer_value(json_object_get(row, "created"))},
                                            !view_equal(row_string(row, "scram", arena), VIEW("off")), TENANT_FEEDBACK_OFF, row_number(row, "archive_after", 0)};
    for (unsigned f = 0; f < TENANT_FEEDBACKS; f++)
        if (view_equal(row_string(row, "feedback", arena), view_of(tenant_feedback_name((enum tenant_feedback)f)))) ret_tenant->feedback = (enum tenant_feedback)f;
    return OK;
}

const char *tenant_feedback_name(enum tenant_feedback f)
{
    static const char *const names[TENANT_FEEDBACKS] = {"off", "header", "message"};
    return names[f];
}

result directory_set_tenant(struct identity *i, view name, const struct directory_tenant_change *change, millis deadline, struct fault *fault)
{
    for (unsigned tries = 0; tries < DIRECTORY_TRIES; tries++) {
        struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 4 * ENGINE_VALUE_MAX_BYTES);
        json_t *row CLEANUP(json_done) = NULL;
        view text;
        result r = directory_read(i, DIRECTORY_TENANTS, name, deadline, arena, &row, &text, fault);
        if (r != OK) return r;
        if (change->sets_scram) row_set_string(row, "scram", change->has_scram ? VIEW("on") : VIEW("off"));
        if (change->sets_feedback) row_set_string(row, "feedback", view_of(tenant_feedback_name(change->feedback)));
        if (change->sets_archive_after) row_set_number(row, "archive_after", (uint64_t)change->archive_after_ms);
        r = directory_replace(i, DIRECTORY_TENANTS, name, row, text, deadline, fault);
        if (r != CONFLICT) return r;
    }
    return fail(fault, BUSY, "others change tenant " VIEW_FMT " at this moment", VIEW_ARG(name));
}

struct reference_search {
    const char *key;               /* the JSON key that refers, or NULL: the row's own key's domain */
    view wanted;
};

static result find_reference(void *argument, view key, view json)
{
    struct reference_search *search = argument;
    if (!search->key) return view_equal(address_key_domain(key), search->wanted) ? BUSY : OK;
    json_t *row CLEANUP(json_done) = NULL;
    if (row_parse(VIEW("reference"), key, json, &row, NULL) != OK) return OK;
    const char *value = json_string_value(json_object_get(row, search->key));
    return value && view_equal(view_of(value), search->wanted) ? BUSY : OK;
}

result directory_remove_tenant(struct identity *i, view name, millis deadline, struct fault *fault)
{
    struct reference_search search = {"tenant", name};
    if (view_equal(name, VIEW(DIRECTORY_DEFAULT_TENANT))) return fail(fault, DENIED, "the tenant " DIRECTORY_DEFAULT_TENANT " stays");
    result r = directory_list(i, DIRECTORY_DOMAINS, VIEW_EMPTY, find_reference, &search, deadline, fault);
    if (r == BUSY) return fail(fault, BUSY, "tenant " VIEW_FMT " still has domains: remove them first", VIEW_ARG(name));
    if (r != OK) return r;
    return directory_put(i, DIRECTORY_TENANTS, name, NULL, DIRECTORY_IF_PRESENT, deadline, fault);
}

/* ---- domains ---- */

static result make_domain_key(view name, struct arena *arena, view *ret_key, struct fault *fault)
{
    if (domain_key(name, arena, ret_key) == OK) return OK;
    return fail(fault, INVALID, "domain \"" VIEW_FMT "\": expected a domain name such as example.jp", VIEW_ARG(name));
}

result directory_add_domain(struct identity *i, view name, view tenant, millis deadline, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 4 * ENGINE_VALUE_MAX_BYTES);
    json_t *row CLEANUP(json_done) = row_new();
    struct directory_tenant owner;
    view key;
    result r = make_domain_key(name, arena, &key, fault);
    if (r == OK) r = directory_find_tenant(i, tenant, deadline, arena, &owner, fault);
    if (r != OK) return r;
    row_set_string(row, "tenant", tenant);
    return directory_put(i, DIRECTORY_DOMAINS, key, row, DIRECTORY_IF_ABSENT, deadline, fault);
}

result directory_find_domain(struct identity *i, view name, millis deadline, struct arena *arena, struct directory_domain *ret_domain, struct fault *fault)
{
    json_t *row CLEANUP(json_done) = NULL;
    view key;
    result r = make_domain_key(name, arena, &key, fault);
    if (r == OK) r = directory_read(i, DIRECTORY_DOMAINS, key, deadline, arena, &row, NULL, fault);
    if (r != OK) return r;
    *ret_domain = (struct directory_domain){key, row_string(row, "tenant", arena), row_string(row, "catch_all", arena),
                                            {json_integer_value(json_object_get(row, "created"))}};
    return OK;
}

static MAY_YIELD result put_catch_all(struct identity *i, view key, view catch_all, millis deadline, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 2 * ENGINE_VALUE_MAX_BYTES);
    json_t *row CLEANUP(json_done) = NULL;
    view text;
    result r = directory_read(i, DIRECTORY_DOMAINS, key, deadline, arena, &row, &text, fault);
    if (r != OK) return r;
    if (catch_all.len) row_set_string(row, "catch_all", catch_all);
    else json_object_del(row, "catch_all");
    return directory_replace(i, DIRECTORY_DOMAINS, key, row, text, deadline, fault);
}

result directory_set_domain(struct identity *i, view name, view catch_all, millis deadline, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 4 * ENGINE_VALUE_MAX_BYTES);
    view key, target;
    result r = make_domain_key(name, arena, &key, fault);
    if (r == OK && catch_all.len && address_key(catch_all, arena, &target) != OK)
        r = fail(fault, INVALID, "catch-all \"" VIEW_FMT "\": expected an address", VIEW_ARG(catch_all));
    if (r != OK) return r;
    for (unsigned tries = 0; tries < DIRECTORY_TRIES; tries++) {
        r = put_catch_all(i, key, catch_all, deadline, fault);
        if (r != CONFLICT) return r;
    }
    return fail(fault, BUSY, "others change domain " VIEW_FMT " at this moment", VIEW_ARG(key));
}

result directory_remove_domain(struct identity *i, view name, millis deadline, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ENGINE_VALUE_MAX_BYTES);
    view key;
    result r = make_domain_key(name, arena, &key, fault);
    if (r != OK) return r;
    struct reference_search search = {NULL, key};
    r = directory_list(i, DIRECTORY_ADDRESSES, VIEW_EMPTY, find_reference, &search, deadline, fault);
    if (r == BUSY) return fail(fault, BUSY, "domain " VIEW_FMT " still has addresses: remove them first", VIEW_ARG(key));
    if (r == OK) r = directory_remove_dkim(i, key, VIEW_EMPTY, deadline, fault);
    if (r != OK && r != NOT_FOUND) return r;
    return directory_put(i, DIRECTORY_DOMAINS, key, NULL, DIRECTORY_IF_PRESENT, deadline, fault);
}

/* ---- aliases ---- */

result directory_address_key(struct identity *i, view address, bool needs_domain, millis deadline, struct arena *arena, view *ret_key, view *ret_tenant,
                             struct fault *fault)
{
    struct directory_domain domain;
    if (address_key(address, arena, ret_key) != OK)
        return fail(fault, INVALID, "address \"" VIEW_FMT "\": expected local@domain", VIEW_ARG(address));
    if (!needs_domain) return OK;
    result r = directory_find_domain(i, address_key_domain(*ret_key), deadline, arena, &domain, fault);
    if (r == OK && ret_tenant) *ret_tenant = domain.tenant;
    return r;
}

result directory_add_alias(struct identity *i, view address, const view *targets, size_t count, bool replaces, millis deadline, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 4 * ENGINE_VALUE_MAX_BYTES);
    json_t *row CLEANUP(json_done) = NULL;
    view key, target;
    result r = directory_address_key(i, address, true, deadline, arena, &key, NULL, fault);
    if (r != OK) return r;
    if (count == 0 || count > IDENTITY_ALIAS_TARGETS_MAX)
        return fail(fault, INVALID, "alias " VIEW_FMT ": expected 1 to %d targets", VIEW_ARG(key), IDENTITY_ALIAS_TARGETS_MAX);
    if (replaces) {
        r = directory_read(i, DIRECTORY_ADDRESSES, key, deadline, arena, &row, NULL, fault);
        if (r != OK) return r;
        if (!json_object_get(row, "targets")) return fail(fault, EXISTS, VIEW_FMT " is an account's address, not an alias", VIEW_ARG(key));
    } else {
        row = row_new();
    }
    json_t *list = json_array();
    json_object_set_new(row, "targets", list);
    for (size_t at = 0; at < count; at++) {
        if (address_key(targets[at], arena, &target) != OK)
            return fail(fault, INVALID, "target \"" VIEW_FMT "\": expected local@domain", VIEW_ARG(targets[at]));
        json_array_append_new(list, json_stringn(target.at, target.len));
    }
    return directory_put(i, DIRECTORY_ADDRESSES, key, row, replaces ? DIRECTORY_IF_PRESENT : DIRECTORY_IF_ABSENT, deadline, fault);
}

result directory_find_alias(struct identity *i, view address, millis deadline, struct arena *arena, struct directory_alias *ret_alias, struct fault *fault)
{
    struct identity_address found;
    view key, json;
    result r = directory_address_key(i, address, false, deadline, arena, &key, NULL, fault);
    if (r == OK) r = identity_row_fresh(i, DIRECTORY_ADDRESSES, key, deadline, arena, &json, fault);
    if (r == OK) r = row_read_address(key, json, arena, &found, fault);
    if (r == OK && found.kind != ADDRESS_ALIAS) r = NOT_FOUND;
    if (r == NOT_FOUND) return fail(fault, NOT_FOUND, "alias " VIEW_FMT " does not exist", VIEW_ARG(address));
    if (r == OK) *ret_alias = (struct directory_alias){key, found.targets, found.target_count};
    return r;
}

result directory_remove_alias(struct identity *i, view address, millis deadline, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 4 * ENGINE_VALUE_MAX_BYTES);
    struct directory_alias alias;
    result r = directory_find_alias(i, address, deadline, arena, &alias, fault);
    if (r != OK) return r;
    return directory_put(i, DIRECTORY_ADDRESSES, alias.address, NULL, DIRECTORY_IF_PRESENT, deadline, fault);
}
