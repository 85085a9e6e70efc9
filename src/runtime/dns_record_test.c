#include "base/check.h"
#include "base/test.h"
#include "runtime/resolver.h"

TEST(dns_records_are_read)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 16);
    struct dns_mx mx;
    struct address address;
    char text[ADDRESS_TEXT_MAX];
    view v;
    REQUIRE(dns_mx_parse(VIEW("\0\12\2mx\7example\3org\0"), arena, &mx));
    EXPECT_NUMBER(mx.preference, 10);
    EXPECT_VIEW(mx.host, VIEW("mx.example.org"));
    REQUIRE(dns_mx_parse(VIEW("\0\0\0"), arena, &mx));
    EXPECT_NUMBER(mx.host.len, 0);
    REQUIRE(dns_address_parse(VIEW("\300\0\2\1"), DNS_A, &address));
    EXPECT_VIEW(address_text(&address, text), VIEW("192.0.2.1"));
    REQUIRE(dns_txt_parse(VIEW("\3v=1\2;x"), arena, &v));
    EXPECT_VIEW(v, VIEW("v=1;x"));
}

TEST(dns_broken_records_are_told)
{
    static const view broken[] = {VIEW_INIT(""), VIEW_INIT("\0"), VIEW_INIT("\0\1"), VIEW_INIT("\0\1\3mx"), VIEW_INIT("\0\1\2mx"), VIEW_INIT("\0\1\100x\0"),
                                  VIEW_INIT("\0\1\3a.b\0"), VIEW_INIT("\0\1\2a\n\0"), VIEW_INIT("\0\1\2mx\0x"), VIEW_INIT("\0\1\300\14")};
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 16);
    struct dns_mx mx;
    struct address address;
    view v;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) EXPECT(!dns_mx_parse(broken[i], arena, &mx));
    EXPECT(!dns_address_parse(VIEW("\1\2\3"), DNS_A, &address) && !dns_address_parse(VIEW("\1\2\3\4"), DNS_AAAA, &address));
    EXPECT(!dns_txt_parse(VIEW("\5ab"), arena, &v));
}

TEST(dns_name_of_more_than_253_bytes_is_none)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 16);
    buf wire CLEANUP(buf_done) = BUF_INIT, text CLEANUP(buf_done) = BUF_INIT;
    view name;
    for (int i = 0; i < 5; i++) {
        buf_append_byte(&wire, 50);
        for (int n = 0; n < 50; n++) buf_append_byte(&wire, 'a'), buf_append_byte(&text, 'a');
        buf_append_byte(&text, '.');
    }
    buf_append_byte(&wire, 0);
    EXPECT(!dns_name_parse(buf_view(&wire), arena, &name));
    EXPECT(!dns_name_is_valid(buf_view(&text)));
    EXPECT(dns_name_is_valid(VIEW("_dmarc.xn--wgv71a.example")) && !dns_name_is_valid(VIEW("a..b")) && !dns_name_is_valid(VIEW("a b")) &&
           !dns_name_is_valid(VIEW("a.")));
}
