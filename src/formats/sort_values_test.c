#include "formats/sort_values.h"

#include "base/check.h"
#include "base/test.h"
#include "formats/collate.h"

static void expect_base(const char *subject, const char *want, bool is_reply)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    bool got;
    EXPECT_VIEW(sort_base_subject(view_of(subject), arena, &got), view_of(want));
    if (got != is_reply) test_fail(__FILE__, __LINE__, "%s: reply %d", subject, got);
}

TEST(sort_base_subject_is_without_artifacts)
{
    expect_base("Hello  \t world ", "Hello world", false);
    expect_base("Re: hello", "hello", true);
    expect_base("RE : re:fwd: FW: hello", "hello", true);
    expect_base("Re[2]: hello", "hello", true);
    expect_base("[list] Re: [list] hello", "hello", true);
    expect_base("[list] hello", "hello", false);
    expect_base("[list]", "[list]", false);
    expect_base("[a] [b]", "[b]", false);
    expect_base("Re: [list]", "[list]", true);
    expect_base("hello (fwd) (FWD) ", "hello", true);
    expect_base("[fwd: hello]", "hello", true);
    expect_base("[Fwd: Re: hello (fwd)]", "hello", true);
    expect_base("Re:", "", true);
    expect_base("Reply: hello", "Reply: hello", false);
    expect_base("[unclosed hello", "[unclosed hello", false);
    expect_base("", "", false);
}

static void expect_collated(const char *text, const char *want)
{
    buf out CLEANUP(buf_done) = BUF_INIT;
    collate_append(&out, view_of(text));
    EXPECT_VIEW(buf_view(&out), view_of(want));
}

TEST(collate_is_unicode_casemap)
{
    expect_collated("abcXYZ_1", "ABCXYZ_1");
    expect_collated("\xc3\xa9", "E\xcc\x81");                       /* é */
    expect_collated("\xc3\x89", "E\xcc\x81");
    expect_collated("\xef\xbd\xb6\xef\xbe\x9e", "\xe3\x82\xab\xe3\x82\x99");    /* half-width ga */
    expect_collated("\xe3\x82\xac", "\xe3\x82\xab\xe3\x82\x99");
    expect_collated("\xea\xb0\x80", "\xe1\x84\x80\xe1\x85\xa1");    /* Hangul ga */
    expect_collated("\xff\x80", "\xff\x80");
}

TEST(sort_values_are_those_of_the_header)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct sort_values v, w;
    sort_values_read(VIEW("Date: 31 Dec 2000 16:01:33 -0800\r\nSubject: =?utf-8?q?Re=3A_Caf=C3=A9?=\r\nFrom: \"Ann B.\" <ann@x.test>\r\n"
                          "To: bob@x.test, other@x.test\r\nMessage-ID: <a@x>\r\nReferences: <1@x> junk <\"2\"@x>\r\n\r\n"), SORT_NEEDS_ALL, arena, &v);
    EXPECT(v.has_date);
    EXPECT_NUMBER(v.sent.ms, 978307293000);
    EXPECT_VIEW(v.subject, VIEW("CAFE\xcc\x81"));
    EXPECT(v.is_reply);
    EXPECT_VIEW(v.from, VIEW("ANN"));
    EXPECT_VIEW(v.display_from, VIEW("ANN B."));
    EXPECT_VIEW(v.to, VIEW("BOB"));
    EXPECT_VIEW(v.display_to, VIEW("BOB@X.TEST"));
    EXPECT_VIEW(v.cc, VIEW_EMPTY);
    EXPECT_NUMBER(v.reference_count, 2);
    sort_values_read(VIEW("Message-ID: <2@x>\r\nIn-Reply-To: text <a@x> <b@x>\r\n\r\n"), SORT_NEEDS_ALL, arena, &w);
    EXPECT(!w.has_date && w.message_id == v.references[1] && w.reference_count == 1 && w.references[0] == v.message_id);
}

TEST(sort_values_are_only_those_that_are_wanted)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    view header = VIEW("Subject: Re: a\r\nTo: b@x\r\nFrom: c@x\r\nMessage-ID: <1@x>\r\nDate: 31 Dec 2000 16:01:33 -0800\r\nDate: 1 Jan 2001 00:00:00 +0000\r\n\r\n");
    struct sort_values v, all;
    sort_values_read(header, SORT_NEEDS_ALL, arena, &all);
    sort_values_read(header, SORT_NEEDS_DATE, arena, &v);
    EXPECT(v.has_date && v.sent.ms == 978307293000);
    EXPECT(v.subject.len == 0 && v.from.len == 0 && v.message_id == 0 && v.subject_hash == 0 && !v.is_reply);
    sort_values_read(header, SORT_NEEDS_THREAD, arena, &v);
    EXPECT(!v.has_date && v.subject.len == 0 && v.message_id && v.message_id == all.message_id && v.is_reply);
    EXPECT(v.subject_hash && v.subject_hash == all.subject_hash && v.subject_hash >> SORT_HASH_BITS == 0 && v.message_id >> SORT_HASH_BITS == 0);
    sort_values_read(header, SORT_NEEDS_SUBJECT | SORT_NEEDS_TO, arena, &v);
    EXPECT_VIEW(v.subject, VIEW("A"));
    EXPECT_VIEW(v.to, VIEW("B"));
    EXPECT(v.from.len == 0 && v.subject_hash == 0);
}

TEST(sort_texts_that_need_decoding_are_decoded)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct sort_values v;
    sort_values_read(VIEW("Subject: a = b?\r\n =?utf-8?q?_c?=\r\nFrom: =?utf-8?q?D=C3=A9?= <e@x>\r\nTo: \"f\tg\" <h@x>\r\n\r\n"), SORT_NEEDS_ALL, arena, &v);
    EXPECT_VIEW(v.subject, VIEW("A = B? C"));
    EXPECT_VIEW(v.display_from, VIEW("DE\xcc\x81"));
    EXPECT_VIEW(v.display_to, VIEW("F G"));
}
