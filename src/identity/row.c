#include "identity/row.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/utf8.h"
#include "identity/scram_keys.h"
#include "runtime/clock.h"

void json_done(json_t **object)
{
    json_decref(*object);
    *object = NULL;
}

result row_parse(view table, view key, view json, json_t **ret_object, struct fault *fault)
{
    json_error_t error;
    json_t *object = json_loadb(json.at, json.len, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(object)) {
        json_decref(object);
        return fail(fault, CORRUPT, "table " VIEW_FMT ", row " VIEW_FMT ": %s", VIEW_ARG(table), VIEW_ARG(key),
                    object ? "not an object" : error.text);
    }
    *ret_object = object;
    return OK;
}

view row_text(const json_t *object, struct arena *arena)
{
    char *text = json_dumps(object, JSON_COMPACT);
    check(text != NULL);
    view kept = arena_keep(arena, view_of(text));
    free(text);
    return kept;
}

json_t *row_new(void)
{
    json_t *object = json_object();
    check(object != NULL);
    row_set_number(object, "v", 1);
    row_set_number(object, "created", (uint64_t)clock_wall().ms);
    return object;
}

view row_string(const json_t *object, const char *key, struct arena *arena)
{
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) ? arena_keep(arena, view_make(json_string_value(value), json_string_length(value))) : VIEW_EMPTY;
}

void row_set_string(json_t *object, const char *key, view value)
{
    buf text CLEANUP(buf_done) = BUF_INIT;
    utf8_append_repaired(&text, value);
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] == 0) text.at[i] = '?';
    int failed = json_object_set_new(object, key, json_stringn(text.len ? text.at : "", text.len));
    check(failed == 0);
}

void row_set_number(json_t *object, const char *key, uint64_t value)
{
    int failed = json_object_set_new(object, key, json_integer((json_int_t)value));
    check(failed == 0);
}

int64_t row_number(const json_t *object, const char *key, int64_t absent)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) && json_integer_value(value) >= 0 ? json_integer_value(value) : absent;
}

static uint64_t number_of(const json_t *object, const char *key)
{
    json_int_t number = json_integer_value(json_object_get(object, key));
    return number > 0 ? (uint64_t)number : 0;
}

result row_read_account(view key, view json, struct arena *arena, struct identity_account *ret_account, view *ret_credential, struct fault *fault)
{
    json_t *row CLEANUP(json_done) = NULL;
    result r = row_parse(DIRECTORY_ACCOUNTS, key, json, &row, fault);
    if (r != OK) return r;
    struct identity_account account = {
        .address = row_string(row, "address", arena),
        .tenant = row_string(row, "tenant", arena),
        .display_name = row_string(row, "name", arena),
        .standing = view_equal(row_string(row, "standing", arena), VIEW("suspended")) ? STANDING_SUSPENDED : STANDING_ACTIVE,
        .sending = row_string(row, "sending", arena),
        .quota_bytes = number_of(row, "quota"),
        .quota_messages = number_of(row, "quota_messages"),
        .archive_after_ms = row_number(row, "archive_after", IDENTITY_ARCHIVE_AS_TENANT),
        .created = {(int64_t)number_of(row, "created")},
    };
    if (!id_parse(key, &account.id) || account.address.len == 0)
        return fail(fault, CORRUPT, "table account, row " VIEW_FMT ": no id or no address", VIEW_ARG(key));
    if (ret_credential) *ret_credential = row_string(row, "password", arena);
    *ret_account = account;
    return OK;
}

/* ---- SCRAM ---- */

static void mark_of(const json_t *object, char mark[static 33])
{
    const json_t *password = json_object_get(object, "password");
    unsigned char digest[SHA256_DIGEST_LENGTH];
    view text = json_is_string(password) ? view_make(json_string_value(password), json_string_length(password)) : VIEW_EMPTY;
    SHA256((const unsigned char *)(text.len ? text.at : ""), text.len, digest);
    for (size_t i = 0; i < 16; i++) snprintf(mark + 2 * i, 3, "%02x", digest[i]);
}

void row_set_scram(json_t *object, view keys)
{
    char mark[33];
    json_object_del(object, "scram");
    if (keys.len == 0) return;
    mark_of(object, mark);
    json_t *scram = json_object();
    check(scram != NULL);
    row_set_string(scram, "keys", keys);
    row_set_string(scram, "of", view_of(mark));
    json_object_set_new(object, "scram", scram);
}

view row_scram(const json_t *object, struct arena *arena)
{
    const json_t *scram = json_object_get(object, "scram");
    char mark[33];
    view password = row_string(object, "password", arena);
    if (view_starts_nocase(password, SCRAM_SCHEME)) return password;
    mark_of(object, mark);
    if (!scram || !view_equal(row_string(scram, "of", arena), view_of(mark))) return VIEW_EMPTY;
    return row_string(scram, "keys", arena);
}

static void read_targets(const json_t *row, struct arena *arena, struct identity_address *address)
{
    const json_t *targets = json_object_get(row, "targets");
    size_t count = json_array_size(targets);
    if (count > IDENTITY_ALIAS_TARGETS_MAX) count = IDENTITY_ALIAS_TARGETS_MAX;
    address->kind = ADDRESS_ALIAS;
    address->targets = arena_array(arena, view, count);
    for (size_t i = 0; i < count; i++) {
        const json_t *target = json_array_get(targets, i);
        if (json_is_string(target))
            address->targets[address->target_count++] = arena_keep(arena, view_make(json_string_value(target), json_string_length(target)));
    }
}

result row_read_address(view key, view json, struct arena *arena, struct identity_address *ret_address, struct fault *fault)
{
    json_t *row CLEANUP(json_done) = NULL;
    result r = row_parse(DIRECTORY_ADDRESSES, key, json, &row, fault);
    if (r != OK) return r;
    struct identity_address address = {.kind = ADDRESS_ACCOUNT};
    if (json_object_get(row, "targets")) {
        read_targets(row, arena, &address);
    } else if (!id_parse(row_string(row, "account", arena), &address.account)) {
        return fail(fault, CORRUPT, "table address, row " VIEW_FMT ": neither account nor targets", VIEW_ARG(key));
    }
    *ret_address = address;
    return OK;
}
