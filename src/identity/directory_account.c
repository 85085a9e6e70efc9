/*
 * directory_account: adding, changing and removing accounts.
 */
#include <openssl/crypto.h>

#include "base/utf8.h"
#include "identity/credential.h"
#include "identity/directory_private.h"
#include "identity/identity_private.h"
#include "identity/scram_keys.h"
#include "runtime/random.h"
#include "runtime/workers.h"

struct hash_job {
    view password;
    struct arena *arena;
    bool makes_keys;
    view stored, keys;
    result code;
    struct fault *fault;
};

BLOCKS static void run_hash_job(void *argument)
{
    struct hash_job *job = argument;
    struct scram_keys keys;
    buf text CLEANUP(buf_done) = BUF_INIT;
    job->code = credential_make(job->password, job->arena, &job->stored, job->fault);
    /* A password that SASLprep forbids is one all the same; by SCRAM nobody can log in with it. */
    if (job->code != OK || !job->makes_keys || scram_keys_make(job->password, &keys, NULL) != OK) return;
    scram_keys_append(&text, &keys);
    job->keys = arena_keep(job->arena, buf_view(&text));
}

static MAY_YIELD result set_password(json_t *row, view password, bool makes_keys, struct arena *arena, struct fault *fault)
{
    if (password.len == 0) return fail(fault, INVALID, "an empty password: expected at least one character");
    if (credential_has_scheme(password)) {
        struct scram_keys keys;
        if (view_starts_nocase(password, SCRAM_SCHEME) && !scram_keys_parse(password, &keys))
            return fail(fault, INVALID, "{SCRAM-SHA-256}: expected iterations:salt$StoredKey:ServerKey, at least %d iterations", SCRAM_ITERATIONS_MIN);
        row_set_string(row, "password", password);
        row_set_scram(row, VIEW_EMPTY);
        return OK;
    }
    if (password.len > 2 && password.at[0] == '{' && view_has_byte(password, '}'))
        return fail(fault, INVALID, "password scheme: expected {PLAIN}, {CRYPT}, {ARGON2ID} or {SCRAM-SHA-256}");
    struct hash_job job = {.password = password, .arena = arena, .makes_keys = makes_keys, .fault = fault};
    /* A bulk load hashes faster than the pool: it waits for its turn rather than fail. */
    result r = worker_run_by(WORKER_SLOW, run_hash_job, &job, MILLIS_NEVER);
    if (r == OK) r = job.code;
    if (r != OK) return r;
    row_set_string(row, "password", job.stored);
    row_set_scram(row, job.keys);
    return OK;
}

static MAY_YIELD result change_row(struct identity *i, json_t *row, const struct directory_account_change *change, millis deadline, struct arena *arena, struct fault *fault)
{
    if (change->sets_display_name) {
        if (change->display_name.len > DIRECTORY_DISPLAY_NAME_BYTES_MAX || !utf8_is_valid(change->display_name))
            return fail(fault, INVALID, "display name: expected UTF-8 of at most %d bytes", DIRECTORY_DISPLAY_NAME_BYTES_MAX);
        row_set_string(row, "name", change->display_name);
    }
    if (change->sets_quota) {
        if (change->quota_bytes > INT64_MAX) return fail(fault, INVALID, "quota: expected less than 8 exbibytes");
        row_set_number(row, "quota", change->quota_bytes);
    }
    if (change->sets_quota_messages) {
        if (change->quota_messages > UINT32_MAX) return fail(fault, INVALID, "quota of messages: expected at most %u", UINT32_MAX);
        row_set_number(row, "quota_messages", change->quota_messages);
    }
    if (change->sets_archive_after && change->archive_after_ms < 0) json_object_del(row, "archive_after");
    else if (change->sets_archive_after) row_set_number(row, "archive_after", (uint64_t)change->archive_after_ms);
    if (change->sets_standing) row_set_string(row, "standing", change->standing == STANDING_SUSPENDED ? VIEW("suspended") : VIEW("active"));
    if (change->sets_sending) row_set_string(row, "sending", change->sending);
    if (!change->sets_password) return OK;
    return set_password(row, change->password, identity_tenant_has_scram(i, row_string(row, "tenant", arena), deadline, arena), arena, fault);
}

static MAY_YIELD result put_account(struct identity *i, view address, const json_t *account_row, struct id account, millis deadline, struct fault *fault)
{
    char text[ID_TEXT_LEN + 1];
    view id = id_text(account, text);
    result r = directory_put(i, DIRECTORY_ACCOUNTS, id, account_row, DIRECTORY_IF_ABSENT, deadline, fault);
    if (r != OK) return r;
    json_t *address_row CLEANUP(json_done) = row_new();
    row_set_string(address_row, "account", id);
    r = directory_put(i, DIRECTORY_ADDRESSES, address, address_row, DIRECTORY_IF_ABSENT, deadline, fault);
    if (r == EXISTS) {
        result undone = directory_put(i, DIRECTORY_ACCOUNTS, id, NULL, DIRECTORY_IF_PRESENT, deadline, NULL);
        (void)undone;      /* a row that nothing reaches is harmless */
    }
    return r;
}

result directory_add_account(struct identity *i, view address, const struct directory_account_change *change, millis deadline, struct id *ret_account,
                             struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 4 * ENGINE_VALUE_MAX_BYTES);
    json_t *row CLEANUP(json_done) = row_new();
    view key, tenant, existing;
    result r = directory_address_key(i, address, true, deadline, arena, &key, &tenant, fault);
    if (r == OK && identity_row_fresh(i, DIRECTORY_ADDRESSES, key, deadline, arena, &existing, NULL) == OK)
        r = fail(fault, EXISTS, "address " VIEW_FMT " exists already", VIEW_ARG(key));
    if (r == OK) row_set_string(row, "tenant", tenant);
    if (r == OK) r = change_row(i, row, change, deadline, arena, fault);
    if (r != OK) return r;
    row_set_string(row, "address", key);
    struct id account = random_id();
    r = put_account(i, key, row, account, deadline, fault);
    if (r == OK) *ret_account = account;
    return r;
}

static MAY_YIELD result read_by_address(struct identity *i, view address, millis deadline, struct arena *arena, view *ret_key, struct id *ret_account,
                                        json_t **ret_row, view *ret_text, struct fault *fault)
{
    struct identity_address found;
    view json;
    char text[ID_TEXT_LEN + 1];
    result r = directory_address_key(i, address, false, deadline, arena, ret_key, NULL, fault);
    if (r == OK) r = identity_row_fresh(i, DIRECTORY_ADDRESSES, *ret_key, deadline, arena, &json, fault);
    if (r == OK) r = row_read_address(*ret_key, json, arena, &found, fault);
    if (r == OK && found.kind != ADDRESS_ACCOUNT) r = NOT_FOUND;
    if (r == NOT_FOUND) return fail(fault, NOT_FOUND, "account " VIEW_FMT " does not exist", VIEW_ARG(address));
    if (r == OK) r = directory_read(i, DIRECTORY_ACCOUNTS, id_text(found.account, text), deadline, arena, ret_row, ret_text, fault);
    if (r == OK) *ret_account = found.account;
    return r;
}

static MAY_YIELD result try_change(struct identity *i, view address, const struct directory_account_change *change, millis deadline, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 4 * ENGINE_VALUE_MAX_BYTES);
    json_t *row CLEANUP(json_done) = NULL;
    struct id account;
    char text[ID_TEXT_LEN + 1];
    view key, read_text;
    result r = read_by_address(i, address, deadline, arena, &key, &account, &row, &read_text, fault);
    if (r == OK) r = change_row(i, row, change, deadline, arena, fault);
    if (r == OK) r = directory_replace(i, DIRECTORY_ACCOUNTS, id_text(account, text), row, read_text, deadline, fault);
    return r;
}

/* What two change at the same time is changed by both: a quota that one sets and a password that the other sets do not undo each other. */
result directory_set_account(struct identity *i, view address, const struct directory_account_change *change, millis deadline, struct fault *fault)
{
    for (unsigned tries = 0; tries < DIRECTORY_TRIES; tries++) {
        result r = try_change(i, address, change, deadline, fault);
        if (r != CONFLICT) return r;
    }
    return fail(fault, BUSY, "others change account " VIEW_FMT " at this moment", VIEW_ARG(address));
}

result directory_remove_account(struct identity *i, view address, millis deadline, struct id *ret_account, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 4 * ENGINE_VALUE_MAX_BYTES);
    json_t *row CLEANUP(json_done) = NULL;
    struct id account;
    char text[ID_TEXT_LEN + 1];
    view key;
    result r = read_by_address(i, address, deadline, arena, &key, &account, &row, NULL, fault);
    if (r == OK) r = directory_put(i, DIRECTORY_ADDRESSES, key, NULL, DIRECTORY_IF_PRESENT, deadline, fault);
    if (r == OK) r = directory_put(i, DIRECTORY_ACCOUNTS, id_text(account, text), NULL, DIRECTORY_IF_PRESENT, deadline, fault);
    if (r == OK) *ret_account = account;
    return r;
}
