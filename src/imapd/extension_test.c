#include "base/check.h"
#include "base/test.h"
#include "imapd/test_server.h"

static void add_numbered(struct test_server *t, unsigned count)
{
    for (unsigned i = 1; i <= count; i++) {
        buf text CLEANUP(buf_done) = BUF_INIT;
        buf_appendf(&text, "Subject: message %u\r\n\r\nbody\r\n", i);
        test_server_add(t, "INBOX", i % 2 ? "(\\Seen)" : "()", buf_view(&text));
    }
}

static struct transcript *select_inbox(struct test_server *t)
{
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: s SELECT INBOX\nS~ s OK *\n");
    return c;
}

TEST(imapd_partial_gives_a_page_of_results)
{
    struct test_server *t = test_server_open(1, NULL);
    add_numbered(t, 7);
    struct transcript *c = select_inbox(t);
    TRANSCRIPT(c, "C: A01 UID SEARCH RETURN (PARTIAL -1:-3) ALL\nS: * ESEARCH (TAG \"A01\") UID PARTIAL (-1:-3 5:7)\nS: A01 OK *\n"
                  "C: A02 UID SEARCH RETURN (PARTIAL 3:10) SEEN\nS: * ESEARCH (TAG \"A02\") UID PARTIAL (3:10 5,7)\nS: A02 OK *\n"
                  "C: A03 SEARCH RETURN (PARTIAL 2:1) SEEN\nS: * ESEARCH (TAG \"A03\") PARTIAL (2:1 1,3)\nS: A03 OK *\n"
                  "C: A04 SEARCH RETURN (PARTIAL 8:9) ALL\nS: * ESEARCH (TAG \"A04\") PARTIAL (8:9 NIL)\nS: A04 OK *\n"
                  "C: A05 SEARCH RETURN (PARTIAL -3:-2 COUNT MIN MAX) SEEN\n"
                  "S: * ESEARCH (TAG \"A05\") MIN 1 MAX 7 COUNT 4 PARTIAL (-3:-2 3,5)\nS: A05 OK *\n"
                  "C: A06 SEARCH RETURN (PARTIAL 1:2 ALL) SEEN\nS: A06 BAD *\n"
                  "C: A07 SEARCH RETURN (PARTIAL 1:-2) SEEN\nS: A07 BAD *\n"
                  "C: A08 SEARCH RETURN (MAX) SEEN\nS: * ESEARCH (TAG \"A08\") MAX 7\nS: A08 OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_partial_results_are_saved_as_rfc_9394_says)
{
    struct test_server *t = test_server_open(2, NULL);
    add_numbered(t, 7);
    struct transcript *c = select_inbox(t);
    TRANSCRIPT(c, "C: a SEARCH RETURN (SAVE PARTIAL 2:3) ALL\nS: * ESEARCH (TAG \"a\") PARTIAL (2:3 2:3)\nS: a OK *\n"
                  "C: b SEARCH $\nS: * SEARCH 2 3\nS: b OK *\n"
                  "C: a SEARCH RETURN (SAVE PARTIAL -1:-2 MIN) ALL\nS: * ESEARCH (TAG \"a\") MIN 1 PARTIAL (-1:-2 6:7)\nS: a OK *\n"
                  "C: b SEARCH $\nS: * SEARCH 1 6 7\nS: b OK *\n"
                  "C: a SEARCH RETURN (SAVE PARTIAL 2:3 COUNT) ALL\nS: * ESEARCH (TAG \"a\") COUNT 7 PARTIAL (2:3 2:3)\nS: a OK *\n"
                  "C: b SEARCH $\nS: * SEARCH 1 2 3 4 5 6 7\nS: b OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_partial_cuts_what_uid_fetch_tells)
{
    struct test_server *t = test_server_open(3, NULL);
    add_numbered(t, 7);
    struct transcript *c = select_inbox(t);
    TRANSCRIPT(c, "C: d STORE 2,4 +FLAGS.SILENT (\\Deleted)\nS: d OK *\nC: d EXPUNGE\nS~ d OK *\n"
                  "C: 10 UID FETCH 2:6 (UID) (PARTIAL -1:-2)\nS: * 3 FETCH (UID 5)\nS: * 4 FETCH (UID 6)\nS: 10 OK *\n"
                  "C: 11 UID FETCH 1:3,5:* (UID) (PARTIAL 2:4)\nS: * 2 FETCH (UID 3)\nS: * 3 FETCH (UID 5)\nS: * 4 FETCH (UID 6)\nS: 11 OK *\n"
                  "C: 12 UID FETCH 1:* (UID) (PARTIAL 6:9)\nS: 12 OK *\n"
                  "C: 13 FETCH 1:* (UID) (PARTIAL 1:2)\nS: 13 BAD *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_objects_have_ids)
{
    struct test_server *t = test_server_open(4, NULL);
    add_numbered(t, 2);
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: 1 CREATE foo\nS: 1 OK [MAILBOXID (F*)] CREATE completed\n"
                  "C: 2 STATUS foo (MAILBOXID)\nS: * STATUS foo (MAILBOXID (F*))\nS: 2 OK *\n"
                  "C: 3 RENAME foo bar\nS: 3 OK *\n"
                  "C: 4 LIST \"\" bar RETURN (STATUS (MAILBOXID MESSAGES))\nS: * LIST (*) \"/\" bar\nS: * STATUS bar (MESSAGES 0 MAILBOXID (F2))\nS: 4 OK *\n"
                  "C: 5 SELECT INBOX\nS~ * OK [MAILBOXID (F1)] *\nS~ 5 OK *\n"
                  "C: 6 COPY 1 bar\nS: 6 OK *\n"
                  "C: 7 FETCH 1:2 (EMAILID THREADID)\nS: * 1 FETCH (EMAILID (M*) THREADID (T*))\nS: * 2 FETCH (EMAILID (M*) THREADID (T*))\nS: 7 OK *\n"
                  "C: 8 SEARCH EMAILID Mnone\nS: * SEARCH\nS: 8 OK *\n"
                  "C: 8 SEARCH THREADID Tnone\nS: * SEARCH\nS: 8 OK *\n"
                  "C: 9 FETCH 1 (EMAILID)\nS: * 1 FETCH (EMAILID (M*))\n");
    view line = transcript_line(c);
    size_t at = view_find(line, 'M');
    char id[40];
    REQUIRE(at != VIEW_NONE);
    at = view_find_last(line, '(') + 1;
    view_slice(line, at, 33);
    REQUIRE(line.len >= at + 33);
    for (size_t i = 0; i < 33; i++) id[i] = line.at[at + i];
    id[33] = 0;
    buf script CLEANUP(buf_done) = BUF_INIT;
    buf_appendf(&script, "S: 9 OK *\nC: b SELECT bar\nS~ b OK *\nC: c SEARCH EMAILID %s\nS: * SEARCH 1\nS: c OK *\n"
                         "C: d FETCH 1 (EMAILID)\nS: * 1 FETCH (EMAILID (%s))\nS: d OK *\n", id, id);
    buf_append_byte(&script, 0);
    TRANSCRIPT(c, script.at);
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_save_dates_are_of_the_mailbox)
{
    struct test_server *t = test_server_open(5, NULL);
    test_server_add(t, "INBOX", "\"01-Feb-2006 23:59:59 +0000\"", VIEW("Subject: x\r\n\r\n"));
    struct transcript *c = select_inbox(t);
    TRANSCRIPT(c, "C: a FETCH 1 (INTERNALDATE)\nS: * 1 FETCH (INTERNALDATE \" 1-Feb-2006 23:59:59 +0000\")\nS: a OK *\n"
                  "C: b FETCH 1 (SAVEDATE)\nS: * 1 FETCH (SAVEDATE \"*\")\nS: b OK *\n"
                  "C: c SEARCH SAVEDATESUPPORTED\nS: * SEARCH 1\nS: c OK *\n"
                  "C: d SEARCH SAVEDBEFORE 1-Mar-2006\nS: * SEARCH\nS: d OK *\n"
                  "C: e SEARCH SAVEDSINCE 1-Mar-2006 NOT SAVEDON 1-Feb-2006\nS: * SEARCH 1\nS: e OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_quota_is_told)
{
    struct test_server *t = test_server_open(6, NULL);
    test_server_set_quota(t, 10 << 10);
    add_numbered(t, 2);
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: A003 GETQUOTA \"\"\nS: * QUOTA \"\" (STORAGE 1 10)\nS: A003 OK *\n"
                  "C: A004 GETQUOTAROOT INBOX\nS: * QUOTAROOT INBOX \"\"\nS: * QUOTA \"\" (STORAGE 1 10)\nS: A004 OK *\n"
                  "C: A005 GETQUOTA other\nS: A005 NO [NONEXISTENT] *\n"
                  "C: A006 GETQUOTAROOT other\nS: * QUOTAROOT other \"\"\nS: * QUOTA \"\" (STORAGE 1 10)\nS: A006 OK *\n"
                  "C: A007 STATUS INBOX (MESSAGES DELETED DELETED-STORAGE)\nS: * STATUS INBOX (MESSAGES 2 DELETED 0 DELETED-STORAGE 0)\nS: A007 OK *\n"
                  "C: s SELECT INBOX\nS~ s OK *\nC: d STORE 1 +FLAGS.SILENT (\\Deleted)\nS: d OK *\n"
                  "C: A008 STATUS INBOX (DELETED DELETED-STORAGE)\nS: * STATUS INBOX (DELETED 1 DELETED-STORAGE 28)\nS: A008 OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_an_account_without_limits_has_no_quota_root)
{
    struct test_server *t = test_server_open(27, NULL);
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: a GETQUOTAROOT INBOX\nS: * QUOTAROOT INBOX\nS: a OK *\n"
                  "C: b GETQUOTA \"\"\nS: b NO [NONEXISTENT] *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_quota_of_messages_is_told_and_kept)
{
    struct test_server *t = test_server_open(26, NULL);
    add_numbered(t, 2);
    test_server_set_message_quota(t, 3);
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: a GETQUOTA \"\"\nS: * QUOTA \"\" (MESSAGE 2 3)\nS: a OK *\n"
                  "C: b APPEND INBOX {3+}\nC: abc {3+}\nC: def\nS: b NO [OVERQUOTA] *\n"
                  "C: s SELECT INBOX\nS~ s OK *\nC: c COPY 1:2 INBOX\nS: c NO [OVERQUOTA] *\n"
                  "C: d APPEND INBOX {3+}\nC: abc\nS~ d OK *\nC: e APPEND INBOX {3+}\nC: abc\nS: e NO [OVERQUOTA] *\n"
                  "C: f REPLACE 1 INBOX {3+}\nC: abc\nS~ f OK *\nC: g GETQUOTA \"\"\nS: * QUOTA \"\" (MESSAGE 3 3)\nS: g OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_uid_only_sessions_know_no_sequence_numbers)
{
    struct test_server *t = test_server_open(7, NULL);
    add_numbered(t, 5);
    struct transcript *c = test_server_login(t), *other;
    TRANSCRIPT(c, "C: e ENABLE UIDONLY\nS: * ENABLED UIDONLY\nS: e OK *\n"
                  "C: s SELECT INBOX\nS~ s OK *\n"
                  "C: 07 FETCH 1 FLAGS\nS: 07 BAD [UIDREQUIRED] *\n"
                  "C: 08 STORE 1 FLAGS (\\Seen)\nS: 08 BAD [UIDREQUIRED] *\n"
                  "C: 09 SEARCH ALL\nS: 09 BAD [UIDREQUIRED] *\n"
                  "C: 10 COPY 1 INBOX\nS: 10 BAD [UIDREQUIRED] *\n"
                  "C: 11 UID SEARCH 1:3\nS: 11 BAD [UIDREQUIRED] *\n"
                  "C: 12 UID SEARCH SEEN\nS: * SEARCH 1 3 5\nS: 12 OK *\n"
                  "C: 13 UID FETCH 1:2 FLAGS\nS: * 1 UIDFETCH (FLAGS (\\Seen*))\nS: * 2 UIDFETCH (FLAGS (*))\nS: 13 OK *\n");
    other = select_inbox(t);
    TRANSCRIPT(other, "C: a STORE 2,4 +FLAGS.SILENT (\\Deleted)\nS: a OK *\nC: a EXPUNGE\nS~ a OK *\nC: b STORE 2 -FLAGS (\\Seen)\nS~ b OK *\n");
    TRANSCRIPT(c, "C: 14 NOOP\nS: * VANISHED 2,4\nS: * 3 UIDFETCH (FLAGS (*))\nS: 14 OK *\n"
                  "C: 15 UID STORE 5 +FLAGS (\\Flagged)\nS: * 5 UIDFETCH (FLAGS (*))\nS: 15 OK *\n");
    transcript_close(other);
    transcript_close(c);
    test_server_close(t);
}

static void batches_ask(struct transcript *c, const char *arguments, const char *batches)
{
    buf script CLEANUP(buf_done) = BUF_INIT;
    buf_appendf(&script, "C: A143 UIDBATCHES %s\nS: * UIDBATCHES (TAG \"A143\")%s\nS: A143 OK *\n", arguments, batches);
    buf_append_byte(&script, 0);
    TRANSCRIPT(c, script.at);
}

TEST(imapd_uidbatches_cut_the_mailbox_from_the_newest_message_on)
{
    struct test_server *t = test_server_open(8, NULL);
    add_numbered(t, 1);
    struct transcript *c = select_inbox(t);
    TRANSCRIPT(c, "C: a COPY 1 INBOX\nS~ a OK *\n");
    for (unsigned count = 2; count < 1200; count *= 2) TRANSCRIPT(c, "C: a COPY 1:* INBOX\nS~ a OK *\n");
    TRANSCRIPT(c, "C: a UID STORE 1:500 +FLAGS.SILENT (\\Deleted)\nS: a OK *\nC: a EXPUNGE\nS~ a OK *\n");
    batches_ask(c, "500", " 2048:1549,1548:1049,1048:549,548:501");
    batches_ask(c, "1000", " 2048:1049,1048:501");
    batches_ask(c, "1000 2:3", " 1048:501");
    batches_ask(c, "1000 3:4", "");
    batches_ask(c, "4000", " 2048:501");
    TRANSCRIPT(c, "C: b UIDBATCHES 499\nS: b NO [TOOFEW] *\nC: b UIDBATCHES 0\nS: b BAD *\n"
                  "C: c UIDBATCHES 1000 2:1\nS: c BAD [CLIENTBUG] *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_unauthenticate_goes_back_to_before_the_log_in)
{
    struct test_server *t = test_server_open(9, NULL);
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: e ENABLE IMAP4rev2 QRESYNC\nS: * ENABLED *\nS: e OK *\n"
                  "C: s SELECT INBOX\nS~ s OK *\n"
                  "C: u UNAUTHENTICATE\nS: u OK *\n"
                  "C: n SELECT INBOX\nS: n BAD *\n"
                  "C: u UNAUTHENTICATE\nS: u BAD *\n"
                  "C: l LOGIN joe@example.test secret\nS: l OK [CAPABILITY *] *\n"
                  "C: s SELECT INBOX\nS~ * 0 RECENT\nS~ s OK *\n");
    transcript_close(c);
    test_server_close(t);
}

static void limit_to_three(struct imapd_options *options)
{
    options->message_limit = 3;
    options->save_limit = 2;
}

TEST(imapd_limits_of_messages_cut_commands_and_say_so)
{
    struct test_server *t = test_server_open(10, limit_to_three);
    add_numbered(t, 5);
    struct transcript *c = test_server_connect(t);
    TRANSCRIPT(c, "C: l LOGIN joe@example.test secret\nS: l OK [CAPABILITY * MESSAGELIMIT=3 SAVELIMIT=2] *\n"
                  "C: s SELECT INBOX\nS~ s OK *\n"
                  "C: 03 FETCH 1:* (UID)\nS: * 3 FETCH (UID 3)\nS: * 4 FETCH (UID 4)\nS: * 5 FETCH (UID 5)\nS: 03 OK [MESSAGELIMIT 3 3] *\n"
                  "C: 04 UID FETCH 1:4 (UID)\nS: * 2 FETCH (UID 2)\nS: * 3 FETCH (UID 3)\nS: * 4 FETCH (UID 4)\nS: 04 OK [MESSAGELIMIT 3 2] *\n"
                  "C: 05 FETCH 2:4 (UID)\nS~ 05 OK FETCH completed\n"
                  "C: 06 SEARCH SEEN\nS: * SEARCH 3 5\nS: 06 OK [MESSAGELIMIT 3 3] *\n"
                  "C: 07 UID STORE 1:* +FLAGS.SILENT (\\Flagged)\nS: 07 OK [MESSAGELIMIT 3 3] *\n"
                  "C: 08 UID SEARCH UID 1:3 FLAGGED\nS: * SEARCH 3\nS: 08 OK SEARCH completed\n"
                  "C: 09 COPY 1:3 INBOX\nS: 09 NO [MESSAGELIMIT 2 2] *\n"
                  "C: 11 UID FETCH 1:5 (UID) (PARTIAL -1:-4)\nS: 11 NO [MESSAGELIMIT 3] *\n"
                  "C: 12 UID FETCH 1:5 (UID) (PARTIAL -1:-3)\nS: * 3 FETCH (UID 3)\nS: * 4 FETCH (UID 4)\nS: * 5 FETCH (UID 5)\nS: 12 OK *\n"
                  "C: 13 THREAD REFERENCES UTF-8 ALL\nS: 13 NO [MESSAGELIMIT 3] *\n"
                  "C: 14 UID SEARCH UIDAFTER 3\nS: * SEARCH 4 5\nS: 14 OK SEARCH completed\n"
                  "C: 15 UID SEARCH UIDBEFORE 5 UIDAFTER 3\nS: * SEARCH 4\nS: 15 OK SEARCH completed\n"
                  "# on where the limit ended it\n"
                  "C: 16 UID SEARCH UNDELETED\nS: * SEARCH 3 4 5\nS: 16 OK [MESSAGELIMIT 3 3] *\n"
                  "C: 17 UID SEARCH UIDBEFORE 3 UNDELETED\nS: * SEARCH 1 2\nS: 17 OK SEARCH completed\n"
                  "C: 18 UID SEARCH UIDBEFORE 5\nS: * SEARCH 2 3 4\nS: 18 OK [MESSAGELIMIT 3 2] *\n"
                  "C: 19 UID SEARCH UID 1:* UIDBEFORE 3\nS: * SEARCH 1 2\nS: 19 OK SEARCH completed\n"
                  "C: 20 UID SEARCH UID 1,3,5 UIDAFTER 1 UIDBEFORE 5\nS: * SEARCH 3\nS: 20 OK SEARCH completed\n"
                  "C: 21 UID SEARCH UIDAFTER 4294967295\nS: * SEARCH\nS: 21 OK SEARCH completed\n"
                  "C: 22 UID SEARCH UIDAFTER 4 UIDBEFORE 3\nS: * SEARCH\nS: 22 OK SEARCH completed\n"
                  "C: 23 UID SEARCH UIDBEFORE 1\nS: * SEARCH\nS: 23 OK SEARCH completed\n"
                  "C: 24 SEARCH 2:3 UIDBEFORE 3\nS: * SEARCH 2\nS: 24 OK SEARCH completed\n"
                  "C: 10 COPY 1:2 INBOX\nS~ 10 OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_previews_are_told)
{
    struct test_server *t = test_server_open(11, NULL);
    test_server_add(t, "INBOX", "", VIEW("Subject: x\r\nContent-Type: text/html\r\n\r\n<p>Preview <b>text</b>!</p>\r\n"));
    test_server_add(t, "INBOX", "", VIEW("Subject: x\r\nContent-Type: image/png\r\n\r\nPNG\r\n"));
    struct transcript *c = select_inbox(t);
    TRANSCRIPT(c, "C: A1 FETCH 1:2 (PREVIEW)\nS: * 1 FETCH (PREVIEW \"Preview text!\")\nS: * 2 FETCH (PREVIEW \"\")\nS: A1 OK *\n"
                  "C: A2 FETCH 1 (RFC822.SIZE PREVIEW (LAZY))\nS: * 1 FETCH (RFC822.SIZE * PREVIEW \"Preview text!\")\nS: A2 OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_compression_begins_once)
{
    struct test_server *t = test_server_open(12, NULL);
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: a COMPRESS LZW\nS: a BAD *\nC: b COMPRESS DEFLATE\nS: b OK DEFLATE active\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_uid_only_sessions_give_no_sequence_match_data)
{
    struct test_server *t = test_server_open(27, NULL);
    add_numbered(t, 3);
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: a ENABLE QRESYNC UIDONLY\nS: * ENABLED QRESYNC UIDONLY\nS: a OK *\n"
                  "C: b SELECT INBOX (QRESYNC (1 1 1:3 (1:2 1:2)))\nS: b BAD [UIDREQUIRED] *\n"
                  "C: c SELECT INBOX (QRESYNC (1 1 1:3))\nS~ c OK *\n");
    transcript_close(c);
    test_server_close(t);
}
