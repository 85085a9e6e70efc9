#include "flow/complaints.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "formats/arf.h"
#include "formats/header.h"
#include "formats/mail_address.h"
#include "identity/row.h"
#include "identity/secrets.h"
#include "runtime/clock.h"
#include "runtime/event.h"
#include "trust/complaint_token.h"

enum { TRIES = 20, WORD_BYTES_MAX = 320, REPORTER_BYTES_MAX = 320 };
#define SECRET_NAME VIEW("complaint")

/* Those of one loop: texts of secrets are copied. */
struct kept_secrets {
    millis good_until;
    size_t count;
    char bytes[COMPLAINT_SECRETS_MAX][COMPLAINT_SECRET_BYTES];
};

struct complaints {
    struct engine *engine;
    struct identity *identity;
    char *addresses;
    view words[COMPLAINTS_ADDRESSES_MAX];
    size_t word_count;
    struct kept_secrets secrets[];       /* one to a loop */
};

/* ---- where reports come in ---- */

result complaints_new(struct engine *e, struct identity *identity, struct loops *all, view addresses, struct complaints **ret_complaints, struct fault *fault)
{
    struct complaints *c = calloc(1, sizeof *c + loops_count(all) * sizeof c->secrets[0]);
    check(c);
    c->engine = e;
    c->identity = identity;
    c->addresses = calloc(1, addresses.len + 1);
    check(c->addresses);
    memcpy(c->addresses, addresses.len ? addresses.at : "", addresses.len);
    view rest = view_of(c->addresses), word;
    result code = OK;
    while (code == OK && view_cut(&rest, ' ', &word)) {
        size_t at = view_find_last(word, '@');
        if (word.len == 0) continue;
        if (at == VIEW_NONE || at == 0 || at + 1 == word.len || word.len > WORD_BYTES_MAX)
            code = fail(fault, INVALID, "\"" VIEW_FMT "\": expected an address such as abuse@example.jp, or abuse@* for all domains", VIEW_ARG(word));
        else if (c->word_count == COMPLAINTS_ADDRESSES_MAX) code = fail(fault, INVALID, "more than %d addresses", COMPLAINTS_ADDRESSES_MAX);
        else c->words[c->word_count++] = word;
    }
    if (code == OK) *ret_complaints = c;
    else complaints_free(c);
    return code;
}

void complaints_free(struct complaints *c)
{
    if (!c) return;
    free(c->addresses);
    free(c);
}

static bool takes(const struct complaints *c, const struct smtp_path *path)
{
    if (path->domain_kind != SMTP_DOMAIN_NAME) return false;
    for (size_t i = 0; i < c->word_count; i++) {
        size_t at = view_find_last(c->words[i], '@');
        view domain = view_from(c->words[i], at + 1);
        if (!view_equal_nocase(path->local_part, view_slice(c->words[i], 0, at))) continue;
        if (view_equal(domain, VIEW("*")) || view_equal_nocase(path->domain, domain)) return true;
    }
    return false;
}

/* ---- secrets and tokens ---- */

static void lend(const struct kept_secrets *kept, struct complaint_secrets *ret_secrets)
{
    ret_secrets->count = kept->count;
    for (size_t i = 0; i < kept->count; i++) ret_secrets->list[i] = view_make(kept->bytes[i], COMPLAINT_SECRET_BYTES);
}

/* Lent until the next yield. */
static MAY_YIELD result find_secrets(struct complaints *c, millis deadline, struct complaint_secrets *ret_secrets, struct fault *fault)
{
    struct kept_secrets *kept = &c->secrets[loop_index(loop_self())];
    struct identity_secrets found;
    if (kept->count == 0 || !millis_before(clock_now(), kept->good_until)) {
        struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 4 * ENGINE_VALUE_MAX_BYTES);
        result code = identity_find_secrets(c->identity, SECRET_NAME, deadline, arena, &found, fault);
        if (code != OK) return code;
        kept->count = 0;
        for (size_t i = 0; i < found.count && i < COMPLAINT_SECRETS_MAX; i++)
            if (found.list[i].len >= COMPLAINT_SECRET_BYTES) memcpy(kept->bytes[kept->count++], found.list[i].at, COMPLAINT_SECRET_BYTES);
        kept->good_until = clock_in(COMPLAINTS_SECRETS_KEPT_MS);
    }
    lend(kept, ret_secrets);
    return OK;
}

result complaints_token(struct complaints *c, struct id account, struct id message, millis deadline, buf *into, struct fault *fault)
{
    struct complaint_secrets secrets;
    struct complaint_subject subject = {account, message};
    result code = find_secrets(c, deadline, &secrets, fault);
    return code == OK ? complaint_token_append(&secrets, &subject, into, fault) : code;
}

/* ---- the row of an account ---- */

/* One report, read. */
struct complaint {
    struct complaint_subject subject;
    view address;                        /* of the account */
    view type, reporter;
    char mark[17];                       /* by which a report is known again: it may come twice */
};

static json_t *text_json(view v) { return json_stringn(v.len ? v.at : "", v.len); }

static json_t *array_of(json_t *object, const char *key)
{
    json_t *list = json_object_get(object, key);
    if (json_is_array(list)) return list;
    list = json_array();
    check(list);
    json_object_set_new(object, key, list);
    return list;
}

/* The entry of the message, the first of the list. */
static json_t *entry_of(json_t *row, struct id message, bool *ret_is_new)
{
    char text[ID_TEXT_LEN + 1];
    view id = id_text(message, text);
    json_t *recent = array_of(row, "recent"), *entry = NULL;
    for (size_t i = 0; i < json_array_size(recent) && !entry; i++) {
        json_t *one = json_array_get(recent, i);
        const char *name = json_string_value(json_object_get(one, "message"));
        if (!name || !view_equal(view_of(name), id)) continue;
        entry = json_incref(one);
        json_array_remove(recent, i);
    }
    *ret_is_new = !entry;
    if (!entry) {
        entry = json_pack("{s:o, s:I, s:I}", "message", text_json(id), "first", (json_int_t)clock_wall().ms, "reports", (json_int_t)0);
        check(entry);
    }
    json_array_insert(recent, 0, entry);
    json_decref(entry);
    while (json_array_size(recent) > COMPLAINTS_RECENT_MAX) json_array_remove(recent, json_array_size(recent) - 1);
    return entry;
}

static bool was_seen(const json_t *seen, const char *mark)
{
    for (size_t i = 0; i < json_array_size(seen); i++) {
        const char *one = json_string_value(json_array_get(seen, i));
        if (one && strcmp(one, mark) == 0) return true;
    }
    return false;
}

static void raise_number(json_t *object, const char *key) { row_set_number(object, key, (uint64_t)json_integer_value(json_object_get(object, key)) + 1); }

/* False: it was there already. */
static bool note(json_t *row, const struct complaint *c)
{
    bool is_new;
    json_t *entry = entry_of(row, c->subject.message, &is_new), *seen = array_of(entry, "seen");
    if (was_seen(seen, c->mark)) return false;
    if (is_new) raise_number(row, "messages");
    raise_number(row, "reports");
    raise_number(entry, "reports");
    row_set_number(entry, "last", (uint64_t)clock_wall().ms);
    row_set_string(entry, "type", c->type);
    row_set_string(entry, "reporter", c->reporter);
    json_array_append_new(seen, json_string(c->mark));
    while (json_array_size(seen) > COMPLAINTS_SEEN_MAX) json_array_remove(seen, 0);
    row_set_number(row, "last", (uint64_t)clock_wall().ms);
    row_set_string(row, "account", c->address);
    return true;
}

MAY_YIELD static result change(struct engine *e, const struct table_change *wanted, millis deadline, struct fault *fault)
{
    return table_batch(e, COMPLAINT_TABLE, table_shard_of(e, COMPLAINT_TABLE, wanted->key), wanted, 1, deadline, NULL, fault);
}

/* EXISTS: this report was noted before. */
MAY_YIELD static result try_note(struct engine *e, const struct complaint *c, millis deadline, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 4 * ENGINE_VALUE_MAX_BYTES);
    char text[ID_TEXT_LEN + 1];
    json_t *row CLEANUP(json_done) = NULL;
    view key = id_text(c->subject.account, text), before = VIEW_EMPTY;
    result code = table_get(e, COMPLAINT_TABLE, table_shard_of(e, COMPLAINT_TABLE, key), key, deadline, arena, &before, fault);
    if (code != OK && code != NOT_FOUND) return code;
    if (code == NOT_FOUND || row_parse(COMPLAINT_TABLE, key, before, &row, NULL) != OK) row = row_new();
    if (!note(row, c)) return EXISTS;
    view json = row_text(row, arena);
    struct table_change put = {.key = key, .what = TABLE_PUT, .value = json, .condition = before.len ? TABLE_IF_VALUE : TABLE_IF_ABSENT, .expected = before};
    return change(e, &put, deadline, fault);
}

MAY_YIELD static result write_down(struct engine *e, const struct complaint *c, millis deadline, struct fault *fault)
{
    for (unsigned tries = 0; tries < TRIES; tries++) {
        result code = try_note(e, c, deadline, fault);
        if (code != CONFLICT) return code;
    }
    return fail(fault, BUSY, "others note complaints about this account at this moment");
}

/* ---- a report ---- */

/* The mailbox of the report's author, who may be anybody. */
static view reporter_of(view message, struct arena *arena)
{
    struct header_field from;
    buf text CLEANUP(buf_done) = BUF_INIT;
    if (!header_find(message, VIEW("From"), &from)) return VIEW_EMPTY;
    const struct mail_address *a = mail_address_list_parse(from.value, arena);
    if (!a || a->kind != MAIL_ADDRESS_MAILBOX) return VIEW_EMPTY;
    mail_address_append(&text, a->local, a->domain);
    return arena_keep(arena, view_slice(buf_view(&text), 0, REPORTER_BYTES_MAX));
}

/* By its Message-ID; without one, by what it says. */
static void make_mark(view message, const struct arf_report *r, struct arena *arena, char mark[static 17])
{
    view id = header_value(message, VIEW("Message-ID"), arena);
    snprintf(mark, 17, "%016llx", (unsigned long long)hash_stable(id.len ? id : r->original));
}

MAY_YIELD static result take_in(struct complaints *c, const struct arf_report *r, view message, struct arena *arena, millis deadline, struct complaint *ret_complaint,
                                struct fault *fault)
{
    struct complaint_secrets secrets;
    struct identity_account account;
    view token = complaint_token_find(r->original, arena);
    if (token.len == 0) return fail(fault, NOT_FOUND, r->original.len ? "the message has no id of ours" : "the message is not with it");
    result code = find_secrets(c, deadline, &secrets, fault);
    if (code == OK) code = complaint_token_read(&secrets, token, &ret_complaint->subject, fault);
    if (code == NOT_FOUND) return fail(fault, NOT_FOUND, "the message has no id of ours");
    if (code == OK) code = identity_find_account(c->identity, ret_complaint->subject.account, deadline, arena, &account, fault);
    if (code != OK) return code;
    ret_complaint->address = account.address;
    ret_complaint->type = r->type;
    ret_complaint->reporter = reporter_of(message, arena);
    make_mark(message, r, arena, ret_complaint->mark);
    return arf_is_complaint(r->type) ? write_down(c->engine, ret_complaint, deadline, fault) : OK;
}

MAY_YIELD static void read_report(struct complaints *c, struct id as, view message, millis deadline)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ARF_ARENA_BYTES + 4 * ENGINE_VALUE_MAX_BYTES);
    struct arf_report *r = arena_new_struct(arena, struct arf_report);
    struct complaint found = {0};
    struct fault fault = {0};
    if (!arf_parse(message, arena, r)) return;
    result code = take_in(c, r, message, arena, deadline, &found, &fault);
    if (code == OK)
        EVENT_EMIT(COMPLAINT_RECEIVED, EVENT_ID("account", found.subject.account), EVENT_ID("message", found.subject.message), EVENT_TEXT("type", found.type),
                   EVENT_TEXT("reporter", found.reporter), EVENT_ID("report", as));
    else if (code != EXISTS)
        EVENT_EMIT(COMPLAINT_UNKNOWN, EVENT_ID("report", as), EVENT_TEXT("type", r->type), EVENT_TEXT("reporter", reporter_of(message, arena)), EVENT_FAULT(&fault));
}

void complaints_take_in(struct complaints *c, const struct delivery_order *order, millis deadline)
{
    view message;
    bool is_for_us = false;
    for (size_t i = 0; i < order->recipient_count && !is_for_us; i++) is_for_us = takes(c, &order->recipients[i].path);
    if (!is_for_us) return;
    if (draft_is_held(order->draft, &message)) read_report(c, draft_message(order->draft), message, deadline);
    else EVENT_EMIT(REPORT_TOO_LARGE, EVENT_ID("report", draft_message(order->draft)), EVENT_NUMBER("bytes", draft_bytes(order->draft)));
}

/* ---- for operators ---- */

result complaints_find(struct engine *e, struct id account, millis deadline, struct complaints_of_account *ret_complaints, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 2 * ENGINE_VALUE_MAX_BYTES);
    char text[ID_TEXT_LEN + 1];
    json_t *row CLEANUP(json_done) = NULL;
    view key = id_text(account, text), value;
    result code = table_get(e, COMPLAINT_TABLE, table_shard_of(e, COMPLAINT_TABLE, key), key, deadline, arena, &value, fault);
    *ret_complaints = (struct complaints_of_account){0};
    if (code == NOT_FOUND) return OK;
    if (code == OK) code = row_parse(COMPLAINT_TABLE, key, value, &row, fault);
    if (code != OK) return code;
    ret_complaints->messages = (uint64_t)json_integer_value(json_object_get(row, "messages"));
    ret_complaints->reports = (uint64_t)json_integer_value(json_object_get(row, "reports"));
    ret_complaints->last.ms = json_integer_value(json_object_get(row, "last"));
    return OK;
}

result complaints_forget(struct engine *e, struct id account, millis deadline, struct fault *fault)
{
    char text[ID_TEXT_LEN + 1];
    struct table_change removal = {.key = id_text(account, text), .what = TABLE_REMOVE};
    return change(e, &removal, deadline, fault);
}
