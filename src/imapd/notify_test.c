#include "base/check.h"
#include "base/test.h"
#include "imapd/test_server.h"

static struct transcript *select_inbox(struct test_server *t)
{
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: s SELECT INBOX\nS~ s OK *\n");
    return c;
}

TEST(imapd_notify_tells_of_other_mailboxes_by_status)
{
    struct test_server *t = test_server_open(1, NULL);
    struct transcript *c = select_inbox(t), *other = test_server_login(t);
    TRANSCRIPT(other, "C: a CREATE Lists/x\nS: a OK *\n");
    TRANSCRIPT(c, "C: n NOTIFY SET STATUS (selected (MessageNew (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)]) MessageExpunge)) "
                  "(subtree Lists (MessageNew MessageExpunge FlagChange))\n"
                  "S: * STATUS Lists (MESSAGES 0 *\nS: * STATUS Lists/x (MESSAGES 0 UIDNEXT 1 UIDVALIDITY * UNSEEN 0 HIGHESTMODSEQ 1)\nS: n OK *\n");
    test_server_add(t, "Lists/x", "", VIEW("Subject: one\r\n\r\n"));
    TRANSCRIPT(c, "S: * STATUS Lists/x (MESSAGES 1 UIDNEXT 2 UIDVALIDITY * UNSEEN 1)\n");
    test_server_add(t, "INBOX", "", VIEW("Subject: two\r\n\r\n"));
    TRANSCRIPT(c, "S: * 1 EXISTS\nS: * 1 RECENT\nS: * 1 FETCH (UID 1 BODY[HEADER.FIELDS (SUBJECT)] {16}\nS: Subject: two\nS: \nS: )\n");
    TRANSCRIPT(other, "C: s SELECT Lists/x\nS~ s OK *\nC: f STORE 1 +FLAGS.SILENT (\\Seen)\nS: f OK *\n");
    TRANSCRIPT(c, "S: * STATUS Lists/x (MESSAGES 1 UIDNEXT 2 UIDVALIDITY * UNSEEN 0)\n"
                  "C: i IDLE\nS: + idling\n");
    test_server_add(t, "Lists/x", "", VIEW("Subject: three\r\n\r\n"));
    TRANSCRIPT(c, "S: * STATUS Lists/x (MESSAGES 2 *\nC: DONE\nS: i OK *\nC: n NOTIFY NONE\nS: n OK *\n");
    test_server_add(t, "Lists/x", "", VIEW("Subject: four\r\n\r\n"));
    TRANSCRIPT(c, "Q: 500\nC: z NOOP\nS: z OK *\n");
    transcript_close(other);
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_notify_tells_of_names)
{
    struct test_server *t = test_server_open(2, NULL);
    struct transcript *c = test_server_login(t), *other = test_server_login(t);
    TRANSCRIPT(c, "C: n NOTIFY SET (personal (MailboxName SubscriptionChange))\nS: n OK *\n");
    TRANSCRIPT(other, "C: a CREATE New\nS: a OK *\n");
    TRANSCRIPT(c, "S: * LIST (\\HasNoChildren) \"/\" New\n");
    TRANSCRIPT(other, "C: a SUBSCRIBE New\nS: a OK *\n");
    TRANSCRIPT(c, "S: * LIST (\\HasNoChildren \\Subscribed) \"/\" New\n");
    TRANSCRIPT(other, "C: a RENAME New Newer\nS: a OK *\n");
    TRANSCRIPT(c, "S: * LIST (*) \"/\" Newer (\"OLDNAME\" (New))\n");
    TRANSCRIPT(other, "C: a DELETE Newer\nS: a OK *\n");
    TRANSCRIPT(c, "S~ * LIST (\\NonExistent) \"/\" Newer\n"
                  "C: b NOTIFY SET (personal (MailboxDreams))\nS: b NO [BADEVENT (*MailboxMetadataChange ServerMetadataChange)] *\n"
                  "C: b NOTIFY SET (selected (MailboxName))\nS: b BAD *\n");
    transcript_close(other);
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_notify_delays_expunges_when_asked_to)
{
    struct test_server *t = test_server_open(3, NULL);
    test_server_add(t, "INBOX", "", VIEW("Subject: one\r\n\r\n"));
    test_server_add(t, "INBOX", "", VIEW("Subject: two\r\n\r\n"));
    struct transcript *c = select_inbox(t), *other = select_inbox(t);
    TRANSCRIPT(c, "C: n NOTIFY SET (selected-delayed (MessageNew MessageExpunge FlagChange))\nS: n OK *\n");
    TRANSCRIPT(other, "C: a STORE 1 +FLAGS.SILENT (\\Deleted)\nS: a OK *\n");
    TRANSCRIPT(c, "S: * 1 FETCH (UID 1 FLAGS (\\Deleted*))\n");
    TRANSCRIPT(other, "C: a EXPUNGE\nS~ a OK *\n");
    TRANSCRIPT(c, "Q: 300\nC: z NOOP\nS: * 1 EXPUNGE\nS: z OK *\n");
    transcript_close(other);
    transcript_close(c);
    test_server_close(t);
}

TEST(imapd_esearch_looks_into_many_mailboxes)
{
    struct test_server *t = test_server_open(4, NULL);
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: a CREATE folder1\nS: a OK *\nC: a CREATE folder2/banana\nS: a OK *\nC: a CREATE folder2/peach/deep\nS: a OK *\n");
    test_server_add(t, "folder1", "", VIEW("Subject: chad\r\n\r\n"));
    test_server_add(t, "folder1", "(\\Seen)", VIEW("Subject: x\r\n\r\n"));
    test_server_add(t, "folder2/banana", "", VIEW("Subject: x\r\n\r\n"));
    test_server_add(t, "folder2/peach/deep", "", VIEW("Subject: chad\r\n\r\n"));
    TRANSCRIPT(c, "C: tag1 ESEARCH IN (mailboxes \"folder1\" subtree \"folder2\") unseen\n"
                  "S: * ESEARCH (TAG \"tag1\" MAILBOX folder1 UIDVALIDITY *) UID ALL 1\n"
                  "S: * ESEARCH (TAG \"tag1\" MAILBOX folder2/banana UIDVALIDITY *) UID ALL 1\n"
                  "S: * ESEARCH (TAG \"tag1\" MAILBOX folder2/peach/deep UIDVALIDITY *) UID ALL 1\nS: tag1 OK *\n"
                  "C: tag2 ESEARCH IN (mailboxes \"folder1\" subtree-one \"folder2\") subject \"chad\"\n"
                  "S: * ESEARCH (TAG \"tag2\" MAILBOX folder1 UIDVALIDITY *) UID ALL 1\nS: tag2 OK *\n"
                  "C: tag3 ESEARCH IN (personal) RETURN (COUNT) ALL\n"
                  "S: * ESEARCH (TAG \"tag3\" MAILBOX folder1 UIDVALIDITY *) UID COUNT 2\nS: * ESEARCH *COUNT 1\nS: * ESEARCH *COUNT 1\nS: tag3 OK *\n"
                  "C: tag4 ESEARCH IN (personal) 2:9\nS: * ESEARCH (TAG \"tag4\" MAILBOX folder1 UIDVALIDITY *) UID ALL 2\nS: tag4 OK *\nC: tag5 ESEARCH ALL\nS: tag5 BAD *\n"
                  "C: s SELECT folder1\nS~ s OK *\nC: tag6 ESEARCH 2\nS: * ESEARCH (TAG \"tag6\" MAILBOX folder1 UIDVALIDITY *) UID ALL 2\nS: tag6 OK *\n"
                  "C: tag7 SEARCH SEEN\nS: * SEARCH 2\nS: tag7 OK *\n"
                  "# what was saved is of the selected mailbox\n"
                  "C: tag8 SEARCH RETURN (SAVE) 1\nS: tag8 OK *\n"
                  "C: tag9 ESEARCH IN (personal) $\nS: * ESEARCH (TAG \"tag9\" MAILBOX folder1 UIDVALIDITY *) UID ALL 1\nS: tag9 OK *\n"
                  "C: tag10 SEARCH $\nS: * SEARCH 1\nS: tag10 OK *\n");
    transcript_close(c);
    test_server_close(t);
}

static void without_patience(struct imapd_options *options)
{
    options->progress_ms = 0;
}

TEST(imapd_long_commands_say_how_far_they_are)
{
    struct test_server *t = test_server_open(5, without_patience);
    test_server_add(t, "INBOX", "", VIEW("Subject: x\r\n\r\n"));
    struct transcript *c = select_inbox(t);
    for (unsigned count = 1; count < 500; count *= 2) TRANSCRIPT(c, "C: a COPY 1:* INBOX\nS~ a OK *\n");
    TRANSCRIPT(c, "C: A001 SEARCH FLAGGED\nS: * OK [INPROGRESS (\"A001\" 256 NIL)] *\nS: * OK [INPROGRESS (\"A001\" 512 NIL)] *\nS: * SEARCH\nS: A001 OK *\n");
    transcript_close(c);
    test_server_close(t);
}
