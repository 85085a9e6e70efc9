#include "formats/proxy_header.h"

#include <string.h>

#include "base/check.h"
#include "base/test.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

/* Every shorter beginning must ask for more. */
static result parse_growing(view bytes, struct proxy_header *h, size_t *len)
{
    for (size_t i = 0; i < bytes.len; i++) {
        result r = proxy_header_parse(view_slice(bytes, 0, i), h, len);
        if (r != BUSY) return r;
    }
    return proxy_header_parse(bytes, h, len);
}

TEST(proxy_header_version_1)
{
    struct proxy_header h;
    size_t len = 0;
    view v = VIEW("PROXY TCP4 192.0.2.1 198.51.100.22 35646 143\r\n");
    REQUIRE(parse_growing(v, &h, &len) == OK);
    EXPECT_NUMBER(len, v.len);
    EXPECT(h.has_endpoints && h.source.family == 4 && memcmp(h.source.bytes, "\xc0\0\2\1", 4) == 0);
    EXPECT_NUMBER(h.source.port, 35646);
    EXPECT_NUMBER(h.destination.port, 143);
    EXPECT(proxy_header_parse(VIEW("PROXY TCP6 2001:db8::1 ::1 1 2\r\na LOGIN"), &h, &len) == OK);
    EXPECT(h.source.family == 6 && h.source.bytes[0] == 0x20 && h.destination.bytes[15] == 1 && len == 32);
    EXPECT(proxy_header_parse(VIEW("PROXY UNKNOWN\r\n"), &h, &len) == OK && !h.has_endpoints && len == 15);
    EXPECT(proxy_header_parse(VIEW("PROXY UNKNOWN ffff:f::1 what ever 7\r\n"), &h, &len) == OK && !h.has_endpoints);
}

TEST(proxy_header_version_1_refuses)
{
    struct proxy_header h;
    size_t len = 77;
    static const view bad[] = {
        VIEW_INIT("EHLO x\r\n"), VIEW_INIT("PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n"), VIEW_INIT("PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n"),
        VIEW_INIT("PROXY TCP4 ::1 ::1 1 2\r\n"), VIEW_INIT("PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n"),
        VIEW_INIT("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n"), VIEW_INIT("PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n"),
        VIEW_INIT("PROXY UNKNOWNX\r\n"), VIEW_INIT("PROXY \r\n"),
        VIEW_INIT("PROXY TCP4 1.2.3.4 1.2.3.4 1 2xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n"),
    };
    for (size_t i = 0; i < array_size(bad); i++) EXPECT(proxy_header_parse(bad[i], &h, &len) == INVALID);
    EXPECT_NUMBER(len, 77);
    EXPECT(proxy_header_parse(VIEW("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n"), &h, &len) == BUSY);
}

TEST(proxy_header_version_2)
{
    struct proxy_header h;
    size_t len = 0;
    view v4 = VIEW(SIGNATURE "\x21\x11\0\x0f\xc0\0\2\1\xc6\x33\x64\x16\x8b\x3e\0\x8f\x04\0\0");
    REQUIRE(parse_growing(v4, &h, &len) == OK);
    EXPECT_NUMBER(len, v4.len);
    EXPECT(h.has_endpoints && h.source.family == 4 && h.source.port == 35646 && h.destination.port == 143);
    EXPECT(memcmp(h.destination.bytes, "\xc6\x33\x64\x16", 4) == 0);
    view local = VIEW(SIGNATURE "\x20\0\0\0HELO");
    EXPECT(proxy_header_parse(local, &h, &len) == OK && !h.has_endpoints && len == 16);
    view unix_socket = VIEW(SIGNATURE "\x21\x31\0\x02zz");
    EXPECT(proxy_header_parse(unix_socket, &h, &len) == OK && !h.has_endpoints && len == 18);
    EXPECT(proxy_header_parse(VIEW(SIGNATURE "\x21\x21\0\x23zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"), &h, &len) == INVALID);
    EXPECT(proxy_header_parse(VIEW(SIGNATURE "\x11\x11\0\x0c"), &h, &len) == INVALID);
    EXPECT(proxy_header_parse(VIEW(SIGNATURE "\x22\x11\0\x0c"), &h, &len) == INVALID);
    EXPECT(proxy_header_parse(VIEW(SIGNATURE "\x21\x11\xff\xff"), &h, &len) == TOO_BIG);
    EXPECT(proxy_header_parse(VIEW("\r\n\r\n\0\r\nQUIX\n\x21"), &h, &len) == INVALID);
}
