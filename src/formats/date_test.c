#include "base/check.h"
#include "base/test.h"
#include "formats/date.h"

static void expect_date(const char *text, const char *want)
{
    struct date date;
    buf b CLEANUP(buf_done) = BUF_INIT;
    if (!date_parse(view_of(text), &date)) {
        test_fail(__FILE__, __LINE__, "\"%s\" is not read", text);
        return;
    }
    date_append(&b, date);
    if (!view_equal(buf_view(&b), view_of(want)))
        test_fail(__FILE__, __LINE__, "\"%s\" is read as \"" VIEW_FMT "\", not \"%s\"", text, VIEW_ARG(buf_view(&b)), want);
}

TEST(date_reads_what_rfc_5322_writes)
{
    /* RFC 5322 appendix A */
    expect_date("Fri, 21 Nov 1997 09:55:06 -0600", "Fri, 21 Nov 1997 09:55:06 -0600");
    expect_date("Tue, 1 Jul 2003 10:52:37 +0200", "Tue, 01 Jul 2003 10:52:37 +0200");
    expect_date("Thu, 13 Feb 1969 23:32:54 -0330", "Thu, 13 Feb 1969 23:32:54 -0330");
    expect_date("Thu,\r\n      13\r\n        Feb\r\n          1969\r\n      23:32\r\n               -0330 (Newfoundland Time)",
                "Thu, 13 Feb 1969 23:32:00 -0330");
    expect_date("21 Nov 97 09:55:06 GMT", "Fri, 21 Nov 1997 09:55:06 +0000");
    expect_date("Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", "Fri, 21 Nov 1997 09:55:06 -0600");
}

TEST(date_reads_obsolete_and_broken_forms)
{
    expect_date("Sun, 6 Nov 94 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 +0000");
    expect_date("1 Jan 05 00:00 EST", "Sat, 01 Jan 2005 00:00:00 -0500");
    expect_date("1 Jan 104 00:00:00 Z", "Thu, 01 Jan 2004 00:00:00 +0000");
    expect_date("Sun Nov  6 08:49:37 1994", "Sun, 06 Nov 1994 08:49:37 +0000");
    expect_date("Mon Feb  1 09:00:00 JST 2026", "Sun, 01 Feb 2026 09:00:00 +0900");
    expect_date("Sun Feb  1 09:00:00 2026 +0900", "Sun, 01 Feb 2026 09:00:00 +0900");
    expect_date("Sunday, 01-Feb-26 09:00:00 GMT", "Sun, 01 Feb 2026 09:00:00 +0000");
    expect_date("1 February 2026 9:00 +09:00", "Sun, 01 Feb 2026 09:00:00 +0900");
    expect_date("Sun, 01 Feb 2026 09.00.00 +0900", "Sun, 01 Feb 2026 09:00:00 +0900");
    expect_date("Sun, 01 Feb 2026", "Sun, 01 Feb 2026 00:00:00 +0000");
    expect_date("Thu, 30 Jun 2016 23:59:60 +0000", "Thu, 30 Jun 2016 23:59:59 +0000");
    expect_date("Sun, 01 Feb 2026 24:00:00 +0000", "Sun, 01 Feb 2026 23:59:59 +0000");
    expect_date("Sun, 01 Feb 2026 09:00:00 +9999", "Sun, 01 Feb 2026 09:00:00 +0000");
    expect_date("Sun, 01 Feb 2026 09:00:00.123 GMT+0900", "Sun, 01 Feb 2026 09:00:00 +0900");
}

TEST(date_refuses_what_names_no_day)
{
    static const char *const texts[] = {"", "today", "(((( Sun, 01 Feb 2026", "Sun,", "31 Feb 2026 00:00:00 +0000", "0 Jan 2026", "1 Jxn 2026",
                                        "99999999999 Jan 2026", "1 Jan", "-1 Jan 2026", "1 Jan 0000 00:00:00 +0000"};
    struct date date;
    for (size_t i = 0; i < array_size(texts); i++)
        if (date_parse(view_of(texts[i]), &date)) test_fail(__FILE__, __LINE__, "\"%s\" is read", texts[i]);
}

TEST(date_calendar_goes_both_ways)
{
    for (int64_t day = -719162; day < 2932896; day += 37) {        /* 0001-01-01 to 9999-12-31 */
        unix_ms at = {day * 86400000 + 12345678}, back;
        struct civil c = civil_of(at, 540);
        REQUIRE(civil_to_unix(&c, 540, &back));
        EXPECT_NUMBER(back.ms, at.ms);
        EXPECT_NUMBER(c.weekday, (((day + 4) % 7) + 7) % 7);
    }
    struct civil epoch = civil_of((unix_ms){-1}, 0);
    EXPECT(epoch.year == 1969 && epoch.month == 12 && epoch.day == 31 && epoch.second == 59 && epoch.millisecond == 999);
}

TEST(date_day_is_that_of_the_writers_zone)
{
    struct date d;
    REQUIRE(date_parse(VIEW("Thu, 01 Jan 1970 23:30:00 -0800"), &d));
    EXPECT_NUMBER(date_day(d), 0);
    REQUIRE(date_parse(VIEW("Thu, 01 Jan 1970 05:00:00 +0900"), &d));
    EXPECT_NUMBER(date_day(d), 0);
}

TEST(date_imap_goes_both_ways)
{
    static const char *const texts[] = {"17-Jul-1996 02:44:25 -0700", " 1-Feb-2026 09:00:00 +0900", "31-Dec-9998 23:59:59 +0000"};
    for (size_t i = 0; i < array_size(texts); i++) {
        struct date d;
        buf b CLEANUP(buf_done) = BUF_INIT;
        REQUIRE(date_imap_parse(view_of(texts[i]), &d));
        date_imap_append(&b, d);
        EXPECT_VIEW(buf_view(&b), view_of(texts[i]));
    }
    struct date d;
    EXPECT(!date_imap_parse(VIEW("17-Jul-1996 02:44:25"), &d) && !date_imap_parse(VIEW("17-Jul-96 02:44:25 -0700"), &d));
    EXPECT(!date_imap_parse(VIEW("31-Feb-1996 02:44:25 -0700"), &d) && !date_imap_parse(VIEW("17-July-1996 02:44:25 -0700"), &d));
    EXPECT(!date_imap_parse(VIEW("17-Jul-1996 02:44:25 -0700 "), &d) && !date_imap_parse(VIEW(""), &d));
    int32_t day;
    EXPECT(date_imap_day_parse(VIEW("1-Feb-1970"), &day) && day == 31);
    EXPECT(!date_imap_day_parse(VIEW("1-Feb"), &day) && !date_imap_day_parse(VIEW("30-Feb-1970"), &day));
}
