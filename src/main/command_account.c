/* command_account: accounts of the directory, and what is to be known and done about their mailboxes. */
#include <string.h>

#include "base/check.h"
#include "flow/complaints.h"
#include "identity/directory.h"
#include "identity/row.h"
#include "main/command.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/loop.h"
#include "runtime/workers.h"

static json_t *text_json(view v)
{
    return json_stringn(v.len ? v.at : "", v.len);
}

/* ---- the directory's part ---- */

static result read_change(struct command_call *call, struct directory_account_change *change, struct fault *fault)
{
    *change = (struct directory_account_change){
        .sets_password = command_has(call, "password"),
        .password = command_text(call, "password"),
        .sets_display_name = command_has(call, "name"),
        .display_name = command_text(call, "name"),
        .sets_standing = command_has(call, "suspended") || command_has(call, "active"),
        .standing = command_has(call, "suspended") ? STANDING_SUSPENDED : STANDING_ACTIVE,
        .sets_quota = command_has(call, "quota"),
        .sets_quota_messages = command_has(call, "quota_messages"),
        .quota_messages = command_number(call, "quota_messages"),
    };
    if (command_has(call, "sending")) {
        static const char *const known[] = {"", "good", "new", "suspicious", "bulk"};
        change->sending = command_text(call, "sending");
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) change->sets_sending |= view_equal(change->sending, view_of(known[i]));
        if (!change->sets_sending) return fail(fault, INVALID, "sending: expected good, new, suspicious or bulk, or nothing for what its age makes it");
    }
    if (command_has(call, "archive_after")) {
        result r = command_archive_after(call, &change->archive_after_ms, fault);
        if (r != OK) return r;
        change->sets_archive_after = true;
    }
    if (!change->sets_quota) return OK;
    if (json_is_integer(json_object_get(call->request, "quota"))) {
        change->quota_bytes = command_number(call, "quota");
        return OK;
    }
    if (view_to_size(command_text(call, "quota"), &change->quota_bytes)) return OK;
    return fail(fault, INVALID, "quota: expected a size such as 5G, or 0 for none");
}

result command_account_add(struct command_call *call, struct fault *fault)
{
    struct directory_account_change change;
    struct id account;
    char text[ID_TEXT_LEN + 1];
    result r = read_change(call, &change, fault);
    if (r == OK && !change.sets_password) r = fail(fault, INVALID, "expected a password (--password-stdin)");
    if (r == OK) r = directory_add_account(call->service->identity, command_text(call, "address"), &change, command_deadline(), &account, fault);
    if (r != OK) return r;
    return command_row(call, json_pack("{s:o, s:o}", "address", text_json(command_text(call, "address")), "account", text_json(id_text(account, text))));
}

result command_account_set(struct command_call *call, struct fault *fault)
{
    struct directory_account_change change;
    result r = read_change(call, &change, fault);
    if (r == OK && !change.sets_password && !change.sets_quota && !change.sets_quota_messages && !change.sets_display_name && !change.sets_standing && !change.sets_sending &&
        !change.sets_archive_after)
        r = fail(fault, INVALID, "nothing to set: expected --password-stdin, --quota, --quota-messages, --name, --sending, --archive-after, --suspended or --active");
    if (r == OK) r = directory_set_account(call->service->identity, command_text(call, "address"), &change, command_deadline(), fault);
    return r;
}

result command_account_remove(struct command_call *call, struct fault *fault)
{
    struct id account;
    result r = directory_remove_account(call->service->identity, command_text(call, "address"), command_deadline(), &account, fault);
    if (r == OK) r = accounts_destroy(call->service->accounts, account, command_deadline(), fault);
    return r;
}

static json_t *account_json(const struct identity_account *a)
{
    char text[ID_TEXT_LEN + 1];
    return json_pack("{s:o, s:o, s:o, s:o, s:I, s:I, s:s, s:o, s:I}", "address", text_json(a->address), "account", text_json(id_text(a->id, text)), "tenant",
                     text_json(a->tenant), "name", text_json(a->display_name), "quota", (json_int_t)a->quota_bytes, "quota_messages", (json_int_t)a->quota_messages, "standing",
                     a->standing == STANDING_SUSPENDED ? "suspended" : "active", "sending", text_json(a->sending), "created", (json_int_t)a->created.ms);
}

static MAY_YIELD result list_account(void *argument, view key, view json)
{
    struct command_call *call = argument;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 2 * ENGINE_VALUE_MAX_BYTES);
    struct identity_account account;
    struct fault fault;
    if (row_read_account(key, json, arena, &account, NULL, &fault) != OK)
        return command_row(call, json_pack("{s:o, s:o}", "account", text_json(key), "problem", command_json_text(view_of(fault.detail))));
    view domain = command_text(call, "domain");
    size_t at = view_find_last(account.address, '@');
    if (domain.len && !view_equal_nocase(view_from(account.address, at + 1), domain)) return OK;
    return command_row(call, account_json(&account));
}

result command_account_list(struct command_call *call, struct fault *fault)
{
    return directory_list(call->service->identity, DIRECTORY_ACCOUNTS, VIEW_EMPTY, list_account, call, MILLIS_NEVER, fault);
}

static MAY_YIELD result show_usage(struct command_call *call, struct account *account, struct fault *fault)
{
    struct identity_account row;
    result r = identity_find_account(call->service->identity, account_id(account), command_deadline(), call->arena, &row, fault);
    if (r != OK) return r;
    struct usage usage = state_usage(account_state(account));
    json_t *json = account_json(&row);
    json_object_set_new(json, "messages", json_integer((json_int_t)usage.messages));
    json_object_set_new(json, "bytes", json_integer((json_int_t)usage.bytes));
    json_object_set_new(json, "expunged_messages", json_integer((json_int_t)usage.expunged_messages));
    json_object_set_new(json, "expunged_bytes", json_integer((json_int_t)usage.expunged_bytes));
    struct complaints_of_account complaints;
    r = complaints_find(call->service->engine, account_id(account), command_deadline(), &complaints, fault);
    if (r == OK && complaints.messages) {
        json_object_set_new(json, "complaints", json_integer((json_int_t)complaints.messages));
        json_object_set_new(json, "last_complaint", json_integer((json_int_t)complaints.last.ms));
    }
    const struct archive_list *archive = state_archive(account_state(account));
    json_object_set_new(json, "archive_after", command_archive_after_json(row.archive_after_ms));
    json_object_set_new(json, "archived_messages", json_integer((json_int_t)(archive->packed_messages + archive->alone_messages)));
    json_object_set_new(json, "archived_bytes", json_integer((json_int_t)(archive->packed_bytes + archive->alone_bytes)));
    unix_ms written;
    view node;
    if (account_origin(account, &written, &node)) {
        json_object_set_new(json, "compacted", json_integer((json_int_t)written.ms));
        json_object_set_new(json, "compacted_by", json_stringn(node.len ? node.at : "", node.len));
    }
    return command_row(call, json);
}

result command_account_show(struct command_call *call, struct fault *fault)
{
    return command_at_home(call, command_text(call, "address"), show_usage, fault);
}

/* ---- bulk loading ---- */

enum { LOAD_AT_ONCE = 64, LOAD_LINE_BYTES_MAX = 64 * 1024 };

struct load {
    struct command_call *call;
    FILE *file;
    char *line;
    size_t line_capacity;
    uint64_t number, added, failed, bytes, all_bytes;
    bool at_end;
    bool sets_existing;
    struct mutex reading;
};

BLOCKS static void read_line_job(void *argument)
{
    struct load *l = argument;
    ssize_t length = getline(&l->line, &l->line_capacity, l->file);
    if (length < 0) {
        l->at_end = true;
        return;
    }
    l->number++;
    l->bytes += (uint64_t)length;
}

static MAY_YIELD result load_line(struct load *l, const char *line, struct fault *fault)
{
    json_error_t error;
    if (strlen(line) > LOAD_LINE_BYTES_MAX) return fail(fault, TOO_BIG, "expected at most %d bytes", LOAD_LINE_BYTES_MAX);
    json_t *object CLEANUP(json_done) = json_loads(line, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(object)) return fail(fault, INVALID, "expected a JSON object: %s", error.text);
    struct command_call one = {.service = l->call->service, .request = object, .arena = l->call->arena};
    struct directory_account_change change;
    struct id account;
    result r = read_change(&one, &change, fault);
    if (r == OK && view_equal(command_text(&one, "standing"), VIEW("suspended"))) {
        change.sets_standing = true;
        change.standing = STANDING_SUSPENDED;
    }
    if (r == OK && !change.sets_password) r = fail(fault, INVALID, "expected \"password\"");
    if (r == OK) r = directory_add_account(l->call->service->identity, command_text(&one, "address"), &change, command_deadline(), &account, fault);
    if (r == EXISTS && l->sets_existing) r = directory_set_account(l->call->service->identity, command_text(&one, "address"), &change, command_deadline(), fault);
    return r;
}

static MAY_YIELD void tell_failed_line(struct load *l, uint64_t number, const struct fault *fault)
{
    result ignored = command_row(l->call, json_pack("{s:I, s:o}", "line", (json_int_t)number, "problem", command_json_text(view_of(fault->detail))));
    (void)ignored;
    l->failed++;
}

/* One of several loaders that share the file: each takes the next line, so that adding is done many at a time. */
static MAY_YIELD void load_some(void *argument)
{
    struct load *l = argument;
    while (!l->at_end) {
        struct fault fault = {0};
        if (mutex_lock(&l->reading, MILLIS_NEVER) != OK) return;
        result r = l->at_end ? END : worker_run(WORKER_READ, read_line_job, l);
        uint64_t number = l->number;
        char *line = r == OK && !l->at_end ? strdup(l->line) : NULL;
        mutex_unlock(&l->reading);
        if (!line) continue;
        bool is_blank = view_trim(view_of(line)).len == 0;
        r = is_blank ? OK : load_line(l, line, &fault);
        free(line);
        if (r != OK) tell_failed_line(l, number, &fault);
        else if (!is_blank) l->added++;
        command_progress(l->call, "bytes", l->bytes, l->all_bytes);
    }
}

static MAY_YIELD result run_load(struct load *l)
{
    struct scope scope;
    scope_init(&scope, NULL);
    mutex_init(&l->reading);
    for (int i = 0; i < LOAD_AT_ONCE; i++) coroutine_spawn(&scope, "account load", load_some, l);
    scope_join(&scope);
    scope_done(&scope);
    return command_row(l->call, json_pack("{s:I, s:I}", "added", (json_int_t)l->added, "failed", (json_int_t)l->failed));
}

result command_account_load(struct command_call *call, struct fault *fault)
{
    struct load l = {.call = call, .sets_existing = command_has(call, "update")};
    const char *path = arena_cstr(call->arena, command_text(call, "file"));
    l.file = fopen(path, "re");
    if (!l.file) return fail(fault, NOT_FOUND, "%s: %m", path);
    if (fseek(l.file, 0, SEEK_END) == 0) l.all_bytes = (uint64_t)ftell(l.file);
    rewind(l.file);
    result r = run_load(&l);
    fclose(l.file);
    free(l.line);
    if (r == OK && l.failed) r = fail(fault, INVALID, "%llu lines were not loaded", (unsigned long long)l.failed);
    return r;
}

/* ---- mailboxes ---- */

static MAY_YIELD result tell_digest(struct command_call *call, struct account *account, struct fault *fault)
{
    unsigned char digest[32];
    result r = account_digest(account, digest, MILLIS_NEVER, fault);
    if (r != OK) return r;
    return command_row(call, json_pack("{s:o, s:o, s:I}", "address", text_json(command_text(call, "address")), "digest",
                                       text_json(command_hex(digest, call->arena)), "sequence",
                                       (json_int_t)state_sequence(account_state(account))));
}

result command_account_digest(struct command_call *call, struct fault *fault)
{
    return command_at_home(call, command_text(call, "address"), tell_digest, fault);
}

enum { ARCHIVE_STEPS_MAX = 10000 };          /* of 64 MiB */

static MAY_YIELD result compact(struct command_call *call, struct account *account, struct fault *fault)
{
    result r = account_compact(account, MILLIS_NEVER, fault);
    for (unsigned i = 0; r == OK && i < ARCHIVE_STEPS_MAX && account_wants_archiving(account); i++) r = account_compact(account, MILLIS_NEVER, fault);
    return r;
}

result command_account_compact(struct command_call *call, struct fault *fault)
{
    return command_at_home(call, command_text(call, "address"), compact, fault);
}

static MAY_YIELD result list_mailboxes(struct command_call *call, struct account *account, struct fault *fault)
{
    struct mailbox_info *infos;
    size_t count = state_list(account_state(account), call->arena, &infos);
    for (size_t i = 0; i < count; i++) {
        const struct mailbox_info *m = &infos[i];
        result r = command_row(call, json_pack("{s:o, s:I, s:I, s:I, s:I, s:I}", "mailbox", text_json(m->name), "messages", (json_int_t)m->exists,
                                               "unseen", (json_int_t)m->unseen, "bytes", (json_int_t)m->size_bytes, "uidvalidity",
                                               (json_int_t)m->uid_validity, "uidnext", (json_int_t)m->uid_next));
        if (r != OK) return r;
    }
    return OK;
}

result command_account_mailboxes(struct command_call *call, struct fault *fault)
{
    return command_at_home(call, command_text(call, "address"), list_mailboxes, fault);
}

enum { EXPUNGED_LISTED_MAX = 10000 };

static MAY_YIELD result list_expunged(struct command_call *call, struct account *account, struct fault *fault)
{
    struct expunged_info *list;
    size_t count;
    result r = account_expunged(account, call->arena, EXPUNGED_LISTED_MAX, &list, &count, MILLIS_NEVER, fault);
    for (size_t i = 0; r == OK && i < count; i++)
        r = command_row(call, json_pack("{s:o, s:I, s:I, s:I, s:I}", "mailbox", text_json(list[i].mailbox_name), "uid", (json_int_t)list[i].row.uid, "bytes",
                                        (json_int_t)list[i].row.size_bytes, "date", (json_int_t)list[i].row.internal_date.ms, "expunged",
                                        (json_int_t)list[i].expunged.ms));
    return r;
}

result command_account_expunged(struct command_call *call, struct fault *fault)
{
    return command_at_home(call, command_text(call, "address"), list_expunged, fault);
}

static MAY_YIELD result restore(struct command_call *call, struct account *account, struct fault *fault)
{
    struct record record = {.kind = RECORD_RESTORE, .restore = {.until = {INT64_MAX}, .into = command_text(call, "into")}};
    struct outcome outcome;
    view mailbox = command_text(call, "mailbox");
    if (command_has(call, "hours")) record.restore.since.ms = clock_wall().ms - (int64_t)command_number(call, "hours") * 3600000;
    if (mailbox.len) {
        struct mailbox *m = state_find(account_state(account), mailbox);
        struct mailbox_info info;
        if (!m) return fail(fault, NOT_FOUND, "mailbox " VIEW_FMT " does not exist", VIEW_ARG(mailbox));
        mailbox_read_info(m, call->arena, &info);
        record.restore.mailbox = info.number;
    }
    uint64_t before = state_usage(account_state(account)).messages;
    result r = account_change(account, &record, call->arena, &outcome, command_deadline(), fault);
    if (r == OK && outcome.code != OK) r = fail(fault, outcome.code, "restore: %s", result_name(outcome.code));
    if (r != OK) return r;
    uint64_t after = state_usage(account_state(account)).messages;
    return command_row(call, json_pack("{s:I}", "restored", (json_int_t)(after > before ? after - before : 0)));
}

result command_account_restore(struct command_call *call, struct fault *fault)
{
    return command_at_home(call, command_text(call, "address"), restore, fault);
}
