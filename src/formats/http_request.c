#include "formats/http_request.h"

#include "base/cursor.h"

/* tchar, RFC 9110 §5.6.2. */
static bool is_tchar(unsigned char byte)
{
    return ascii_is_alpha((char)byte) || ascii_is_digit((char)byte) || (byte && view_has_byte(VIEW("!#$%&'*+-.^_`|~"), (char)byte));
}

static bool is_target_byte(unsigned char byte)
{
    return byte > 0x20 && byte < 0x7f;
}

/* request-line = method SP request-target SP HTTP-version CRLF */
static bool take_request_line(struct cursor *c, struct http_request *r)
{
    uint64_t minor;
    return take_while1(c, is_tchar, &r->method) && take_byte(c, ' ') && take_while1(c, is_target_byte, &r->target) &&
           take_view(c, VIEW(" HTTP/1.")) && take_number(c, 9, &minor) && take_view(c, VIEW("\r\n")) &&
           (r->minor_version = (unsigned)minor, true);
}

static void read_field(view name, view value, struct http_request *r)
{
    uint64_t length;
    if (view_equal_nocase(name, VIEW("content-length"))) {
        r->has_body = r->has_body || !view_to_u64(value, &length) || length > 0;
    } else if (view_equal_nocase(name, VIEW("transfer-encoding"))) {
        r->has_body = true;
    }
}

/* field-line = field-name ":" OWS field-value OWS CRLF; obsolete folding is refused (RFC 9112 §5.2). */
static bool take_field(struct cursor *c, struct http_request *r)
{
    view name;
    if (!take_while1(c, is_tchar, &name) || !take_byte(c, ':')) return false;
    size_t end = view_find_view(c->rest, VIEW("\r\n"));
    if (end == VIEW_NONE) return false;
    view value = view_slice(c->rest, 0, end);
    if (view_has_byte(value, '\n') || view_has_byte(value, '\0') || view_has_byte(value, '\r')) return false;
    c->rest = view_from(c->rest, end + 2);
    read_field(name, view_trim(value), r);
    return true;
}

bool http_request_parse(view head, struct http_request *ret_request)
{
    struct cursor c = cursor_of(head);
    struct http_request r = {0};
    if (head.len > HTTP_HEADER_BYTES_MAX || !take_request_line(&c, &r)) return false;
    for (int fields = 0; !take_view(&c, VIEW("\r\n")); fields++)
        if (fields == HTTP_FIELDS_MAX || !take_field(&c, &r)) return false;
    if (!cursor_at_end(&c)) return false;
    size_t query = view_find(r.target, '?');
    r.path = view_slice(r.target, 0, query == VIEW_NONE ? r.target.len : query);
    *ret_request = r;
    return true;
}
