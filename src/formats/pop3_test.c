#include <string.h>

#include "base/check.h"
#include "base/test.h"
#include "formats/pop3.h"

static struct pop3_command parsed(const char *line)
{
    struct pop3_command command = {.verb = POP3_VERB_COUNT};
    if (pop3_command_parse(view_of(line), &command) != OK) test_fail(__FILE__, __LINE__, "%s is not taken", line);
    return command;
}

TEST(pop3_commands_with_their_arguments)
{
    struct pop3_command c = parsed("USER joe@example.test");
    EXPECT(c.verb == POP3_USER);
    EXPECT_VIEW(c.text, VIEW("joe@example.test"));
    EXPECT_VIEW(parsed("pass  two words ").text, VIEW(" two words "));
    EXPECT(parsed("retr 7").number == 7 && parsed("RETR  7 ").number == 7);
    EXPECT(!parsed("LIST").has_number && parsed("List 4294967295").number == UINT32_MAX && !parsed("UIDL ").has_number);
    EXPECT(parsed("TOP 3 0").lines == 0 && parsed("TOP 3 10").lines == 10 && parsed("TOP 3 10").number == 3);
    EXPECT(parsed("CAPA").verb == POP3_CAPA && parsed("UTF8").verb == POP3_UTF8 && parsed("quit ").verb == POP3_QUIT);
    c = parsed("AUTH PLAIN AGpvZQBwdw==");
    EXPECT_VIEW(c.text, VIEW("PLAIN"));
    EXPECT(c.has_initial);
    EXPECT_VIEW(c.initial, VIEW("AGpvZQBwdw=="));
    EXPECT(!parsed("AUTH PLAIN").has_initial && parsed("AUTH").text.len == 0);
    c = parsed("AUTH EXTERNAL =");
    EXPECT(c.has_initial && c.initial.len == 0);
}

TEST(pop3_commands_that_are_refused)
{
    static const char *const wrong[] = {"RETR", "RETR 0", "RETR x", "RETR 1 2", "RETR -1", "RETR 4294967296", "TOP 1", "TOP 1 -1", "TOP 1 2 3",
                                        "DELE", "STAT 1", "QUIT now", "USER", "PASS ", "LIST 0", "LIST a", "AUTH A B C", "RETR 1\t"};
    static const char *const unknown[] = {"", " ", "RETRX 1", "GET / HTTP/1.0", "APOP a b", " QUIT"};
    struct pop3_command c;
    for (size_t i = 0; i < array_size(wrong); i++)
        if (pop3_command_parse(view_of(wrong[i]), &c) != INVALID) test_fail(__FILE__, __LINE__, "\"%s\" is taken", wrong[i]);
    for (size_t i = 0; i < array_size(unknown); i++)
        if (pop3_command_parse(view_of(unknown[i]), &c) != NOT_FOUND) test_fail(__FILE__, __LINE__, "\"%s\" is known", unknown[i]);
}

static void expect_body(struct pop3_body start, const char *message, const char *want)
{
    for (size_t cut = 1; cut <= strlen(message) + 1; cut++) {
        struct pop3_body p = start;
        buf b CLEANUP(buf_done) = BUF_INIT;
        bool goes_on = true;
        for (size_t at = 0; at < strlen(message) && goes_on; at += cut) goes_on = pop3_body_append(&p, view_slice(view_of(message), at, cut), &b);
        pop3_body_end(&p, &b);
        EXPECT_VIEW(buf_view(&b), view_of(want));
    }
}

TEST(pop3_bodies_are_stuffed_and_ended)
{
    expect_body(pop3_body_whole(), "a\r\n.b\r\n..\r\n", "a\r\n..b\r\n...\r\n.\r\n");
    expect_body(pop3_body_whole(), ".", "..\r\n.\r\n");
    expect_body(pop3_body_whole(), "", ".\r\n");
    expect_body(pop3_body_whole(), "no end", "no end\r\n.\r\n");
    expect_body(pop3_body_whole(), "bare LF\n.\n", "bare LF\n..\n\r\n.\r\n");
    expect_body(pop3_body_whole(), "x\r", "x\r\r\n.\r\n");
    expect_body(pop3_body_whole(), "a.b\r\nc.\r\n\r\n.", "a.b\r\nc.\r\n\r\n..\r\n.\r\n");
}

TEST(pop3_top_ends_after_its_lines)
{
    static const char message[] = "A: 1\r\nB: 2\r\n\r\n.one\r\n\r\nthree\r\nfour";
    expect_body(pop3_body_top(0), message, "A: 1\r\nB: 2\r\n\r\n.\r\n");
    expect_body(pop3_body_top(1), message, "A: 1\r\nB: 2\r\n\r\n..one\r\n.\r\n");
    expect_body(pop3_body_top(3), message, "A: 1\r\nB: 2\r\n\r\n..one\r\n\r\nthree\r\n.\r\n");
    expect_body(pop3_body_top(100), message, "A: 1\r\nB: 2\r\n\r\n..one\r\n\r\nthree\r\nfour\r\n.\r\n");
    expect_body(pop3_body_top(1), "A: 1\n\nx\ny\n", "A: 1\n\nx\n\r\n.\r\n");
    expect_body(pop3_body_top(0), "no empty line\r\n", "no empty line\r\n.\r\n");
    expect_body(pop3_body_top(1), "\r\nbody\r\nmore\r\n", "\r\nbody\r\n.\r\n");
}

TEST(pop3_answers)
{
    buf b CLEANUP(buf_done) = BUF_INIT;
    pop3_append_ok(&b, VIEW(""));
    pop3_append_ok(&b, VIEW("2 320"));
    pop3_append_error(&b, POP3_IN_USE, VIEW("locked"));
    pop3_append_error(&b, POP3_NO_CODE, VIEW("no"));
    EXPECT_VIEW(buf_view(&b), VIEW("+OK\r\n+OK 2 320\r\n-ERR [IN-USE] locked\r\n-ERR no\r\n"));
}

TEST(sasl_plain_of_rfc_4616)
{
    struct sasl_plain p;
    REQUIRE(sasl_plain_parse(VIEW("\0tim\0tanstaaftanstaaf"), &p));
    EXPECT_VIEW(p.user, VIEW("tim"));
    EXPECT_VIEW(p.password, VIEW("tanstaaftanstaaf"));
    REQUIRE(sasl_plain_parse(VIEW("Ursel\0Kurt\0xipj3plmq"), &p));
    EXPECT_VIEW(p.authorization, VIEW("Ursel"));
    EXPECT(!sasl_plain_parse(VIEW(""), &p) && !sasl_plain_parse(VIEW("a\0b"), &p) && !sasl_plain_parse(VIEW("a\0b\0"), &p));
    EXPECT(!sasl_plain_parse(VIEW("\0\0pw"), &p) && !sasl_plain_parse(VIEW("a\0b\0c\0d"), &p) && !sasl_plain_parse(VIEW("\0b\xff\0c"), &p));
}
