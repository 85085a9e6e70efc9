#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/test.h"
#include "base/utf8.h"
#include "formats/mail_address.h"

static struct arena *test_arena(void)
{
    static struct arena *arena;
    if (!arena) arena = arena_new(NULL, 64 << 20);
    return arena;
}

/* A list in one line: name|route|local|domain; "{name" and "}" for a group. */
static void show_list(buf *b, const struct mail_address *a)
{
    for (; a; a = a->next) {
        if (b->len) buf_append_byte(b, ' ');
        if (a->kind == MAIL_ADDRESS_GROUP_START) {
            buf_appendf(b, "{" VIEW_FMT, VIEW_ARG(a->name));
        } else if (a->kind == MAIL_ADDRESS_GROUP_END) {
            buf_append_byte(b, '}');
        } else {
            buf_appendf(b, VIEW_FMT "|" VIEW_FMT "|" VIEW_FMT "|" VIEW_FMT, VIEW_ARG(a->name), VIEW_ARG(a->route), VIEW_ARG(a->local),
                        VIEW_ARG(a->domain));
        }
    }
}

static void expect_list(const char *value, const char *want)
{
    buf b CLEANUP(buf_done) = BUF_INIT;
    show_list(&b, mail_address_list_parse(view_of(value), test_arena()));
    if (!view_equal(buf_view(&b), view_of(want)))
        test_fail(__FILE__, __LINE__, "%s\n#   is read as %.*s\n#   not        %s", value, VIEW_ARG(buf_view(&b)), want);
}

TEST(mail_address_lists_of_rfc_5322)
{
    expect_list("John Doe <jdoe@machine.example>", "John Doe||jdoe|machine.example");
    expect_list("\"Joe Q. Public\" <john.q.public@example.com>", "Joe Q. Public||john.q.public|example.com");
    expect_list("Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>", "Mary Smith||mary|x.test ||jdoe|example.org Who?||one|y.test");
    expect_list("<boss@nil.test>, \"Giant; \\\"Big\\\" Box\" <sysservices@example.net>", "||boss|nil.test Giant; \"Big\" Box||sysservices|example.net");
    expect_list("A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;",
                "{A Group Ed Jones||c|a.test ||joe|where.test John||jdoe|one.test }");
    expect_list("Undisclosed recipients:;", "{Undisclosed recipients }");
    expect_list("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", "Pete||pete|silly.test");
    expect_list("A Group(Some people)\r\n     :Chris Jones <c@(Chris's host.)public.example>,\r\n         joe@example.org,\r\n"
                "  John <jdoe@one.test> (my dear friend); (the end of the group)",
                "{A Group Chris Jones||c|public.example ||joe|example.org John||jdoe|one.test }");
    expect_list("(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;", "{Hidden recipients }");
    expect_list("Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example", "Mary Smith|@node.test|mary|example.net ||jdoe|test.example");
    expect_list("<@a.test,@b.test:mary@example.net>", "|@a.test,@b.test|mary|example.net");
}

TEST(mail_address_lists_as_they_are_met)
{
    expect_list("", "");
    expect_list(" , ;, ", "");
    expect_list("taro@example.jp (Yamada Taro)", "Yamada Taro||taro|example.jp");
    expect_list("<a..b.@ezweb.ne.jp>, .a@docomo.ne.jp, Name <a.@docomo.ne.jp>", "||a..b.|ezweb.ne.jp ||.a|docomo.ne.jp Name||a.|docomo.ne.jp");
    expect_list("\"a..b\"@docomo.ne.jp", "||a..b|docomo.ne.jp");
    expect_list("foo@bar.test <foo@bar.test>", "foo@bar.test||foo|bar.test");
    expect_list("a@x.test; b@y.test", "||a|x.test ||b|y.test");
    expect_list("Doe, John <j@x.test>", "||Doe| John||j|x.test");
    expect_list("root", "||root|");
    expect_list("John Smith", "John Smith|||");
    expect_list("John a@x.test", "John||a|x.test");
    expect_list("a@b@c.test", "||a@b|c.test");
    expect_list("<a@x.test", "||a|x.test");
    expect_list("Name <a@x.test, b@y.test", "Name||a|x.test ||b|y.test");
    expect_list("<<a@x.test>>", "||a|x.test");
    expect_list("Name <>", "Name|||");
    expect_list("user@[192.0.2.1], u@[IPv6:2001:db8::1]", "||user|[192.0.2.1] ||u|[IPv6:2001:db8::1]");
    expect_list("[ML, all] Bot <a@x.test>", "[ML, all] Bot||a|x.test");
    expect_list("\"never ends <a@x.test>, b@y.test", "\"never ends||a|x.test ||b|y.test");
    expect_list("(never ends <a@x.test>, b@y.test", "(never ends||a|x.test ||b|y.test");
    expect_list("=?UTF-8?B?5pel?= =?UTF-8?B?5pys?= <a@x.test>", "=?UTF-8?B?5pel?= =?UTF-8?B?5pys?=||a|x.test");
    expect_list("Friends: a@x.test, b@y.test", "{Friends ||a|x.test ||b|y.test }");
    expect_list("\x1b$BI\"L@<#\x1b(B <taro@example.jp>", "\x1b$BI\"L@<#\x1b(B||taro|example.jp");
    expect_list("\"\x95\x5c\" <taro@example.jp>, b@y.test", "\x95\x5c||taro|example.jp ||b|y.test");
}

TEST(mail_address_list_time_and_size_are_bounded)
{
    static const char *const patterns[] = {"a@b,", "\"", "(", "<", "\\\"", "[", ":", "@", "\x1b$B", "a:b;", "(\\(", "\xe3\x81", ",", "<a@b>", "<@"};
    for (size_t i = 0; i < array_size(patterns); i++) {
        buf b CLEANUP(buf_done) = BUF_INIT;
        while (b.len < 300000) buf_append_cstr(&b, patterns[i]);
        struct arena *arena = arena_new(NULL, 8 << 20);
        unsigned count = 0;
        for (struct mail_address *a = mail_address_list_parse(buf_view(&b), arena); a; a = a->next) count++;
        EXPECT(count <= MAIL_ADDRESS_COUNT_MAX);
        arena_free(arena);
    }
    struct arena *tiny = arena_new(NULL, 200);
    mail_address_list_parse(VIEW("a@b.test, c@d.test, e@f.test, g@h.test"), tiny);
    arena_free(tiny);
}

TEST(mail_address_of_smtp_is_judged)
{
    struct smtp_address a;
    REQUIRE(mail_address_parse(VIEW("\"a b\\\"c\"@example.test"), 0, test_arena(), &a));
    EXPECT_VIEW(a.local, VIEW("a b\"c"));
    EXPECT_VIEW(a.domain, VIEW("example.test"));
    EXPECT(mail_address_parse(VIEW("a@[IPv6:2001:db8::1]"), 0, test_arena(), &a) && a.is_literal);
    EXPECT(!mail_address_parse(VIEW("a@[IPv6:2001:db8::1]"), MAIL_ADDRESS_NO_LITERAL, test_arena(), &a));
    EXPECT(!mail_address_parse(VIEW("日本@example.test"), 0, test_arena(), &a));
    EXPECT(mail_address_parse(VIEW("日本@例え.test"), MAIL_ADDRESS_UTF8, test_arena(), &a));
    EXPECT(!mail_address_parse(VIEW("\xff@example.test"), MAIL_ADDRESS_UTF8, test_arena(), &a));
    EXPECT(!mail_address_parse(VIEW("a@b_c.test"), 0, test_arena(), &a));
    EXPECT(mail_address_parse(VIEW("a@b_c.test"), MAIL_ADDRESS_TOLERANT, test_arena(), &a));
    char local[300];
    memset(local, 'x', sizeof local);
    memcpy(local + 100, "@example.test", 13);
    EXPECT(!mail_address_parse(view_make(local, 113), 0, test_arena(), &a));
    EXPECT(mail_address_parse(view_make(local, 113), MAIL_ADDRESS_TOLERANT, test_arena(), &a));
    buf b CLEANUP(buf_done) = BUF_INIT;
    mail_address_append(&b, VIEW("a..b\"\\"), VIEW("docomo.ne.jp"));
    EXPECT_VIEW(buf_view(&b), VIEW("\"a..b\\\"\\\\\"@docomo.ne.jp"));
}

static view data_file(const char *path)
{
    const char *folder = test_data_folder();
    if (!folder) test_skip("no shared test data");
    char name[1024];
    snprintf(name, sizeof name, "%s/%s", folder, path);
    FILE *file = fopen(name, "rb");
    if (!file) test_skip("a file of the shared test data is missing");
    buf b = BUF_INIT;
    size_t got;
    while ((got = fread((buf_reserve(&b, 65536), b.at + b.len), 1, 65536, file)) > 0) b.len += got;
    fclose(file);
    view kept = arena_keep(test_arena(), buf_view(&b));
    buf_done(&b);
    return kept;
}

/* The text of <name>...</name> in `test`. */
static view element_of(view test, const char *open, const char *close)
{
    size_t from = view_find_view(test, view_of(open));
    if (from == VIEW_NONE) return VIEW_EMPTY;
    view rest = view_from(test, from + strlen(open));
    size_t end = view_find_view(rest, view_of(close));
    return end == VIEW_NONE ? VIEW_EMPTY : view_slice(rest, 0, end);
}

/* XML entities resolved; U+2400 and above stand for control characters. */
static view plain_text(view xml)
{
    buf b = BUF_INIT;
    while (xml.len) {
        size_t end = view_find(xml, ';');
        uint32_t code_point;
        view entity = xml.at[0] == '&' && end != VIEW_NONE ? view_slice(xml, 1, end - 1) : VIEW_EMPTY;
        if (entity.len) {
            char name[16];
            snprintf(name, sizeof name, VIEW_FMT, VIEW_ARG(entity));
            code_point = entity.at[0] == '#' ? (uint32_t)strtoul(name + 2, NULL, 16) : strcmp(name, "lt") == 0 ? '<' :
                         strcmp(name, "gt") == 0 ? '>' : strcmp(name, "quot") == 0 ? '"' : '&';
            xml = view_from(xml, end + 1);
        } else if (!utf8_take(&xml, &code_point)) {
            break;
        }
        if (code_point >= 0x2400 && code_point <= 0x241f) buf_append_byte(&b, (char)(code_point - 0x2400));
        else if (code_point == 0x2421) buf_append_byte(&b, 0x7f);
        else utf8_append(&b, code_point);
    }
    view kept = arena_keep(test_arena(), buf_view(&b));
    buf_done(&b);
    return kept;
}

static bool is_one_of(view category, const char *const *names)
{
    for (; *names; names++)
        if (view_equal(category, view_of(*names))) return true;
    return false;
}

/* "::" for a single group: RFC 5321 §4.1.3 wants two or more, inet_pton() and RFC 4291 do not care, nor do we. */
static bool is_known_difference(view diagnosis)
{
    return view_equal(diagnosis, VIEW("ISEMAIL_RFC5321_IPV6DEPRECATED"));
}

static unsigned check_isemail_file(const char *path)
{
    static const char *const for_smtp[] = {"ISEMAIL_VALID_CATEGORY", "ISEMAIL_DNSWARN", "ISEMAIL_RFC5321", NULL};
    view rest = data_file(path);
    unsigned count = 0;
    for (size_t at; (at = view_find_view(rest, VIEW("<test "))) != VIEW_NONE;) {
        rest = view_from(rest, at);
        size_t end = view_find_view(rest, VIEW("</test>"));
        view test = view_slice(rest, 0, end), category = element_of(test, "<category>", "</category>");
        view text = plain_text(element_of(test, "<address>", "</address>")), diagnosis = element_of(test, "<diagnosis>", "</diagnosis>");
        rest = view_from(rest, end);
        struct smtp_address a;
        bool is_taken = mail_address_parse(text, 0, test_arena(), &a), want = is_one_of(category, for_smtp);
        mail_address_list_parse(text, test_arena());
        count++;
        if (is_taken != want && !is_known_difference(diagnosis))
            test_fail(__FILE__, __LINE__, "%s \"" VIEW_FMT "\" (" VIEW_FMT " " VIEW_FMT ")", is_taken ? "taken:" : "refused:", VIEW_ARG(text),
                      VIEW_ARG(category), VIEW_ARG(diagnosis));
    }
    return count;
}

TEST(mail_address_agrees_with_is_email)
{
    EXPECT(check_isemail_file("addresses/tests.xml") > 150);
    EXPECT(check_isemail_file("addresses/tests-original.xml") > 200);
}

TEST(mail_address_takes_what_carriers_issued)
{
    view text = data_file("addresses/carrier.json");
    json_t *root = json_loadb(text.at, text.len, 0, NULL), *one;
    size_t index;
    REQUIRE(root);
    json_array_foreach(json_object_get(root, "cases"), index, one) {
        const char *local = json_string_value(json_object_get(one, "local")), *same = json_string_value(json_object_get(one, "same_as"));
        struct smtp_address a, quoted;
        view address = arena_printf(test_arena(), "%s@docomo.ne.jp", local);
        bool is_taken = mail_address_parse(address, MAIL_ADDRESS_TOLERANT, test_arena(), &a);
        if (is_taken != json_is_true(json_object_get(one, "accept"))) test_fail(__FILE__, __LINE__, "%s: taken %d", local, is_taken);
        if (!same) continue;
        REQUIRE(mail_address_parse(arena_printf(test_arena(), "%s@docomo.ne.jp", same), 0, test_arena(), &quoted));
        EXPECT_VIEW(quoted.local, a.local);
        struct mail_address *listed = mail_address_list_parse(address, test_arena());
        REQUIRE(listed);
        EXPECT_VIEW(listed->local, view_of(local));
        EXPECT_VIEW(listed->domain, VIEW("docomo.ne.jp"));
    }
    json_decref(root);
}

TEST(mail_address_reads_what_mailgun_takes)
{
    view rest = data_file("mime/flanker/mailbox_valid.txt"), line;
    unsigned count = 0;
    while (view_cut(&rest, '\n', &line)) {
        if (line.len == 0 || line.at[0] == '#') continue;
        const struct mail_address *a = mail_address_list_parse(line, test_arena());
        count++;
        if (!a || a->next || a->local.len == 0 || a->domain.len == 0) test_fail(__FILE__, __LINE__, VIEW_FMT " is not one mailbox", VIEW_ARG(line));
    }
    EXPECT(count > 100);
}
