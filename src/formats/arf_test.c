/* Complaint reports: those of the shared test data as another project reads them, hostile ones, and our own. */
#include "formats/arf.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/test.h"
#include "formats/header.h"

static void read_file(const char *path, buf *into)
{
    FILE *f = fopen(path, "re");
    if (!f) test_fail(__FILE__, __LINE__, "%s cannot be read", path);
    REQUIRE(f != NULL);
    char *at = buf_extend(into, 1 << 20);
    into->len = into->len - (1 << 20) + fread(at, 1, 1 << 20, f);
    fclose(f);
}

static view string_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    view v = text ? view_of(text) : VIEW_EMPTY;
    /* They keep the brackets. */
    if (v.len > 2 && v.at[0] == '<') v = view_slice(v, 1, v.len - 2);
    return v;
}

static void compare(const struct arf_report *r, const json_t *want)
{
    view type = string_of(want, "feedback_type");
    EXPECT(view_equal_nocase(r->type, type) || (view_equal(type, VIEW("AuthFailure")) && view_equal(r->type, VIEW("auth-failure"))));
    EXPECT_VIEW(r->user_agent, string_of(want, "user_agent"));
    EXPECT_VIEW(r->envelope_id, string_of(want, "original_envelope_id"));
    EXPECT_VIEW(r->mail_from, string_of(want, "original_mail_from"));
    EXPECT_VIEW(r->source_ip, string_of(want, "source_ip"));
    EXPECT_VIEW(r->reporting_mta, string_of(want, "reporting_mta"));
    EXPECT_VIEW(r->recipient_count ? r->recipients[0] : VIEW_EMPTY, string_of(want, "original_rcpt_to"));
    EXPECT_NUMBER(r->incidents, json_integer_value(json_object_get(want, "incidents")));
    EXPECT_NUMBER(r->arrival.ms / 1000, json_integer_value(json_object_get(want, "arrival_date")));
    const json_t *domains = json_object_get(want, "reported_domain");
    EXPECT_NUMBER(r->domain_count, json_array_size(domains));
    for (size_t i = 0; i < r->domain_count; i++) EXPECT_VIEW(r->domains[i], view_of(json_string_value(json_array_get(domains, i))));
}

TEST(arf_reads_reports_as_others_do)
{
    const char *folder = test_data_folder();
    if (!folder) test_skip("no shared test data");
    for (int i = 1; i <= 5; i++) {
        struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ARF_ARENA_BYTES);
        buf text CLEANUP(buf_done) = BUF_INIT;
        struct arf_report r;
        char path[512];
        snprintf(path, sizeof path, "%s/reports/arf/%03d.eml", folder, i);
        read_file(path, &text);
        REQUIRE(arf_parse(buf_view(&text), arena, &r));
        snprintf(path, sizeof path, "%s/reports/arf/%03d.json", folder, i);
        json_t *want = json_load_file(path, 0, NULL);
        REQUIRE(want != NULL);
        compare(&r, want);
        json_decref(want);
        EXPECT(r.original.len > 0 && (r.original_body.len > 0) == (i <= 3));
    }
}

static struct arf_message an_own(void)
{
    struct arf_message m = {.from = VIEW("postmaster@x.test"), .to = VIEW("fbl@y.test"), .server_name = VIEW("mx.x.test"), .subject = VIEW("complaint"),
                            .words = VIEW("a user says that it is junk\r\n"), .now = {1790000000000}};
    m.report = (struct arf_report){.type = VIEW("abuse"), .user_agent = VIEW("Tayori/1"), .mail_from = VIEW("news@y.test"), .arrival = {1789990000000}, .incidents = 1,
                                   .original = VIEW("From: news@y.test\r\nMessage-ID: <1@y.test>\r\n\r\n")};
    m.report.domains[m.report.domain_count++] = VIEW("y.test");
    return m;
}

TEST(arf_reads_what_it_writes)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ARF_ARENA_BYTES);
    buf text CLEANUP(buf_done) = BUF_INIT;
    struct arf_message m = an_own();
    struct arf_report r;
    arf_write(&text, &m);
    REQUIRE(arf_parse(buf_view(&text), arena, &r));
    EXPECT_VIEW(r.type, VIEW("abuse"));
    EXPECT_VIEW(r.mail_from, VIEW("news@y.test"));
    EXPECT_VIEW(r.domains[0], VIEW("y.test"));
    EXPECT_NUMBER(r.arrival.ms, 1789990000000);
    EXPECT_VIEW(header_value(r.original, VIEW("Message-ID"), arena), VIEW("<1@y.test>"));
    EXPECT(r.original_body.len == 0 && view_find_view(buf_view(&text), VIEW("text/rfc822-headers")) != VIEW_NONE);
}

TEST(arf_fields_cannot_add_lines)
{
    buf text CLEANUP(buf_done) = BUF_INIT;
    struct arf_message m = an_own();
    m.report.mail_from = VIEW("a@b\r\nFeedback-Type: not-spam");
    m.report.user_agent = VIEW("x\n\n--=_0");
    arf_write(&text, &m);
    EXPECT(view_find_view(buf_view(&text), VIEW("\nFeedback-Type: not-spam")) == VIEW_NONE);
    EXPECT(view_find_view(buf_view(&text), VIEW("\n\n")) == VIEW_NONE);
}

TEST(arf_refuses_what_is_none)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ARF_ARENA_BYTES);
    struct arf_report r;
    EXPECT(!arf_parse(VIEW(""), arena, &r) && !arf_parse(VIEW("Subject: x\r\n\r\nFeedback-Type: abuse\r\n"), arena, &r));
    EXPECT(!arf_parse(VIEW("Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n--b\r\n\r\nwords\r\n--b--\r\n"), arena, &r));
    EXPECT(!arf_parse(VIEW("Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\nVersion: 1\r\n--b--\r\n"), arena, &r));
}

TEST(arf_reads_a_message_in_base64_and_keeps_its_limits)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ARF_ARENA_BYTES);
    buf text CLEANUP(buf_done) = BUF_INIT;
    struct arf_report r;
    buf_append(&text, VIEW("Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/feedback-report\n\nfeedback-type: ABUSE\nIncidents: 0\n"));
    for (int i = 0; i < 5000; i++) buf_append(&text, VIEW("Reported-Domain: a.test\nOriginal-Rcpt-To: <u@b.test>\n"));
    buf_append(&text, VIEW("\n--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nRnJvbTogYUB5LnRlc3QKCmJvZHkK\n--b--\n"));
    REQUIRE(arf_parse(buf_view(&text), arena, &r));
    EXPECT_VIEW(r.type, VIEW("abuse"));
    EXPECT_NUMBER(r.domain_count, ARF_LIST_MAX);
    EXPECT_NUMBER(r.recipient_count, ARF_LIST_MAX);
    EXPECT_NUMBER(r.incidents, 1);
    EXPECT_VIEW(header_value(r.original, VIEW("From"), arena), VIEW("a@y.test"));
}

TEST(arf_knows_complaints)
{
    EXPECT(arf_is_complaint(VIEW("abuse")) && arf_is_complaint(VIEW("opt-out")) && arf_is_complaint(VIEW("x-new")));
    EXPECT(!arf_is_complaint(VIEW("not-spam")) && !arf_is_complaint(VIEW("Auth-Failure")));
}
