#include "smtpd/message_scan.h"

#include <string.h>

#include "base/check.h"
#include "base/test.h"

static struct message_scan scan_in_pieces(view message, size_t piece_len, uint64_t header_max, uint64_t line_max, unsigned hops_max)
{
    struct message_scan scan;
    message_scan_init(&scan, header_max, line_max, hops_max);
    for (size_t at = 0; at < message.len; at += piece_len) message_scan_piece(&scan, view_slice(message, at, piece_len));
    return scan;
}

TEST(message_scan_counts_hops_in_the_header_alone_whatever_the_chunking)
{
    view message = VIEW("Received: a\r\n\tReceived: folded\r\nRECEIVED: b\r\nX-Received: c\r\nreceived:d\r\n\r\nReceived: body\r\n");
    for (size_t len = 1; len <= message.len; len++) {
        struct message_scan scan = scan_in_pieces(message, len, 1000, 1000, 50);
        EXPECT_NUMBER(scan.hops, 3);
        EXPECT(scan.in_body && scan.verdict == SMTP_SAVED);
        EXPECT_NUMBER(scan.header_bytes, message.len - strlen("Received: body\r\n"));
        EXPECT_NUMBER(scan_in_pieces(message, len, 1000, 1000, 3).verdict, SMTP_SAVED);
        EXPECT_NUMBER(scan_in_pieces(message, len, 1000, 1000, 2).verdict, SMTP_MAIL_LOOP);
    }
}

TEST(message_scan_limits_header_and_lines_exactly)
{
    view message = VIEW("Subject: x\r\n\r\n1234567890123\r\nend");
    for (size_t len = 1; len <= message.len; len++) {
        EXPECT_NUMBER(scan_in_pieces(message, len, 14, 14, 0).verdict, SMTP_SAVED);
        EXPECT_NUMBER(scan_in_pieces(message, len, 13, 14, 0).verdict, SMTP_HEADER_TOO_BIG);
        EXPECT_NUMBER(scan_in_pieces(message, len, 14, 13, 0).verdict, SMTP_LINES_TOO_LONG);
        EXPECT_NUMBER(scan_in_pieces(message, len, 14, 0, 0).verdict, SMTP_SAVED);
    }
}

TEST(message_scan_reads_bare_line_feeds_as_a_reader_of_the_message_does)
{
    struct message_scan scan = scan_in_pieces(VIEW("Received: a\nReceived: b\n\nReceived: c\n"), 7, 1000, 1000, 50);
    EXPECT(scan.in_body);
    EXPECT_NUMBER(scan.hops, 2);
}

TEST(message_scan_takes_what_is_no_message)
{
    EXPECT_NUMBER(scan_in_pieces(VIEW(""), 1, 10, 10, 1).verdict, SMTP_SAVED);
    EXPECT_NUMBER(scan_in_pieces(VIEW("\0\xff\r\r\n"), 1, 10, 10, 1).verdict, SMTP_SAVED);
}
