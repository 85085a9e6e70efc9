/*
 * What notices are made of comes from others: senders, recipients, servers' answers, headers, and records that may be damaged. Oracle: the notice is
 * a message of ours whatever they say. It parses as a multipart/report with three parts, its header has our fields and no other, it has one
 * group of fields for the message and one for each recipient (RFC 3464 §2.1), no line is longer than 998, and no CR, LF or NUL stands alone.
 */
#include "base/check.h"
#include "base/hash.h"
#include "base/utf8.h"
#include "flow/bounce.h"
#include "formats/header.h"
#include "formats/mime.h"
#include "formats/transfer.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECIPIENTS_MAX = 8 };

/* Texts end in two NULs and are no longer than what a record can hold. */
static view take_text(view *input, size_t max)
{
    size_t end = 0;
    while (end < input->len && !(input->at[end] == '\0' && end + 1 < input->len && input->at[end + 1] == '\0')) end++;
    view text = view_slice(*input, 0, end < max ? end : max);
    *input = view_from(*input, end + 2);
    return text;
}

static unsigned take_number(view *input)
{
    if (input->len < 2) return 0;
    unsigned number = (unsigned char)input->at[0] | (unsigned)(unsigned char)input->at[1] << 8;
    *input = view_from(*input, 2);
    return number;
}

static void take_recipient(view *input, struct bounce_recipient *r)
{
    r->code = (uint16_t)(take_number(input) % 1000);
    r->class = (uint8_t)take_number(input);
    r->subject = (uint16_t)take_number(input);
    r->detail = (uint16_t)take_number(input);
    r->is_final = take_number(input) & 1;
    r->address = take_text(input, QUEUE_ADDRESS_BYTES_MAX);
    r->original = take_text(input, QUEUE_ADDRESS_BYTES_MAX);
    r->host = take_text(input, QUEUE_NAME_BYTES_MAX);
    r->answer = take_text(input, QUEUE_ANSWER_BYTES_MAX);
}

static void check_lines(view text)
{
    size_t column = 0;
    for (size_t i = 0; i < text.len; i++) {
        check(text.at[i] != '\0' && text.at[i] != '\n');
        if (text.at[i] != '\r') {
            check(++column <= 998);
            continue;
        }
        check(i + 1 < text.len && text.at[i + 1] == '\n');
        column = 0;
        i++;
    }
    check(column == 0);
}

static void check_header(view header, bool is_8bit)
{
    static const char *const ours[] = {"From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Transfer-Encoding", "Content-Type"};
    struct header_field field;
    for (size_t i = 0; i < array_size(ours); i++) {
        if (strcmp(ours[i], "Content-Transfer-Encoding") == 0 && !is_8bit) continue;
        check(header_next(&header, &field) && view_equal(field.name, view_of(ours[i])));
    }
    check(!header_next(&header, &field));
}

static bool group_has(view group, const char *name)
{
    struct header_field field;
    return header_find(group, view_of(name), &field) && view_trim(field.value).len > 0;
}

static void check_status(view group)
{
    struct header_field field;
    view digits[3], rest;
    check(header_find(group, VIEW("Status"), &field));
    rest = view_trim(field.value);
    for (int i = 0; i < 3; i++) {
        uint32_t number;
        check(view_cut(&rest, '.', &digits[i]) && view_to_u32(digits[i], &number) && number <= 999);
    }
    check(rest.len == 0 && (view_equal(digits[0], VIEW("2")) || view_equal(digits[0], VIEW("4")) || view_equal(digits[0], VIEW("5"))));
}

/* Fields in groups with empty lines between. */
static void check_report(view body, size_t recipients, bool is_utf8)
{
    size_t groups = 0;
    struct header_field field;
    check(is_utf8 ? utf8_is_valid(body) : true);
    while (body.len) {
        view group = body;
        while (header_next(&body, &field)) check(field.name.len > 0);
        group.len -= body.len;
        if (groups++ == 0) check(group_has(group, "Reporting-MTA"));
        else check_status(group), check(group_has(group, "Action") && group_has(group, "Final-Recipient"));
    }
    check(groups == recipients + 1);
}

static void check_parts(view text, const struct bounce *b, struct arena *arena)
{
    const struct mime_part *root = mime_parse(text, arena);
    buf words CLEANUP(buf_done) = BUF_INIT;
    bool is_8bit = !utf8_is_valid(b->header);
    for (size_t i = 0; i < b->header.len; i++) is_8bit |= (unsigned char)b->header.at[i] >= 128;
    check(root && mime_is(root, "multipart", "report") && view_equal(mime_parameter(&root->parameters, VIEW("report-type")), VIEW("delivery-status")));
    check_header(mime_range_of(text, root->header), is_8bit);
    const struct mime_part *first = root->first, *report = first->next, *original = report ? report->next : NULL;
    check(original && !original->next && mime_is(first, "text", "plain"));
    check(transfer_decode(transfer_encoding_of(first->encoding), mime_range_of(text, first->body), &words) && utf8_is_valid(buf_view(&words)));
    check(mime_is(report, "message", b->is_utf8 ? "global-delivery-status" : "delivery-status"));
    check_report(mime_range_of(text, report->body), b->recipient_count, b->is_utf8);
    check(original->kind == MIME_MESSAGE ? b->is_whole :
          (b->is_utf8 ? mime_is(original, "message", "global-headers") : mime_is(original, "text", "rfc822-headers")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, MIME_ARENA_BYTES_ENOUGH);
    struct bounce_recipient recipients[RECIPIENTS_MAX] = {0};
    buf text CLEANUP(buf_done) = BUF_INIT;
    view input = view_make(data, size);
    unsigned choice = take_number(&input);
    struct bounce b = {.kind = (enum bounce_kind)(choice % 3), .is_whole = choice & 4, .is_utf8 = choice & 8, .server_name = VIEW("mx.x.test"),
                       .received = {1790000000000}, .now = {1790000100000}, .until = {1790400000000}, .recipients = recipients,
                       .recipient_count = 1 + choice / 16 % RECIPIENTS_MAX};
    uint64_t hash = hash_stable(view_make(data, size));
    /* Nobody knows the id of a notice before it is written. */
    for (size_t i = 0; i < sizeof b.notice.bytes; i++) b.notice.bytes[i] = (unsigned char)(hash >> i % 8 * 8);
    b.sender = take_text(&input, QUEUE_ADDRESS_BYTES_MAX);
    b.envelope_id = take_text(&input, QUEUE_ADDRESS_BYTES_MAX);
    for (size_t i = 0; i < b.recipient_count; i++) take_recipient(&input, &recipients[i]);
    b.header = input;
    bounce_write(&text, &b);
    check_lines(buf_view(&text));
    check_parts(buf_view(&text), &b, arena);
    return 0;
}
