#include <stdio.h>

#include "base/check.h"
#include "base/test.h"
#include "imapd/test_server.h"

static const char message[] = "Date: Mon, 7 Feb 1994 21:52:25 -0800 (PST)\r\n"
                              "From: Fred Foobar <foobar@Blurdybloop.example>\r\n"
                              "Subject: afternoon meeting\r\n"
                              "To: mooch@owatagu.siam.edu.example\r\n"
                              "Content-Type: multipart/mixed; boundary=x\r\n"
                              "\r\n"
                              "--x\r\n\r\nHello Joe\r\n"
                              "--x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nYQBi\r\n"
                              "--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nX-A: 1\r\n\r\ninner text\r\n"
                              "--x\r\nContent-Transfer-Encoding: x-odd\r\n\r\nodd\r\n"
                              "--x--\r\n";

static struct transcript *select_inbox(struct test_server *t)
{
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: s SELECT INBOX\nS~ s OK *\n");
    return c;
}

TEST(imapd_fetch_answers_from_rows)
{
    struct test_server *t = test_server_open(1, NULL);
    test_server_add(t, "INBOX", "(\\Seen $Junk) \" 1-Feb-2026 09:00:00 +0900\"", VIEW("Subject: a\r\n\r\n1\r\n"));
    test_server_add(t, "INBOX", "", VIEW("Subject: b\r\n\r\n22\r\n"));
    struct transcript *c = select_inbox(t);
    TRANSCRIPT(c, "C: a FETCH 1:* (FLAGS UID RFC822.SIZE)\n"
                  "S: * 1 FETCH (FLAGS (\\Seen*$Junk) UID 1 RFC822.SIZE 17)\n"
                  "S: * 2 FETCH (FLAGS (*) UID 2 RFC822.SIZE 18)\n"
                  "S: a OK FETCH completed\n"
                  "C: b UID FETCH 1 INTERNALDATE\nS: * 1 FETCH (UID 1 INTERNALDATE \" 1-Feb-2026 00:00:00 +0000\")\nS: b OK *\n"
                  "C: c UID FETCH 3:* (UID)\nS: * 2 FETCH (UID 2)\nS: c OK *\n"
                  "C: d UID FETCH 9 (UID)\nS: d OK *\n"
                  "C: e FETCH 3 (UID)\nS: e BAD *\n"
                  "C: f FETCH *:1 (UID)\nS: * 1 FETCH (UID 1)\nS: * 2 FETCH (UID 2)\nS: f OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_fetch_cuts_sections_of_a_message)
{
    struct test_server *t = test_server_open(2, NULL);
    test_server_add(t, "INBOX", "", view_of(message));
    struct transcript *c = select_inbox(t);
    TRANSCRIPT(c, "C: a FETCH 1 BODY.PEEK[1]\nS: * 1 FETCH (BODY[1] {9}\nS: Hello Joe)\nS: a OK *\n"
                  "C: b FETCH 1 BODY.PEEK[1]<6.100>\nS: * 1 FETCH (BODY[1]<6> {3}\nS: Joe)\nS: b OK *\n"
                  "C: c FETCH 1 BODY.PEEK[1]<100.1>\nS: * 1 FETCH (BODY[1]<100> {0}\nS: )\nS: c OK *\n"
                  "C: d FETCH 1 BODY.PEEK[HEADER.FIELDS (SUBJECT to)]\n"
                  "S: * 1 FETCH (BODY[HEADER.FIELDS (SUBJECT to)] {66}\nS: Subject: afternoon meeting\n"
                  "S: To: mooch@owatagu.siam.edu.example\nS: \nS: )\nS: d OK *\n"
                  "C: e FETCH 1 BODY.PEEK[3.HEADER.FIELDS.NOT (Subject)]\nS: * 1 FETCH (BODY[3.HEADER.FIELDS.NOT (Subject)] {10}\n"
                  "S: X-A: 1\nS: \nS: )\nS: e OK *\n"
                  "C: f FETCH 1 (BODY.PEEK[3.TEXT] BODY.PEEK[3.1] BODY.PEEK[3.1.MIME])\n"
                  "S: * 1 FETCH (BODY[3.TEXT] {10}\nS: inner text BODY[3.1] {10}\nS: inner text BODY[3.1.MIME] {26}\n"
                  "S: Subject: inner\nS: X-A: 1\nS: \nS: )\nS: f OK *\n"
                  "C: g FETCH 1 (BODY.PEEK[9] BODY.PEEK[1.HEADER])\nS: * 1 FETCH (BODY[9] NIL BODY[1.HEADER] NIL)\nS: g OK *\n"
                  "C: h FETCH 1 BODY.PEEK[2.MIME]\nS: * 1 FETCH (BODY[2.MIME] {78}\nS: Content-Type: text/plain; charset=utf-8\n"
                  "S: Content-Transfer-Encoding: base64\nS: \nS: )\nS: h OK *\n"
                  "C: i FETCH 1 RFC822.HEADER\nS: * 1 FETCH (RFC822.HEADER {*}\nS~ \nS: )\nS: i OK *\n"
                  "C: j FETCH 1 FLAGS\nS: * 1 FETCH (FLAGS (\\Recent))\nS: j OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_fetch_gives_messages_back_byte_for_byte)
{
    static const view messages[] = {{message, sizeof message - 1}, VIEW_INIT("x"), VIEW_INIT("\n\n\r\r\n.\r\n..\r\n\0\xff")};
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct test_server *t = test_server_open(seed, NULL);
        for (size_t i = 0; i < array_size(messages); i++) test_server_add(t, "INBOX", "", messages[i]);
        struct transcript *c = select_inbox(t);
        for (size_t i = 0; i < array_size(messages); i++) {
            char script[100];
            snprintf(script, sizeof script, "C: a FETCH %zu BODY.PEEK[]\nS: * %zu FETCH (BODY[] {%zu}\n", i + 1, i + 1, messages[i].len);
            TRANSCRIPT(c, script);
            EXPECT_VIEW(transcript_read(c, messages[i].len), messages[i]);
            TRANSCRIPT(c, "S: )\nS: a OK *\n");
        }
        transcript_close(c);
        test_server_close(t);
    }
}

/* Thousands of parts: the loop parses none of them, which is seen by what no worker can be had for. */
TEST(imapd_structures_of_large_messages_are_made_by_workers)
{
    buf large CLEANUP(buf_done) = BUF_INIT;
    struct test_server *t = test_server_open(5, NULL);
    buf_append_cstr(&large, "Subject: many\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n");
    while (large.len < 1100000) buf_append_cstr(&large, "--b\r\nContent-Type: text/html\r\n\r\n<p>part\r\n");
    test_server_add(t, "INBOX", "", buf_view(&large));
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: s EXAMINE INBOX\nS~ s OK *\n");
    sim_workers(t->sim)->busy_ppm = 1000000;
    TRANSCRIPT(c, "C: a FETCH 1 (RFC822.SIZE ENVELOPE)\nS: * 1 FETCH *\nS: a OK *\nC: b FETCH 1 (PREVIEW)\nS: * OK [INPROGRESS *\nS: b NO *\n"
                  "C: c FETCH 1 (BODY.PEEK[2])\nS: * OK [INPROGRESS *\nS: c NO *\n");
    sim_workers(t->sim)->busy_ppm = 300000;
    TRANSCRIPT(c, "C: d FETCH 1 (PREVIEW)\nS: * 1 FETCH (PREVIEW \"part\")\nS: d OK *\n"
                  "C: e FETCH 1 (BODY.PEEK[2])\nS: * 1 FETCH (BODY[2] {7}\nS: <p>part)\nS: e OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_fetch_streams_large_messages)
{
    buf large CLEANUP(buf_done) = BUF_INIT;
    buf_append_cstr(&large, "Subject: large\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nsmall\r\n--b\r\n"
                            "Content-Transfer-Encoding: base64\r\n\r\n");
    size_t start = large.len;
    while (large.len < 3000000) buf_append_cstr(&large, "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVpBQkNERUZHSElKS0xNTk9QUVJTVFVWV1hZWg==\r\n");
    size_t body = large.len - start;
    buf_append_cstr(&large, "--b--\r\n");
    struct test_server *t = test_server_open(3, NULL);
    test_server_add(t, "INBOX", "", buf_view(&large));
    struct transcript *c = select_inbox(t);
    char script[300];
    snprintf(script, sizeof script, "C: a UID FETCH 1 (RFC822.SIZE BODY.PEEK[])\nS: * 1 FETCH (UID 1 RFC822.SIZE %zu BODY[] {%zu}\n", large.len, large.len);
    TRANSCRIPT(c, script);
    view got = transcript_read(c, large.len);
    EXPECT(view_equal(got, buf_view(&large)));
    TRANSCRIPT(c, "S: )\nS: a OK *\n"
                  "C: b FETCH 1 (BODY BODY.PEEK[1] BODY.PEEK[HEADER.FIELDS (Subject)])\n"
                  "S: * 1 FETCH (BODY ((\"text\" \"plain\" NIL NIL NIL \"7bit\" 5 1)(\"text\" \"plain\" *) BODY[1] {5}\n"
                  "S: small BODY[HEADER.FIELDS (Subject)] {18}\nS: Subject: large\nS: \nS: )\nS: b OK *\n");
    snprintf(script, sizeof script, "C: c FETCH 1 (BINARY.SIZE[2] BINARY.PEEK[2]<52.26> BODY.PEEK[2]<%zu.9>)\n"
             "S: * 1 FETCH (BINARY.SIZE[2] %zu BINARY[2]<52> {26}\nS: ABCDEFGHIJKLMNOPQRSTUVWXYZ BODY[2]<%zu> {2}\nS: ==)\nS: c OK *\n",
             body - 4, body / 74 * 52, body - 4);
    TRANSCRIPT(c, script);
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_fetch_decodes_binary_parts)
{
    struct test_server *t = test_server_open(4, NULL);
    test_server_add(t, "INBOX", "", view_of(message));
    struct transcript *c = select_inbox(t);
    TRANSCRIPT(c, "C: a FETCH 1 (BINARY.SIZE[2] BINARY.PEEK[2])\nS: * 1 FETCH (BINARY.SIZE[2] 3 BINARY[2] ~{3}\n");
    EXPECT_VIEW(transcript_read(c, 3), VIEW("a\0b"));
    TRANSCRIPT(c, "S: )\nS: a OK *\n"
                  "C: b FETCH 1 BINARY.PEEK[1]<0.5>\nS: * 1 FETCH (BINARY[1]<0> {5}\nS: Hello)\nS: b OK *\n"
                  "C: c FETCH 1 BINARY.PEEK[4]\nS: * 1 FETCH (BINARY[4] NIL)\nS: c NO [UNKNOWN-CTE] *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_fetch_marks_what_is_read_as_seen_and_tells)
{
    struct test_server *t = test_server_open(5, NULL);
    test_server_add(t, "INBOX", "", VIEW("Subject: a\r\n\r\n1"));
    test_server_add(t, "INBOX", "(\\Seen)", VIEW("Subject: a\r\n\r\n2"));
    struct transcript *c = select_inbox(t);
    TRANSCRIPT(c, "C: a FETCH 1:2 BODY[TEXT]\nS: * 1 FETCH (FLAGS (\\Seen \\Recent) BODY[TEXT] {1}\nS: 1)\n"
                  "S: * 2 FETCH (BODY[TEXT] {1}\nS: 2)\nS: a OK *\n"
                  "C: b NOOP\nS: b OK *\n"
                  "C: c STORE 1 -FLAGS.SILENT (\\Seen)\nS: c OK *\n"
                  "C: d EXAMINE INBOX\nS~ d OK *\nC: e FETCH 1 (BODY[TEXT] FLAGS)\nS: * 1 FETCH (BODY[TEXT] {1}\nS: 1 FLAGS (*))\nS: e OK *\n"
                  "C: f FETCH 1 FLAGS\nS: * 1 FETCH (FLAGS ())\nS: f OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_fetch_writes_envelope_and_structure)
{
    struct test_server *t = test_server_open(6, NULL);
    test_server_add(t, "INBOX", "", view_of(message));
    struct transcript *c = select_inbox(t);
    TRANSCRIPT(c, "C: a FETCH 1 ENVELOPE\n"
                  "S: * 1 FETCH (ENVELOPE (\"Mon, 7 Feb 1994 21:52:25 -0800 (PST)\" \"afternoon meeting\" "
                  "((\"Fred Foobar\" NIL \"foobar\" \"Blurdybloop.example\")) ((\"Fred Foobar\" NIL \"foobar\" \"Blurdybloop.example\")) "
                  "((\"Fred Foobar\" NIL \"foobar\" \"Blurdybloop.example\")) ((NIL NIL \"mooch\" \"owatagu.siam.edu.example\")) "
                  "NIL NIL NIL NIL))\nS: a OK *\n"
                  "C: b FETCH 1 BODYSTRUCTURE\n"
                  "S: * 1 FETCH (BODYSTRUCTURE ((\"text\" \"plain\" NIL NIL NIL \"7bit\" 9 1 NIL NIL NIL NIL)"
                  "(\"text\" \"plain\" (\"charset\" \"utf-8\") NIL NIL \"base64\" 4 1 NIL NIL NIL NIL)"
                  "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 36 (NIL \"inner\" NIL NIL NIL NIL NIL NIL NIL NIL) "
                  "(\"text\" \"plain\" NIL NIL NIL \"7bit\" 10 1 NIL NIL NIL NIL) 4 NIL NIL NIL NIL)"
                  "(\"text\" \"plain\" NIL NIL NIL \"x-odd\" 3 1 NIL NIL NIL NIL) \"mixed\" (\"boundary\" \"x\") NIL NIL NIL))\nS: b OK *\n"
                  "C: c FETCH 1 FULL\nS: * 1 FETCH (FLAGS (\\Recent) INTERNALDATE * RFC822.SIZE * ENVELOPE (*) BODY (*))\nS: c OK *\n");
    transcript_close(c);
    test_server_close(t);
}

/* Sends it and gives back all lines up to its tagged one. */
static void ask(struct transcript *c, const char *command, buf *answer)
{
    char script[400];
    snprintf(script, sizeof script, "C: %s\nS: *\n", command);
    TRANSCRIPT(c, script);
    buf_clear(answer);
    for (;;) {
        view line = transcript_line(c);
        buf_append(answer, line);
        buf_append_byte(answer, '\n');
        if (view_starts(line, VIEW("t OK"))) return;
        REQUIRE(answer->len < 1 << 20);
        TRANSCRIPT(c, "S: *\n");
    }
}

TEST(imapd_fetch_says_the_same_from_summaries)
{
    static const char *const commands[] = {
        "t FETCH 1:* (ENVELOPE RFC822.SIZE INTERNALDATE)", "t FETCH 1:* (BODY BODYSTRUCTURE)", "t FETCH 1:* (UID PREVIEW THREADID)",
        "t UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (subject FROM To Date References)])", "t FETCH 2 (INTERNALDATE RFC822.SIZE ENVELOPE BODY)", "t SORT (SUBJECT) UTF-8 ALL",
        "t THREAD REFERENCES UTF-8 ALL", "t FETCH 1:* (BODY.PEEK[HEADER.FIELDS (Subject X-Unknown)])",
    };
    struct test_server *t = test_server_open(31, NULL);
    buf before[2][array_size(commands)] = {0}, after CLEANUP(buf_done) = BUF_INIT, text CLEANUP(buf_done) = BUF_INIT;
    for (unsigned i = 0; i < 150; i++) {
        buf_clear(&text);
        buf_appendf(&text, "From: =?UTF-8?B?6Iqx5a2Q?= <hanako%u@example.test>\r\nTo: a@b.test, c@d.test\r\nSubject: %s %u\r\nX-Unknown: z\r\nMessage-ID: <%u@x>\r\n", i,
                    i % 10 == 3 ? "\xe6\x97\xa5\xe6\x9c\xac" : "plain", i, i);
        if (i > 10) buf_appendf(&text, "References: <%u@x> <%u@x>\r\n", i % 10, i - 1);
        if (i % 3) buf_append_cstr(&text, "\r\nHello \xe6\x97\xa5\r\n");
        else buf_append_cstr(&text, "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nfirst\r\n--b\r\nContent-Type: image/png; name=\"x.png\"\r\n\r\nzz\r\n--b--\r\n");
        test_server_add(t, "INBOX", i % 2 ? "(\\Seen)" : "()", buf_view(&text));
    }
    for (unsigned look = 0; look < 4; look++) {
        struct transcript *c = test_server_login(t);
        if (look == 2) test_server_compact(t);
        if (look % 2) TRANSCRIPT(c, "C: e ENABLE UTF8=ACCEPT\nS~ e OK *\n");
        TRANSCRIPT(c, "C: s SELECT INBOX\nS~ s OK *\n");
        for (size_t i = 0; i < array_size(commands); i++) {
            ask(c, commands[i], look < 2 ? &before[look][i] : &after);
            if (look >= 2) EXPECT_VIEW(buf_view(&after), buf_view(&before[look % 2][i]));
        }
        transcript_close(c);
    }
    for (size_t i = 0; i < array_size(commands); i++) {
        buf_done(&before[0][i]);
        buf_done(&before[1][i]);
    }
    test_server_close(t);
}

/* More blocks of summaries than a worker unpacks in one go, for two sessions that walk through them at once. */
TEST(imapd_fetch_lists_what_a_worker_unpacks_ahead)
{
    enum { COUNT = 2400, SESSIONS = 2 };
    buf text CLEANUP(buf_done) = BUF_INIT, expected CLEANUP(buf_done) = BUF_INIT;
    struct test_server *t = test_server_open(37, NULL);
    struct transcript *filler = test_server_login(t);
    for (unsigned i = 1; i <= COUNT; i++) buf_appendf(&text, "t APPEND INBOX {%d+}\r\nSubject: message %5u\r\n\r\nx\r\n\r\n", 29, i);
    buf_append_cstr(&text, "u NOOP\r\n");
    transcript_send(filler, buf_view(&text));
    TRANSCRIPT(filler, "S~ u OK *\n");
    transcript_close(filler);
    test_server_compact(t);
    struct transcript *c[SESSIONS];
    for (unsigned k = 0; k < SESSIONS; k++) {
        c[k] = select_inbox(t);
        TRANSCRIPT(c[k], k ? "C: t FETCH 1:* (ENVELOPE)\n" : "C: t FETCH 1:* (ENVELOPE RFC822.SIZE)\n");
    }
    for (unsigned i = 1; i <= COUNT; i++) {
        buf_clear(&expected);
        buf_appendf(&expected, "* %u FETCH (ENVELOPE (NIL \"message %5u\" ", i, i);
        for (unsigned k = 0; k < SESSIONS; k++) {
            TRANSCRIPT(c[k], "S: *\n");
            if (!view_starts(transcript_line(c[k]), buf_view(&expected))) EXPECT_VIEW(transcript_line(c[k]), buf_view(&expected));
        }
    }
    for (unsigned k = 0; k < SESSIONS; k++) {
        TRANSCRIPT(c[k], "S: t OK *\n");
        transcript_close(c[k]);
    }
    test_server_close(t);
}

/* Of packed messages in no order: with pieces of 16 under way, some twice, some gone, between other commands. */
TEST(imapd_fetch_answers_what_is_pipelined)
{
    enum { COUNT = 400, COMMANDS = 300 };
    for (uint64_t seed = 41; seed < 45; seed++) {
        buf text CLEANUP(buf_done) = BUF_INIT, expected CLEANUP(buf_done) = BUF_INIT;
        struct test_server *t = test_server_open(seed, NULL);
        if (seed % 2) sim_workers(t->sim)->busy_ppm = 300000;
        struct transcript *c = test_server_login(t);
        for (unsigned i = 1; i <= COUNT; i++) buf_appendf(&text, "t APPEND INBOX {%d+}\r\nSubject: message %5u\r\n\r\nx\r\n\r\n", 29, i);
        buf_append_cstr(&text, "u NOOP\r\n");
        transcript_send(c, buf_view(&text));
        TRANSCRIPT(c, "S~ u OK *\n");
        test_server_compact(t);
        TRANSCRIPT(c, "C: s SELECT INBOX\nS~ s OK *\nC: d UID STORE 100:119 FLAGS.SILENT (\\Deleted)\nS: d OK *\nC: e EXPUNGE\nS~ e OK *\n");
        buf_clear(&text);
        for (unsigned i = 0; i < COMMANDS; i++) {
            unsigned uid = (i * 7919 + (unsigned)seed) % COUNT + 1;
            if (i % 50 == 20) buf_appendf(&text, "n%u NOOP\r\n", i);
            else if (i % 3) buf_appendf(&text, "f%u UID FETCH %u (BODY.PEEK[])\r\n", i, uid);
            else buf_appendf(&text, "f%u uid fetch %u:%u (UID BODY.PEEK[HEADER] BODY.PEEK[TEXT])\r\n", i, uid, uid);
        }
        transcript_send(c, buf_view(&text));
        for (unsigned i = 0; i < COMMANDS; i++) {
            unsigned uid = (i * 7919 + (unsigned)seed) % COUNT + 1;
            char script[300];
            bool is_gone = uid >= 100 && uid < 120, is_other = i % 50 == 20;
            unsigned number = uid < 100 ? uid : uid - 20;
            if (!is_gone && !is_other && i % 3)
                snprintf(script, sizeof script, "S: * %u FETCH (UID %u BODY[] {29}\nS: Subject: message %5u\nS: \nS: x\nS: )\n", number, uid, uid);
            else if (!is_gone && !is_other)
                snprintf(script, sizeof script, "S: * %u FETCH (UID %u BODY[HEADER] {26}\nS: Subject: message %5u\nS: \nS:  BODY[TEXT] {3}\nS: x\nS: )\n", number, uid, uid);
            if (!is_gone && !is_other) TRANSCRIPT(c, script);
            snprintf(script, sizeof script, "S: %c%u OK *\n", is_other ? 'n' : 'f', i);
            TRANSCRIPT(c, script);
        }
        transcript_close(c);
        test_server_close(t);
    }
}
