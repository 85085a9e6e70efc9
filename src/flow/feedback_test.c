/* What is hidden of users in reports. (Reports themselves: tests/system/test_reports.py.) */
#include "flow/feedback.h"

#include "base/check.h"
#include "base/test.h"

static void expect(const char *text, const char *want)
{
    buf out CLEANUP(buf_done) = BUF_INIT;
    feedback_redact(&out, view_of(text), VIEW("example.test"), VIEW("secret"));
    EXPECT_VIEW(buf_view(&out), view_of(want));
}

TEST(feedback_hides_users)
{
    buf one CLEANUP(buf_done) = BUF_INIT, other CLEANUP(buf_done) = BUF_INIT;
    expect("From: a@other.test\r\n", "From: a@other.test\r\n");
    expect("@example.test x@example.tests x@example.test-x", "@example.test x@example.tests x@example.test-x");
    feedback_redact(&one, VIEW("To: <Hanako.Y@Example.Test>, x"), VIEW("example.test"), VIEW("secret"));
    feedback_redact(&other, VIEW("To: <hanako.y@example.test>, x"), VIEW("example.test"), VIEW("secret"));
    EXPECT(view_starts(buf_view(&one), VIEW("To: <redacted-")) && view_ends(buf_view(&one), VIEW("@Example.Test>, x")));
    /* The same user has the same name, under one secret. */
    EXPECT_VIEW(view_slice(buf_view(&one), 0, 26), view_slice(buf_view(&other), 0, 26));
    buf_clear(&other);
    feedback_redact(&other, VIEW("To: <hanako.y@example.test>, x"), VIEW("example.test"), VIEW("another"));
    EXPECT(!view_equal(view_slice(buf_view(&one), 0, 26), view_slice(buf_view(&other), 0, 26)));
    buf_clear(&one);
    feedback_redact(&one, VIEW("a@example.test b@example.test,c@example.test"), VIEW("example.test"), VIEW("secret"));
    EXPECT(view_find_view(buf_view(&one), VIEW("a@")) == VIEW_NONE && view_find_view(buf_view(&one), VIEW(",redacted-")) != VIEW_NONE);
}
