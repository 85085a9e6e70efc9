#include "flow/feedback.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "account/view.h"
#include "base/check.h"
#include "base/hash.h"
#include "flow/signing.h"
#include "formats/arf.h"
#include "formats/header.h"
#include "formats/mail_address.h"
#include "formats/smtp_command.h"
#include "identity/address_key.h"
#include "identity/directory.h"
#include "identity/row.h"
#include "identity/secrets.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/event.h"
#include "runtime/random.h"
#include "trust/mail_check.h"

enum {
    STEP_MS = 20000,
    KEYS_MS = 15000,
    HEADER_BYTES_MAX = 128 << 10,        /* a larger header is not reported */
    PIECE_BYTES = 64 << 10,
    ARENA_BYTES = 12 << 20,
    DAY_SLOTS = 1024,
    MARK_BYTES = 64,
    PURGE_MS = 24 * 3600 * 1000,
    STOP_LOOK_MS = 20,
};
#define SENT_TABLE VIEW("feedback_sent")
static const int64_t SENT_KEPT_MS = 60ll * 24 * 3600 * 1000;

struct feedback {
    struct feedback_options options;
    atomic_uint running;
    atomic_bool is_stopping;
    atomic_llong next_purge_ms;
    struct { atomic_ullong hash_and_count; } day[DAY_SLOTS];     /* account and day, how many in the lowest byte; the newer one wins */
};

struct job {
    struct feedback *f;
    struct id account;
    uint32_t mailbox, uids[FEEDBACK_OF_A_MARK];
    size_t count;
};

/* One message that was marked. */
struct complaint {
    struct feedback *f;
    const struct job *job;
    struct arena *arena;
    struct identity_account account;
    bool is_whole;                       /* the tenant has it told whole */
    struct row row;
    buf header, body;                    /* `body`: the front of it */
    struct mail_check *check;
    view domain, to;                     /* of the loop */
};

struct feedback *feedback_new(const struct feedback_options *options)
{
    struct feedback *f = calloc(1, sizeof *f);
    check(f);
    f->options = *options;
    return f;
}

void feedback_free(struct feedback *f) { free(f); }

void feedback_stop(struct feedback *f)
{
    if (!f) return;
    atomic_store(&f->is_stopping, true);
    while (atomic_load(&f->running) > 0)
        if (coroutine_sleep(STOP_LOOK_MS) != OK) return;
}

/* ---- whose address is not told ---- */

static bool is_local_byte(char c)
{
    return (unsigned char)c >= 128 || ascii_is_alpha(c) || ascii_is_digit(c) || view_has_byte(VIEW("!#$%&'*+-/=?^_`{|}~."), c);
}

/* What may stand before or behind a domain without being of it. */
static bool ends_domain(view text, size_t at) { return at >= text.len || !(ascii_is_alpha(text.at[at]) || ascii_is_digit(text.at[at]) || text.at[at] == '-'); }

static void put_digest(buf *into, view local, view secret)
{
    unsigned char digest[32];
    unsigned len = sizeof digest;
    buf lower CLEANUP(buf_done) = BUF_INIT;
    for (size_t i = 0; i < local.len; i++) buf_append_byte(&lower, ascii_lower(local.at[i]));
    check(HMAC(EVP_sha256(), secret.at, (int)secret.len, (const unsigned char *)lower.at, lower.len, digest, &len) != NULL);
    buf_append(into, VIEW("redacted-"));
    for (size_t i = 0; i < 6; i++) buf_appendf(into, "%02x", digest[i]);
}

void feedback_redact(buf *into, view text, view domain, view secret)
{
    size_t from = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] != '@' || !view_starts_nocase(view_from(text, i + 1), domain) || !ends_domain(text, i + 1 + domain.len)) continue;
        size_t start = i;
        while (start > from && is_local_byte(text.at[start - 1])) start--;
        if (start == i) continue;
        buf_append(into, view_slice(text, from, start - from));
        put_digest(into, view_slice(text, start, i - start), secret);
        from = i;
    }
    buf_append(into, view_from(text, from));
}

/* ---- what is looked at ---- */

MAY_YIELD static result find_row(struct complaint *c, struct account *a, uint32_t uid, struct fault *fault)
{
    struct mailbox_view *v = NULL;
    uint32_t first = 1, last = 0;
    size_t count = 0;
    result code = mailbox_view_open(a, c->job->mailbox, &v);
    if (code != OK) return code;
    code = mailbox_view_range(v, uid, uid, &first, &last, clock_in(STEP_MS), fault);
    if (code == OK && first <= last) code = mailbox_view_rows(v, first, 1, &c->row, &count, clock_in(STEP_MS), fault);
    mailbox_view_close(v);
    if (code == OK && (count == 0 || row_is_gone(&c->row))) return NOT_FOUND;
    return code;
}

/* The header, and all of the body through the check. */
MAY_YIELD static result read_message(struct complaint *c, struct account *a, struct fault *fault)
{
    struct message *m;
    view piece, header, body;
    result code = message_open(a, c->job->mailbox, &c->row, clock_in(STEP_MS), &m, fault);
    if (code != OK) return code;
    code = message_read(m, 0, HEADER_BYTES_MAX, clock_in(STEP_MS), &piece, fault);
    if (code == OK) {
        uint64_t at = piece.len;
        header_split(piece, &header, &body);
        if (header.len == HEADER_BYTES_MAX) code = TOO_BIG;
        buf_append(&c->header, header);
        buf_append(&c->body, view_slice(body, 0, FEEDBACK_BODY_BYTES_MAX));
        c->check = mail_check_new(header);
        mail_check_feed(c->check, body);
        while (code == OK && at < message_size(m)) {
            code = message_read(m, at, PIECE_BYTES, clock_in(STEP_MS), &piece, fault);
            if (code != OK || piece.len == 0) break;
            mail_check_feed(c->check, piece);
            if (c->body.len < FEEDBACK_BODY_BYTES_MAX) buf_append(&c->body, view_slice(piece, 0, FEEDBACK_BODY_BYTES_MAX - c->body.len));
            at += piece.len;
            if (coroutine_is_overdue()) coroutine_pause();
        }
    }
    message_close(m);
    return code;
}

MAY_YIELD static result look(struct complaint *c, uint32_t uid, struct fault *fault)
{
    struct account *a;
    result code = account_open(c->f->options.accounts, c->job->account, clock_in(STEP_MS), &a, fault);
    if (code != OK) return code;
    code = find_row(c, a, uid, fault);
    if (code == OK) code = read_message(c, a, fault);
    account_close(a);
    return code;
}

/* ---- who asks for it ---- */

static view author_domain(const struct complaint *c)
{
    struct header_field from;
    if (!header_find(buf_view(&c->header), VIEW("From"), &from)) return VIEW_EMPTY;
    const struct mail_address *a = mail_address_list_parse(from.value, c->arena);
    return a && a->kind == MAIL_ADDRESS_MAILBOX && !a->next ? a->domain : VIEW_EMPTY;
}

/* The author is of the domain, or below it (RFC 7489 §3.1.1, without climbing beyond what has signed). */
static bool is_aligned(view author, view domain)
{
    if (author.len == domain.len) return view_equal_nocase(author, domain);
    return author.len > domain.len && view_ends_nocase(author, domain) && author.at[author.len - domain.len - 1] == '.';
}

static view key_of(view domain, struct arena *arena)
{
    char *key = arena_alloc(arena, domain.len + 1);
    for (size_t i = 0; i < domain.len; i++) key[i] = ascii_lower(domain.at[i]);
    return view_make(key, domain.len);
}

/* NOT_FOUND: nobody asks for it, or it is not proved whose message it is. */
MAY_YIELD static result find_loop(struct complaint *c, struct fault *fault)
{
    size_t count;
    view author = author_domain(c), value;
    mail_check_end(c->check, c->f->options.resolver, clock_wall(), clock_in(KEYS_MS));
    const struct dkim_verdict *verdicts = mail_check_dkim(c->check, &count);
    for (size_t i = 0; i < count; i++) {
        if (verdicts[i].result != CHECK_PASS || verdicts[i].is_test || !is_aligned(author, verdicts[i].domain)) continue;
        json_t *row CLEANUP(json_done) = NULL;
        view key = key_of(verdicts[i].domain, c->arena);
        struct engine *e = c->f->options.engine;
        result code = table_get(e, FEEDBACK_LOOPS, table_shard_of(e, FEEDBACK_LOOPS, key), key, clock_in(STEP_MS), c->arena, &value, fault);
        if (code == NOT_FOUND) continue;
        if (code == OK) code = row_parse(FEEDBACK_LOOPS, key, value, &row, fault);
        if (code != OK) return code;
        c->domain = key;
        c->to = row_string(row, "address", c->arena);
        return OK;
    }
    return NOT_FOUND;
}

/* ---- once, and not too often ---- */

static bool is_within_day(struct feedback *f, struct id account)
{
    buf key CLEANUP(buf_done) = BUF_INIT;
    buf_append(&key, id_view(&account));
    buf_append_le64(&key, (uint64_t)(clock_wall().ms / (24 * 3600 * 1000)));
    uint64_t hash = hash_bytes(buf_view(&key)) & ~(uint64_t)0xff;
    atomic_ullong *slot = &f->day[hash / 256 % DAY_SLOTS].hash_and_count;
    uint64_t now = atomic_load(slot), count = (now & ~(uint64_t)0xff) == hash ? now & 0xff : 0;
    if (count >= FEEDBACK_OF_A_DAY) return false;
    atomic_store(slot, hash | (count + 1));
    return true;
}

/* EXISTS: it was reported. By its header, which stays the same wherever it is moved. */
MAY_YIELD static result note_sent(const struct complaint *c, struct fault *fault)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    char mark[MARK_BYTES + 1];
    buf text CLEANUP(buf_done) = BUF_INIT;
    struct engine *e = c->f->options.engine;
    buf_append(&text, id_view(&c->job->account));
    buf_append(&text, buf_view(&c->header));
    SHA256((const unsigned char *)text.at, text.len, digest);
    for (size_t i = 0; i < MARK_BYTES / 2; i++) snprintf(mark + 2 * i, 3, "%02x", digest[i]);
    json_t *row CLEANUP(json_done) = row_new();
    view key = view_make(mark, MARK_BYTES);
    struct table_change put = {.key = key, .what = TABLE_PUT, .value = row_text(row, c->arena), .condition = TABLE_IF_ABSENT};
    result code = table_batch(e, SENT_TABLE, table_shard_of(e, SENT_TABLE, key), &put, 1, clock_in(STEP_MS), NULL, fault);
    return code == CONFLICT ? EXISTS : code;
}

/* ---- the report ---- */

static void write_report(struct complaint *c, struct id id, view secret, buf *into)
{
    const struct feedback_options *o = &c->f->options;
    buf header CLEANUP(buf_done) = BUF_INIT, body CLEANUP(buf_done) = BUF_INIT;
    view domain = address_key_domain(c->account.address);
    feedback_redact(&header, buf_view(&c->header), domain, secret);
    if (c->is_whole) feedback_redact(&body, buf_view(&c->body), domain, secret);
    struct arf_message *m = arena_new_struct(c->arena, struct arf_message);
    *m = (struct arf_message){.from = o->from, .to = c->to, .server_name = o->server_name, .id = id, .now = clock_wall(),
                            .subject = arena_printf(c->arena, "Complaint about a message of " VIEW_FMT, VIEW_ARG(c->domain)),
                            .words = VIEW("A user of ours has marked the message below as junk.\r\n\r\nThis is a report as RFC 5965 has it.\r\n")};
    m->report = (struct arf_report){.type = VIEW("abuse"), .user_agent = VIEW("Tayori/1.0"), .reporting_mta = o->server_name, .arrival = c->row.internal_date, .incidents = 1,
                                   .original = buf_view(&header), .original_body = buf_view(&body)};
    m->report.domains[m->report.domain_count++] = c->domain;
    arf_write(into, m);
}

MAY_YIELD static result send(struct complaint *c, struct fault *fault)
{
    const struct feedback_options *o = &c->f->options;
    buf text CLEANUP(buf_done) = BUF_INIT, signatures CLEANUP(buf_done) = BUF_INIT;
    struct id id = random_id();
    view secret;
    result code = identity_find_lasting_secret(o->identity, VIEW("feedback"), clock_in(STEP_MS), c->arena, &secret, fault);
    if (code != OK) return code;
    write_report(c, id, secret, &text);
    if (o->signing) signing_sign_own(o->signing, buf_view(&text), clock_in(STEP_MS), &signatures);
    struct queue_address to = {.address = c->to, .notify = SMTP_NOTIFY_NEVER};
    struct queue_envelope envelope = {.message = id, .flags = QUEUE_IS_NOTICE | QUEUE_IS_8BIT | QUEUE_HAS_LOCAL, .received = clock_wall(),
                                      .bytes = text.len, .front = buf_view(&signatures),
                                      .recipients = &to, .recipient_count = 1, .class = queue_takes_wishes(o->queue) ? QUEUE_NOTIFICATION : QUEUE_SUBMITTED};
    struct draft *draft = draft_new(o->accounts, id, text.len);
    code = draft_write(draft, buf_view(&text), clock_in(STEP_MS), fault);
    if (code == OK) code = queue_enqueue(o->queue, &envelope, draft, clock_in(STEP_MS), fault);
    draft_free(draft);
    if (code == OK) EVENT_EMIT(FEEDBACK_SENT, EVENT_ID("account", c->job->account), EVENT_ID("message", id), EVENT_TEXT("domain", c->domain), EVENT_TEXT("to", c->to));
    return code;
}

MAY_YIELD static result report(struct complaint *c, uint32_t uid, struct fault *fault)
{
    struct directory_tenant tenant;
    result code = identity_find_account(c->f->options.identity, c->job->account, clock_in(STEP_MS), c->arena, &c->account, fault);
    if (code == OK) code = directory_find_tenant(c->f->options.identity, c->account.tenant, clock_in(STEP_MS), c->arena, &tenant, fault);
    if (code != OK || tenant.feedback == TENANT_FEEDBACK_OFF) return code;
    c->is_whole = tenant.feedback == TENANT_FEEDBACK_MESSAGE;
    code = look(c, uid, fault);
    if (code == OK) code = find_loop(c, fault);
    if (code == OK && !is_within_day(c->f, c->job->account)) return OK;
    if (code == OK) code = note_sent(c, fault);
    return code == OK ? send(c, fault) : code;
}

MAY_YIELD static void report_one(const struct job *j, uint32_t uid)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ARENA_BYTES);
    struct complaint *c = arena_new_struct(arena, struct complaint);
    struct fault *fault = arena_new_struct(arena, struct fault);
    *c = (struct complaint){.f = j->f, .job = j, .arena = arena};
    result code = report(c, uid, fault);
    if (code != OK && code != NOT_FOUND && code != EXISTS && code != CANCELLED)
        EVENT_EMIT(FEEDBACK_NOT_SENT, EVENT_ID("account", j->account), EVENT_TEXT("result", view_of(result_name(code))), EVENT_FAULT(fault));
    mail_check_free(c->check);
    buf_done(&c->header);
    buf_done(&c->body);
}

/* ---- what was reported long ago ---- */

struct purge { struct feedback *f; };

MAY_YIELD static result purge_row(void *argument, view key, view json)
{
    struct purge *p = argument;
    struct engine *e = p->f->options.engine;
    json_t *row CLEANUP(json_done) = NULL;
    if (row_parse(SENT_TABLE, key, json, &row, NULL) != OK || clock_wall().ms - json_integer_value(json_object_get(row, "created")) < SENT_KEPT_MS) return OK;
    struct table_change removal = {.key = key, .what = TABLE_REMOVE};
    return table_batch(e, SENT_TABLE, table_shard_of(e, SENT_TABLE, key), &removal, 1, clock_in(STEP_MS), NULL, NULL);
}

/* Once a day, by whoever has something to report. */
MAY_YIELD static void purge(struct feedback *f)
{
    long long due = atomic_load(&f->next_purge_ms), next = clock_wall().ms + PURGE_MS;
    struct purge p = {f};
    if (clock_wall().ms < due || !atomic_compare_exchange_strong(&f->next_purge_ms, &due, next)) return;
    (void)!directory_list(f->options.identity, SENT_TABLE, VIEW_EMPTY, purge_row, &p, clock_in(10 * STEP_MS), NULL);
}

/* ---- marks ---- */

static void run_job(void *argument)
{
    colour_pretend_coroutine();
    struct job *j = argument;
    struct feedback *f = j->f;
    for (size_t i = 0; i < j->count && !atomic_load(&f->is_stopping); i++) report_one(j, j->uids[i]);
    if (!atomic_load(&f->is_stopping)) purge(f);
    free(j);
    atomic_fetch_sub(&f->running, 1);
}

void feedback_marked(struct feedback *f, struct id account, uint32_t mailbox, const struct imap_set *uids)
{
    if (atomic_load(&f->is_stopping)) return;
    if (atomic_fetch_add(&f->running, 1) >= FEEDBACK_AT_ONCE) {
        atomic_fetch_sub(&f->running, 1);
        return;
    }
    struct job *j = calloc(1, sizeof *j);
    check(j);
    *j = (struct job){.f = f, .account = account, .mailbox = mailbox};
    for (size_t i = 0; i < uids->count; i++)
        for (uint64_t uid = uids->ranges[i].first; uid <= uids->ranges[i].last && j->count < FEEDBACK_OF_A_MARK; uid++) j->uids[j->count++] = (uint32_t)uid;
    coroutine_spawn(loop_scope(loop_self()), "feedback", run_job, j);
}

/* ---- for operators ---- */

MAY_YIELD static result change_loop(struct engine *e, struct table_change *change, millis deadline, struct fault *fault)
{
    return table_batch(e, FEEDBACK_LOOPS, table_shard_of(e, FEEDBACK_LOOPS, change->key), change, 1, deadline, NULL, fault);
}

result feedback_add_loop(struct engine *e, view domain, view address, millis deadline, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct smtp_address mailbox;
    if (!mail_domain_is_valid(domain, 0))
        return fail(fault, INVALID, "\"" VIEW_FMT "\": expected a domain such as example.com, as it stands in d= of signatures", VIEW_ARG(domain));
    if (!mail_address_parse(address, MAIL_ADDRESS_NO_LITERAL, arena, &mailbox)) return fail(fault, INVALID, "\"" VIEW_FMT "\": expected an address", VIEW_ARG(address));
    json_t *row CLEANUP(json_done) = row_new();
    row_set_string(row, "address", address);
    struct table_change put = {.key = key_of(domain, arena), .what = TABLE_PUT, .value = row_text(row, arena)};
    return change_loop(e, &put, deadline, fault);
}

result feedback_remove_loop(struct engine *e, view domain, millis deadline, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 16);
    struct table_change removal = {.key = key_of(domain, arena), .what = TABLE_REMOVE, .condition = TABLE_IF_PRESENT};
    result code = change_loop(e, &removal, deadline, fault);
    return code == CONFLICT ? fail(fault, NOT_FOUND, "no feedback loop of " VIEW_FMT, VIEW_ARG(domain)) : code;
}
