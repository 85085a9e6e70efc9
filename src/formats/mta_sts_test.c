#include "formats/mta_sts.h"

#include "base/check.h"
#include "base/test.h"

static void expect_record(const char *text, const char *id)
{
    view got;
    bool is_one = mta_sts_record_parse(view_of(text), &got);
    if (is_one != (id != NULL)) test_fail(__FILE__, __LINE__, "%s", text);
    else if (id) EXPECT_VIEW(got, view_of(id));
}

TEST(mta_sts_reads_records)
{
    expect_record("v=STSv1; id=20160831085700Z;", "20160831085700Z");
    expect_record("v=STSv1;id=1", "1");
    expect_record("v=STSv1 ; a=b ; id=x ; id=y", "x");
    expect_record("v=STSv1; id=", NULL);
    expect_record("v=STSv1;", NULL);
    expect_record("v=STSv1", NULL);
    expect_record("v=STSv10; id=1", NULL);
    expect_record("v=stsv1; id=1", NULL);
    expect_record("v=STSv1; id=a-b", NULL);
    expect_record("v=STSv1; id=123456789012345678901234567890123", NULL);
    expect_record("v=spf1 -all", NULL);
    expect_record("", NULL);
}

static bool parse(const char *text, struct arena *arena, struct mta_sts_policy *p)
{
    const char *reason = NULL;
    bool is_good = mta_sts_policy_parse(view_of(text), arena, p, &reason);
    if (!is_good) EXPECT(reason && *reason);
    return is_good;
}

TEST(mta_sts_reads_policies)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct mta_sts_policy p;
    REQUIRE(parse("version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmx: backupmx.example.com\r\nmax_age: 604800\r\n", arena, &p));
    EXPECT(p.mode == MTA_STS_ENFORCE && p.max_age_s == 604800 && p.pattern_count == 3);
    EXPECT(mta_sts_allows(&p, VIEW("MAIL.example.com")) && mta_sts_allows(&p, VIEW("mx.example.NET")));
    EXPECT(!mta_sts_allows(&p, VIEW("a.b.example.net")) && !mta_sts_allows(&p, VIEW("example.net")) && !mta_sts_allows(&p, VIEW(".example.net")));
    EXPECT(!mta_sts_allows(&p, VIEW("mail.example.com.evil.test")) && !mta_sts_allows(&p, VIEW("")));
    REQUIRE(parse("version:STSv1\nmode:none\nmax_age:9999999999\nnew: thing\nmode: enforce", arena, &p));
    EXPECT(p.mode == MTA_STS_NONE && p.max_age_s == MTA_STS_AGE_MAX_S);
    REQUIRE(parse("mode: testing  \nmax_age: 1\nmx: a.test\nversion: STSv1 \n\n", arena, &p));
    EXPECT(p.mode == MTA_STS_TESTING);
}

TEST(mta_sts_refuses_what_is_no_policy)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct mta_sts_policy p;
    static const char *const broken[] = {
        "", "<html><body>404</body></html>", "version: STSv2\nmode: none\nmax_age: 1\n", "version: STSv1\nmode: enforce\nmax_age: 1\n",
        "version: STSv1\nmode: Enforce\nmx: a\nmax_age: 1\n", "version: STSv1\nmode: enforce\nmx: a\nmax_age: -1\n", "version: STSv1\nmode: enforce\nmx: a\n",
        "version: STSv1\nmode: enforce\nmx: a..b\nmax_age: 1\n", "version: STSv1\nmode: enforce\nmx: *\nmax_age: 1\n",
        "version: STSv1\nmode: enforce\nmx: *.*.a\nmax_age: 1\n", "version: STSv1\nmode: enforce\nmx a\nmax_age: 1\n", "mode: none\nmax_age: 1\n",
    };
    for (size_t i = 0; i < array_size(broken); i++)
        if (parse(broken[i], arena, &p)) test_fail(__FILE__, __LINE__, "%s", broken[i]);
}
