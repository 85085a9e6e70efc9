#include "base/check.h"
#include "base/test.h"
#include "imapd/test_server.h"

static struct test_server *with_messages(uint64_t seed, unsigned count)
{
    struct test_server *t = test_server_open(seed, NULL);
    for (unsigned i = 0; i < count; i++) test_server_add(t, "INBOX", "(\\Seen)", VIEW("Subject: a\r\n\r\nx\r\n"));
    return t;
}

static struct transcript *select_inbox(struct test_server *t)
{
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: e ENABLE IMAP4rev2\nS: * ENABLED IMAP4rev2\nS: e OK *\n"
                  "C: s SELECT INBOX\nS~ * OK [MAILBOXID (F1)] *\nS: * LIST () \"/\" INBOX\nS: s OK [READ-WRITE] *\n");
    return c;
}

TEST(imapd_store_changes_flags_and_tells_them)
{
    struct test_server *t = with_messages(1, 3);
    struct transcript *c = select_inbox(t);
    TRANSCRIPT(c, "C: a STORE 1:2 +FLAGS (\\Flagged $Label)\n"
                  "S: * 1 FETCH (FLAGS (\\Flagged \\Seen $Label))\nS: * 2 FETCH (FLAGS (\\Flagged \\Seen $Label))\nS: a OK STORE completed\n"
                  "C: b UID STORE 2 -FLAGS \\Seen\nS: * 2 FETCH (UID 2 FLAGS (\\Flagged $Label))\nS: b OK *\n"
                  "C: c STORE 3 FLAGS.SILENT (\\Draft)\nS: c OK *\n"
                  "C: d NOOP\nS: d OK *\n"
                  "C: e FETCH 1:3 FLAGS\nS: * 1 FETCH (FLAGS (\\Flagged \\Seen $Label))\nS: * 2 FETCH (FLAGS (\\Flagged $Label))\n"
                  "S: * 3 FETCH (FLAGS (\\Draft))\nS: e OK *\n"
                  "C: f STORE 4 +FLAGS (\\Seen)\nS: f BAD *\n"
                  "C: g STORE 1 +FLAGS (\\Recent)\nS: * 1 FETCH (FLAGS (\\Flagged \\Seen $Label))\nS: g OK *\n"
                  "C: h STORE 1 FLAGS ()\nS: * 1 FETCH (FLAGS ())\nS: h OK *\n");
    transcript_close(c);
    test_server_close(t);
}

/* Whoever has the mailbox selected learns of a keyword before a message that has it. */
TEST(imapd_new_keywords_are_told_to_other_sessions)
{
    struct test_server *t = with_messages(3, 2);
    struct transcript *c = select_inbox(t), *d = select_inbox(t);
    TRANSCRIPT(c, "C: a STORE 1 +FLAGS.SILENT ($Work)\nS: a OK *\n"
                  "C: b STORE 2 +FLAGS.SILENT ($Work)\nS: b OK *\n");
    TRANSCRIPT(d, "C: a NOOP\nS: * FLAGS (* $Work)\nS: * OK [PERMANENTFLAGS (* $Work \\*)] *\n"
                  "S: * 1 FETCH (FLAGS (\\Seen $Work))\nS: * 2 FETCH (FLAGS (\\Seen $Work))\nS: a OK *\n"
                  "C: b STORE 1 -FLAGS.SILENT ($Work)\nS: b OK *\n");
    TRANSCRIPT(c, "C: c NOOP\nS: * 1 FETCH (FLAGS (\\Seen))\nS: c OK *\n");
    transcript_close(c);
    transcript_close(d);
    test_server_close(t);
}

TEST(imapd_store_leaves_alone_what_has_changed_since)
{
    struct test_server *t = with_messages(2, 3);
    struct transcript *c = select_inbox(t);
    TRANSCRIPT(c, "C: a STORE 2 (UNCHANGEDSINCE 1000000) +FLAGS (\\Flagged)\nS: * 2 FETCH (UID 2 MODSEQ (*) FLAGS (\\Flagged \\Seen))\nS: a OK *\n"
                  "C: b STORE 1:3 (UNCHANGEDSINCE 0) +FLAGS (\\Draft)\nS: b OK [MODIFIED 1:3] *\n"
                  "C: c FETCH 1:3 FLAGS\nS: * 1 FETCH (FLAGS (\\Seen))\nS: * 2 FETCH (FLAGS (\\Flagged \\Seen))\nS: * 3 FETCH (FLAGS (\\Seen))\nS: c OK *\n"
                  "C: d STORE 1 +FLAGS.SILENT (\\Draft)\nS: * 1 FETCH (UID 1 MODSEQ (*))\nS: d OK *\n"
                  "C: e FETCH 1:3 (FLAGS) (CHANGEDSINCE 1000000)\nS: e OK *\n"
                  "C: f UID FETCH 1:3 (FLAGS) (CHANGEDSINCE 1)\nS: * 1 FETCH (UID 1 MODSEQ (*) FLAGS (\\Seen \\Draft))\n"
                  "S: * 2 FETCH (UID 2 MODSEQ (*) FLAGS (\\Flagged \\Seen))\nS: * 3 FETCH (UID 3 MODSEQ (*) FLAGS (\\Seen))\nS: f OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_expunge_tells_numbers_that_are_right_as_they_come)
{
    struct test_server *t = with_messages(3, 6);
    struct transcript *c = select_inbox(t);
    TRANSCRIPT(c, "C: a STORE 2:3,5 +FLAGS.SILENT (\\Deleted)\nS: a OK *\n"
                  "C: b EXPUNGE\nS: * 5 EXPUNGE\nS: * 3 EXPUNGE\nS: * 2 EXPUNGE\nS: b OK *\n"
                  "C: c FETCH 1:* UID\nS: * 1 FETCH (UID 1)\nS: * 2 FETCH (UID 4)\nS: * 3 FETCH (UID 6)\nS: c OK *\n"
                  "C: d STORE 1:* +FLAGS.SILENT (\\Deleted)\nS: d OK *\n"
                  "C: e UID EXPUNGE 4:5\nS: * 2 EXPUNGE\nS: e OK *\n"
                  "C: f CLOSE\nS: f OK *\nC: g SELECT INBOX\nS~ * 0 EXISTS\nS~ g OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_copy_and_move_tell_the_uids)
{
    struct test_server *t = with_messages(4, 4);
    struct transcript *c = select_inbox(t);
    TRANSCRIPT(c, "C: a COPY 1:2 Trash\nS: a NO [TRYCREATE] *\n"
                  "C: b CREATE Trash\nS: b OK *\n"
                  "C: c COPY 2:3 Trash\nS: c OK [COPYUID * 2:3 1:2] COPY completed\n"
                  "C: d UID MOVE 1,3 Trash\nS: * OK [COPYUID * 1,3 3:4] Moved\nS: * 3 EXPUNGE\nS: * 1 EXPUNGE\nS: d OK *\n"
                  "C: e UID COPY 100:200 Trash\nS: e OK COPY completed\n"
                  "C: f COPY 1:* INBOX\nS: * 4 EXISTS\nS: f OK [COPYUID * 2,4 5:6] *\n"
                  "C: g STATUS Trash (MESSAGES UIDNEXT UNSEEN SIZE DELETED)\nS: * STATUS Trash (MESSAGES 4 UIDNEXT 5 UNSEEN 0 DELETED 0 SIZE *)\nS: g OK *\n");
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_two_sessions_keep_their_own_numbers)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct test_server *t = with_messages(seed, 5);
        struct transcript *a = select_inbox(t), *b = select_inbox(t);
        TRANSCRIPT(a, "C: a STORE 2,4 +FLAGS.SILENT (\\Deleted)\nS: a OK *\nC: b EXPUNGE\nS: * 4 EXPUNGE\nS: * 2 EXPUNGE\nS: b OK *\n");
        /* b has not heard of it: its numbers stand, and what is gone is left out. */
        TRANSCRIPT(b, "C: a FETCH 1:5 UID\nS: * 1 FETCH (UID 1)\nS: * 3 FETCH (UID 3)\nS: * 5 FETCH (UID 5)\n"
                      "S: a OK [EXPUNGEISSUED] *\n"
                      "C: b STORE 5 +FLAGS (\\Flagged)\nS: * 5 FETCH (FLAGS (\\Flagged \\Seen))\nS: b OK *\n"
                      "C: c SEARCH ALL\nS: * ESEARCH (TAG \"c\") ALL 1,3,5\nS: c OK *\n"
                      "C: d NOOP\nS: * 4 EXPUNGE\nS: * 2 EXPUNGE\nS: d OK *\n"
                      "C: e FETCH 3 (UID FLAGS)\nS: * 3 FETCH (UID 5 FLAGS (\\Flagged \\Seen))\nS: e OK *\n");
        TRANSCRIPT(a, "C: c NOOP\nS: * 3 FETCH (FLAGS (\\Flagged \\Seen))\nS: c OK *\n");
        TRANSCRIPT(a, "C: d APPEND INBOX {3+}\nC: abc\nS: * 4 EXISTS\nS: d OK [APPENDUID * 6] *\n");
        TRANSCRIPT(b, "C: f UID FETCH 6 (UID)\nS: * 4 EXISTS\nS: f OK *\nC: g FETCH 4 UID\nS: * 4 FETCH (UID 6)\nS: g OK *\n");
        transcript_close(a);
        transcript_close(b);
        test_server_close(t);
    }
}

TEST(imapd_sessions_of_a_deleted_mailbox_see_it_empty)
{
    struct test_server *t = with_messages(7, 1);
    struct transcript *a = test_server_login(t), *b = test_server_login(t);
    TRANSCRIPT(a, "C: a CREATE x\nS: a OK *\nC: b APPEND x {3+}\nC: abc\nS: b OK *\n");
    TRANSCRIPT(b, "C: a SELECT x\nS~ a OK *\n");
    TRANSCRIPT(a, "C: c DELETE x\nS: c OK *\n");
    TRANSCRIPT(b, "C: b FETCH 1 FLAGS\nS: b OK [EXPUNGEISSUED] *\nC: c NOOP\nS: * 1 EXPUNGE\nS: c OK *\n"
                  "C: d STORE 1:* +FLAGS (\\Seen)\nS: d OK *\nC: e SELECT x\nS: * OK [CLOSED] *\nS: e NO [NONEXISTENT] *\n");
    transcript_close(a);
    transcript_close(b);
    test_server_close(t);
}

TEST(imapd_own_changes_do_not_hide_those_of_others_before_them)
{
    struct test_server *t = test_server_open(8, NULL);
    test_server_add(t, "INBOX", "", VIEW("Subject: x\r\n\r\n"));
    test_server_add(t, "INBOX", "", VIEW("Subject: y\r\n\r\n"));
    struct transcript *a = test_server_login(t), *b = test_server_login(t);
    TRANSCRIPT(a, "C: s SELECT INBOX\nS~ s OK *\n");
    TRANSCRIPT(b, "C: s SELECT INBOX\nS~ s OK *\nC: x STORE 1 +FLAGS.SILENT (\\Flagged)\nS: x OK *\n");
    TRANSCRIPT(a, "C: y STORE 2 +FLAGS (\\Seen)\nS: * 2 FETCH (FLAGS (\\Seen*))\nS: * 1 FETCH (FLAGS (\\Flagged*))\nS: y OK *\n");
    transcript_close(a);
    transcript_close(b);
    test_server_close(t);
}
