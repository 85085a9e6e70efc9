#include "base/check.h"
#include "base/test.h"
#include "formats/envelope.h"
#include "formats/imap_structure.h"
#include "formats/mime.h"

static void expect_envelope(const char *message, bool is_utf8, const char *written)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    buf out CLEANUP(buf_done) = BUF_INIT;
    struct message_envelope envelope;
    message_envelope_parse(view_of(message), arena, &envelope);
    imap_write_envelope(&out, &envelope, is_utf8);
    EXPECT_VIEW(buf_view(&out), view_of(written));
}

static void expect_structure(const char *message, bool is_extended, const char *written)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 16 << 20);
    buf out CLEANUP(buf_done) = BUF_INIT;
    imap_write_structure(&out, mime_parse(view_of(message), arena), view_of(message), is_extended, false, arena);
    EXPECT_VIEW(buf_view(&out), view_of(written));
}

/* RFC 9051 §8 */
TEST(imap_envelope_is_as_in_the_rfc)
{
    expect_envelope("Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\n"
                    "From: Terry Gray <gray@cac.washington.edu>\r\n"
                    "Subject: IMAP4rev2 WG mtg summary and minutes\r\n"
                    "To: imap@cac.washington.edu\r\n"
                    "cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\n"
                    "Message-Id: <B27397-0100000@cac.washington.edu>\r\n\r\n",
                    false,
                    "(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev2 WG mtg summary and minutes\" "
                    "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) "
                    "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((NIL NIL \"imap\" \"cac.washington.edu\")) "
                    "((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")(\"John Klensin\" NIL \"KLENSIN\" \"MIT.EDU\")) NIL NIL "
                    "\"<B27397-0100000@cac.washington.edu>\")");
}

TEST(imap_envelope_tells_missing_from_empty_and_knows_groups)
{
    expect_envelope("Subject:\r\nTo: Friends: a@b, c;, local\r\nBcc: undisclosed:;\r\n\r\n", false,
                    "(NIL \"\" NIL NIL NIL ((NIL NIL \"Friends\" NIL)(NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"\")(NIL NIL NIL NIL)"
                    "(NIL NIL \"local\" \"\")) NIL ((NIL NIL \"undisclosed\" NIL)(NIL NIL NIL NIL)) NIL NIL)");
}

TEST(imap_envelope_has_utf8_in_quotes_only_where_it_may)
{
    expect_envelope("Subject: caf\xc3\xa9\r\n\r\n", false, "(NIL {5}\r\ncaf\xc3\xa9 NIL NIL NIL NIL NIL NIL NIL NIL)");
    expect_envelope("Subject: caf\xc3\xa9\r\n\r\n", true, "(NIL \"caf\xc3\xa9\" NIL NIL NIL NIL NIL NIL NIL NIL)");
    expect_envelope("Subject: caf\xe9\r\n\r\n", true, "(NIL {4}\r\ncaf\xe9 NIL NIL NIL NIL NIL NIL NIL NIL)");
}

TEST(imap_structure_of_a_plain_message)
{
    expect_structure("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\na\r\nb\r\n", false,
                     "(\"text\" \"plain\" (\"charset\" \"utf-8\") NIL NIL \"8bit\" 6 2)");
    expect_structure("Subject: x\r\n\r\na\r\n", true, "(\"text\" \"plain\" NIL NIL NIL \"7bit\" 3 1 NIL NIL NIL NIL)");
}

TEST(imap_structure_of_a_multipart)
{
    static const char message[] = "Content-Type: multipart/mixed; boundary=x\r\nContent-Language: de, en\r\n\r\n"
                                  "--x\r\n\r\nhello\r\n"
                                  "--x\r\nContent-Type: image/png; name=\"a b.png\"\r\nContent-Id: <1@x>\r\n"
                                  "Content-Description: pic\r\nContent-Transfer-Encoding: base64\r\n"
                                  "Content-Disposition: attachment; filename=a.png\r\nContent-MD5: abc=\r\n"
                                  "Content-Location: http://x/\r\n\r\nAAAA\r\n--x--\r\n";
    expect_structure(message, false,
                     "((\"text\" \"plain\" NIL NIL NIL \"7bit\" 5 1)"
                     "(\"image\" \"png\" (\"name\" \"a b.png\") \"<1@x>\" \"pic\" \"base64\" 4) \"mixed\")");
    expect_structure(message, true,
                     "((\"text\" \"plain\" NIL NIL NIL \"7bit\" 5 1 NIL NIL NIL NIL)"
                     "(\"image\" \"png\" (\"name\" \"a b.png\") \"<1@x>\" \"pic\" \"base64\" 4 \"abc=\" "
                     "(\"attachment\" (\"filename\" \"a.png\")) NIL \"http://x/\") "
                     "\"mixed\" (\"boundary\" \"x\") NIL (\"de\" \"en\") NIL)");
}

TEST(imap_structure_of_an_embedded_message)
{
    expect_structure("Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ntext\r\n", false,
                     "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 21 (NIL \"in\" NIL NIL NIL NIL NIL NIL NIL NIL) "
                     "(\"text\" \"plain\" NIL NIL NIL \"7bit\" 6 1) 3)");
}
