#include "formats/arf.h"

#include <stdio.h>

#include "base/check.h"
#include "formats/date.h"
#include "formats/header.h"
#include "formats/mime.h"
#include "formats/transfer.h"

/* ---- the fields of message/feedback-report (§3.1, §3.2; RFC 6591 §3.1 adds some that are not needed here) ---- */

static view text_of(view value, struct arena *arena)
{
    return arena_keep(arena, view_slice(header_unfold(value, arena), 0, ARF_TEXT_MAX));
}

static view first_word(view text)
{
    size_t end = 0;
    while (end < text.len && !ascii_is_space(text.at[end])) end++;
    return view_slice(text, 0, end);
}

/* "<user@example.com>", or without. */
static view mailbox_of(view text)
{
    size_t open = view_find(text, '<'), close = view_find_last(text, '>');
    if (open != VIEW_NONE && close != VIEW_NONE && open < close) text = view_slice(text, open + 1, close - open - 1);
    return view_trim(text);
}

/* "dns; mail.example.com" */
static view without_type(view text)
{
    size_t end = view_find(text, ';');
    return end == VIEW_NONE ? text : view_trim(view_from(text, end + 1));
}

static view lower_case(view text, struct arena *arena)
{
    char *kept = arena_alloc(arena, text.len + 1);
    for (size_t i = 0; i < text.len; i++) kept[i] = ascii_lower(text.at[i]);
    return view_make(kept, text.len);
}

static void add(view *list, size_t *count, view text)
{
    if (text.len && *count < ARF_LIST_MAX) list[(*count)++] = text;
}

static void keep_once(view *into, view text)
{
    if (into->len == 0) *into = text;
}

static void keep_date(struct arf_report *r, view text)
{
    struct date date;
    if (r->arrival.ms == 0 && date_parse(text, &date)) r->arrival = date.at;
}

static bool is_called(const struct header_field *f, const char *name) { return view_equal_nocase(f->name, view_of(name)); }

static void read_field(struct arf_report *r, const struct header_field *f, struct arena *arena)
{
    view text = text_of(f->value, arena);
    uint32_t number;
    if (is_called(f, "Feedback-Type")) keep_once(&r->type, lower_case(first_word(text), arena));
    else if (is_called(f, "User-Agent")) keep_once(&r->user_agent, text);
    else if (is_called(f, "Original-Envelope-Id")) keep_once(&r->envelope_id, text);
    else if (is_called(f, "Original-Mail-From")) keep_once(&r->mail_from, mailbox_of(text));
    else if (is_called(f, "Original-Rcpt-To")) add(r->recipients, &r->recipient_count, mailbox_of(text));
    else if (is_called(f, "Reporting-MTA")) keep_once(&r->reporting_mta, without_type(text));
    else if (is_called(f, "Source-IP")) keep_once(&r->source_ip, first_word(text));
    else if (is_called(f, "Reported-Domain")) add(r->domains, &r->domain_count, first_word(text));
    else if (is_called(f, "Arrival-Date") || is_called(f, "Received-Date")) keep_date(r, text);
    else if (is_called(f, "Incidents") && view_to_u32(text, &number) && number > 0) r->incidents = number;
}

/* ---- the parts ---- */

static view body_of(view message, const struct mime_part *part, struct arena *arena)
{
    view body = mime_range_of(message, part->body);
    enum transfer_encoding encoding = transfer_encoding_of(part->encoding);
    buf bytes CLEANUP(buf_done) = BUF_INIT;
    if (encoding == TRANSFER_IDENTITY || encoding == TRANSFER_UNKNOWN) return body;
    (void)transfer_decode(encoding, body, &bytes);
    return arena_keep(arena, buf_view(&bytes));
}

static const struct mime_part *find_report(const struct mime_part *root)
{
    if (!root || root->kind != MIME_MULTIPART) return NULL;
    for (const struct mime_part *part = root->first; part; part = part->next)
        if (mime_is(part, "message", "feedback-report")) return part;
    return NULL;
}

/* What is complained about: a message, its header, or a message in base64 (which mime.h shows as what it is not). Never the words in front. */
static const struct mime_part *find_original(const struct mime_part *report)
{
    const struct mime_part *part = report->parent->first;
    for (; part; part = part->next) {
        if (part == report) continue;
        if (part->kind == MIME_MESSAGE || mime_is(part, "text", "rfc822-headers") || mime_is(part, "message", "global-headers")) return part;
        if (part->is_degraded && part->number > report->number) return part;
    }
    return NULL;
}

static void read_original(struct arf_report *r, view message, const struct mime_part *part, struct arena *arena)
{
    view body = body_of(message, part, arena);
    header_split(body, &r->original, &r->original_body);
    r->original = view_slice(r->original, 0, HEADER_VALUE_BYTES_MAX);
}

bool arf_parse(view message, struct arena *arena, struct arf_report *ret_report)
{
    struct arena *parts CLEANUP(arena_freep) = arena_new(NULL, MIME_ARENA_BYTES_ENOUGH);
    message = view_slice(message, 0, ARF_MESSAGE_BYTES_MAX);
    const struct mime_part *report = find_report(mime_parse(message, parts));
    if (!report) return false;
    struct arf_report r = {.incidents = 1};
    struct header_field field;
    view rest = body_of(message, report, arena);
    for (unsigned count = 0; count < ARF_FIELDS_MAX && header_next(&rest, &field); count++) read_field(&r, &field, arena);
    /* §3.1: it is not a report without its type. */
    if (r.type.len == 0) return false;
    const struct mime_part *original = find_original(report);
    if (original) read_original(&r, message, original, arena);
    *ret_report = r;
    return true;
}

bool arf_is_complaint(view type)
{
    static const view others[] = {VIEW_INIT("not-spam"), VIEW_INIT("auth-failure"), VIEW_INIT("dmarc")};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (view_equal_nocase(type, others[i])) return false;
    return true;
}

/* ---- writing ---- */

/* One line of printable characters, whatever it was. */
static void put_field(buf *into, const char *name, view value)
{
    if (value.len == 0) return;
    buf_appendf(into, "%s: ", name);
    for (size_t i = 0; i < value.len && i < ARF_TEXT_MAX; i++) {
        unsigned char byte = (unsigned char)value.at[i];
        buf_append_byte(into, byte < ' ' || byte == 127 ? '?' : (char)byte);
    }
    buf_append(into, VIEW("\r\n"));
}

static void put_date(buf *into, const char *name, unix_ms at)
{
    buf_appendf(into, "%s: ", name);
    date_append(into, (struct date){at, 0});
    buf_append(into, VIEW("\r\n"));
}

static void put_header(buf *into, const struct arf_message *m, view id)
{
    buf_appendf(into, "From: <" VIEW_FMT ">\r\nTo: <" VIEW_FMT ">\r\n", VIEW_ARG(m->from), VIEW_ARG(m->to));
    put_field(into, "Subject", m->subject);
    put_date(into, "Date", m->now);
    buf_appendf(into, "Message-ID: <" VIEW_FMT "@" VIEW_FMT ">\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n", VIEW_ARG(id), VIEW_ARG(m->server_name));
    buf_appendf(into, "Content-Type: multipart/report; report-type=feedback-report;\r\n boundary=\"=_" VIEW_FMT "\"\r\n\r\n", VIEW_ARG(id));
}

static void put_report(buf *into, const struct arf_report *r)
{
    char number[16];
    put_field(into, "Feedback-Type", r->type);
    put_field(into, "User-Agent", r->user_agent);
    buf_append(into, VIEW("Version: 1\r\n"));
    put_field(into, "Original-Envelope-Id", r->envelope_id);
    if (r->mail_from.len) {
        buf angled CLEANUP(buf_done) = BUF_INIT;
        buf_appendf(&angled, "<" VIEW_FMT ">", VIEW_ARG(r->mail_from));
        put_field(into, "Original-Mail-From", buf_view(&angled));
    }
    for (size_t i = 0; i < r->recipient_count; i++) put_field(into, "Original-Rcpt-To", r->recipients[i]);
    if (r->arrival.ms) put_date(into, "Arrival-Date", r->arrival);
    if (r->reporting_mta.len) {
        buf typed CLEANUP(buf_done) = BUF_INIT;
        buf_appendf(&typed, "dns; " VIEW_FMT, VIEW_ARG(r->reporting_mta));
        put_field(into, "Reporting-MTA", buf_view(&typed));
    }
    put_field(into, "Source-IP", r->source_ip);
    for (size_t i = 0; i < r->domain_count; i++) put_field(into, "Reported-Domain", r->domains[i]);
    if (r->incidents > 1) put_field(into, "Incidents", view_make(number, (size_t)snprintf(number, sizeof number, "%u", r->incidents)));
}

static bool has_8bit(view v)
{
    for (size_t i = 0; i < v.len; i++)
        if ((unsigned char)v.at[i] >= 128) return true;
    return false;
}

void arf_write(buf *into, const struct arf_message *m)
{
    const struct arf_report *r = &m->report;
    char text[ID_TEXT_LEN + 1];
    view id = id_text(m->id, text);
    put_header(into, m, id);
    buf_appendf(into, "--=_" VIEW_FMT "\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: base64\r\n\r\n", VIEW_ARG(id));
    transfer_append_base64(into, m->words);
    buf_appendf(into, "\r\n--=_" VIEW_FMT "\r\nContent-Type: message/feedback-report\r\n\r\n", VIEW_ARG(id));
    put_report(into, r);
    if (r->original.len) {
        bool is_whole = r->original_body.len > 0;
        bool is_8bit = has_8bit(r->original) || has_8bit(r->original_body);
        buf_appendf(into, "\r\n--=_" VIEW_FMT "\r\nContent-Type: %s\r\n%s\r\n", VIEW_ARG(id), is_whole ? "message/rfc822" : "text/rfc822-headers",
                    is_8bit ? "Content-Transfer-Encoding: 8bit\r\n" : "");
        buf_append(into, r->original);
        buf_append(into, r->original_body);
    }
    buf_appendf(into, "\r\n--=_" VIEW_FMT "--\r\n", VIEW_ARG(id));
}
