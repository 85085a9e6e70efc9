#include <string.h>

#include "base/check.h"
#include "base/test.h"
#include "formats/imap_name.h"

static void expect_utf7(const char *utf8, const char *wire)
{
    buf out CLEANUP(buf_done) = BUF_INIT;
    imap_utf7_append(&out, view_of(utf8));
    EXPECT_VIEW(buf_view(&out), view_of(wire));
    buf_clear(&out);
    EXPECT(imap_utf7_decode(&out, view_of(wire)));
    EXPECT_VIEW(buf_view(&out), view_of(utf8));
}

/* RFC 3501 §5.1.3 */
TEST(imap_utf7_writes_and_reads_the_rfcs_examples)
{
    expect_utf7("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-");
    expect_utf7("a&b", "a&-b");
    expect_utf7("&", "&-");
    expect_utf7("Entwürfe", "Entw&APw-rfe");
    expect_utf7("受信箱", "&U9dP4Xux-");
    expect_utf7("x😀y", "x&2D3eAA-y");
    expect_utf7("é&è", "&AOk-&-&AOg-");
}

TEST(imap_utf7_refuses_what_has_another_form)
{
    static const char *const bad[] = {
        "&",          /* no end */
        "&U",         /* no end */
        "&AGE-",      /* "a" needs no shift */
        "&AOk-&AOk-", /* two shifts in a row */
        "&AOl-",      /* padding bits set */
        "&2D0-",      /* half a surrogate pair */
        "&3gA-",      /* the other half */
        "&ZeVnLIqe",  /* no end */
        "&Jjo!-",     /* not base64 */
        "&AO/-",      /* "/" of real base64 */
        "\x01", "\xc3\xa9", "\x7f",
    };
    buf out CLEANUP(buf_done) = BUF_INIT;
    for (size_t i = 0; i < array_size(bad); i++)
        if (imap_utf7_decode(&out, view_of(bad[i]))) test_fail(__FILE__, __LINE__, "%s is accepted", bad[i]);
    EXPECT_NUMBER(out.len, 0);
}

static result canonical(const char *wire, bool is_utf8, view *ret_name, struct arena *arena)
{
    return imap_name_from_wire(view_of(wire), is_utf8, arena, ret_name);
}

TEST(imap_name_knows_inbox_in_any_case)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 65536);
    view name;
    REQUIRE(canonical("iNbOx", false, &name, arena) == OK);
    EXPECT_VIEW(name, VIEW("INBOX"));
    REQUIRE(canonical("inbox/Sub", false, &name, arena) == OK);
    EXPECT_VIEW(name, VIEW("INBOX/Sub"));
    REQUIRE(canonical("inboxes", false, &name, arena) == OK);
    EXPECT_VIEW(name, VIEW("inboxes"));
    REQUIRE(canonical("Archive/", false, &name, arena) == OK);
    EXPECT_VIEW(name, VIEW("Archive"));
}

TEST(imap_name_is_utf8_when_the_session_is)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 65536);
    view name;
    REQUIRE(canonical("a&AOk-", true, &name, arena) == OK);
    EXPECT_VIEW(name, VIEW("a&AOk-"));
    REQUIRE(canonical("a&AOk-", false, &name, arena) == OK);
    EXPECT_VIEW(name, VIEW("aé"));
    REQUIRE(canonical("aé", false, &name, arena) == OK);
    EXPECT_VIEW(name, VIEW("aé"));
    EXPECT(canonical("a\xe9", true, &name, arena) == INVALID);
}

TEST(imap_name_refuses_controls_empty_levels_and_excess)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 65536);
    char deep[200], longer[1200];
    view name;
    for (size_t i = 0; i < sizeof deep; i++) deep[i] = i % 2 ? '/' : 'a';
    memset(longer, 'x', sizeof longer);
    static const char *const bad[] = {"", "/", "/a", "a//b", "a\tb", "a\x7f", "a\xc2\x80", "a\xe2\x80\xa8"};
    for (size_t i = 0; i < array_size(bad); i++) EXPECT(canonical(bad[i], true, &name, arena) == INVALID);
    EXPECT(imap_name_from_wire(view_make(deep, 199), true, arena, &name) == TOO_BIG);
    EXPECT(imap_name_from_wire(view_make(deep, 63), true, arena, &name) == OK);
    EXPECT(imap_name_from_wire(view_make(longer, 1001), true, arena, &name) == TOO_BIG);
    EXPECT(imap_name_from_wire(view_make(longer, 1000), true, arena, &name) == OK);
}

TEST(imap_pattern_wildcards_respect_levels)
{
    static const struct { const char *pattern, *name; bool matches; } cases[] = {
        {"*", "a/b", true},       {"%", "a/b", false},      {"%", "a", true},         {"a/%", "a/b", true},
        {"a/%", "a/b/c", false},  {"a/*", "a/b/c", true},   {"*c", "a/b/c", true},    {"%/%", "a/b", true},
        {"inbox", "INBOX", true}, {"iNbox/x", "INBOX/x", true}, {"inbox/X", "INBOX/x", false}, {"a", "A", false},
        {"", "a", false},         {"", "", true},           {"a%b*c", "axb/y/c", true}, {"a%b*c", "ax/b/y/c", false},
        {"%", "", true},          {"IN%", "INBOX", true},   {"in%", "INBOX", true},   {"*%*%*", "a/b", true},
    };
    for (size_t i = 0; i < array_size(cases); i++)
        if (imap_pattern_matches(view_of(cases[i].pattern), view_of(cases[i].name)) != cases[i].matches)
            test_fail(__FILE__, __LINE__, "\"%s\" and \"%s\"", cases[i].pattern, cases[i].name);
}

TEST(imap_pattern_of_many_wildcards_takes_no_time)
{
    char pattern[1000], name[1000];
    for (size_t i = 0; i < sizeof pattern; i++) pattern[i] = i % 2 ? '*' : 'a';
    memset(name, 'a', sizeof name);
    name[999] = 'b';
    for (int i = 0; i < 20; i++)
        EXPECT(!imap_pattern_matches(view_make(pattern, 999), view_make(name, 1000)));
}
