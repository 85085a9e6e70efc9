/*
 * authenticate: is this password right, and whose account is it.
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/buf.h"
#include "identity/credential.h"
#include "identity/identity_private.h"
#include "identity/row.h"
#include "runtime/event.h"
#include "runtime/workers.h"

struct password_job {
    view stored, password;
    bool exists;
    result code;
};

/* A wrong password takes at least the time that an unknown user takes, whatever the scheme: of old ones some are quick. */
BLOCKS static void run_password_job(void *argument)
{
    struct password_job *job = argument;
    job->code = job->exists ? credential_matches(job->stored, job->password) : DENIED;
    if (job->code != OK && !view_starts_nocase(job->stored, VIEW("{ARGON2ID}"))) credential_waste_time(job->password);
}

/* Remembering a login under a digest that holds nobody's password, and that a new password makes useless. */
static void login_digest(const struct identity *i, view key, view stored, view password, unsigned char digest[static 32])
{
    buf text CLEANUP(buf_done) = BUF_INIT;
    unsigned length = 32;
    buf_append_varint(&text, key.len);
    buf_append(&text, key);
    buf_append_varint(&text, stored.len);
    buf_append(&text, stored);
    buf_append(&text, password);
    check(HMAC(EVP_sha256(), i->login_key, sizeof i->login_key, (const unsigned char *)text.at, text.len, digest, &length) != NULL);
    OPENSSL_cleanse(text.at, text.len);
}

static MAY_YIELD result check_password(struct identity *i, view key, view stored, view password, bool exists, bool *ret_was_known)
{
    unsigned char digest[32];
    struct row_cache *cache = i->caches[loop_index(loop_self())];
    uint64_t generation = atomic_load(&i->generation);
    if (exists) {
        login_digest(i, key, stored, password, digest);
        *ret_was_known = row_cache_knows_login(cache, generation, digest);
        if (*ret_was_known) return OK;
    }
    struct password_job job = {stored, password, exists, DENIED};
    /* A clear credential costs nothing to compare: no trip to a worker when it is right. */
    if (exists && view_starts_nocase(stored, VIEW("{PLAIN}"))) {
        colour_pretend_worker();
        if (credential_matches(stored, password) == OK) return OK;
    }
    result r = worker_run(WORKER_SLOW, run_password_job, &job);
    if (r != OK) return r;
    if (job.code == OK) row_cache_put_login(cache, generation, digest);
    return job.code;
}

static MAY_YIELD result find_login(struct identity *i, view user, millis deadline, struct arena *arena, struct identity_account *ret_account,
                                   view *ret_credential, view *ret_json, struct fault *fault)
{
    struct identity_address address;
    view json;
    result r = identity_find_address(i, user, deadline, arena, &address, fault);
    if (r == INVALID || r == DENIED) return NOT_FOUND;
    if (r != OK) return r;
    if (address.kind != ADDRESS_ACCOUNT) return NOT_FOUND;
    char text[ID_TEXT_LEN + 1];
    view key = id_text(address.account, text);
    r = identity_row(i, DIRECTORY_ACCOUNTS, key, deadline, arena, &json, fault);
    if (r != OK) return r;
    r = row_read_account(key, json, arena, ret_account, ret_credential, fault);
    if (r == OK) *ret_json = json;
    return r;
}

result identity_find_scram(struct identity *i, view user, millis deadline, struct arena *arena, struct identity_account *ret_account, view *ret_password,
                           view *ret_keys, struct fault *fault)
{
    json_t *row CLEANUP(json_done) = NULL;
    view json;
    result r = find_login(i, user, deadline, arena, ret_account, ret_password, &json, fault);
    if (r == OK) r = row_parse(DIRECTORY_ACCOUNTS, ret_account->address, json, &row, fault);
    if (r == OK) *ret_keys = row_scram(row, arena);
    return r;
}

result identity_judge(const struct login *login, const struct identity_account *account, bool holds, struct fault *fault)
{
    char peer[ADDRESS_TEXT_MAX];
    view from = login->peer ? address_text(login->peer, peer) : VIEW_EMPTY;
    if (!holds) {
        EVENT_EMIT(LOGIN_FAILED, EVENT_TEXT("protocol", view_of(login->protocol)), EVENT_TEXT("user", login->user), EVENT_TEXT("peer", from));
        return fail(fault, DENIED, "wrong user or password");
    }
    if (account->standing == STANDING_SUSPENDED) {
        EVENT_EMIT(LOGIN_REFUSED, EVENT_TEXT("protocol", view_of(login->protocol)), EVENT_ID("account", account->id), EVENT_TEXT("peer", from));
        fail(fault, DENIED, "account is suspended");
        return fault_tell(fault, "This account is suspended; ask your provider");
    }
    EVENT_EMIT(LOGIN_SUCCEEDED, EVENT_TEXT("protocol", view_of(login->protocol)), EVENT_ID("account", account->id), EVENT_TEXT("user", account->address),
               EVENT_TEXT("peer", from), EVENT_NUMBER("encrypted", login->is_encrypted));
    return OK;
}

result identity_authenticate(struct identity *i, const struct login *login, millis deadline, struct arena *arena,
                             struct identity_account *ret_account, struct fault *fault)
{
    struct identity_account account = {0};
    view credential = VIEW_EMPTY, json;
    if (login->password.len > IDENTITY_PASSWORD_BYTES_MAX) return fail(fault, DENIED, "password too long");
    result r = find_login(i, login->user, deadline, arena, &account, &credential, &json, fault);
    if (r != OK && r != NOT_FOUND) return r;
    bool exists = r == OK && credential.len > 0;
    char text[ID_TEXT_LEN + 1];
    bool was_known = false;
    r = check_password(i, id_text(account.id, text), credential, login->password, exists, &was_known);
    if (r == OK && login->authorization.len && !view_equal_nocase(login->authorization, login->user)) r = DENIED;
    if (r != OK && r != DENIED) return fail(fault, r == BUSY ? UNAVAILABLE : r, "password check: %s", result_name(r));
    r = identity_judge(login, &account, r == OK, fault);
    if (r != OK) return r;
    if (!was_known) identity_capture_scram(i, &account, credential, login->password, arena);
    *ret_account = account;
    return OK;
}
