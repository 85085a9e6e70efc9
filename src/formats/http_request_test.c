#include "base/test.h"
#include "formats/http_request.h"

TEST(http_request_reads_path_and_body)
{
    struct http_request r;
    REQUIRE(http_request_parse(VIEW("GET /metrics?format=text HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n"), &r));
    EXPECT_VIEW(r.method, VIEW("GET"));
    EXPECT_VIEW(r.path, VIEW("/metrics"));
    EXPECT(!r.has_body && r.minor_version == 1);
    REQUIRE(http_request_parse(VIEW("POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\n"), &r));
    EXPECT(r.has_body && r.minor_version == 0);
}

TEST(http_request_refuses_what_two_readers_could_read_differently)
{
    static const view bad[] = {
        VIEW_INIT("GET / HTTP/1.1\n\n"),                              VIEW_INIT("GET  / HTTP/1.1\r\n\r\n"),
        VIEW_INIT("GET / HTTP/2.0\r\n\r\n"),                          VIEW_INIT("GET / HTTP/1.1\r\nA : b\r\n\r\n"),
        VIEW_INIT("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n"),            VIEW_INIT("GET / HTTP/1.1\r\nA: b\rc\r\n\r\n"),
        VIEW_INIT("GET / HTTP/1.1\r\n\r\nGET /x HTTP/1.1\r\n\r\n"),   VIEW_INIT(""),
    };
    struct http_request r;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) EXPECT(!http_request_parse(bad[i], &r));
}
