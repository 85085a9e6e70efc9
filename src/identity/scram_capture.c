/*
 * SCRAM keys of accounts whose passwords came as hashes of another system: a password is there in the clear only while somebody logs in with it.
 *
 * It happens once in an account's life, at a log-in that had to hash anyway. Two nodes that see a password at the same time write the row once: it
 * is replaced only as it was read, and only while the hash that the password was found right for still stands in it.
 */
#include "base/check.h"
#include "identity/directory_private.h"
#include "identity/identity_private.h"
#include "identity/scram_keys.h"
#include "runtime/clock.h"
#include "runtime/event.h"
#include "runtime/workers.h"

enum { CAPTURE_MS = 2000 };              /* the client waits */

struct keys_job { view password; struct scram_keys keys; result code; };

BLOCKS static void make_keys(void *argument)
{
    struct keys_job *job = argument;
    job->code = scram_keys_make(job->password, &job->keys, NULL);
}

bool identity_tenant_has_scram(struct identity *i, view tenant, millis deadline, struct arena *arena)
{
    json_t *row CLEANUP(json_done) = NULL;
    view json;
    if (identity_row(i, DIRECTORY_TENANTS, tenant, deadline, arena, &json, NULL) != OK) return false;
    if (row_parse(DIRECTORY_TENANTS, tenant, json, &row, NULL) != OK) return false;
    return !view_equal(row_string(row, "scram", arena), VIEW("off"));
}

/* Past the caches; false: somebody was faster, the password is another one now, or the row cannot be read. */
MAY_YIELD static bool read_row(struct identity *i, view key, view stored, millis deadline, struct arena *arena, json_t **ret_row, view *ret_text)
{
    if (directory_read(i, DIRECTORY_ACCOUNTS, key, deadline, arena, ret_row, ret_text, NULL) != OK) return false;
    return row_scram(*ret_row, arena).len == 0 && view_equal(row_string(*ret_row, "password", arena), stored);
}

void identity_capture_scram(struct identity *i, const struct identity_account *account, view stored, view password, struct arena *arena)
{
    char id[ID_TEXT_LEN + 1];
    view key = id_text(account->id, id), json, text;
    millis deadline = clock_in(CAPTURE_MS);
    json_t *row CLEANUP(json_done) = NULL, *cached CLEANUP(json_done) = NULL;
    buf keys CLEANUP(buf_done) = BUF_INIT;
    if (view_starts_nocase(stored, VIEW("{PLAIN}")) || view_starts_nocase(stored, SCRAM_SCHEME)) return;
    /* What the caches know is enough for nearly all. */
    if (identity_row(i, DIRECTORY_ACCOUNTS, key, deadline, arena, &json, NULL) != OK || row_parse(DIRECTORY_ACCOUNTS, key, json, &cached, NULL) != OK) return;
    if (row_scram(cached, arena).len || !identity_tenant_has_scram(i, account->tenant, deadline, arena)) return;
    struct keys_job job = {.password = password};
    if (!read_row(i, key, stored, deadline, arena, &row, &text)) return;
    if (worker_run(WORKER_SLOW, make_keys, &job) != OK || job.code != OK) return;
    scram_keys_append(&keys, &job.keys);
    row_set_scram(row, buf_view(&keys));
    /* Not by directory_replace(): the caches of the whole process would be emptied, and nothing that they know has become wrong. */
    struct table_change change = {.key = key, .what = TABLE_PUT, .value = row_text(row, arena), .condition = TABLE_IF_VALUE, .expected = text};
    if (table_batch(i->engine, DIRECTORY_ACCOUNTS, table_shard_of(i->engine, DIRECTORY_ACCOUNTS, key), &change, 1, deadline, NULL, NULL) != OK) return;
    EVENT_EMIT(SCRAM_CAPTURED, EVENT_ID("account", account->id));
}
