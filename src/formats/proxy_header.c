#include "formats/proxy_header.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/cursor.h"

/* §2.2: twelve bytes that no text protocol begins with. */
static const view signature = VIEW_INIT("\r\n\r\n\0\r\nQUIT\n");

enum { VERSION_2_FIXED = 16, COMMAND_LOCAL = 0, COMMAND_PROXY = 1, STREAM_4 = 0x11, STREAM_6 = 0x21 };

/* --- version 1 --- */

static bool is_address_byte(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == '.' || c == ':';
}

static bool take_address(struct cursor *c, uint8_t family, struct proxy_endpoint *ret_endpoint)
{
    char text[48];
    view v;
    struct proxy_endpoint e = {.family = family};
    if (!take_while1(c, is_address_byte, &v) || v.len >= sizeof text) return false;
    memcpy(text, v.at, v.len);
    text[v.len] = '\0';
    if (inet_pton(family == 4 ? AF_INET : AF_INET6, text, e.bytes) != 1) return false;
    *ret_endpoint = e;
    return true;
}

static bool take_port(struct cursor *c, uint16_t *ret_port)
{
    uint64_t number;
    if (!take_number(c, 65535, &number)) return false;
    *ret_port = (uint16_t)number;
    return true;
}

/* §2.1: "PROXY" SP "TCP4" SP source SP destination SP port SP port; or "PROXY" SP "UNKNOWN" and anything. */
static result parse_line(view line, struct proxy_header *ret_header)
{
    struct cursor c = cursor_of(line);
    struct proxy_header h = {0};
    if (!take_view(&c, VIEW("PROXY "))) return INVALID;
    if (take_view(&c, VIEW("UNKNOWN")) && (cursor_at_end(&c) || cursor_peek(&c) == ' ')) {
        *ret_header = h;
        return OK;
    }
    uint8_t family = take_view(&c, VIEW("TCP4 ")) ? 4 : take_view(&c, VIEW("TCP6 ")) ? 6 : 0;
    bool good = family && take_address(&c, family, &h.source) && take_byte(&c, ' ') && take_address(&c, family, &h.destination) &&
                take_byte(&c, ' ') && take_port(&c, &h.source.port) && take_byte(&c, ' ') && take_port(&c, &h.destination.port);
    if (!good || !cursor_at_end(&c)) return INVALID;
    h.has_endpoints = true;
    *ret_header = h;
    return OK;
}

static result parse_1(view bytes, struct proxy_header *ret_header, size_t *ret_len)
{
    size_t end = view_find_view(view_slice(bytes, 0, PROXY_HEADER_1_MAX), VIEW("\r\n"));
    if (end == VIEW_NONE) return bytes.len >= PROXY_HEADER_1_MAX ? INVALID : BUSY;
    result r = parse_line(view_slice(bytes, 0, end), ret_header);
    if (r == OK) *ret_len = end + 2;
    return r;
}

/* --- version 2 --- */

static uint16_t big_endian(const char *at) { return (uint16_t)((unsigned char)at[0] << 8 | (unsigned char)at[1]); }

static result parse_2(view bytes, struct proxy_header *ret_header, size_t *ret_len)
{
    if (bytes.len < VERSION_2_FIXED) return BUSY;
    unsigned version = (unsigned char)bytes.at[12] >> 4, command = bytes.at[12] & 15;
    unsigned family = (unsigned char)bytes.at[13];
    size_t len = big_endian(bytes.at + 14), whole = VERSION_2_FIXED + len;
    if (version != 2 || command > COMMAND_PROXY) return INVALID;
    if (whole > PROXY_HEADER_MAX) return TOO_BIG;
    if (bytes.len < whole) return BUSY;
    struct proxy_header h = {0};
    const char *at = bytes.at + VERSION_2_FIXED;
    size_t each = family == STREAM_4 ? 4 : family == STREAM_6 ? 16 : 0;
    if (command == COMMAND_PROXY && each) {
        if (len < 2 * each + 4) return INVALID;
        h.has_endpoints = true;
        h.source.family = h.destination.family = each == 4 ? 4 : 6;
        memcpy(h.source.bytes, at, each);
        memcpy(h.destination.bytes, at + each, each);
        h.source.port = big_endian(at + 2 * each);
        h.destination.port = big_endian(at + 2 * each + 2);
    }
    *ret_header = h;
    *ret_len = whole;
    return OK;
}

result proxy_header_parse(view bytes, struct proxy_header *ret_header, size_t *ret_len)
{
    if (bytes.len == 0) return BUSY;
    bool may_be_2 = view_equal(view_slice(bytes, 0, signature.len), view_slice(signature, 0, bytes.len));
    if (may_be_2) return bytes.len < signature.len ? BUSY : parse_2(bytes, ret_header, ret_len);
    view first = VIEW("PROXY ");
    if (!view_equal(view_slice(bytes, 0, first.len), view_slice(first, 0, bytes.len))) return INVALID;
    return parse_1(bytes, ret_header, ret_len);
}
