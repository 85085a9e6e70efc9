#include "formats/smtp_reply.h"

#include <string.h>

#include "base/check.h"
#include "base/test.h"

TEST(smtp_reply_writes_code_enhanced_code_and_text)
{
    buf out CLEANUP(buf_done) = BUF_INIT;
    smtp_reply_append(&out, SMTP_NO_SUCH_USER, VIEW_EMPTY);
    smtp_reply_append(&out, SMTP_START_DATA, VIEW_EMPTY);
    smtp_reply_appendf(&out, SMTP_SAVED, "%s saved", "0123");
    EXPECT_VIEW(buf_view(&out),
                VIEW("550 5.1.1 No such user\r\n354 End data with <CR><LF>.<CR><LF>\r\n250 2.0.0 0123 saved\r\n"));
}

TEST(smtp_reply_repeats_both_codes_on_each_line)
{
    buf out CLEANUP(buf_done) = BUF_INIT;
    smtp_reply_append(&out, SMTP_HELP_TEXT, VIEW("one\ntwo"));
    smtp_reply_append(&out, SMTP_HELLO, VIEW("mx.example.test\nPIPELINING\nHELP"));
    EXPECT_VIEW(buf_view(&out),
                VIEW("214-2.0.0 one\r\n214 2.0.0 two\r\n250-mx.example.test\r\n250-PIPELINING\r\n250 HELP\r\n"));
}

TEST(smtp_reply_lets_no_text_forge_a_line)
{
    buf out CLEANUP(buf_done) = BUF_INIT;
    smtp_reply_append(&out, SMTP_NO_SUCH_USER, VIEW("a\r250 b\0c\xe3"));
    EXPECT_VIEW(buf_view(&out), VIEW("550 5.1.1 a?250 b?c?\r\n"));
}

TEST(smtp_reply_lines_are_never_longer_than_the_rfc_allows)
{
    char text[3000];
    buf out CLEANUP(buf_done) = BUF_INIT;
    memset(text, 'x', sizeof text);
    text[1500] = '\n';
    smtp_reply_append(&out, SMTP_LOCAL_ERROR, view_make(text, sizeof text));
    view rest = buf_view(&out), line;
    size_t octets = 0, lines = 0;
    while (view_cut(&rest, '\n', &line)) {
        EXPECT(line.len + 1 <= SMTP_REPLY_LINE_MAX);
        EXPECT(view_starts(line, rest.len ? VIEW("451-4.3.0 ") : VIEW("451 4.3.0 ")));
        for (size_t i = 0; i < line.len; i++) octets += line.at[i] == 'x';
        lines++;
    }
    EXPECT_NUMBER(octets, sizeof text - 1);
    EXPECT(lines > 6);
}

TEST(smtp_status_enhanced_class_agrees_with_the_code)
{
    for (int i = 0; i < SMTP_STATUS_COUNT; i++) {
        const struct smtp_status *status = smtp_status((enum smtp_status_name)i);
        unsigned class = status->code / 100u;
        EXPECT(class >= 2 && class <= 5 && status->text);
        EXPECT(class == 3 || status->subject == SMTP_NO_ENHANCED_CODE || status->subject <= 7);
    }
}

TEST(smtp_status_of_every_result_is_temporary_where_trying_again_helps)
{
    static const result temporary[] = {BUSY, TIMEOUT, CANCELLED, UNAVAILABLE, UNKNOWN_OUTCOME, CORRUPT, IO, CONFLICT, OVER_QUOTA};
    for (size_t i = 0; i < array_size(temporary); i++)
        EXPECT_NUMBER(smtp_status(smtp_status_of_result(temporary[i]))->code / 100, 4);
    EXPECT_NUMBER(smtp_status(smtp_status_of_result(NOT_FOUND))->code, 550);
    EXPECT_NUMBER(smtp_status(smtp_status_of_result((result)99))->code, 451);
}
