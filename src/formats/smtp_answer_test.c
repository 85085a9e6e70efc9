#include "base/check.h"
#include "base/test.h"
#include "formats/smtp_answer.h"

static void read_lines(struct smtp_answer *a, const char *text)
{
    view rest = view_of(text), line;
    while (view_cut(&rest, '\n', &line)) EXPECT(smtp_answer_line(a, line));
}

TEST(smtp_answer_of_one_line)
{
    struct smtp_answer a;
    buf text CLEANUP(buf_done) = BUF_INIT;
    smtp_answer_init(&a);
    read_lines(&a, "550 5.1.1 <a@example.org>: no such user\r");
    EXPECT(a.is_whole && smtp_answer_is_permanent(&a));
    EXPECT_NUMBER(a.code, 550);
    EXPECT(a.class == 5 && a.subject == 1 && a.detail == 1);
    smtp_answer_append(&text, &a);
    EXPECT_VIEW(buf_view(&text), VIEW("550 5.1.1 <a@example.org>: no such user?"));
    smtp_answer_clear(&a);
    read_lines(&a, "250");
    EXPECT(a.is_whole && smtp_answer_is_ok(&a) && a.text.len == 0);
    smtp_answer_done(&a);
}

TEST(smtp_answer_of_several_lines_makes_an_offer)
{
    struct smtp_answer a;
    struct smtp_offer offer;
    smtp_answer_init(&a);
    read_lines(&a, "250-mx.example.org PIPELINING is my name\n250-pipelining\n250-SIZE 10240000\n250-8BITMIME\n250-AUTH PLAIN\n250 STARTTLS");
    REQUIRE(a.is_whole);
    smtp_offer_parse(buf_view(&a.text), &offer);
    EXPECT(offer.pipelining && offer.size && offer.eight_bit && offer.starttls && !offer.utf8 && !offer.chunking && !offer.dsn);
    EXPECT_NUMBER(offer.size_bytes_max, 10240000);
    smtp_answer_done(&a);
}

TEST(smtp_answer_that_breaks_the_grammar_is_told)
{
    static const char *const broken[] = {"", "25", "25x Ok", "150 x", "650 x", "250_ok", "HTTP/1.1 400 Bad Request"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        struct smtp_answer a;
        smtp_answer_init(&a);
        EXPECT(!smtp_answer_line(&a, view_of(broken[i])));
        smtp_answer_done(&a);
    }
    struct smtp_answer a;
    smtp_answer_init(&a);
    EXPECT(smtp_answer_line(&a, VIEW("250-one")) && !smtp_answer_line(&a, VIEW("550 two")));
    smtp_answer_done(&a);
}

TEST(smtp_answer_without_end_is_bounded)
{
    struct smtp_answer a;
    buf line CLEANUP(buf_done) = BUF_INIT;
    unsigned lines = 0;
    smtp_answer_init(&a);
    buf_append(&line, VIEW("250-"));
    for (int i = 0; i < 1000; i++) buf_append_byte(&line, 'x');
    while (smtp_answer_line(&a, buf_view(&line))) lines++;
    EXPECT_NUMBER(lines, SMTP_ANSWER_LINES_MAX);
    EXPECT(a.text.len <= SMTP_ANSWER_TEXT_MAX);
    smtp_answer_done(&a);
}
