/* What submission refuses in a header, whatever its bytes do to those who read it. */
#include "base/test.h"
#include "identity/directory.h"
#include "runtime/clock.h"
#include "smtpd/post_office.h"
#include "smtpd/submission_header.h"

/* The last answer to a message of a@example.test with these fields. */
static void submit(view header, const char *expected)
{
    struct smtpd_options options = smtpd_default_options();
    buf input CLEANUP(buf_done) = BUF_INIT, replies CLEANUP(buf_done) = BUF_INIT;
    options.server_name = VIEW("mx.example.test");
    options.allows_plain_login = true;
    struct post_office *o = post_office_open(1, &options);
    buf_append(&input, VIEW("EHLO x\r\nAUTH PLAIN AGFAZXhhbXBsZS50ZXN0AHNlY3JldA==\r\nMAIL FROM:<a@example.test>\r\nRCPT TO:<c@example.test>\r\nDATA\r\n"));
    buf_append(&input, header);
    buf_append(&input, VIEW("\r\nbody\r\n.\r\n"));
    post_office_converse(o, SMTPD_SUBMISSION, buf_view(&input), 0, &replies);
    size_t go_on = view_find_view(buf_view(&replies), VIEW("\r\n354 "));
    view last = view_from(buf_view(&replies), go_on == VIEW_NONE ? 0 : go_on + 6), line;
    (void)!view_cut(&last, '\n', &line);
    if (!view_starts(last, view_of(expected))) test_fail(__FILE__, __LINE__, "expected %s, got " VIEW_FMT, expected, VIEW_ARG(buf_view(&replies)));
    post_office_close(o);
}

#define TAKEN "250 2.0.0 "
#define NOT_YOURS "550 5.7.1 From or Sender"

TEST(submission_looks_at_all_authors)
{
    buf many CLEANUP(buf_done) = BUF_INIT;
    submit(VIEW("From: A <a@example.test>\r\nSubject: x\r\n"), TAKEN);
    submit(VIEW("From: A <a@example.test>\r\nSender: all@example.test\r\n"), TAKEN);
    submit(VIEW("From: A <a@example.test>, B <b@example.test>\r\n"), NOT_YOURS);
    submit(VIEW("From: A <a@example.test>\r\nFrom : b@example.test\r\n"), NOT_YOURS);
    /* Behind more than a reader of address lists takes. */
    buf_append(&many, VIEW("From: a@example.test"));
    for (int i = 0; i < 1500; i++) buf_append(&many, VIEW(",x:;"));
    buf_append(&many, VIEW(",b@example.test\r\n"));
    submit(buf_view(&many), NOT_YOURS);
    buf_clear(&many);
    buf_append(&many, VIEW("From: a@example.test"));
    for (int i = 0; i < 60000; i++) buf_append(&many, VIEW(",\r\n  "));
    buf_append(&many, VIEW("b@example.test\r\n"));
    submit(buf_view(&many), NOT_YOURS);
}

/* Which of two addresses without a comma is the author depends on who reads. */
TEST(submission_refuses_two_angle_addresses_in_one)
{
    submit(VIEW("From: <b@example.test> <a@example.test>\r\n"), NOT_YOURS);
    submit(VIEW("From: B <b@example.test>\r\n A <a@example.test>\r\n"), NOT_YOURS);
    submit(VIEW("From: B <@x,@y:b@example.test> <a@example.test>\r\n"), NOT_YOURS);
    submit(VIEW("From: B <b@example.test><a@example.test>\r\n"), NOT_YOURS);
    submit(VIEW("From: \"B <b@example.test>\r\n <a@example.test>\r\n"), NOT_YOURS);
    submit(VIEW("From: A <a@example.test>\r\nSender: <b@example.test> <a@example.test>\r\n"), NOT_YOURS);
    /* Quotes, comments and lists are no harm, and a name in Japanese has any byte. */
    submit(VIEW("From: \"<A>\" (<x>) <a@example.test>\r\n"), TAKEN);
    submit(VIEW("From: A <a@example.test>, all <all@example.test>\r\n"), TAKEN);
    submit(VIEW("From: we: A <a@example.test>, all <all@example.test>;\r\n"), TAKEN);
    submit(VIEW("From: \x1b$B<<<>\x1b(B <a@example.test>\r\n"), TAKEN);
}

TEST(submission_bears_any_number_of_authors)
{
    buf many CLEANUP(buf_done) = BUF_INIT;
    for (int field = 0; field < 400; field++) {
        buf_append(&many, VIEW("From: "));
        for (int i = 0; i < 499; i++) buf_append(&many, VIEW("x:;"));
        buf_append(&many, VIEW("\r\n"));
    }
    buf_append(&many, VIEW("Sender: a@example.test\r\n"));
    submit(buf_view(&many), NOT_YOURS);
}

TEST(submission_tells_nobody_of_hidden_recipients)
{
    struct submission_facts facts = {.server_name = VIEW("mx.example.test")};
    buf out CLEANUP(buf_done) = BUF_INIT;
    submission_header_complete(VIEW("Date: x\r\nMessage-ID: <a@b>\r\nbcc: c@example.test,\r\n d@example.test\r\nResent-Bcc : d@example.test\r\nTo: a\r\n\r\n"), &facts, &out);
    EXPECT_VIEW(buf_view(&out), VIEW("Date: x\r\nMessage-ID: <a@b>\r\nTo: a\r\n\r\n"));
}

/* Many readers end a line at a lone CR, and so does the sending end, which has to send something there (flow/smtp_client.h). */
TEST(submission_finds_authors_behind_a_lone_cr)
{
    submit(VIEW("Subject: x\rFrom: b@example.test\r\n"), NOT_YOURS);
    submit(VIEW("From: a@example.test\r\nX: y\r\rSender: b@example.test\r\n"), TAKEN);     /* it ends the header */
    submit(VIEW("Subject: x\rFrom: a@example.test\r\n"), TAKEN);
}

static void suspend(void *argument)
{
    colour_pretend_coroutine();
    struct post_office *o = argument;
    struct directory_account_change change = {.sets_standing = true, .standing = STANDING_SUSPENDED};
    EXPECT(directory_set_account(o->identity, VIEW("a@example.test"), &change, clock_in(60000), NULL) == OK);
}

/* Somebody else has its password, and stays connected: an operator who suspends the account ends what is sent by it. */
TEST(submission_takes_no_more_mail_of_an_account_that_was_suspended)
{
    struct smtpd_options options = smtpd_default_options();
    options.allows_plain_login = true;
    struct post_office *o = post_office_open(1, &options);
    struct transcript *t = post_office_connect(o, SMTPD_SUBMISSION);
    TRANSCRIPT(t, "S: 220 *\nC: EHLO x\nS~ 250 HELP\nC: AUTH PLAIN AGFAZXhhbXBsZS50ZXN0AHNlY3JldA==\nS: 235 *\n"
                  "C: MAIL FROM:<a@example.test>\nS: 250 *\nC: RSET\nS: 250 *\n");
    sim_call(o->node, 0, suspend, o);
    TRANSCRIPT(t, "C: MAIL FROM:<a@example.test>\nS: 550 5.7.1 *\nC: MAIL FROM:<>\nS: 550 5.7.1 *\n");
    transcript_close(t);
    post_office_close(o);
}
