#include "flow/tls_reporting.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "flow/signing.h"
#include "flow/transport.h"
#include "formats/date.h"
#include "formats/transfer.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/event.h"
#include "runtime/random.h"

enum {
    LOOK_MS = 30 * 60 * 1000,
    SETTLE_MS = 30 * 60 * 1000,          /* after a day's end until the last node has written what it gathered */
    SPREAD_MS = 4 * 3600 * 1000,         /* §4.1: not all at midnight */
    LEASE_MS = 10 * 60 * 1000,
    STEP_MS = 30000,
    MAILBOX_MAX = 320,
    ARENA_BYTES = 4 << 20,
    ANSWER_BYTES_MAX = 64 << 10,
};

struct tls_reporting {
    struct tls_reporting_options options;
    struct engine *engine;
    struct scope scope;
};

/* One report on its way. */
struct sending {
    struct tls_reporting *all;
    struct arena *arena;
    struct tls_reports_group group;
    buf document;                        /* gzip */
    view id, name;                       /* of the report; of the file */
};

/* ---- the document ---- */

static void compress_into(buf *into, view bytes)
{
    enum { GZIP_WINDOW = 15 + 16, MEMORY = 8 };
    z_stream z = {.next_in = (Bytef *)(uintptr_t)bytes.at, .avail_in = (uInt)bytes.len};
    check(deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, MEMORY, Z_DEFAULT_STRATEGY) == Z_OK);
    uLong bound = deflateBound(&z, (uLong)bytes.len);
    z.next_out = (Bytef *)buf_extend(into, bound);
    z.avail_out = (uInt)bound;
    check(deflate(&z, Z_FINISH) == Z_STREAM_END);
    into->len -= z.avail_out;
    deflateEnd(&z);
}

/* §5.3: "mail.sender.example!example.com!1470013207!1470186007.json.gz". */
static void make_document(struct sending *s)
{
    const struct tls_reporting_options *o = &s->all->options;
    struct tls_report *r = s->group.report;
    char id[ID_TEXT_LEN + 1];
    buf text CLEANUP(buf_done) = BUF_INIT;
    s->id = arena_keep(s->arena, id_text(random_id(), id));
    r->organisation = o->server_name;
    r->contact = o->from;
    r->id = s->id;
    tls_report_write(&text, r);
    compress_into(&s->document, buf_view(&text));
    s->name = arena_printf(s->arena, VIEW_FMT "!" VIEW_FMT "!%lld!%lld!" VIEW_FMT ".json.gz", VIEW_ARG(o->server_name), VIEW_ARG(s->group.domain),
                           (long long)r->begin.ms / 1000, (long long)r->end.ms / 1000, VIEW_ARG(s->id));
}

/* ---- by mail ---- */

/* §5.3 */
static void put_fields(buf *into, const struct sending *s, view to)
{
    const struct tls_reporting_options *o = &s->all->options;
    buf_appendf(into, "From: <" VIEW_FMT ">\r\nTo: <" VIEW_FMT ">\r\nDate: ", VIEW_ARG(o->from), VIEW_ARG(to));
    date_append(into, (struct date){.at = clock_wall()});
    buf_appendf(into, "\r\nMessage-ID: <" VIEW_FMT "@" VIEW_FMT ">\r\n", VIEW_ARG(s->id), VIEW_ARG(o->server_name));
    buf_appendf(into, "Subject: Report Domain: " VIEW_FMT "\r\n Submitter: " VIEW_FMT "\r\n Report-ID: <" VIEW_FMT "@" VIEW_FMT ">\r\n", VIEW_ARG(s->group.domain),
                VIEW_ARG(o->server_name), VIEW_ARG(s->id), VIEW_ARG(o->server_name));
    buf_appendf(into, "TLS-Report-Domain: " VIEW_FMT "\r\nTLS-Report-Submitter: " VIEW_FMT "\r\nTLS-Required: No\r\n", VIEW_ARG(s->group.domain), VIEW_ARG(o->server_name));
    buf_appendf(into, "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=\"tlsrpt\";\r\n boundary=\"=_" VIEW_FMT "\"\r\n\r\n",
                VIEW_ARG(s->id));
}

static void write_mail(buf *into, const struct sending *s, view to)
{
    put_fields(into, s, to);
    buf_appendf(into, "--=_" VIEW_FMT "\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n", VIEW_ARG(s->id));
    buf_appendf(into, "This is a report about TLS on connections to the mail servers of " VIEW_FMT "\r\non " VIEW_FMT " (UTC), as RFC 8460 has it.\r\n\r\n",
                VIEW_ARG(s->group.domain), VIEW_ARG(s->group.day));
    buf_appendf(into, "--=_" VIEW_FMT "\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n", VIEW_ARG(s->id));
    buf_appendf(into, "Content-Disposition: attachment;\r\n filename=\"" VIEW_FMT "\"\r\n\r\n", VIEW_ARG(s->name));
    transfer_append_base64(into, buf_view(&s->document));
    buf_appendf(into, "\r\n--=_" VIEW_FMT "--\r\n", VIEW_ARG(s->id));
}

/* A mailbox of plain characters: what a URI escapes, or names besides the address (?subject=), is not for this. */
static bool is_mailbox(view text)
{
    size_t at = view_find_last(text, '@');
    if (at == VIEW_NONE || at == 0 || text.len > MAILBOX_MAX || !dns_name_is_valid(view_from(text, at + 1))) return false;
    for (size_t i = 0; i < at; i++)
        if (!ascii_is_alpha(text.at[i]) && !ascii_is_digit(text.at[i]) && !view_has_byte(VIEW("!#$&'*+-/=^_`{|}~."), text.at[i])) return false;
    return true;
}

/* §5.3: what is said of broken TLS must get through where TLS is broken. From the null sender: nobody reads bounces of reports. */
MAY_YIELD static result send_mail(struct sending *s, view to, struct fault *fault)
{
    buf text CLEANUP(buf_done) = BUF_INIT, whole CLEANUP(buf_done) = BUF_INIT;
    struct queue_address recipient = {.address = to, .notify = 1};
    if (!is_mailbox(to)) return fail(fault, INVALID, "not an address for reports: " VIEW_FMT, VIEW_ARG(view_slice(to, 0, 100)));
    write_mail(&text, s, to);
    if (s->all->options.signing) signing_sign_own(s->all->options.signing, buf_view(&text), clock_in(STEP_MS), &whole);
    buf_append(&whole, buf_view(&text));
    struct queue_envelope envelope = {.message = random_id(), .flags = QUEUE_IS_NOTICE | QUEUE_TLS_IS_OPTIONAL, .received = clock_wall(), .bytes = whole.len,
                                      .recipients = &recipient, .recipient_count = 1};
    if (queue_takes_wishes(s->all->options.queue)) envelope.class = QUEUE_NOTIFICATION;
    if (whole.len > ENGINE_BODY_MAX_BYTES) return fail(fault, TOO_BIG, "a report of %zu bytes", whole.len);
    return queue_enqueue_bytes(s->all->options.queue, &envelope, buf_view(&whole), clock_in(STEP_MS), fault);
}

/* ---- by HTTPS: §5.4 ---- */

MAY_YIELD static result post(struct sending *s, view url, struct fault *fault)
{
    struct http_answer answer;
    struct address addresses[HTTP_ADDRESSES_MAX];
    bool is_certificate;
    struct http_request request = {.url = url, .bytes_max = ANSWER_BYTES_MAX, .body = buf_view(&s->document), .content_type = VIEW("application/tlsrpt+gzip"),
                                   .addresses = addresses};
    if (!s->all->options.http) return fail(fault, UNAVAILABLE, "no HTTPS");
    request.address_count = http_find_addresses(s->all->options.resolver, url, clock_in(STEP_MS), s->arena, addresses);
    if (request.address_count == 0) return fail(fault, UNAVAILABLE, "no address of " VIEW_FMT, VIEW_ARG(url));
    result code = http_ask(s->all->options.http, &request, clock_in(STEP_MS), s->arena, &answer, &is_certificate, fault);
    return code != OK || answer.status / 100 == 2 ? code : fail(fault, UNAVAILABLE, VIEW_FMT ": status %u", VIEW_ARG(url), answer.status);
}

/* ---- one domain ---- */

MAY_YIELD static result send_to(struct sending *s, view place, struct fault *fault)
{
    if (view_starts_nocase(place, VIEW("mailto:"))) return send_mail(s, view_from(place, 7), fault);
    return post(s, place, fault);
}

/* One place that has it is enough to remove it; where none has, it is tried again, for as long as the day is worth a report. */
MAY_YIELD static result send_report(struct sending *s, bool *ret_was_sent, struct fault *fault)
{
    struct tls_report_record record = {.count = 0};
    result code = transport_ask_reports(s->all->options.resolver, s->group.domain, clock_in(STEP_MS), s->arena, &record);
    if (code == CANCELLED || code == TIMEOUT || code == UNAVAILABLE) return code;
    if (code == OK) make_document(s);
    for (size_t i = 0; i < record.count; i++) {
        code = send_to(s, record.places[i], fault);
        *ret_was_sent |= code == OK;
        EVENT_EMIT(TLS_REPORT_SENT, EVENT_TEXT("domain", s->group.domain), EVENT_TEXT("day", s->group.day), EVENT_TEXT("to", record.places[i]),
                   EVENT_TEXT("result", view_of(result_name(code))), EVENT_TEXT("fault", code == OK ? VIEW_EMPTY : view_of(fault->detail)));
    }
    return *ret_was_sent ? OK : code;
}

/* §4.2: reports are of no use to anybody later. */
static bool is_stale(const struct tls_reports_group *g) { return clock_wall().ms - g->report->end.ms > 2ll * 24 * 3600 * 1000; }

MAY_YIELD static result send_group(struct tls_reporting *r, const struct tls_reports_group *g, struct arena *arena, uint64_t *count, struct fault *fault)
{
    struct sending s = {.all = r, .arena = arena, .group = *g};
    bool was_sent = false;
    result code = send_report(&s, &was_sent, fault);
    buf_done(&s.document);
    if (code == CANCELLED) return CANCELLED;
    *count += was_sent;
    if (code == OK || code == NOT_FOUND || code == INVALID || code == TOO_BIG || is_stale(g)) return tls_reports_remove(r->engine, g, clock_in(STEP_MS), fault);
    return OK;
}

/* ---- all of them ---- */

static bool is_due(const struct tls_reports_group *g, view until, bool is_ordered)
{
    int64_t delay_ms = SETTLE_MS + (int64_t)(hash_stable(g->domain) % SPREAD_MS);
    if (view_compare(g->day, until) > 0) return false;
    return is_ordered || clock_wall().ms > g->report->end.ms + delay_ms;
}

MAY_YIELD static result send_due(struct tls_reporting *r, view until, bool is_ordered, uint64_t *ret_count, struct fault *fault)
{
    struct tls_reports_place *place = calloc(1, sizeof *place);
    uint64_t count = 0;
    result code = OK;
    check(place);
    while (code == OK) {
        struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, TLS_REPORTS_ARENA_BYTES + ARENA_BYTES);
        struct tls_reports_group g;
        code = tls_reports_next(r->engine, place, clock_in(STEP_MS), arena, &g, fault);
        if (code == OK && is_due(&g, until, is_ordered)) code = send_group(r, &g, arena, &count, fault);
    }
    free(place);
    if (code == END) *ret_count = count;
    return code == END ? OK : code;
}

result tls_reporting_send(struct tls_reporting *r, view until, uint64_t *ret_count, struct fault *fault)
{
    tls_reports_flush(r->options.reports);
    return send_due(r, until, true, ret_count, fault);
}

/* ---- every day ---- */

MAY_YIELD static void send_yesterdays(struct tls_reporting *r, view owner)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 4 << 10);
    struct fault fault = {0};
    uint64_t count;
    view name = VIEW("tls-reports"), yesterday = tls_reports_day((unix_ms){clock_wall().ms - 24 * 3600 * 1000}, arena);
    if (lease_acquire(r->engine, name, owner, LEASE_MS, clock_in(STEP_MS), &fault) != OK) return;
    result code = send_due(r, yesterday, false, &count, &fault);
    if (code != OK && code != CANCELLED) EVENT_EMIT(TLS_REPORTS_NOT_SENT, EVENT_FAULT(&fault));
    (void)!lease_release(r->engine, name, owner, clock_in(STEP_MS), &fault);
}

static void keep_sending(void *argument)
{
    colour_pretend_coroutine();
    struct tls_reporting *r = argument;
    char owner[ID_TEXT_LEN + 1];
    (void)id_text(random_id(), owner);
    while (coroutine_sleep(LOOK_MS) == OK) send_yesterdays(r, view_make(owner, ID_TEXT_LEN));
}

struct tls_reporting *tls_reporting_start(const struct tls_reporting_options *options, struct engine *e)
{
    struct tls_reporting *r = calloc(1, sizeof *r);
    check(r);
    r->options = *options;
    r->engine = e;
    scope_init(&r->scope, NULL);
    coroutine_spawn(&r->scope, "tls reporting", keep_sending, r);
    return r;
}

void tls_reporting_stop(struct tls_reporting *r)
{
    if (!r) return;
    scope_done(&r->scope);
    free(r);
}
