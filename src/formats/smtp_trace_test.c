#include "formats/smtp_trace.h"

#include "base/check.h"
#include "base/test.h"

TEST(smtp_trace_says_from_by_with_id_and_for)
{
    struct smtp_path recipient = {.local_part = VIEW("user"), .domain = VIEW("example.test"), .domain_kind = SMTP_DOMAIN_NAME};
    struct smtp_trace trace = {
        .protocol = SMTP_PROTOCOL_EXTENDED | SMTP_PROTOCOL_TLS, .hello = VIEW("client.test"), .peer_address = VIEW("192.0.2.1"),
        .server_name = VIEW("mx.example.test"), .tls_version = VIEW("TLSv1.3"), .tls_cipher = VIEW("TLS_AES_256_GCM_SHA384"),
        .id = {{1}}, .recipient = &recipient, .received_at = {1000}};
    buf out CLEANUP(buf_done) = BUF_INIT;
    smtp_trace_append_received(&out, &trace);
    EXPECT_VIEW(buf_view(&out), VIEW("Received: from client.test ([192.0.2.1])\r\n"
                                     "\t(TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n"
                                     "\tby mx.example.test (Tayori) with ESMTPS\r\n"
                                     "\tid 01000000000000000000000000000000\r\n"
                                     "\tfor <user@example.test>;\r\n"
                                     "\tThu, 01 Jan 1970 00:00:01 +0000\r\n"));
}

TEST(smtp_trace_lets_no_hello_forge_a_field)
{
    struct smtp_trace trace = {.hello = VIEW("x) by y\r\nSubject: z;\xe3\x82\x8a"), .peer_address = VIEW("2001:db8::1"),
                               .server_name = VIEW("mx")};
    buf out CLEANUP(buf_done) = BUF_INIT;
    smtp_trace_append_received(&out, &trace);
    EXPECT(view_starts(buf_view(&out), VIEW("Received: from x??by?y??Subject:?z???? ([IPv6:2001:db8::1])\r\n")));
    EXPECT(view_find_view(buf_view(&out), VIEW("with SMTP\r\n")) != VIEW_NONE);
}

TEST(smtp_trace_return_path_of_a_bounce_is_empty)
{
    struct smtp_path null_path = {.is_null = true};
    struct smtp_path carrier = {.local_part = VIEW("a..b"), .domain = VIEW("docomo.ne.jp"), .domain_kind = SMTP_DOMAIN_NAME};
    buf out CLEANUP(buf_done) = BUF_INIT;
    smtp_trace_append_return_path(&out, &null_path);
    smtp_trace_append_return_path(&out, &carrier);
    EXPECT_VIEW(buf_view(&out), VIEW("Return-Path: <>\r\nReturn-Path: <\"a..b\"@docomo.ne.jp>\r\n"));
}

TEST(smtp_protocol_keywords_are_those_of_the_registry)
{
    EXPECT_VIEW(view_of(smtp_protocol_name(0)), VIEW("SMTP"));
    EXPECT_VIEW(view_of(smtp_protocol_name(SMTP_PROTOCOL_EXTENDED | SMTP_PROTOCOL_TLS | SMTP_PROTOCOL_AUTHENTICATED)), VIEW("ESMTPSA"));
    EXPECT_VIEW(view_of(smtp_protocol_name(SMTP_PROTOCOL_LMTP | SMTP_PROTOCOL_EXTENDED)), VIEW("LMTP"));
    EXPECT_VIEW(view_of(smtp_protocol_name(SMTP_PROTOCOL_LMTP | SMTP_PROTOCOL_UTF8 | SMTP_PROTOCOL_TLS)), VIEW("UTF8LMTPS"));
    EXPECT_VIEW(view_of(smtp_protocol_name(SMTP_PROTOCOL_EXTENDED | SMTP_PROTOCOL_UTF8)), VIEW("UTF8SMTP"));
}
