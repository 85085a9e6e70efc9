#include "formats/tls_report.h"

#include "base/check.h"
#include "base/test.h"

TEST(tls_report_reads_records)
{
    struct tls_report_record r;
    REQUIRE(tls_report_record_parse(VIEW("v=TLSRPTv1; rua=mailto:reports@example.com,https://reports.example.net/v1/tlsrpt; x=y"), &r));
    EXPECT_NUMBER(r.count, 2);
    EXPECT_VIEW(r.places[1], VIEW("https://reports.example.net/v1/tlsrpt"));
    EXPECT(tls_report_record_parse(VIEW("v=TLSRPTv1;rua=mailto:a@b"), &r) && r.count == 1);
    EXPECT(!tls_report_record_parse(VIEW("v=TLSRPTv1"), &r) && !tls_report_record_parse(VIEW("v=TLSRPTv1; rua=ftp://x"), &r));
    EXPECT(!tls_report_record_parse(VIEW("v=TLSRPTv2; rua=mailto:a@b"), &r) && !tls_report_record_parse(VIEW(""), &r));
}

/* The example of RFC 8460, Appendix B, shortened. */
static const char example[] =
    "{\"organization-name\":\"Company-X\",\"date-range\":{\"start-datetime\":\"2016-04-01T00:00:00Z\",\"end-datetime\":\"2016-04-01T23:59:59Z\"},"
    "\"contact-info\":\"sts-reporting@company-x.example\",\"report-id\":\"5065427c-23d3\",\"policies\":[{\"policy\":{\"policy-type\":\"sts\","
    "\"policy-string\":[\"version: STSv1\",\"mode: testing\"],\"policy-domain\":\"company-y.example\",\"mx-host\":[\"*.mail.company-y.example\"]},"
    "\"summary\":{\"total-successful-session-count\":5326,\"total-failure-session-count\":303},\"failure-details\":[{\"result-type\":\"certificate-expired\","
    "\"sending-mta-ip\":\"2001:db8:abcd:0012::1\",\"receiving-mx-hostname\":\"mx1.mail.company-y.example\",\"failed-session-count\":100}]}]}";

TEST(tls_report_reads_writes_and_adds)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 2 * TLS_REPORT_ARENA_BYTES);
    struct tls_report *r = arena_new_struct(arena, struct tls_report), *again = arena_new_struct(arena, struct tls_report);
    buf text CLEANUP(buf_done) = BUF_INIT;
    const char *reason = "";
    REQUIRE(tls_report_parse(view_of(example), arena, r, &reason));
    REQUIRE(r->policy_count == 1 && r->policies[0].detail_count == 1);
    EXPECT(r->policies[0].successes == 5326 && r->policies[0].failures == 303 && r->policies[0].string_count == 2 && r->policies[0].host_count == 1);
    EXPECT_VIEW(r->policies[0].details[0].result_type, VIEW("certificate-expired"));
    EXPECT_NUMBER(r->begin.ms, 1459468800000);
    EXPECT(tls_report_add(r, &r->policies[0], arena));
    EXPECT(r->policy_count == 1 && r->policies[0].successes == 2 * 5326 && r->policies[0].details[0].count == 200);
    tls_report_write(&text, r);
    REQUIRE(tls_report_parse(buf_view(&text), arena, again, &reason));
    EXPECT(again->policies[0].failures == 606 && again->policies[0].details[0].count == 200);
    EXPECT_VIEW(again->organisation, VIEW("Company-X"));
}

TEST(tls_report_refuses_what_is_none)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 2 * TLS_REPORT_ARENA_BYTES);
    struct tls_report *r = arena_new_struct(arena, struct tls_report);
    buf deep CLEANUP(buf_done) = BUF_INIT;
    const char *reason = "";
    EXPECT(!tls_report_parse(VIEW(""), arena, r, &reason) && !tls_report_parse(VIEW("[]"), arena, r, &reason) && !tls_report_parse(VIEW("{}"), arena, r, &reason));
    EXPECT(!tls_report_parse(VIEW("{\"policies\":[]}"), arena, r, &reason));
    for (int i = 0; i < 100000; i++) buf_append_byte(&deep, '[');
    EXPECT(!tls_report_parse(buf_view(&deep), arena, r, &reason));
    EXPECT_VIEW(view_of(reason), VIEW("it is nested too deeply"));
}
