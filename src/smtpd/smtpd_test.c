/* Conversations with the real session, on the simulator and the memory engine. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/test.h"
#include "runtime/coroutine.h"
#include "runtime/wire.h"
#include "smtpd/post_office.h"

#define HELLO                        \
    "S: 220 mx.example.test ESMTP Tayori\n" \
    "C: EHLO client.test\n"          \
    "S: 250-mx.example.test\n"       \
    "S: 250-PIPELINING\n"            \
    "S: 250-SIZE 52428800\n"         \
    "S: 250-8BITMIME\n"              \
    "S: 250-SMTPUTF8\n"              \
    "S: 250-CHUNKING\n"              \
    "S: 250-BINARYMIME\n"            \
    "S: 250-ENHANCEDSTATUSCODES\n"   \
    "S: 250-STARTTLS\n"              \
    "S: 250-LIMITS MAILMAX=999999 RCPTMAX=1000\n" \
    "S: 250 HELP\n"
#define LHLO                         \
    "S: 220 mx.example.test LMTP Tayori\n" \
    "C: LHLO client.test\n"          \
    "S: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250 HELP\n"
#define QUIT "C: QUIT\nS: 221 2.0.0 Bye\nE:\n"
#define ENVELOPE                     \
    "C: MAIL FROM:<s@away.test>\nC: RCPT TO:<a@example.test>\n" \
    "S: 250 2.1.0 Sender ok\nS: 250 2.1.5 Recipient ok\n"

TEST(smtpd_takes_a_message)
{
    post_office_try(SMTPD_MX, HELLO ENVELOPE "C: DATA\nS: 354 *\nC: Subject: x\nC: \nC: text\nC: .\nS: 250 2.0.0 * saved\n" QUIT);
}

TEST(smtpd_answers_a_pipeline_in_order)
{
    post_office_try(SMTPD_MX, HELLO
        "C: RSET\nC: MAIL FROM:<>\nC: RCPT TO:<nobody@example.test>\nC: RCPT TO:<A@EXAMPLE.TEST>\nC: NOOP\nC: DATA\n"
        "S: 250 2.0.0 Ok\nS: 250 2.1.0 *\nS: 550 5.1.1 <nobody@example.test> *\nS: 250 2.1.5 *\nS: 250 2.0.0 Ok\nS: 354 *\n"
        "C: x\nC: .\nC: MAIL FROM:<>\nC: RCPT TO:<c@example.test>\nC: DATA\n"
        "S: 250 2.0.0 *\nS: 250 *\nS: 250 *\nS: 354 *\nC: .\nC: QUIT\nS: 250 2.0.0 *\nS: 221 *\nE:\n");
}

TEST(smtpd_says_which_recipients_it_takes)
{
    post_office_try(SMTPD_MX, HELLO "C: MAIL FROM:<s@away.test> SIZE=2000\nS: 250 *\n"
        "C: RCPT TO:<a@example.test>\nS: 250 2.1.5 *\n"
        "C: RCPT TO:<nobody@example.test>\nS: 550 5.1.1 *\n"
        "C: RCPT TO:<x@elsewhere.test>\nS: 550 5.7.1 *\n"
        "C: RCPT TO:<x@[192.0.2.1]>\nS: 550 5.7.1 *\n"
        "C: RCPT TO:<suspended@example.test>\nS: 450 4.2.1 *\n"
        "C: RCPT TO:<b@example.test>\nS: 452 4.2.2 *\n"
        "C: RCPT TO:<anything@other.test>\nS: 250 2.1.5 *\n"
        "C: RCPT TO:<postmaster>\nS: 250 2.1.5 *\n"
        "C: RCPT TO:<dots..name@example.test>\nS: 250 2.1.5 *\n"
        "C: RCPT TO:<\"dots..name\"@example.test>\nS: 250 2.1.5 *\n"
        "C: RCPT TO:<nested@example.test>\nS: 250 2.1.5 *\n"
        "C: RCPT TO:<loop@example.test>\nS: 554 5.4.6 *\n"
        "C: RCPT TO:<dangling@example.test>\nS: 550 5.1.1 *\n"
        "C: RCPT TO:<away@example.test>\nS: 451 4.4.4 *\n" QUIT);
}

TEST(smtpd_holds_to_the_order_of_commands)
{
    post_office_try(SMTPD_MX,
        "S: 220 *\nC: MAIL FROM:<a@b>\nS: 503 5.5.1 *\nC: HELO x\nS: 250 mx.example.test\nC: RCPT TO:<a@example.test>\nS: 503 5.5.1 *\n"
        "C: DATA\nS: 503 5.5.1 *\nC: MAIL FROM:<a@b>\nS: 250 *\nC: MAIL FROM:<a@b>\nS: 503 5.5.1 *\nC: DATA\nS: 503 5.5.1 *\n"
        "C: RCPT TO:<nobody@example.test>\nS: 550 *\nC: DATA\nS: 554 5.5.1 *\nC: RSET\nS: 250 *\nC: RCPT TO:<a@example.test>\nS: 503 *\n" QUIT);
    post_office_try(SMTPD_MX, HELLO ENVELOPE "C: EHLO again\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\n"
        "S: 250-*\nS: 250-*\nS: 250 HELP\nC: DATA\nS: 503 5.5.1 *\n" QUIT);
}

TEST(smtpd_refuses_what_it_does_not_offer)
{
    post_office_try(SMTPD_MX, HELLO "C: LHLO x\nS: 500 5.5.1 *\nC: EXPN all\nS: 502 5.5.1 *\nC: ETRN x\nS: 502 5.5.1 *\nC: AUTH PLAIN\nS: 502 5.5.1 *\n"
        "C: VRFY a\nS: 252 2.0.0 *\nC: HELP\nS: 214-2.0.0 *\nS: 214 2.0.0 *\nC: GET /\nS: 500 5.5.1 *\nC: MAIL FROM:<a@b> RET=HDRS\nS: 555 5.5.4 *\n"
        "C: MAIL FROM:<a@b> SIZE=52428801\nS: 552 5.3.4 *\nC: MAIL FROM:<a@\xe4\xbe\x8b.test>\nS: 553 5.6.7 *\n"
        "C: MAIL FROM:<a@b>\nS: 250 *\nC: RCPT TO:<a@example.test> NOTIFY=NEVER\nS: 555 5.5.4 *\n" QUIT);
    post_office_try(SMTPD_LMTP, LHLO "C: EHLO x\nS: 500 5.5.1 *\nC: HELO x\nS: 500 5.5.1 *\n" QUIT);
}

TEST(smtpd_closes_after_too_many_errors)
{
    static char transcript[4096] = "S: 220 *\n";
    for (int i = 0; i < 20; i++) strcat(transcript, "C: FOO\n");
    for (int i = 0; i < 20; i++) strcat(transcript, "S: 500 5.5.1 *\n");
    strcat(transcript, "S: 421 4.7.0 *\nE:\n");
    post_office_try(SMTPD_MX, transcript);
}

TEST(smtpd_closes_on_who_only_talks)
{
    static char transcript[32768];
    strcpy(transcript, HELLO);
    for (int i = 0; i < 119; i++) strcat(transcript, "C: NOOP\nC: RSET\n");
    for (int i = 0; i < 118; i++) strcat(transcript, "S: 250 2.0.0 Ok\n");
    strcat(transcript, "S: 421 4.7.0 *\nE:\n");
    post_office_try(SMTPD_MX, transcript);
}

TEST(smtpd_skips_a_line_that_is_too_long_and_goes_on)
{
    post_office_try(SMTPD_MX, HELLO "C! NOOP \nC@ 100000 x\nC: \nC: NOOP\nS: 500 5.5.2 *\nS: 250 *\n" QUIT);
}

/* ---- what is kept ---- */

static void expect_inbox(struct post_office *o, const char *address, size_t count, view body)
{
    buf bytes CLEANUP(buf_done) = BUF_INIT;
    EXPECT_NUMBER(post_office_inbox(o, address, &bytes), count);
    if (count != 1) return;
    view message = buf_view(&bytes);
    EXPECT(view_starts(message, VIEW("Return-Path: <s@away.test>\r\nReceived: from client.test ([192.0.2.1])\r\n")));
    if (!view_ends(message, body))
        test_fail(__FILE__, __LINE__, "\"" VIEW_FMT "\" does not end in \"" VIEW_FMT "\"", VIEW_ARG(message), VIEW_ARG(body));
    size_t end = view_find_view(message, VIEW(" +0000\r\n"));
    EXPECT(end != VIEW_NONE && message.len - end - 8 == body.len);
}

static void play_and_expect(const char *transcript, const char *address, view body)
{
    for (uint64_t seed = 1; seed <= POST_OFFICE_SEEDS; seed++) {
        struct post_office *o = post_office_open(seed, NULL);
        post_office_play(o, SMTPD_MX, transcript);
        expect_inbox(o, address, 1, body);
        post_office_close(o);
    }
}

TEST(smtpd_keeps_a_message_byte_for_byte)
{
    play_and_expect(HELLO ENVELOPE "C: DATA\nS: 354 *\nC! no header\\n\\r\\x00\\xff\\r\\n..\\r\\n...two\\r\\n.x\\r\\n\\r.\\r\\n\\n.\\n\\r\\n.\\r\\n\nS: 250 *\n" QUIT,
                    "a@example.test", VIEW("no header\n\r\0\xff\r\n.\r\n..two\r\nx\r\n\r.\r\n\n.\n\r\n"));
}

TEST(smtpd_keeps_an_empty_message)
{
    play_and_expect(HELLO ENVELOPE "C: DATA\nS: 354 *\nC: .\nS: 250 *\n" QUIT, "a@example.test", VIEW(""));
}

TEST(smtpd_joins_chunks)
{
    play_and_expect(HELLO ENVELOPE
                    "C! BDAT 5\\r\\nab\\r\\n.BDAT 3\\r\\n\\r\\n\\x00BDAT 0 LAST\\r\\n\nS: 250 2.0.0 5 octets received\nS: 250 2.0.0 3 *\nS: 250 2.0.0 * saved\n" QUIT,
                    "a@example.test", VIEW("ab\r\n.\r\n\0"));
    play_and_expect(HELLO "C: MAIL FROM:<s@away.test> BODY=BINARYMIME\nC: RCPT TO:<a@example.test>\nC! BDAT 6 LAST\\r\\n\\r\\n.\\r\\nx\n"
                    "S: 250 *\nS: 250 *\nS: 250 2.0.0 * saved\n" QUIT, "a@example.test", VIEW("\r\n.\r\nx"));
}

TEST(smtpd_reads_the_octets_of_chunks_that_it_refuses)
{
    post_office_try(SMTPD_MX, HELLO "C! BDAT 6 LAST\\r\\nQUIT\\r\\n\nC: NOOP\nS: 503 5.5.1 *\nS: 250 2.0.0 Ok\n"
        ENVELOPE "C! BDAT 3\\r\\nabc\nS: 250 *\nC: MAIL FROM:<a@b>\nS: 503 5.5.1 *\nC: RCPT TO:<a@example.test>\nS: 503 5.5.1 *\nC: DATA\nS: 503 5.5.1 *\n"
        "C: RSET\nS: 250 *\nC! BDAT 3 LAST\\r\\nabc\nS: 503 *\n" QUIT);
    post_office_try(SMTPD_MX, HELLO ENVELOPE "C: BDAT 3x\nS: 421 4.5.4 *\nE:\n");
    post_office_try(SMTPD_MX, HELLO "C: MAIL FROM:<a@b> BODY=BINARYMIME\nS: 250 *\nC: RCPT TO:<a@example.test>\nS: 250 *\nC: DATA\nS: 503 5.5.1 *\n" QUIT);
}

/* ---- smuggling: one line end, one end of data ---- */

TEST(smtpd_no_bare_cr_or_lf_ends_data)
{
    static const char *const ends[] = {"\\n.\\n", "\\n.\\r\\n", "\\r\\n.\\n", "\\r.\\r", "\\r\\n.\\r", "\\r.\\r\\n", "\\n.\\r", "\\r\\n\\x00.\\r\\n",
                                       "\\r\\n.\\x00\\r\\n", "\\n\\n.\\r\\n", "\\r\\r\\n.\\r", "\\r\\n.\\r\\r\\n"};
    static const char *const kept[] = {"\n.\n", "\n.\r\n", "\r\n\n", "\r.\r", "\r\n\r", "\r.\r\n", "\n.\r", "\r\n\0.\r\n",
                                       "\r\n\0\r\n", "\n\n.\r\n", "\r\r\n\r", "\r\n\r\r\n"};
    static const size_t kept_len[] = {3, 4, 3, 3, 3, 4, 3, 6, 5, 5, 4, 5};
    for (size_t i = 0; i < array_size(ends); i++) {
        char transcript[2048], body[256];
        snprintf(transcript, sizeof transcript, HELLO ENVELOPE "C: DATA\nS: 354 *\nC! x%sMAIL FROM:<smuggled@x>\\r\\n.\\r\\n\nS: 250 *\n" QUIT, ends[i]);
        memcpy(body, "x", 1);
        memcpy(body + 1, kept[i], kept_len[i]);
        memcpy(body + 1 + kept_len[i], "MAIL FROM:<smuggled@x>\r\n", 24);
        play_and_expect(transcript, "a@example.test", view_make(body, 25 + kept_len[i]));
    }
}

TEST(smtpd_no_bare_lf_ends_a_command)
{
    post_office_try(SMTPD_MX, HELLO "C! NOOP\\nMAIL FROM:<a@b>\\r\\n\nS: 500 5.5.2 *\nC! NOOP\\rRSET\\r\\n\nS: 500 5.5.2 *\n" QUIT);
}

/* ---- STARTTLS ---- */

TEST(smtpd_forgets_the_session_before_tls)
{
    post_office_try(SMTPD_MX, HELLO ENVELOPE "C: STARTTLS\nS: 220 2.0.0 *\nT:\n"
        "C: DATA\nS: 503 5.5.1 *\nC: MAIL FROM:<a@b>\nS: 503 5.5.1 *\nC: EHLO x\nS: 250-*\nS: 250-REQUIRETLS\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\n"
        "S: 250-*\nS: 250-*\nS: 250-LIMITS *\nS: 250 HELP\nC: STARTTLS\nS: 503 5.5.1 *\n" ENVELOPE
        "C: DATA\nS: 354 *\nC: .\nS: 250 *\n" QUIT);
}

/* RFC 8689 §2. */
TEST(smtpd_takes_requiretls_under_tls_alone)
{
    post_office_try(SMTPD_MX, HELLO "C: MAIL FROM:<a@b> REQUIRETLS\nS: 555 5.5.4 *\nC: STARTTLS\nS: 220 2.0.0 *\nT:\nC: HELO x\nS: 250 *\n"
        "C: MAIL FROM:<a@b> REQUIRETLS=yes\nS: 501 *\nC: MAIL FROM:<a@b> REQUIRETLS\nS: 250 2.1.0 *\nC: RCPT TO:<a@example.test>\nS: 250 *\n"
        "C: DATA\nS: 354 *\nC: .\nS: 250 *\n" QUIT);
}

/* The plaintext arrives with STARTTLS in one piece: CVE-2011-0411. */
static void injects_plaintext(void *argument)
{
    colour_pretend_coroutine();
    struct stream *stream = argument;
    struct wire w;
    struct tls_context *context;
    view line = VIEW_EMPTY;
    colour_pretend_worker();
    REQUIRE(tls_context_new_client(&context, NULL) == OK);
    wire_init(&w, stream, WIRE_CRLF_ENDS_COMMAND);
    REQUIRE(wire_line(&w, 1000, MILLIS_NEVER, &line, NULL) == OK);
    wire_put(&w, VIEW("STARTTLS\r\nEHLO injected\r\nMAIL FROM:<injected@x>\r\n"));
    REQUIRE(wire_flush(&w, MILLIS_NEVER, NULL) == OK && wire_line(&w, 1000, MILLIS_NEVER, &line, NULL) == OK);
    EXPECT(view_starts(line, VIEW("220 2.0.0")));
    REQUIRE(stream_start_tls(stream, context, MILLIS_NEVER, NULL) == OK);
    wire_put(&w, VIEW("RSET\r\nMAIL FROM:<a@b>\r\n"));
    REQUIRE(wire_flush(&w, MILLIS_NEVER, NULL) == OK && wire_line(&w, 1000, MILLIS_NEVER, &line, NULL) == OK);
    EXPECT_VIEW(line, VIEW("250 2.0.0 Ok"));
    REQUIRE(wire_line(&w, 1000, MILLIS_NEVER, &line, NULL) == OK);
    EXPECT(view_starts(line, VIEW("503 5.5.1 Say EHLO")));
    wire_done(&w);
    tls_context_free(context);
}

static void accepts(void *argument)
{
    void **arrival = argument;
    smtpd_accept(arrival[1], arrival[0]);
}

TEST(smtpd_discards_plaintext_behind_starttls)
{
    struct post_office *o = post_office_open(1, NULL);
    struct sim_node *client = sim_node_new(o->sim, "client", 1);
    struct stream *near, *far;
    sim_network(o->sim)->split_ppm = sim_network(o->sim)->short_read_ppm = 0;
    sim_stream_pair(sim_node_loop(o->node, 0), sim_node_loop(client, 0), &near, &far);
    void *arrival[] = {near, smtpd_service(o->smtpd, SMTPD_MX)};
    sim_spawn(o->node, 0, "accept", accepts, arrival);
    sim_call(client, 0, injects_plaintext, far);
    post_office_close(o);
}

/* ---- LMTP ---- */

TEST(smtpd_lmtp_answers_for_each_recipient)
{
    post_office_try(SMTPD_LMTP, LHLO "C: MAIL FROM:<s@away.test>\nC: RCPT TO:<a@example.test>\nC: RCPT TO:<nobody@example.test>\nC: RCPT TO:<all@example.test>\n"
        "C: RCPT TO:<a@example.test>\nC: DATA\nS: 250 *\nS: 250 *\nS: 550 5.1.1 *\nS: 250 *\nS: 250 *\nS: 354 *\nC: x\nC: .\n"
        "S: 250 2.0.0 <a@example.test> * saved\nS: 250 2.0.0 <all@example.test> * saved\nS: 250 2.0.0 <a@example.test> * saved\n"
        "C: DATA\nS: 503 5.5.1 *\nC: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<nobody@example.test>\nS: 550 *\nC: DATA\nS: 503 5.5.1 *\n" QUIT);
}

TEST(smtpd_gives_an_account_a_message_once)
{
    struct post_office *o = post_office_open(1, NULL);
    post_office_play(o, SMTPD_LMTP, LHLO "C: MAIL FROM:<s@away.test>\nC: RCPT TO:<a@example.test>\nC: RCPT TO:<nested@example.test>\nC: RCPT TO:<all@example.test>\n"
        "C: DATA\nS: 250 *\nS: 250 *\nS: 250 *\nS: 250 *\nS: 354 *\nC: x\nC: .\nS: 250 *\nS: 250 *\nS: 250 *\n" QUIT);
    expect_inbox(o, "a@example.test", 1, VIEW("x\r\n"));
    expect_inbox(o, "b@example.test", 1, VIEW("x\r\n"));
    expect_inbox(o, "c@example.test", 1, VIEW("x\r\n"));
    expect_inbox(o, "d@example.test", 1, VIEW("x\r\n"));
    post_office_close(o);
}

TEST(smtpd_lmtp_refuses_who_is_over_quota_by_the_real_size)
{
    post_office_try(SMTPD_LMTP, LHLO "C: MAIL FROM:<s@away.test>\nC: RCPT TO:<a@example.test>\nC: RCPT TO:<b@example.test>\nC: DATA\n"
        "S: 250 *\nS: 250 *\nS: 250 *\nS: 354 *\nC@ 2000 x\nC: \nC: .\nS: 250 2.0.0 <a@*\nS: 452 4.2.2 <b@example.test> *\n" QUIT);
}

/* ---- limits ---- */

static struct smtpd_options small_options(void)
{
    struct smtpd_options options = smtpd_default_options();
    options.server_name = VIEW("mx.example.test");
    options.message_bytes_max = 3000;
    options.header_bytes_max = 200;
    options.line_bytes_max = 500;
    options.hops_max = 2;
    options.recipients_max = 2;
    options.messages_max = 2;
    options.connections_per_address_max = 2;
    options.message_timeout_ms = 600 * 1000;
    return options;
}

static void try_small(const char *transcript)
{
    struct smtpd_options options = small_options();
    for (uint64_t seed = 1; seed <= POST_OFFICE_SEEDS; seed++) {
        struct post_office *o = post_office_open(seed, &options);
        post_office_play(o, SMTPD_MX, transcript);
        post_office_close(o);
    }
}

#define BEGIN "S: 220 *\nC: HELO x\nS: 250 *\nC: MAIL FROM:<s@away.test>\nS: 250 *\nC: RCPT TO:<a@example.test>\nS: 250 *\n"

TEST(smtpd_limits_what_a_message_may_be)
{
    static char many[32768] = BEGIN "C: DATA\nS: 354 *\nC: \n";
    try_small(BEGIN "C: DATA\nS: 354 *\nC: Received: 1\nC: Received: 2\nC: \nC: Received: 3\nC: .\nS: 250 *\n" QUIT);
    try_small(BEGIN "C: DATA\nS: 354 *\nC: Received: 1\nC: Received: 2\nC: Received: 3\nC: .\nS: 554 5.4.6 *\nC: NOOP\nS: 250 *\n" QUIT);
    try_small(BEGIN "C: DATA\nS: 354 *\nC@ 200 x\nC: \nC: \nC: .\nS: 554 5.6.0 *\n" QUIT);
    try_small(BEGIN "C: DATA\nS: 354 *\nC: X: y\nC: \nC@ 500 x\nC: \nC: .\nS: 554 5.6.0 *\n" QUIT);
    for (int i = 0; i < 400; i++) strcat(many, "C: 1234567890\n");
    strcat(many, "C: .\nS: 552 5.3.4 *\nC: NOOP\nS: 250 *\n" QUIT);
    try_small(many);
    try_small(BEGIN "C! BDAT 3001\\r\\n\nC@ 3001 x\nS: 552 5.3.4 *\nC: BDAT 0 LAST\nS: 503 *\n" QUIT);
}

TEST(smtpd_limits_recipients_and_messages)
{
    try_small(BEGIN "C: RCPT TO:<c@example.test>\nS: 250 *\nC: RCPT TO:<d@example.test>\nS: 452 4.5.3 *\nC: DATA\nS: 354 *\nC: .\nS: 250 *\n"
              "C: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<a@example.test>\nS: 250 *\nC: DATA\nS: 354 *\nC: .\nS: 250 *\nC: MAIL FROM:<>\nS: 421 4.7.0 *\nE:\n");
}

TEST(smtpd_limits_connections_of_one_client)
{
    struct smtpd_options options = small_options();
    struct post_office *o = post_office_open(1, &options);
    struct transcript *one = post_office_connect(o, SMTPD_MX), *two = post_office_connect(o, SMTPD_MX);
    TRANSCRIPT(one, "S: 220 *\n");
    TRANSCRIPT(two, "S: 220 *\n");
    post_office_play(o, SMTPD_MX, "S: 421 4.7.0 *\nE:\n");
    post_office_play(o, SMTPD_LMTP, "S: 220 *\n" QUIT);
    EXPECT_NUMBER(sim_event_count(o->sim, EVENT_SMTP_REFUSED_CONNECTION), 1);
    transcript_close(one);
    post_office_play(o, SMTPD_MX, "S: 220 *\n" QUIT);
    transcript_close(two);
    post_office_close(o);
}

/* ---- time ---- */

TEST(smtpd_ends_silent_sessions_and_forgets_half_a_message)
{
    post_office_try(SMTPD_MX, HELLO "W: 299000\nC: NOOP\nS: 250 *\nW: 301000\nS: 421 4.4.2 *\nE:\n");
    post_office_try(SMTPD_MX, HELLO ENVELOPE "C: DATA\nS: 354 *\nC: half a message\nW: 181000\nS: 421 4.4.2 *\nE:\n");
    struct post_office *o = post_office_open(1, NULL);
    post_office_play(o, SMTPD_MX, HELLO ENVELOPE "C: DATA\nS: 354 *\nC: half a message\n");
    sim_run(o->sim, 1000);
    EXPECT_NUMBER(smtpd_sessions(o->smtpd), 0);
    expect_inbox(o, "a@example.test", 0, VIEW(""));
    post_office_close(o);
}

TEST(smtpd_ends_messages_that_drip)
{
    char transcript[1024] = BEGIN "C: DATA\nS: 354 *\n";
    for (int i = 0; i < 7; i++) strcat(transcript, "C: x\nW: 100000\n");
    strcat(transcript, "S: 421 4.4.2 *\nE:\n");
    try_small(transcript);
}

static void stop_inside(void *argument)
{
    struct post_office *o = argument;
    smtpd_stop(o->smtpd);
}

TEST(smtpd_says_goodbye_when_it_stops)
{
    struct post_office *o = post_office_open(1, NULL);
    struct transcript *waiting = post_office_connect(o, SMTPD_MX);
    TRANSCRIPT(waiting, HELLO ENVELOPE);
    sim_spawn(o->node, 1, "stop", stop_inside, o);
    TRANSCRIPT(waiting, "S: 421 4.3.2 *\nE:\n");
    transcript_close(waiting);
    EXPECT_NUMBER(smtpd_sessions(o->smtpd), 0);
    EXPECT(sim_event_count(o->sim, EVENT_SMTP_CLOSED) == 1);
    EXPECT_VIEW(sim_event_field(o->sim, EVENT_SMTP_CLOSED, 0, "reason"), VIEW("stopping"));
    post_office_play(o, SMTPD_MX, "S: 421 4.3.2 *\nE:\n");
    post_office_close(o);
}

/* ---- the trail of a message ---- */

TEST(smtpd_events_follow_a_message_by_its_id)
{
    struct post_office *o = post_office_open(1, NULL);
    post_office_play(o, SMTPD_MX, HELLO ENVELOPE "C: DATA\nS: 354 *\nC: x\nC: .\nS: 250 *\n" QUIT);
    view session = sim_event_field(o->sim, EVENT_SMTP_CONNECTED, 0, "session");
    view message = sim_event_field(o->sim, EVENT_MESSAGE_RECEIVED, 0, "message");
    EXPECT_NUMBER(message.len, ID_TEXT_LEN);
    EXPECT_VIEW(sim_event_field(o->sim, EVENT_MESSAGE_RECEIVED, 0, "session"), session);
    EXPECT_VIEW(sim_event_field(o->sim, EVENT_MESSAGE_DELIVERED, 0, "message"), message);
    EXPECT_VIEW(sim_event_field(o->sim, EVENT_MESSAGE_DELIVERED, 0, "recipient"), VIEW("a@example.test"));
    buf bytes CLEANUP(buf_done) = BUF_INIT;
    EXPECT_NUMBER(post_office_inbox(o, "a@example.test", &bytes), 1);
    EXPECT(view_find_view(buf_view(&bytes), message) != VIEW_NONE);
    post_office_close(o);
}

/* ---- conversations of others ---- */

static void replay_file(const char *folder, const char *name)
{
    char path[512];
    static char text[1 << 16];
    snprintf(path, sizeof path, "%s/fuzz/exim-smtp/%s", folder, name);
    FILE *file = fopen(path, "rb");
    REQUIRE(file);
    size_t len = fread(text, 1, sizeof text, file);
    fclose(file);
    EXPECT(len > 0 && len < sizeof text);
    buf whole CLEANUP(buf_done) = BUF_INIT;
    for (size_t piece = 0; piece <= 16; piece += 4) {
        buf replies CLEANUP(buf_done) = BUF_INIT;
        struct post_office *o = post_office_open(piece + 1, NULL);
        post_office_converse(o, SMTPD_MX, view_make(text, len), piece, &replies);
        post_office_close(o);
        if (piece == 0) buf_append(&whole, buf_view(&replies));
        EXPECT_VIEW(buf_view(&replies), buf_view(&whole));
    }
    EXPECT(view_starts(buf_view(&whole), VIEW("220 mx.example.test ESMTP")));
}

TEST(smtpd_survives_recorded_conversations_whatever_the_chunking)
{
    const char *folder = test_data_folder();
    if (!folder) test_skip("no shared test data");
    replay_file(folder, "smtp_requests_full.raw");
    replay_file(folder, "smtp_requests_full_bdat.raw");
}
