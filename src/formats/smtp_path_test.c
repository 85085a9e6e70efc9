#include "formats/smtp_path.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/test.h"
#include "formats/mail_address.h"

enum { ARENA_BYTES = 64 * 1024 };

struct path_case {
    const char *text;
    const char *local_part, *domain;   /* NULL local part: refused; both empty: the null path */
};

static void expect_path(const struct path_case *wanted, enum smtp_path_kind kind)
{
    struct arena *arena = arena_new(NULL, ARENA_BYTES);
    struct cursor c = cursor_of(view_of(wanted->text));
    struct smtp_path path;
    bool taken = take_smtp_path(&c, kind, arena, &path) && cursor_at_end(&c);
    if (taken != (wanted->local_part != NULL)) test_fail(__FILE__, __LINE__, "%s is %staken", wanted->text, taken ? "" : "not ");
    if (taken && wanted->local_part) {
        EXPECT_VIEW(path.local_part, view_of(wanted->local_part));
        EXPECT_VIEW(path.domain, view_of(wanted->domain));
    }
    arena_free(arena);
}

TEST(smtp_path_reads_mailboxes_as_rfc_5321_has_them)
{
    static const struct path_case cases[] = {
        {"<a@example.test>", "a", "example.test"},
        {"<>", "", ""},
        {"<\"a b\"@example.test>", "a b", "example.test"},
        {"<\"a\\\"b\\\\c\"@example.test>", "a\"b\\c", "example.test"},
        {"<\"a>b\"@example.test>", "a>b", "example.test"},
        {"<\"\"@example.test>", "", "example.test"},
        {"<!#$%&'*+-/=?^_`{|}~@x>", "!#$%&'*+-/=?^_`{|}~", "x"},
        {"<@a.test,@[192.0.2.1]:user@b.test>", "user", "b.test"},
        {"<a@[192.0.2.1]>", "a", "[192.0.2.1]"},
        {"<a@[IPv6:2001:db8::1]>", "a", "[IPv6:2001:db8::1]"},
        {"<\xe4\xbe\xbf\xe3\x82\x8a@\xe4\xbe\x8b.test>", "\xe4\xbe\xbf\xe3\x82\x8a", "\xe4\xbe\x8b.test"},
        {"a@example.test", "a", "example.test"},
        {"<a_b@under_score.test>", "a_b", "under_score.test"},
    };
    for (size_t i = 0; i < array_size(cases); i++) expect_path(&cases[i], SMTP_REVERSE_PATH);
}

TEST(smtp_path_refuses_what_is_no_mailbox)
{
    static const char *const texts[] = {
        "<", "<a", "<a@", "<a@>", "<@x>", "<a@x", "<a b@x>", "<a,b@x>", "<a@x..y>", "<a@.x>", "<a@x y>", "<a@x>>",
        "<\"a@x>", "<\"a\"b@x>", "<\"a\\\"@x>", "<a@[]>", "<a@[1.2.3]>", "<a@[1.2.3.4.5]>", "<a@[IPv6:::1::]>", "<a@[tag:x]>", "<a@x.>",
        "<a@[a:b\\c]>", "<a@b@c>", "<@a,@b>", "<@a:@b:c@d>", "<\xff@x>", "<a@\xff>", "<\xed\xa0\x80@x>", "", "a", "<a>", "@x",
        "<\"a\x01\"@x>", "<postmaster>",
    };
    for (size_t i = 0; i < array_size(texts); i++)
        expect_path(&(struct path_case){texts[i], NULL, NULL}, SMTP_REVERSE_PATH);
}

TEST(smtp_path_forward_takes_postmaster_and_never_null)
{
    expect_path(&(struct path_case){"<Postmaster>", "Postmaster", ""}, SMTP_FORWARD_PATH);
    expect_path(&(struct path_case){"<>", NULL, NULL}, SMTP_FORWARD_PATH);
    expect_path(&(struct path_case){"<other>", NULL, NULL}, SMTP_FORWARD_PATH);
}

TEST(smtp_path_takes_the_local_parts_of_the_carriers)
{
    static const char *const local_parts[] = {"a..b", "a.", ".a", "a...b", "a..b.", "..a", "-a-", "a_.b", "a?b", "a/b.", "+a."};
    for (size_t i = 0; i < array_size(local_parts); i++) {
        char bare[64], quoted[64];
        snprintf(bare, sizeof bare, "<%s@docomo.ne.jp>", local_parts[i]);
        snprintf(quoted, sizeof quoted, "<\"%s\"@docomo.ne.jp>", local_parts[i]);
        expect_path(&(struct path_case){bare, local_parts[i], "docomo.ne.jp"}, SMTP_FORWARD_PATH);
        expect_path(&(struct path_case){quoted, local_parts[i], "docomo.ne.jp"}, SMTP_FORWARD_PATH);
    }
}

TEST(smtp_path_keeps_to_its_limits)
{
    char text[2048];
    for (int over = 0; over <= 1; over++) {
        snprintf(text, sizeof text, "<%0*d@x>", MAIL_ADDRESS_LOCAL_BYTES_TOLERATED + over, 0);
        struct arena *arena = arena_new(NULL, ARENA_BYTES);
        struct cursor c = cursor_of(view_of(text));
        struct smtp_path path;
        EXPECT(take_smtp_path(&c, SMTP_REVERSE_PATH, arena, &path) == !over);
        snprintf(text, sizeof text, "<a@%0*d.test>", 63 + over, 0);
        c = cursor_of(view_of(text));
        EXPECT(take_smtp_path(&c, SMTP_REVERSE_PATH, arena, &path) == !over);
        EXPECT(!over || cursor_position(&c) == 0);
        snprintf(text, sizeof text, "<\"%0*d.\"@x>", MAIL_ADDRESS_LOCAL_BYTES_TOLERATED - 1 + over, 0);
        c = cursor_of(view_of(text));
        EXPECT(take_smtp_path(&c, SMTP_REVERSE_PATH, arena, &path) == !over);
        arena_free(arena);
    }
}

TEST(smtp_path_is_written_quoted_where_the_rfc_wants_it)
{
    static const struct { const char *in, *out; } cases[] = {
        {"<a.b@x>", "<a.b@x>"}, {"<a..b@x>", "<\"a..b\"@x>"}, {"<.a@x>", "<\".a\"@x>"}, {"<\"a\"@x>", "<a@x>"},
        {"<\"a\\\"\\\\ \"@x>", "<\"a\\\"\\\\ \"@x>"}, {"<>", "<>"}, {"<@r:a@x>", "<a@x>"},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        struct arena *arena = arena_new(NULL, ARENA_BYTES);
        struct cursor c = cursor_of(view_of(cases[i].in));
        struct smtp_path path;
        buf out CLEANUP(buf_done) = BUF_INIT;
        REQUIRE(take_smtp_path(&c, SMTP_REVERSE_PATH, arena, &path));
        smtp_path_append(&out, &path);
        EXPECT_VIEW(buf_view(&out), view_of(cases[i].out));
        arena_free(arena);
    }
}
