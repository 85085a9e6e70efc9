/* The text of a notice. RFC 3462 (multipart/report), RFC 3464 (delivery-status), RFC 6533 where addresses are UTF-8. */
#include "flow/bounce.h"

#include <stdio.h>

#include "base/check.h"
#include "base/utf8.h"
#include "formats/date.h"
#include "formats/transfer.h"

enum {
    LINE_BYTES_MAX = 998,                /* RFC 5322 §2.1.1; whatever came in, what we write keeps to it */
    VALUE_BYTES_MAX = 900,               /* of a field that is made of what others said: with its name it fits a line */
    FOLD_BYTES = 900,
};

/* ---- what others said, made harmless ---- */

static bool is_ascii(view v)
{
    for (size_t i = 0; i < v.len; i++)
        if ((unsigned char)v.at[i] >= 128) return false;
    return true;
}

static bool has_controls(view v)
{
    for (size_t i = 0; i < v.len; i++)
        if ((unsigned char)v.at[i] < ' ' || v.at[i] == 127) return true;
    return false;
}

/* RFC 3464 §2.1.2: values are one line of printable characters; what a server said may be anything. */
static void put_text(buf *into, view v)
{
    for (size_t i = 0; i < v.len && i < VALUE_BYTES_MAX; i++) {
        unsigned char byte = (unsigned char)v.at[i];
        buf_append_byte(into, byte < ' ' || byte >= 127 ? '?' : (char)byte);
    }
}

/* RFC 6533 §3: in a message/delivery-status, utf-8-addr-xtext; in a global one as it is. */
static void put_code_point(buf *into, uint32_t code, bool is_utf8)
{
    bool is_plain = code > ' ' && code < 127 && (is_utf8 || (code != '+' && code != '=' && code != '\\'));
    if (is_plain) buf_append_byte(into, (char)code);
    else if (code <= ' ' || code == 127) buf_append_byte(into, '?');
    else if (is_utf8) utf8_append(into, code);
    else buf_appendf(into, "\\x{%X}", code);
}

static void put_address(buf *into, view address, bool is_utf8)
{
    size_t from = into->len;
    uint32_t code;
    if (is_ascii(address)) {
        buf_append(into, VIEW("rfc822; "));
        put_text(into, address);
        return;
    }
    buf_append(into, VIEW("utf-8; "));
    while (address.len && into->len - from < VALUE_BYTES_MAX) {
        if (!utf8_take(&address, &code)) code = '?', address = view_from(address, 1);
        put_code_point(into, code, is_utf8);
    }
}

/* Lines of at most LINE_BYTES_MAX that end in CRLF, and nothing that ends a line elsewhere. */
static bool is_clean(view text)
{
    size_t column = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (c == '\r' && i + 1 < text.len && text.at[i + 1] == '\n') {
            column = 0;
            i++;
        } else if (c == '\r' || c == '\n' || c == '\0' || ++column > LINE_BYTES_MAX) {
            return false;
        }
    }
    return true;
}

/* Makes it so: long lines of a header are folded where they must be. */
static void put_cleaned(buf *into, view text)
{
    size_t column = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (c == '\n') {
            buf_append(into, VIEW("\r\n"));
            column = 0;
            continue;
        }
        if (c == '\r' && i + 1 < text.len && text.at[i + 1] == '\n') continue;
        bool is_inside = ((unsigned char)c & 0xc0) == 0x80;
        if ((column >= FOLD_BYTES && !is_inside) || column == LINE_BYTES_MAX - 1) {
            buf_append(into, VIEW("\r\n "));
            column = 1;
        }
        buf_append_byte(into, c == '\r' || c == '\0' ? ' ' : c);
        column++;
    }
}

/* ---- the notice ---- */

static void put_date(buf *into, const char *name, unix_ms at)
{
    buf_appendf(into, "%s: ", name);
    date_append(into, (struct date){at, 0});
    buf_append(into, VIEW("\r\n"));
}

static const char *const subjects[] = {
    [BOUNCE_FAILED] = "=?UTF-8?B?44Oh44O844Or44KS6YWN5L+h44Gn44GN44G+44Gb44KT44Gn44GX44Gf?= (Undeliverable mail)",
    [BOUNCE_DELAYED] = "=?UTF-8?B?44Oh44O844Or44Gu6YWN5L+h44GM6YGF44KM44Gm44GE44G+44GZ?= (Mail is delayed)",
    [BOUNCE_DELIVERED] = "=?UTF-8?B?44Oh44O844Or44KS6YWN5L+h44GX44G+44GX44Gf?= (Mail was delivered)",
};
static const char *const words_japanese[] = {
    [BOUNCE_FAILED] = "お送りになったメールは、次の宛先に配信できませんでした。再送はされません。",
    [BOUNCE_DELAYED] = "お送りになったメールは、次の宛先にまだ配信できていません。配信の試行は続いていますので、再送の必要はありません。",
    [BOUNCE_DELIVERED] = "お送りになったメールは、次の宛先のサーバーに配信されました。",
};
static const char *const words_english[] = {
    [BOUNCE_FAILED] = "Your message could not be delivered to the following recipients. It will not be tried again.",
    [BOUNCE_DELAYED] = "Your message could not be delivered to the following recipients yet. It is still being tried; you need not send it again.",
    [BOUNCE_DELIVERED] = "Your message was delivered to the servers of the following recipients.",
};
static const char *const actions[] = {[BOUNCE_FAILED] = "failed", [BOUNCE_DELAYED] = "delayed", [BOUNCE_DELIVERED] = "relayed"};

static bool can_be_written(const struct bounce *b)
{
    return b->sender.len <= VALUE_BYTES_MAX && !has_controls(b->sender) && (is_ascii(b->sender) || (b->is_utf8 && utf8_is_valid(b->sender)));
}

static void put_header(buf *into, const struct bounce *b, const char *boundary)
{
    char id[ID_TEXT_LEN + 1];
    buf_appendf(into, "From: Mail Delivery System <MAILER-DAEMON@" VIEW_FMT ">\r\n", VIEW_ARG(b->server_name));
    if (can_be_written(b)) buf_appendf(into, "To: <" VIEW_FMT ">\r\n", VIEW_ARG(b->sender));
    else buf_append(into, VIEW("To: undisclosed-recipients:;\r\n"));
    buf_appendf(into, "Subject: %s\r\n", subjects[b->kind]);
    put_date(into, "Date", b->now);
    id_text(b->notice, id);
    buf_appendf(into, "Message-ID: <%s@" VIEW_FMT ">\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n", id, VIEW_ARG(b->server_name));
    if (!is_ascii(b->header)) buf_append(into, VIEW("Content-Transfer-Encoding: 8bit\r\n"));
    buf_appendf(into, "Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"%s\"\r\n\r\n", boundary);
}

static void put_status(buf *into, const struct bounce *b, const struct bounce_recipient *r)
{
    bool is_known = (r->class == 2 || r->class == 4 || r->class == 5) && r->subject <= 999 && r->detail <= 999;
    unsigned class = is_known ? r->class : b->kind == BOUNCE_FAILED ? 5 : b->kind == BOUNCE_DELAYED ? 4 : 2;
    buf_appendf(into, "%u.%u.%u", class, is_known ? r->subject : 0, is_known ? r->detail : 0);
}

static void put_words(buf *into, const struct bounce *b)
{
    buf text CLEANUP(buf_done) = BUF_INIT, repaired CLEANUP(buf_done) = BUF_INIT;
    buf_appendf(&text, "%s\r\n\r\n%s\r\n\r\n", words_japanese[b->kind], words_english[b->kind]);
    for (size_t i = 0; i < b->recipient_count; i++) {
        const struct bounce_recipient *r = &b->recipients[i];
        buf_appendf(&text, "  <" VIEW_FMT ">\r\n", VIEW_ARG(r->address));
        if (r->host.len) buf_appendf(&text, "    " VIEW_FMT ":\r\n", VIEW_ARG(r->host));
        if (r->answer.len) buf_appendf(&text, "    %u " VIEW_FMT "\r\n", r->code, VIEW_ARG(r->answer));
    }
    if (b->kind == BOUNCE_DELAYED) {
        buf_appendf(&text, "\r\n配信の試行期限 / Given up after: ");
        date_append(&text, (struct date){b->until, 0});
        buf_append(&text, VIEW("\r\n"));
    }
    buf_append(into, VIEW("Content-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"));
    utf8_append_repaired(&repaired, buf_view(&text));
    transfer_append_base64(into, buf_view(&repaired));
}

static void put_recipient(buf *into, const struct bounce *b, const struct bounce_recipient *r)
{
    buf_append(into, VIEW("\r\n"));
    if (r->original.len) {
        buf_append(into, VIEW("Original-Recipient: "));
        put_text(into, r->original);
        buf_append(into, VIEW("\r\n"));
    }
    buf_append(into, VIEW("Final-Recipient: "));
    put_address(into, r->address, b->is_utf8);
    buf_appendf(into, "\r\nAction: %s\r\nStatus: ", r->is_final && b->kind == BOUNCE_DELIVERED ? "delivered" : actions[b->kind]);
    put_status(into, b, r);
    buf_append(into, VIEW("\r\n"));
    if (r->host.len) {
        buf_append(into, VIEW("Remote-MTA: dns; "));
        put_text(into, r->host);
        buf_append(into, VIEW("\r\n"));
    }
    if (r->code) {
        buf_appendf(into, "Diagnostic-Code: smtp; %u ", r->code);
        put_text(into, view_slice(r->answer, 0, 800));
        buf_append(into, VIEW("\r\n"));
    }
    if (b->kind == BOUNCE_DELAYED) put_date(into, "Will-Retry-Until", b->until);
}

static void put_report(buf *into, const struct bounce *b)
{
    buf_appendf(into, "Content-Type: message/%s\r\n\r\n", b->is_utf8 ? "global-delivery-status" : "delivery-status");
    if (b->envelope_id.len) {
        buf_append(into, VIEW("Original-Envelope-Id: "));
        put_text(into, b->envelope_id);
        buf_append(into, VIEW("\r\n"));
    }
    buf_appendf(into, "Reporting-MTA: dns; " VIEW_FMT "\r\n", VIEW_ARG(b->server_name));
    put_date(into, "Arrival-Date", b->received);
    if (b->deliver_by.ms) put_date(into, "Deliver-By-Date", b->deliver_by);
    for (size_t i = 0; i < b->recipient_count; i++) put_recipient(into, b, &b->recipients[i]);
}

/* A message is given back whole as it was or not at all: a header can be folded, a body not. */
static void put_original(buf *into, const struct bounce *b, const char *boundary)
{
    bool is_whole = b->is_whole && is_clean(b->header);
    view text = b->header;
    if (b->is_whole && !is_whole) {
        size_t end = view_find_view(text, VIEW("\r\n\r\n"));
        if (end != VIEW_NONE) text.len = end + 2;
    }
    const char *type = is_whole ? b->is_utf8 ? "message/global" : "message/rfc822" : b->is_utf8 ? "message/global-headers" : "text/rfc822-headers";
    buf_appendf(into, "\r\n--%s\r\nContent-Type: %s\r\n%s\r\n", boundary, type, is_ascii(b->header) ? "" : "Content-Transfer-Encoding: 8bit\r\n");
    if (is_clean(text)) buf_append(into, text);
    else put_cleaned(into, text);
}

void bounce_write(buf *into, const struct bounce *b)
{
    char boundary[ID_TEXT_LEN + 16], id[ID_TEXT_LEN + 1];
    id_text(b->notice, id);
    snprintf(boundary, sizeof boundary, "=_%s", id);
    put_header(into, b, boundary);
    buf_appendf(into, "--%s\r\n", boundary);
    put_words(into, b);
    buf_appendf(into, "\r\n--%s\r\n", boundary);
    put_report(into, b);
    put_original(into, b, boundary);
    buf_appendf(into, "\r\n--%s--\r\n", boundary);
}
